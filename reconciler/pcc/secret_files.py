"""Secrets that lie in files, read again only when a file changed.

Owns: reading small files, and a value that is given either directly or as the path of a file.
Must not: know what a secret is for, or show a value in a fault: a fault names the setting or the file to fix.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from pydantic import SecretStr

from reconciler.core.errors import StateError
from reconciler.pcc.checks import check_secret

LARGEST = 64 * 1024
"""No credential is longer, in bytes. A larger file is something else, put there by mistake."""

_SETTLES = 2.0
"""Seconds for which a file's stat cannot be trusted: a second write within one tick of the file system's clock shows
the same modification time."""


@dataclass(frozen=True, slots=True)
class Given:
    """One of the service's own values: given directly, or as the path of its file. Neither means not set."""

    name: str
    value: SecretStr | None = None
    path: Path | None = None

    @property
    def is_set(self) -> bool:
        """Say whether there is a value, or a place that should have one."""
        return self.value is not None or self.path is not None


@dataclass(frozen=True, slots=True)
class Found:
    """A value and the words for where it was; or, with ``fault``, why it is not available there."""

    origin: str
    value: str = ""
    fault: str | None = None
    written: float | None = field(default=None, compare=False)


class _Known(NamedTuple):
    signature: tuple[int, int, int]
    settled: bool
    found: Found


class SecretFiles:
    """Small files, each read again only when its stat says that it changed."""

    def __init__(self, wall: Callable[[], float]) -> None:
        self._wall = wall  # the file system's own time, not that of a simulated day: it is compared with mtimes
        self._known: dict[str, _Known] = {}

    def read(self, path: Path, origin: str) -> Found:
        """Return what the file holds, without the line end that editors add. ``origin`` names it, here and in faults.

        A file that cannot be read is not remembered: it is tried anew each time.
        """
        known = self._known.get(origin)
        try:
            status = path.stat()
            signature = (status.st_mtime_ns, status.st_size, status.st_ino)
            if known is not None and known.settled and known.signature == signature:
                return known.found
            settled = self._wall() - status.st_mtime > _SETTLES
            found = Found(origin, value=_contents(path, status), written=status.st_mtime)
        except (OSError, ValueError) as error:
            self._known.pop(origin, None)
            return Found(origin, fault=f"{origin} {_why(error)}")
        if known is not None and known.found == found:
            found = known.found  # the same object as before: what was made of it still holds
        self._known[origin] = _Known(signature, settled, found)
        return found


def _contents(path: Path, status: os.stat_result) -> str:
    """Return the content of a regular file; a pipe put in its place must not block the pass."""
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("is not a regular file")
    with path.open("rb") as file:
        data = file.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise ValueError(f"is too big for a credential: more than {LARGEST // 1024} KiB")
    try:
        return data.decode().rstrip("\r\n")
    except UnicodeDecodeError:  # its words would quote the bytes
        raise ValueError("is not UTF-8 text") from None


def _why(error: OSError | ValueError) -> str:
    return f"cannot be read: {error.strerror}" if isinstance(error, OSError) else str(error)


class SecretReader:
    """One secret of the service's own that may be replaced while it runs. ``check`` says what is a usable one."""

    def __init__(
        self,
        given: Given,
        wall: Callable[[], float] = time.time,
        check: Callable[[str], str] = check_secret,
    ) -> None:
        self._given, self._check = given, check
        self._files = SecretFiles(wall)

    @property
    def name(self) -> str:
        """Return the setting that gives the secret."""
        return self._given.name

    def read(self) -> SecretStr | str:
        """Return the secret as it is now, or the sentence that says why there is none (a plain ``str``)."""
        found = look_up(self._given, self._files)
        if found is None:
            return f"{self._given.name} is not set"
        if found.fault is not None:
            return found.fault
        try:
            return SecretStr(self._check(found.value))
        except ValueError as error:
            return f"{found.origin} {error}"

    def required(self) -> str:
        """Return the secret as it is now. Raises ``StateError`` with the sentence that says why there is none."""
        found = self.read()
        if isinstance(found, str):
            raise StateError(found)
        return found.get_secret_value()


def look_up(given: Given, files: SecretFiles) -> Found | None:
    """Return one of the service's own values from where it is given; None where it is not set."""
    if given.value is not None:
        return Found(given.name, given.value.get_secret_value())
    if given.path is not None:
        return files.read(given.path, f"the file that {given.name}_FILE names")
    return None
