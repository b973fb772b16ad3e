"""Files that hold a secret of a sink.

Owns: that a small regular file is read, and why one cannot be used. Must not: know what the secret is for.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from reconciler.core.errors import ReconcilerError

LARGEST_FILE = 4096
"""Bytes of a file that holds a secret."""


class NoSecretError(ReconcilerError):
    """There is no usable secret; an event is not sent without it."""


def text_in(path: Path) -> str:
    """Return the text of a small regular file; a pipe put in its place must not block."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            is_regular = stat.S_ISREG(os.fstat(file).st_mode)
            content = os.read(file, LARGEST_FILE + 1) if is_regular else b""
        finally:
            os.close(file)
    except OSError as error:
        raise NoSecretError(f"{path} cannot be read: {error.strerror}") from error
    if not is_regular:
        raise NoSecretError(f"{path} is not a regular file")
    if len(content) > LARGEST_FILE:
        raise NoSecretError(f"{path} is too large for a secret")
    return content.decode("utf-8", "replace")
