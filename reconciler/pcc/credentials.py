"""What one account speaks to LG with, and where each part of it comes from.

Owns: the order in which a credential is looked for, the files of the credentials folder, what a usable value looks
like, and LG's hosts by country. Must not: know the settings (it is handed plain values), send anything, or put a value
into a sentence: a fault names the setting or the file that mends it.

The order, for each part by itself: the account's own file in the credentials folder, then the service's own value.
User tokens are the exception. The service's own belong to the account ``default`` alone, and they are used only where
that account has no token file at all: an access token of one user beside a refresh token of another would, an hour
later, make one account the other.

An access token and a refresh token together are no contradiction: the first is used as it is, until it has expired;
the second gets the next one.
"""

from __future__ import annotations

import ipaddress
import os
import re
import stat
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple
from urllib.parse import urlsplit

from pydantic import SecretStr

from reconciler.core.errors import quoted, suggestion
from reconciler.core.model import DEFAULT_ACCOUNT, AccountName

SHORTEST = 8
"""A secret of fewer characters is refused: it is a slip, and masking it would blacken half of every log line."""

LARGEST = 64 * 1024
"""No credential is longer, in bytes. A larger file is something else, put there by mistake."""

_SETTLES = 2.0
"""Seconds for which a file's stat cannot be trusted: a second write within one tick of the file system's clock shows
the same modification time."""

_PRINTABLE = re.compile(r"[!-~](?:[ -~]*[!-~])?")
_COUNTRY = re.compile(r"[A-Z]{2}")

_USER_TOKENS = ("access_token", "refresh_token")
_MASKED = (*_USER_TOKENS, "service_id", "service_key")
FILES = (*_MASKED, "client_id", "token_url", "backend_url", "country", "base_url")
"""What may follow ``ACCOUNT.`` in the name of a file of the credentials folder."""

_WORDS = {
    "access_token": "access token",
    "refresh_token": "refresh token",
    "service_id": "service id",
    "service_key": "service key",
    "client_id": "client id",
    "country": "country",
}


class Region(StrEnum):
    """LG's three clouds: Asia and Pacific, Europe with the Middle East and Africa, the Americas."""

    KIC = "kic"
    EIC = "eic"
    AIC = "aic"


class Phase(StrEnum):
    """LG's platform for operation, and the one for trials."""

    OP = "op"
    QA = "qa"


# Which cloud serves which country: as LG's own client has it (thinqconnect 1.0.14 on PyPI, country.py).
_COUNTRIES = {
    Region.KIC: "AU BD CN HK ID IN JP KH KR LA LK MM MY NP NZ PH SG TH TW VN",
    Region.AIC: """
        AG AR AW BB BO BR BS BZ CA CL CO CR CU DM DO EC GD GT GY HN HT JM KN LC MX NI PA PE PR PY SR SV TT US UY VC VE
    """,
    Region.EIC: """
        AE AF AL AM AO AT AZ BA BE BF BG BH BJ BY CD CF CG CH CI CM CV CY CZ DE DJ DK DZ EE EG ES ET FI FR GA GB GE GH
        GM GN GQ GR HR HU IE IL IQ IR IS IT JO KE KG KW KZ LB LR LT LU LV LY MA MD ME MK ML MR MT MU MW NE NG NL NO OM
        PK PL PS PT QA RO RS RU RW SA SD SE SI SK SL SN SO ST SY TD TG TN TR TZ UA UG UZ XK YE ZA ZM
    """,
}
_REGIONS = MappingProxyType({country: region for region, names in _COUNTRIES.items() for country in names.split()})


def region_of(country: str) -> Region | None:
    """Return the cloud that serves a country, or nothing where LG's own client does not know it."""
    return _REGIONS.get(country)


def service_url(region: Region, phase: Phase) -> str:
    """Return the host of LG's partner API in one region."""
    return f"https://{region}{'-qa' if phase is Phase.QA else ''}-ext.lgthinq.com"


_SERVICE_URLS = MappingProxyType({service_url(region, phase): (region, phase) for region in Region for phase in Phase})


def cloud_of(url: str) -> tuple[Region, Phase] | None:
    """Return which of LG's clouds an address leads to, or nothing where it is none of them."""
    return _SERVICE_URLS.get(url.lower())


def token_url(country: str, phase: Phase) -> str:
    """Return where LG renews the access tokens of one country's users."""
    return f"https://{'qt-' if phase is Phase.QA else ''}{country.lower()}.m.lgaccount.com/emp/v2/token"


def check_printable(text: str) -> str:
    """Return a value that any header can carry, or raise ``ValueError`` with a sentence that does not show it."""
    if not text:
        raise ValueError("is empty")
    if not _PRINTABLE.fullmatch(text):
        raise ValueError("has characters that a header cannot carry: only printable ASCII, no white space at the ends")
    return text


def check_secret(text: str) -> str:
    """Return a usable secret, or raise ``ValueError`` with a sentence that does not show it."""
    if len(check_printable(text)) < SHORTEST:
        raise ValueError(f"has fewer than {SHORTEST} characters")
    return text


def check_country(text: str) -> str:
    """Return an ISO 3166-1 alpha-2 code as LG wants it, or raise ``ValueError``."""
    if not _COUNTRY.fullmatch(text):
        raise ValueError("has to be two upper-case letters, like KR")
    return text


def check_url(text: str, *, allow_http: bool) -> str:
    """Return an address of LG's without a slash at the end, or raise ``ValueError`` with a sentence that hides it.

    Service keys and tokens go there, so it is https, or http on loopback, unless ``allow_http``. A user or password in
    it, a query and a fragment are refused: nothing in LG's documents uses them.
    """
    check_printable(text)
    if re.search(r"[\s\\@?#]", text):
        raise ValueError("has to be a plain address: no user, password, query, fragment or white space")
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:  # its words would quote the address
        raise ValueError("is not an address like https://host or https://host:8443/path") from None
    if parts.scheme not in {"https", "http"} or not host:
        raise ValueError("is not an address like https://host or https://host:8443/path")
    if parts.scheme == "http" and not allow_http and not _is_loopback(host):
        raise ValueError("has to be https: http is for loopback only, unless PCC_ALLOW_HTTP=true")
    return text.rstrip("/")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@dataclass(frozen=True, slots=True)
class Given:
    """One of the service's own values: as it stands, or the path of the file that holds it. Neither means not set."""

    name: str
    value: SecretStr | None = None
    path: Path | None = None

    @property
    def is_set(self) -> bool:
        """Say whether there is a value, or a place that should have one."""
        return self.value is not None or self.path is not None


@dataclass(frozen=True, slots=True)
class Shared:
    """The service's own values: what every account uses that has none of its own, and the tokens of ``default``."""

    service_id: Given = field(default=Given("PCC_SERVICE_ID"))
    service_key: Given = field(default=Given("PCC_SERVICE_KEY"))
    client_id: Given = field(default=Given("PCC_CLIENT_ID"))
    access_token: Given = field(default=Given("PCC_ACCESS_TOKEN"))
    refresh_token: Given = field(default=Given("PCC_REFRESH_TOKEN"))
    country: str | None = None
    base_url: str | None = None
    token_url: str | None = None
    backend_url: str | None = None
    region: Region | None = None
    phase: Phase = Phase.OP
    allow_http: bool = False


@dataclass(frozen=True, slots=True)
class Credentials:
    """All that the calls of one account need, complete and checked.

    ``token_url`` is set exactly when ``refresh_token`` is, and then ``client_id`` is too.
    """

    account: AccountName
    base_url: str
    country: str
    service_id: SecretStr
    service_key: SecretStr
    client_id: str | None
    token_url: str | None
    backend_url: str | None
    access_token: SecretStr | None
    refresh_token: SecretStr | None


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a part of an account's credentials stands, in words, and when its file was written, in epoch seconds."""

    words: str
    written: float | None = None


@dataclass(frozen=True, slots=True)
class _Found:
    """A value and the words for where it stood; or, with ``fault``, why there is none to be had from there."""

    origin: str
    value: str = ""
    fault: str | None = None
    written: float | None = field(default=None, compare=False)


class _Known(NamedTuple):
    signature: tuple[int, int, int]
    settled: bool
    found: _Found


class _Files:
    """Small files, each read again only when its stat says that it changed."""

    def __init__(self, wall: Callable[[], float]) -> None:
        self._wall = wall  # the file system's own time, not that of a simulated day: it is compared with mtimes
        self._known: dict[str, _Known] = {}

    def read(self, path: Path, origin: str) -> _Found:
        """Return what the file holds, without the line end that editors add. ``origin`` names it, here and in faults.

        A file that cannot be read is not remembered: it is tried anew each time.
        """
        known = self._known.get(origin)
        try:
            status = path.stat()
            signature = (status.st_mtime_ns, status.st_size, status.st_ino)
            if known is not None and known.settled and known.signature == signature:
                return known.found
            settled = self._wall() - status.st_mtime > _SETTLES
            found = _Found(origin, value=_contents(path, status), written=status.st_mtime)
        except (OSError, ValueError) as error:
            self._known.pop(origin, None)
            return _Found(origin, fault=f"{origin} {_why(error)}")
        if known is not None and known.found == found:
            found = known.found  # the same object as before: what was made of it still holds
        self._known[origin] = _Known(signature, settled, found)
        return found


def _contents(path: Path, status: os.stat_result) -> str:
    """Return the text of a regular file; a pipe put in its place must not block the pass."""
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("is not a regular file")
    with path.open("rb") as file:
        data = file.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise ValueError(f"is too big for a credential: more than {LARGEST // 1024} KiB")
    try:
        return data.decode().rstrip("\r\n")
    except UnicodeDecodeError:  # its words would quote the bytes
        raise ValueError("is not UTF-8 text") from None


def _why(error: OSError | ValueError) -> str:
    return f"cannot be read: {error.strerror}" if isinstance(error, OSError) else str(error)


class SecretReader:
    """One secret of the service's own that may be replaced while it runs."""

    def __init__(self, given: Given, wall: Callable[[], float] = time.time) -> None:
        self._given = given
        self._files = _Files(wall)

    @property
    def name(self) -> str:
        """Return the setting that gives the secret."""
        return self._given.name

    def read(self) -> SecretStr | str:
        """Return the secret as it stands now, or the sentence that says why there is none (a plain ``str``)."""
        found = _look_up(self._given, self._files)
        if found is None:
            return f"{self._given.name} is not set"
        if found.fault is not None:
            return found.fault
        try:
            return SecretStr(check_secret(found.value))
        except ValueError as error:
            return f"{found.origin} {error}"


def _look_up(given: Given, files: _Files) -> _Found | None:
    if given.value is not None:
        return _Found(given.name, given.value.get_secret_value())
    if given.path is not None:
        return files.read(given.path, f"the file that {given.name}_FILE names")
    return None


@dataclass(frozen=True, slots=True)
class _Assembled:
    """What became of one account's parts. Its tokens count as in use even where another part is faulty.

    ``parts`` is what it was made from, to be compared with what is there at the next time.
    """

    parts: object
    credentials: Credentials | None
    faults: tuple[str, ...]
    tokens: tuple[tuple[str, str], ...] = ()
    secrets: tuple[str, ...] = ()
    origins: Mapping[str, Origin] = field(default_factory=dict)


class CredentialStore:
    """The credentials of every account, as they stand now.

    ``watched`` lists what to watch for changes: the files that hold the service's own values, and the folder. Where
    such a file comes from a mounted Kubernetes Secret, its own folder is what changes.
    """

    def __init__(self, shared: Shared, directory: Path | None, *, wall: Callable[[], float] = time.time) -> None:
        self._shared = shared
        self._directory = directory
        self._files = _Files(wall)
        self._names: list[str] = []
        self._places: dict[str, dict[str, tuple[Path, str]]] = {}
        self._common: dict[str, _Found] = {}
        self._made: dict[AccountName, _Assembled] = {}
        self._results: dict[AccountName, Credentials | str] = {}
        self._secrets: frozenset[str] = frozenset()
        self._one_at_a_time = threading.Lock()
        givens = (shared.service_id, shared.service_key, shared.client_id, shared.access_token, shared.refresh_token)
        paths = [given.path for given in givens if given.path is not None]
        self.watched: tuple[Path, ...] = (*paths, *([] if directory is None else [directory]))

    def read(self, accounts: Mapping[AccountName, str | None]) -> Mapping[AccountName, Credentials | str]:
        """Return what each account speaks with, or the sentence that says why it cannot (a plain ``str``).

        ``accounts`` are all accounts of the accepted texts, each with the country that its text names: two of them with
        one token can only be told when both are there. An account whose parts did not change gets the same object as
        the last time. Costs one listing of the folder and a stat of each file of a known account. May be called from
        any thread.
        """
        with self._one_at_a_time:
            return self._read(accounts)

    def _read(self, accounts: Mapping[AccountName, str | None]) -> Mapping[AccountName, Credentials | str]:
        self._read_common()
        unreadable = self._list()
        made = {name: self._account(name, country, unreadable) for name, country in accounts.items()}
        fresh = [new for name, new in made.items() if new is not self._made.get(name)]
        if fresh or made.keys() != self._made.keys():
            self._made = made
            self._remember()
            doubled = _doubled({name: new.tokens for name, new in made.items()})
            self._results = {name: _result(new, doubled.get(name, ())) for name, new in made.items()}
        return MappingProxyType(self._results)

    def accounts(self) -> frozenset[AccountName]:
        """Return the accounts for which a user token is given, whether a text names them or not."""
        self._list()
        named = {name for name, parts in self._places.items() if not parts.keys().isdisjoint(_USER_TOKENS)}
        own = self._shared.access_token.is_set or self._shared.refresh_token.is_set
        return frozenset(AccountName(name) for name in named | ({DEFAULT_ACCOUNT} if own else set()))

    def origins(self, account: AccountName) -> Mapping[str, Origin]:
        """Return where each part of an account's credentials stood when they were last read, by its kind."""
        made = self._made.get(account)
        return MappingProxyType({}) if made is None else made.origins

    def secrets(self) -> frozenset[str]:
        """Return every secret as it was last read, for the masking of logs; the same object while none changed."""
        return self._secrets

    def warnings(self) -> tuple[str, ...]:
        """Return a sentence for each entry of the folder that no account will ever be asked for, sorted.

        A file of an account that is not in the text is none of them: the account may come later.
        """
        unreadable = self._list()
        return (unreadable,) if unreadable else tuple(filter(None, map(_misnamed, sorted(self._names))))

    def _read_common(self) -> None:
        """Bring the service's own values up to date; the same object stays where none of them changed."""
        kinds = ("service_id", "service_key", "client_id", *_USER_TOKENS)
        looked_up = {kind: _look_up(getattr(self._shared, kind), self._files) for kind in kinds}
        common = {kind: found for kind, found in looked_up.items() if found is not None}
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
                    places[account][kind] = (self._directory / name, f"{name} in PCC_CREDENTIALS_DIR")
            self._names, self._places = names, dict(places)
        return None

    def _account(self, name: AccountName, country: str | None, unreadable: str | None) -> _Assembled:
        """Put one account's parts together, or return what was made of them before where none of them changed."""
        before = self._made.get(name)
        if unreadable is not None:  # even `default` stops: what would override the service's own is not known
            same = before is not None and before.parts == unreadable
            return before if before and same else _Assembled(unreadable, None, (unreadable,))
        own = {kind: self._files.read(*place) for kind, place in self._places.get(name, {}).items()}
        parts = (country, own, self._common)
        if before is not None and before.parts == parts:
            return before
        usable = dict(self._common)
        if name != DEFAULT_ACCOUNT or not own.keys().isdisjoint(_USER_TOKENS):
            usable = {kind: found for kind, found in usable.items() if kind not in _USER_TOKENS}
        in_folder = self._directory is not None
        return _Assembly(name, usable | own, self._shared, in_folder=in_folder).make(parts, country)

    def _remember(self) -> None:
        """Bring the secrets up to date. One that was not even read as a whole is none to be found in a line."""
        own = (value for one in self._made.values() for value in one.secrets)
        common = (found.value for kind, found in self._common.items() if kind in _MASKED)
        self._secrets = frozenset(value for value in (*own, *common) if len(value) >= SHORTEST)


def _result(made: _Assembled, doubled: Sequence[str]) -> Credentials | str:
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


def _doubled(tokens: Mapping[AccountName, tuple[tuple[str, str], ...]]) -> Mapping[AccountName, list[str]]:
    """Return, for each account that shares a user token with another, the sentences that say with which."""
    users: defaultdict[tuple[str, str], list[AccountName]] = defaultdict(list)
    for account, mine in tokens.items():
        for token in mine:
            users[token].append(account)
    faults: defaultdict[AccountName, list[str]] = defaultdict(list)
    for (kind, _), sharing in users.items():
        for account in sharing if len(sharing) > 1 else ():
            faults[account].append(
                f"has the same {_WORDS[kind]} as {_named(other for other in sharing if other != account)}: each would"
                f" unsubscribe the other's devices; give each account the {_WORDS[kind]} of its own LG user"
            )
    return faults


def _named(accounts: Iterable[AccountName], most: int = 3) -> str:
    names = sorted(accounts)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(f"account '{name}'" for name in names[:most]) + more


class _Assembly:
    """Puts the parts of one account together and gathers every fault on the way."""

    def __init__(self, account: AccountName, found: Mapping[str, _Found], shared: Shared, *, in_folder: bool) -> None:
        self._account = account
        self._found = found
        self._shared = shared
        self._in_folder = in_folder
        self._faults: list[str] = []

    def make(self, parts: object, country: str | None) -> _Assembled:
        """Return the credentials, or nothing and all the faults."""
        service_id = self._needed("service_id", check_printable)
        service_key = self._needed("service_key", check_secret)
        access = self._part("access_token", check_secret)
        refresh = self._part("refresh_token", check_secret)
        if self._found.keys().isdisjoint(_USER_TOKENS):
            self._missing("no user token", *_USER_TOKENS)
        country = self._country(country)
        base_url = self._base_url(country)
        client_id = self._part("client_id", check_printable)
        if refresh is not None and "client_id" not in self._found:
            self._missing("a refresh token needs a client id", "client_id")
        credentials = Credentials(
            account=self._account,
            base_url=base_url,
            country=country,
            service_id=SecretStr(service_id),
            service_key=SecretStr(service_key),
            client_id=client_id,
            token_url=self._token_url(country) if refresh is not None else None,
            backend_url=self._part("backend_url", check_printable) or self._shared.backend_url,
            access_token=None if access is None else SecretStr(access),
            refresh_token=None if refresh is None else SecretStr(refresh),
        )
        tokens = tuple((kind, value) for kind, value in zip(_USER_TOKENS, (access, refresh), strict=True) if value)
        secrets = tuple(found.value for kind, found in self._found.items() if kind in _MASKED)
        origins = MappingProxyType({kind: Origin(one.origin, one.written) for kind, one in self._found.items()})
        return _Assembled(parts, None if self._faults else credentials, tuple(self._faults), tokens, secrets, origins)

    def _part(self, kind: str, check: Callable[[str], str]) -> str | None:
        """Return one part, checked, or nothing if it is not there or, with a fault noted, not usable."""
        found = self._found.get(kind)
        if found is None:
            return None
        if found.fault is not None:
            self._faults.append(found.fault)
            return None
        try:
            return check(found.value)
        except ValueError as error:
            self._faults.append(f"{found.origin} {error}")
            return None

    def _needed(self, kind: str, check: Callable[[str], str]) -> str:
        if kind not in self._found:
            self._missing(f"no {_WORDS[kind]}", kind)
        return self._part(kind, check) or ""

    def _missing(self, what: str, *kinds: str, also: str = "") -> None:
        """Note that a part is not there, with every place where it could be put for this account."""
        files = " or ".join(f"{self._account}.{kind}" for kind in kinds)
        into = f"put {files} into {'' if self._in_folder else 'a folder and name that in '}PCC_CREDENTIALS_DIR"
        if self._account == DEFAULT_ACCOUNT or not set(kinds) <= set(_USER_TOKENS):
            into = f"set {' or '.join(f'PCC_{kind.upper()}' for kind in kinds)}, or {into}"
        self._faults.append(f"{what}: {also}{into}")

    def _country(self, named: str | None) -> str:
        """Return the country: the text's word, then the account's file, then the service's own."""
        if named is not None:
            self._found = {**self._found, "country": _Found("the country that the text names", named)}
        elif "country" not in self._found:
            if self._shared.country is not None:
                return self._shared.country
            self._missing("no country", "country", also="give the account one in the text, ")
        return self._part("country", check_country) or ""

    def _base_url(self, country: str) -> str:
        if "base_url" in self._found:
            return self._part("base_url", self._check_url) or ""
        if self._shared.base_url is not None:
            return self._shared.base_url
        region = self._shared.region or region_of(country)
        if region is not None:
            return service_url(region, self._shared.phase)
        if country:
            self._faults.append("LG's region for this account's country is not known: set PCC_REGION or PCC_BASE_URL")
        return ""

    def _token_url(self, country: str) -> str | None:
        if "token_url" in self._found:
            return self._part("token_url", self._check_url)
        return self._shared.token_url or token_url(country, self._shared.phase)

    def _check_url(self, text: str) -> str:
        return check_url(text, allow_http=self._shared.allow_http)
