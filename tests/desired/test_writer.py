"""Export: any accounts become a text that says exactly them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given

from reconciler.core.model import AccountName, Desired, Device, DeviceId, DeviceType, Pause, Policy
from reconciler.desired import INLINE, Document, Loaded, MemoryTree, approval_block, dump, load
from strategies import fleets

DEFAULT = AccountName("default")


def read(text: str) -> Loaded:
    """Load an exported text."""
    return load([Document("x.toml", text.encode())], MemoryTree({}))


@given(fleets())
def test_an_exported_text_loads_as_what_was_exported(fleet: list[Desired]) -> None:
    """Devices, descriptions, policies, approvals and countries survive the way to the file and back."""
    loaded = read(dump(fleet))
    assert loaded.faults == ()
    assert {name: replace(desired, path="") for name, desired in loaded.accounts.items()} == {
        desired.account: desired for desired in fleet
    }


def test_one_default_account_takes_the_short_form() -> None:
    """A plain adoption of what exists reads as a person would have written it: policy first, ids sorted."""
    desired = Desired(
        DEFAULT,
        frozenset(map(DeviceId, ("b", "a", 'c"'))),
        {DeviceId("b"): Device(DeviceId("b"), "Fridge", DeviceType.REFRIGERATOR)},
    )
    assert (
        dump([desired])
        == """\
#:schema ./desired-state.schema.json
version = 1

policy.prune = "all"
policy.ignore = []
policy.max_unsubscribe = "10%"
policy.max_unsubscribe_floor = 5
policy.unsubscribe_after = "0s"
policy.allow_empty = false
policy.pause = "none"
policy.calls_per_hour = "auto"

devices = [
  "a",
  { id = "b", name = "Fridge", type = "refrigerator" },
  "c\\"",
]
"""
    )


def test_several_accounts_take_tables_each_with_the_policy_that_differs() -> None:
    """Accounts are sorted; a policy that all share is said once, others in their account."""
    a = Desired(AccountName("a"), frozenset({DeviceId("x")}), country="KR")
    b = Desired(AccountName("b"), frozenset())
    shared = dump([b, a], environment="production", retired=[AccountName("old")])
    assert shared.count("policy.prune") == 1
    assert (
        shared.index("policy.prune")
        < shared.index("[accounts.a]")
        < shared.index("[accounts.b]\ndevices = []\n")
    )
    assert read(shared).environment == "production"
    assert read(shared).retired == {"old"}
    apart = dump([a, replace(b, policy=Policy(pause=Pause.ALL))])
    assert apart.count("policy.prune") == 2


def test_names_that_would_not_fit_a_line_are_made_to_fit() -> None:
    """An alias at LG may hold anything; the exported text is valid all the same."""
    device = Device(DeviceId("a"), "  two\nlines \x7f\x1b[31m" + "x" * 1000)
    loaded = read(dump([Desired(DEFAULT, frozenset({device.id}), {device.id: device})]))
    assert loaded.faults == ()
    assert loaded.accounts[DEFAULT].described[device.id].name == "two lines [31m" + "x" * 241 + "…"


@pytest.mark.parametrize(("number", "inline"), [(1, True), (INLINE, True), (INLINE + 1, False)])
def test_a_block_names_up_to_twenty_devices_itself(number: int, *, inline: bool) -> None:
    """More are in a file, which the block and the command above it name alike; it ends at a midnight in UTC."""
    now = datetime(2026, 11, 30, 23, 59, 58, tzinfo=UTC)
    devices = [DeviceId(f"d{one:02}") for one in range(number)]
    block = approval_block(AccountName("seoul"), devices, now)
    assert ("devices = [" in block.splitlines()) is inline
    assert ('device_files = ["removed/seoul-2026-11-30.txt"]' in block) is not inline
    assert ("--approval removed/seoul-2026-11-30.txt writes that file" in block) is not inline
    assert "expires = 2026-12-07T00:00:00Z" in block.splitlines()
    assert approval_block(AccountName("seoul"), devices, now.replace(hour=1)) == block
