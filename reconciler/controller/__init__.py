"""What makes accounts equal to their desired state: the queue, the pass, and what it works with.

Owns: when an account gets a pass (``queue``), the pass itself (``reconciler``), and what it is made of:

- its start (``runs``, ``clocks``), its list (``lists``), its calls (``executor``) while what they rest on holds
  (``basis``), its report (``reports``), what is written down (``recorder``), and what is carried to the next pass
  (``accounts``, ``twins``); ``previews`` asks the same question without consequences;
- the newest revision in force (``informer``): how it is read (``reader``, ``history``), kept (``kept_revisions``) and
  logged (``revision_recorder``), and what waits for half-written files (``half_written``).

Must not: decide (``core`` does), speak HTTP (``pcc`` does), or show anything to people (``reporting`` does).
"""
