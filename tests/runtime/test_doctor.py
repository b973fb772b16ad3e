"""The examination: each kind of fault is told with what mends it, over real HTTP, and nothing is changed by looking."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import sqlite3
import ssl
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from reconciler import cli
from reconciler.core.acceptance import Accepted
from reconciler.core.errors import ConfigurationRefused, Lost, ReconcilerError, Unavailable
from reconciler.core.model import (
    DEFAULT_ACCOUNT,
    AccountName,
    Cause,
    Desired,
    DeviceId,
    MessageId,
    Observed,
    Revision,
)
from reconciler.pcc.codes import CODES, Call, Reaction
from reconciler.pcc.credentials import Credentials, Origin
from reconciler.pcc.protocol import Reply, envelope_time, header_time
from reconciler.pcc.regions import Phase
from reconciler.pcc.transport import how_lost
from reconciler.reporting import diagnosis
from reconciler.reporting.diagnosis import Asked, Check, Examination, Finding, Level, Speaking
from reconciler.reporting.formats import diagnoses, styles
from reconciler.runtime import doctor, settings
from reconciler.runtime.accounts import Follower
from reconciler.runtime.clock import SystemClock
from reconciler.simulator import Match, Platform, Route, Rule, create_app, sample_platform, serving
from reconciler.simulator import faults as fault
from reconciler.state import KeptText, State
from reconciler.telemetry.masking import Masking
from scenarios import child_environment

ROOT = Path(__file__).parent.parent.parent
NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)
TEXT = 'version = 1\ndevices = ["a1", "a2"]\n'
LISTS = Match(route=Route.LIST)
TOKENS = Match(route=Route.TOKEN)


@pytest.fixture(autouse=True)
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder of the test's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")


@dataclass
class Practice:
    """A platform, simulated, and the settings of somebody who has it examined."""

    platform: Platform
    url: str
    given: dict[str, str] = field(default_factory=dict)

    def set(self, **more: str | None) -> None:
        """Change settings; nothing takes one away."""
        for name, value in more.items():
            self.given.pop(f"PCC_{name.upper()}", None)
            if value is not None:
                self.given[f"PCC_{name.upper()}"] = value

    def refresh_token(self, user: str = "default") -> str:
        """Return a user's refresh token."""
        return str(self.platform.world.user(user).refresh_token)

    def goes_wrong(self, effect: fault.Effect, match: Match = LISTS) -> None:
        """Let requests go wrong from now on."""
        self.platform.set_faults(Rule(effect, match=match))

    async def examine(self, *asked: str, follower: Follower | None = None) -> Examination:
        """Examine with the settings as they are."""
        chosen = settings.load(self.given)
        return await doctor.examine(chosen, Masking(), asked or None, follower or Follower())


@asynccontextmanager
async def practice(*users: str, text: str | None = TEXT) -> AsyncIterator[Practice]:
    """Give a platform with these users, and settings in which nothing is wrong."""
    platform = sample_platform(users or ("default",), devices=6, subscribed=0.5, only_pcc=True)
    if text is not None:
        write(text)
    async with serving(create_app(platform)) as url:
        one = Practice(platform, url)
        service = platform.world.service
        one.set(
            base_url=url,
            token_url=f"{url}/emp/v2/token",
            service_id=service.id,
            service_key=service.key,
            client_id=service.client_id,
            backend_url=service.backend_url,
            refresh_token=one.refresh_token() if not users else None,
            country="KR",
            state_dir=here("state"),
        )
        yield one


def write(text: str, name: str = "desired-state.toml") -> None:
    """Write a file, the desired-state file if nothing else is named."""
    Path(name).write_text(text)


def here(name: str) -> str:
    """Return the whole path of something in the test's own folder."""
    return str(Path(name).absolute())


def folder_of(**contents: str) -> str:
    """Make a credentials folder; ``__`` stands for a dash and the last ``_of_`` for the dot."""
    folder = Path("credentials").absolute()
    folder.mkdir(exist_ok=True)
    for name, content in contents.items():
        kind, _, account = name.rpartition("_of_")
        (folder / f"{account.replace('__', '-')}.{kind}").write_text(content)
    return str(folder)


def of(found: Examination, check: Check, account: str | None = "default") -> Finding:
    """Return what one check found, for an account or for all."""
    findings = (
        found.general
        if account is None
        else next(one.findings for one in found.accounts if one.account == account)
    )
    return next(one for one in findings if one.check is check)


def levels(found: Examination, account: str = "default") -> dict[str, str]:
    """Return how bad each thing of an account is, but for what is well."""
    findings = next(one.findings for one in found.accounts if one.account == account)
    return {str(one.check): str(one.level) for one in findings if one.level is not Level.OK}


def shown(found: Examination) -> str:
    """Return all that is ever printed of an examination, before anything masks it."""
    return "".join(
        (
            diagnoses.examination_text(found),
            diagnoses.examination_text(found, colours=True),
            diagnoses.examination_markdown(found),
            diagnoses.examination_json(found),
            repr(found),
        )
    )


def snapshot(folder: Path) -> dict[str, str]:
    """Return every file below a folder with a digest of its content."""
    return {
        str(path): sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


# ---------------------------------------------------------------------------------------------------------------------
# Nothing wrong, and nothing done


async def test_where_nothing_is_wrong_all_is_ok() -> None:
    """A sound account passes every check, for one GET and one renewal; nothing else is sent and nothing written."""
    async with practice() as one:
        before = snapshot(Path())
        found = await one.examine()
        assert found.exit_code == 0
        assert {finding.level for finding in (*found.general, *found.accounts[0].findings)} == {
            Level.OK
        }
        assert [each.check for each in found.accounts[0].findings] == [
            *(
                Check.DESIRED_STATE,
                Check.CREDENTIALS,
                Check.REGION,
                Check.TOKEN,
                Check.LIST,
                Check.CLOCK,
                Check.QUOTA,
            )
        ]
        assert of(found, Check.LIST).facts["devices"] == 3
        assert of(found, Check.QUOTA).facts == {
            "limit": None,
            "remaining": None,
            "calls_last_hour": 1,
            "cost": 1,
        }
        expires = of(found, Check.TOKEN).facts["expires_at"]
        assert isinstance(expires, datetime)
        assert 3500 < expires.timestamp() - time.time() <= 3600
        assert sorted(record.route for record in one.platform.requests) == [Route.LIST, Route.TOKEN]
        assert snapshot(Path()) == before


async def test_the_state_is_read_beside_its_holder_and_not_written() -> None:
    """Beside a process that holds the state its quota is told, and not a byte of it changes."""
    async with practice() as one:
        now = time.time()
        state = State.open(Path("state"), SystemClock())
        state.quotas.keep(DEFAULT_ACCOUNT, [now - 60, now - 30], 300)
        state.flush()
        files = {
            name: digest
            for name, digest in snapshot(Path("state")).items()
            if not name.endswith("-shm")
        }
        found = await one.examine()
        after = {
            name: digest
            for name, digest in snapshot(Path("state")).items()
            if not name.endswith("-shm")
        }
        assert after == files
        assert of(found, Check.QUOTA).facts == {
            "limit": 300,
            "remaining": 297,
            "calls_last_hour": 3,
            "cost": 1,
        }
        assert "learned" in of(found, Check.QUOTA).found
        state.close()


async def test_a_used_up_quota_is_respected() -> None:
    """With no call left LG is not asked; that is a warning, for time mends it."""
    async with practice() as one:
        write(f"policy.calls_per_hour = 2\n{TEXT}")
        state = State.open(Path("state"), SystemClock())
        state.quotas.keep(DEFAULT_ACCOUNT, [time.time() - 60, time.time() - 30], None)
        state.flush()
        state.close()
        found = await one.examine()
        assert levels(found) == {"list": "warn", "clock": "skip"}
        assert "calls_per_hour" in of(found, Check.LIST).fix
        assert of(found, Check.QUOTA).facts == {
            "limit": 2,
            "remaining": 0,
            "calls_last_hour": 2,
            "cost": 0,
        }
        assert {record.route for record in one.platform.requests} == {Route.TOKEN}


# ---------------------------------------------------------------------------------------------------------------------
# Tokens


async def test_an_access_token_in_a_variable_is_a_warning() -> None:
    """A token that LG accepts and nothing renews works for an hour at most, which is said; the exit code stays 0."""
    async with practice() as one:
        one.set(refresh_token=None, access_token=one.platform.issue_token("default"))
        found = await one.examine()
        assert (found.exit_code, levels(found)) == (0, {"token": "warn"})
        assert "PCC_REFRESH_TOKEN" in of(found, Check.TOKEN).fix
        assert "PCC_ACCESS_TOKEN_FILE" in of(found, Check.TOKEN).fix


async def test_the_age_of_a_token_is_that_of_its_file() -> None:
    """Of a token in a file it is told when that was written; to keep it fresh is somebody else's work."""
    async with practice() as one:
        one.set(
            refresh_token=None,
            credentials_dir=folder_of(access_token_of_default=one.platform.issue_token("default")),
        )
        written = time.time() - 7200
        os.utime(Path("credentials/default.access_token"), (written, written))
        finding = of(await one.examine(), Check.TOKEN)
        age = finding.facts["age_seconds"]
        assert finding.level is Level.OK
        assert isinstance(age, float)
        assert age == pytest.approx(7200, abs=60)
        assert "2h" in finding.found


async def test_an_expired_token_without_a_refresh_token_is_wrong_where_it_stands() -> None:
    """The file that holds the token is named, and how to have tokens renewed; the list is not blamed as well."""
    async with practice(
        "seoul-hotel", text=TEXT.replace("devices", "[accounts.seoul-hotel]\ndevices")
    ) as one:
        one.set(
            credentials_dir=folder_of(
                access_token_of_seoul__hotel=one.platform.issue_token("seoul-hotel")
            )
        )
        one.platform.world.user("seoul-hotel").access_tokens.update(
            dict.fromkeys(one.platform.world.user("seoul-hotel").access_tokens, 0.0)
        )
        found = await one.examine()
        assert levels(found, "seoul-hotel") == {"token": "fail", "list": "skip"}
        finding = of(found, Check.TOKEN, "seoul-hotel")
        assert "1302" in finding.found
        assert "seoul-hotel.access_token in PCC_CREDENTIALS_DIR" in finding.fix
        assert "seoul-hotel.refresh_token in PCC_CREDENTIALS_DIR" in finding.fix


async def test_a_refused_refresh_token_is_told_although_the_access_token_still_serves() -> None:
    """What will fail in an hour is told now, beside a list that could still be had."""
    async with practice() as one:
        one.set(
            refresh_token="not-the-one-that-was-issued",
            access_token=one.platform.issue_token("default"),
        )
        found = await one.examine()
        assert (found.exit_code, levels(found)) == (1, {"token": "fail"})
        assert "still accepted" in of(found, Check.TOKEN).found
        assert "PCC_REFRESH_TOKEN" in of(found, Check.TOKEN).fix


@pytest.mark.parametrize(
    ("effect", "words"),
    [
        (fault.Html(502), "PCC_TOKEN_URL"),
        (fault.Drop(), "PCC_TOKEN_URL"),
        (fault.Hang(), "PCC_REQUEST_TIMEOUT"),
        (fault.Html(403), "web filter"),
        (fault.Html(404), "correct PCC_TOKEN_URL"),
        (fault.Html(407), "HTTPS_PROXY"),
        (fault.Redirect(), "correct PCC_TOKEN_URL"),
        (fault.Raw('{"httpError": "412 required backend_url"}', 200), "PCC_BACKEND_URL"),
        (fault.Raw('{"httpError": "401 not allowed client_id"}', 401), "PCC_CLIENT_ID"),
    ],
)
async def test_trouble_with_the_token_endpoint_names_what_mends_it(
    effect: fault.Effect, words: str
) -> None:
    """Without a token LG is not asked for the list, and only the token is wrong."""
    async with practice() as one:
        one.set(request_timeout="1s")
        one.goes_wrong(effect, TOKENS)
        found = await one.examine()
        assert (found.exit_code, levels(found)) == (
            1,
            {"token": "fail", "list": "skip", "clock": "skip"},
        )
        assert words in of(found, Check.TOKEN).fix
        assert "new login" not in of(found, Check.TOKEN).fix
        assert not [record for record in one.platform.requests if record.route is Route.LIST]


async def test_an_expired_token_that_cannot_be_renewed_now_is_one_fault() -> None:
    """With a dead access token and a token endpoint that is down only the token is wrong, not the list as well."""
    async with practice() as one:
        one.set(access_token="a-token-that-is-long-dead")
        one.goes_wrong(fault.Html(502), TOKENS)
        assert levels(await one.examine()) == {"token": "fail", "list": "skip"}


async def test_a_token_endpoint_that_nobody_serves_is_told_by_its_own_setting() -> None:
    """It is not the address of the API that is wrong then."""
    async with practice() as one:
        one.set(token_url="http://127.0.0.1:1/emp/v2/token")
        finding = of(await one.examine(), Check.TOKEN)
        assert finding.level is Level.FAIL
        assert "PCC_TOKEN_URL" in finding.fix
        assert "PCC_BASE_URL" not in finding.fix


async def test_a_renewed_token_that_lg_does_not_take_is_wrong() -> None:
    """A token of another service or platform is renewed well and refused all the same."""
    async with practice() as one:
        one.goes_wrong(fault.Error("1218"))
        found = await one.examine()
        assert levels(found) == {"token": "fail", "list": "skip"}
        assert "PCC_CLIENT_ID" in of(found, Check.TOKEN).fix


async def test_a_token_without_an_end_is_told_as_such() -> None:
    """Where LG does not say when a token ends, nobody makes it up."""
    async with practice() as one:
        granted = json.dumps({"access_token": one.platform.issue_token("default")})
        one.goes_wrong(fault.Raw(granted), TOKENS)
        finding = of(await one.examine(), Check.TOKEN)
        assert (finding.level, finding.facts["expires_at"]) == (Level.OK, None)
        assert "did not say when it ends" in finding.found


async def test_a_rotated_refresh_token_is_a_warning() -> None:
    """Should LG ever send another refresh token, the stored one may be worth nothing any more."""
    async with practice() as one:
        one.platform.set_options(rotate_refresh_tokens=True)
        found = await one.examine()
        assert levels(found) == {"token": "warn"}
        assert "PCC_REFRESH_TOKEN" in of(found, Check.TOKEN).fix
        assert one.refresh_token() not in shown(found)


# ---------------------------------------------------------------------------------------------------------------------
# The list


@pytest.mark.parametrize(
    "code", [code for code, known in CODES.items() if known.reaction is Reaction.CONFIGURATION]
)
async def test_each_code_for_a_wrong_setting_says_which(code: str) -> None:
    """What the table of codes knows of each is what mends it, and it is said once."""
    async with practice() as one:
        one.goes_wrong(fault.Error(code))
        found = await one.examine()
        finding = of(found, Check.LIST)
        assert (found.exit_code, levels(found)) == (1, {"list": "fail"})
        assert CODES[code].hint in finding.fix
        assert CODES[code].hint not in finding.found
        assert finding.facts["code"] == code
        assert finding.facts["message_id"] == one.platform.requests[-1].message_id


async def test_a_hint_names_the_accounts_own_files() -> None:
    """Where a part comes from the credentials folder, that file is named and not a setting that is not in use."""
    async with practice() as one:
        one.set(credentials_dir=folder_of(service_id_of_default=one.platform.world.service.id))
        one.goes_wrong(fault.Error("1201"))
        assert (
            of(await one.examine(), Check.LIST).fix
            == "check default.service_id in PCC_CREDENTIALS_DIR"
        )


@pytest.mark.parametrize("effect", [fault.Error("1306"), fault.Error("1314"), fault.Empty(429)])
async def test_a_throttled_account_is_a_warning(effect: fault.Effect) -> None:
    """Time mends it, so the exit code is 0."""
    async with practice() as one:
        one.goes_wrong(effect)
        found = await one.examine()
        assert (found.exit_code, of(found, Check.LIST).level) == (0, Level.WARN)
        assert "calls_per_hour" in of(found, Check.LIST).fix


@pytest.mark.parametrize(
    ("effect", "words"),
    [
        (fault.Html(200), "PCC_BASE_URL"),
        (fault.Html(404), "PCC_BASE_URL"),
        (fault.Redirect(), "PCC_BASE_URL"),
        (fault.Cut(), "PCC_BASE_URL"),
        (fault.Html(403), "web filter"),
        (fault.Empty(407), "HTTPS_PROXY"),
        (fault.Html(502), "message id"),
        (fault.Error("2000"), "message id"),
        (fault.Error("1102"), "message id"),
        (fault.Error("9999"), "message id"),
        (fault.Drop(), "PCC_BASE_URL"),
        (fault.Hang(), "PCC_REQUEST_TIMEOUT"),
    ],
)
async def test_an_answer_that_is_none_says_where_to_look(effect: fault.Effect, words: str) -> None:
    """Pages of HTML, redirects, half an answer or none: the list is wrong, the rest is still looked at."""
    async with practice() as one:
        one.set(request_timeout="1s")
        one.goes_wrong(effect)
        found = await one.examine()
        assert found.exit_code == 1
        assert of(found, Check.LIST).level is Level.FAIL
        assert of(found, Check.TOKEN).level is Level.OK
        assert words in of(found, Check.LIST).fix


@pytest.mark.parametrize("status", [401, 403])
async def test_a_bare_refusal_is_about_the_token(status: int) -> None:
    """401 and 403 without a code mean the credentials."""
    async with practice() as one:
        one.goes_wrong(fault.Empty(status))
        assert levels(await one.examine()) == {"token": "fail", "list": "skip"}


async def test_an_address_where_nothing_listens() -> None:
    """A refused connection names the address, and whether the token is good stays open."""
    async with practice() as one:
        one.set(
            base_url="http://127.0.0.1:1",
            refresh_token=None,
            access_token="a-token-that-nobody-can-judge",
        )
        found = await one.examine()
        assert levels(found) == {"token": "skip", "list": "fail", "clock": "skip"}
        assert "nothing listens" in of(found, Check.LIST).fix


async def test_a_host_without_an_address() -> None:
    """A name that no name service can know points to the setting it stands in, or to this machine."""
    async with practice() as one:
        one.set(base_url=f"https://{'a' * 64}.invalid")
        assert "name service" in of(await one.examine(), Check.LIST).fix


async def test_tls_where_none_is_spoken() -> None:
    """A handshake that fails points to the address and to certificates of one's own."""
    async with practice() as one:
        one.set(base_url=one.url.replace("http:", "https:"))
        assert "SSL_CERT_FILE" in of(await one.examine(), Check.LIST).fix


async def test_a_proxy_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxy is named without its password, and the variable that names it."""
    async with practice() as one:
        monkeypatch.setenv("HTTP_PROXY", "http://user:password-of-the-proxy@127.0.0.1:1")
        monkeypatch.setenv("NO_PROXY", "")
        found = await one.examine()
        assert "HTTP_PROXY" in of(found, Check.TOKEN).fix
        assert "http://127.0.0.1:1" in of(found, Check.TOKEN).fix
        assert "password-of-the-proxy" not in shown(found)


def out_of_date(code: int) -> ssl.SSLCertVerificationError:
    """Return the error for a certificate that OpenSSL finds wrong, with its number for that."""
    error = ssl.SSLCertVerificationError("certificate verify failed")
    error.verify_code = code
    return error


def test_a_certificate_out_of_date_points_to_the_clock() -> None:
    """What is to be done names the clock and whose the certificate is."""
    error = Unavailable("no answer", message_id=MessageId("m"))
    error.lost = Lost.DATES
    asked = Asked(NOW, NOW, error=error)
    fix = diagnosis.live_list(speaking("https://kic-ext.lgthinq.com"), asked).fix
    assert "clock (NTP)" in fix
    assert "PCC_BASE_URL" not in fix
    assert "SSL_CERT_FILE" not in fix


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (socket.gaierror(-2, "Name or service not known"), Lost.NAME),
        (UnicodeError("label too long"), Lost.NAME),
        (ConnectionRefusedError(111, "refused"), Lost.REFUSED),
        (ssl.SSLCertVerificationError("self-signed"), Lost.TLS),
        (out_of_date(18), Lost.TLS),
        *((out_of_date(code), Lost.DATES) for code in (9, 10, 11, 12)),
        (TimeoutError(), Lost.TIME),
        (aiohttp.ServerDisconnectedError(), Lost.OTHER),
    ],
)
def test_how_an_answer_was_lost_is_found_among_the_causes(error: Exception, kind: Lost) -> None:
    """The library wraps errors; what is underneath decides."""
    outer = OSError("wrapped")
    outer.__cause__ = error
    assert (how_lost(outer), how_lost(error)) == (kind, kind)


# ---------------------------------------------------------------------------------------------------------------------
# The clock


@pytest.mark.parametrize(
    ("offset", "level", "words"),
    [
        (10.0, Level.OK, "behind"),
        (60.0, Level.WARN, "behind"),
        (-60.0, Level.WARN, "ahead of"),
        (3600.0, Level.FAIL, "1h behind"),
        (-9 * 3600.0, Level.FAIL, "ahead of"),
    ],
)
async def test_the_clock_is_held_against_lgs(offset: float, level: Level, words: str) -> None:
    """A clock that is some way off is a warning, far off it is wrong, and it is said by how much."""
    async with practice() as one:
        one.platform.set_options(clock_offset=offset)
        finding = of(await one.examine(), Check.CLOCK)
        assert (finding.level, words in finding.found) == (level, True)
        assert finding.facts["ahead_seconds"] == pytest.approx(offset, abs=5)


async def test_an_error_tells_the_time_too() -> None:
    """The clock is judged by any answer of LG's, also by one that refuses."""
    async with practice() as one:
        one.platform.set_options(clock_offset=3600.0)
        one.goes_wrong(fault.Error("1309"))
        assert levels(await one.examine()) == {"list": "fail", "clock": "fail"}


@given(
    ahead=st.floats(-86400, 86400),
    wait=st.floats(0, 15),
    share=st.floats(0, 1),
)
def test_a_slow_answer_is_no_wrong_clock(ahead: float, wait: float, share: float) -> None:
    """However long an answer takes, LG's clock differs by no more than it does, and by no less than the wait hides."""
    ended = NOW + timedelta(seconds=wait)
    told = NOW + timedelta(seconds=wait * share + ahead)
    finding = diagnosis.clock(Asked(NOW, ended, envelope=told))
    found = finding.facts["ahead_seconds"]
    assert isinstance(found, float)
    assert abs(found) <= abs(ahead) + 0.001
    assert abs(ahead) - abs(found) <= wait + 0.001
    assert (finding.level is Level.OK) == (abs(found) <= 30)


def test_two_times_that_contradict_each_other_are_told() -> None:
    """Where LG's answer and its header disagree, it may be LG's clock that is wrong: a warning, with both."""
    finding = diagnosis.clock(Asked(NOW, NOW, envelope=NOW + timedelta(hours=9), header=NOW))
    assert finding.level is Level.WARN
    assert "9h behind" in finding.found
    assert "agrees with LG's" in finding.found


@pytest.mark.parametrize(
    ("stamp", "moment"),
    [
        ('"2026-11-22T10:00:00.000000"', NOW),
        ('"2026-11-22T10:00:00Z"', NOW),
        ('"2026-11-22T19:00:00+09:00"', NOW),
        (f'"{int(NOW.timestamp())}"', NOW),
        (str(int(NOW.timestamp())), NOW),
        ("1e400", None),
        ("99999999999999999999", None),
        ("null", None),
        ("{}", None),
        ('"yesterday"', None),
    ],
)
def test_lgs_time_stamps_are_read_as_utc(stamp: str, moment: datetime | None) -> None:
    """ISO without a zone means UTC, a number is epoch seconds, anything else is no time."""
    reply = Reply(Call.LIST, 200, f'{{"messageId": "m", "timestamp": {stamp}}}'.encode(), "m")
    assert envelope_time(reply) == moment


@pytest.mark.parametrize(
    ("date", "moment"),
    [
        ("Sun, 22 Nov 2026 10:00:00 GMT", NOW),
        ("soon", None),
        (None, None),
        ("Sun, 99 Nov 2026 10:00:00 GMT", None),
    ],
)
def test_the_header_date_is_read(date: str | None, moment: datetime | None) -> None:
    """A header that is no date tells no time, and HTML tells none either."""
    reply = Reply(Call.LIST, 502, b"<html>", "m", date=date)
    assert (header_time(reply), envelope_time(reply)) == (moment, None)


# ---------------------------------------------------------------------------------------------------------------------
# Regions, judged without asking: LG's own hosts are out of reach here


def speaking(url: str, country: str = "KR", phase: Phase = Phase.OP, origins: str = "") -> Speaking:
    """Return how an account would speak to an address."""
    credentials = Credentials(
        account=AccountName("default"),
        base_url=url,
        country=country,
        service_id=SecretStr("service-id"),
        service_key=SecretStr("service-key"),
        client_id=None,
        token_url=None,
        backend_url=None,
        access_token=SecretStr("access-token"),
        refresh_token=None,
    )
    places = {"base_url": Origin(origins)} if origins else {}
    return Speaking(credentials, MappingProxyType(places), phase, timedelta(seconds=15))


@pytest.mark.parametrize(
    ("url", "country", "phase", "level", "words"),
    [
        ("https://kic-ext.lgthinq.com", "KR", Phase.OP, Level.OK, ""),
        ("https://eic-qa-ext.lgthinq.com", "DE", Phase.QA, Level.OK, ""),
        ("http://127.0.0.1:9000", "KR", Phase.OP, Level.OK, ""),
        ("https://gateway.example.com", "KR", Phase.OP, Level.OK, ""),
        ("https://eic-ext.lgthinq.com", "KR", Phase.OP, Level.FAIL, "PCC_REGION=kic"),
        ("https://KIC-EXT.lgthinq.com", "US", Phase.OP, Level.FAIL, "PCC_REGION=aic"),
        ("https://kic-connect.lgthinq.com", "KR", Phase.OP, Level.FAIL, "PCC_BASE_URL"),
        ("https://api-kic.lgthinq.com", "KR", Phase.OP, Level.FAIL, "PCC_BASE_URL"),
        ("https://kic-qa-ext.lgthinq.com", "KR", Phase.OP, Level.FAIL, "PCC_PHASE=qa"),
        ("https://kic-ext.lgthinq.com", "AQ", Phase.OP, Level.WARN, "PCC_REGION"),
    ],
)
def test_the_address_has_to_fit_the_country(
    url: str, country: str, phase: Phase, level: Level, words: str
) -> None:
    """Another region, another API or another platform is told with the setting; where LG works it is a warning."""
    finding = diagnosis.region(speaking(url, country, phase), works=False)
    assert (finding.level, words in finding.fix) == (level, True)
    assert bool(finding.fix) == (level is not Level.OK)
    works = diagnosis.region(speaking(url, country, phase), works=True)
    assert works.level is (Level.WARN if level is Level.FAIL else level)


def test_a_region_that_is_wrong_names_the_file_it_comes_from() -> None:
    """An address from the credentials folder is mended there."""
    finding = diagnosis.region(
        speaking("https://eic-ext.lgthinq.com", origins="default.base_url in PCC_CREDENTIALS_DIR"),
        works=False,
    )
    assert "default.base_url in PCC_CREDENTIALS_DIR" in finding.fix


def test_a_lost_answer_names_the_proxy_it_went_through() -> None:
    """A proxy between here and LG is mentioned whatever went wrong."""
    lost = Unavailable("list: no answer", message_id="m")
    for kind in (*Lost, None):
        lost.lost = kind
        asked = Asked(NOW, NOW, error=lost, proxy="http://proxy:3128")
        fix = diagnosis.live_list(speaking("https://kic-ext.lgthinq.com"), asked).fix
        assert ("http://proxy:3128" in fix) == (kind is not None)
        assert fix


# ---------------------------------------------------------------------------------------------------------------------
# Texts


@pytest.mark.parametrize(
    ("text", "words", "fix"),
    [
        ("version = 1\ndevcies = []\nfoo = 1\n", "2 faults", "PCC_DESIRED_STATE"),
        ("version = [", "1 fault", "validate"),
        (None, "no such file", "PCC_DESIRED_STATE"),
        (f'environment = "staging"\n{TEXT}', "another environment", "PCC_ENVIRONMENT"),
    ],
)
async def test_a_text_that_is_no_good_ends_nothing(text: str | None, words: str, fix: str) -> None:
    """The text is told to be wrong, and the account that has credentials is examined all the same."""
    async with practice(text=text) as one:
        one.set(environment="production" if "ENVIRONMENT" in fix else None)
        found = await one.examine()
        finding = of(found, Check.DESIRED_STATE, None)
        assert (found.exit_code, finding.level) == (1, Level.FAIL)
        assert words in finding.found
        assert fix in finding.fix
        assert levels(found) == {"desired-state": "skip"}


async def test_a_text_that_cannot_be_read_is_told() -> None:
    """A device file or folder in the place of the text is a fault of the source, not the end."""
    async with practice(text=None) as one:
        os.mkfifo("desired-state.toml")
        found = await one.examine()
        assert of(found, Check.DESIRED_STATE, None).level is Level.FAIL
        assert of(found, Check.DESIRED_STATE).found == "no revision in force names the account"
        assert of(found, Check.LIST).level is Level.OK
        assert Check.CREDENTIALS not in {finding.check for finding in found.general}


async def test_a_broken_text_leaves_the_one_that_the_state_keeps() -> None:
    """As in the daemon an older text stays in force, with the country that it names, and it is said that it is old."""
    async with practice("seoul-hotel", text="version = [") as one:
        old = b'version = 1\n[accounts.seoul-hotel]\ncountry = "KR"\ndevices = ["a1"]\n'
        state = State.open(Path("state"), SystemClock())
        state.revisions.keep(
            [
                KeptText(
                    "desired-state.toml",
                    Revision(sha256(old).hexdigest()),
                    {"desired-state.toml": old},
                )
            ]
        )
        state.close()
        one.set(
            country=None,
            credentials_dir=folder_of(
                refresh_token_of_seoul__hotel=one.refresh_token("seoul-hotel")
            ),
        )
        before = snapshot(Path())
        found = await one.examine()
        assert levels(found, "seoul-hotel") == {"desired-state": "warn"}
        assert "seoul-hotel" in of(found, Check.DESIRED_STATE, None).found
        assert snapshot(Path()) == before


async def test_warnings_of_a_text_are_warnings() -> None:
    """A text that is accepted with a warning makes no failure of it."""
    async with practice(text='version = 1\ndevices = [{ id = "a1", type = "dryer" }]\n') as one:
        found = await one.examine()
        assert (found.exit_code, of(found, Check.DESIRED_STATE, None).level) == (0, Level.WARN)


@pytest.mark.parametrize("rejected", [None, Cause.MISSING, Cause.UNVERIFIED])
def test_a_text_from_a_repository_is_mended_there(rejected: Cause | None) -> None:
    """Where the text comes from Git it is Git's settings that are named."""
    trouble = "" if rejected is Cause.UNVERIFIED else "not fetched"
    accepted = Accepted(rejected=rejected)
    finding = diagnosis.desired_state(accepted, trouble, "desired-state.toml", [], git=True)
    assert finding.level is Level.FAIL
    assert "PCC_GIT_" in finding.fix


async def test_an_account_that_vanished_is_told() -> None:
    """Devices that are live in an account of which no text speaks are a warning."""
    async with practice() as one:
        state = State.open(Path("state"), SystemClock())
        account, live, now = (
            AccountName("busan-hotel"),
            frozenset({DeviceId("a1")}),
            SystemClock().now(),
        )
        state.accounts.desire(Desired(account, live), Revision("0" * 64), now)
        state.accounts.trust(account, Observed(live, now), "credential", now, live)
        state.close()
        found = await one.examine()
        finding = of(found, Check.DESIRED_STATE, None)
        assert (found.exit_code, finding.level) == (0, Level.WARN)
        assert "busan-hotel" in finding.found
        assert "retired_accounts" in finding.fix


# ---------------------------------------------------------------------------------------------------------------------
# Settings, state and credentials


async def test_without_credentials_all_that_is_missing_is_named() -> None:
    """Somebody who begins is told every part that is needed, and LG is not asked."""
    async with practice(text=None) as one:
        one.given = {"PCC_STATE_DIR": here("state")}
        found = await one.examine()
        finding = of(found, Check.CREDENTIALS)
        assert finding.level is Level.FAIL
        for part in ("PCC_SERVICE_ID", "PCC_SERVICE_KEY", "PCC_REFRESH_TOKEN", "country"):
            assert part in finding.fix
        assert levels(found).keys() >= {"region", "token", "list", "clock"}
        assert not one.platform.requests


async def test_one_broken_account_keeps_no_other_from_being_examined() -> None:
    """Beside a dead token, a hanging server's account and a missing credential the good account is well."""
    names = ("default", "dead", "hangs", "none")
    text = "version = 1\n" + "".join(
        f'[accounts.{name}]\ndevices = ["{name}1"]\n' for name in names
    )
    async with practice(*names, text=text) as one:
        one.set(
            request_timeout="1s",
            credentials_dir=folder_of(
                refresh_token_of_default=one.refresh_token(),
                access_token_of_dead="a-token-that-is-long-dead",
                refresh_token_of_hangs=one.refresh_token("hangs"),
            ),
        )
        one.goes_wrong(fault.Hang(), Match(route=Route.LIST, user="hangs"))
        found = await one.examine()
        assert {name: levels(found, name) for name in ("default", "dead", "hangs")} == {
            "default": {},
            "dead": {"token": "fail", "list": "skip"},
            "hangs": {"list": "fail", "clock": "skip"},
        }
        assert of(found, Check.CREDENTIALS, "none").level is Level.FAIL
        assert "none.access_token" in of(found, Check.CREDENTIALS, "none").fix


async def test_two_accounts_with_one_token_are_told_even_if_one_is_asked_for() -> None:
    """A shared token would have each account unsubscribe the other's devices; it is seen by looking at both."""
    text = 'version = 1\n[accounts.a]\ndevices = ["a1"]\n[accounts.b]\ndevices = ["b1"]\n'
    async with practice("a", text=text) as one:
        token = one.refresh_token("a")
        one.set(credentials_dir=folder_of(refresh_token_of_a=token, refresh_token_of_b=token))
        found = await one.examine("a")
        assert [each.account for each in found.accounts] == ["a"]
        assert "account 'b'" in of(found, Check.CREDENTIALS, "a").fix


async def test_an_error_of_our_own_is_that_accounts_only() -> None:
    """What nobody thought of is told as a defect of the program, and the rest is examined."""

    class Stumbling(Follower):
        """Trips over the first account."""

        stumbled = False

        def account_done(self) -> None:
            """Trip once."""
            if not self.stumbled:
                self.stumbled = True
                raise ZeroDivisionError("not thought of")

    text = 'version = 1\n[accounts.a]\ndevices = ["a1"]\n[accounts.b]\ndevices = ["b1"]\n'
    async with practice(text=text) as one:
        found = await one.examine(follower=Stumbling())
        assert sorted(len(each.findings) for each in found.accounts) == [1, 7]
        broken = next(each.findings[0] for each in found.accounts if len(each.findings) == 1)
        assert (broken.check, broken.level) == (Check.PROGRAM, Level.FAIL)
        assert "ZeroDivisionError" in broken.found


async def test_files_of_the_credentials_folder_that_serve_nobody_are_a_warning() -> None:
    """Misspelt names and accounts of which no text speaks are told, and cost no call."""
    async with practice() as one:
        one.set(
            credentials_dir=folder_of(
                acess_token_of_default="x", refresh_token_of_busan=one.refresh_token()
            )
        )
        found = await one.examine()
        finding = of(found, Check.CREDENTIALS, None)
        assert finding.level is Level.WARN
        assert "access_token" in finding.found
        assert "busan" in finding.found
        assert [each.account for each in found.accounts] == ["default"]


async def test_an_account_can_be_chosen_also_one_that_only_has_credentials() -> None:
    """Only the accounts asked for are examined; a name that nothing knows is an error with a suggestion."""
    async with practice() as one:
        one.set(
            credentials_dir=folder_of(refresh_token_of_busan=one.refresh_token()),
            refresh_token=None,
        )
        assert [each.account for each in (await one.examine("busan")).accounts] == ["busan"]
        with pytest.raises(ReconcilerError, match="did you mean 'busan'"):
            await one.examine("busam")
        write("version = [")
        found = await one.examine("busam")
        assert "busam.access_token" in of(found, Check.CREDENTIALS, "busam").fix


async def test_a_damaged_state_is_wrong_and_stays_as_it_is() -> None:
    """A file that is no database is told, with the setting that says where it is; nobody touches it."""
    async with practice() as one:
        state = State.open(Path("state"), SystemClock())
        state.close()
        write("not a database" * 1000, "state/state.db")
        before = snapshot(Path())
        found = await one.examine()
        finding = of(found, Check.STATE, None)
        assert (finding.level, "PCC_STATE_DIR" in finding.fix) == (Level.FAIL, True)
        assert levels(found) == {}
        assert snapshot(Path()) == before


@pytest.mark.parametrize("harm", ["PRAGMA user_version = 999", "DROP TABLE device"])
async def test_a_state_that_is_not_ours_to_read_is_told(harm: str) -> None:
    """What a newer program wrote, or what lacks a part, is told; the accounts are examined without it."""
    async with practice() as one:
        state = State.open(Path("state"), SystemClock())
        state.close()
        with closing(sqlite3.connect("state/state.db")) as connection:
            connection.execute(harm)
            connection.commit()
        found = await one.examine()
        finding = of(found, Check.STATE, None)
        assert (finding.level, "PCC_STATE_DIR" in finding.fix) == (Level.FAIL, True)
        assert levels(found) == {}


async def test_a_state_folder_that_cannot_be_made_is_told() -> None:
    """A path that leads through a file can hold no state."""
    async with practice() as one:
        write("", "file")
        one.set(state_dir=here("file/state"))
        finding = of(await one.examine(), Check.STATE, None)
        assert finding.level in {Level.WARN, Level.FAIL}
        assert "PCC_STATE_DIR" in finding.fix


async def test_settings_that_are_dangerous_or_half_there_are_told() -> None:
    """Plain http for everybody is a warning; a secret whose file is not there is wrong."""
    async with practice() as one:
        one.set(allow_http="true")
        finding = of(await one.examine(), Check.SETTINGS, None)
        assert (finding.level, "PCC_ALLOW_HTTP" in finding.fix) == (Level.WARN, True)
        one.set(listen_token_file=here("nowhere"))
        finding = of(await one.examine(), Check.SETTINGS, None)
        assert (finding.level, "PCC_LISTEN_TOKEN_FILE" in finding.found) == (Level.FAIL, True)


# ---------------------------------------------------------------------------------------------------------------------
# Secrets


@pytest.mark.parametrize("broken", ["no", "echo", "refused", "html", "settings"])
async def test_no_secret_is_in_anything_that_is_shown(broken: str) -> None:
    """Whatever goes wrong, and even where LG repeats what was sent, what is shown holds no secret, masked or not."""
    async with practice() as one:
        service, token = one.platform.world.service, one.platform.issue_token("default")
        one.set(access_token=token)
        secrets = {service.id, service.key, token, one.refresh_token()}
        echo = f"{service.id} {service.key} {token} {one.refresh_token()}"
        if broken == "echo":
            one.platform.set_faults(
                Rule(fault.Error("1301", message=echo), match=LISTS),
                Rule(fault.Raw(json.dumps({"httpError": one.refresh_token()}), 401), match=TOKENS),
            )
        elif broken == "refused":
            one.platform.set_faults(Rule(fault.Raw(f"{{{one.refresh_token()}", 502), match=TOKENS))
        elif broken == "html":
            one.goes_wrong(fault.Raw(f"<html>{echo}", 200))
        elif broken == "settings":
            one.set(
                credentials_dir=folder_of(
                    service_key_of_default="short", access_token_of_default=token
                )
            )
        found = await one.examine()
        asked = {request.route for request in one.platform.requests}
        assert Route.LIST in asked or broken == "settings"
        assert Route.TOKEN in asked or broken in {"settings", "echo", "html"}
        assert (found.exit_code == 0) == (broken == "no")
        assert not [secret for secret in secrets if secret in shown(found)]


# ---------------------------------------------------------------------------------------------------------------------
# The command


async def ran(one: Practice, *arguments: str) -> int:
    """Run the command with these settings."""
    os.environ.update(one.given)
    try:
        return await asyncio.to_thread(cli.run, ["doctor", *arguments])
    finally:
        for name in one.given:
            del os.environ[name]


async def test_the_command_prints_a_checklist(capsys: pytest.CaptureFixture[str]) -> None:
    """Data is on stdout, without colours where it is no terminal; what is wrong stands beside what mends it."""
    async with practice() as one:
        assert await ran(one) == 0
        said = capsys.readouterr()
        assert (said.err, "\x1b" in said.out) == ("", False)
        assert "account default\n" in said.out
        assert re.search(r"^  ok    token +renewed just now", said.out, re.MULTILINE)
        assert said.out.endswith("Doctor: nothing is wrong (1 account).\n")
        one.goes_wrong(fault.Error("1309"))
        assert await ran(one, "--output", "markdown") == 1
        said = capsys.readouterr()
        assert re.search(
            r"^\| fail \| list \|.*1309.*\|.*PCC&#95;REGION.*\|$", said.out, re.MULTILINE
        )


async def test_json_is_whole_and_its_keys_are_documented(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Every key that is printed, whatever is wrong, stands in docs/cli.md."""
    reference = (ROOT / "docs" / "cli.md").read_text("utf-8")
    async with practice() as one:
        for effect in (None, fault.Error("1309")):
            one.platform.set_faults(*([Rule(effect, match=LISTS)] if effect is not None else []))
            code = await ran(one, "--output", "json")
            document = json.loads(capsys.readouterr().out)
            assert (document["version"], document["exit_code"]) == (1, code)
            assert sum(document["summary"].values()) == len(document["checks"]) + 7
            checks = [*document["checks"], *document["accounts"][0]["checks"]]
            keys = {
                *document,
                *document["accounts"][0],
                *(key for one in checks for key in (*one, *one["facts"])),
            }
            assert not {key for key in keys if f"`{key}`" not in reference}


@pytest.mark.parametrize("check", [check for check in Check if check is not Check.PROGRAM])
def test_each_check_is_documented(check: Check) -> None:
    """The reference has a row for everything that is looked at."""
    assert f"| `{check}` |" in (ROOT / "docs" / "cli.md").read_text("utf-8")


async def test_wrong_settings_are_a_finding_too(capsys: pytest.CaptureFixture[str]) -> None:
    """Settings that are not valid end the examination with themselves, as data, without their values."""
    async with practice() as one:
        one.given["PCC_INTERVALL"] = "secret-in-the-wrong-place"
        assert await ran(one, "--output", "json") == 1
        said = capsys.readouterr()
        (check,) = json.loads(said.out)["checks"]
        assert (check["check"], check["level"]) == ("settings", "fail")
        assert "'PCC_INTERVAL'" in check["found"]
        assert "secret-in-the-wrong-place" not in said.out + said.err
        assert not one.platform.requests


def test_colours_and_foreign_words_are_for_a_terminal() -> None:
    """A mark is coloured by how bad it is, and words from outside cannot steer the terminal."""
    finding = Finding(Check.LIST, Level.FAIL, "\x1b[2Jwiped", "look")
    text = diagnoses.examination_text(Examination((finding,)), colours=True)
    assert f"{styles.RED}fail{styles.PLAIN}" in text
    assert "\x1b[2J" not in text
    assert "to fix it: look" in text


def test_only_what_is_wrong_makes_the_exit_code() -> None:
    """Warnings and what could not be looked at leave it 0."""
    for level, code in ((Level.OK, 0), (Level.WARN, 0), (Level.SKIP, 0), (Level.FAIL, 1)):
        assert Examination((Finding(Check.LIST, level, ""),)).exit_code == code


def test_whatever_is_wrong_names_what_mends_it() -> None:
    """No code that a call can end with leaves a person without a word on what to do."""
    for code in (*CODES, None):
        error = ConfigurationRefused("list: LG answered 401", code=code, status=401, message_id="m")
        finding = diagnosis.live_list(
            speaking("https://kic-ext.lgthinq.com"), Asked(NOW, NOW, error=error)
        )
        assert (finding.level, bool(finding.fix)) == (Level.FAIL, True)


def test_an_answer_with_another_message_id_is_a_warning() -> None:
    """A cache in between may be why; the list is believed, so nothing fails."""
    asked = Asked(NOW, NOW, devices=2, other_id=True, proxy="http://proxy:3128")
    finding = diagnosis.live_list(speaking("https://kic-ext.lgthinq.com"), asked)
    assert finding.level is Level.WARN
    assert "another message id" in finding.found
    assert "cache" in finding.fix
    assert "http://proxy:3128" in finding.fix


# ---------------------------------------------------------------------------------------------------------------------
# Guards and lists of other accounts


def remembered(live: Sequence[str]) -> None:
    """Leave a state that trusted a list of these devices, read with another token."""
    clock = SystemClock()
    with closing(State.open(Path("state"), clock)) as state:
        devices = frozenset(map(DeviceId, live))
        state.accounts.credential(DEFAULT_ACCOUNT, "the mark of another token")
        now = clock.now()
        state.accounts.trust(
            DEFAULT_ACCOUNT, Observed(devices, now), "the mark of another token", now, devices
        )


@pytest.mark.parametrize("known", [1, 4, 9, 30])
async def test_a_list_that_shows_none_of_the_known_devices_is_wrong(known: int) -> None:
    """With another token than before and none of the devices known so far, doctor names the guard and what to check."""
    async with practice() as one:
        remembered([f"known-{number}" for number in range(known)])
        found = await one.examine()
        finding = of(found, Check.GUARDS)
        assert (finding.level, finding.facts["reason"], found.exit_code) == (
            Level.FAIL,
            "suspect-list",
            1,
        )
        assert "the credential changed since the last trusted list" in finding.found
        assert "check whose token it is" in finding.fix
        assert "1 check failed" in shown(found)


async def test_a_guard_that_waits_for_a_person_is_a_warning_and_nothing_is_said_to_be_well() -> (
    None
):
    """Another spelling of a live device trips its guard: exit code 0, and no line says that nothing is wrong."""
    async with practice() as one:
        live = sorted(one.platform.subscribed("default"))
        write(f"version = 1\ndevices = {json.dumps([live[0].upper(), *live[1:]])}\n")
        found = await one.examine()
        finding = of(found, Check.GUARDS)
        assert (finding.level, finding.facts["reason"], found.exit_code) == (
            Level.WARN,
            "look-alike",
            0,
        )
        assert "as LG lists it" in finding.fix
        assert "a guard is tripped, 1 warning" in shown(found)
        assert "nothing is wrong" not in shown(found)


async def test_accounts_with_the_same_list_are_named() -> None:
    """Two accounts that list the same devices are a warning in each; one of one device, or another list, is none."""
    async with practice("east", "west", "south") as one:
        world = one.platform.world
        world.user("west").devices.update(world.user("east").devices)
        one.platform.unsubscribe("west", *one.platform.subscribed("west"))
        one.platform.subscribe("west", *one.platform.subscribed("east"))
        tables = [
            f"[accounts.{name}]\ndevices = {json.dumps(sorted(one.platform.subscribed(name)))}"
            for name in USERS
        ]
        write("version = 1\n" + "\n".join(tables) + "\n")
        tokens = {f"refresh_token_of_{name}": one.refresh_token(name) for name in USERS}
        one.set(credentials_dir=folder_of(**tokens))
        found = await one.examine()
        warned = {
            str(each.account): [one for one in each.findings if one.level is Level.WARN]
            for each in found.accounts
        }
        assert [one.check for one in warned["east"]] == [Check.LIST]
        assert "the same 3 devices for west" in warned["east"][0].found
        assert "the same 3 devices for east" in warned["west"][0].found
        assert warned["south"] == []
        assert found.exit_code == 0


USERS = ("east", "west", "south")


WITHOUT_ROOM = """
import resource, runpy, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
sys.argv = ["pcc-reconciler", "doctor"]
runpy.run_module("reconciler", run_name="__main__")
"""


async def test_the_command_says_that_a_disk_is_full() -> None:
    """Where no file may grow, as on a full disk, the command fails and says what to do."""
    async with practice() as one:
        State.open(Path("state"), SystemClock()).close()
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-B", "-c", WITHOUT_ROOM),
            env=child_environment(one.given),
            stdout=PIPE,
            stderr=PIPE,
        )
        out, _err = await child.communicate()
    words = " ".join(out.decode().split())
    assert child.returncode == 1
    assert "fail state nothing can be written to " in words
    assert "File too large" in words
    assert "make room on the disk of PCC_STATE_DIR" in words


def test_a_full_disk_is_a_fault_whoever_asks() -> None:
    """A disk that takes nothing more is a failure, also where this user may write."""
    found = diagnosis.state(
        "/state", exists=True, locked="", full="No space left on device", trouble="", unreadable=""
    )
    assert (found.level, found.found) == (
        Level.FAIL,
        "nothing can be written to /state: No space left on device",
    )
    assert found.fix == "make room on the disk of PCC_STATE_DIR"
