"""What outlives a pass and a restart.

Owns: what is kept, and when it is written. ``port`` says what callers may ask; each noun has its store (``accounts``,
``changes``, ``history``, ``names``, ``opened_windows``, ``pauses``, ``protections``, ``quotas``, ``revisions``); all of
them write through ``write_behind``. ``sqlite`` and ``postgres`` are the databases, ``sql`` is what they have in common;
the rules of remembering are in ``core.memory`` and ``core.protection``. Must not: know LG, files or metrics, or judge.
"""

from reconciler.core.memory import KEPT, Past
from reconciler.state.opening import is_there, name_of, shared, vacant
from reconciler.state.place import Place
from reconciler.state.port import (
    Accounts,
    Changes,
    History,
    KeptText,
    Names,
    OpenedWindows,
    Pauses,
    Protections,
    Quotas,
    Revisions,
    Stay,
)
from reconciler.state.records import Group, Mark, newest_first
from reconciler.state.sqlite.connection import Connect, connect
from reconciler.state.sqlite.folder import can_be_kept, no_room
from reconciler.state.state import State
from reconciler.state.traits import ANY, BEGUN, Traits

__all__ = [
    "ANY",
    "BEGUN",
    "KEPT",
    "Accounts",
    "Changes",
    "Connect",
    "Group",
    "History",
    "KeptText",
    "Mark",
    "Names",
    "OpenedWindows",
    "Past",
    "Pauses",
    "Place",
    "Protections",
    "Quotas",
    "Revisions",
    "State",
    "Stay",
    "Traits",
    "can_be_kept",
    "connect",
    "is_there",
    "name_of",
    "newest_first",
    "no_room",
    "shared",
    "vacant",
]
