"""Calls what is due again and again.

Owns: that a call which fails ends the process, where a scheduler would go on without it.
Must not: know what it calls.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

from reconciler.runtime.ticker import Ticker


class Ticks:
    """Makes each of the calls again and again. A call is given with the seconds between two of them."""

    name = "ticks"
    grace = 0.0

    def __init__(
        self, ticker: Callable[[], Ticker], calls: Sequence[tuple[float, Callable[[], None]]]
    ) -> None:
        self._ticker_of, self._calls = ticker, calls
        self._ticker: Ticker | None = None
        self._failed: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        """Tick until a call fails, and raise its error."""
        self._ticker = self._ticker_of()
        for seconds, call in self._calls:
            self._ticker.every(seconds, partial(self._guarded, call))
        raise await self._failed

    def stop(self) -> None:
        """Make no further tick."""
        if self._ticker is not None:
            self._ticker.stop()
            self._ticker = None

    def _guarded(self, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception as error:  # noqa: BLE001 - raised again in ``run``
            if not self._failed.done():
                self._failed.set_result(error)
