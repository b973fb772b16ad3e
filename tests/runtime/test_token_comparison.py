"""Two replicas whose files of credentials are not of the same age."""

from __future__ import annotations

from datetime import timedelta

import pytest
from pydantic import SecretStr

from disks import START, StandingClock
from memory_coordination import Database, MemoryCoordination
from reconciler.core.errors import StateError
from reconciler.core.model import AccountName
from reconciler.core.replicas import Member, MemberId
from reconciler.pcc.credentials import Credentials
from reconciler.runtime.replicas.tokens import TokenComparison
from reconciler.state.coordination import Acceptance
from reconciler.state.records import Fence
from reconciler.state.sqlite.storage import SqliteStorage

HOTEL, CLINIC = AccountName("hotel"), AccountName("clinic")
BOTH = frozenset({HOTEL, CLINIC})


class Owner:
    """A replica that owns one account, and reads its token in a file of its own."""

    def __init__(self, database: Database, account: AccountName) -> None:
        self.coordination = MemoryCoordination(database)
        self.account, self.member = account, MemberId(f"owner of {account}")
        self.given: Credentials | str = "no token"
        self.comparison = TokenComparison(self.coordination.tokens)
        self.comparison.credentials = lambda _: self.given
        self.coordination.members.join(Member(self.member, "pod", "1", 45.0))

    def take(self) -> None:
        """Take the account."""
        self.fences: dict[AccountName, Fence] = dict(
            self.coordination.ownership.take(self.member, 1).fences
        )
        assert self.fences.keys() == {self.account}

    def read(self, access: str | None, refresh: str | None = None) -> None:
        """Find other tokens in the file."""
        self.given = credentials(self.account, access, refresh)

    def compare(self) -> str | None:
        """Compare the tokens, and return why they are refused."""
        self.comparison.compare([self.account], self.fences)
        return self.comparison.refusal(self.account)

    @property
    def allowed(self) -> bool:
        """Say whether calls may be made with the tokens in the file."""
        return self.comparison.allows(self.account, self.fences[self.account].epoch)


def credentials(account: AccountName, access: str | None, refresh: str | None) -> Credentials:
    """Return credentials with these tokens."""
    return Credentials(
        account=account,
        base_url="http://127.0.0.1:9",
        country="KR",
        service_id=SecretStr("service"),
        service_key=SecretStr("key"),
        client_id="client",
        token_url=None,
        backend_url=None,
        access_token=None if access is None else SecretStr(access),
        refresh_token=None if refresh is None else SecretStr(refresh),
    )


@pytest.fixture
def database() -> Database:
    """Return a database with two accounts in force."""
    made = Database(SqliteStorage.in_memory(StandingClock()), lambda: START)
    coordination, me = MemoryCoordination(made), MemberId("reader")
    coordination.members.join(Member(me, "pod", "1", timedelta(seconds=45).total_seconds()))
    epoch = coordination.source.take(me)
    assert epoch is not None
    assert coordination.source.accept(me, epoch, Acceptance(BOTH, BOTH, b"", START))
    return made


@pytest.fixture
def clinic(database: Database) -> Owner:
    """Return the owner of the clinic."""
    owner = Owner(database, CLINIC)
    owner.take()
    return owner


@pytest.fixture
def hotel(clinic: Owner, database: Database) -> Owner:
    """Return the owner of the hotel."""
    del clinic
    owner = Owner(database, HOTEL)
    owner.take()
    return owner


def test_a_token_of_another_account_is_refused(clinic: Owner, hotel: Owner) -> None:
    """The second account with a token is stopped with the sentence that one process has for it."""
    clinic.read("one", "two")
    hotel.read("other", "two")
    assert not clinic.allowed
    assert clinic.compare() is None
    assert clinic.allowed
    assert hotel.compare() == (
        "has the same refresh token as account 'clinic': each would unsubscribe the other's devices; "
        "give each account the refresh token of its own LG user"
    )
    assert not hotel.allowed


def test_no_call_is_allowed_with_a_token_that_was_not_compared(clinic: Owner) -> None:
    """A new token in the file is used only after it was compared, and so is each token of a new owner."""
    clinic.read("one")
    clinic.compare()
    clinic.read("another")
    assert not clinic.allowed
    clinic.compare()
    assert clinic.allowed
    assert not clinic.comparison.allows(CLINIC, clinic.fences[CLINIC].epoch + 1)
    clinic.comparison.drop([CLINIC])
    assert not clinic.allowed


def test_accounts_that_exchange_their_tokens_go_on(clinic: Owner, hotel: Owner) -> None:
    """The first to look is refused until the other one has looked, too."""
    clinic.read("one")
    hotel.read("two")
    clinic.compare()
    hotel.compare()
    clinic.read("two")
    assert clinic.compare() is not None
    assert clinic.comparison.compare_refused(clinic.fences) == frozenset()
    hotel.read("one")
    assert hotel.compare() is None
    assert clinic.comparison.compare_refused(clinic.fences) == {CLINIC}
    assert clinic.allowed
    assert clinic.comparison.compare_refused(clinic.fences) == frozenset()


def test_an_account_without_credentials_gives_its_token_up(clinic: Owner, hotel: Owner) -> None:
    """Its token may then be that of another account."""
    clinic.read("one")
    clinic.compare()
    clinic.given = "the file is gone"
    hotel.read("one")
    assert hotel.compare() is not None
    assert clinic.compare() is None
    assert hotel.compare() is None


def test_an_access_token_is_not_taken_for_a_refresh_token(clinic: Owner, hotel: Owner) -> None:
    """Tokens of different kinds are never the same."""
    clinic.read("one")
    hotel.read(None, "one")
    assert (clinic.compare(), hotel.compare()) == (None, None)


def test_the_database_gets_no_token(clinic: Owner, database: Database) -> None:
    """What is noted has no token in it, and says nothing without the key."""
    clinic.read("Swordfish-1", "Swordfish-2")
    clinic.compare()
    assert len(database.tables.tokens) == 2
    assert "Swordfish" not in repr(database.tables)


def test_nothing_is_allowed_while_the_database_is_away(clinic: Owner, database: Database) -> None:
    """A token that cannot be compared is not used."""
    clinic.read("one")
    database.away = "it shuts down"
    with pytest.raises(StateError):
        clinic.compare()
    assert not clinic.allowed
    database.away = ""
    clinic.compare()
    assert clinic.allowed
