"""The credentials of all accounts, and the folder that holds their own parts.

Owns: the order in which a part is looked for, the files of the credentials folder, and tokens that two accounts share.
Must not: know the settings (it gets plain values), check a value, or put one into a sentence.

Each part is looked up separately: first the account's own file in the credentials folder, then the service's own value.
User tokens are the exception. The service's own tokens belong to the account ``default`` alone, and are used only where
that account has no token file at all: an access token of one user beside a refresh token of another would, an hour
later, turn one account into the other.
"""

from __future__ import annotations

import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from reconciler.core.errors import quoted, suggestion
from reconciler.core.model import DEFAULT_ACCOUNT, AccountName
from reconciler.pcc.checks import SHORTEST
from reconciler.pcc.credentials import (
    FILES,
    MASKED,
    USER_TOKENS,
    Assembled,
    Assembly,
    Credentials,
    Origin,
    Shared,
    same_token,
)
from reconciler.pcc.secret_files import Found, SecretFiles, look_up


class CredentialStore:
    """The credentials of every account, as they are now.

    ``watched`` lists what to watch for changes: the files that hold the service's own values, and the folder. Where
    such a file comes from a mounted Kubernetes Secret, its own folder is what changes.
    """

    def __init__(
        self, shared: Shared, directory: Path | None, *, wall: Callable[[], float] = time.time
    ) -> None:
        self._shared = shared
        self._directory = directory
        self._files = SecretFiles(wall)
        self._names: list[str] = []
        self._places: dict[str, dict[str, tuple[Path, str]]] = {}
        self._common: dict[str, Found] = {}
        self._made: dict[AccountName, Assembled] = {}
        self._results: dict[AccountName, Credentials | str] = {}
        self._secrets: frozenset[str] = frozenset()
        self._one_at_a_time = threading.Lock()
        givens = (
            shared.service_id,
            shared.service_key,
            shared.client_id,
            shared.access_token,
            shared.refresh_token,
        )
        paths = [given.path for given in givens if given.path is not None]
        self.watched: tuple[Path, ...] = (*paths, *([] if directory is None else [directory]))

    def read(
        self, accounts: Mapping[AccountName, str | None]
    ) -> Mapping[AccountName, Credentials | str]:
        """Return each account's credentials, or the sentence that says why there are none (a plain ``str``).

        ``accounts`` are all accounts of the accepted files, each with the country that its file names: that two of them
        share a token is seen only when both are there. An account whose parts did not change gets the same object as
        the last time. Costs one listing of the folder and a stat of each file of a known account. May be called from
        any thread.
        """
        with self._one_at_a_time:
            return self._read(accounts)

    def _read(
        self, accounts: Mapping[AccountName, str | None]
    ) -> Mapping[AccountName, Credentials | str]:
        self._read_common()
        unreadable = self._list()
        made = {
            name: self._account(name, country, unreadable) for name, country in accounts.items()
        }
        has_changed = made.keys() != self._made.keys()
        for name, new in made.items():
            has_changed = has_changed or new is not self._made.get(name)
        if has_changed:
            self._made = made
            self._remember()
            doubled = _doubled({name: new.tokens for name, new in made.items()})
            self._results = {
                name: _result(new, doubled.get(name, ())) for name, new in made.items()
            }
        return MappingProxyType(self._results)

    def accounts(self) -> frozenset[AccountName]:
        """Return the accounts for which a user token is given, whether a file names them or not."""
        self._list()
        named = set()
        for name, parts in self._places.items():
            if not parts.keys().isdisjoint(USER_TOKENS):
                named.add(AccountName(name))
        if self._shared.access_token.is_set or self._shared.refresh_token.is_set:
            named.add(DEFAULT_ACCOUNT)
        return frozenset(named)

    def origins(self, account: AccountName) -> Mapping[str, Origin]:
        """Return where each part of an account's credentials was when they were last read, by its kind."""
        made = self._made.get(account)
        return MappingProxyType({}) if made is None else made.origins

    def secrets(self) -> frozenset[str]:
        """Return every secret as it was last read, for the masking of logs; the same object while none changed."""
        return self._secrets

    def warnings(self) -> tuple[str, ...]:
        """Return a sentence for each entry of the folder that no account will ever be asked for, sorted.

        The file of an account that is not in force is not among them: the account may come later.
        """
        unreadable = self._list()
        if unreadable:
            return (unreadable,)
        sentences = map(_misnamed, sorted(self._names))
        return tuple(sentence for sentence in sentences if sentence)

    def _read_common(self) -> None:
        """Bring the service's own values up to date; the same object stays where none of them changed."""
        kinds = ("service_id", "service_key", "client_id", *USER_TOKENS)
        common = {}
        for kind in kinds:
            found = look_up(getattr(self._shared, kind), self._files)
            if found is not None:
                common[kind] = found
        if common != self._common:
            self._common = common
            self._remember()

    def _list(self) -> str | None:
        """Bring the list of the folder up to date, or return why the folder cannot be read."""
        if self._directory is None:
            return None
        try:
            with os.scandir(self._directory) as entries:
                names = [entry.name for entry in entries]
        except OSError as error:
            return f"the folder that PCC_CREDENTIALS_DIR names cannot be read: {error.strerror}"
        if names != self._names:
            places: defaultdict[str, dict[str, tuple[Path, str]]] = defaultdict(dict)
            for name in names:
                account, _, kind = name.partition(".")
                if account and kind in FILES:
                    places[account][kind] = (
                        self._directory / name,
                        f"{name} in PCC_CREDENTIALS_DIR",
                    )
            self._names, self._places = names, dict(places)
        return None

    def _account(self, name: AccountName, country: str | None, unreadable: str | None) -> Assembled:
        """Put one account's parts together, or return what was made of them before where none of them changed."""
        before = self._made.get(name)
        if (
            unreadable is not None
        ):  # even `default` stops: what would override the service's own is not known
            same = before is not None and before.parts == unreadable
            return before if before and same else Assembled(unreadable, None, (unreadable,))
        own = {kind: self._files.read(*place) for kind, place in self._places.get(name, {}).items()}
        parts = (country, own, self._common)
        if before is not None and before.parts == parts:
            return before
        usable = dict(self._common)
        if name != DEFAULT_ACCOUNT or not own.keys().isdisjoint(USER_TOKENS):
            usable = {kind: found for kind, found in usable.items() if kind not in USER_TOKENS}
        in_folder = self._directory is not None
        return Assembly(name, usable | own, self._shared, in_folder=in_folder).make(parts, country)

    def _remember(self) -> None:
        """Bring the secrets up to date. What is shorter than any secret is left out."""
        values = [found.value for kind, found in self._common.items() if kind in MASKED]
        for one in self._made.values():
            values += one.secrets
        self._secrets = frozenset(value for value in values if len(value) >= SHORTEST)


def _result(made: Assembled, doubled: Sequence[str]) -> Credentials | str:
    if made.credentials is None or doubled:
        return "; ".join((*made.faults, *doubled))
    return made.credentials


def _misnamed(entry: str) -> str | None:
    """Say what is wrong with the name of an entry. Dot entries are Kubernetes' own, or an editor's."""
    account, dot, kind = entry.partition(".")
    if entry.startswith(".") or (account and kind in FILES):
        return None
    shown = quoted(entry)
    if not dot:
        return f"{shown}: not a credential: its name should be ACCOUNT.access_token or alike"
    return f"{shown}: {quoted(kind)!r} is no kind of credential{suggestion(kind, FILES)}"


def _doubled(
    tokens: Mapping[AccountName, tuple[tuple[str, str], ...]],
) -> Mapping[AccountName, list[str]]:
    """Return, for each account that shares a user token with another, the sentences that say with which."""
    users: defaultdict[tuple[str, str], list[AccountName]] = defaultdict(list)
    for account, mine in tokens.items():
        for token in mine:
            users[token].append(account)
    faults: defaultdict[AccountName, list[str]] = defaultdict(list)
    for (kind, _), sharing in users.items():
        if len(sharing) == 1:
            continue
        for account in sharing:
            others = [other for other in sharing if other != account]
            faults[account].append(same_token(kind, others))
    return faults
