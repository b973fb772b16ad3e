"""What makes accounts equal to their desired state: the queue, the pass, and what it works with.

Owns: when an account gets a pass (``queue``), the pass itself (``reconciler``), its calls (``executor``), what is
written down (``recorder``), and the newest revision in force (``informer``).
Must not: decide (``core`` does), speak HTTP (``pcc`` does), or show anything to people (``reporting`` does).
"""
