"""Which text is in force: the file as the failure domain, keys that concern all, and accounts that vanish."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from core_strategies import HOUR, NOW
from reconciler.core.acceptance import (
    Accepted,
    AccountRevision,
    Claims,
    Seen,
    accept,
    adopt,
    changed,
    chosen,
    reject,
)
from reconciler.core.errors import Fault, Unknown
from reconciler.core.model import (
    AccountName,
    Cause,
    Commit,
    Desired,
    Device,
    DeviceId,
    Policy,
    Revision,
    Unsettled,
)
from reconciler.core.windows import Holds, Span, Window, WindowKind
from reconciler.desired import Loaded

SEOUL, BUSAN, JEJU = AccountName("seoul"), AccountName("busan"), AccountName("jeju")
FIRST, SECOND, THIRD = Revision("1" * 64), Revision("2" * 64), Revision("3" * 64)
FAULT = Fault("seoul.toml", 3, 1, "not an id")
WARNING = Fault("busan.toml", 1, 1, "the same device is in two accounts")


def part(
    account: AccountName, *devices: str, path: str = "", policy: Policy | None = None
) -> Desired:
    """Return an account's part of the text in the file of its name."""
    return Desired(
        account,
        frozenset(map(DeviceId, devices)),
        policy=policy or Policy(),
        path=path or f"{account}.toml",
    )


def loaded(
    *parts: Desired,
    faulty: Mapping[str, Iterable[AccountName] | None] | None = None,
    retired: Iterable[AccountName] = (),
    shared: Iterable[str] = (),
    shared_fault: bool = False,
    wrong_environment: Fault | None = None,
    faults: tuple[Fault, ...] = (),
    warnings: tuple[Fault, ...] = (),
) -> Loaded:
    """Return what a loader would, with a fault for the faulty files."""
    broken = {
        path: None if names is None else frozenset(names) for path, names in (faulty or {}).items()
    }
    return Loaded(
        accounts={one.account: one for one in parts},
        retired=frozenset(retired),
        environment=None,
        faults=faults or ((FAULT,) if broken or shared_fault else ()),
        warnings=warnings,
        faulty=broken,
        shared=frozenset(shared),
        shared_fault=shared_fault,
        wrong_environment=wrong_environment,
        files={},
        sha256="0" * 64,
    )


def three() -> Accepted:
    """Return three accounts of three files in force."""
    return accept(Accepted(), loaded(part(SEOUL, "a"), part(BUSAN, "b"), part(JEJU, "c")), FIRST)


def in_force(accepted: Accepted) -> dict[AccountName, frozenset[DeviceId]]:
    """Return the devices that are in force for each account."""
    return {name: text.desired.devices for name, text in accepted.accounts.items()}


def test_the_first_text() -> None:
    """A sound text is in force for each of its accounts, and nothing is rejected."""
    after = three()
    assert in_force(after) == {SEOUL: {"a"}, BUSAN: {"b"}, JEJU: {"c"}}
    assert {text.revision for text in after.accounts.values()} == {FIRST}
    assert {text.rejected for text in after.accounts.values()} == {None}
    assert (after.revision, after.newest, after.rejected) == (FIRST, FIRST, None)
    assert (after.abandoned, after.retired, after.faults, after.warnings) == (
        frozenset(),
        frozenset(),
        (),
        (),
    )


def test_a_newer_text_replaces_an_older_one() -> None:
    """What a newer sound text says is in force, for every account of it, under its revision."""
    after = accept(
        three(),
        loaded(part(SEOUL, "x"), part(BUSAN, "b"), part(JEJU, "c"), warnings=(WARNING,)),
        SECOND,
    )
    assert in_force(after)[SEOUL] == {"x"}
    assert {text.revision for text in after.accounts.values()} == {SECOND}
    assert after.warnings == (WARNING,)


def test_the_file_is_the_failure_domain() -> None:
    """The account of a faulty file keeps its text and is marked; those of the other files follow their edits."""
    before = three()
    after = accept(
        before, loaded(part(BUSAN, "b2"), part(JEJU, "c"), faulty={"seoul.toml": [SEOUL]}), SECOND
    )
    assert in_force(after) == {SEOUL: {"a"}, BUSAN: {"b2"}, JEJU: {"c"}}
    assert after.accounts[SEOUL] == AccountRevision(
        before.accounts[SEOUL].desired, FIRST, Cause.INVALID
    )
    assert after.accounts[BUSAN].rejected is None
    assert after.accounts[BUSAN].revision == SECOND
    assert (after.revision, after.newest, after.rejected) == (SECOND, SECOND, Cause.INVALID)
    assert after.faults == (FAULT,)
    assert after.abandoned == frozenset()


def test_a_file_that_cannot_be_parsed_might_hold_any_account() -> None:
    """While a file cannot be read at all, an account that is nowhere else keeps its text: it may have moved there."""
    after = accept(three(), loaded(part(BUSAN, "b"), faulty={"new.toml": None}), SECOND)
    assert in_force(after) == {SEOUL: {"a"}, BUSAN: {"b"}, JEJU: {"c"}}
    assert {name for name, text in after.accounts.items() if text.rejected is Cause.INVALID} == {
        SEOUL,
        JEJU,
    }
    assert after.abandoned == frozenset()


def test_an_account_that_left_a_faulty_file_that_can_be_read() -> None:
    """A faulty file keeps the accounts it defines now and those it defined before; others that vanish are abandoned."""
    before = accept(
        Accepted(),
        loaded(part(SEOUL, "a"), part(BUSAN, "b", path="seoul.toml"), part(JEJU, "c")),
        FIRST,
    )
    after = accept(
        before, loaded(part(AccountName("new"), "d"), faulty={"seoul.toml": [SEOUL]}), SECOND
    )
    assert set(after.accounts) == {SEOUL, BUSAN, AccountName("new")}
    assert after.abandoned == {JEJU}


def test_an_account_that_moved_into_a_faulty_file() -> None:
    """An account that a faulty file defines now keeps its text, wherever it was before."""
    after = accept(
        three(), loaded(part(BUSAN, "b"), part(JEJU, "c"), faulty={"moved.toml": [SEOUL]}), SECOND
    )
    assert after.accounts[SEOUL].rejected is Cause.INVALID
    assert after.abandoned == frozenset()


def test_an_account_that_moved_out_of_a_faulty_file() -> None:
    """An account that a sound file defines follows that file, though its old file is faulty."""
    moved = part(SEOUL, "a2", path="busan.toml")
    after = accept(
        three(), loaded(moved, part(BUSAN, "b"), part(JEJU, "c"), faulty={"seoul.toml": []}), SECOND
    )
    assert after.accounts[SEOUL] == AccountRevision(moved, SECOND)


def test_a_mended_file_is_in_force_again() -> None:
    """Once the file is sound its accounts follow it, and no mark remains."""
    broken = accept(
        three(), loaded(part(BUSAN, "b"), part(JEJU, "c"), faulty={"seoul.toml": [SEOUL]}), SECOND
    )
    after = accept(broken, loaded(part(SEOUL, "a"), part(BUSAN, "b"), part(JEJU, "c")), THIRD)
    assert after.accounts[SEOUL].rejected is None
    assert (after.rejected, after.faults) == (None, ())
    assert changed(broken, after) == {SEOUL}


@pytest.mark.parametrize(
    "text",
    [
        loaded(shared_fault=True),
        loaded(part(BUSAN, "b2"), shared_fault=True),
        loaded(part(BUSAN, "b2"), shared=["policy.toml"], faulty={"policy.toml": []}),
        loaded(faulty={"seoul.toml": [SEOUL], "busan.toml": [BUSAN], "jeju.toml": [JEJU]}),
        loaded(faults=(FAULT,)),
    ],
    ids=[
        "shared key",
        "shared key beside an account",
        "file with shared keys",
        "every file",
        "no account",
    ],
)
def test_a_fault_that_concerns_all_rejects_all(text: Loaded) -> None:
    """A fault in the shared keys, or in all there is, leaves every account as it was, marked."""
    before = three()
    after = accept(before, text, SECOND)
    assert in_force(after) == in_force(before)
    assert {one.rejected for one in after.accounts.values()} == {Cause.INVALID}
    assert {one.revision for one in after.accounts.values()} == {FIRST}
    assert (after.revision, after.newest, after.rejected) == (FIRST, SECOND, Cause.INVALID)
    assert after.faults == (FAULT,)


def test_a_file_that_held_shared_keys_before_still_might() -> None:
    """A file that held the policy and cannot be read now rejects all: what it protects is not known."""
    before = accept(Accepted(), loaded(part(SEOUL, "a"), shared=["policy.toml"]), FIRST)
    broken = loaded(part(SEOUL), faulty={"policy.toml": None})
    after = accept(before, broken, SECOND)
    assert in_force(after) == {SEOUL: {"a"}}
    assert after.accounts[SEOUL].rejected is Cause.INVALID
    again = accept(after, broken, THIRD)
    assert in_force(again) == {SEOUL: {"a"}}
    assert again.shared == {"policy.toml"}


@pytest.mark.parametrize("still", [["limits.toml"], []], ids=["another one has", "none has"])
def test_each_of_several_files_with_shared_keys_is_known_where_it_is_cut(still: list[str]) -> None:
    """A file that is cut before its policy rejects all, whether or not another file has a shared key as well."""
    both = ["limits.toml", "policy.toml"]
    before = accept(Accepted(), loaded(part(SEOUL, "a"), part(BUSAN, "b"), shared=both), FIRST)
    cut = loaded(part(BUSAN, "b2"), shared=still, faulty={"policy.toml": []})
    after = accept(before, cut, SECOND)
    assert (after.rejected, after.revision) == (Cause.INVALID, FIRST)
    assert in_force(after) == {SEOUL: {"a"}, BUSAN: {"b"}}


def test_a_file_is_known_again_wherever_its_folder_is() -> None:
    """Another replica, or the next start, may have the same files in another folder."""
    here, there = (part(SEOUL, "a", path=f"{folder}/seoul.toml") for folder in ("one", "two"))
    before = accept(Accepted(), loaded(here, part(BUSAN, "b"), shared=["/one/policy.toml"]), FIRST)
    broken = loaded(part(SEOUL, path="/two/seoul.toml"), faulty={"/two/policy.toml": None})
    after = accept(before, broken, SECOND)
    assert (after.rejected, after.revision) == (Cause.INVALID, FIRST)
    assert in_force(after) == {SEOUL: {"a"}, BUSAN: {"b"}}
    before = accept(Accepted(), loaded(here, part(BUSAN, "b")), FIRST)
    after = accept(before, loaded(part(BUSAN, "b"), faulty={there.path: []}), SECOND)
    assert in_force(after) == {SEOUL: {"a"}, BUSAN: {"b"}}


def test_shared_keys_may_move_to_another_file() -> None:
    """Once a sound file holds the shared keys, a fault in the file that held them before is that file's own again."""
    before = accept(
        Accepted(), loaded(part(SEOUL, "a"), part(BUSAN, "b"), shared=["seoul.toml"]), FIRST
    )
    moved = accept(
        before, loaded(part(SEOUL, "a"), part(BUSAN, "b"), shared=["busan.toml"]), SECOND
    )
    assert moved.shared == {"busan.toml"}
    after = accept(
        moved,
        loaded(part(BUSAN, "b2"), shared=["busan.toml"], faulty={"seoul.toml": [SEOUL]}),
        THIRD,
    )
    assert in_force(after) == {SEOUL: {"a"}, BUSAN: {"b2"}}


def test_a_wrong_environment_rejects_all() -> None:
    """A text of another environment leaves everything as it was, and its fault is told before the others."""
    wrong = Fault("all.toml", 2, 1, "the environment is 'test', not 'production'")
    after = accept(three(), loaded(part(SEOUL), wrong_environment=wrong, faults=(FAULT,)), SECOND)
    assert in_force(after) == in_force(three())
    assert {one.rejected for one in after.accounts.values()} == {Cause.ENVIRONMENT}
    assert after.faults == (wrong, FAULT)
    assert after.rejected is Cause.ENVIRONMENT


def test_accounts_that_vanish_are_abandoned_until_they_are_back() -> None:
    """An account that no file names any more is abandoned, over later texts too, until it is back."""
    gone = accept(three(), loaded(part(SEOUL, "a")), SECOND)
    assert set(gone.accounts) == {SEOUL}
    assert gone.abandoned == {BUSAN, JEJU}
    later = accept(gone, loaded(part(SEOUL, "a2")), THIRD)
    assert later.abandoned == {BUSAN, JEJU}
    back = accept(later, loaded(part(SEOUL, "a2"), part(BUSAN, "b")), FIRST)
    assert set(back.accounts) == {SEOUL, BUSAN}
    assert back.abandoned == {JEJU}


def test_retired_accounts_are_not_abandoned() -> None:
    """An account named as retired is let go, whether it vanishes now or was abandoned before."""
    now = accept(three(), loaded(part(SEOUL, "a"), retired=[BUSAN, JEJU]), SECOND)
    assert now.abandoned == frozenset()
    assert now.retired == {BUSAN, JEJU}
    abandoned = accept(three(), loaded(part(SEOUL, "a")), SECOND)
    later = accept(abandoned, loaded(part(SEOUL, "a"), retired=[BUSAN]), THIRD)
    assert later.abandoned == {JEJU}


def test_a_retired_account_is_not_kept_by_a_faulty_file() -> None:
    """A person's word that an account is retired counts though a file that might hold it is faulty."""
    after = accept(
        three(), loaded(part(SEOUL, "a"), faulty={"busan.toml": None}, retired=[BUSAN]), SECOND
    )
    assert set(after.accounts) == {SEOUL, JEJU}
    assert after.abandoned == frozenset()


def test_a_text_that_brings_nothing_into_force_is_not_the_revision() -> None:
    """The revision is the newest one that brought something into force."""
    empty = accept(three(), loaded(retired=[SEOUL, BUSAN, JEJU]), SECOND)
    assert (empty.accounts, empty.revision, empty.newest) == ({}, FIRST, SECOND)


def test_what_did_not_change_stays_the_same_object() -> None:
    """An account whose part is equal keeps the very object, so a pass need not stop for another account's edit."""
    before = three()
    after = accept(before, loaded(part(SEOUL, "a"), part(BUSAN, "b2"), part(JEJU, "c")), SECOND)
    assert after.accounts[SEOUL].desired is before.accounts[SEOUL].desired
    assert after.accounts[BUSAN].desired is not before.accounts[BUSAN].desired
    assert changed(before, after) == {BUSAN}


def test_another_policy_is_another_text() -> None:
    """A changed policy changes the account's part though its devices are the same."""
    before = three()
    strict = part(SEOUL, "a", policy=Policy(max_unsubscribe=0))
    after = accept(before, loaded(strict, part(BUSAN, "b"), part(JEJU, "c")), SECOND)
    assert changed(before, after) == {SEOUL}
    assert after.accounts[SEOUL].desired is strict


def test_changed_names_what_came_went_and_was_marked() -> None:
    """Accounts that came, went, or whose text was rejected or accepted again have changed."""
    before = three()
    assert changed(before, before) == frozenset()
    assert changed(Accepted(), before) == {SEOUL, BUSAN, JEJU}
    assert changed(before, accept(before, loaded(part(SEOUL, "a"), part(BUSAN, "b")), SECOND)) == {
        JEJU
    }
    files = Unsettled(frozenset({DeviceId("a")}), "half written")
    waits = replace(
        before,
        accounts={**before.accounts, SEOUL: replace(before.accounts[SEOUL], unsettled=files)},
    )
    assert changed(before, waits) == changed(waits, before) == {SEOUL}
    marked = reject(before, Cause.MISSING, ())
    assert changed(before, marked) == {SEOUL, BUSAN, JEJU}
    assert changed(marked, reject(marked, Cause.MISSING, (FAULT,))) == frozenset()
    assert changed(marked, reject(marked, Cause.INVALID, ())) == {SEOUL, BUSAN, JEJU}


@pytest.mark.parametrize("cause", Cause)
def test_reject_keeps_everything_in_force(cause: Cause) -> None:
    """A rejected text changes nothing but the marks, the faults and what is newest."""
    before = replace(three(), abandoned=frozenset({AccountName("old")}), warnings=(WARNING,))
    after = reject(before, cause, (FAULT,), SECOND)
    assert in_force(after) == in_force(before)
    assert {one.rejected for one in after.accounts.values()} == {cause}
    seen = (*before.seen, Seen(str(SECOND), SECOND.sha256, cause))
    told: dict[str, Any] = {
        "newest": SECOND,
        "rejected": cause,
        "faults": (FAULT,),
        "warnings": (),
        "seen": seen,
    }
    assert after == replace(before, accounts=after.accounts, **told)


def test_what_became_of_each_revision_is_remembered() -> None:
    """The last revisions read stay known with what became of them; one read again is not another one."""
    revisions = [Revision(f"{number:064x}") for number in range(20 + 3)]
    after = Accepted()
    for revision in revisions:
        after = accept(after, loaded(part(SEOUL, "a")), revision)
    assert [one.revision for one in after.seen] == [str(one) for one in revisions[3:]]
    again = accept(after, loaded(part(SEOUL, "a")), revisions[-1])
    assert again.seen == after.seen
    last = revisions[-1]
    assert reject(after, Cause.INVALID, (FAULT,), last).seen[-1] == Seen(
        str(last), last.sha256, Cause.INVALID
    )
    assert reject(after, Cause.MISSING, (FAULT,)).seen == after.seen


def test_each_edit_of_a_tree_that_is_not_committed_is_known_by_itself() -> None:
    """They share the name of the commit, so the digest tells them apart; one that is read again is still one."""
    commit = Commit("c" * 40, "Kim", "Change", NOW, dirty=True)
    first, second = Revision("1" * 64, commit), Revision("2" * 64, commit)
    after = accept(Accepted(), loaded(part(SEOUL, "a")), first)
    after = reject(after, Cause.INVALID, (FAULT,), second)
    after = reject(after, Cause.INVALID, (FAULT,), second)
    assert after.seen == (
        Seen(str(first), first.sha256),
        Seen(str(second), second.sha256, Cause.INVALID),
    )


def test_what_a_revision_says_of_all_accounts_is_in_force_with_it() -> None:
    """A revision that is rejected takes none of it back."""
    night = Window("night", WindowKind.DENY, Holds.ALL, Span(None, NOW), "UTC")
    said = replace(
        loaded(part(SEOUL, "a"), shared=["all.toml"], retired=[JEJU]),
        environment="production",
        timezone="Asia/Seoul",
        windows=(night,),
    )
    after = accept(three(), said, SECOND)
    found = (after.environment, after.shared, after.timezone, after.windows, after.retired)
    expected = "production", frozenset({"all.toml"}), "Asia/Seoul", (night,), frozenset({JEJU})
    assert found == expected
    rejected = reject(after, Cause.MISSING, (FAULT,), THIRD)
    assert found == (
        rejected.environment,
        rejected.shared,
        rejected.timezone,
        rejected.windows,
        rejected.retired,
    )
    assert accept(after, loaded(part(SEOUL, "a")), THIRD).windows == ()


def test_what_another_process_accepted_is_taken_as_it_is() -> None:
    """All of it counts, with the objects of before for accounts that want the same: their passes go on."""
    before = three()
    parts = (part(SEOUL, "a"), part(BUSAN, "x"), part(AccountName("ulsan"), "u"))
    there = reject(accept(Accepted(), loaded(*parts), SECOND), Cause.INVALID, (FAULT,), THIRD)
    after = adopt(before, there)
    assert after == there
    assert after.accounts[SEOUL].desired is before.accounts[SEOUL].desired
    assert {(one.revision, one.rejected) for one in after.accounts.values()} == {
        (SECOND, Cause.INVALID)
    }
    assert changed(before, adopt(before, three())) == frozenset()


def test_commits_that_were_overtaken_share_the_fate_of_the_one_that_was_read() -> None:
    """Two merges within one interval are fetched as one; who waits for the first learns what became of it."""
    after = accept(Accepted(), loaded(part(SEOUL, "a")), FIRST, ["c1", "c2"])
    assert [(one.revision, one.sha256, one.rejected) for one in after.seen] == [
        ("c1", "", None),
        ("c2", "", None),
        (str(FIRST), FIRST.sha256, None),
    ]
    rejected = reject(after, Cause.INVALID, (FAULT,), SECOND, ["c3"])
    assert [one.rejected for one in rejected.seen[-2:]] == [Cause.INVALID] * 2
    whole = accept(after, loaded(part(SEOUL, "a"), shared_fault=True), SECOND, ["c3"])
    assert whole.revision == FIRST
    assert [one.revision for one in whole.seen[-2:]] == ["c3", str(SECOND)]
    assert [one.rejected for one in whole.seen[-2:]] == [whole.rejected] * 2 != [None] * 2


def test_reject_without_a_revision_keeps_the_newest() -> None:
    """A text that is not there has no revision, so the newest one read stays what it was."""
    assert reject(three(), Cause.MISSING, ()).newest == FIRST


def test_rejecting_again_keeps_the_marked_texts() -> None:
    """A text that is rejected for the same cause again stays the same object."""
    once = reject(three(), Cause.INVALID, (FAULT,))
    twice = reject(once, Cause.INVALID, (FAULT,))
    assert all(twice.accounts[name] is text for name, text in once.accounts.items())


def test_rejecting_at_the_start_brings_nothing_into_force() -> None:
    """Where nothing was accepted before, a rejected text leaves nothing in force and says why."""
    after = accept(Accepted(), loaded(faulty={"seoul.toml": [SEOUL]}), FIRST)
    assert (after.accounts, after.revision, after.newest, after.rejected) == (
        {},
        None,
        FIRST,
        Cause.INVALID,
    )


def test_every_fault_is_told_in_its_order() -> None:
    """The wrong environment is one of them."""
    wrong = Fault("busan.toml", 1, 1, "another environment")
    text = loaded(part(SEOUL), faults=(FAULT,))
    assert text.every_fault == (FAULT,)
    assert replace(text, wrong_environment=wrong).every_fault == (wrong, FAULT)


def test_the_files_of_a_document_are_it_and_those_that_it_names() -> None:
    """In the order of their names, whichever comes first."""
    text = replace(
        loaded(part(SEOUL)),
        files={name: name.encode() for name in ("z", "b.toml", "a", "c", "d", "e", "f")},
        named={"b.toml": frozenset("zacdef")},
    )
    assert list(text.files_of("b.toml")) == ["a", "b.toml", "c", "d", "e", "f", "z"]
    assert text.files_of("a") == {"a": b"a"}


def test_a_person_asks_for_accounts() -> None:
    """Each is chosen once, in sorted order; without names all are. An unknown name is an error with a suggestion."""
    known = [SEOUL, BUSAN]
    assert chosen(None, known) == known
    assert chosen([], known) == known
    assert chosen(["busan", "seoul", "busan"], known) == [BUSAN, SEOUL]
    with pytest.raises(Unknown, match="no account 'busen'; did you mean 'busan'"):
        chosen(["seoul", "busen"], known)


def claiming(*parts: Desired) -> dict[AccountName, AccountRevision]:
    """Return what is in force for some accounts."""
    return {one.account: AccountRevision(one, FIRST) for one in parts}


def test_claims_follow_what_comes_into_force() -> None:
    """A device is wanted elsewhere as long as another account has it; an account alone has no others."""
    parts = (part(SEOUL, "a", "b"), part(BUSAN, "b", "c"))
    claims = Claims.of({one.account: one for one in parts}, FIRST)
    version, wanted = claims.version, [DeviceId(one) for one in "abc"]
    assert claims.elsewhere(JEJU, wanted, NOW) == {"a": SEOUL, "b": SEOUL, "c": BUSAN}
    assert claims.elsewhere(SEOUL, wanted, NOW) == {"b": BUSAN, "c": BUSAN}
    text = claiming(part(SEOUL, "a"), part(BUSAN, "b", "c"))
    claims.follow(text)
    claims.enforce(text)
    assert claims.version == version + 1
    assert claims.elsewhere(JEJU, wanted, NOW) == {"a": SEOUL, "b": BUSAN, "c": BUSAN}
    alone = claiming(part(SEOUL, "a", "b"))
    claims.follow(alone)
    claims.enforce(alone)
    assert claims.elsewhere(JEJU, wanted, NOW) == {}


def test_one_clock_is_enough_for_a_claim() -> None:
    """What another account wants by LG's clock or by ours is wanted; by ours it is named first."""
    soon = Device(DeviceId("a"), from_=NOW + HOUR)
    theirs = Desired(BUSAN, frozenset({soon.id}), {soon.id: soon}, path="busan.toml")
    claims = Claims.of({SEOUL: part(SEOUL), BUSAN: theirs}, FIRST)
    later = NOW + HOUR
    for ours, other, found in (
        (NOW, None, {}),
        (NOW, NOW, {}),
        (NOW, later, {"a": BUSAN}),
        (later, NOW, {"a": BUSAN}),
        (later, None, {"a": BUSAN}),
    ):
        assert claims.by_either_clock(SEOUL, iter([soon.id]), ours, other) == found


def test_every_other_account_that_lists_a_device_is_asked() -> None:
    """The first one may want it some day only, or no more, while another one wants it now."""
    device = DeviceId("a")
    soon, over = Device(device, from_=NOW + HOUR), Device(device, until=NOW)
    texts = {
        SEOUL: part(SEOUL, "a"),
        BUSAN: Desired(BUSAN, frozenset({device}), {device: soon}),
        JEJU: Desired(JEJU, frozenset({device}), {device: over}),
    }
    assert Claims.of(texts, FIRST).elsewhere(SEOUL, [device], NOW) == {}
    ulsan = AccountName("ulsan")
    claims = Claims.of({**texts, ulsan: part(ulsan, "a")}, FIRST)
    assert claims.elsewhere(SEOUL, [device], NOW) == {"a": ulsan}


def test_a_claim_that_is_not_in_force_yet_counts_for_nobody() -> None:
    """The index is brought in step first: what an account is about to want it does not want yet."""
    claims = Claims.of({SEOUL: part(SEOUL, "a"), JEJU: part(JEJU, "b")}, FIRST)
    claims.follow(claiming(part(SEOUL, "a"), part(JEJU, "b"), part(BUSAN, "a")))
    assert claims.elsewhere(SEOUL, [DeviceId("a")], NOW) == {}


def test_a_device_is_listed_by_each_account_that_names_it() -> None:
    """Dates do not matter for it, and one account alone is answered like several."""
    soon = Device(DeviceId("b"), from_=NOW + HOUR)
    later = Desired(BUSAN, frozenset({soon.id}), {soon.id: soon}, path="busan.toml")
    for parts, listed in (
        ((part(SEOUL, "a", "b"),), {"a": (SEOUL,), "b": (SEOUL,), "c": ()}),
        ((part(SEOUL, "a", "b"), later), {"a": (SEOUL,), "b": (SEOUL, BUSAN), "c": ()}),
        ((), {"a": (), "b": (), "c": ()}),
    ):
        claims = Claims.of({one.account: one for one in parts}, FIRST)
        assert {one: claims.listing(DeviceId(one)) for one in "abc"} == listed
