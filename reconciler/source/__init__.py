"""Where the desired state comes from, and when there may be a newer revision.

Owns: reading files of this machine (``files``, ``checkout``), following a Git repository (``repository``, ``git``),
what both give (``port``), and revisions of before (``revisions``, ``kept``).
Must not: judge what it reads.

What concerns repositories is imported from its own module: ``validate`` reads files, and answers sooner without it.
"""

from reconciler.desired import LARGEST_FILE
from reconciler.source.files import (
    RESTLESS_SECONDS,
    SETTLE_SECONDS,
    DiskTree,
    FileSource,
    read_file,
)
from reconciler.source.loading import load_fetched
from reconciler.source.port import (
    NOTHING,
    Fetched,
    FetchError,
    Known,
    MissingError,
    RestlessError,
    Source,
)
from reconciler.source.signatures import Look, Signature, signature
from reconciler.source.unrest import LOCK_SECONDS, Lock, Unrest

__all__ = [
    "LARGEST_FILE",
    "LOCK_SECONDS",
    "NOTHING",
    "RESTLESS_SECONDS",
    "SETTLE_SECONDS",
    "DiskTree",
    "FetchError",
    "Fetched",
    "FileSource",
    "Known",
    "Lock",
    "Look",
    "MissingError",
    "RestlessError",
    "Signature",
    "Source",
    "Unrest",
    "load_fetched",
    "read_file",
    "signature",
]
