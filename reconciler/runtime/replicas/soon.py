"""Does something in a moment, once for all who ask for it until then.

Owns: that delay. Must not: know what is done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Soon:
    """Calls something some seconds after it was asked for the first time. For the event loop."""

    def __init__(self, seconds: float, call: Callable[[], None]) -> None:
        self._seconds, self._call = seconds, call
        self._timer: asyncio.TimerHandle | None = None

    def ask(self) -> None:
        """Let it be done."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._seconds, self._do)

    def _do(self) -> None:
        self._timer = None
        self._call()
