"""Signatures by which a receiving system knows that an event comes from us.

Owns: the form of Standard Webhooks (https://www.standardwebhooks.com): what is signed, how a secret is written, and the
headers. Must not: send anything, or show a secret in a fault.

A secret is 24 bytes or more in base64, as a rule with ``whsec_`` before it. Two lines in the file are two secrets, the
old and the new one while they are rotated: each signs, and the receiving system needs only one of them to match.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from reconciler.events.sinks.secret_file import NoSecretError, text_in

PREFIX = "whsec_"
SHORTEST_SECRET = 24
"""Bytes. The standard's own lower bound."""
MOST_SECRETS = 2


@dataclass(frozen=True, slots=True)
class Secret:
    """One secret: as it is written, for masking, and its bytes, which sign."""

    written: str = field(repr=False)
    key: bytes = field(repr=False)


def signature(secrets: Sequence[Secret], id: str, timestamp: int, body: bytes) -> str:  # noqa: A002 - CloudEvents' word
    """Return the header ``webhook-signature``. ``timestamp`` is in epoch seconds, as in ``webhook-timestamp``."""
    signed = f"{id}.{timestamp}.".encode() + body
    return " ".join(_signed(secret, signed) for secret in secrets)


def secrets_in(path: Path) -> tuple[Secret, ...]:
    """Return the secrets in a file as they are now, or raise ``NoSecretError`` with why there are none.

    The file is read for each event: so a new secret counts at once, and the file is small.
    """
    lines = [line.strip() for line in text_in(path).splitlines()]
    written = [line for line in lines if line]
    if not written:
        raise NoSecretError(f"{path} is empty")
    if len(written) > MOST_SECRETS:
        raise NoSecretError(f"{path} has more than {MOST_SECRETS} lines, which are one secret each")
    return tuple(_secret(path, one) for one in written)


def _signed(secret: Secret, content: bytes) -> str:
    digest = hmac.new(secret.key, content, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


def _secret(path: Path, written: str) -> Secret:
    encoded = written.removeprefix(PREFIX).rstrip("=")
    padding = "=" * (-len(encoded) % 4)
    try:
        key = base64.b64decode(encoded + padding, validate=True)
    except (binascii.Error, ValueError):  # its words would quote the secret
        raise NoSecretError(f"{path} has no secret in base64, such as {PREFIX}...") from None
    if len(key) < SHORTEST_SECRET:
        raise NoSecretError(f"{path} has a secret of fewer than {SHORTEST_SECRET} bytes")
    return Secret(written, key)
