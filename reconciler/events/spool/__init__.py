"""The spool: what arrived, on disk, until nobody needs it any more.

Owns: the one SQLite file of events, who writes it when, what is a duplicate, which events are due where, and how long
things are kept. Must not: read LG's bytes, know a sink or its answers, or hear of HTTP.

``spool`` puts it together; ``committer`` carries out what has gathered in one transaction and one wait for the disk;
``storing``, ``outbox``, ``archive``, ``replaying`` and ``retention`` are what is done inside. ``file`` is the open
file, ``tables`` has the schema.
"""

from reconciler.events.spool.archive import SpoolArchive
from reconciler.events.spool.spool import Spool, open_beside

__all__ = ["Spool", "SpoolArchive", "open_beside"]
