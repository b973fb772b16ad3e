"""The desired-state file: TOML to values and back, with the position of every fault.

Owns: one document alone (``parser`` by the tables of ``schema``, ``checks`` of values, ``ids``, ``messages``), the
accounts in it (``accounts``, ``collected`` from ``device_files``), its change windows (``windows``), all documents
together (``loader``, ``conflicts``, ``cache``), where a fault is (``diagnostics``, ``positions``, ``faults``), where a
device is named (``sightings``, ``thinned``), writing (``writer``), and files of other formats (``foreign``).
Must not: know where a file comes from, or what is in force.
"""

from reconciler.core.acceptance import Loaded
from reconciler.desired.cache import LoadCache
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
from reconciler.desired.faults import SHOWN
from reconciler.desired.globs import matches
from reconciler.desired.loader import load
from reconciler.desired.parser import patterns
from reconciler.desired.sightings import sightings
from reconciler.desired.writer import (
    INLINE,
    SCHEMA_FILE,
    Aside,
    account_lines,
    approval_block,
    dump,
    dump_device_file,
)

__all__ = [
    "INLINE",
    "LARGEST_FILE",
    "SCHEMA_FILE",
    "SHOWN",
    "TOO_MUCH",
    "Aside",
    "Document",
    "LoadCache",
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
