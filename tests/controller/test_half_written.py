"""Files that are being written: what waits for them, from the first reading on."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from reconciler.controller.half_written import HalfWritten
from reconciler.controller.informer import Informer
from reconciler.core.acceptance import AccountRevision
from reconciler.core.model import DEFAULT_ACCOUNT, AccountName, DeviceId
from reconciler.runtime.clock import SystemClock
from reconciler.source import FileSource
from reconciler.state import State
from reconciler.telemetry.metrics import Metrics
from scenarios import eventually


class Folder:
    """A folder whose document names two device files, with the state of those who read it."""

    def __init__(self, path: Path) -> None:
        path.joinpath("fleet.toml").write_text("version = 1\ndevice_files = ['*.txt']\n")
        path.joinpath("a.txt").write_text("a\n")
        self.half = path / "b.txt"
        self.half.write_text("b\n")
        self._source, self._state = FileSource(path), State.in_memory(SystemClock())

    def informer(self) -> Informer:
        """Return what reads the folder in a new process."""
        state = self._state
        return Informer(
            self._source,
            state.accounts,
            state.revisions,
            state.protections,
            Metrics(),
            clock=SystemClock(),
        )


def in_force(informer: Informer, account: str = DEFAULT_ACCOUNT) -> AccountRevision:
    """Return what an account wants."""
    found = informer.current(AccountName(account))
    assert found is not None
    return found


async def test_a_command_waits_for_a_file_that_the_last_revision_had(tmp_path: Path) -> None:
    """A device file that is being written anew is read when it is back; its devices are not missed meanwhile."""
    folder = Folder(tmp_path)
    await folder.informer().refresh()
    folder.half.unlink()
    command = folder.informer()
    required = asyncio.create_task(command.require())
    await eventually(lambda: command.accepted.accounts and in_force(command).unsettled is not None)
    assert sorted(in_force(command).desired.devices) == ["a"]
    folder.half.write_text("b\n")
    await asyncio.wait_for(required, 10)
    assert sorted(in_force(command).desired.devices) == ["a", "b"]
    assert in_force(command).unsettled is None


@pytest.mark.parametrize("what", ["nothing", "renamed", "rewritten"])
async def test_a_command_knows_what_every_account_wants_whichever_file_it_is_in(
    tmp_path: Path, what: str
) -> None:
    """A device file has another name and the same devices: one account's devices are still not taken by another."""
    folder = Folder(tmp_path)
    tmp_path.joinpath("other.toml").write_text("version = 1\n[accounts.other]\ndevices = ['o']\n")
    await folder.informer().refresh()
    if what != "nothing":
        folder.half.rename(tmp_path / "c.txt")
    if what == "rewritten":
        tmp_path.joinpath("c.txt").write_text("b\nc\n")
    command = folder.informer()
    await command.require()
    wanted = in_force(command).desired.devices
    assert sorted(wanted) == ["a", "b"] + ["c"] * (what == "rewritten")
    now = SystemClock().now()
    taken = command.claims.elsewhere(AccountName("other"), sorted(wanted), now)
    assert taken == dict.fromkeys(wanted, DEFAULT_ACCOUNT)
    assert command.claims.elsewhere(DEFAULT_ACCOUNT, [DeviceId("o")], now) == {"o": "other"}


async def test_a_file_that_goes_away_after_the_first_reading_waits(tmp_path: Path) -> None:
    """The files of a revision are known from its first reading on: no restart is needed for that."""
    folder = Folder(tmp_path)
    informer = folder.informer()
    await informer.refresh()
    folder.half.unlink()
    await informer.refresh()
    unsettled = in_force(informer).unsettled
    assert unsettled is not None
    assert sorted(unsettled.devices or ()) == ["b"]


async def test_a_document_that_was_faulty_meanwhile_keeps_its_files(tmp_path: Path) -> None:
    """Of a document with a fault the files are known all the same: one that is away once it is corrected waits."""
    folder = Folder(tmp_path)
    document, other = tmp_path / "fleet.toml", tmp_path / "other.toml"
    good = "version = 1\n[accounts.hotel]\ndevice_files = ['*.txt']\n"
    document.write_text(good)
    other.write_text("version = 1\n[accounts.clinic]\ndevices = ['c']\n")
    informer = folder.informer()
    await informer.refresh()
    document.write_text(f"{good}policy.prnue = 'all'\n")
    other.write_text("version = 1\n[accounts.clinic]\ndevices = ['c', 'd']\n")
    await informer.refresh()
    assert len(in_force(informer, "clinic").desired.devices) == 2
    document.write_text(good)
    folder.half.unlink()
    await informer.refresh()
    unsettled = in_force(informer, "hotel").unsettled
    assert unsettled is not None
    assert sorted(unsettled.devices or ()) == ["b"]


async def test_a_revision_that_is_rejected_changes_no_known_files(tmp_path: Path) -> None:
    """The files of what is in force count: one that is away once a fault elsewhere is corrected waits."""
    folder = Folder(tmp_path)
    document, policy = tmp_path / "fleet.toml", tmp_path / "policy.toml"
    good = "version = 1\ndevice_files = ['*.txt']\n"
    informer = folder.informer()
    await informer.refresh()
    document.write_text("version = 1\ndevices = ['a', 'b']\n")
    policy.write_text("version = 1\n[policy]\nprnue = 'all'\n")
    await informer.refresh()
    assert informer.accepted.rejected is not None
    document.write_text(good)
    policy.unlink()
    folder.half.unlink()
    await informer.refresh()
    unsettled = in_force(informer).unsettled
    assert unsettled is not None
    assert sorted(unsettled.devices or ()) == ["b"]


async def test_an_account_whose_document_went_away_waits_for_what_was_in_it(tmp_path: Path) -> None:
    """The account may stand in another document by now, with fewer devices: the first may only be on its way."""
    folder = Folder(tmp_path)
    first, second = tmp_path / "hotel.toml", tmp_path / "moved.toml"
    first.write_text("version = 1\n[accounts.hotel]\ndevices = ['c', 'd']\n")
    informer = folder.informer()
    await informer.refresh()
    first.unlink()
    second.write_text("version = 1\n[accounts.hotel]\ndevices = ['d']\n")
    await informer.refresh()
    unsettled = in_force(informer, "hotel").unsettled
    assert unsettled is not None
    assert sorted(unsettled.devices or ()) == ["c"]
    assert in_force(informer).unsettled is None


async def test_an_account_that_comes_back_waits_for_all_its_files(tmp_path: Path) -> None:
    """Its document is back before its device file, and nothing that the file may hold goes meanwhile."""
    folder = Folder(tmp_path)
    hotel = tmp_path / "hotel.toml"
    informer = folder.informer()
    await informer.refresh()
    wings = tmp_path / "wings"
    wings.mkdir()
    wings.joinpath("first.txt").write_text("c\n")
    hotel.write_text("version = 1\n[accounts.hotel]\ndevice_files = ['wings/*.txt']\n")
    await informer.refresh()
    unsettled = in_force(informer, "hotel").unsettled
    assert unsettled is not None
    assert unsettled.devices is None
    assert in_force(informer).unsettled is None


async def test_the_reader_that_comes_next_lets_an_account_that_came_go_on_waiting(
    tmp_path: Path,
) -> None:
    """What waits at a replica that reads the files waits at the one that reads them after it."""
    folder = Folder(tmp_path)
    informer = folder.informer()
    await informer.refresh()
    (tmp_path / "hotel.toml").write_text("version = 1\n[accounts.hotel]\ndevices = ['c']\n")
    await informer.refresh()
    successor = HalfWritten(FileSource(tmp_path), SystemClock())
    successor.inherit(informer.accepted)
    assert successor.waits.gone == {AccountName("hotel"): None}
