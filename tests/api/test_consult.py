"""What commands ask of the daemon, page by page, and what they make of its answers and plans."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from account_reports import account_report
from reconciler.api.client.consult import Answer, Consultation, only
from reconciler.api.client.planning import RemotePlan, plan
from reconciler.core.errors import (
    DaemonError,
    Invalid,
    NoDaemon,
    ReconcilerError,
    SomebodyElse,
    StateError,
    Unknown,
)
from reconciler.core.model import AccountName, DeviceId
from reconciler.reporting import StatusReport, TextReport, queries
from reconciler.reporting.at_hand import AtHand
from reconciler.reporting.devices import DeviceList, DeviceRow
from reconciler.reporting.explain.values import ChangeReport, WaitReport
from reconciler.reporting.formats.comment import LONGEST
from reconciler.reporting.formats.screen import Screen
from reconciler.reporting.queries import LONGEST_PAGE, AccountDetail, Page, RefusedReport
from reconciler.reporting.windows import OpeningReport
from stories import world
from told import Told

NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
ID = "7121f083d9df33c29483843fe4181663508e36cd733db8b868269c11a2512a10"


# --- The daemon or the files -----------------------------------------------------------------------------------------


def as_answer(report: object) -> Any:
    """Return a report as the daemon sends it."""
    return msgspec.json.decode(msgspec.json.encode(report))


def asking(*answers: Any) -> tuple[Consultation, Told]:
    """Return a consultation of a daemon that answers with these reports."""
    told = Told([one if isinstance(one, Exception) else as_answer(one) for one in answers])
    return Consultation("http://daemon.test", told), told


def status(**refused: int) -> StatusReport:
    """Return a status of accounts of which LG refuses this number of devices."""
    accounts = tuple(account_report(name, NOW, refused=count) for name, count in refused.items())
    text = TextReport("r", None, None, None, (), (), "file", NOW, "")
    return StatusReport(
        "0", NOW, "enforce", well=True, summary="", text=text, accounts=accounts, abandoned=()
    )


def test_the_status_is_asked_for_a_commit_if_there_is_one() -> None:
    """Without one the question has no parameter."""
    consultation, told = asking(status(), status())
    consultation.status()
    consultation.status("abcdef0")
    assert told.queries == [("/api/v1/status", {}), ("/api/v1/status", {"revision": "abcdef0"})]


def test_refused_devices_are_those_of_all_accounts_that_have_some() -> None:
    """Each such account is asked for once, and accounts without any are not."""
    wait = WaitReport("refused", "subscribe", 1, None, NOW, "1214", "no")
    details = []
    for name in ("a", "c"):
        plain = as_answer(account_report(name, NOW))
        devices = (RefusedReport(name, f"of-{name}", None, wait),)
        details.append(replace(msgspec.convert(plain, AccountDetail), refused_devices=devices))
    consultation, told = asking(*details)
    found = consultation.refused(status(a=1, b=0, c=2))
    assert [one.device for one in found] == ["of-a", "of-c"]
    assert [path for path, _ in told.queries] == ["/api/v1/accounts/a", "/api/v1/accounts/c"]


def change(number: int) -> ChangeReport:
    """Return a past change."""
    facts: dict[str, Any] = dict.fromkeys(ChangeReport.__slots__)
    facts |= {"at": NOW, "account": "a", "device": f"d{number}", "action": "subscribe"}
    return ChangeReport(**facts | {"approved": False, "pass_id": "p", "words": ""})


def row(number: int) -> DeviceRow:
    """Return a device of the list."""
    return DeviceRow("a", f"d{number}", None, None, "in_sync")


def of_history(numbers: Sequence[int], next_: str | None) -> Page:
    """Return a page of past changes."""
    return Page(NOW + timedelta(hours=numbers[0]), tuple(map(change, numbers)), next_)


def of_devices(numbers: Sequence[int], next_: str | None) -> DeviceList:
    """Return a page of devices."""
    at = NOW + timedelta(hours=numbers[0])
    return DeviceList(at, {"in_sync": 9}, tuple(map(row, numbers)), next_)


@pytest.mark.parametrize(
    ("limit", "last"), [(9, None), (6, None), (5, "after-5"), (4, "after-5"), (2, "after-2")]
)
def test_pages_are_read_until_there_are_as_many_as_are_asked_for(
    limit: int, last: str | None
) -> None:
    """Each page goes on where the one before ended, asks for what is left, and keeps the question's filters."""
    asked = {"account": "a"}
    parts: list[tuple[Sequence[int], str | None]] = [
        ((0, 1), "after-2"),
        ((2, 3, 4), "after-5"),
        ((5,), None),
    ]
    kinds: list[tuple[Callable[..., Any], str, str, str]] = [
        (of_history, "history", "changes", "before"),
        (of_devices, "devices", "devices", "after"),
    ]
    for make, method, attribute, key in kinds:
        consultation, told = asking(*(make(*part) for part in parts))
        answer = getattr(consultation, method)(asked, limit)
        read_ = [one.device for one in getattr(answer.report, attribute)]
        assert read_ == [f"d{number}" for number in range(len(read_))]
        assert len(read_) >= min(limit, 6)
        assert (answer.report.next, answer.report.at) == (last, NOW)
        queries = [query for _, query in told.queries]
        assert [query.get(key) for query in queries] == [None, "after-2", "after-5"][: len(queries)]
        assert [int(query["limit"]) for query in queries] == [limit, limit - 2, limit - 5][
            : len(queries)
        ]
        assert all(query["account"] == "a" for query in queries)
        assert answer.by == "the daemon at http://daemon.test"


def test_no_page_is_larger_than_a_page_may_be() -> None:
    """A command that wants more gets it in several."""
    consultation, told = asking(of_history([0], "x"), of_history([1], None))
    consultation.history({}, 5 * LONGEST_PAGE)
    assert [query["limit"] for _, query in told.queries] == [str(LONGEST_PAGE)] * 2


def test_windows_that_a_command_opened_are_shown_however_many_pages_there_are() -> None:
    """Only the first page names them; they are part of the whole answer all the same."""
    opened = OpeningReport("office-hours", NOW, NOW, NOW, "closed", "the broken oven", "kim")
    first = replace(of_history([0, 1], "after-2"), openings=(opened,))
    consultation, _told = asking(first, of_history([2], "after-3"), of_history([3], None))
    answer = consultation.history({}, 9).report
    assert (len(answer.changes), answer.openings) == (4, (opened,))


def test_an_explanation_is_asked_for_in_one_account_or_in_all() -> None:
    """A refusal of the daemon stays one: where it is there, files are no second opinion."""
    consultation, told = asking(DaemonError("no such device"), DaemonError("no such device"))
    for account in (None, "seoul"):
        with pytest.raises(DaemonError, match="no such device"):
            consultation.explain("Kitchen & oven", account)
    asked = {"device": "Kitchen & oven"}
    assert told.queries == [
        ("/api/v1/devices", asked),
        ("/api/v1/devices", {**asked, "account": "seoul"}),
    ]


def test_without_files_only_the_daemon_may_answer() -> None:
    """That none answers is then the answer."""
    consultation, _ = asking(NoDaemon("no daemon answers"))
    with pytest.raises(NoDaemon):
        consultation.history({}, 5)


def beside_files(*, has_state: bool = True) -> Consultation:
    """Return a consultation where no daemon answers, and files and state are at hand."""
    told = Told([NoDaemon("no daemon answers at x")] * 99)
    known = world().known
    at_hand = AtHand(known, ("a note",), "the folder", has_state, "the file")
    return Consultation("http://daemon.test", told, lambda: at_hand)


def test_where_no_daemon_answers_the_files_do() -> None:
    """The same question, with its device, its account and its filters; and it is said who answered, and why."""
    consultation, examples = beside_files(), world().examples
    for device in examples.values():
        answer = consultation.explain(device, "default")
        assert answer.report == queries.explain(world().known, device, "default")
        with pytest.raises(Unknown):
            consultation.explain(device, "another")
        changes = consultation.history({"device": device}, 1000).report.changes
        assert {change.device for change in changes} <= {device}
    every = consultation.history({}, 1000)
    assert len(every.report.changes) > 15
    assert every.by == "the file and the state in the folder, as no daemon answered"
    assert every.notes == (
        "no daemon answers at x; using the file and the state in the folder instead",
        "a note",
    )


def at_hand_in_vain() -> AtHand:
    """Fail: what is at hand is no answer beside that of a daemon."""
    raise AssertionError("files and state were read")


QUESTIONS: list[Callable[[Consultation], object]] = [
    lambda consultation: consultation.explain("oven", None),
    lambda consultation: consultation.explain("oven", "seoul"),
    lambda consultation: consultation.devices({}, 5),
    lambda consultation: consultation.history({}, 5),
]


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (DaemonError("the daemon at x refused: unauthorised"), "refused: unauthorised"),
        (DaemonError("PCC_SERVER: x is not an http address"), "not an http address"),
        (Unknown("there is no device oven"), "there is no device"),
        ({"of": "another version"}, "answers as another version would"),
        ([], "answers as another version would"),
    ],
)
def test_files_never_stand_in_for_a_daemon_that_answers(
    question: Callable[[Consultation], object], answer: Any, words: str
) -> None:
    """What it refused, or said oddly, is the answer: only where none is there may files say something else."""
    told = Told([answer])
    with pytest.raises(ReconcilerError, match=words):
        question(Consultation("http://daemon.test", told, at_hand_in_vain))


@pytest.mark.parametrize("error", [NoDaemon("nobody"), SomebodyElse("a login page")])
def test_each_question_is_answered_from_files_where_there_is_no_daemon(error: NoDaemon) -> None:
    """Also where something else is at its address; the reason is stated with the answer."""
    at_hand = beside_files().at_hand
    assert at_hand is not None
    device = next(iter(world().examples.values()))
    questions: list[Callable[[Consultation], Answer[Any]]] = [
        lambda one: one.explain(device, "default"),
        lambda one: one.devices({}, 5),
        lambda one: one.history({}, 5),
    ]
    for ask in questions:
        answer = ask(Consultation("http://daemon.test", Told([error]), at_hand))
        assert answer.by.endswith("as no daemon answered")
        assert answer.notes[0].startswith(str(error))


def test_a_list_from_files_is_as_long_as_is_asked_for() -> None:
    """Part by part or at once, it is the same."""
    whole = beside_files().devices({}, 1000).report
    assert len(whole.devices) > 10
    assert whole.next is None
    some = beside_files().devices({}, 7).report
    assert some.devices == whole.devices[:7]
    missing = beside_files().devices({"state": "unmanaged"}, 1000).report
    assert {row_.state for row_ in missing.devices} == {"unmanaged"}


def test_without_a_state_there_is_no_past() -> None:
    """That nothing is known of past changes does not mean that there were none; all else is answered."""
    consultation = beside_files(has_state=False)
    with pytest.raises(StateError, match="nothing is known of past changes"):
        consultation.history({}, 5)
    assert consultation.devices({}, 5).by == "the file alone, as no daemon answered"


def test_moments_without_a_zone_are_of_another_program() -> None:
    """Nobody would know which moment is meant."""
    consultation, _ = asking(replace(status(), at=NOW.replace(tzinfo=None)))
    with pytest.raises(DaemonError, match="another version"):
        consultation.status()


def test_a_status_of_some_accounts_has_them_as_they_were_named() -> None:
    """Each once, in that order; of none named all, and one that is not there is an error."""
    whole = status(a=0, b=0, c=0)
    assert only(whole, []) == whole
    assert [one.account for one in only(whole, ["c", "a", "c"]).accounts] == ["c", "a"]
    with pytest.raises(Unknown, match="there is no account 'd'"):
        only(whole, ["a", "d"])


# --- Plans -----------------------------------------------------------------------------------------------------------


def held(number: int, action: str, reason: str) -> dict[str, str]:
    """Return a held change as a plan shows it."""
    return {"device": f"{number:064x}", "action": action, "reason": reason}


HELD = [
    held(1, "unsubscribe", "too-many"),
    held(2, "subscribe", "too-many"),
    held(3, "unsubscribe", "paused"),
    held(4, "unsubscribe", "empty-desired"),
]


def remote(folder: Path, answer: Any, **asked: Any) -> tuple[RemotePlan, dict[str, Any]]:
    """Plan a file with a daemon that answers like this; return the plan and what was sent."""
    file = folder / "desired-state.toml"
    file.write_text(
        f'version = 1\ndevices = [{{ id = "{ID}", name = "Kitchen" }}]\n', encoding="utf-8"
    )
    told = Told([answer])
    found = plan(file, None, ["seoul"], told, **{"show": "text", **asked})
    ((path, sent),) = told.asked
    assert path == "/api/v1/plan"
    return found, sent


def planned(code: Any = 2) -> dict[str, Any]:
    """Return the daemon's answer to a plan."""
    document = {"exit_code": code, "accounts": [{"account": "seoul", "held": HELD}]}
    return {"plan": document, "notes": ["a note"], "shown": "the text"}


def test_what_is_usual_is_not_sent_and_the_answer_is_read(tmp_path: Path) -> None:
    """Only unsubscribes that an approval can release need one; names are those of the proposed file."""
    found, sent = remote(tmp_path, planned(), screen=Screen(), longest=LONGEST)
    name = "desired-state.toml"
    assert sent["documents"] == [*sent["files"]]
    assert Path(sent["documents"][0]).name == name
    assert {**sent, "documents": 0, "files": 0} == {
        "documents": 0,
        "files": 0,
        "accounts": ["seoul"],
        "show": "text",
        "approval": None,
    }
    assert found == RemotePlan(
        document=planned()["plan"],
        code=2,
        notes=["a note"],
        shown="the text",
        needed={AccountName("seoul"): [DeviceId(HELD[0]["device"]), DeviceId(HELD[3]["device"])]},
        names={DeviceId(ID): "Kitchen"},
    )


def test_what_is_not_usual_is_sent(tmp_path: Path) -> None:
    """The room, the length, the approval and what to show reach the daemon as they were asked for."""
    screen = Screen(50, folds=True, wide=False, full_ids=True)
    _, sent = remote(
        tmp_path, planned(), show="markdown", approval="a.txt", screen=screen, longest=9999
    )
    assert sent["screen"] == {"width": 50, "folds": True, "wide": False, "full_ids": True}
    assert (sent["longest"], sent["approval"], sent["show"]) == (9999, "a.txt", "markdown")


@pytest.mark.parametrize(("code", "meant"), [(0, 0), (4, 4), (5, 1), (-1, 1), (255, 1)])
def test_an_exit_code_is_one_of_ours(tmp_path: Path, code: int, meant: int) -> None:
    """Whatever answers cannot end a pipeline with a code that means something else."""
    assert remote(tmp_path, planned(code))[0].code == meant


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"plan": {}, "notes": [], "shown": ""},
        {**planned(), "notes": None},
        {**planned(), "plan": {"exit_code": 0, "accounts": [{"account": "x", "held": [{}]}]}},
        {
            **planned(),
            "plan": {
                "exit_code": 0,
                "accounts": [{"account": "x", "held": [{**HELD[0], "device": "../x"}]}],
            },
        },
    ],
    ids=range(5),
)
def test_an_answer_of_another_program_is_no_plan(tmp_path: Path, answer: Any) -> None:
    """Above all, what is no id is not written to a file of approvals."""
    with pytest.raises(DaemonError, match="not this daemon"):
        remote(tmp_path, answer)


def test_a_file_of_another_environment_is_not_sent(tmp_path: Path) -> None:
    """It is rejected here as the daemon would reject it: nothing is asked."""
    file = tmp_path / "desired-state.toml"
    file.write_text('version = 1\nenvironment = "staging"\ndevices = []\n', encoding="utf-8")
    told = Told([planned()])
    with pytest.raises(Invalid):
        plan(file, "production", [], told, show="none")
    assert told.asked == []
    plan(file, "staging", [], told, show="none")
    assert len(told.asked) == 1
