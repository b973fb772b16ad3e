"""Approvals: the block that gives one, and remarks on those that say nothing any more."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from reconciler.core import approvals
from reconciler.core.model import (
    DEFAULT_ACCOUNT,
    AccountName,
    Action,
    Approval,
    Change,
    Desired,
    DeviceId,
    Held,
    Plan,
    Reason,
)
from reconciler.desired import Document, MemoryTree, approval_block, dump, dump_device_file, load

NOW = datetime(2026, 11, 22, 10, 30, tzinfo=UTC)
DEVICES = tuple(DeviceId(f"device-{number:03}") for number in range(30))


def held(reason: Reason, action: Action, device: DeviceId) -> Held:
    """Return one held change."""
    return Held(Change(DEFAULT_ACCOUNT, action, device), reason)


def test_only_unsubscribes_that_an_approval_can_release_are_named() -> None:
    """What waits for LG, for time or for another guard is not for an approval, nor is what has one."""
    plan = Plan(
        DEFAULT_ACCOUNT,
        held=(
            held(Reason.TOO_MANY, Action.UNSUBSCRIBE, DEVICES[0]),
            held(Reason.EMPTY_DESIRED, Action.UNSUBSCRIBE, DEVICES[1]),
            held(Reason.DESIRED_REJECTED, Action.UNSUBSCRIBE, DEVICES[2]),
            held(Reason.RETRY, Action.SUBSCRIBE, DEVICES[3]),
            held(Reason.SUSPECT_LIST, Action.UNSUBSCRIBE, DEVICES[4]),
            held(Reason.TOO_MANY, Action.SUBSCRIBE, DEVICES[5]),
            held(Reason.WANTED_ELSEWHERE, Action.UNSUBSCRIBE, DEVICES[6]),
            held(Reason.PROTECTED, Action.UNSUBSCRIBE, DEVICES[7]),
        ),
        approved=frozenset({DEVICES[6]}),
    )
    assert approvals.needed(plan) == (*DEVICES[:2], DEVICES[7])


def test_what_an_approval_can_release() -> None:
    """It releases what is held for four reasons, and nothing that LG, time or a wrong file holds."""
    released = {
        reason
        for reason in Reason
        if approvals.needed(
            Plan(DEFAULT_ACCOUNT, held=(held(reason, Action.UNSUBSCRIBE, DEVICES[0]),))
        )
    }
    assert released == {
        Reason.EMPTY_DESIRED,
        Reason.TOO_MANY,
        Reason.WANTED_ELSEWHERE,
        Reason.PROTECTED,
    }


def test_up_to_twenty_devices_stand_in_the_block_itself() -> None:
    """A small block is complete: ids, an end, and a place for the reason."""
    block = approval_block(DEFAULT_ACCOUNT, DEVICES[:2], NOW)
    assert block == (
        "[[approvals]]\n"
        'account = "default"\n'
        "devices = [\n"
        '  "device-000",\n'
        '  "device-001",\n'
        "]\n"
        "expires = 2026-11-29T00:00:00Z\n"
        'reason = "say why these devices go"\n'
    )


def test_more_devices_go_to_a_file_that_a_command_writes() -> None:
    """A large block names a device file and the command that makes it."""
    block = approval_block(DEFAULT_ACCOUNT, DEVICES[:21], NOW)
    assert block.startswith(
        "# 21 devices; pcc-reconciler plan --account default --approval removed/default-2026-11-22.txt"
    )
    assert 'device_files = ["removed/default-2026-11-22.txt"]' in block


def reasoned(block: str) -> str:
    """Return a block in which a person gave the reason."""
    return block.replace("say why these devices go", "wing B is being rebuilt")


def test_a_block_that_nobody_gave_a_reason_is_a_fault() -> None:
    """Pasted unchanged, a block approves nothing: the words in it are those of the program."""
    text = dump([Desired(DEFAULT_ACCOUNT, frozenset(DEVICES[2:]))])
    text += approval_block(DEFAULT_ACCOUNT, DEVICES[:2], NOW)
    loaded = load([Document("d.toml", text.encode())], MemoryTree({}))
    (fault,) = loaded.faults
    assert "'say why these devices go' is not a reason" in fault.message
    assert text.splitlines()[fault.line - 1].startswith("reason = ")


@pytest.mark.parametrize(
    "reason",
    ["Say why these devices go", "say why these devices go.", " say  why these devices go "],
)
def test_the_words_of_the_program_are_no_reason_however_they_are_written(reason: str) -> None:
    """Another capital letter or a full stop does not make a reason of them."""
    text = dump([Desired(DEFAULT_ACCOUNT, frozenset(DEVICES[2:]))])
    block = approval_block(DEFAULT_ACCOUNT, DEVICES[:2], NOW)
    text += block.replace("say why these devices go", reason)
    loaded = load([Document("d.toml", text.encode())], MemoryTree({}))
    assert len(loaded.faults) == 1


def test_a_file_that_an_older_version_accepted_stays_in_force() -> None:
    """An upgrade does not take away what is in force, although the file needs a reason now."""
    text = dump([Desired(DEFAULT_ACCOUNT, frozenset(DEVICES[2:]))])
    text += approval_block(DEFAULT_ACCOUNT, DEVICES[:2], NOW)
    kept = load([Document("d.toml", text.encode())], MemoryTree({}), kept=True)
    assert not kept.faults
    assert kept.accounts[DEFAULT_ACCOUNT].devices == frozenset(DEVICES[2:])


def test_a_block_has_the_names_of_its_devices_beside_the_ids() -> None:
    """The person who decides sees rooms, not hashes; what has no name stays an id alone."""
    block = approval_block(
        DEFAULT_ACCOUNT, DEVICES[:2], NOW, names={DEVICES[0]: "Room 202 fridge", DEVICES[1]: ""}
    )
    assert '  "device-000",  # Room 202 fridge\n  "device-001",\n' in block


@given(st.dictionaries(st.sampled_from(DEVICES), st.text(), min_size=1, max_size=25))
@example({DEVICES[0]: 'x\n]\ndevices = ["all"]'})
@example({DEVICES[0]: "\x00\x1b[31m\x7f\u2028\ud800"})
def test_no_name_changes_which_devices_a_block_names(names: dict[DeviceId, str]) -> None:
    """Whatever a device is called, the block and the device file approve the same devices, and are UTF-8."""
    account, kept = AccountName("seoul"), frozenset(DEVICES) - names.keys()
    file = dump_device_file(names, names).encode()
    whole = dump([Desired(account, kept)])
    inline = approval_block(account, names, NOW, names=names)
    by_file = approval_block(account, names, NOW, file="removed/b.txt", names=names)
    for block in (inline, by_file) if len(names) <= 20 else (by_file,):
        text = (whole + reasoned(block)).encode()
        loaded = load([Document("d.toml", text)], MemoryTree({"removed/b.txt": file}))
        assert not loaded.faults
        assert loaded.accounts[account].approved_at(NOW) == names.keys()


@given(st.sets(st.sampled_from(DEVICES), min_size=1, max_size=20))
def test_a_block_names_exactly_the_devices_it_was_made_for(devices: set[DeviceId]) -> None:
    """Committed as printed, a block approves those devices and no other."""
    kept = frozenset(DEVICES) - devices
    block = reasoned(approval_block(DEFAULT_ACCOUNT, devices, NOW))
    text = dump([Desired(DEFAULT_ACCOUNT, kept)]) + block
    loaded = load([Document("desired-state.toml", text.encode())], MemoryTree({}))
    assert not loaded.faults
    assert loaded.accounts[DEFAULT_ACCOUNT].approved_at(NOW) == devices
    assert loaded.accounts[DEFAULT_ACCOUNT].approved_at(NOW + timedelta(days=8)) == frozenset()


def test_a_block_with_a_file_names_exactly_the_devices_of_the_file() -> None:
    """The block and the device file that go with it approve those devices and no other."""
    account = AccountName("seoul")
    file = dump_device_file(DEVICES[:25], {DEVICES[0]: "Room 1203 fridge"}).encode()
    block = approval_block(account, DEVICES[:25], NOW, file="removed/wing-b.txt")
    text = dump([Desired(account, frozenset(DEVICES[25:]))]) + reasoned(block)
    loaded = load([Document("d.toml", text.encode())], MemoryTree({"removed/wing-b.txt": file}))
    assert not loaded.faults
    assert loaded.accounts[account].approved_at(NOW) == frozenset(DEVICES[:25])


def test_an_approval_that_has_ended_is_told_with_what_it_left() -> None:
    """An approval that expired unused is told, because somebody meant those devices to go."""
    desired = Desired(
        DEFAULT_ACCOUNT, frozenset(), approvals=(Approval(frozenset(DEVICES[:3]), NOW, "wing B"),)
    )
    (remark,) = approvals.remarks(desired, frozenset(DEVICES[1:]), NOW)
    assert remark == (
        "the approval 'wing B' of account default expired at 2026-11-22T10:30:00Z; "
        "2 devices that it names are still live"
    )


def test_an_approval_of_devices_that_are_not_live_is_told() -> None:
    """An approval that is done, or that mistypes an id, is told as such."""
    later = NOW + timedelta(days=1)
    desired = Desired(
        DEFAULT_ACCOUNT,
        frozenset(),
        approvals=(
            Approval(frozenset(DEVICES[:2]), later, "done"),
            Approval(frozenset(DEVICES[1:3]), later, "half"),
            Approval(frozenset(DEVICES[2:3]), later, "good"),
        ),
    )
    assert approvals.remarks(desired, frozenset(DEVICES[2:]), NOW) == (
        "the approval 'done' of account default names no live device (any more): it can be removed",
        "the approval 'half' of account default names 1 devices that are not live",
    )
