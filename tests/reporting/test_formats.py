"""How plans, reports and faults look: for people, for programs, and for places where names could do harm."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from datetime import UTC, datetime, timedelta
from html import unescape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core import text as wording
from reconciler.core.errors import Fault
from reconciler.core.model import (
    AccountName,
    Action,
    Change,
    Desired,
    Device,
    DeviceId,
    Digest,
    Held,
    MessageId,
    Outcome,
    Plan,
    Reason,
    Result,
    Tripped,
)
from reconciler.core.status import PassReport
from reconciler.core.text import markdown
from reconciler.reporting import PlanReport
from reconciler.reporting.formats import plans, styles, validations
from reconciler.reporting.formats.encoding import json_text

ACCOUNT = AccountName("seoul-hotel")
NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
HOSTILE = (
    "a|b",
    "`code`",
    "``` fence",
    "<script>alert(1)</script>",
    "two\nlines",
    "\u202egnp.exe",
    "\x1b[31mred\x07",
    "[click](http://evil.invalid)",
    "http://evil.invalid",
    "@everyone",
    "#1",
    "&lt;b&gt;",
    "**bold** _it_ ~~gone~~ $x$ ![x](y)",
    "::error::forged",
)


def change(device: str, action: Action = Action.SUBSCRIBE) -> Change:
    """Return a change."""
    return Change(ACCOUNT, action, DeviceId(device))


def gone(device: str) -> Change:
    """Return an unsubscribe."""
    return change(device, Action.UNSUBSCRIBE)


def report(plan: Plan | None = None, **more: object) -> PlanReport:
    """Return a report of one account; devices of the text may have names."""
    names = more.pop("names", {})
    assert isinstance(names, dict)
    described = {DeviceId(device): Device(DeviceId(device), name) for device, name in names.items()}
    ending = PassReport(
        desired=Desired(ACCOUNT, frozenset(described), described),
        began=NOW,
        due=NOW + timedelta(minutes=10),
        plan=plan,
        observed=None if plan is None else 0,
        **more,  # type: ignore[arg-type]  # a test names the fields it means
    )
    return PlanReport(ACCOUNT, "sha256:0123", ending)


HELD = Plan(
    ACCOUNT,
    subscribes=(change("new"),),
    held=(Held(gone("old"), Reason.TOO_MANY), Held(change("later"), Reason.RETRY, NOW)),
    tripped=(Tripped(Reason.TOO_MANY, "1 device would go, 0 are allowed"),),
    unmanaged=frozenset({DeviceId("theirs")}),
    in_sync=5,
    digest=Digest("sha256:4567"),
)


def test_a_plan_is_told_device_by_device() -> None:
    """Each device has a line with sign, name and what holds it; reasons, counts, digest and a sum follow."""
    told = plans.plan_text([report(HELD, names={"new": "Room 12"})]).splitlines()
    assert told[:7] == [
        "account seoul-hotel",
        "  +  Room 12  new",
        "  -?          old    held: too-many",
        "  +?          later  held: retry until 2026-11-22T10:00:00Z",
        "  too-many holds 1 unsubscribe: 1 device would go, 0 are allowed",
        "  retry holds 1 subscribe",
        "  5 in sync, 1 unmanaged, 0 ignored",
    ]
    assert told[7] == "  digest sha256:4567"
    assert told[-1] == "Plan: 1 to subscribe, 0 to unsubscribe, 2 held (a person has to decide)."


def test_the_block_that_releases_a_guard_can_be_copied() -> None:
    """The approval is printed in each form, and it is TOML that names exactly the devices that wait for it."""
    text = plans.plan_text([report(HELD)])
    markdown = plans.plan_markdown([report(HELD)])
    (account,) = json.loads(plans.plan_json([report(HELD)], code=3))["accounts"]
    assert account["approval"] in text
    assert f"toml\n{account['approval']}" in markdown
    (approval,) = tomllib.loads(account["approval"])["approvals"]
    assert (approval["account"], approval["devices"]) == (ACCOUNT, ["old"])
    (named,) = json.loads(plans.plan_json([report(HELD)], code=3, approval="removed/x.txt"))[
        "accounts"
    ]
    assert tomllib.loads(named["approval"])["approvals"][0]["device_files"] == ["removed/x.txt"]


def test_a_report_tells_what_became_of_each_change() -> None:
    """After apply each change has its result, with LG's words where it refused, and what was left has its reason."""
    plan = Plan(ACCOUNT, subscribes=(change("a"), change("b"), change("c"), change("d")))
    outcomes = (
        Outcome(change("a"), Result.SUCCESS, NOW),
        Outcome(change("b"), Result.REFUSED, NOW, words="Not owned\ndevice"),
    )
    left = (Held(change("c"), Reason.QUOTA, NOW),)
    told = plans.plan_text([report(plan, outcomes=outcomes, left=left)], done=True).splitlines()
    assert told[1:6] == [
        "  +  a  success",
        "  +  b  refused: Not owned device",
        "  +? c  held: quota until 2026-11-22T10:00:00Z",
        "  +  d  not done",
        "  quota holds 1 subscribe",
    ]
    assert told[-1] == "Done: 1 subscribed, 0 unsubscribed, 1 refused, 1 held."


def test_a_plan_counts_only_what_it_would_do_now() -> None:
    """What is withheld, as from an account that LG stopped, is held and not about to be made."""
    plan = Plan(ACCOUNT, subscribes=(change("a"), change("b")))
    left = tuple(Held(one, Reason.ACCOUNT_STOPPED) for one in plan.subscribes)
    told = plans.plan_text([report(plan, left=left, error="LG does not know the token")])
    assert "error: LG does not know the token" in told
    assert told.endswith(
        "Plan: 0 to subscribe, 0 to unsubscribe, 2 held, 1 account with an error.\n"
    )


def test_another_plan_than_agreed_is_told_as_such() -> None:
    """Where --expect named another digest the report says that nothing was changed, and the digest there is."""
    unexpected = report(Plan(ACCOUNT, digest=Digest("sha256:89ab")), unexpected=True)
    for told in (
        plans.plan_text([unexpected], done=True),
        plans.plan_markdown([unexpected], done=True),
    ):
        assert "nothing was changed" in told
        assert "digest sha256:89ab" in told
    assert json.loads(plans.plan_json([unexpected], code=3))["accounts"][0]["unexpected"] is True


def test_long_lists_are_cut_for_people_only() -> None:
    """At most 50 devices of a kind are listed for people; JSON holds all."""
    plan = Plan(ACCOUNT, subscribes=tuple(change(f"d{number:03}") for number in range(60)))
    for told in (plans.plan_text([report(plan)]), plans.plan_markdown([report(plan)])):
        assert "d049" in told
        assert "d050" not in told
        assert "… and 10 more" in told
    assert (
        len(json.loads(plans.plan_json([report(plan)], code=0))["accounts"][0]["subscribes"]) == 60
    )


def test_the_json_of_a_plan_has_all_of_it() -> None:
    """Keys are stable, times are ISO 8601 in UTC, and ids for LG's support are there."""
    outcome = Outcome(
        change("new"),
        Result.SUCCESS,
        NOW,
        message_id=MessageId("m" * 22),
        lg_message_id="lg",
        code="1207",
        words="w",
    )
    document = json.loads(plans.plan_json([report(HELD, outcomes=(outcome,))], code=3))
    assert document["version"] == 1
    assert document["exit_code"] == 3
    assert document["summary"]["held"] == 2
    (account,) = document["accounts"]
    assert account["held"][1] == {
        "device": "later",
        "name": None,
        "action": "subscribe",
        "kind": "platform",
        "reason": "retry",
        "until": "2026-11-22T10:00:00Z",
    }
    assert account["outcomes"] == [
        {
            "device": "new",
            "name": None,
            "action": "subscribe",
            "result": "success",
            "at": "2026-11-22T10:00:00Z",
            "code": "1207",
            "words": "w",
            "message_id": "m" * 22,
            "lg_message_id": "lg",
        }
    ]
    assert account["tripped"][0]["kind"] == "guard"


def test_colours_follow_signs() -> None:
    """Coloured or not, the words are the same, and only lines with a sign are coloured."""
    plain = plans.plan_text([report(HELD)])
    coloured = plans.plan_text([report(HELD)], colours=True)
    assert re.sub("\x1b\\[[0-9]+m", "", coloured) == plain
    assert "\x1b[32m  +  new\x1b[0m" in coloured
    assert "\x1b[33m  -? old    held: too-many\x1b[0m" in coloured


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_stay_on_their_line_of_text(name: str) -> None:
    """A name can neither begin a new line nor steer the terminal."""
    told = plans.plan_text([report(HELD, names={"new": name})])
    assert len(told.splitlines()) == len(plans.plan_text([report(HELD)]).splitlines())
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]", told)


def shown(cell: str) -> str:
    """Return what a reader of rendered Markdown sees of a cell without markup."""
    return unescape(cell.replace("<!-- -->", ""))


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_words_in_markdown(name: str) -> None:
    """In a table a name is one cell of plain words: no markup, tag, link, mention or reference."""
    told = plans.plan_markdown([report(HELD, names={"new": name})])
    (row,) = [line for line in told.splitlines() if line.startswith("| + |")]
    sign, device, cell, note = (part.strip() for part in row.strip("|").split("|"))
    assert (sign, device, note) == ("+", "`new`", "")
    assert not re.search(r"[`*_<>\[\]|~$!\\]", cell.replace("<!-- -->", ""))
    assert not re.search(r"@\w|#\w", unescape(cell))
    assert "://" not in cell
    assert not re.search(r"&(?!#\d+;)", cell)
    assert shown(cell) == " ".join(
        "".join(one if one.isprintable() else " " for one in name).split()
    )


@given(
    device=st.text(
        st.characters(exclude_categories=["Cc", "Cs", "Zs", "Zl", "Zp", "Cf", "Cn", "Co"]),
        min_size=1,
    )
)
def test_any_id_is_one_cell_of_code(device: str) -> None:
    """An id of LG's may hold any character: it stays in its cell, and its reader sees it as it is."""
    told = plans.plan_markdown([report(Plan(ACCOUNT, subscribes=(change(device),)))])
    (row,) = [line for line in told.splitlines() if line.startswith("| + |")]
    cell = row.strip("|").split("|")[1].strip()
    assert row.count("|") == 5
    assert cell.startswith(("`", "<code>"))
    text = (
        cell.strip("`")
        if cell.startswith("`")
        else cell.removeprefix("<code>").removesuffix("</code>")
    )
    assert shown(text) == device[: styles.SHOWN * 100] or len(device) > 256


FAULTS = [
    Fault("a,b:c%.toml", 3, 7, "100 % wrong\n::error::forged\r::warning::too"),
    Fault("line\n::error file=x::forged.toml", 1, 1, "plain"),
    Fault("", 0, 0, "no place"),
    Fault("whole.toml", 0, 0, "is empty"),
]


def test_annotations_cannot_be_forged() -> None:
    """Each fault is one workflow command on one line, whatever names and messages hold."""
    told = validations.findings_github(FAULTS, [Fault("w.toml", 2, 1, "odd")]).splitlines()
    assert told == [
        "::error file=a%2Cb%3Ac%25.toml,line=3,col=7::100 %25 wrong%0A::error::forged%0D::warning::too",
        "::error file=line%0A%3A%3Aerror file=x%3A%3Aforged.toml,line=1,col=1::plain",
        "::error::no place",
        "::error file=whole.toml,line=1,col=1::is empty",
        "::warning file=w.toml,line=2,col=1::odd",
    ]


@given(path=st.text(), message=st.text())
def test_any_fault_is_one_annotation(path: str, message: str) -> None:
    """No path and no message makes a second line."""
    told = validations.findings_github([Fault(path, 1, 1, message)], [])
    assert not set("\n\r") & set(told[:-1])
    assert told.startswith("::error")
    assert told.endswith("\n")


@given(path=st.text(), message=st.text())
def test_any_fault_is_one_line(path: str, message: str) -> None:
    """As a message for people a fault is one line that steers nothing."""
    (line,) = validations.findings_lines([Fault(path, 1, 1, message)], [])
    assert line.isprintable()


def test_findings_are_told_in_each_form() -> None:
    """Faults, warnings and accounts are in JSON and Markdown; a faultless text is good news."""
    account = Desired(ACCOUNT, frozenset({DeviceId("a")}), path="desired-state.toml")
    warning = Fault("w.toml", 2, 1, "odd")
    document = json.loads(validations.findings_json(FAULTS, [warning], [account]))
    assert document["valid"] is False
    assert document["faults"][0] == {
        "path": "a,b:c%.toml",
        "line": 3,
        "column": 7,
        "message": FAULTS[0].message,
    }
    assert document["warnings"][0]["path"] == "w.toml"
    assert document["accounts"] == [
        {"account": ACCOUNT, "devices": 1, "path": "desired-state.toml"}
    ]
    markdown = validations.findings_markdown([], [warning], [account]).splitlines()
    assert markdown == [
        "### The desired state is valid",
        "",
        "- warning w.toml:2:1: odd",
        "- account `seoul-hotel`: 1 device",
    ]
    assert validations.findings_markdown(FAULTS, [], []).startswith(
        "### The desired state is not valid\n"
    )
    assert validations.good_news([account, account]) == "valid: 2 accounts, 2 devices\n"


def test_a_name_that_is_not_utf_8_is_told_as_well_as_it_can_be() -> None:
    """A file's name may be any bytes; it breaks no form."""
    fault = Fault("odd-\udcff.toml", 0, 0, "is empty")
    assert (
        json.loads(validations.findings_json([fault], [], []))["faults"][0]["path"]
        == "odd-\\udcff.toml"
    )
    assert "odd-" in validations.findings_markdown([fault], [], [])
    for told in (
        validations.findings_github([fault], []),
        *validations.findings_lines([fault], []),
    ):
        assert told.encode()


@pytest.mark.parametrize(
    ("ago", "words"),
    [
        (timedelta(0), "2026-11-22 10:00:00 UTC"),
        (timedelta(seconds=1), "2026-11-22 10:00:00 UTC (1 second ago)"),
        (timedelta(minutes=4, seconds=30), "2026-11-22 10:00:00 UTC (4 minutes ago)"),
        (timedelta(days=2), "2026-11-22 10:00:00 UTC (2 days ago)"),
        (timedelta(hours=-3), "2026-11-22 10:00:00 UTC (in 3 hours)"),
    ],
)
def test_a_moment_is_told_both_ways(ago: timedelta, words: str) -> None:
    """People read how long ago, and check the exact time."""
    assert wording.moment_words(NOW, NOW + ago) == words
    assert wording.moment_words(None, NOW) == "never"


LINKS = [
    "www.evil.invalid/login",
    "WWW.EVIL.INVALID",
    "(www.evil.invalid)",
    "_www.evil.invalid_",
    "wwww.evil.invalid",
    "https://evil.invalid",
    "HTTP://evil.invalid",
    "ftp://evil.invalid",
    "xhttps://evil.invalid",
    "a@evil.invalid",
    "mailto:a@evil.invalid",
    "xmpp:a@evil.invalid/x",
    "@someone",
    "@group/team",
    "#12",
    "GH-12",
    "owner/repo#12",
    "owner/repo@0123abc",
    "!12 ~bug $3 %4 &5 ^alert#6",
    ":smile: :+1: :100:",
    "<img src=//evil.invalid/x>",
    "![x](//evil.invalid/x)",
    "[x](//evil.invalid)",
    "[x]: //evil.invalid",
    "<https://evil.invalid>",
    "w\u200bww.evil.invalid",
    "ww\u202ew.evil.invalid",
    "&#119;ww.evil.invalid",
]
REFERENCE = re.compile(
    r"www\.|\w://|\w@\w|(?<!\w)@\w|#\d|GH-\d|[!~$%&^]\w|:[a-z0-9_+-]+:", re.IGNORECASE
)
"""What forges look for in a piece of finished text."""


@pytest.mark.parametrize("words", LINKS)
def test_no_words_become_a_link_in_markdown(words: str) -> None:
    """What forges link without any markup is parted, so that no piece of the finished text is a link or a mention."""
    cell = markdown(words)
    pieces = cell.split("<!-- -->")
    assert not [
        piece
        for piece in pieces
        if re.search(r"[<>\[\]`*_~|]", piece) or REFERENCE.search(unescape(piece))
    ]
    assert shown(cell) == " ".join(
        "".join(one if one.isprintable() else " " for one in words).split()
    )


@pytest.mark.system
@pytest.mark.parametrize("words", LINKS)
def test_github_makes_no_link_of_words(words: str) -> None:
    """The program that GitHub renders with makes no link, image or tag of them, in a table or beside one."""
    page = f"- {markdown(words)}\n\n| a |\n|---|\n| {markdown(words)} |\n"
    command = ["cmark-gfm", "--unsafe", "-e", "table", "-e", "autolink", "-e", "strikethrough"]
    made = subprocess.run(  # noqa: S603
        command, input=page.encode(), capture_output=True, check=True
    ).stdout.decode()
    assert not re.search(r"<(a|img|em|strong|del|code)\b", made)
    assert made.count("<td>") == 1


def test_words_are_parted_in_time_that_grows_with_them() -> None:
    """A name made to be slow is not: ten times as long takes about ten times as long, not a hundred times."""
    for piece in ("a:+-", ":a", "www", "!a", ":1"):
        assert len(markdown(piece * 100_000)) >= len(piece) * 100_000


def test_json_escapes_what_steers_a_terminal() -> None:
    """JSON on a terminal is only words, and means what it meant."""
    hostile = {"a": "\x9b31m\x7f\u202e\u200b\ufeff\U000e0041 é 방", "\u2066": ["\x1b"]}
    told = json_text(hostile)
    assert all(one.isprintable() or one == "\n" for one in told)
    assert json.loads(told) == hostile
    assert "방" in told
