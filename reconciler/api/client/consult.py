"""Asks the running daemon, or if no daemon answers the local files and the saved state, and records which.

Owns: the paths of the queries, the conversion of the daemon's JSON to values, and the fallback.
Must not: print, or judge an answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any, Generic, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from reconciler.core.errors import DaemonError, NoDaemon, Unknown, quoted, suggestion
from reconciler.reporting import StatusReport, queries
from reconciler.reporting.at_hand import AtHand
from reconciler.reporting.devices import DeviceList, Devices, listed
from reconciler.reporting.queries import (
    LONGEST_PAGE,
    AccountDetail,
    DeviceExplanation,
    Page,
    RefusedReport,
)

Report = TypeVar("Report")


@dataclass(frozen=True, slots=True)
class Answer(Generic[Report]):
    """An answer, who gave it, and what a person should know about that."""

    report: Report
    by: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Consultation:
    """Who can be asked. ``get`` asks the daemon at ``address``; ``at_hand`` is None if only the daemon may answer."""

    address: str
    get: Callable[[str], dict[str, Any]]
    at_hand: Callable[[], AtHand] | None = None

    def status(self, revision: str | None = None) -> StatusReport:
        """Return where everything is, by the daemon alone; raises ``DaemonError``.

        ``revision``: a commit, of which the status says whether it is in the history of what is in force.
        """
        query = "" if revision is None else f"?{urlencode({'revision': revision})}"
        return self._get(f"/api/v1/status{query}", StatusReport)

    def refused(self, status: StatusReport) -> Sequence[RefusedReport]:
        """Return the devices that LG refuses, of the accounts in a status."""
        found: list[RefusedReport] = []
        for one in status.accounts:
            if one.refused:
                found += self._get(
                    f"/api/v1/accounts/{quote(one.account, safe='')}", AccountDetail
                ).refused_devices
        return found

    def explain(self, device: str, account: str | None) -> Answer[DeviceExplanation]:
        """Return what is known of a device; raises ``Unknown``."""
        query = {"device": device} | ({"account": account} if account is not None else {})
        return self._answer(
            lambda: self._get(f"/api/v1/devices?{urlencode(query)}", DeviceExplanation),
            lambda at_hand: queries.explain(at_hand.known, device, account),
        )

    def devices(self, asked: Mapping[str, str], limit: int) -> Answer[DeviceList]:
        """Return the list of devices, as many as ``limit`` says, page by page; raises ``Unknown``."""
        kept = Devices()

        def ask(query: Mapping[str, str]) -> DeviceList:
            return self._get(f"/api/v1/device-states?{urlencode(query)}", DeviceList)

        def look(at_hand: AtHand) -> DeviceList:
            def page(query: Mapping[str, str]) -> DeviceList:
                return kept.page(at_hand.known, listed(query))

            return _listed(page, asked, limit)

        return self._answer(lambda: _listed(ask, asked, limit), look)

    def history(self, asked: Mapping[str, str], limit: int) -> Answer[Page]:
        """Return past changes, newest first, as many as ``limit`` says, page by page."""

        def ask(query: Mapping[str, str]) -> Page:
            return self._get(f"/api/v1/history?{urlencode(query)}", Page)

        return self._answer(
            lambda: _read(ask, asked, limit),
            lambda at_hand: _read(partial(_past, at_hand), asked, limit),
        )

    def _answer(
        self, ask: Callable[[], Report], otherwise: Callable[[AtHand], Report]
    ) -> Answer[Report]:
        try:
            return Answer(ask(), f"the daemon at {self.address}")
        except NoDaemon as error:
            if self.at_hand is None:
                raise
            at_hand = self.at_hand()
            notes = (f"{error}; using {at_hand.sources} instead", *at_hand.notes)
            return Answer(otherwise(at_hand), f"{at_hand.sources}, as no daemon answered", notes)

    def _get(self, path: str, kind: type[Report]) -> Report:
        answer = self.get(path)
        try:
            return _with_zones(msgspec.convert(answer, kind))
        except (msgspec.ValidationError, RecursionError) as error:
            why = quoted(str(error))
            raise DaemonError(
                f"the daemon at {self.address} answers as another version would: {why}"
            ) from error


def _read(page: Callable[[Mapping[str, str]], Page], asked: Mapping[str, str], limit: int) -> Page:
    """Return the pages of past changes as one, with at most ``limit`` changes."""
    found = page({**asked, "limit": str(min(limit, LONGEST_PAGE))})
    while found.next is not None and len(found.changes) < limit:
        left = min(limit - len(found.changes), LONGEST_PAGE)
        older = page({**asked, "limit": str(left), "before": found.next})
        found = replace(found, changes=(*found.changes, *older.changes), next=older.next)
    return found


def _listed(
    page: Callable[[Mapping[str, str]], DeviceList], asked: Mapping[str, str], limit: int
) -> DeviceList:
    """Return parts of the list of devices as one, with at most ``limit`` devices."""
    found = page({**asked, "limit": str(min(limit, LONGEST_PAGE))})
    rows = list(found.devices)
    following = found.next
    while following is not None and len(rows) < limit:
        left = min(limit - len(rows), LONGEST_PAGE)
        more = page({**asked, "limit": str(left), "after": following})
        rows += more.devices
        following = more.next
    return replace(found, devices=tuple(rows), next=following)


def _past(at_hand: AtHand, query: Mapping[str, str]) -> Page:
    """Return past changes by the state; raises ``StateError`` where there is none."""
    at_hand.insist_on_state()
    return queries.history(at_hand.known, queries.wanted(query, at_hand.known.now))


def _with_zones(report: Report) -> Report:
    """Return a report in which every moment has its zone; raises ``ValidationError`` where one has none."""
    left: list[object] = [report]
    while left:
        match left.pop():
            case datetime(tzinfo=None):
                raise msgspec.ValidationError("a moment without its zone")
            case dict() as each:
                left += each.values()
            case list() | tuple() as each:
                left += each
            case each if is_dataclass(each):
                left += [getattr(each, one.name) for one in fields(each)]
    return report


def only(status: StatusReport, accounts: Sequence[str]) -> StatusReport:
    """Return a status of these accounts only, or of all where none is named; raises ``Unknown``."""
    there = {one.account: one for one in status.accounts}
    for name in accounts:
        if name not in there:
            raise Unknown(f"there is no account {quoted(name)!r}{suggestion(name, there)}")
    chosen = tuple(there[name] for name in dict.fromkeys(accounts))
    return replace(status, accounts=chosen) if accounts else status
