"""A protected device stays subscribed, whatever becomes of its entry, its account and the process, until approved."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from protected_fleet import (
    EAST,
    LOOSE,
    NORTH,
    WEST,
    Files,
    ProtectedFleet,
    approval,
    document,
    protecting,
)
from reconciler.api.client.waiting import judge
from reconciler.controller.informer import Informer
from reconciler.core.acceptance import Accepted
from reconciler.core.model import AccountName, DeviceId, Revision
from reconciler.core.replicas import Descent
from reconciler.reporting import PlanReport, account_report
from reconciler.reporting.formats.plans import plan_text
from reconciler.reporting.preview import Proposal, planned
from reconciler.state import Group, State
from reconciler.state.records import ProtectionStated
from reconciler.telemetry.metrics import Metrics
from simulated import START, SimulatedClock

ONE_USER = {EAST: "east", WEST: "east"}
TWO_USERS = {EAST: "east", WEST: "west"}


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[ProtectedFleet]:
    """Return a fleet of two accounts that are two users, with a folder of its own."""
    made = ProtectedFleet(tmp_path, TWO_USERS)
    yield made
    made.close()


async def begun(fleet: ProtectedFleet) -> list[str]:
    """Let all four devices of the east be subscribed, the first of them protected; return their ids."""
    devices = [str(one) for one in fleet.owned["east"]]
    await fleet.edit("east", document("east", protecting(devices[0]), *devices[1:]))
    await fleet.passes()
    assert fleet.live() == set(devices)
    return devices


async def test_what_is_protected_stays_when_its_entry_leaves(fleet: ProtectedFleet) -> None:
    """Of two devices whose entries left, the protected one is held and named, and the other one goes."""
    devices = await begun(fleet)
    await fleet.edit("east", document("east", *devices[2:]))
    await fleet.passes()
    assert fleet.live() == set(devices) - {devices[1]}
    assert fleet.held() == {devices[0]: "protected"}
    report = fleet.reports[EAST]
    assert report.needs_approval == (devices[0],)
    assert report.condition == "held"
    tripped = [one.message for one in report.plan.tripped] if report.plan else []
    assert tripped == ["1 device that would go is protected: no approval names it"]


async def test_everybody_hears_of_it(fleet: ProtectedFleet) -> None:
    """Log, plan, status and metrics name it, with the block to commit; it waits for a person until it is decided."""
    devices = await begun(fleet)
    with capture_logs() as logs:
        await fleet.edit("east", document("east", *devices[1:]))
        await fleet.passes()
        await fleet.passes()
    (tripped,) = [one for one in logs if one["event"] == "guard.tripped"]
    assert (tripped["reason"], devices[0] in tripped["approval"]) == ("protected", True)
    report = fleet.reports[EAST]
    shown = plan_text([PlanReport(EAST, "r", report)])
    assert "protected" in shown
    assert f'[[approvals]]\naccount = "east"\ndevices = [\n  "{devices[0]}",\n]' in shown
    text = fleet.informer.current(EAST)
    assert text is not None
    account = account_report(fleet.reconciler.accounts.statuses[EAST], text, next_pass=None)
    assert (account.guarded, devices[0] in account.approval) == (True, True)
    assert judge(account).code == 3
    labels = {"account": "east", "action": "unsubscribe", "kind": "policy", "reason": "protected"}
    assert fleet.metrics.registry.get_sample_value("pcc_changes_held", labels) == 1
    with capture_logs() as logs:
        await fleet.edit("east", document("east", protecting(devices[0]), *devices[1:]))
        await fleet.passes()
    assert [one["reason"] for one in logs if one["event"] == "guard.cleared"] == ["protected"]


async def test_proposed_files_are_planned_with_what_is_remembered(fleet: ProtectedFleet) -> None:
    """Before a merge the plan shows what would be held, and what an entry with false or an approval would release."""
    devices = await begun(fleet)
    first, rest = devices[0], devices[1:]
    await fleet.edit("east", document("east", *rest))
    over = f'{{ id = "{first}", protected = false, until = 2026-10-01T00:00:00Z }}'
    for text, goes in (
        (document("east", *rest[1:]), {rest[0]}),
        (document("east", over, *rest), {first}),
        (document("east", *rest, more=approval("east", first)), {first}),
    ):
        proposal = Proposal(("east.toml",), {"east.toml": text})
        found = await planned(proposal, fleet.informer.accepted, fleet.reconciler.previews.preview)
        (report,) = found.reports
        assert {change.device for change in report.plan.unsubscribes} == goes
    assert set(fleet.state.protections.all()) == {first}


async def test_an_approval_lets_it_go_and_ends_the_protection(fleet: ProtectedFleet) -> None:
    """A named device is unsubscribed; if somebody subscribes it again by hand, it is like any other."""
    devices = await begun(fleet)
    rest = devices[1:]
    await fleet.edit("east", document("east", *rest, more=approval("east", devices[0])))
    await fleet.passes()
    assert fleet.live() == set(rest)
    await fleet.edit("east", document("east", *rest))
    fleet.subscribe("east", devices[0])
    await fleet.passes()
    assert fleet.live() == set(rest)


async def test_an_approval_that_expired_unused_released_nothing(fleet: ProtectedFleet) -> None:
    """An approval counts while it is valid: what it did not let go until then is protected as before."""
    devices = await begun(fleet)
    soon = approval("east", devices[0], expires=START + timedelta(minutes=10))
    paused = document("east", *devices[1:], more=soon).replace(
        "allow_empty = true", "allow_empty = true, pause = 'all'"
    )
    await fleet.edit("east", paused)
    await fleet.passes()
    await fleet.edit("east", document("east", *devices[1:], more=soon))
    await fleet.passes(after=timedelta(hours=1))
    assert fleet.held() == {devices[0]: "protected"}
    await fleet.edit("east", document("east", *devices[1:]))
    await fleet.passes()
    assert fleet.live() == set(devices)


async def test_only_the_word_false_takes_it_off(fleet: ProtectedFleet) -> None:
    """An entry without the key, a bare id and a line of a device file change nothing; false does."""
    devices = await begun(fleet)
    first, rest = devices[0], devices[1:]
    for entry in (f'{{ id = "{first}" }}', first, f'{{ id = "{first}", name = "Lobby" }}'):
        await fleet.edit("east", document("east", entry, *rest))
        await fleet.edit("east", document("east", *rest))
        await fleet.passes()
        assert fleet.held() == {first: "protected"}
    fleet.source.files["list.txt"] = f"{first}\n".encode()
    await fleet.edit("east", document("east", *rest, more="device_files = ['list.txt']\n"))
    await fleet.edit("east", document("east", *rest))
    await fleet.passes()
    assert fleet.held() == {first: "protected"}
    await fleet.edit("east", document("east", protecting(first, "false"), *rest))
    await fleet.passes()
    assert fleet.live() == set(devices)
    await fleet.edit("east", document("east", *rest))
    await fleet.passes()
    assert fleet.live() == set(rest)


async def test_dates_do_not_let_it_go(fleet: ProtectedFleet) -> None:
    """A protected device whose entry is over stays, until an approval names it."""
    devices = await begun(fleet)
    over = f'{{ id = "{devices[0]}", protected = true, until = 2026-11-01T12:00:00Z }}'
    await fleet.edit("east", document("east", over, *devices[1:]))
    await fleet.passes(after=timedelta(days=1))
    assert fleet.held() == {devices[0]: "protected"}
    named = document("east", over, *devices[1:], more=approval("east", devices[0]))
    await fleet.edit("east", named)
    await fleet.passes()
    assert fleet.live() == set(devices[1:])
    # its entry still protects it, so what is subscribed again by hand and loses the entry is held again
    fleet.subscribe("east", devices[0])
    await fleet.edit("east", document("east", *devices[1:]))
    await fleet.passes()
    assert fleet.held() == {devices[0]: "protected"}


async def test_a_restart_forgets_nothing(fleet: ProtectedFleet) -> None:
    """What was protected is held after a restart too, also if its entry left while no process ran."""
    devices = await begun(fleet)
    fleet.write("east", document("east", *devices[1:]))
    await fleet.restart()
    await fleet.passes()
    assert fleet.held() == {devices[0]: "protected"}
    await fleet.restart()
    await fleet.passes()
    assert fleet.live() == set(devices)


async def test_what_a_restart_finds_released_is_released(fleet: ProtectedFleet) -> None:
    """Protection that an approval ended does not come back with a restart."""
    devices = await begun(fleet)
    await fleet.edit("east", document("east", *devices[1:], more=approval("east", devices[0])))
    await fleet.passes()
    await fleet.edit("east", document("east", *devices[1:]))
    await fleet.restart()
    fleet.subscribe("east", devices[0])
    await fleet.passes()
    assert fleet.live() == set(devices[1:])


@pytest.mark.parametrize("retired", [False, True], ids=["abandoned", "retired"])
async def test_an_account_that_is_removed_and_comes_back_protects_as_before(
    fleet: ProtectedFleet, *, retired: bool
) -> None:
    """Neither an account that left the files nor one that is retired takes the protection of its devices along."""
    devices = await begun(fleet)
    fleet.write("west", document("west"))
    await fleet.edit("east", None)
    if retired:
        gone = document("west").replace("version = 1", "version = 1\nretired_accounts = ['east']")
        await fleet.edit("west", gone)
        await fleet.edit("west", document("west"))
    await fleet.restart()
    await fleet.edit("east", document("east", *devices[1:]))
    await fleet.passes()
    assert fleet.held() == {devices[0]: "protected"}
    assert fleet.live() == set(devices)


async def test_an_account_of_another_name_protects_what_the_old_one_did(tmp_path: Path) -> None:
    """An account that is renamed, or replaced by another one of the same LG user, takes nothing off."""
    fleet = ProtectedFleet(tmp_path, {EAST: "east", NORTH: "east"})
    devices = await begun(fleet)
    fleet.write("east", None)
    await fleet.edit("north", document("north", *devices[1:]))
    await fleet.passes()
    assert fleet.held(NORTH) == {devices[0]: "protected"}
    await fleet.edit("north", document("north", *devices[1:], more=approval("north", devices[0])))
    await fleet.passes()
    assert fleet.live() == set(devices[1:])
    fleet.close()


async def test_a_second_token_of_the_same_user_takes_nothing_off(tmp_path: Path) -> None:
    """What one account protects, by its entry or by its last one, another account of the same user holds, too."""
    fleet = ProtectedFleet(tmp_path, ONE_USER)
    devices = await begun(fleet)
    await fleet.edit("west", document("west", *devices[1:]))
    await fleet.passes()
    assert fleet.held(WEST) == {devices[0]: "wanted-elsewhere"}
    await fleet.edit("east", document("east", *devices[1:]))
    await fleet.passes()
    assert fleet.held(EAST) == fleet.held(WEST) == {devices[0]: "protected"}
    assert fleet.live() == set(devices)
    fleet.close()


async def test_a_device_that_moves_to_another_account_stays_here_until_approved_here(
    fleet: ProtectedFleet,
) -> None:
    """The new account subscribes it; the old one keeps it until an approval there names it."""
    devices = await begun(fleet)
    moved, rest = devices[0], devices[1:]
    fleet.write("west", document("west", protecting(moved)))
    await fleet.edit("east", document("east", *rest))
    await fleet.passes()
    assert fleet.held() == {moved: "wanted-elsewhere"}
    assert moved in fleet.live("west")
    await fleet.edit("east", document("east", *rest, more=approval("east", moved)))
    await fleet.passes()
    assert moved not in fleet.live()
    await fleet.edit("west", document("west"))
    await fleet.passes()
    assert fleet.held(WEST) == {moved: "protected"}


async def test_an_entry_that_is_false_elsewhere_does_not_outweigh_one_that_is_true(
    tmp_path: Path,
) -> None:
    """Of two accounts that list one device the careful one counts; once it is silent, the other one does."""
    fleet = ProtectedFleet(tmp_path, ONE_USER)
    devices = await begun(fleet)
    first, rest = devices[0], devices[1:]
    over = f'{{ id = "{first}", protected = false, until = 2026-10-01T00:00:00Z }}'
    await fleet.edit("west", document("west", over, *rest))
    await fleet.passes()
    assert fleet.live() == set(devices)
    await fleet.edit("east", document("east", *rest))
    await fleet.passes()
    assert fleet.live() == set(rest)
    fleet.close()


async def test_a_spelling_and_a_limit_hold_as_before(fleet: ProtectedFleet) -> None:
    """Another guard that holds a protected device is named first; the approval is asked for all the same."""
    devices = await begun(fleet)
    first = devices[0]
    await fleet.edit("east", document("east", first.upper(), *devices[1:]))
    await fleet.passes()
    assert fleet.held()[first] == "look-alike"
    limited = document("east", *devices[2:]).replace(
        LOOSE, "policy = { max_unsubscribe = 0, max_unsubscribe_floor = 1 }"
    )
    await fleet.edit("east", limited)
    await fleet.passes()
    assert fleet.held() == dict.fromkeys(devices[:2], "too-many")


async def test_protected_devices_count_toward_the_limit(fleet: ProtectedFleet) -> None:
    """A file that lost three entries is noticed as such, although two of them are protected and would stay anyway."""
    devices = [str(one) for one in fleet.owned["east"]]
    entries = [protecting(one) for one in devices[:2]]
    await fleet.edit("east", document("east", *entries, *devices[2:]))
    await fleet.passes()
    lost = document("east", devices[3]).replace(
        LOOSE, "policy = { max_unsubscribe = 0, max_unsubscribe_floor = 2 }"
    )
    await fleet.edit("east", lost)
    await fleet.passes()
    assert fleet.held() == dict.fromkeys(devices[:3], "too-many")


@pytest.mark.parametrize(
    ("policy", "live"),
    [
        ("prune = 'none'", True),
        ("prune = 'owned'", True),
        ("pause = 'all'", True),
        ("unsubscribe_after = '1h'", True),
        ("ignore = ['DEVICE']", True),
    ],
    ids=lambda one: str(one).split(" ")[0],
)
async def test_whatever_policy_says_meanwhile(
    fleet: ProtectedFleet, policy: str, *, live: bool
) -> None:
    """No policy lets a protected device go, neither while it is in force nor after it ended."""
    devices = await begun(fleet)
    keyed = document("east", *devices[1:]).replace(
        "allow_empty = true", f"allow_empty = true, {policy.replace('DEVICE', devices[0])}"
    )
    await fleet.edit("east", keyed)
    await fleet.passes(after=timedelta(hours=2))
    await fleet.edit("east", document("east", *devices[1:]))
    await fleet.passes(after=timedelta(hours=2))
    assert (devices[0] in fleet.live()) is live
    assert fleet.held() == {devices[0]: "protected"}


class Shared:
    """A source of several replicas. ``why`` is why nothing can be published, ``groups`` are what was."""

    behind = "the source is behind"
    doubts, reads = False, True

    def __init__(self) -> None:
        self.why = ""
        self.groups: list[Group] = []

    def comes_into_force(
        self, accepted: Revision | None, found: Revision, descent: Descent | None
    ) -> bool:
        """Say that every revision may come into force."""
        del accepted, found, descent
        return True

    async def publish(
        self,
        before: Accepted,
        after: Accepted,
        changed: frozenset[AccountName],
        groups: tuple[Group, ...],
    ) -> str:
        """Take what is written for all replicas, if that is possible."""
        del before, after, changed
        self.groups += () if self.why else groups
        return self.why


async def test_a_replica_writes_protection_together_with_the_revision(tmp_path: Path) -> None:
    """What a revision protects is in the transaction that brings it into force for all, or in none."""
    clock, source, shared = SimulatedClock(), Files(), Shared()
    state = State.open(tmp_path / "state", clock)
    informer = Informer(
        source,
        state.accounts,
        state.revisions,
        state.protections,
        Metrics(),
        clock=clock,
        shared=shared,
    )
    source.files["east.toml"] = document("east", protecting("a1"), "b1").encode()
    shared.why = "the database is away"
    await informer.refresh()
    assert (shared.groups, dict(state.protections.all())) == ([], {})
    shared.why = ""
    await informer.refresh()
    stated = [one for group in shared.groups for one in group.records]
    assert ProtectionStated({DeviceId("a1"): EAST}, frozenset()) in stated
    assert dict(state.protections.all()) == {"a1": EAST}
    shared.groups.clear()
    source.files["east.toml"] = document("east", "b1").encode()
    await informer.refresh()
    stated = [one for group in shared.groups for one in group.records]
    assert ProtectionStated({DeviceId("a1"): EAST}, frozenset()) in stated
    state.close()
    reader = State.read_only(tmp_path / "state", clock)
    assert dict(reader.protections.all()) == {}  # the acceptance writes it, and nobody else
    reader.close()


TABLES = """version = 1
[accounts.east]
{policy}
{more}
[[accounts.east.devices]]
id = "{0}"
name = "Vaccine store"
protected = true

[[accounts.east.devices]]
protected = true
id = "{1}"

[[accounts.east.devices]]
id = "{2}"

[[accounts.east.devices]]
id = "{3}"
"""


async def test_a_cut_file_takes_it_off_nowhere(fleet: ProtectedFleet) -> None:
    """A file is cut at every byte, and then it is empty but for its head: no protected device goes at any time."""
    # Two cuts one after the other decide: the first one ends behind the id, the second one before it.
    devices = [str(one) for one in fleet.owned["east"]]
    whole = TABLES.format(*devices, policy=LOOSE, more="").encode()
    inline = document("east", *map(protecting, devices[:2]), *devices[2:]).encode()
    head = document("east")
    for content in (whole, inline):
        for cut in range(len(content) + 1):
            await fleet.edit("east", content[:cut])
            await fleet.edit("east", content)
    for cut in range(0, len(whole), 11):
        await fleet.edit("east", whole)
        await fleet.passes(EAST)
        await fleet.edit("east", whole[:cut])
        await fleet.passes(EAST)
        await fleet.edit("east", head)
        await fleet.passes(EAST)
        assert set(devices[:2]) <= fleet.live()
    assert fleet.broken() == []
    assert {one.device for one in fleet.deletions} == set(devices[2:])
