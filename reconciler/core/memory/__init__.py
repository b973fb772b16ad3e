"""What is remembered of one account, and how each event changes it.

Owns: the rules by which devices enter and leave the inventory, the expected list, the day's counts and the open
intents (``account``, with ``day`` and ``changes``), the names (``names``), and the
sets and maps that hold them (``shelves``, ``absences``).
Every event returns its differences, so the disk is written by differences, too.
Must not: do I/O, read a clock, or know how anything is kept. Not for use by two threads at once.

Sets may hold a million devices. Equal sets are kept as one object. A set that was given out never changes: a later
event changes a copy, and many events share one copy.
"""

from reconciler.core.memory.account import KEPT, AccountMemory, Belief, Moves
from reconciler.core.memory.changes import NO_TIME, Past, intents
from reconciler.core.memory.names import NO_NAMES, DeviceNames, Names, Renamed
from reconciler.core.memory.shelves import Members, Shelf

__all__ = [
    "KEPT",
    "NO_NAMES",
    "NO_TIME",
    "AccountMemory",
    "Belief",
    "DeviceNames",
    "Members",
    "Moves",
    "Names",
    "Past",
    "Renamed",
    "Shelf",
    "intents",
]
