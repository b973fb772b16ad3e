"""What one account sends to LG to be let in, and how its parts are put together.

Owns: the parts of a credential, the service's own values, and the checked credentials of one account.
Must not: know the settings (it gets plain values), read a file, send anything, or put a value into a sentence: a fault
names the setting or the file to fix.

An account may have an access token and a refresh token at once. The access token is used until it has expired; the
refresh token gets the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from pydantic import SecretStr

from reconciler.core.model import DEFAULT_ACCOUNT, AccountName
from reconciler.pcc.checks import check_country, check_printable, check_secret, check_url
from reconciler.pcc.regions import Phase, Region, region_of, service_url, token_url
from reconciler.pcc.secret_files import Found, Given

USER_TOKENS = ("access_token", "refresh_token")
MASKED = (*USER_TOKENS, "service_id", "service_key")
FILES = (*MASKED, "client_id", "token_url", "backend_url", "country", "base_url")
"""What may follow ``ACCOUNT.`` in the name of a file of the credentials folder."""

WORDS = {
    "access_token": "access token",
    "refresh_token": "refresh token",
    "service_id": "service id",
    "service_key": "service key",
    "client_id": "client id",
    "country": "country",
}


SEVERAL = 3
"""From this number of missing parts on, they are listed together."""


@dataclass(frozen=True, slots=True)
class Absent:
    """A part that is missing: what it is, the kinds that would do, and where else it may be given."""

    what: str
    kinds: tuple[str, ...]
    also: str = ""


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
    """Where a part of an account's credentials is, in words, and when its file was written, in epoch seconds."""

    words: str
    written: float | None = None


@dataclass(frozen=True, slots=True)
class Assembled:
    """What became of one account's parts. Its tokens count as in use even where another part is faulty.

    ``parts`` is what it was made from, to be compared with what is there at the next time.
    """

    parts: object
    credentials: Credentials | None
    faults: tuple[str, ...]
    tokens: tuple[tuple[str, str], ...] = ()
    secrets: tuple[str, ...] = ()
    origins: Mapping[str, Origin] = field(default_factory=dict)


def same_token(kind: str, others: Iterable[AccountName]) -> str:
    """Return the sentence for an account whose user token is also that of others."""
    return (
        f"has the same {WORDS[kind]} as {_named(others)}: each would unsubscribe the other's devices;"
        f" give each account the {WORDS[kind]} of its own LG user"
    )


def _named(accounts: Iterable[AccountName], most: int = 3) -> str:
    names = sorted(accounts)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(f"account '{name}'" for name in names[:most]) + more


class Assembly:
    """Puts the parts of one account together and gathers every fault on the way."""

    def __init__(
        self, account: AccountName, found: Mapping[str, Found], shared: Shared, *, in_folder: bool
    ) -> None:
        self._account = account
        self._found = found
        self._shared = shared
        self._in_folder = in_folder
        self._faults: list[str] = []
        self._absent: list[Absent] = []

    def make(self, parts: object, country: str | None) -> Assembled:
        """Return the credentials, or None and all the faults."""
        service_id = self._needed("service_id", check_printable)
        service_key = self._needed("service_key", check_secret)
        access = self._part("access_token", check_secret)
        refresh = self._part("refresh_token", check_secret)
        if self._found.keys().isdisjoint(USER_TOKENS):
            self._missing("user token", *USER_TOKENS)
        country = self._country(country)
        base_url = self._base_url(country)
        client_id = self._part("client_id", check_printable)
        if refresh is not None and "client_id" not in self._found:
            self._missing("client id (a refresh token needs one)", "client_id")
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
        faults = self._all_faults()
        tokens = tuple(
            (kind, value)
            for kind, value in zip(USER_TOKENS, (access, refresh), strict=True)
            if value
        )
        secrets = tuple(found.value for kind, found in self._found.items() if kind in MASKED)
        origins = MappingProxyType(
            {kind: Origin(one.origin, one.written) for kind, one in self._found.items()}
        )
        return Assembled(
            parts,
            None if faults else credentials,
            faults,
            tokens,
            secrets,
            origins,
        )

    def _part(self, kind: str, check: Callable[[str], str]) -> str | None:
        """Return one part, checked, or None if it is not there or, with a fault noted, not usable."""
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
            self._missing(WORDS[kind], kind)
        return self._part(kind, check) or ""

    def _missing(self, what: str, *kinds: str, also: str = "") -> None:
        """Note that a part is missing."""
        self._absent.append(Absent(what, kinds, also))

    def _all_faults(self) -> tuple[str, ...]:
        """Return every fault; of several missing parts one list, because the person may have set none of them."""
        if len(self._absent) < SEVERAL:
            return (*map(self._alone, self._absent), *self._faults)
        parts = ", ".join(
            f"{one.what} ({self._place(one)})".replace(") (", ", ") for one in self._absent
        )
        into = f"{self._folder()}, as files like {self._account}.{self._absent[0].kinds[0]}"
        return (f"missing: {parts}; each may also be in {into}", *self._faults)

    def _alone(self, absent: Absent) -> str:
        """Return the fault of one missing part, with every place where it could be put for this account."""
        files = " or ".join(f"{self._account}.{kind}" for kind in absent.kinds)
        into = f"put {files} into {self._folder()}"
        if self._by_setting(absent):
            into = f"set {self._place(absent)}, or {into}"
        return f"no {absent.what}: {absent.also}{into}"

    def _place(self, absent: Absent) -> str:
        """Return the settings of a part, or its files where no setting is for this account."""
        if self._by_setting(absent):
            return " or ".join(f"PCC_{kind.upper()}" for kind in absent.kinds)
        return " or ".join(f"file {self._account}.{kind}" for kind in absent.kinds)

    def _by_setting(self, absent: Absent) -> bool:
        """Say whether a setting can give a part: user tokens never go from one account to another."""
        return self._account == DEFAULT_ACCOUNT or not set(absent.kinds) <= set(USER_TOKENS)

    def _folder(self) -> str:
        named = "" if self._in_folder else "a folder that you name in "
        return f"{named}PCC_CREDENTIALS_DIR"

    def _country(self, named: str | None) -> str:
        """Return the country: from the desired state, else the account's file, else the service's own."""
        if named is not None:
            self._found = {
                **self._found,
                "country": Found("the country in the file", named),
            }
        elif "country" not in self._found:
            if self._shared.country is not None:
                return self._shared.country
            self._missing("country", "country", also="give the account one in the file, ")
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
            self._faults.append(
                "LG's region for this account's country is not known: set PCC_REGION or PCC_BASE_URL"
            )
        return ""

    def _token_url(self, country: str) -> str | None:
        if "token_url" in self._found:
            return self._part("token_url", self._check_url)
        return self._shared.token_url or token_url(country, self._shared.phase)

    def _check_url(self, text: str) -> str:
        return check_url(text, allow_http=self._shared.allow_http)
