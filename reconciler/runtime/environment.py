"""What a process depends on outside itself: time, chance, the network, the disk, and the kernel's news of files.

Owns: the one list of everything that settings, files and LG's answers do not decide, each with its real form. A
simulation hands in others, and so runs the same program as production. Must not: hold a rule of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from random import random as system_random
from uuid import UUID, uuid4

from reconciler.api.client.receivers import Ask, ask_receiver
from reconciler.core.backoff import Random
from reconciler.core.clock import Clock
from reconciler.core.watch import Watch
from reconciler.pcc.transport import Transport
from reconciler.runtime.apart import Apart, apart
from reconciler.runtime.clock import SystemClock
from reconciler.runtime.replicas.clock import boottime
from reconciler.source import Look, signature
from reconciler.source.watch import watch
from reconciler.state import Connect, connect
from reconciler.state.coordination import Coordination
from reconciler.state.port import Storage


def ignore_address(_url: str) -> None:
    """Take the address of a process that nobody waits for."""


def no_lines_dropped() -> int:
    """Return the number of lost log lines where lines are written at once."""
    return 0


@dataclass(frozen=True, slots=True)
class Shared:
    """A state that several replicas share. ``lease`` is in seconds, ``boottime`` in seconds since boot."""

    storage: Storage
    coordination: Coordination
    lease: float
    boottime: Callable[[], float] = boottime


def alone() -> Shared | None:
    """Return no shared state: this process has its own."""
    return None


@dataclass(frozen=True, slots=True)
class Environment:
    """Everything around the program. Without ``transport`` calls go to the network.

    ``unique`` makes the ids of passes and messages. ``connect`` opens the state's file. ``look`` tells whether a file
    changed, and ``file_time`` is the time by which files are dated, in epoch seconds. ``shared`` opens the state that
    several replicas share, where there is one. ``ask_receiver`` asks a receiver of events, and waits where ``apart``
    says.
    """

    clock: Clock = field(default_factory=SystemClock)
    random: Random = system_random
    unique: Callable[[], UUID] = uuid4
    transport: Transport | None = None
    connect: Connect = connect
    watch: Watch = watch
    look: Look = signature
    file_time: Callable[[], float] = time.time
    shared: Callable[[], Shared | None] = alone
    ask_receiver: Ask = ask_receiver
    apart: Apart = apart
