"""Credentials after any sequence of edits: as if read anew, usable by plain rules, and each change named once."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule
from pydantic import SecretStr

from reconciler.core.model import AccountName
from reconciler.pcc.client import Client
from reconciler.pcc.clients import Clients
from reconciler.pcc.credential_store import CredentialStore
from reconciler.pcc.credentials import Credentials, Shared
from reconciler.pcc.secret_files import Given
from reconciler.source.watch import watch
from reconciler.telemetry.masking import MASK, Masking
from reconciler.telemetry.metrics import Metrics
from recording import StillClock

ACCOUNTS = tuple(AccountName(one) for one in ("busan", "default", "seoul"))
TOKENS = ("access_token", "refresh_token")
GOOD = ("secret-number-one", "secret-number-two", "secret-number-three")
SHORT = "short"
"""No value of a secret: it is a slip."""


def settled_soon() -> float:
    """Return a time by which every file was written long ago, so that an unchanged one is not read again."""
    return time.time() + 1000


class Replacing(RuleBasedStateMachine):
    """People and Kubernetes put files in place, exchange them and take them away."""

    def __init__(self) -> None:
        super().__init__()
        self.room = TemporaryDirectory()
        self.folder, self.key = Path(self.room.name) / "folder", Path(self.room.name) / "key"
        self.folder.mkdir()
        self.shared = Shared(
            service_id=Given("PCC_SERVICE_ID", SecretStr("service-of-ours")),
            service_key=Given("PCC_SERVICE_KEY", path=self.key),
            access_token=Given("PCC_ACCESS_TOKEN", SecretStr(GOOD[0])),
        )
        self.files: dict[str, str] = {}
        self.countries: dict[AccountName, str | None] = {}
        self.service_key: str | None = None
        self.known: dict[AccountName, Credentials | str] = {}
        self.masking, self.written = Masking(), 0
        self.clients = Clients(
            httpx.AsyncClient(),
            self.store(),
            Metrics(),
            timeout_seconds=30,
            clock=StillClock(),
            masking=self.masking,
            watch=watch,
        )

    def teardown(self) -> None:
        """Let go of the files."""
        self.room.cleanup()

    def store(self) -> CredentialStore:
        """Return a store that has read nothing yet."""
        return CredentialStore(self.shared, self.folder, wall=settled_soon)

    def write(self, path: Path, value: str) -> None:
        """Write a file; each writing has a time of its own, as on a disk with a fine clock."""
        path.write_text(value)
        self.written += 1
        os.utime(path, ns=(self.written, self.written))

    @rule(
        account=st.sampled_from(ACCOUNTS),
        kind=st.sampled_from([*TOKENS, "service_key", "client_id"]),
        value=st.sampled_from([*GOOD, *GOOD, SHORT]),
    )
    def put(self, account: AccountName, kind: str, value: str) -> None:
        """Put a file in place, or exchange it."""
        name = f"{account}.{kind}"
        self.files[name] = value
        if self.folder.is_dir():
            self.write(self.folder / name, value)
        self.look()

    @rule(account=st.sampled_from(ACCOUNTS), kind=st.sampled_from([*TOKENS, "service_key"]))
    def take(self, account: AccountName, kind: str) -> None:
        """Take a file away."""
        if self.files.pop(f"{account}.{kind}", None) is not None and self.folder.is_dir():
            (self.folder / f"{account}.{kind}").unlink()
        self.look()

    @rule(value=st.none() | st.sampled_from([*GOOD, SHORT]))
    def exchange_the_key(self, value: str | None) -> None:
        """Exchange the key of the service, or take its file away."""
        self.service_key = value
        self.key.unlink(missing_ok=True)
        if value is not None:
            self.write(self.key, value)
        self.look()

    @rule()
    def move_the_folder(self) -> None:
        """Let the folder be away, or back with all that it should hold."""
        if self.folder.is_dir():
            for path in self.folder.iterdir():
                path.unlink()
            self.folder.rmdir()
        else:
            self.folder.mkdir()
            for name, value in self.files.items():
                self.write(self.folder / name, value)
        self.look()

    @rule(
        countries=st.dictionaries(
            st.sampled_from(ACCOUNTS), st.sampled_from(["KR", "DE", "US", None])
        )
    )
    def follow(self, countries: dict[AccountName, str | None]) -> None:
        """Let accounts come, go, and name another country."""
        self.countries = dict(countries)
        self.check(self.clients.follow(countries))

    def look(self) -> None:
        """Read the credentials again."""
        self.check(self.clients.refresh())

    def check(self, named: frozenset[AccountName]) -> None:
        """See that all is as if read anew, and that exactly those are named that changed."""
        store = self.store()
        anew = store.read(self.countries)
        found = {name: self.clients.credentials(name) for name in self.countries}
        assert found == dict(anew)
        changed = {name for name, one in found.items() if self.known.get(name) != one}
        assert named == changed
        self.known = found
        usable = self.usable()
        assert {name for name, one in found.items() if isinstance(one, Credentials)} == usable
        for name, one in found.items():
            assert isinstance(self.clients(name), Client if name in usable else str)
            if isinstance(one, Credentials):
                self.check_parts(name, one)
        for secret in store.secrets():
            assert self.masking.text(f"it is {secret}.") == f"it is {MASK}."

    def check_parts(self, name: AccountName, one: Credentials) -> None:
        """See that each part of the credentials is the right one."""
        own = self.own(name)
        assert (one.account, one.country) == (name, self.countries[name])
        assert one.service_key.get_secret_value() == own.get("service_key", self.service_key)
        given = {kind: getattr(one, kind) for kind in TOKENS}
        shown = {kind: value.get_secret_value() for kind, value in given.items() if value}
        assert shown == self.tokens(name)
        assert one.client_id == own.get("client_id")

    def own(self, name: AccountName) -> Mapping[str, str]:
        """Return what the files of an account say."""
        mine = (one.partition(".") for one in self.files if one.startswith(f"{name}."))
        return {kind: self.files[f"{name}.{kind}"] for _, _, kind in mine}

    def tokens(self, name: AccountName) -> dict[str, str]:
        """Return the user tokens of an account; the service's own one is that of ``default`` alone."""
        own = {kind: value for kind, value in self.own(name).items() if kind in TOKENS}
        return own or ({"access_token": GOOD[0]} if name == "default" else {})

    def usable(self) -> set[AccountName]:
        """Return the accounts that can call LG."""
        if not self.folder.is_dir():
            return set()
        every = [pair for name in self.countries for pair in self.tokens(name).items()]
        found = set()
        for name, country in self.countries.items():
            own, tokens = self.own(name), self.tokens(name)
            key = own.get("service_key", self.service_key)
            alone = all(every.count(pair) == 1 for pair in tokens.items() if pair[1] != SHORT)
            named = "refresh_token" not in tokens or "client_id" in own
            slips = [own[kind] for kind in own if kind != "client_id" and own[kind] == SHORT]
            whole = key not in {None, SHORT} and tokens and not slips and country is not None
            if whole and alone and named:
                found.add(name)
        return found


TestReplacing = Replacing.TestCase
TestReplacing.settings = settings(max_examples=50, stateful_step_count=25, deadline=None)
