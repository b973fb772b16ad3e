"""The pages of a large daemon: the time and memory of an answer, its length, and what readers cost a running pass."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from benchmarks import Row, at_least, at_most, compared, turns
from benchmarks._answering import answering, devices_of, told
from benchmarks._large_daemon import (
    BIG,
    Daemon,
    Fleet,
    Measured,
    Reader,
    asked,
    measured,
    running,
    until,
    write_fleet,
    write_one_account,
)

LATENCY_SECONDS = 0.01
KEPT_TIMES, KEPT_SECONDS = 20.0, 2.0
"""An answer is reused for this many times as long as it took, and no longer than this."""
PROBE_SECONDS = 0.01
SLOWEST = at_most(1000, absolute=True)
MOST_MEMORY = at_most(100, absolute=True)
PASSES_KEPT = at_least(0.9)
PASSES_KEPT_BUSY = at_least(0.6)


class Size(NamedTuple):
    """How much is measured: a fleet, a smaller one beside it, and one account of very many devices."""

    large: Fleet
    small: Fleet
    one_account: int
    answers: int
    pairs: int
    seconds: float


FULL = Size(Fleet(10_000, 100, 10_000), Fleet(100, 100, 10_000), 1_000_000, 10, 4, 6.0)
QUICK = Size(Fleet(300, 20, 2_000), Fleet(30, 20, 2_000), 20_000, 5, 2, 3.0)


class Page(NamedTuple):
    """A page of which one answer after the other is asked for. ``at`` gives the address of each."""

    what: str
    at: Callable[[int], str]


def rows(*, quick: bool) -> Iterator[Row]:
    """Ask two idle daemons in turns, then one of a single large account, then one that never rests."""
    size = QUICK if quick else FULL
    with tempfile.TemporaryDirectory() as at:
        yield from _of_fleets(Path(at), size)
        yield from _of_one_account(Path(at), size)


def _of_fleets(folder: Path, size: Size) -> Iterator[Row]:
    large = size.large
    for fleet, at in ((large, folder / "large"), (size.small, folder / "small")):
        write_fleet(at, fleet)
    with answering(large.devices, LATENCY_SECONDS, large.others) as base_url:
        with ExitStack() as both:
            daemons = (
                both.enter_context(_swept(folder / "large", base_url, large)),
                both.enter_context(_swept(folder / "small", base_url, size.small)),
            )
            every: list[Measured] = []
            for pages in zip(_pages(large), _pages(size.small), strict=True):
                row, found = _beside(daemons, pages, size)
                yield row
                every += found
            yield _memory(f"{large.accounts:,} accounts", every)
        with running(folder / "large", base_url, "1s") as daemon:
            yield from _cost_of_readers(daemon, base_url, size)


@contextmanager
def _swept(folder: Path, base_url: str, fleet: Fleet) -> Iterator[Daemon]:
    """Give a daemon that rests, once every account had its first pass."""
    before = told(base_url)[0]
    with running(folder, base_url, "1h") as daemon:
        until(lambda: told(base_url)[0] > before + fleet.accounts)
        yield daemon


def _of_one_account(folder: Path, size: Size) -> Iterator[Row]:
    count, name = size.one_account, BIG
    what = f"one account of {count:,} devices"
    write_one_account(folder / "one", name, count)
    with (
        answering(count, LATENCY_SECONDS) as base_url,
        running(folder / "one", base_url, "1h") as daemon,
    ):
        every: list[Measured] = []
        for page in _pages_of_one_account(name, count):
            found = [_fresh(daemon, page, number) for number in range(size.answers)]
            yield _row(f"{what}, {page.what}", found)
            every += found
        yield _memory(what, every)


def _pages(fleet: Fleet) -> Sequence[Page]:
    """Return the pages of a fleet. Where an address can vary, no answer is one that was reused."""
    names, big = fleet.names, f"/accounts/{BIG}"
    devices = devices_of(BIG, fleet.big)
    word = "-0001"
    return (
        Page("/", lambda _: "/"),
        Page("/accounts", lambda _: "/accounts"),
        Page("/accounts, the last page", lambda _: f"/accounts?page={len(names) // 100}"),
        Page("an account", lambda number: f"/accounts/{names[-1 - number]}"),
        Page(f"an account of {fleet.big:,} devices", lambda _: big),
        Page(
            f"the same, a word in {fleet.big:,} devices", lambda number: f"{big}?q={word}{number}"
        ),
        Page("a device", lambda number: f"{big}/devices/{devices[-1 - number]}"),
        Page("/history", lambda _: "/history"),
        Page("/history of one account", lambda number: f"/history?account={names[number]}"),
        Page("/search", lambda number: f"/search?q={names[-1 - number]}"),
        Page("/search, nothing found", lambda number: f"/search?q=nowhere-{number}"),
        Page("/api/v1/status", lambda _: "/api/v1/status"),
        Page("/api/v1/device-states", lambda number: f"/api/v1/device-states?limit={900 + number}"),
        Page("/api/v1/device-states held", lambda _: "/api/v1/device-states?state=held"),
    )


def _pages_of_one_account(name: str, count: int) -> Sequence[Page]:
    page, device = f"/accounts/{name}", devices_of(name, 1)[0]
    last = f"-{count - 1:07}"
    return (
        Page("/", lambda _: "/"),
        Page("its page", lambda _: page),
        Page("a word in its devices", lambda number: f"{page}?q={last[:-2]}{number:02}"),
        Page("a device", lambda _: f"{page}/devices/{device}"),
        Page("/search, nothing found", lambda number: f"/search?q=nowhere-{number}"),
        Page("/api/v1/device-states", lambda number: f"/api/v1/device-states?limit={900 + number}"),
    )


def _beside(
    daemons: tuple[Daemon, Daemon], pages: tuple[Page, Page], size: Size
) -> tuple[Row, Sequence[Measured]]:
    """Ask both daemons for the same page in turns."""
    found: tuple[list[Measured], list[Measured]] = ([], [])
    for number, order in enumerate(turns(size.answers)):
        for place in order:
            found[place].append(_fresh(daemons[place], pages[place], number))
    what = f"{size.large.accounts:,} accounts, {pages[0].what}"
    return _row(what, found[0], found[1], f"{size.small.accounts:,} accounts"), found[0]


def _row(
    what: str, ours: Sequence[Measured], others: Sequence[Measured] = (), against: str = ""
) -> Row:
    """Return the row of one page: the time of an answer, beside that of a smaller daemon."""
    times, theirs = _times(ours), _times(others)
    longest = max(one.reply.length for one in ours) / 1000
    return Row(
        what,
        statistics.median(times),
        "ms",
        statistics.median(theirs) if theirs else None,
        against,
        [one / two for one, two in zip(times, theirs, strict=True)] if theirs else (),
        SLOWEST,
        f"the slowest of {len(times)}: {max(times):,.0f} ms; at most {longest:,.0f} kB",
    )


def _memory(what: str, found: Sequence[Measured]) -> Row:
    """Return what an answer added at most. The first one brings what is kept from then on."""
    added = max(one.added for one in found) / 1e6
    grown = (found[-1].idle - found[0].idle) / 1e6
    return Row(
        f"{what}, memory that one answer adds at most",
        added,
        "MB",
        target=MOST_MEMORY,
        remark=f"{found[0].idle / 1e6:,.0f} MB before the first, {grown:,.0f} more after the last",
    )


def _times(found: Sequence[Measured]) -> list[float]:
    """Return the times in milliseconds."""
    return [one.reply.seconds * 1000 for one in found]


def _of_a_hundred(times: Sequence[float], part: int) -> float:
    """Return the time within which this part of a hundred answers came."""
    ordered = sorted(times)
    return ordered[min(len(ordered) * part // 100, len(ordered) - 1)]


def _fresh(daemon: Daemon, page: Page, number: int) -> Measured:
    """Ask for a page, and then wait until the same question would be answered anew."""
    found = measured(daemon, page.at(number))
    time.sleep(min(KEPT_TIMES * found.reply.seconds, KEPT_SECONDS))
    return found


def _cost_of_readers(daemon: Daemon, base_url: str, size: Size) -> Iterator[Row]:
    """Let a daemon that never rests have a reader and none in turn."""
    what = f"{size.large.accounts:,} accounts, passes a second beside"
    paths = [page.at(0) for page in _pages(size.large)]
    for rest, words, target in (
        (1.0, "one page a second", PASSES_KEPT),
        (0.0, "a reader without a rest", PASSES_KEPT_BUSY),
    ):
        reader = Reader(daemon.host, paths, rest)
        rates, probes = [], []
        for order in turns(size.pairs):
            pace: dict[int, _Pace] = {}
            for place in order:
                with reader.reading(on=place == 0):
                    pace[place] = _pace(daemon, base_url, size.seconds)
            rates.append((pace[0].passes, pace[1].passes))
            probes.append((pace[0].probe * 1000, pace[1].probe * 1000))
        remark = f"{reader.rate:.2g} pages a second"
        yield compared(f"{what} {words}", rates, "/s", "no reader", target, remark=remark)
        yield compared(
            f"the same: 99 % of /healthz within, beside {words}", probes, "ms", "no reader"
        )


class _Pace(NamedTuple):
    """Passes a second, and the time within which 99 of 100 probes were answered."""

    passes: float
    probe: float


def _pace(daemon: Daemon, base_url: str, seconds: float) -> _Pace:
    """Probe a running daemon for a while, and count the lists that LG was asked for: each pass asks for one."""
    before, began = told(base_url)[0], time.monotonic()
    probes = []
    while time.monotonic() - began < seconds:
        probes.append(asked(daemon.host, "/healthz").seconds)
        time.sleep(PROBE_SECONDS)
    lists = told(base_url)[0] - before
    return _Pace(lists / (time.monotonic() - began), _of_a_hundred(probes, 99))
