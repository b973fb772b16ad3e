"""PostgreSQL fails over to a real standby that lacks the last transactions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing

import pytest

from disks import START, StandingClock
from postgres import Postgres, postgres, standby
from reconciler.core.model import AccountName, DeviceId
from reconciler.core.replicas import Exchanged, Member, MemberId, Renewals, timeline_of
from reconciler.state.coordination import Acceptance
from reconciler.state.postgres.coordination import PostgresCoordination
from reconciler.state.postgres.storage import PostgresStorage
from reconciler.state.records import Fence, Group, ListChanged

ANN, BEN = MemberId("ann"), MemberId("ben")
HOTEL, CLINIC = AccountName("hotel"), AccountName("clinic")
BOTH = frozenset({HOTEL, CLINIC})


@pytest.fixture
def pair() -> Iterator[tuple[Postgres, Postgres]]:
    """Return a primary of one's own and its standby."""
    with postgres() as primary, standby(primary) as other:
        yield primary, other


def either(pair: tuple[Postgres, Postgres]) -> str:
    """Return an address with both. Where nothing else is said it leads to the one that takes writes."""
    folders = ",".join(str(one.folder) for one in reversed(pair))
    return f"postgresql://postgres@/postgres?host={folders}"


def listed(account: AccountName) -> Group:
    """Return a write of one account."""
    devices = frozenset({DeviceId("one")})
    return Group((ListChanged(account, devices, frozenset()),), account=account)


async def test_who_worked_on_the_old_primary_is_fenced_on_the_new_one(
    pair: tuple[Postgres, Postgres],
) -> None:
    """Epochs and generations go on above all that the old primary gave, also those that were lost with it."""
    primary, other = pair
    url = either(pair)
    with closing(PostgresCoordination.at(url)) as ann, closing(PostgresCoordination.at(url)) as ben:
        joined = ann.members.join(Member(ANN, "ann", "1", 45.0))
        renewals = Renewals(joined.server, joined.beat)
        reading = ann.source.take(ANN)
        assert reading is not None
        assert ann.source.accept(ANN, reading, Acceptance(BOTH, BOTH, b"one", START))
        first = ann.ownership.take(ANN, 2).fences
        assert [one.id for one in ben.members.living()] == [
            ANN
        ]  # on the old primary, as long as it is there
        other.follows(primary)
        other.cut_off()
        lost = lose(ann, first, reading)
        primary.kill()
        other.ask("SELECT pg_promote()")
        ben.members.join(Member(BEN, "ben", "1", 45.0))
        ben.members.leave(ANN)
        taken = ben.ownership.take(BEN, 2).fences
        assert {timeline_of(fence.epoch) for fence in lost.values()} == {1}
        assert {timeline_of(fence.epoch) for fence in taken.values()} == {2}
        again = ben.source.take(BEN)
        assert again is not None
        assert timeline_of(again) == 2
        assert ben.source.accept(BEN, again, Acceptance(BOTH, BOTH, b"new", START))
        now = ben.ownership.owned(BEN)
        assert all(now[one].generation > lost[one].generation for one in BOTH)
        storage = PostgresStorage.open(url, StandingClock())
        with closing(storage.medium):
            assert storage.write([listed(HOTEL), listed(CLINIC)], fences=lost) == BOTH
            assert storage.write([listed(HOTEL)], fences=now) == frozenset()
        renewals.sending()
        renewal = await ben.members.renew(BEN)
        assert renewal is not None
        assert renewals.answered(renewal.server, renewal.beat) is Exchanged.TIMELINE


def lose(
    ann: PostgresCoordination, first: Mapping[AccountName, Fence], reading: int
) -> dict[AccountName, Fence]:
    """Let the primary commit what its standby never gets, and return what is true there."""
    ann.ownership.shed({one: fence.epoch for one, fence in first.items()}, ANN)
    ann.ownership.take(ANN, 2)
    assert ann.source.accept(ANN, reading, Acceptance(BOTH, BOTH, b"lost", START))
    lost = dict(ann.ownership.owned(ANN))
    assert all(lost[one].epoch > first[one].epoch for one in BOTH)
    return lost
