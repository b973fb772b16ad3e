"""What outlives a pass and a restart, in one SQLite file.

``State`` is all that others use. Inside, lowest first: ``database`` (one SQLite file: lock, versions, faults),
``memory`` (the rules of remembering one account, pure), ``tables`` (schema, and rows to values), ``waiting`` (what
could not be written yet, bounded), ``store`` (``State``).
"""

from reconciler.core.memory import KEPT, Past
from reconciler.state.sqlite.database import Connect, can_be_kept, connect, is_there
from reconciler.state.sqlite.tables import newest_first
from reconciler.state.store import KeptText, State, Stay
from reconciler.state.waiting import Mark

__all__ = [
    "KEPT",
    "Connect",
    "KeptText",
    "Mark",
    "Past",
    "State",
    "Stay",
    "can_be_kept",
    "connect",
    "is_there",
    "newest_first",
]
