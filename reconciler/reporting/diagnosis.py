"""What an examination found: what is wrong, and which setting mends it.

Owns: the judgement, check by check, of what asking brought, and the sentence that goes with each. Pure.
Must not: ask anybody, read a clock or a file, or show a secret: it is handed facts, and settings and files by name.

``fail`` is what keeps an account from working, ``warn`` what works now and may not for long, or what only time mends.
``skip`` is what could not be looked at, because of something else that is told beside it. One thing that is wrong is
told once, where it is mended.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from urllib.parse import urlsplit

from reconciler.core import duration
from reconciler.core.acceptance import Accepted, AccountRevision
from reconciler.core.clock import TOLERATED
from reconciler.core.errors import CredentialsRefused, Lost, PlatformError, Surprise, Throttled, Unavailable, quoted
from reconciler.core.guards import REMEDIES
from reconciler.core.model import AccountName, Cause, Kind, Reason, Tripped, Unlimited
from reconciler.core.text import counted
from reconciler.pcc.credentials import Credentials, Origin
from reconciler.pcc.protocol import CODES, Call
from reconciler.pcc.regions import Phase, cloud_of, region_of, service_url

CLOCK_NEAR, CLOCK_FAR = timedelta(seconds=30), TOLERATED
"""A clock that differs by more than the first from LG's is a warning, by more than the second a failure: it takes
devices in and out at the wrong time, and lets approvals end late."""
HEADER_STEP = timedelta(seconds=1)
"""The header ``Date`` has whole seconds."""
FORBIDDEN, PROXY_PASSWORD = 403, 407
PUT_PASSWORD = "put user and password into the proxy's address in HTTP_PROXY or HTTPS_PROXY"  # noqa: S105 - no password
NAMED = 5
"""So many accounts are named in a sentence; the rest is a number."""

Fact = str | int | float | datetime | None


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    SKIP = "skip"


class Check(StrEnum):
    """What was looked at."""

    SETTINGS = "settings"
    STATE = "state"
    DESIRED_STATE = "desired-state"
    CREDENTIALS = "credentials"
    REGION = "region"
    TOKEN = "token"  # noqa: S105 - the name of a check
    LIST = "list"
    CLOCK = "clock"
    QUOTA = "quota"
    GUARDS = "guards"
    PROGRAM = "program"


UNASKED = (Check.REGION, Check.TOKEN, Check.LIST, Check.CLOCK)
"""What nobody can tell of an account without its credentials."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: how it is and, where something is wrong, what mends it.

    ``facts`` are for programs; a moment is in UTC.
    """

    check: Check
    level: Level
    found: str
    mend: str = ""
    facts: Mapping[str, Fact] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Examined:
    """One account, check by check."""

    account: AccountName
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Examination:
    """All that was found: what concerns every account, and each account."""

    general: tuple[Finding, ...]
    accounts: tuple[Examined, ...] = ()

    def counts(self) -> Counter[Level]:
        """Return how many findings there are of each level."""
        return Counter(one.level for one in (*self.general, *(one for each in self.accounts for one in each.findings)))

    @property
    def guarded(self) -> bool:
        """Say whether a guard is tripped in any account: then nothing may say that all is well."""
        return any(one.check is Check.GUARDS for each in self.accounts for one in each.findings)

    @property
    def exit_code(self) -> int:
        """Return 1 where something is wrong; warnings alone are not."""
        return 1 if self.counts()[Level.FAIL] else 0


@dataclass(frozen=True, slots=True)
class Asked:
    """What asking LG for one account's list brought.

    ``error`` is why there is no list, ``token_error`` why no new access token could be had. ``envelope`` and
    ``header`` are the times that LG told. ``list_hash`` tells lists apart without keeping them; ``tripped`` is what a
    pass on this list would trip. ``other_id``: the answer names another message id than the request, which
    alone is no reason to doubt it. Proxies are those that the environment names.
    """

    began: datetime
    ended: datetime
    devices: int | None = None
    list_hash: int | None = None
    tripped: tuple[Tripped, ...] = ()
    error: PlatformError | None = None
    token_error: PlatformError | None = None
    expires_at: datetime | None = None
    rotated: bool = False
    envelope: datetime | None = None
    header: datetime | None = None
    proxy: str = ""
    token_proxy: str = ""
    other_id: bool = False


@dataclass(frozen=True, slots=True)
class Speaking:
    """How one account speaks to LG, and where each part of it stands."""

    credentials: Credentials
    origins: Mapping[str, Origin]
    phase: Phase
    timeout: timedelta

    def place(self, kind: str) -> str:
        """Return in words where a part stands or should stand: its file, or the setting."""
        origin = self.origins.get(kind)
        return origin.words if origin is not None else f"PCC_{kind.upper()}"

    def placed(self, hint: str) -> str:
        """Return a hint that names settings with the account's own files and keys in their place."""
        return re.sub(r"PCC_([A-Z_]+)", lambda found: self.place(found[1].lower()), hint)


# ---------------------------------------------------------------------------------------------------------------------
# What concerns all accounts


def settings(mode: str, *, allow_http: bool, unreadable: Sequence[str], warnings: Sequence[str] = ()) -> Finding:
    """Judge the settings, which were valid one by one. ``unreadable``: why a secret of our own cannot be read.

    ``warnings`` name variables that work, and may not mean what they seem to.
    """
    facts = {"mode": mode}
    if unreadable:
        return Finding(
            Check.SETTINGS,
            Level.FAIL,
            "; ".join(unreadable),
            "correct the setting that is named here, or its file",
            facts,
        )
    if allow_http:
        found = "PCC_ALLOW_HTTP=true: the service key and tokens may cross the network readable"
        return Finding(Check.SETTINGS, Level.WARN, found, "unset PCC_ALLOW_HTTP, unless this is a trial", facts)
    if warnings:
        return Finding(
            Check.SETTINGS, Level.WARN, "; ".join(warnings), "correct the variable that is named here", facts
        )
    words = "observe: nothing is changed at LG" if mode == "observe" else mode
    return Finding(Check.SETTINGS, Level.OK, f"valid; mode {words}", facts=facts)


def wrong_settings(faults: Iterable[object]) -> Examination:
    """Return the examination that ends with the settings, because they are not valid."""
    found = "; ".join(map(str, faults))
    return Examination((Finding(Check.SETTINGS, Level.FAIL, found, "correct the settings that are named here"),))


def state(folder: str, *, exists: bool, locked: str, trouble: str, unreadable: str) -> Finding:
    """Judge the state. ``locked``: what of it this user cannot write.

    ``trouble``: it is damaged; ``unreadable``: it is there and cannot be read by us.
    """
    facts = {"folder": folder}
    if unreadable or trouble:
        mend = "restore the file from a copy, or let the daemon set it aside at its next start: it is in PCC_STATE_DIR"
        if unreadable:
            mend = "correct PCC_STATE_DIR, or run this as the user and with the version of the daemon"
        return Finding(Check.STATE, Level.FAIL, unreadable or trouble, mend, facts)
    if locked:
        found = f"{locked} cannot be written by this user"
        mend = "name a folder of the daemon's user in PCC_STATE_DIR; if that is another user than this, all is well"
        return Finding(Check.STATE, Level.WARN, found, mend, facts)
    return Finding(
        Check.STATE, Level.OK, folder if exists else f"none yet; the daemon will make it in {folder}", facts=facts
    )


def desired_state(
    accepted: Accepted, trouble: str, path: str, abandoned: Iterable[AccountName], *, git: bool
) -> Finding:
    """Judge the newest text. ``trouble`` is why it could not be fetched; ``git``: it comes from a repository."""
    facts: dict[str, Fact] = {
        "cause": accepted.rejected,
        "faults": len(accepted.faults),
        "warnings": len(accepted.warnings),
        "revision": str(accepted.newest or "") or None,
    }

    def finding(level: Level, found: str, mend: str = "") -> Finding:
        return Finding(Check.DESIRED_STATE, level, found, mend, facts)

    if accepted.rejected is Cause.MISSING:
        there = ", as a path inside the repository; PCC_GIT_REF has to be its branch" if git else ""
        return finding(Level.FAIL, trouble, f"name the file in PCC_DESIRED_STATE{there}; `export` writes a first one")
    if trouble:
        place = "fetch from PCC_GIT_URL, or correct that or PCC_GIT_REF" if git else f"read {path} (PCC_DESIRED_STATE)"
        return finding(Level.FAIL, trouble, f"let this user {place}")
    if accepted.rejected is not None:
        return finding(Level.FAIL, *_rejected(accepted))
    gone = sorted(abandoned)
    if gone:
        found = f"no text names {_listed(gone)} any more, and devices of {'it' if len(gone) == 1 else 'them'} are live"
        return finding(Level.WARN, found, "bring the account back into the text, or name it in `retired_accounts`")
    devices = sum(len(text.desired.devices) for text in accepted.accounts.values())
    found = f"valid: {counted(len(accepted.accounts), 'account')}, {counted(devices, 'device')}"
    if accepted.warnings:
        found += f"; {_first(accepted.warnings, 'warning')}"
        return finding(Level.WARN, found, "correct the text; `validate` shows every warning with its place")
    return finding(Level.OK, found)


def _rejected(accepted: Accepted) -> tuple[str, str]:
    found = f"rejected, {_first(accepted.faults, 'fault')}"
    if accepted.accounts:
        found += f"; an older text is in force for {_listed(sorted(accepted.accounts))}"
    if accepted.rejected is Cause.ENVIRONMENT:
        return found, "let PCC_ENVIRONMENT and `environment` in the text say the same; is it the wrong branch?"
    if accepted.rejected is Cause.UNVERIFIED:
        return found, "sign the commit with a key of PCC_GIT_ALLOWED_SIGNERS, or change PCC_GIT_VERIFY"
    return found, "correct the text that PCC_DESIRED_STATE names; `validate` shows every fault with its place"


def folder(warnings: Sequence[str], strays: Iterable[AccountName]) -> Finding | None:
    """Judge what lies in the credentials folder and serves nobody; nothing where there is no such thing."""
    spare = sorted(strays)
    found = [*warnings, *([f"credentials of {_listed(spare)}, which no text names"] if spare else [])]
    if not found:
        return None
    mend = "correct the name of the file, or the folder in PCC_CREDENTIALS_DIR"
    if spare and not warnings:
        mend = "name the account in the text, or take its files out of PCC_CREDENTIALS_DIR"
    return Finding(Check.CREDENTIALS, Level.WARN, "; ".join(found), mend)


# ---------------------------------------------------------------------------------------------------------------------
# One account


def account(
    text: AccountRevision | None, speaking: Speaking | str, asked: Asked | None, *, judged: bool
) -> list[Finding]:
    """Return what was found of one account, but for its quota. A ``str`` says why it cannot speak to LG.

    ``judged``: the newest text was read and accepted, so that an account of which it does not speak is none.
    """
    findings = [_wanted(text, judged=judged)]
    if isinstance(speaking, str) or asked is None:
        found = "LG cannot be asked with what is there"
        findings.append(Finding(Check.CREDENTIALS, Level.FAIL, found, str(speaking)))
        return [*findings, *(_skipped(check, "LG was not asked") for check in UNASKED)]
    return [
        *findings,
        Finding(Check.CREDENTIALS, Level.OK, "complete"),
        region(speaking, works=_was_accepted(asked)),
        token(speaking, asked),
        live_list(speaking, asked),
        clock(asked),
    ]


def defect(error: BaseException) -> Finding:
    """Return what is told where our own examination of an account broke."""
    found = f"the examination broke off, by an error of this program: {type(error).__name__}: {quoted(str(error))}"
    return Finding(Check.PROGRAM, Level.FAIL, found, "please report it; this is a defect of the program")


def _wanted(text: AccountRevision | None, *, judged: bool) -> Finding:
    if text is None:
        found = "no text names the account" if judged else "no text is in force that names the account"
        return _skipped(Check.DESIRED_STATE, found)
    devices = len(text.desired.devices)
    found, facts = f"{counted(devices, 'device')} in the text", {"devices": devices}
    if text.rejected is None:
        return Finding(Check.DESIRED_STATE, Level.OK, found, facts=facts)
    found = f"{counted(devices, 'device')} in the text that is in force; a newer one is rejected ({text.rejected})"
    mend = "correct the newest text, as is told above; until then nothing of this account is unsubscribed"
    return Finding(Check.DESIRED_STATE, Level.WARN, found, mend, facts)


def region(speaking: Speaking, *, works: bool) -> Finding:
    """Judge whether the address fits the country. Where LG answers well all the same it is a warning at most."""
    url, country = speaking.credentials.base_url, speaking.credentials.country
    cloud, home = cloud_of(url), region_of(country)
    facts: dict[str, Fact] = {"base_url": url, "country": country, "region": cloud[0] if cloud else None}
    bad = Level.WARN if works else Level.FAIL
    place = speaking.place("base_url")

    def finding(level: Level, found: str, mend: str = "") -> Finding:
        return Finding(Check.REGION, level, found, mend, facts | {"region_of_country": home})

    if cloud is None:
        if (urlsplit(url).hostname or "").endswith(".lgthinq.com") and home is not None:
            right = service_url(home, speaking.phase)
            return finding(bad, f"{url} is another of LG's APIs; PCC is at {right}", f"correct {place}, or unset it")
        return finding(Level.OK, f"{url}; not one of LG's own hosts, so nothing says whether it serves {country}")
    if home is None:
        found = f"{url}; LG's own client does not know in which region {country} is"
        return finding(Level.WARN, found, f"ask LG, and say it in PCC_REGION; or correct {speaking.place('country')}")
    if cloud[0] is not home:
        found = f"{url} is region {cloud[0]}, and LG serves {country} from {home}"
        return finding(bad, found, f"set PCC_REGION={home} and unset {place}, or correct {speaking.place('country')}")
    if cloud[1] is not speaking.phase:
        found = f"{url} is LG's platform {cloud[1]}, and PCC_PHASE says {speaking.phase}"
        return finding(bad, found, f"set PCC_PHASE={cloud[1]}, or unset {place}")
    return finding(Level.OK, f"{url} serves {country}")


def token(speaking: Speaking, asked: Asked) -> Finding:
    """Judge the user's token: whether LG takes it, how old it is, and who renews it."""
    return _renewed(speaking, asked) if speaking.credentials.refresh_token is not None else _given(speaking, asked)


def _given(speaking: Speaking, asked: Asked) -> Finding:
    """Judge an access token that nothing here renews."""
    origin = speaking.origins.get("access_token", Origin("PCC_ACCESS_TOKEN"))
    age = None if origin.written is None else max(asked.ended.timestamp() - origin.written, 0.0)
    facts: dict[str, Fact] = {"age_seconds": age, "expires_at": None, "renewed": False}
    words = "" if age is None else f"; its file was written {_span(age)} ago"
    renewable = f"{speaking.place('refresh_token')} with {speaking.place('client_id')}"
    if speaking.credentials.account != "default":
        renewable = (
            f"{speaking.credentials.account}.refresh_token in PCC_CREDENTIALS_DIR, with {speaking.place('client_id')}"
        )
    if isinstance(asked.error, CredentialsRefused):
        found = f"an access token that LG does not accept: {_said(asked.error)}{words}"
        mend = f"replace {origin.words}, or give a refresh token, which gets new ones by itself: {renewable}"
        return Finding(Check.TOKEN, Level.FAIL, found, mend, facts)
    if not _was_accepted(asked):
        found = f"an access token; whether LG accepts it was not to be found out{words}"
        return Finding(Check.TOKEN, Level.SKIP, found, facts=facts)
    if age is None:
        found = "an access token that LG accepts; it ends about an hour after it was issued, and nothing renews it"
        mend = f"give a refresh token ({renewable}), or a file that something keeps fresh ({origin.words}_FILE)"
        return Finding(Check.TOKEN, Level.WARN, found, mend, facts)
    found = f"an access token that LG accepts{words}; whoever writes the file has to renew it within the hour"
    return Finding(Check.TOKEN, Level.OK, found, facts=facts)


def _renewed(speaking: Speaking, asked: Asked) -> Finding:
    """Judge a refresh token."""
    facts: dict[str, Fact] = {"age_seconds": None, "expires_at": asked.expires_at, "renewed": True}
    if asked.token_error is not None:
        found = str(asked.token_error)
        if _was_accepted(asked):
            found += "; the access token beside it is still accepted"
        return Finding(
            Check.TOKEN,
            Level.FAIL,
            found,
            _mend_refresh(speaking, asked, asked.token_error),
            facts | {"renewed": False},
        )
    if isinstance(asked.error, CredentialsRefused):
        found = f"LG does not accept an access token that was renewed just now: {_said(asked.error)}"
        places = ("refresh_token", "client_id", "service_id", "token_url")
        mend = f"check that they belong to one service and one platform: {', '.join(map(speaking.place, places))}"
        return Finding(Check.TOKEN, Level.FAIL, found, mend, facts)
    facts["age_seconds"] = 0.0
    ends = "LG did not say when it ends"
    if asked.expires_at is not None:
        ends = f"it ends in {_span((asked.expires_at - asked.ended).total_seconds())}"
    if asked.rotated:
        found = f"renewed just now, {ends}; with it LG sent another refresh token, which nothing here stores"
        return Finding(
            Check.TOKEN, Level.WARN, found, f"replace {speaking.place('refresh_token')} by a fresh one", facts
        )
    return Finding(Check.TOKEN, Level.OK, f"renewed just now, {ends}", facts=facts)


def _mend_refresh(speaking: Speaking, asked: Asked, error: PlatformError) -> str:
    if isinstance(error, CredentialsRefused):
        for kind in ("backend_url", "client_id"):
            if kind in str(error).lower():
                return f"correct {speaking.place(kind)}: it has to be what LG gave at the login of this user"
        refresh, client = speaking.place("refresh_token"), speaking.place("client_id")
        return f"replace {refresh} by one from a new login of the user; it has to be issued to {client}"
    return _mend_loss(speaking, error, speaking.place("token_url"), asked.token_proxy)


def _was_accepted(asked: Asked) -> bool:
    """Say whether LG took the token: it gave the list, or counted the call."""
    return asked.devices is not None or (isinstance(asked.error, Throttled) and asked.error.code is not None)


def live_list(speaking: Speaking, asked: Asked) -> Finding:
    """Judge what ``GET /pcc`` brought."""
    error, seconds = asked.error, (asked.ended - asked.began).total_seconds()
    facts: dict[str, Fact] = {"devices": asked.devices, "seconds": round(seconds, 3)}
    if error is None and asked.devices is not None:
        found = f"{counted(asked.devices, 'device')} {'is' if asked.devices == 1 else 'are'} subscribed"
        found = f"{found}; LG answered in {seconds:.2f} s"
        if not asked.other_id:
            return Finding(Check.LIST, Level.OK, found, facts=facts)
        found += ", and the answer names another message id than the request"
        mend = f"make sure that no cache between here and LG answers in its place{_via(asked.proxy)}"
        return Finding(Check.LIST, Level.WARN, found, mend, facts)
    if error is None:
        return _skipped(Check.LIST, "LG was not asked: there is no access token")
    if _about_token(error):
        return _skipped(Check.LIST, "LG gave no list: it did not accept the token")
    facts |= {"code": error.code, "status": error.status, "message_id": error.message_id}
    level = Level.WARN if isinstance(error, Throttled) else Level.FAIL
    return Finding(Check.LIST, level, _said(error), _mend_list(speaking, asked, error), facts)


TOLD_ELSEWHERE = frozenset({Reason.DESIRED_REJECTED, Reason.STATE_UNWRITABLE})
"""Guards whose cause has a check of its own."""
GRAVE = frozenset({Reason.SUSPECT_LIST, Reason.GUARD_FAILED})
"""Guards that say that something is wrong, not only that somebody has to decide."""


def guards(tripped: Iterable[Tripped]) -> list[Finding]:
    """Return a finding for each guard that a pass on the list would trip, and what to do about it."""
    return [
        Finding(
            Check.GUARDS,
            Level.FAIL if one.reason in GRAVE else Level.WARN,
            f"{one.reason}: {one.message}",
            REMEDIES[one.reason],
            {"reason": one.reason},
        )
        for one in tripped
        if one.reason.kind is Kind.GUARD and one.reason not in TOLD_ELSEWHERE
    ]


def alike(devices: int, others: Sequence[AccountName]) -> Finding:
    """Return the warning that other accounts have the same list."""
    found = f"LG lists the same {counted(devices, 'device')} for {_listed(others)}: most likely they are one LG user"
    mend = "give each account the token of its own LG user, or put all devices of one user into one account"
    return Finding(Check.LIST, Level.WARN, found, mend, {"devices": devices})


def _said(error: PlatformError) -> str:
    """Return what an error says, without the call, which is clear here, and the hint, which stands in what mends it."""
    known = CODES.get(error.code or "")
    hint = f" (check {known.hint})" if known is not None else ""
    return str(error).removeprefix(f"{Call.LIST}: ").removesuffix(hint)


def _about_token(error: PlatformError) -> bool:
    """Say whether the token is what is wrong. Only what was sent to LG itself has a message id."""
    return isinstance(error, CredentialsRefused) or (isinstance(error, Unavailable) and error.message_id is None)


def _mend_list(speaking: Speaking, asked: Asked, error: PlatformError) -> str:
    known = CODES.get(error.code or "")
    support = f"give LG support the message id {error.message_id}"
    if known is not None and known.hint:
        return f"check {speaking.placed(known.hint)}"
    if isinstance(error, Throttled):
        return "wait, as the daemon does; if it happens often, set `calls_per_hour` in the text, or ask LG for more"
    if isinstance(error, Unavailable) and error.lost is None:
        return f"nothing to fix on your side: LG failed. If it persists, {support}"
    if isinstance(error, Unavailable):
        return _mend_loss(speaking, error, speaking.place("base_url"), asked.proxy)
    if isinstance(error, Surprise) and error.code is None:
        return _mend_surprise(speaking, asked, error)
    return f"nothing to fix on your side: LG documents no such answer to this call; {support}"


def _mend_surprise(speaking: Speaking, asked: Asked, error: Surprise) -> str:
    """Return what mends that somebody else than LG's API answered."""
    if error.status == PROXY_PASSWORD:
        return f"{PUT_PASSWORD}{_via(asked.proxy)}"
    if error.status == FORBIDDEN:
        return f"{_mend_stranger(error, speaking.place('base_url'))}{_via(asked.proxy)}"
    between = f"{asked.proxy or 'something'} between here and LG answers in its place"
    return f"correct {speaking.place('base_url')}: this is not how LG answers; if it is right, {between}"


def _mend_loss(speaking: Speaking, error: PlatformError, place: str, proxy: str) -> str:
    """Return what mends that no answer came from the address that ``place`` names."""
    limit = f"raise PCC_REQUEST_TIMEOUT (now {duration.show(speaking.timeout)})"
    mends = {
        Lost.NAME: f"correct {place}, or the name service of this machine",
        Lost.REFUSED: f"correct {place}: nothing listens there, or a firewall is in between",
        Lost.DATES: "set this machine's clock (NTP); if that is right, LG or the proxy has to renew its certificate",
        Lost.TLS: f"correct {place}; where a proxy signs with a certificate of its own, name that in SSL_CERT_FILE",
        Lost.TIME: f"let this machine reach what {place} names (a firewall, a proxy in HTTPS_PROXY), or {limit}",
        Lost.PROXY: "correct HTTPS_PROXY or HTTP_PROXY, or name the host in NO_PROXY",
        Lost.STRANGER: _mend_stranger(error, place),
        Lost.OTHER: f"look at the network between here and what {place} names",
        None: f"wait if {place} is right: it is tried again",
    }
    return mends[error.lost if isinstance(error, Unavailable) else None] + _via(proxy)


def _mend_stranger(error: PlatformError, place: str) -> str:
    """Return what mends that something else answers at the address that ``place`` names."""
    if error.status == PROXY_PASSWORD:
        return PUT_PASSWORD
    if error.status == FORBIDDEN:
        return f"let this machine reach what {place} names: a web filter, a firewall or a proxy answers in its place"
    return f"correct {place}: something else answers there, or in its place"


def _via(proxy: str) -> str:
    return f" (calls go through the proxy {proxy})" if proxy else ""


def clock(asked: Asked) -> Finding:
    """Judge our clock by the times that LG told with its answer."""
    told = {
        "its answer": _ahead(asked.envelope, asked, timedelta(0)),
        "the header Date": _ahead(asked.header, asked, HEADER_STEP),
    }
    known = {words: ahead for words, ahead in told.items() if ahead is not None}
    if not known:
        return _skipped(Check.CLOCK, "LG told no time")
    worst = max(known.values(), key=abs)
    facts: dict[str, Fact] = {"ahead_seconds": round(worst.total_seconds(), 3)}
    if abs(worst) <= CLOCK_NEAR:
        return Finding(Check.CLOCK, Level.OK, f"this clock {_differs(worst)}", facts=facts)
    if max(known.values()) - min(known.values()) > CLOCK_NEAR:
        sides = [f"by {words} this clock {_differs(one)}" for words, one in known.items()]
        mend = "make sure that this machine's clock is right (NTP); it may be LG's that is wrong"
        return Finding(Check.CLOCK, Level.WARN, f"LG tells two times: {', '.join(sides)}", mend, facts)
    mend = "set this machine's clock (NTP): by it devices come and go at their dates, and approvals end"
    if abs(worst) > CLOCK_FAR:
        mend += "; until then a device is wanted when either clock says so, and an approval is valid when both do"
    level = Level.FAIL if abs(worst) > CLOCK_FAR else Level.WARN
    return Finding(Check.CLOCK, level, f"this clock {_differs(worst)}", mend, facts)


def _ahead(told: datetime | None, asked: Asked, step: timedelta) -> timedelta | None:
    """Return by how much LG's clock is ahead of ours at least, however long the answer took."""
    if told is None:
        return None
    return max(told - asked.ended, timedelta(0)) - max(asked.began - told - step, timedelta(0))


def _differs(ahead: timedelta) -> str:
    span = _span(abs(ahead.total_seconds()))
    return "agrees with LG's" if span == "0s" else f"is {span} {'behind' if ahead > timedelta(0) else 'ahead of'} LG's"


def quota(policy: int | Unlimited, *, limit: int | None, remaining: int | None, calls: int, cost: int) -> Finding:
    """Tell what is known of the account's quota. ``calls`` are those of the last hour, ``cost`` of them ours."""
    facts: dict[str, Fact] = {"limit": limit, "remaining": remaining, "calls_last_hour": calls, "cost": cost}
    spent = f"{counted(calls, 'call')} in the last hour, {cost} of them to find this out"
    if limit is None:
        known = (
            "no limit, as the text says" if policy is Unlimited.UNLIMITED else "no limit known: LG has not throttled"
        )
        return Finding(Check.QUOTA, Level.OK, f"{known}; {spent}", facts=facts)
    whence = "learned from LG's throttling" if policy is Unlimited.AUTO else "as the text says"
    return Finding(Check.QUOTA, Level.OK, f"{remaining} of {limit} calls an hour left ({whence}); {spent}", facts=facts)


# ---------------------------------------------------------------------------------------------------------------------
# Words


def _skipped(check: Check, why: str) -> Finding:
    return Finding(check, Level.SKIP, why)


def _span(seconds: float) -> str:
    """Return a span to two units: what matters is whether it is minutes or days."""
    return "".join(re.findall(r"\d+[dhms]", duration.show(timedelta(seconds=round(max(seconds, 0)))))[:2])


def _first(faults: Sequence[object], word: str) -> str:
    more = f" (the first of {len(faults)})" if len(faults) > 1 else ""
    return f"{counted(len(faults), word)}: {faults[0]}{more}" if faults else f"no {word} told"


def _listed(accounts: Sequence[AccountName]) -> str:
    more = f" and {len(accounts) - NAMED} more" if len(accounts) > NAMED else ""
    return ", ".join(accounts[:NAMED]) + more
