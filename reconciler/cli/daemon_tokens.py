"""Which token a command shows to the daemon, by the settings.

Owns: the choice between the token for reading and the one for acting. Must not: send it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from reconciler.core.errors import ReconcilerError

if TYPE_CHECKING:
    from reconciler.pcc.secret_files import SecretReader
    from reconciler.runtime.settings import Settings

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


def for_acting(chosen: Settings) -> str | None:
    """Return the token for a call that acts. Where there is only one for reading, that opens the port."""
    return _value(chosen.listen_token_reader()) or _value(chosen.read_token_reader())


def for_reading(chosen: Settings, server: str) -> str | None:
    """Return the token for a call that reads. The one for acting reads too, and never goes over a readable network.

    Such a call may need no token at all, so it is made without one.
    """
    reading = _value(chosen.read_token_reader())
    return reading or (_value(chosen.listen_token_reader()) if _is_private(server) else None)


def _is_private(server: str) -> bool:
    """Say whether nobody else can read what is sent to an address."""
    try:
        parts = urlsplit(server)
    except ValueError:  # whoever sends says what is wrong with it
        return False
    return parts.scheme == "https" or parts.hostname in LOOPBACK


def _value(reader: SecretReader | None) -> str | None:
    """Return a secret as it is now; raises ``ReconcilerError`` where it cannot be read."""
    secret = None if reader is None else reader.read()
    if isinstance(secret, str):
        raise ReconcilerError(secret)
    return None if secret is None else secret.get_secret_value()
