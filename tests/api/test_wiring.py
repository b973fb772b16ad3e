"""What a call hands on: each thing that it was asked goes to its own place, and each answer to who asked for it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import httpx
import pytest

from account_reports import account_report
from reconciler.api.app import Surface, create_app
from reconciler.api.event_queries import DEFAULT_LIMIT, LIST_PARAMETERS, wanted_events
from reconciler.api.links import Links
from reconciler.core.errors import Invalid, ReconcilerError, StateError, Unknown
from reconciler.core.model import (
    AccountName,
    Action,
    Change,
    Desired,
    Device,
    DeviceId,
    Held,
    Pause,
    Plan,
    Reason,
    Tripped,
)
from reconciler.core.status import PassReport
from reconciler.events.model import EventState, Wanted
from reconciler.reporting import (
    PENDING,
    AccountReport,
    PlanReport,
    StatusReport,
    TextReport,
    exit_code,
)
from reconciler.reporting.account_devices import DevicesAsked
from reconciler.reporting.formats import plans
from reconciler.reporting.formats.comment import LEAST_LONGEST
from reconciler.reporting.formats.screen import Screen
from reconciler.reporting.preview import Proposal, Proposed
from reconciler.reporting.queries import Page
from reconciler.reporting.roster import place_text
from reconciler.reporting.views import SearchView
from reconciler.telemetry.metrics import Metrics
from surfaces import FakeHealth, FakeOperations, FakePolicy, FakeQueries

NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
ACCOUNT = AccountName("seoul-hotel")
HOUR = timedelta(hours=1)


@asynccontextmanager
async def asking(
    operations: FakeOperations | None = None, queries: FakeQueries | None = None
) -> AsyncIterator[httpx.AsyncClient]:
    """Give a client of the app. Each look at its clock takes a while, so that answers are worth keeping."""
    surface = Surface(
        Metrics(),
        queries or FakeQueries(),
        operations or FakeOperations(accounts=(ACCOUNT,)),
        FakeHealth(),
        FakePolicy(),
        steady=SlowClock().steady,
    )
    transport = httpx.ASGITransport(create_app(surface))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
        yield http


@dataclass
class SlowClock:
    """A clock that goes on by the sixteenth of a second whenever somebody looks at it."""

    now: float = 0.0

    def steady(self) -> float:
        """Return the time."""
        self.now += 1 / 16
        return self.now


# --- Calls that act --------------------------------------------------------------------------------------------------

WORDS = {"for": "3h", "reason": "the reason", "set_by": "the person"}


@pytest.mark.parametrize(
    ("path", "body", "done"),
    [
        ("reconcile", {}, ("reconcile", None)),
        ("reconcile?account=seoul-hotel", {}, ("reconcile", ACCOUNT)),
        (
            "pause",
            {**WORDS, "pause": "unsubscribe", "account": "seoul-hotel"},
            ("pause", ACCOUNT, Pause.UNSUBSCRIBE, 3 * HOUR, "the reason", "the person"),
        ),
        ("pause", {}, ("pause", None, Pause.ALL, None, "")),
        ("pause", {"pause": "none"}, ("pause", None, Pause.NONE, None, "")),
        (
            "open",
            {**WORDS, "window": "night"},
            ("open", "night", 3 * HOUR, "the reason", "the person"),
        ),
        ("open", {"window": "night"}, ("open", "night", None, "")),
        ("close", {"window": "night"}, ("close", "night")),
        (
            "plan",
            {"documents": ["a.toml"], "files": {"a.toml": "x", "b": "y"}, "accounts": ["seoul"]},
            ("plan", Proposal(("a.toml",), {"a.toml": "x", "b": "y"}, (AccountName("seoul"),))),
        ),
    ],
)
async def test_what_a_call_asks_for_is_what_is_done(
    path: str, body: dict[str, object], done: tuple[object, ...]
) -> None:
    """Account, span, reason and person each reach their own place, and what is left out is left out."""
    operations = FakeOperations(accounts=(ACCOUNT,))
    async with asking(operations) as http:
        assert (await http.post(f"/api/v1/{path}", json=body)).status_code == 200
    assert operations.done == [done]


LONG = {"reason": "r" * 1001, "set_by": "p" * 201}
LONGEST = {"reason": "r" * 1000, "set_by": "p" * 200}


@pytest.mark.parametrize("call", ["pause", "open"])
@pytest.mark.parametrize("name", LONG)
async def test_reason_and_person_are_bounded_each_by_its_own_length(call: str, name: str) -> None:
    """A word of just the longest is taken, and one character more is not, by each call that takes one."""
    body = {"window": "night"} if call == "open" else {}
    operations = FakeOperations()
    async with asking(operations) as http:
        taken = await http.post(f"/api/v1/{call}", json={**body, name: LONGEST[name]})
        refused = await http.post(f"/api/v1/{call}", json={**body, name: LONG[name]})
    assert (taken.status_code, refused.status_code) == (200, 400)
    assert name in refused.json()["error"]
    assert len(operations.done) == 1


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Unknown("no account 'x'"), 404),
        (StateError("cannot be written"), 400),
        (ReconcilerError("no"), 400),
        (ValueError("no"), 400),
        (Invalid(()), 422),
    ],
)
@pytest.mark.parametrize("path", ["reconcile", "pause", "open", "close", "plan"])
async def test_why_something_was_not_done_has_its_status(
    path: str, error: Exception, status: int
) -> None:
    """A fault of the proposed files, what is unknown, and what cannot be done have a status each, in every call."""

    class Failing(FakeOperations):
        """Operations that fail, whatever is asked."""

        def __getattribute__(self, name: str) -> Any:
            if name.startswith("_"):
                return super().__getattribute__(name)
            return fail

    async def fail(*_asked: object) -> Any:
        await asyncio.sleep(0)
        raise error

    body = {
        "open": {"window": "x"},
        "close": {"window": "x"},
        "plan": {"documents": [], "files": {}},
    }
    async with asking(Failing()) as http:
        answer = await http.post(f"/api/v1/{path}", json=body.get(path, {}))
    assert answer.status_code == status
    assert answer.json()["error"]


# --- Plans -----------------------------------------------------------------------------------------------------------


def waiting(account: str, devices: int) -> PlanReport:
    """Return a plan in which unsubscribes wait for approval; names and ids are long."""
    name = AccountName(account)
    ids = [DeviceId(f"{number:08x}" * 8) for number in range(devices)]
    held = tuple(Held(Change(name, Action.UNSUBSCRIBE, one), Reason.TOO_MANY) for one in ids)
    plan = Plan(name, held=held, tripped=(Tripped(Reason.TOO_MANY, "too many would go"),))
    named = {one: Device(one, f"A refrigerator with the long name {one[:8]}") for one in ids}
    ending = PassReport(
        desired=Desired(name, frozenset(), named),
        began=NOW,
        due=NOW + HOUR,
        plan=plan,
        observed=devices,
    )
    return PlanReport(name, "sha256:0123", ending)


REPORTS = (waiting("seoul-hotel", 120),)
FILES: dict[str, object] = {"documents": [], "files": {}, "approval": "approved.txt"}


async def planned(**asked: object) -> Any:
    """Return the answer to a plan of these reports."""

    async def plan(_proposal: Proposal) -> Proposed:
        await asyncio.sleep(0)
        return Proposed(REPORTS, ("a note", "another note"))

    async with asking(FakeOperations(planned=plan)) as http:
        answer = await http.post("/api/v1/plan", json={**FILES, **asked})
    assert answer.status_code == 200
    return answer.json()


async def test_a_plan_names_the_file_of_the_approval_wherever_it_is_shown() -> None:
    """The document, the text and the comment each have the approval with the device file that was asked for."""
    for show in ("none", "text", "markdown"):
        answer = await planned(show=show)
        assert "approved.txt" in answer["plan"]["accounts"][0]["approval"]
        assert answer["plan"]["exit_code"] == exit_code(REPORTS, pending=PENDING) != 0
        assert answer["notes"] == ["a note", "another note"]
        assert (answer["shown"] is None) if show == "none" else ("approved.txt" in answer["shown"])


@pytest.mark.parametrize(
    "room",
    [
        {},
        *({**one, "width": 50} for one in ({"folds": True}, {"wide": True}, {"full_ids": True})),
        {"width": 50},
        {"width": 50, "wide": True, "full_ids": True},
    ],
)
async def test_a_plan_is_shown_for_the_room_of_the_caller(room: Mapping[str, Any]) -> None:
    """Width, folding, wide rows and whole ids are those of the caller's terminal, each in its own place."""
    answer = await planned(show="text", screen=room)
    screen = replace(Screen(), **room)
    assert answer["shown"] == plans.plan_text(REPORTS, approval="approved.txt", screen=screen)


async def test_a_comment_is_as_long_as_it_may_be() -> None:
    """The caller says how many characters its forge takes; a longer comment is cut there and not elsewhere."""
    for longest in (LEAST_LONGEST, 2 * LEAST_LONGEST):
        answer = await planned(show="markdown", longest=longest)
        shown = plans.plan_markdown(REPORTS, approval="approved.txt", longest=longest)
        assert answer["shown"] == shown
        assert longest // 2 < len(shown) <= longest


# --- Questions -------------------------------------------------------------------------------------------------------


@dataclass
class Asked(FakeQueries):
    """Queries that answer with what they were asked, and count."""

    asked: list[object] = field(default_factory=list)
    troubles: list[Exception] = field(default_factory=list)
    accounts: tuple[AccountReport, ...] = ()

    def _told(self, *asked: object) -> Any:
        self.asked.append(asked)
        if self.troubles:
            raise self.troubles.pop()
        return {"told": [dict(one) if isinstance(one, Mapping) else one for one in asked]}

    async def status(self) -> StatusReport:
        """Return a status that is never the same."""
        self.asked.append("status")
        text = TextReport("r", None, None, None, (), (), "file", NOW, "")
        return StatusReport(
            version="0",
            at=NOW,
            mode="enforce",
            well=True,
            summary=f"summary {len(self.asked)}",
            text=text,
            accounts=self.accounts,
            abandoned=(),
        )

    async def account(self, name: str) -> Any:
        """Tell the name."""
        return self._told("account", name)

    async def device(self, account: str, device: str) -> Any:
        """Tell account and device."""
        return self._told("device", account, device)

    async def explain(self, device: str, account: str | None) -> Any:
        """Tell device and account."""
        return self._told("explain", device, account)

    async def devices(self, asked: Mapping[str, str]) -> Any:
        """Tell the question."""
        return self._told("devices", asked)

    async def history(self, asked: Mapping[str, str]) -> Page:
        """Tell the question."""
        return cast("Page", self._told("history", asked))

    async def registry(self, asked: Mapping[str, str]) -> Any:
        """Tell the question."""
        return self._told("registry", asked)

    async def account_view(self, name: str, asked: DevicesAsked) -> Any:
        """Tell account and devices."""
        return self._told("view", name, asked)

    async def search(self, words: str) -> SearchView:
        """Find nothing, by these words."""
        self.asked.append(words)
        return SearchView(words)


QUESTIONS: Mapping[str, list[object]] = {
    "accounts/seoul": ["account", "seoul"],
    "accounts/busan": ["account", "busan"],
    "accounts/seoul/devices/a": ["device", "seoul", "a"],
    "accounts/seoul/devices/a%2Fb": ["device", "seoul", "a/b"],
    "accounts/a/devices/seoul": ["device", "a", "seoul"],
    "devices?device=a&account=seoul": ["explain", "a", "seoul"],
    "devices?device=seoul&account=a": ["explain", "seoul", "a"],
    "devices?device=a": ["explain", "a", None],
    "device-states?account=seoul": ["devices", {"account": "seoul"}],
    "device-states": ["devices", {}],
    "history?account=seoul&limit=5": ["history", {"account": "seoul", "limit": "5"}],
    "history?account=busan": ["history", {"account": "busan"}],
    "registry?account=seoul": ["registry", {"account": "seoul"}],
    "registry": ["registry", {}],
}


async def test_each_question_gets_its_own_answer() -> None:
    """Whatever was asked shortly before, also by others: an answer is that of this question, and made once."""
    queries = Asked()
    async with asking(queries=queries) as http:
        for question, told in QUESTIONS.items():
            for _ in range(2):
                answer = await http.get(f"/api/v1/{question}")
                assert answer.json() == {"api": 1, "told": told}
        assert len(queries.asked) == len(QUESTIONS)
        again = await http.get("/api/v1/registry?account=seoul")
        assert again.json()["told"] == QUESTIONS["registry?account=seoul"]


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize(
    ("trouble", "status"),
    [(Unknown("no"), 404), (StateError("no"), 503), (ReconcilerError("no"), 400)],
)
async def test_a_question_that_could_not_be_answered_is_asked_again(
    question: str, trouble: Exception, status: int
) -> None:
    """Why there is no answer has its status for every question, and is kept for nobody."""
    queries = Asked(troubles=[trouble])
    async with asking(queries=queries) as http:
        refused = await http.get(f"/api/v1/{question}")
        assert (refused.status_code, refused.json()) == (status, {"error": "no"})
        assert (await http.get(f"/api/v1/{question}")).status_code == 200


async def test_the_status_says_of_each_commit_whether_it_is_in_force() -> None:
    """Commits that are asked for at the same time do not get each other's answer; the status is made once for all."""
    queries = Asked()
    async with asking(queries=queries) as http:
        asked = ["?revision=abcdef0", "?revision=abcdef1", "", "?revision=ABCDEF0"]
        answers = [(await http.get(f"/api/v1/status{one}")).json() for one in asked]
    assert [answer["text"]["holds"] for answer in answers] == [True, False, None, True]
    assert queries.asked == ["status"]


async def test_each_page_is_that_of_its_question() -> None:
    """Who searches right after somebody else sees what they searched for."""
    async with asking(queries=Asked()) as http:
        for words in ("kitchen", "lobby", "kitchen"):
            assert f"Search: {words}" in (await http.get(f"/search?q={words}")).text


PAGES: Mapping[str, tuple[object, ...]] = {
    "/accounts/seoul": ("view", "seoul", DevicesAsked()),
    "/accounts/seoul?state=missing": ("view", "seoul", DevicesAsked("missing")),
    "/accounts/se%20oul?q=kitchen": ("view", "se oul", DevicesAsked(words="kitchen")),
    f"/accounts/seoul?q=+k+&state=&after={place_text('missing', (True, 'b', 'c'))}": (
        "view",
        "seoul",
        DevicesAsked(words="k", after=("missing", True, "b", "c")),
    ),
    "/accounts/seoul/devices/busan": ("device", "seoul", "busan"),
    "/accounts/a/devices/b%2Fc": ("device", "a", "b/c"),
}


@pytest.mark.parametrize("path", PAGES)
async def test_a_page_asks_what_its_address_says(path: str) -> None:
    """Account, device, words, state and place each reach their own place; an empty field asks for nothing."""
    queries = Asked(troubles=[Unknown("there is none")])
    async with asking(queries=queries) as http:
        page = await http.get(path)
    assert queries.asked == [PAGES[path]]
    assert page.status_code == 404
    assert "There is none" in page.text


@pytest.mark.parametrize(
    ("page", "first", "last"),
    [
        ("", "a-000", "a-099"),
        ("1", "a-000", "a-099"),
        ("2", "a-100", "a-199"),
        ("3", "a-200", "a-249"),
        ("4", "a-200", "a-249"),
        ("9" * 40, "a-200", "a-249"),
        ("0", "a-000", "a-099"),
        ("-1", "a-000", "a-099"),
        ("x", "a-000", "a-099"),
        ("٣", "a-000", "a-099"),
    ],
)
async def test_a_page_of_accounts_is_one_that_there_is(page: str, first: str, last: str) -> None:
    """Behind the last page there is the last one, and what is no number means the first."""
    accounts = tuple(account_report(f"a-{number:03}", NOW) for number in range(250))
    async with asking(queries=Asked(accounts=accounts)) as http:
        shown = (await http.get("/accounts", params={"page": page})).text
    rows = re.findall(r'href="/accounts/(a-\d+)"', shown)
    assert (min(rows), max(rows)) == (first, last)


@pytest.mark.parametrize("base", ["", "/fleet/pcc"])
@pytest.mark.parametrize(
    ("path", "accept", "is_page"),
    [
        ("/nothing", "text/html", True),
        ("/nothing", "application/json", False),
        ("/api/v1/nothing", "text/html", False),
        ("/api/v1/nothing", "application/json", False),
    ],
)
async def test_what_does_not_exist_is_a_page_for_people_and_json_for_programs(
    base: str, path: str, accept: str, *, is_page: bool
) -> None:
    """A path of the API is answered in JSON also to a browser, whatever path everything is under."""
    surface = Surface(
        Metrics(), FakeQueries(), FakeOperations(), FakeHealth(), FakePolicy(), links=Links(base)
    )
    transport = httpx.ASGITransport(create_app(surface))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
        answer = await http.get(f"{base}{path}", headers={"accept": accept})
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/html") == is_page
    if path.startswith("/api/"):
        assert answer.json() == {"error": "Not Found"}


# --- Events ----------------------------------------------------------------------------------------------------------

FILTERS: Mapping[str, tuple[str, Any]] = {
    "account": ("seoul", "seoul"),
    "device": ("7121", "7121"),
    "type": ("E1", "E1"),
    "sink": ("crm", "crm"),
    "state": ("dead", EventState.DEAD),
    "since": ("2h", NOW - 2 * HOUR),
    "limit": ("7", 7),
}


def test_each_filter_of_events_narrows_by_its_own_fact() -> None:
    """A parameter changes one condition and no other; without any there are as many events as a list has."""
    assert FILTERS.keys() == set(LIST_PARAMETERS) == {one.name for one in fields(Wanted)}
    everything = Wanted(limit=DEFAULT_LIMIT)
    assert wanted_events({}, NOW) == everything
    for name, (given, meant) in FILTERS.items():
        assert wanted_events({name: given}, NOW) == replace(everything, **{name: meant})
    given_all = {name: given for name, (given, _) in FILTERS.items()}
    assert wanted_events(given_all, NOW) == Wanted(
        **{name: meant for name, (_, meant) in FILTERS.items()}
    )
