"""The desired-state file: TOML text to values and back, with the position of every fault.

Owns: keys, types and defaults (``schema``), reading (``loader`` over ``parser`` and ``device_files``), writing
(``writer``), where a fault is (``positions``, ``diagnostics``), and what is no file of ours (``foreign``).
Must not: know where a file comes from, or what is in force.
"""

from reconciler.core.acceptance import Loaded
from reconciler.desired.device_files import read_list
from reconciler.desired.documents import (
    LARGEST_FILE,
    TOO_MUCH,
    Document,
    MemoryTree,
    Names,
    Role,
    Sighting,
    Tree,
    Unreadable,
    digest,
)
from reconciler.desired.globs import matches
from reconciler.desired.loader import SHOWN, Again, load, sightings
from reconciler.desired.parser import patterns
from reconciler.desired.writer import SCHEMA_FILE, Aside, account_lines, approval_block, dump, dump_device_file

__all__ = [
    "LARGEST_FILE",
    "SCHEMA_FILE",
    "SHOWN",
    "TOO_MUCH",
    "Again",
    "Aside",
    "Document",
    "Loaded",
    "MemoryTree",
    "Names",
    "Role",
    "Sighting",
    "Tree",
    "Unreadable",
    "account_lines",
    "approval_block",
    "digest",
    "dump",
    "dump_device_file",
    "load",
    "matches",
    "patterns",
    "read_list",
    "sightings",
]
