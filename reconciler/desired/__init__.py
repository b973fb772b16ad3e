"""The desired-state file: TOML text to values and back, with the place of every fault.

``load`` reads documents and ``dump`` writes one; ``schema`` is the one home of keys, types and defaults. Inside, lowest
first: ``places``, ``schema``, ``texts``, ``findings``, ``device_files``, ``document``, ``export``, ``load``.
"""

from reconciler.desired.export import SCHEMA_FILE, dump, dump_approval, dump_device_file
from reconciler.desired.load import SHOWN, load
from reconciler.desired.texts import Document, Loaded, MemoryTree, Tree, Unreadable, digest, matches

__all__ = [
    "SCHEMA_FILE",
    "SHOWN",
    "Document",
    "Loaded",
    "MemoryTree",
    "Tree",
    "Unreadable",
    "digest",
    "dump",
    "dump_approval",
    "dump_device_file",
    "load",
    "matches",
]
