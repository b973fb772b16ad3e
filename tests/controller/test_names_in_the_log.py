"""Log lines name devices as people do, also when their entries are gone."""

from __future__ import annotations

from structlog.testing import capture_logs

from reconciler.core.model import DEFAULT_ACCOUNT
from reconciler.reporting.status import account_report
from simulated import Fleet
from stories import Editor


async def test_lines_about_removed_devices_have_their_names() -> None:
    """A change has the last name of its device, and the block of a guard names those that wait for it."""
    fleet = Fleet(20, wanted=0)
    owned = fleet.platform.world.user("default").devices
    editor, devices = Editor(fleet), fleet.owned
    with capture_logs() as lines:
        await editor.commit("Kim <kim@hotel.example>", "Take in all", devices)
        await editor.commit("Lee <lee@hotel.example>", "Close one room", devices[1:])
        await editor.commit("Lee <lee@hotel.example>", "Close a wing", devices[12:])
    changed = {line["device"]: line["name"] for line in lines if line["event"] == "change.applied"}
    assert changed == {device: owned[device].alias for device in devices}
    (tripped,) = [line for line in lines if line["event"] == "guard.tripped"]
    for device in devices[1:12]:
        assert f'"{device}",  # {owned[device].alias}\n' in tripped["approval"]
    status = fleet.reconciler.accounts.statuses[DEFAULT_ACCOUNT]
    report = account_report(status, editor.accepted.accounts[DEFAULT_ACCOUNT], None)
    assert report.approval == tripped["approval"]
