"""What outlives a pass and a restart.

Owns: what is kept, and when it is written (``store``). ``sqlite`` is where it is kept; the rules of remembering are in
``core.memory``. Must not: know LG, files or metrics, or judge.
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
