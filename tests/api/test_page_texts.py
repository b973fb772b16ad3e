"""Each page whole: a value in which every field differs from every other, and the lines that a person gets of it.

The lines are in ``pages/``. A page that says another field, leaves out a condition or leads elsewhere has other lines.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from account_reports import account_report
from markup import Markup
from page_texts import page_text
from reconciler import __version__
from reconciler.api.event_page import EventRow
from reconciler.api.links import Links
from reconciler.api.page import Page
from reconciler.api.pages import AccountsAsked, HistoryAsked, Pages
from reconciler.api.port import Contact, HeardEvent, HeardEvents, LastHeardOf
from reconciler.api.templating import page_template
from reconciler.core.model import Commit, Condition, Kind, Verified
from reconciler.reporting import (
    AccountReport,
    GuardReport,
    HeldReport,
    PauseReport,
    StatusReport,
    TextReport,
)
from reconciler.reporting.account_devices import DevicesAsked, DevicesFound
from reconciler.reporting.devices import DeviceRow
from reconciler.reporting.explain.values import (
    ApprovalReport,
    ChangeReport,
    DeliveryReport,
    EventReport,
    Explanation,
    HoldReport,
    MarkReport,
    PlaceReport,
    Position,
    WaitReport,
)
from reconciler.reporting.forecast import BoundaryReport
from reconciler.reporting.heard import HeardReport, LastHeardReport
from reconciler.reporting.queries import AccountDetail, Overview
from reconciler.reporting.queries import Page as PastChanges
from reconciler.reporting.views import AccountView, SearchView
from reconciler.reporting.windows import WindowReport

PAGES = Path(__file__).parent / "pages"
NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
LINKS = Links(
    base="/pcc",
    docs="https://docs.test",
    commit="https://forge.test/{commit}",
    grafana="https://grafana.test/d",
)
COMMIT = "c0ffee" * 6 + "beef"
WASHER, OVEN = "a1" * 32, "b2" * 32


def ago(hours: float) -> datetime:
    """Return a moment before now; a negative number is after."""
    return NOW - timedelta(hours=hours)


def change(device: str = WASHER, **other: Any) -> ChangeReport:
    """Return a past change of which every field is known."""
    made = ChangeReport(
        at=ago(3),
        account="seoul<b>",
        device=device,
        name="Washer <s>",
        action="subscribe",
        result="success",
        confirmed_by="list",
        approved=True,
        revision="f" * 64,
        commit=COMMIT,
        author="Kim <kim@hotel.test>",
        subject="Open <wing>",
        pass_id="pass<q>",
        message_id="ours<u>",
        lg_message_id="theirs<em>",
        status=200,
        code="0000",
        words="OK <fine>",
    )
    return replace(made, **other)


def past() -> tuple[ChangeReport, ...]:
    """Return past changes of every ending, and a group of two."""
    many = [
        change(f"{number:02}" * 32, at=ago(9), pass_id="many", name=None) for number in range(22)
    ]
    plain: dict[str, Any] = dict.fromkeys(("commit", "subject", "author", "message_id"))
    return (
        change(),
        change(result="noop", pass_id="again", action="unsubscribe", approved=False, **plain),
        change(result="failed", pass_id="bad", approved=False, lg_message_id="ours<u>"),
        change(result="refused", pass_id="no", code="1214", words="No <such>", confirmed_by=None),
        change(result=None, pass_id="open", words="", code=None, action="unsubscribe"),
        *many,
    )


def detail(**other: Any) -> AccountDetail:
    """Return an account of which every figure is another one."""
    found = AccountDetail(
        account="seoul<b>",
        condition=Condition.HELD,
        result="clean",
        error="",
        rejected="invalid",
        revision=COMMIT,
        desired=1002,
        observed=1003,
        devices={"in_sync": 904, "missing": 5, "extra": 6, "unmanaged": 7, "ignored": 8},
        held=(
            HeldReport("unsubscribe", Kind.GUARD, "too-many", 11, None, "11 of <p>"),
            HeldReport("unsubscribe", Kind.POLICY, "protected", 13, None, "named <by>"),
            HeldReport("subscribe", Kind.PLATFORM, "refused", 14, ago(-1.5), "LG said <no>"),
            HeldReport("subscribe", Kind.POLICY, "paused", 15, None, ""),
        ),
        flapping=(WASHER, OVEN),
        approval='[[approvals]]\nreason = "<a>"\n' + "# a device\n" * 60,
        remarks=("a <remark>", "another"),
        digest="d" * 64,
        unsubscribe_budget_remaining=16,
        last_attempt=ago(0.5),
        last_success=ago(2),
        out_of_sync_since=ago(30),
        next_pass=ago(-0.25),
        refused=17,
        guards=(
            GuardReport("too-many", "this holds 11"),
            GuardReport("suspect-list", "the list <shrank>"),
        ),
        approvals=(
            ApprovalReport("sold <b>", ago(-48), active=True, devices=18),
            ApprovalReport("sold <i>", ago(48), active=False, devices=1),
        ),
        pause=PauseReport("unsubscribe", ago(-4), "stock <taking>", account="seoul<b>"),
        next_boundary=ago(-72),
    )
    return replace(found, **other)


def rows() -> tuple[DeviceRow, ...]:
    """Return devices in a table: held, refused, heard of, and without anything."""
    heard = LastHeardReport(ago(6), WASHER, "PCC_EVENT", "filter_full", "E1<", ago(7))
    return (
        DeviceRow(
            "seoul<b>", WASHER, "Washer <s>", "washer", "missing", "refused", ago(-5), None, heard
        ),
        DeviceRow("seoul<b>", OVEN, None, None, "extra", "paused", ago(-6)),
        DeviceRow(
            "busan",
            "short",
            "Dryer",
            "dryer",
            "missing",
            "retry",
            ago(-7),
            None,
            replace(heard, category=None),
        ),
        DeviceRow(
            "busan",
            "c3" * 32,
            "Plain",
            "oven",
            "in_sync",
            None,
            None,
            None,
            replace(heard, category=None, diagnosis=None),
        ),
    )


BARE = Contact(trouble="the token <expired>")
NO_DEVICES = dict.fromkeys((*Position, "refused", "held"), 0)


def account_page() -> str:
    """Return the page of an account with everything on it."""
    counts = NO_DEVICES | {"missing": 5, "extra": 6, "in_sync": 904, "refused": 17}
    view = AccountView(detail(), DevicesFound(rows(), counts, 1_234, "place|2"), past(), older=True)
    contact = Contact(
        500, 499, ago(-0.75), renewable=True, heard=LastHeardOf(ago(8), OVEN, "Oven <em>")
    )
    asked = DevicesAsked("missing", "was<h", (Position.MISSING, True, "", WASHER))
    return Pages(LINKS).account(view, contact, asked, NOW)


def account_page_bare(contact: Contact = BARE) -> str:
    """Return the page of an account of which hardly anything is known."""
    bare = account_report("bare", None, revision=f"sha256:{'e' * 64}", desired=0, devices={})
    known = {name: getattr(bare, name) for name in AccountReport.__dataclass_fields__}
    view = AccountView(
        AccountDetail(**known), DevicesFound((), NO_DEVICES, 0, None), unread="the <disk>"
    )
    return Pages().account(view, contact, DevicesAsked(), NOW)


def account_page_elsewhere() -> str:
    """Return the page of an account that another replica works on."""
    return account_page_bare(Contact(elsewhere=True, heard=LastHeardOf()))


def account_page_stopped() -> str:
    """Return the page of an account that LG refuses."""
    stopped = detail(
        condition=Condition.STOPPED,
        error="LG refuses <the> token",
        held=(),
        guards=(),
        approval="x" * 50_001,
        rejected=None,
        refused=0,
        pause=PauseReport("all", None, "move <house>", account="seoul<b>"),
        last_success=None,
        next_pass=None,
        next_boundary=None,
        out_of_sync_since=None,
    )
    view = AccountView(stopped, DevicesFound((), NO_DEVICES, 0, None))
    contact = Contact(token_expires=ago(-1), heard=LastHeardOf())
    return Pages(LINKS).account(view, contact, DevicesAsked(words="nobody"), NOW)


def account_page_waiting() -> str:
    """Return the page of an account to which LG gives no answer, with a hold and no guard."""
    held = (HeldReport("subscribe", Kind.PLATFORM, "quota", 2, None, ""),)
    waiting = {"condition": Condition.CONVERGING, "error": "LG gives <no> answer", "held": held}
    calm = {
        "guards": (),
        "remarks": (),
        "flapping": (),
        "approval": "",
        "pause": None,
        "refused": 0,
    }
    shown = detail(**waiting, **calm, rejected=None, approvals=(), last_success=ago(0.5))
    view = AccountView(shown, DevicesFound((), NO_DEVICES, 0, None), past()[:1])
    return Pages().account(view, Contact(), DevicesAsked(state="held"), NOW)


def story(**other: Any) -> Explanation:
    """Return a device of which everything is known."""
    deliveries = (DeliveryReport("crm<", "delivered", 3), DeliveryReport("erp", "pending", 1))
    found = Explanation(
        account="seoul<b>",
        device=WASHER,
        name="Washer <s>",
        type="robot_cleaner",
        summary="It is <held>.",
        state="extra",
        desired=False,
        why="no entry <names> it",
        place=PlaceReport("fleet/<a>.toml", 12, 34),
        wanted_from=None,
        wanted_until=None,
        revision=None,
        came=MarkReport(ago(100), "1" * 64, COMMIT, "Kim <kim@x>", "Open <wing>"),
        went=MarkReport(ago(50), "sha256:" + "2" * 64, None, None, None),
        owned=True,
        observed=True,
        observed_at=ago(1),
        hold=HoldReport("unsubscribe", "too-many", "guard", "11 of <p>", ago(-2), "look at <it>"),
        wait=WaitReport("refused", "subscribe", 4, ago(5), ago(-3), "1214", "No <such>"),
        approvals=(
            ApprovalReport("sold <b>", ago(-48), active=True, devices=18),
            ApprovalReport("sold <i>", ago(48), active=False, devices=1),
        ),
        error="LG is <away>",
        next="the hold <ends>",
        next_at=ago(-2.5),
        next_pass=ago(-0.25),
        changes=past()[:5],
        heard=EventReport(
            "heard <of> it",
            "id",
            received=ago(6),
            diagnosed=ago(7),
            push_type="PCC_EVENT",
            diagnosis="E1<",
            category="filter_full",
            deliveries=deliveries,
        ),
        protected=True,
        protected_by="busan",
    )
    return replace(found, **other)


def device_page() -> str:
    """Return the page of a device with everything on it."""
    return Pages(LINKS).device(story(), NOW)


def device_page_bare() -> str:
    """Return the page of a device of which hardly anything is known."""
    none = dict.fromkeys(
        (
            "type",
            "place",
            "came",
            "went",
            "observed",
            "observed_at",
            "hold",
            "wait",
            "next_at",
            "heard",
            "name",
        )
    )
    bare = story(
        **none, approvals=(), error="", changes=(), protected=False, desired=True, state="unknown"
    )
    return Pages().device(bare, NOW)


def window(name: str, **other: Any) -> WindowReport:
    """Return a change window that is closed."""
    closed = WindowReport(
        name=name,
        kind="allow",
        holds="all",
        active=False,
        begins=ago(-9),
        ends=ago(-10),
        timezone="UTC",
        accounts=(),
        reason="",
        opened_until=None,
        opened_reason="",
        opened_by="",
        words="is open",
    )
    return replace(closed, **other)


def status(*accounts: AccountReport, **other: Any) -> StatusReport:
    """Return a status with all kinds of trouble."""
    opened = window("night", active=True, opened_until=ago(-1), opened_reason="r", opened_by="k")
    commit = Commit(COMMIT, "Kim <kim@hotel.test>", "Open <wing>", ago(40), Verified.NO, dirty=True)
    text = TextReport(
        COMMIT,
        commit,
        "9" * 40,
        "invalid",
        ("a.toml:1:2: <fault>",),
        ("a <warning>",),
        "git",
        ago(0.1),
        "",
    )
    found = StatusReport(
        version="9.9",
        at=NOW,
        mode="observe",
        well=False,
        summary="seoul<b> waits for an approval.",
        text=text,
        accounts=accounts,
        abandoned=("gone<", "lost"),
        state_trouble="the <disk> is full",
        clock_trouble="3 s <apart>",
        pauses=(
            PauseReport("all", ago(-4), "stock <taking>", account="east"),
            PauseReport("unsubscribe", None, "by the <file>", by="text"),
            PauseReport("all", ago(-5), "everything"),
        ),
        coming=(
            BoundaryReport(
                ago(-24), "seoul<b>", 1, 2, ("sold <b>",), 1, "too-many", "2 would <go>"
            ),
            BoundaryReport(ago(-24), "busan", 3, 4, (), 4, None, "4 would go"),
            BoundaryReport(ago(-30), "busan", 0, 1, (), 1, None, ""),
            BoundaryReport(ago(-36), "jeju", 1, 0, ("a", "b"), 0, None, ""),
        ),
        heard=HeardReport(21, LastHeardReport(ago(6), OVEN, "PCC_EVENT", None, None, None)),
        windows=(
            window("office<", reason="why <so>", words="opens <later>"),
            opened,
            window("day", active=True, words="is open by its times"),
        ),
    )
    return replace(found, **other)


def plain(one: AccountDetail) -> AccountReport:
    """Return an account as the status has it."""
    return AccountReport(
        **{name: getattr(one, name) for name in AccountReport.__dataclass_fields__}
    )


def first_page() -> str:
    """Return the first page with everything on it."""
    waits = {
        "condition": Condition.CONVERGING,
        "error": "LG gives <no> answer",
        "held": (),
        "guards": (),
        "approval": "",
    }
    quiet = {"flapping": (), "remarks": (), "rejected": None, "refused": 0}
    failing = [
        plain(detail(account=name, **waits, **quiet, next_pass=ago(at)))
        for name, at in (("w1", -1), ("w2", -0.5))
    ]
    stopped = plain(
        detail(
            account="halt", **{**waits, "condition": Condition.STOPPED}, **quiet, next_pass=ago(1)
        )
    )
    known = Overview(
        status(
            plain(detail()),
            *failing,
            stopped,
            account_report("calm", ago(1), desired=2, devices={"in_sync": 2}),
        ),
        past(),
        older=True,
    )
    return Page(LINKS).render(known)


def first_page_bare() -> str:
    """Return the first page of a daemon that has read nothing yet."""
    text = TextReport(None, None, None, None, (), (), "file", None, "")
    nothing = StatusReport(
        "9.9",
        NOW,
        "enforce",
        well=True,
        summary="No <account> yet.",
        text=text,
        accounts=(),
        abandoned=(),
    )
    return Page(Links(metrics=False)).render(Overview(nothing))


def first_page_without_its_source() -> str:
    """Return the first page where neither the newest revision nor past changes can be read."""
    digest = f"sha256:{'5' * 64}"
    text = TextReport(
        digest, None, f"sha256:{'6' * 64}", "missing", ("f",), (), "file", ago(1), "no <such> file"
    )
    shown = status(
        account_report("calm", ago(1), last_success=None), text=text, mode="enforce", abandoned=()
    )
    return Page().render(Overview(shown, past(), unread="the <disk>"))


def history_page() -> str:
    """Return past changes, narrowed in every way, on a second page."""
    given = {
        "account": "seoul<b>",
        "device": "was<h",
        "since": "7d",
        "author": "kim",
        "action": "subscribe",
        "result": "failed",
        "before": "place|1",
    }
    asked = HistoryAsked(
        given, "Asia/Seoul", {"since": "2026-11-15 (Asia/Seoul)", "until": "now (UTC)"}
    )
    return Pages(LINKS).history(asked, PastChanges(NOW, past(), "place|2"), NOW)


def pages() -> dict[str, Callable[[], str]]:
    """Return how each page is made, by the name of its lines."""
    event = HeardEvent("id", ago(6), WASHER, "Washer <s>", "seoul<b>", "E1<", "filter_full")
    ways = (DeliveryReport("crm<", "delivered", 3), DeliveryReport("erp", "pending", 1))
    heard = HeardEvents(
        2,
        (replace(event, deliveries=ways), replace(event, account="", device="short", category="")),
        ("a <receiver> is away",),
    )
    both = tuple(
        account_report(f"a{number:03}", ago(1), condition=Condition.HELD) for number in range(201)
    )
    search = SearchView(
        "was<h", ("seoul<b>",), more_accounts=True, devices=rows(), more_devices=True, heard=True
    )
    taken = EventRow(
        "id",
        ago(6),
        WASHER,
        "Washer <s>",
        "seoul<b>",
        "E1<",
        "filter_full",
        "It <leaks>",
        "pending",
        "crm: delivered",
    )
    receiver = {
        "links": LINKS,
        "program": "PCC receiver",
        "tone": "calm",
        "title": "Latest events",
        "now": NOW,
        "most": 2,
    }
    events = page_template("events.html").render
    of, bare = Pages(LINKS), Pages()
    found: dict[str, Callable[[], str]] = {
        "account": account_page,
        "account-bare": account_page_bare,
        "account-elsewhere": account_page_elsewhere,
        "account-stopped": account_page_stopped,
        "account-waiting": account_page_waiting,
        "accounts": lambda: of.accounts(status(*both), AccountsAsked("a", "held", 3)),
        "accounts-none": lambda: bare.accounts(status(*both), AccountsAsked("", "stopped")),
        "accounts-empty": lambda: bare.accounts(status(), AccountsAsked()),
        "device": device_page,
        "device-bare": device_page_bare,
        "events": lambda: of.events(heard, NOW),
        "events-away": lambda: bare.events(HeardEvents(2, (), ("a <receiver> is away",)), NOW),
        "events-none": lambda: bare.events(HeardEvents(2), NOW),
        "events-unasked": lambda: bare.events(HeardEvents(), NOW),
        "first": first_page,
        "first-bare": first_page_bare,
        "first-unread": first_page_without_its_source,
        "history": history_page,
        "history-trouble": lambda: bare.history(
            HistoryAsked({"since": "t<"}, trouble="not <a> date"), None, NOW
        ),
        "history-empty": lambda: bare.history(HistoryAsked({}), PastChanges(NOW, (), None), NOW),
        "missing": lambda: of.missing("Not found", "There is no <page>.", NOW),
        "receiver": lambda: events(
            rows=[
                taken,
                replace(taken, name="", account="", message="", category="", deliveries=""),
            ],
            **receiver,
        ),
        "receiver-empty": lambda: events(rows=[], **receiver),
        "search": lambda: of.search(search, NOW),
        "search-accounts": lambda: bare.search(
            SearchView("b", ("busan",), more_accounts=True), NOW
        ),
        "search-devices": lambda: bare.search(SearchView("b", devices=rows()[1:2]), NOW),
        "search-nothing": lambda: bare.search(SearchView("was<h"), NOW),
        "search-unasked": lambda: bare.search(SearchView(""), NOW),
    }
    return found


@pytest.mark.parametrize("name", sorted(pages()))
def test_a_page_says_what_it_has_to_say(name: str) -> None:
    """Line by line: words, figures, links, what forms send, and what is copied."""
    shown = page_text(pages()[name]()).replace(__version__, "VERSION")
    assert shown == (PAGES / f"{name}.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("trouble", "heading"),
    [
        ({"state_trouble": "the disk"}, "State cannot be written"),
        ({"clock_trouble": "3 s apart"}, "Clocks differ"),
        ({"abandoned": ("gone",)}, "Abandoned"),
        ({"faults": ("a.toml:1:2: no",)}, "Faults"),
        ({"faults": ("a.toml:1:2: no",), "rejected": "shared"}, "Rejected revision (shared)"),
        ({"warnings": ("odd",)}, "Warnings"),
        ({"trouble": "no such file"}, "The newest revision is not available"),
    ],
)
def test_each_trouble_is_shown_alone(trouble: dict[str, Any], heading: str) -> None:
    """Nothing else has to be wrong for it to have its card; where nothing is, there is none."""
    text = TextReport(COMMIT, None, COMMIT, None, (), (), "git", ago(1), "")
    calm = status(text=text, abandoned=(), state_trouble="", clock_trouble="", mode="enforce")
    of_text = trouble.keys() & TextReport.__dataclass_fields__.keys()
    wrong = replace(calm, text=replace(text, **trouble)) if of_text else replace(calm, **trouble)
    before, after = (page_text(Page().render(Overview(one))) for one in (calm, wrong))
    assert "Needs fixing\n" not in before
    assert (f"\n{heading}\n" in before, f"\n{heading}\n" in after) == (False, True)
    assert "Needs fixing\n" in after


def test_of_many_accounts_with_the_same_trouble_some_are_named() -> None:
    """The others are a number, which leads to the accounts in the same condition."""
    trouble = {"condition": Condition.STOPPED, "error": "no"}
    many = [account_report(f"a{number:03}", NOW, **trouble) for number in range(25)]
    shown = page_text(Page(LINKS).render(Overview(status(*many))))
    assert " and [5 more](/pcc/accounts?condition=stopped)\n" in shown
    assert "\n25 accounts {span badge.stopped} stopped\n" in shown


def test_an_account_on_its_way_does_not_look_as_if_lg_were_waited_for() -> None:
    """Only one with an error does."""
    converging = account_report("a", NOW, condition=Condition.CONVERGING)
    shown = page_text(Pages().accounts(status(converging), AccountsAsked()))
    assert "{span badge.converging} converging" in shown


def test_a_hold_ends_at_its_time_with_a_message_or_without() -> None:
    """A person at the device's page sees when."""
    hold = HoldReport("subscribe", "retry", "platform", "", ago(-2), "nothing")
    shown = page_text(Pages().device(story(hold=hold), NOW))
    assert "Subscribe is held (retry). The hold ends in 2 hours {time" in shown


def test_a_page_of_many_accounts_leads_to_the_next_ones() -> None:
    """They are those that were asked for, too."""
    many = [account_report(f"a{number:03}", NOW, condition=Condition.HELD) for number in range(201)]
    shown = Markup(Pages(LINKS).accounts(status(*many), AccountsAsked("a", "held", 2)))
    ways = {one for one in shown.links if "page=" in one}
    assert ways == {f"/pcc/accounts?q=a&condition=held&page={number}" for number in (1, 3)}
    assert len([one for one in shown.links if one.startswith("/pcc/accounts/a")]) == 100


def test_every_page_has_lines() -> None:
    """No file is left of a page that is not made here any more."""
    assert {one.stem for one in PAGES.iterdir()} == pages().keys()
