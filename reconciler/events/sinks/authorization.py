"""The Authorization header by which a receiving system lets our calls in.

Owns: what its file may hold, and which parts of it are secret. Must not: send anything, or show a value in a fault.

The file has the header's whole value, such as ``Bearer abc``: the scheme is the receiving system's choice. It is read
for each event, so a new value counts at once.
"""

from __future__ import annotations

import base64
import binascii
from pathlib import Path

from reconciler.events.sinks.secret_file import NoSecretError, text_in

SHORTEST_MASKED = 4
"""Characters. Shorter parts are in too many other words to be masked everywhere."""


def authorization_in(path: Path) -> str:
    """Return the header's value as it is in a file now, or raise ``NoSecretError`` with why there is none."""
    lines = [line.strip() for line in text_in(path).splitlines() if line.strip()]
    if not lines:
        raise NoSecretError(f"{path} is empty")
    if len(lines) > 1:
        raise NoSecretError(f"{path} has more than one line")
    (value,) = lines
    if not (value.isascii() and value.isprintable()):
        raise NoSecretError(f"{path} has characters that a header cannot have")
    return value


def secrets_of(value: str) -> frozenset[str]:
    """Return what of a header's value must not be shown: of Basic authentication the password, too."""
    scheme, _, credentials = value.partition(" ")
    parts = {value, credentials.strip()}
    if scheme.lower() == "basic":
        parts |= _decoded(credentials.strip())
    return frozenset(part for part in parts if len(part) >= SHORTEST_MASKED)


def _decoded(credentials: str) -> set[str]:
    try:
        pair = base64.b64decode(credentials, validate=True).decode()
    except (binascii.Error, ValueError):
        return set()
    return {pair, pair.partition(":")[2]}
