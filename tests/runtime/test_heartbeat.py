"""Heartbeats to the outside: a real small server, the daemon, secrets, and that nothing outside disturbs a pass."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from disks import StandingClock
from hooks import CLOSE, OK, Hooks, Script, answer, hooks
from reconciler.pcc.proxies import Proxies
from reconciler.pcc.secret_files import Given, SecretReader
from reconciler.reporting import StatusReport
from reconciler.reporting.heartbeat import Beat, Punctuality, Verdict
from reconciler.reporting.status import TextReport
from reconciler.runtime import heartbeat
from reconciler.runtime.heartbeat import LONGEST, Heartbeats
from reconciler.runtime.services.heartbeat import HeartbeatService
from reconciler.simulator import Route
from reconciler.simulator import faults as effects
from reconciler.telemetry.masking import MASK, Masking
from scenarios import Site, command, eventually, fault, fleet, free_port, owned, site, text, write

SOON = 0.05
KEY = "0f1e2d3c-aaaa-bbbb-cccc-0123456789ab"
NOW = datetime(2026, 11, 30, 10, tzinfo=UTC)
STATUS = StatusReport(
    version="1",
    at=NOW,
    mode="enforce",
    well=True,
    summary="All is well.",
    text=TextReport("x", None, "x", None, (), (), "file", NOW, ""),
    accounts=(),
    abandoned=(),
)


class Judged(Punctuality):
    """Judges as a test says."""

    def __init__(self) -> None:
        super().__init__(timedelta(minutes=20), NOW)
        self.verdict = Verdict.ON_TIME

    def judge(self, status: StatusReport) -> Beat:
        """Return what the test says."""
        return Beat(self.verdict, f"{status.summary}\nline of {self.verdict}\n")


@dataclass
class Around:
    """A service that sends, and what surrounds it."""

    judged: Judged
    lines: list[Any]
    masking: Masking
    taken: list[float] = field(default_factory=list)
    lives: bool = True

    def named(self, event: str) -> list[Any]:
        """Return the lines of one event of the log."""
        return [line for line in self.lines if line["event"] == event]


class Shown:
    """What the metric shows."""

    def __init__(self, around: Around) -> None:
        self._around = around

    def taken(self, at: float) -> None:
        """Take a moment."""
        self._around.taken.append(at)


async def status() -> StatusReport:
    """Return the status."""
    return STATUS


@asynccontextmanager
async def sending(url: str | Path) -> AsyncIterator[Around]:
    """Send heartbeats all the time; ``url`` is an address, or the file that has it."""
    given = (
        Given("PCC_HEARTBEAT_URL", None, url)
        if isinstance(url, Path)
        else Given("PCC_HEARTBEAT_URL", SecretStr(url))
    )
    masking, clock = Masking(), StandingClock()
    with capture_logs() as lines:
        around = Around(Judged(), lines, masking)
        service = HeartbeatService(
            Heartbeats(SecretReader(given), Proxies(), masking, clock),
            status,
            around.judged,
            Shown(around),
            clock,
            member=around,
            every=SOON,
        )
        running = asyncio.create_task(service.run())
        yield around
        service.stop()
        await asyncio.wait_for(running, 20)


def pinged(outside: Hooks) -> list[str]:
    """Return the paths that were called, in their order."""
    return [one.head.split()[1] for one in outside.posted]


async def test_a_heartbeat_is_a_post_with_the_pages_sentence() -> None:
    """It goes to the address itself, as text; the last one that was taken is the metric."""
    async with hooks(lambda _: OK) as outside, sending(outside.url) as around:
        await eventually(lambda: len(outside.posted) > 1 and len(around.taken) > 1)
    first = outside.posted[0]
    assert first.head.startswith("POST /pcc?tenant=7 ")
    assert first.body.decode().splitlines()[0] == "All is well."
    assert first.headers["content-type"].startswith("text/plain")
    assert around.named("heartbeat.failed") == []


async def test_a_late_account_is_a_call_to_fail() -> None:
    """With the sentence and the accounts as its text, before the query; the log has one line at each turn."""
    async with hooks(lambda _: OK) as outside, sending(outside.url) as around:
        await eventually(lambda: around.taken)
        around.judged.verdict = Verdict.LATE
        await eventually(lambda: pinged(outside).count("/pcc/fail?tenant=7") > 1)
        well = len(around.taken)
        await eventually(lambda: pinged(outside).count("/pcc/fail?tenant=7") > 4)
        assert len(around.taken) == well, "the metric is for those that say that all is well"
        failing = outside.posted[pinged(outside).index("/pcc/fail?tenant=7")]
        assert "line of late" in failing.body.decode()
        around.judged.verdict = Verdict.ON_TIME
        await eventually(lambda: pinged(outside)[-1] == "/pcc?tenant=7")
        await eventually(lambda: around.named("heartbeat.on_time"))
    assert [line["reason"] for line in around.named("heartbeat.late")] == ["line of late"]


async def test_no_secret_leaves_with_a_heartbeat() -> None:
    """What the log masks is masked in the words for the outside, too."""
    async with hooks(lambda _: OK) as outside, sending(outside.url) as around:
        around.masking.know({STATUS.summary})
        before = len(outside.posted)
        await eventually(lambda: len(outside.posted) > before + 1)
        last = outside.posted[-1].body.decode()
    assert last.splitlines() == [MASK, "line of on time"]


@pytest.mark.parametrize("hidden", [5, len(MASK) + 5, 500])
async def test_a_long_text_is_masked_before_it_is_cut(hidden: int) -> None:
    """Of a secret that lies across the end no part leaves, and the service gets no more than it keeps."""
    secret, masking, clock = "s3cr3t-" * 100, Masking(), StandingClock()
    masking.know({secret})
    async with hooks(lambda _: OK) as outside:
        given = Given("PCC_HEARTBEAT_URL", SecretStr(outside.url))
        heartbeats = Heartbeats(SecretReader(given), Proxies(), masking, clock)
        text = "x" * (LONGEST - hidden) + secret + "y" * LONGEST
        assert await heartbeats.send(text, well=True) == ""
        await heartbeats.close()
    body = outside.posted[0].body.decode()
    assert len(body) == LONGEST
    assert "s3cr3t" not in body
    assert body.startswith("x" * (LONGEST - hidden) + MASK[:hidden])


async def test_what_is_not_known_is_not_stated() -> None:
    """Neither before the first passes, nor by a replica that has lost touch with the others."""
    async with hooks(lambda _: OK) as outside, sending(outside.url) as around:
        await eventually(lambda: around.taken)
        around.lives = False
        await asyncio.sleep(SOON)
        before = len(outside.posted)
        for verdict in (Verdict.LATE, Verdict.ON_TIME):
            around.judged.verdict = verdict
            await asyncio.sleep(3 * SOON)
        around.lives, around.judged.verdict = True, Verdict.UNKNOWN
        await asyncio.sleep(3 * SOON)
        assert len(outside.posted) <= before + 1
        around.judged.verdict = Verdict.ON_TIME
        await eventually(lambda: len(outside.posted) > before + 1)


REFUSALS: dict[str, tuple[bytes, str]] = {
    "an error": (answer(500, "no"), "HTTP 500"),
    "no such check": (answer(404, "not found"), "HTTP 404"),
    "a redirect": (answer(302, location=f"https://elsewhere.example/{KEY}"), "HTTP 302"),
    "nothing": (CLOSE, "no answer"),
}


@pytest.mark.parametrize("kind", REFUSALS)
async def test_a_service_in_trouble_is_one_line_until_it_answers(kind: str) -> None:
    """Then a line says that it works again; no line shows the address, and the metric has no heartbeat that failed."""
    said, words = REFUSALS[kind]
    script: Script = lambda number: said if number < 6 else OK  # noqa: E731 - as short as it is
    async with hooks(script) as outside:
        url = outside.url.replace("/pcc", f"/{KEY}")
        async with sending(url) as around:
            await eventually(lambda: around.named("heartbeat.taken") and around.taken)
    assert len(around.taken) <= len(outside.posted) - 6
    (line,) = around.named("heartbeat.failed")
    assert words in line["error"]
    assert KEY not in around.masking.text(str(around.lines))
    assert around.masking.text(f"see {url} and {KEY}") == f"see {MASK} and {MASK}"


async def test_nobody_listening_is_a_failure_like_any_other() -> None:
    """Neither a port without a listener nor a name that does not exist ends the service."""
    async with sending(f"http://127.0.0.1:{free_port()}/{KEY}") as around:
        await eventually(lambda: around.named("heartbeat.failed"))
    assert "no answer" in around.named("heartbeat.failed")[0]["error"]


async def test_a_service_that_hangs_does_not_keep_the_process() -> None:
    """The process ends at once although a call is under way."""
    async with hooks(lambda _: [b"HTTP/1.1 200 OK\r\n"]) as outside, sending(outside.url):
        await eventually(lambda: outside.posted)


async def test_an_address_in_a_file_is_read_again(tmp_path: Path) -> None:
    """A file that goes away is a failure with its setting, and a new address is used at once."""
    file = tmp_path / "url"
    async with hooks(lambda _: OK) as first, hooks(lambda _: OK) as second:
        write(file, first.url)
        async with sending(file) as around:
            await eventually(lambda: first.posted)
            file.unlink()
            await eventually(lambda: around.named("heartbeat.failed"))
            write(file, f"{second.url}\n")
            await eventually(lambda: second.posted)
    assert "PCC_HEARTBEAT_URL_FILE" in around.named("heartbeat.failed")[0]["error"]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://hc.example/abc", "https://hc.example/abc/fail"),
        ("https://hc.example/abc?x=1", "https://hc.example/abc/fail?x=1"),
    ],
)
def test_where_failures_go(url: str, expected: str) -> None:
    """The word comes behind the path, and before a query."""
    assert heartbeat.failing(url) == expected


# ---------------------------------------------------------------------------------------------------------------------
# The daemon


def service_of(one: Site) -> HeartbeatService:
    """Return the service of a running daemon."""
    (found,) = [each for each in one.process.services if isinstance(each, HeartbeatService)]
    return found


async def test_the_daemon_sends_heartbeats_and_shows_the_last(tmp_path: Path) -> None:
    """Once every account had its pass, the outside hears so, and the metric has the moment."""
    platform = fleet(5)
    write(tmp_path / "desired-state.toml", text(owned(platform)))
    async with hooks(lambda _: OK) as outside:
        url = outside.url.replace("/pcc?tenant=7", f"/{KEY}")
        async with site(tmp_path, platform, PCC_HEARTBEAT_URL=url) as one:
            await one.has(owned(platform))
            await service_of(one).beat()  # the next one comes a minute later
            await eventually(lambda: outside.posted)
            shown = await one.metrics()
            code, out, _ = await command(one, "doctor")
    assert "pcc_heartbeat_last_success_timestamp_seconds 1." in shown
    assert code == 0
    assert "its host can be reached" in out
    assert KEY not in out
    assert set(pinged(outside)) == {f"/{KEY}"}


async def test_an_account_without_lists_is_late_and_said_so(tmp_path: Path) -> None:
    """A platform that answers no list for long enough makes the daemon call /fail with the page's sentence."""
    platform = fleet(5)
    write(tmp_path / "desired-state.toml", text(owned(platform)))
    platform.set_faults(fault(effects.Empty(500), Route.LIST))
    async with hooks(lambda _: OK) as outside:
        url = outside.url.replace("/pcc?tenant=7", f"/{KEY}")
        async with site(tmp_path, platform, PCC_HEARTBEAT_URL=url) as one:
            await eventually(lambda: one.told("list.failed"))
            service = service_of(one)
            await service.beat()
            assert outside.posted == []
            one.clock.go_ahead(timedelta(minutes=21))
            await service.beat()
            summary = (await one.get("/api/v1/status")).json()["summary"]
    (called,) = outside.posted
    assert called.head.startswith(f"POST /{KEY}/fail ")
    said = called.body.decode().splitlines()
    assert said[0] == summary
    assert said[1] == "No pass within 20m in 1 account: default."


@pytest.mark.parametrize(
    "url",
    ["http://hc.example/abc12345", "ftp://hc.example/x", "https://user:pw@hc.example/abc", "short"],
)
async def test_an_address_that_is_none_ends_the_start(tmp_path: Path, url: str) -> None:
    """It is https, or http on loopback, without user and password; the fault names the setting and shows no value."""
    platform = fleet(1)
    write(tmp_path / "desired-state.toml", text(owned(platform)))
    async with site(tmp_path, platform) as one:
        one.given["PCC_HEARTBEAT_URL"] = url
        code, _, err = await command(one, "validate")
    assert code == 1
    assert "PCC_HEARTBEAT_URL" in err
    assert url not in err
