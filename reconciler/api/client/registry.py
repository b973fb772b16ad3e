"""Asks a running daemon for LG's registry, so that ``resolve`` in CI needs no credential of LG.

Owns: how the answer of ``GET /api/v1/registry`` is read. Must not: print, or judge a registry.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from reconciler.core.errors import DaemonError, ReconcilerError
from reconciler.core.model import AccountName, DeviceId
from reconciler.core.rules import Registered, Registry
from reconciler.desired.ids import is_id

Ask = Callable[[str], dict[str, Any]]
"""Asks the daemon for a path and returns its answer."""


class AskingDaemon:
    """Asks the daemon what it read of LG's registry last, at most an hour ago while LG answers."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    async def of(self, account: AccountName) -> Registry:
        """Return the registry of an account as the daemon read it. Raises ``ReconcilerError``."""
        query = urlencode({"account": account})
        answer = await asyncio.to_thread(self._ask, f"/api/v1/registry?{query}")
        try:
            (found,) = answer["accounts"]
            return _registry(found)
        except (LookupError, TypeError, ValueError) as error:
            raise DaemonError(
                "what answers is not this daemon, or one of another version"
            ) from error


def _registry(found: dict[str, Any]) -> Registry:
    if found["replica"]:
        raise ReconcilerError(
            f"replica {found['replica']} works on this account: name that one with --server"
        )
    if found["trouble"] or found["read"] is None:
        raise ReconcilerError(
            found["trouble"] or "the daemon has not read LG's registry of this account yet"
        )
    devices = tuple(_device(one) for one in found["devices"])
    return Registry(devices, datetime.fromisoformat(found["read"]))


def _device(one: dict[str, Any]) -> Registered:
    device = one["id"]
    if not isinstance(device, str) or not is_id(device):
        raise TypeError("not a device id")
    return Registered(
        DeviceId(device), _text(one["type"]), _text(one["alias"]), _text(one["model"])
    )


def _text(word: object) -> str | None:
    return word if isinstance(word, str) else None
