"""How to see that a local file changed without reading it.

Owns: the signature of a file. ``pcc.secret_files`` has its own test for the few credential files, because it compares
times of modification: they are also the age of a token, and a file that was written a moment ago is read again. Here
ten thousand files are compared, and ``reader`` waits until they are at rest.
Must not: read a file.
"""

from __future__ import annotations

import os
from collections.abc import Callable

Signature = tuple[int, int, int]
"""Change time in nanoseconds, size and inode of one file. The change time, unlike that of modification, is the kernel's
alone: it moves with any write, rename or change of rights, and no program sets it back."""
Look = Callable[[str], Signature]
"""Returns the signature of a file, or ``GONE``."""
GONE: Signature = (0, -1, 0)


def signature(path: str) -> Signature:
    """Return what changes whenever a file does."""
    try:
        status = os.stat(path)
    except OSError:
        return GONE
    return status.st_ctime_ns, status.st_size, status.st_ino
