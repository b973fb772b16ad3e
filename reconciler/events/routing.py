"""Which sinks an event goes to.

Owns: the filters of sinks. They narrow, and never lose: what a filter cannot judge passes.
Must not: deliver anything, or wait for anything: it is called in the transaction that stores.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from reconciler.desired import matches
from reconciler.events.config import SinkConfig
from reconciler.events.describing import describe
from reconciler.events.model import SELF_TEST, Message
from reconciler.events.port import Directory, Logic


@dataclass(frozen=True, slots=True)
class ChosenRoute:
    """Where a message goes, and what was known about it when it was stored."""

    sinks: tuple[str, ...]
    account: str | None
    category: str | None


class SinkRouter:
    """Chooses by the sinks that are in force, which are exchanged as a whole. May be asked from any thread."""

    def __init__(self, directory: Directory, logic: Logic) -> None:
        self._directory = directory
        self._logic = logic
        self._sinks: Mapping[str, SinkConfig] = MappingProxyType({})

    def enforce(self, sinks: Mapping[str, SinkConfig]) -> None:
        """Choose among these from now on."""
        self._sinks = sinks

    def route(self, message: Message) -> ChosenRoute:
        """Return where a message goes. A self-test goes nowhere."""
        if message.push_type == SELF_TEST:
            return ChosenRoute((), None, None)
        known = describe(message, self._directory, self._logic)
        account = None if known.device is None else known.device.account
        category = None if known.diagnosis is None else known.diagnosis.category
        chosen = [
            sink.name
            for sink in self._sinks.values()
            if passes(sink, message.push_type, account, category)
        ]
        return ChosenRoute(tuple(chosen), account, category)


def passes(sink: SinkConfig, push_type: str, account: str | None, category: str | None) -> bool:
    """Return whether the filters of a sink let an event pass. None is what is not known."""
    if push_type not in sink.push_types:
        return False
    if sink.categories is not None and category is not None and category not in sink.categories:
        return False
    if sink.accounts is None or account is None:
        return True
    return any(matches(account, pattern) for pattern in sink.accounts)
