"""What every pass works with.

Owns: the list of it, so that a test can hand in its own clock, randomness and way to a worker thread.
Must not: hold anything of one account or one pass.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from random import random as system_random
from typing import Any, Protocol
from uuid import uuid4

from reconciler.controller.hearing import Hearing
from reconciler.controller.registries import Registries
from reconciler.controller.tenure import Alone, Tenure
from reconciler.core.acceptance import Claims
from reconciler.core.backoff import Random
from reconciler.core.clock import Clock, TwoClocks
from reconciler.core.model import AccountName
from reconciler.state import State
from reconciler.telemetry.metrics import Metrics


class PassObserver(Protocol):
    """Follows the changes of passes, for a progress bar: how many are about to be made, and each that is done."""

    def changes(self, count: int) -> None:
        """Hear that this many more changes are about to be made."""

    def change_done(self) -> None:
        """Hear that one of them was made, failed or was refused."""


def _never() -> bool:
    return False


def _wake_nobody(_accounts: Iterable[AccountName]) -> None:
    return None


def _random_pass_id() -> str:
    return uuid4().hex[:12]


@dataclass(frozen=True, slots=True)
class Dependencies:
    """What every pass works with. ``wake`` asks for passes of other accounts, ``claims`` knows what these want.

    ``blocking`` runs what may wait for a disk beside the event loop. ``hearing`` takes what events say, where receivers
    are asked. ``registries`` has LG's registries of accounts with rules. ``tenure`` knows which accounts other replicas
    work on.
    """

    state: State
    metrics: Metrics
    interval: timedelta
    concurrency: int
    confirm_delay: timedelta
    clock: Clock
    two_clocks: TwoClocks | None = None
    claims: Claims = field(default_factory=Claims)
    observing: bool = False
    random: Random = system_random
    stopping: Callable[[], bool] = _never
    wake: Callable[[Iterable[AccountName]], None] = _wake_nobody
    observer: PassObserver | None = None
    hearing: Hearing | None = None
    registries: Registries = field(default_factory=Registries)
    tenure: Tenure = field(default_factory=Alone)
    blocking: Callable[..., Awaitable[Any]] = asyncio.to_thread
    pass_id: Callable[[], str] = _random_pass_id
