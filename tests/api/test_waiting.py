"""``status --wait``: when it is done, when it is final, and when it is only too early to tell."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from reconciler.api.client.waiting import Verdict, Watch, check_revision, is_meant, wait
from reconciler.core.errors import NoDaemon, SomebodyElse
from reconciler.core.model import Reason
from reconciler.reporting import AccountReport, HeldReport, SeenReport, StatusReport, TextReport

NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
OLD, NEW = "a" * 40, "b" * 40
SHA = "c" * 64


def held(*reasons: Reason) -> tuple[HeldReport, ...]:
    """Return a report for each reason."""
    return tuple(
        HeldReport("unsubscribe", one.kind, one, 2, None, f"because {one}") for one in reasons
    )


def account(*reasons: Reason, **more: Any) -> AccountReport:
    """Return an account whose last pass was of the text in force, and held something for these reasons."""
    facts: dict[str, Any] = {
        "account": "default",
        "condition": "held" if reasons else "in_sync",
        "result": "held" if reasons else "clean",
        "error": "",
        "rejected": None,
        "revision": NEW,
        "desired": 3,
        "observed": 3,
        "devices": {},
        "held": held(*reasons),
        "flapping": (),
        "approval": "",
        "remarks": (),
        "digest": "",
        "unsubscribe_budget_remaining": 5,
        "last_attempt": NOW,
        "last_success": NOW,
        "out_of_sync_since": None,
        "next_pass": NOW + timedelta(minutes=9),
        "current": True,
        "settled": not reasons,
        "refused": 0,
    }
    return AccountReport(**(facts | more))


def status(*accounts: AccountReport, **text: Any) -> StatusReport:
    """Return a status with these accounts, in which ``NEW`` was read and accepted, if nothing else is said."""
    facts: dict[str, Any] = {
        "revision": NEW,
        "commit": None,
        "newest": NEW,
        "rejected": None,
        "faults": (),
        "warnings": (),
        "source": "git",
        "fetched_at": NOW,
        "trouble": "",
        "sha256": SHA,
        "seen": (SeenReport(OLD, "d" * 64, None), SeenReport(NEW, SHA, None)),
    }
    return StatusReport(
        "0",
        NOW,
        "enforce",
        well=True,
        summary="",
        text=TextReport(**(facts | text)),
        accounts=accounts,
        abandoned=(),
    )


@pytest.mark.parametrize(
    ("one", "code"),
    [
        (account(), 0),
        (account(current=False), None),
        (account(Reason.TOO_MANY), 3),
        (account(Reason.EMPTY_DESIRED), 3),
        (account(Reason.DESIRED_REJECTED), 3),
        (account(Reason.STATE_UNWRITABLE), 3),
        (account(Reason.GUARD_FAILED), 3),
        (account(Reason.TOO_MANY, Reason.RETRY), 3),
        (account(Reason.TOO_MANY, Reason.REFUSED, refused=1), 3),
        (account(Reason.SUSPECT_LIST, last_success=None), None),
        (account(Reason.PAUSED), 0),
        (account(Reason.UNSUBSCRIBE_AFTER, Reason.PAUSED), 0),
        (account(Reason.PAUSED, last_success=NOW - timedelta(hours=1)), None),
        (account(Reason.PAUSED, result="partial"), None),
        (account(Reason.RETRY), None),
        (account(Reason.QUOTA), None),
        (account(Reason.PAUSED, Reason.QUOTA), None),
        (account(Reason.REFUSED, refused=1), 4),
        (account(Reason.REFUSED, Reason.RETRY, refused=1), 4),
        (account(settled=False, result="partial", refused=2), 4),
        (account(Reason.SUBSCRIPTIONS_FULL), 4),
        (account(Reason.ACCOUNT_STOPPED, condition="stopped", error="no"), 4),
        (account(settled=False, condition="stopped", result="failed", error="no credentials"), 4),
        (account(settled=False, result="partial"), None),
        (account(settled=False, result="failed", error="LG answers 502", last_success=None), None),
        (account(Reason.TOO_MANY, next_pass=NOW), None),
        (account(Reason.REFUSED, refused=1, next_pass=NOW), None),
        (account(next_pass=NOW), 0),
    ],
    ids=lambda value: (
        ""
        if isinstance(value, int) or value is None
        else "+".join(one.reason for one in value.held)
    ),
)
def test_an_account_is_judged_by_its_last_pass(one: AccountReport, code: int | None) -> None:
    """What a person has to release is 3, what LG holds for long 4; policy is done, and time is waited for."""
    assert Watch().look(status(one)).code == code


def test_of_several_accounts_each_is_waited_for_and_a_guard_goes_first() -> None:
    """As long as it is too early for one account there is no verdict; then 3 goes before 4, and 4 before 0."""
    east, west = account(account="east"), account(Reason.TOO_MANY, account="west")
    refused = account(Reason.REFUSED, account="south", refused=1)
    assert Watch().look(status(east, west, refused)).code == 3
    assert Watch().look(status(east, refused)).code == 4
    verdict = Watch().look(status(replace(east, current=False), west, refused))
    assert verdict == Verdict(None, "waiting for east: no pass of this revision has ended yet")
    assert Watch(accounts=["east"]).look(status(east, west)).code == 0
    assert Watch(accounts=["easst"]).look(status(east, west)) == Verdict(
        1, "there is no account 'easst'; did you mean 'east'?"
    )


def test_a_verdict_stays_while_the_account_is_looked_at_again() -> None:
    """A routine pass under way does not take back what was seen, but what it finds does, and so does another text."""
    watch = Watch()
    west, east = account(Reason.TOO_MANY, account="west"), account(account="east", current=False)
    assert watch.look(status(west, east)).code is None
    assert watch.look(status(replace(west, next_pass=NOW), replace(east, current=True))).code == 3
    assert watch.look(status(account(account="west"), replace(east, current=True))).code == 0
    other = status(replace(west, current=False), account(account="east"), revision=OLD)
    assert watch.look(other).code is None


@pytest.mark.parametrize(
    ("revision", "there"),
    [
        (NEW, {}),
        (NEW[:7], {}),
        (f"sha256:{SHA}", {}),
        (f"sha256:{SHA[:7]}", {}),
        (OLD, {}),
        (NEW, {"seen": ()}),
        (OLD, {"rejected": "invalid", "newest": "e" * 40, "seen": (SeenReport(OLD, SHA, None),)}),
    ],
    ids=[
        "whole",
        "shortened",
        "digest",
        "shortened digest",
        "overtaken",
        "before a restart",
        "newer one rejected",
    ],
)
def test_a_revision_that_came_into_force_has_its_time(revision: str, there: dict[str, Any]) -> None:
    """By whichever name, and even if a newer one is in force or rejected, the accounts are looked at."""
    assert Watch(revision).look(status(account(), **there)).code == 0


@pytest.mark.parametrize(
    ("there", "words"),
    [
        (
            {"revision": OLD, "newest": OLD, "seen": (SeenReport(OLD, "d" * 64, None),)},
            f"in force is {OLD[:12]}",
        ),
        (
            {"revision": OLD, "rejected": "invalid", "newest": "e" * 40, "seen": ()},
            f"in force is {OLD[:12]}",
        ),
        ({"revision": None, "newest": None, "seen": ()}, "in force is no revision"),
        ({"revision": f"{NEW}-dirty", "newest": f"{NEW}-dirty", "seen": ()}, "in force is"),
    ],
    ids=[
        "the one before",
        "another one is rejected",
        "nothing yet",
        "the same with changes beside it",
    ],
)
def test_a_revision_that_was_not_seen_is_waited_for(there: dict[str, Any], words: str) -> None:
    """As long as only others were read, rejected or not, it is too early, although the accounts are in sync."""
    verdict = Watch(NEW).look(status(account(), **there))
    assert (verdict.code, words in verdict.words) == (None, True)


def test_a_rejected_revision_is_told_at_once() -> None:
    """The awaited revision, or the newest where none is named, ends the wait with its first fault."""
    seen = (SeenReport(OLD, "d" * 64, None), SeenReport(NEW, SHA, "invalid"))
    facts: dict[str, Any] = {
        "revision": OLD,
        "rejected": "invalid",
        "faults": ("x.toml:1:1: no",),
        "seen": seen,
    }
    for watch in (Watch(NEW), Watch()):
        verdict = watch.look(status(account(Reason.DESIRED_REJECTED, rejected="invalid"), **facts))
        assert (verdict.code, "rejected (invalid): x.toml:1:1: no" in verdict.words) == (1, True)
    mended = (*seen, SeenReport("e" * 40, "f" * 64, None))
    verdict = Watch(NEW).look(status(account(), revision="e" * 40, newest="e" * 40, seen=mended))
    assert verdict == Verdict(1, f"revision {NEW[:12]} is rejected (invalid)")
    assert (
        Watch().look(status(account(), rejected="missing", faults=("there is no such file",))).code
        == 1
    )


def test_a_fault_in_another_file_concerns_other_accounts() -> None:
    """An account that is named and whose file is good is not failed by another file of the same revision."""
    seen = (SeenReport(NEW, SHA, "invalid"),)
    east, west = account(account="east"), account(account="west", rejected="invalid", revision=OLD)
    there = status(east, west, rejected="invalid", seen=seen)
    assert Watch(NEW, ["east"]).look(there).code == 0
    assert Watch(NEW, ["west"]).look(there).code == 1
    assert Watch(NEW).look(there).code == 1


def test_a_short_id_that_fits_two_commits_is_told() -> None:
    """An abbreviation that is not unique is an error that names both."""
    other = NEW[:10] + "0" * 30
    verdict = Watch(NEW[:8]).look(
        status(account(), seen=(SeenReport(other, "d" * 64, None), SeenReport(NEW, SHA, None)))
    )
    assert (verdict.code, other in verdict.words, NEW in verdict.words) == (1, True, True)


@pytest.mark.parametrize(
    "revision",
    ["main", "HEAD", "abc123", "-x", "--output", "sha256:", "sha256:xyz1234", "a" * 65, ""],
)
def test_what_is_no_revision_is_refused(revision: str) -> None:
    """Names of branches, too short ids and options are told for what they are."""
    with pytest.raises(ValueError, match="at least 7 characters"):
        check_revision(revision)


def test_a_commit_is_not_the_working_tree_made_from_it() -> None:
    """A tree with changes of its own is another text; its digest names it, or the id with that mark."""
    assert check_revision("ABCDEF1") == "abcdef1"
    assert not is_meant(NEW, f"{NEW}-dirty", SHA)
    assert is_meant(f"{NEW}-dirty", f"{NEW}-dirty", SHA)
    assert is_meant(f"sha256:{SHA}", f"{NEW}-dirty", SHA)
    assert not is_meant(NEW, "", "")


class Time:
    """Steady time that sleeping moves on."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.slept.append(seconds)
        self.now += seconds

    def waits(
        self, answers: Iterable[StatusReport | str], seconds: float = 10.0
    ) -> tuple[Verdict, list[str]]:
        """Wait for what these answers tell, the last one again and again; a word is a daemon that is away."""
        told, left = list[str](), list(answers)

        def fetch() -> StatusReport:
            one = left.pop(0) if len(left) > 1 else left[0]
            if isinstance(one, str):
                raise NoDaemon(one)
            return one

        verdict, _ = wait(
            Watch(),
            fetch,
            seconds=seconds,
            steady=lambda: self.now,
            sleep=self.sleep,
            follow=told.append,
        )
        return verdict, told


def test_a_daemon_that_is_away_is_asked_again_and_gently() -> None:
    """It may start later, or again: until time is up it is asked once a second."""
    time = Time()
    verdict, told = time.waits(
        ["not up yet", "not up yet", status(account(current=False)), "away", status(account())]
    )
    assert verdict.code == 0
    assert told == [
        "not up yet",
        "not up yet",
        "waiting for default: no pass of this revision has ended yet",
        "away",
    ]
    assert time.slept == [1.0] * 4


def test_when_time_is_up_it_says_what_was_waited_for() -> None:
    """Time out is 1 with the last words, and never goes past its end; only a doubted list left is a guard's 3."""
    time = Time()
    verdict, _ = time.waits([status(account(Reason.RETRY))], 2.5)
    assert verdict == Verdict(1, "timed out: waiting for default: held by retry")
    assert time.now == 2.5
    assert Time().waits(["no daemon answers"], 0)[0] == Verdict(1, "timed out: no daemon answers")
    doubted = account(Reason.SUSPECT_LIST, last_success=None)
    assert Time().waits([status(doubted)], 1)[0].code == 3
    assert Time().waits([status(doubted, account(account="west", current=False))], 1)[0].code == 1


def test_a_commit_in_the_history_of_what_is_in_force_has_had_its_time() -> None:
    """However long ago it was, and whether it was ever read: the accounts are judged by what is in force."""
    watch = Watch("e" * 40)
    assert watch.look(status(account())).code is None
    assert watch.look(status(account(), holds=False)).code is None
    assert watch.look(status(account(), holds=True)).code == 0
    assert watch.look(status(account(Reason.TOO_MANY), holds=True)).code == 3


def test_a_rejected_commit_stays_rejected_in_the_history() -> None:
    """One that was read and found wrong is no success because another came on top."""
    seen = (SeenReport("e" * 40, "f" * 64, "invalid"), SeenReport(NEW, SHA, None))
    assert Watch("e" * 40, ["default"]).look(status(account(), holds=True, seen=seen)).code == 1


@pytest.mark.parametrize(
    ("revision", "commit"),
    [(None, None), ("a" * 7, "a" * 7), ("sha256:" + "a" * 10, None), ("a" * 40 + "-dirty", None)],
)
def test_which_commit_the_daemon_is_asked_for(revision: str | None, commit: str | None) -> None:
    """Only a plain commit can be in a history."""
    assert Watch(revision).commit == commit


def test_somebody_else_ends_the_wait() -> None:
    """A login page will not turn into the daemon: the wait is over at once."""

    def fetch() -> StatusReport:
        raise SomebodyElse("what answers is a page")

    naps: list[float] = []
    told: list[str] = []
    verdict, report = wait(
        Watch(), fetch, seconds=600, steady=lambda: sum(naps), sleep=naps.append, follow=told.append
    )
    assert (verdict.code, verdict.words, report, naps) == (1, "what answers is a page", None, [])
