"""Locks from rules and registries, without a command around them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest

from reconciler.core.errors import Invalid, ReconcilerError
from reconciler.core.model import AccountName, DeviceId
from reconciler.core.rules import Registered, Registry
from reconciler.runtime.accounts import Follower
from reconciler.runtime.resolving import Lock, WorkingFiles
from reconciler.runtime.settings import Settings

SEOUL = AccountName("seoul")
NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)
DEVICES = tuple(
    Registered(DeviceId(f"d{number:03}"), kind, f"Room {number}", "F2X")
    for number in range(60)
    for kind in (("DEVICE_WASHER", "DEVICE_OVEN", "DEVICE_DISH_WASHER")[number % 3],)
)
RULES = """version = 1
[accounts.seoul]
locked = "locks/seoul.txt"
[[accounts.seoul.rules]]
name = "washers"
type = ["washer", "dish_washer"]
[[accounts.seoul.rules]]
name = "all-rooms"
alias = "Room [1-4]*"
"""


class Answer:
    """A registry that answers the same to everybody."""

    def __init__(self, devices: tuple[Registered, ...], read: datetime = NOON) -> None:
        self._registry = Registry(devices, read)

    async def of(self, account: AccountName) -> Registry:
        """Return it."""
        assert account == SEOUL
        return self._registry


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Give settings that name a file with rules in a folder of the test's own."""
    monkeypatch.chdir(tmp_path)
    Path("desired-state.toml").write_text(RULES)
    given = {"service_id": "i", "service_key": "made-up-key", "country": "KR"}
    return Settings.model_validate({**given, "state_dir": tmp_path / "state"})


async def locked(settings: Settings, answer: Answer) -> tuple[WorkingFiles, Lock]:
    """Resolve the rules by an answer."""
    files = WorkingFiles(settings)
    (lock,) = await files.locks([SEOUL], answer, Follower(), at_once=1)
    return files, lock


async def test_a_hundred_orders_of_an_answer_make_one_lock(settings: Settings) -> None:
    """Neither a new lock nor one that fits depends on the order in which LG lists devices, nor on the time."""
    files, first = await locked(settings, Answer(DEVICES))
    contents = {first.content}
    for number in range(100):
        order = tuple(
            sorted(DEVICES, key=lambda one: sha256(f"{one.id} {number}".encode()).digest())
        )
        _files, lock = await locked(settings, Answer(order))
        contents.add(lock.content)
    assert len(contents) == 1
    files.write([first])
    for number in range(100):
        order = DEVICES[number % 60 :] + DEVICES[: number % 60]
        _files, lock = await locked(settings, Answer(order, NOON + timedelta(days=number)))
        assert lock.content is None


async def test_a_lock_that_somebody_else_wrote_meanwhile_is_not_overwritten(
    settings: Settings,
) -> None:
    """What was resolved rests on the file as it was read."""
    files, lock = await locked(settings, Answer(DEVICES))
    other, changed = await locked(settings, Answer(DEVICES[1:]))
    other.write([changed])
    with pytest.raises(ReconcilerError, match="was changed meanwhile"):
        files.write([lock])
    assert (await locked(settings, Answer(DEVICES[1:])))[1].content is None


async def test_a_registry_that_is_doubted_names_its_account(settings: Settings) -> None:
    """A person reads whose registry it was, why it is not believed, and that nothing was written."""
    with pytest.raises(
        Invalid, match=r"account seoul: LG's registry is empty.*no lock was written"
    ):
        await locked(settings, Answer(()))
