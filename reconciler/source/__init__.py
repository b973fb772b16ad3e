"""Where the texts come from, and when there may be a newer one.

``files`` reads from this machine, ``repository`` follows a Git repository, ``fetched`` is what both give. ``checkout``
knows the commit that files of this machine are from.

What concerns repositories is imported from its own module: ``validate`` reads files, and answers sooner without it.
"""

from reconciler.source.fetched import (
    LARGEST_FILE,
    NOTHING,
    Fetched,
    FetchError,
    Known,
    MissingError,
    RestlessError,
    Source,
)
from reconciler.source.files import RESTLESS_SECONDS, SETTLE_SECONDS, DiskTree, FileSource, read_file
from reconciler.source.signatures import Look, Signature, signature

__all__ = [
    "LARGEST_FILE",
    "NOTHING",
    "RESTLESS_SECONDS",
    "SETTLE_SECONDS",
    "DiskTree",
    "FetchError",
    "Fetched",
    "FileSource",
    "Known",
    "Look",
    "MissingError",
    "RestlessError",
    "Signature",
    "Source",
    "read_file",
    "signature",
]
