"""The HTTP surface: what it answers, to whom, and that nothing foreign gets through to a browser."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_families
from prometheus_client.parser import text_string_to_metric_families as families

from reconciler.api.app import Surface, create_app
from reconciler.api.page import moments
from reconciler.api.response_cache import LONGEST_SECONDS, MOST_QUESTIONS, REST, Questions, Sparing
from reconciler.reporting import (
    AccountReport,
    GuardReport,
    HeldReport,
    PauseReport,
    StatusReport,
    TextReport,
)
from reconciler.reporting.attention import ROWS
from reconciler.reporting.forecast import BoundaryReport
from reconciler.simulator import Route
from reconciler.telemetry.metrics import Metrics
from scenarios import (
    account_text,
    credentials_folder,
    eventually_true,
    fleet,
    owned,
    site,
    text,
    write,
)
from surfaces import FakeHealth, FakeOperations, FakePolicy, FakeQueries

NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
HOSTILE = "<script>alert('x')</script>\"&{{ 7 * 7 }}"


def report(words: str = "as it should be") -> StatusReport:
    """Return a status in which every word from outside is this one."""
    held = HeldReport(words, "guard", words, 3, NOW, words)
    account = AccountReport(
        account=words,
        condition="held",
        result="held",
        error=words,
        rejected="invalid",
        revision="sha256:0",
        desired=3,
        observed=2,
        devices={"in_sync": 1},
        held=(held,),
        flapping=(words,),
        approval=words,
        remarks=(words,),
        digest="",
        unsubscribe_budget_remaining=5,
        last_attempt=NOW,
        last_success=None,
        out_of_sync_since=NOW,
        next_pass=NOW,
        guards=(GuardReport(words, words), GuardReport(f"{words} and more", words)),
    )
    newest = TextReport(None, None, None, "invalid", (words,), (words,), "file", NOW, words)
    pauses = (PauseReport("all", NOW, words, words),)
    coming = (BoundaryReport(NOW, words, 0, 3, (words,), 3, words, words),)
    return StatusReport(
        "0",
        NOW,
        "enforce",
        words == "",
        words,
        newest,
        (account,),
        (words,),
        pauses=pauses,
        coming=coming,
    )


@asynccontextmanager
async def asking(**given: Any) -> AsyncIterator[httpx.AsyncClient]:
    """Give a client of a surface whose answers are as given."""
    answers: dict[str, Callable[[], Any]] = {"status": report, "live": str, "ready": str, **given}

    class Given(FakeQueries):
        """Queries whose status is as given."""

        async def status(self) -> StatusReport:
            found: StatusReport = answers["status"]()
            return found

    health = FakeHealth(answers["live"], answers["ready"])
    surface = Surface(Metrics(), Given(), FakeOperations(), health, FakePolicy())
    transport = httpx.ASGITransport(create_app(surface), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
        yield http


PATHS = ("/", "/style.css", "/page.js", "/metrics", "/healthz", "/readyz", "/api/v1/status")


@pytest.mark.parametrize("path", PATHS)
async def test_every_path_answers_get_and_head_only(path: str) -> None:
    """Each path answers GET, HEAD likewise without a body, and refuses to be written to."""
    async with asking() as http:
        answer, head = await http.get(path), await http.head(path)
        assert (answer.status_code, head.status_code) == (200, 200)
        assert answer.content
        assert not head.content
        assert head.headers["content-type"] == answer.headers["content-type"]
        for method in ("POST", "PUT", "DELETE", "PATCH"):
            assert (await http.request(method, path, content=b"x" * 100_000)).status_code == 405


@pytest.mark.parametrize(
    ("query", "holds"),
    [
        ("", "null"),
        ("?revision=abcdef0", "true"),
        ("?revision=ABCDEF0", "true"),
        ("?revision=abcdef1", "false"),
    ],
)
async def test_the_status_says_whether_a_commit_is_in_the_history(query: str, holds: str) -> None:
    """Only where somebody asks for one, by 7 digits or more, in either case."""
    async with asking() as http:
        assert (
            json.dumps((await http.get(f"/api/v1/status{query}")).json()["text"]["holds"]) == holds
        )


@pytest.mark.parametrize(
    "revision", ["", "abcdef", "HEAD", "--output=x", "g" * 40, "a" * 65, "main~1"]
)
async def test_nothing_but_a_commit_is_asked_for(revision: str) -> None:
    """No name, expression or option of git's gets further, and an empty one is no question at all."""
    async with asking() as http:
        assert (await http.get("/api/v1/status", params={"revision": revision})).status_code == 400


@pytest.mark.parametrize(
    "path", [*PATHS, "/nowhere", "/api/v1/nothing", "/static/../app.py", "/%2e%2e/app.py", "//"]
)
async def test_every_answer_has_the_security_headers(path: str) -> None:
    """Whatever is asked for, the answer may load nothing from elsewhere, be framed by nobody and be kept nowhere."""
    async with asking() as http:
        headers = (await http.get(path)).headers
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'")
        assert "frame-ancestors 'none'" in policy
        assert "http" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] == "no-store"
        assert "server" not in headers


async def test_unknown_path_is_not_found() -> None:
    """A path that is not there is 404, and no file of the program can be had."""
    async with asking() as http:
        for path in (
            "/nowhere",
            "/api/v2/status",
            "/templates/status.html",
            "/../app.py",
            "/metrics/x",
        ):
            assert (await http.get(path)).status_code == 404


async def test_health_says_why_not() -> None:
    """Not live and not ready are 503 with the reason in words; otherwise 200."""
    async with asking(
        live=lambda: "the ticker does not tick", ready=lambda: "no revision is accepted yet"
    ) as http:
        live, ready = await http.get("/healthz"), await http.get("/readyz")
        assert (live.status_code, live.text) == (503, "the ticker does not tick\n")
        assert (ready.status_code, ready.text) == (503, "no revision is accepted yet\n")
    async with asking() as http:
        live, ready = await http.get("/healthz"), await http.get("/readyz")
        assert (live.status_code, live.text) == (200, "live\n")
        assert (ready.status_code, ready.text) == (200, "ready\n")


class Tags(HTMLParser):
    """Collects the tags and attributes of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.words = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag."""
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in {"href", "src", "action"}]
        assert not [name for name, _ in attrs if name.startswith("on") or name == "style"]

    def handle_data(self, data: str) -> None:
        """Note words."""
        self.words += data


async def test_page_shows_foreign_words_as_words() -> None:
    """Markup and templates in names, messages and faults are shown as they were written, and do nothing."""
    async with asking(status=lambda: report(HOSTILE)) as http:
        page = Tags()
        page.feed((await http.get("/")).text)
    assert page.tags.count("script") == 1
    assert page.words.count(HOSTILE) >= 6
    assert "49" not in page.words


async def test_page_asks_no_other_host() -> None:
    """Everything that the page loads or leads to is its own."""
    async with asking() as http:
        page = Tags()
        page.feed((await http.get("/")).text)
        assert page.links
        for link in page.links:
            inside = link[0] in "/#" and not link.startswith("//")
            assert inside or link.startswith("data:image/svg+xml,")
        assert "url(" not in (await http.get("/style.css")).text


async def test_page_of_an_empty_start_is_whole() -> None:
    """Before anything is known the page and the status are there all the same."""
    empty = TextReport(None, None, None, None, (), (), "file", None, "")
    nothing = replace(report(), accounts=(), abandoned=(), text=empty)
    async with asking(status=lambda: nothing) as http:
        assert "No account yet." in (await http.get("/")).text
        assert (await http.get("/api/v1/status")).json()["accounts"] == []


async def test_status_is_plain_json() -> None:
    """The status is one JSON object that says its version, with moments as text."""
    async with asking() as http:
        answer = await http.get("/api/v1/status")
        assert answer.headers["content-type"] == "application/json"
        status = answer.json()
        assert (status["api"], status["at"]) == (1, "2026-11-22T10:00:00Z")
        assert status["accounts"][0]["held"][0]["count"] == 3


async def test_failing_answer_is_500_without_words() -> None:
    """An error of ours on the way to an answer shows nothing of itself to whoever asked."""

    def broken() -> StatusReport:
        raise RuntimeError("something private")

    async with asking(status=broken) as http:
        for path in ("/", "/api/v1/status"):
            answer = await http.get(path)
            assert answer.status_code == 500
            assert "private" not in answer.text


def series(exposition: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Parse an exposition as Prometheus would."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families(exposition)
        for sample in family.samples
    }


async def test_metrics_are_a_valid_exposition_from_the_start(tmp_path: Path) -> None:
    """Metrics parse in both formats, no series comes twice, and what is known beforehand is there at 0."""
    platform = fleet(3)
    write(tmp_path / "desired-state.toml", text(owned(platform)))
    async with site(tmp_path, platform) as one:
        await one.has(owned(platform))
        lines = [line for line in (await one.metrics()).splitlines() if not line.startswith("#")]
        names = [line.rpartition(" ")[0] for line in lines]
        assert len(names) == len(set(names))
        found = series(await one.metrics())
        account = ("account", "default")
        for action in ("subscribe", "unsubscribe"):
            for result in ("success", "noop", "failed", "refused"):
                assert (
                    "pcc_changes_total",
                    frozenset({account, ("action", action), ("result", result)}),
                ) in found
        assert found["pcc_guard_tripped", frozenset({account, ("reason", "too-many")})] == 0
        assert found["pcc_desired_rejected", frozenset({("cause", "invalid")})] == 0
        assert found["pcc_source_errors_total", frozenset({("kind", "missing")})] == 0
        assert found["pcc_state_writable", frozenset()] == 1
        assert not [name for name in names if owned(platform)[0] in name]
        accept = {"accept": "application/openmetrics-text; version=1.0.0"}
        answer = await one.http.get("/metrics", headers=accept)
        assert answer.headers["content-type"].startswith("application/openmetrics-text")
        assert list(open_families(answer.text))  # type: ignore[no-untyped-call]  # the library has no types there


@pytest.mark.parametrize("accept", ["*/*", "application/openmetrics-text; version=1.0.0"])
async def test_metrics_are_packed_for_who_can_unpack_them(tmp_path: Path, accept: str) -> None:
    """A caller that takes gzip gets a tenth of the bytes with the same series in them, others get plain text."""
    platform = fleet(3)
    write(tmp_path / "desired-state.toml", text(owned(platform)))
    async with site(tmp_path, platform) as one:
        await one.has(owned(platform))
        headers = {"accept": accept, "accept-encoding": "gzip;q=1.0"}
        packed = await one.http.get("/metrics", headers=headers)
        plain = await one.http.get("/metrics", headers=headers | {"accept-encoding": "identity"})
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert "Accept-Encoding" in plain.headers["vary"]
    assert int(packed.headers["content-length"]) * 5 < len(plain.content)
    names = [
        {line.partition(" ")[0] for line in answer.text.splitlines()} for answer in (packed, plain)
    ]
    assert names[0] == names[1]


async def test_sums_stand_for_accounts_where_asked(tmp_path: Path) -> None:
    """With metrics by account off, no series names one, and gauges are sums."""
    platform = fleet(3, users=("east", "west"))
    for user in ("east", "west"):
        write(tmp_path / "texts" / f"{user}.toml", account_text(user, owned(platform, user)))
    given = {
        "PCC_DESIRED_STATE": str(tmp_path / "texts"),
        "PCC_CREDENTIALS_DIR": str(credentials_folder(platform, tmp_path / "credentials")),
        "PCC_METRICS_PER_ACCOUNT": "false",
    }
    async with site(tmp_path, platform, **given) as one:

        async def whole() -> bool:
            return (
                series(await one.metrics()).get(("pcc_devices", frozenset({("state", "in_sync")})))
                == 6
            )

        await eventually_true(whole)
        found = series(await one.metrics())
        assert not [labels for _, labels in found if "account" in dict(labels)]
        assert found["pcc_desired_devices", frozenset()] == 6
        changed = frozenset({("action", "subscribe"), ("result", "success")})
        assert found["pcc_changes_total", changed] == 6


async def test_real_server_takes_what_comes(tmp_path: Path) -> None:
    """Oversized headers, big bodies and nonsense are refused, and the daemon goes on with its work."""
    platform = fleet(3)
    write(tmp_path / "desired-state.toml", text(owned(platform)[:2]))
    async with site(tmp_path, platform) as one:
        await one.has(owned(platform)[:2])
        with suppress(httpx.TransportError):  # the server may hang up before all of it is sent
            assert (await one.http.get("/", headers={"x-big": "x" * 200_000})).status_code in {
                400,
                431,
            }
        assert (await one.http.post("/", content=b"x" * 5_000_000)).status_code == 405
        assert (await one.http.get("/" + "x" * 10_000)).status_code == 404
        assert (await one.http.request("BREW", "/")).status_code in {400, 405}
        assert "server" not in (await one.get("/")).headers
        write(one.file, text(owned(platform)))
        await one.has(owned(platform))
        assert not one.calls(Route.UNSUBSCRIBE)


async def test_names_of_devices_and_lgs_words_reach_the_page_as_words(tmp_path: Path) -> None:
    """What stands in a faulty text is shown on the page as words."""
    platform = fleet(3)
    write(tmp_path / "desired-state.toml", text(owned(platform)))
    async with site(tmp_path, platform) as one:
        await one.has(owned(platform))
        write(one.file, 'version = 1\n"<script>alert(1)</script>" = 2\ndevices = []\n')

        async def rejected() -> bool:
            return "Rejected revision" in (await one.get("/")).text

        await eventually_true(rejected)
        page = Tags()
        page.feed((await one.get("/")).text)
        assert page.tags.count("script") == 1
        assert "<script>alert(1)" in page.words


def accounts(count: int) -> tuple[AccountReport, ...]:
    """Return so many accounts, all as wanted."""
    (one,) = report().accounts
    well = replace(
        one,
        condition="in_sync",
        error="",
        rejected=None,
        held=(),
        guards=(),
        flapping=(),
        approval="",
        remarks=(),
    )
    return tuple(replace(well, account=f"hotel-{number:03}") for number in range(count))


async def test_few_accounts_have_a_row_each_and_of_many_only_the_troubled_ones() -> None:
    """Troubled accounts come first; where there are many, those in which all is well are told in brief."""
    for count, rows in ((ROWS, ROWS), (ROWS + 1, 1)):
        *well, last = accounts(count)
        shown = replace(report(), accounts=(*well, replace(last, condition="stopped")))
        async with asking(status=lambda shown=shown: shown) as http:
            page = (await http.get("/")).text
            names = re.findall(r'role="rowheader"><a href="/accounts/(hotel-\d+)"', page)
            assert (len(names), names[0]) == (rows, last.account)
            assert all(page.count(f"<bdi>{one.account}</bdi>") == 1 for one in shown.accounts)


def test_what_comes_at_one_moment_is_told_together() -> None:
    """Accounts whose devices end at the same moment are one line, with their sums and whose each message is."""
    first = BoundaryReport(NOW, "east", 1, 3, ("closed",), 3, "too-many", "3 are too many")
    found = moments(
        [first, replace(first, account="west"), replace(first, at=NOW + timedelta(days=1))]
    )
    sums = [(one.accounts, one.begins, one.ends, one.held) for one in found]
    assert sums == [(["east", "west"], 2, 6, 6), (["east"], 1, 3, 3)]
    assert found[0].messages == ["east: 3 are too many", "west: 3 are too many"]
    assert found[1].messages == ["3 are too many"]


async def test_an_answer_serves_for_some_times_as_long_as_it_took() -> None:
    """Whoever asks meanwhile or soon after gets the answer that was made, and nobody one that is older than that."""
    now, took, made = 0.0, 0.01, 0

    async def make() -> int:
        nonlocal now, made
        await asyncio.sleep(0)
        now += took
        made += 1
        return made

    sparing = Sparing(make, steady=lambda: now)
    assert await asyncio.gather(*(sparing.get() for _ in range(5))) == [1] * 5
    now += took * REST * 0.99
    assert await sparing.get() == 1
    now += took * REST * 0.02
    assert await sparing.get() == 2
    took = 1000.0
    now += REST
    assert await sparing.get() == 3
    now += LONGEST_SECONDS * 1.01
    assert await sparing.get() == 4


async def test_a_failed_answer_is_kept_for_nobody() -> None:
    """An answer that could not be made is asked for again by whoever comes next."""
    failing = True

    async def make() -> str:
        if failing:
            raise RuntimeError("not now")
        return "made"

    sparing = Sparing(make)
    with pytest.raises(RuntimeError):
        await sparing.get()
    failing = False
    assert await sparing.get() == "made"


async def test_questions_without_end_take_at_most_half_of_the_time() -> None:
    """After an answer that took long the next question waits as long; the same question soon has the same answer."""
    made: list[float] = []
    questions: Questions[int] = Questions(lambda: asyncio.get_running_loop().time())

    async def answer() -> int:
        made.append(asyncio.get_running_loop().time())
        await asyncio.sleep(0.05)
        return len(made)

    several = await asyncio.gather(*(questions.get(number % 3, answer) for number in range(12)))
    assert sorted(several) == sorted([1, 2, 3] * 4)
    assert all(later - earlier >= 0.099 for earlier, later in pairwise(made))


async def test_an_answer_that_fails_is_no_answer_to_the_next_who_asks() -> None:
    """What is raised goes to whoever asked; of many questions only the last answers are kept."""
    questions: Questions[str] = Questions()

    async def broken() -> str:
        raise ValueError("once")

    async def whole() -> str:
        return "whole"

    with pytest.raises(ValueError, match="once"):
        await questions.get("one", broken)
    assert await questions.get("two", whole) == "whole"
    for number in range(500):
        assert await questions.get(number, whole) == "whole"
    assert len(questions._asked) <= MOST_QUESTIONS


@pytest.mark.parametrize("process", ["daemon", "receiving.process"])
def test_a_process_loads_the_template_engine_only_for_its_page(process: str) -> None:
    """The engine takes 4 MB of memory, so a process whose page nobody opens does without it."""
    code = f"import sys, reconciler.runtime.{process}; print('jinja2' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603 - ours
    assert done.stdout == "False\n"
