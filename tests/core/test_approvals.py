"""Approvals: the block that gives one, and remarks on those that say nothing any more."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
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
        ),
        approved=frozenset({DEVICES[6]}),
    )
    assert approvals.needed(plan) == DEVICES[:2]


def test_what_an_approval_can_release() -> None:
    """It releases what is held for three reasons, and nothing that LG, time or a wrong file holds."""
    released = {
        reason
        for reason in Reason
        if approvals.needed(
            Plan(DEFAULT_ACCOUNT, held=(held(reason, Action.UNSUBSCRIBE, DEVICES[0]),))
        )
    }
    assert released == {Reason.EMPTY_DESIRED, Reason.TOO_MANY, Reason.WANTED_ELSEWHERE}


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


@given(st.sets(st.sampled_from(DEVICES), min_size=1, max_size=20))
def test_a_block_names_exactly_the_devices_it_was_made_for(devices: set[DeviceId]) -> None:
    """Committed as printed, a block approves those devices and no other."""
    kept = frozenset(DEVICES) - devices
    text = dump([Desired(DEFAULT_ACCOUNT, kept)]) + approval_block(DEFAULT_ACCOUNT, devices, NOW)
    loaded = load([Document("desired-state.toml", text.encode())], MemoryTree({}))
    assert not loaded.faults
    assert loaded.accounts[DEFAULT_ACCOUNT].approved_at(NOW) == devices
    assert loaded.accounts[DEFAULT_ACCOUNT].approved_at(NOW + timedelta(days=8)) == frozenset()


def test_a_block_with_a_file_names_exactly_the_devices_of_the_file() -> None:
    """The block and the device file that go with it approve those devices and no other."""
    account = AccountName("seoul")
    file = dump_device_file(DEVICES[:25], {DEVICES[0]: "Room 1203 fridge"}).encode()
    text = dump([Desired(account, frozenset(DEVICES[25:]))]) + approval_block(
        account, DEVICES[:25], NOW, file="removed/wing-b.txt"
    )
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
