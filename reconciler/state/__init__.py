"""What outlives a pass and a restart, in one SQLite file.

``State`` is all that others use. Inside, lowest first: ``database`` (one SQLite file: lock, versions, faults),
``memory`` (the rules of remembering one account, pure), ``tables`` (schema, and rows to values), ``store`` (``State``).
"""

from reconciler.state.database import Connect, connect
from reconciler.state.memory import KEPT, Past
from reconciler.state.store import KeptText, Mark, State, Stay
from reconciler.state.tables import newest_first

__all__ = ["KEPT", "Connect", "KeptText", "Mark", "Past", "State", "Stay", "connect", "newest_first"]
