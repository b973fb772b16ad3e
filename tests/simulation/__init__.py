"""Years of operation in minutes: the real daemon and LG's platform, simulated, in one process on a virtual clock.

Each run is made of one seed: what people write, what LG answers, when the wire breaks, the disk fills up or the process
is killed. Nothing waits for a real clock and nothing opens a socket, so a run can be replayed from its seed alone.

The modules, lowest first: ``clockwork`` (time that leaps), ``disk`` (files and the state's file, with their faults),
``answers`` (answers that come changed), ``wire`` (what becomes of a request), ``machine`` (the daemon, started, stopped
and killed), ``texts`` (what people write), ``foreign`` (files of other formats), ``checkout`` (texts in a working tree
of Git), ``tolerances`` (what the checker lets pass), ``meaning`` (what a text means, read again from its
specification), ``checker`` (what must never happen),
``life`` (what happens), ``seed`` (one run), ``defects`` (mistakes planted to see that they are found), and
``__main__`` (many runs).

``checker`` and ``meaning`` import nothing of the program: what they hold against it is written anew.
"""
