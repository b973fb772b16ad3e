"""The life of an access token: renewed in time, once for all, and never that of another user."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from reconciler.core.errors import CredentialsRefused, Lost, PlatformError, Unavailable
from reconciler.pcc.auth import Access, Token
from reconciler.pcc.credentials import Credentials
from reconciler.telemetry.masking import MASK, Masking
from recording import ACCESS, REFRESH, START, StillClock, credentials


class Emp:
    """LG's account service: answers as told, and keeps what it was asked."""

    def __init__(self) -> None:
        self.forms: list[dict[str, str]] = []
        self.reply: Callable[[int], tuple[int, bytes]] = lambda number: (200, granted(number))
        self.asked = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()

    async def exchange(self, _url: str, form: dict[str, str]) -> tuple[int, bytes]:
        """Answer one refresh, when the gate is open."""
        self.forms.append(form)
        self.asked.set()
        number = len(self.forms)
        await self.gate.wait()
        await asyncio.sleep(0)
        status, body = self.reply(number)
        if status == 0:
            raise Unavailable("the token endpoint did not answer")
        return status, body


def granted(number: int, **more: Any) -> bytes:
    """Return the answer to a refresh: a token with a number, for an hour."""
    return json.dumps(
        {"access_token": f"access-token-{number}", "expires_in": "3600", **more}
    ).encode()


class Rig:
    """One account's access to tokens, with everything about it in the test's hand."""

    def __init__(self, **own: Any) -> None:
        self.credentials: Credentials = credentials(
            **{"access_token": None, "refresh_token": REFRESH, **own}
        )
        self.clock = StillClock()
        self.emp = Emp()
        self.told: list[str] = []
        self.stored: Credentials | None = None
        self.masking = Masking()
        self.access = Access(
            lambda: self.credentials,
            self.emp.exchange,
            self.clock,
            self._tell,
            renewed=lambda secrets: self.masking.renew("seoul-hotel", secrets),
            read_again=self._read_again,
        )

    def _tell(self, result: str, _token: Token | None) -> None:
        self.told.append(result)

    def _read_again(self) -> None:
        self.credentials = self.stored or self.credentials

    async def value(self) -> str:
        """Return the token to call with."""
        return (await self.access.token()).value


async def test_a_static_token_is_used_as_it_is() -> None:
    """Without a refresh token the access token is all there is, and no one is asked."""
    rig = Rig(access_token=ACCESS, refresh_token=None)
    assert await rig.value() == ACCESS
    with pytest.raises(CredentialsRefused, match="no refresh token"):
        await rig.access.renewed(await rig.access.token())
    assert (rig.emp.forms, rig.told, rig.access.expires_at) == ([], [], None)


async def test_a_replaced_static_token_is_used_at_once() -> None:
    """When a person puts another token in place, the next call goes with it, also where the old one just failed."""
    rig = Rig(access_token=ACCESS, refresh_token=None)
    failed = await rig.access.token()
    rig.credentials = credentials(access_token="access-token-of-today")
    assert (await rig.access.renewed(failed)).value == "access-token-of-today"
    assert await rig.value() == "access-token-of-today"


async def test_a_refresh_token_gets_an_access_token_and_keeps_it() -> None:
    """EMP is asked once, with what its documents name, and the answer is used until shortly before its end."""
    rig = Rig(backend_url="https://kr.example")
    assert await rig.value() == await rig.value() == "access-token-1"
    assert rig.emp.forms == [
        {
            "grant_type": "refresh_token",
            "refresh_token": REFRESH,
            "client_id": "client-of-the-tests",
            "backend_url": "https://kr.example",
        }
    ]
    assert rig.access.expires_at == START.timestamp() + 3600
    rig.clock.move(3600 - 121)
    assert await rig.value() == "access-token-1"
    rig.clock.move(2)
    assert await rig.value() == "access-token-2"
    assert rig.told == ["success", "success"]


async def test_both_tokens_are_no_contradiction() -> None:
    """The access token is used until it is refused, the refresh token gets the next one."""
    rig = Rig(access_token=ACCESS)
    first = await rig.access.token()
    assert first.value == ACCESS
    assert (await rig.access.renewed(first)).value == await rig.value() == "access-token-1"
    assert len(rig.emp.forms) == 1


@pytest.mark.parametrize("life", ["3600", 3600, 3600.0, " 3600 "])
async def test_the_life_of_a_token_may_be_text_or_number(life: object) -> None:
    """LG's documents type it as text."""
    rig = Rig()
    rig.emp.reply = lambda number: (200, granted(number, expires_in=life))
    await rig.value()
    assert rig.access.expires_at == START.timestamp() + 3600


@pytest.mark.parametrize(
    "life", ["", "soon", None, [], {}, 0, "0", -5, "-3600", "NaN", "inf", 1e300, "9" * 400, "1e400"]
)
async def test_a_life_that_is_not_understood_is_unknown(life: object) -> None:
    """The token is good all the same: it is used until LG refuses it, and not renewed at every call."""
    rig = Rig()
    rig.emp.reply = lambda number: (200, granted(number, expires_in=life))
    assert await rig.value() == await rig.value() == "access-token-1"
    rig.clock.move(86_400)
    assert await rig.value() == "access-token-1"
    assert (len(rig.emp.forms), rig.access.expires_at) == (1, None)


async def test_a_short_life_is_half_used() -> None:
    """A token of a minute is renewed after half a minute, not at every call."""
    rig = Rig()
    rig.emp.reply = lambda number: (200, granted(number, expires_in="60"))
    await rig.value()
    rig.clock.move(29)
    assert await rig.value() == "access-token-1"
    rig.clock.move(2)
    assert await rig.value() == "access-token-2"


@pytest.mark.parametrize(
    ("status", "body"),
    [
        *(
            (200, body)
            for body in (
                b"{}",
                b'{"httpError":"401 not allowed client_id"}',
                b'{"error":{"code":"x"}}',
            )
        ),
        *(
            (200, body)
            for body in (b'{"access_token":""}', b'{"access_token":5}', b'{"access_token":"short"}')
        ),
        *(
            (200, body)
            for body in (
                b'{"access_token":"a\\r\\nx-evil: 1"}',
                '{"access_token":"tökentökentöken"}'.encode(),
            )
        ),
        *(
            (400, body)
            for body in (b"", b"{}", b'{"httpError":"required backend_url"}', granted(1))
        ),
        *((status, b"") for status in (401, 412)),
        *((status, b'{"httpError":"no"}') for status in (401, 403, 404, 412)),
    ],
)
async def test_a_no_of_emp_refuses_the_credentials(status: int, body: bytes) -> None:
    """Errors inside a 200, EMP's own words with a 4xx, and a token that no header can carry: a person has to look."""
    rig = Rig()
    rig.emp.reply = lambda _number: (status, body)
    with pytest.raises(CredentialsRefused, match="refresh token was refused"):
        await rig.access.token()
    assert rig.told == ["refused"]


@pytest.mark.parametrize(
    ("status", "body"),
    [
        *((status, b"<html>down</html>") for status in (500, 502, 503, 504, 429, 408)),
        *((status, b'{"httpError":"oauth date time error"}') for status in (500, 503, 429, 408)),
        *(
            (200, body)
            for body in (
                b"",
                b"<html>maintenance</html>",
                b"[]",
                b"null",
                b'{"access_token":"cut',
                b"\xff",
            )
        ),
        *((200, body) for body in (b"[" * 100_000, b'{"access_token":"\xff"}')),
        *((302, b""), (304, b""), (0, b"")),
    ],
)
async def test_an_emp_that_is_down_is_weather(status: int, body: bytes) -> None:
    """A server's fault, a page in the place of an answer, a redirect or silence stop no account."""
    rig = Rig()
    rig.emp.reply = lambda _number: (status, body)
    with pytest.raises(Unavailable):
        await rig.access.token()
    assert rig.told == ["unavailable"]


@pytest.mark.parametrize(
    ("status", "body"),
    [
        *(
            (status, b"<html><h1>403 Forbidden</h1></html>")
            for status in (400, 401, 403, 404, 407, 412, 451)
        ),
        *((status, b"Access denied") for status in (401, 403)),
        *((status, b"") for status in (403, 404, 405, 407, 410)),
        *((status, b'{"message":"Forbidden"}') for status in (403, 404)),
        *((403, body) for body in (b"[]", b"\xff\xfe", b"[" * 100_000)),
    ],
)
async def test_what_does_not_come_from_emp_refuses_no_token(status: int, body: bytes) -> None:
    """A load balancer, a proxy and a wrong address know nothing of the token: nobody has to log in again for them."""
    rig = Rig()
    rig.emp.reply = lambda _number: (status, body)
    with pytest.raises(
        Unavailable, match=f"status {status}, and what answers is not LG's account service"
    ) as caught:
        await rig.access.token()
    assert "refused" not in str(caught.value)
    assert (caught.value.lost, caught.value.status) == (Lost.STRANGER, status)
    assert rig.told == ["unavailable"]


GRANT = granted(1).decode()
SPOILT = {
    "a byte order mark (BOM)": b"\xef\xbb\xbf" + GRANT.encode(),
    "a byte order mark of UTF-16": GRANT.encode("utf-16"),
    "UTF-16 or UTF-32": GRANT.encode("utf-16-le"),
    "ends with a NUL byte": GRANT.encode() + b"\0",
    "trailing characters": GRANT.encode() + b"\x1a",
    "not valid JSON": b"access_token=access-token-1&expires_in=3600",
    "JSON is malformed": b"access-token-1",
    "truncated": GRANT.encode()[:-3],
    "not a token": f"[{GRANT}]".encode(),
    "not UTF-8": GRANT.encode() + b"\xff",
}


@pytest.mark.parametrize("why", SPOILT)
async def test_a_grant_that_is_not_read_says_why_and_shows_no_token(why: str) -> None:
    """A token in an answer that cannot be read is masked by nobody yet, so it is not quoted; the reason is."""
    body = SPOILT[why]
    rig = Rig()
    rig.emp.reply = lambda _number: (200, body)
    with pytest.raises(Unavailable) as caught:
        await rig.access.token()
    words = str(caught.value)
    assert why in words
    assert "accesstoken1" not in words.replace("-", "").replace(" ", "")


async def test_the_word_of_a_stranger_is_shown() -> None:
    """What says no in plain words is quoted."""
    rig = Rig()
    rig.emp.reply = lambda _number: (200, b"Blocked by policy 7")
    with pytest.raises(Unavailable, match="Blocked by policy 7"):
        await rig.access.token()


async def test_a_page_of_a_stranger_shows_no_token() -> None:
    """It may repeat what was sent to it."""
    rig = Rig()
    rig.emp.reply = lambda _number: (403, b"<html>you sent " + REFRESH.encode() + b"</html>")
    with pytest.raises(Unavailable) as caught:
        await rig.access.token()
    assert "you sent" in str(caught.value)
    assert REFRESH not in str(caught.value)


@given(st.binary() | st.text().map(str.encode), st.integers(100, 599))
def test_no_answer_of_emp_is_an_error_of_ours(body: bytes, status: int) -> None:
    """Whatever EMP answers is a token or one of the two errors that say what to do next."""

    async def ask() -> None:
        rig = Rig()
        rig.emp.reply = lambda _number: (status, body)
        with pytest.raises((CredentialsRefused, Unavailable)):
            await rig.access.token()

    asyncio.run(ask())


async def test_fifty_calls_with_an_expired_token_are_one_refresh() -> None:
    """Whoever waits gets the token of the one who asked, also the calls whose token was refused a moment later."""
    rig = Rig()
    first = await rig.access.token()
    rig.clock.move(4000)
    calls = [asyncio.create_task(rig.access.token()) for _ in range(25)]
    calls += [asyncio.create_task(rig.access.renewed(first)) for _ in range(25)]
    tokens = await asyncio.gather(*calls)
    assert {token.value for token in tokens} == {"access-token-2"}
    assert (await rig.access.renewed(first)).value == "access-token-2"
    assert len(rig.emp.forms) == 2


@pytest.mark.parametrize(("status", "error"), [(0, Unavailable), (400, CredentialsRefused)])
async def test_fifty_calls_share_a_refresh_that_fails(
    status: int, error: type[PlatformError]
) -> None:
    """Each waiting call is told, none asks again by itself, and the next call tries anew."""
    rig = Rig()
    rig.emp.reply = lambda number: (status, b"") if number == 1 else (200, granted(number))
    results = await asyncio.gather(*(rig.access.token() for _ in range(50)), return_exceptions=True)
    assert {type(result) for result in results} == {error}
    assert len(rig.emp.forms) == 1
    assert await rig.value() == "access-token-2"


async def test_a_cancelled_refresh_leaves_the_lock_free() -> None:
    """A call that is broken off in the middle of a refresh harms no other: the next in line asks."""
    rig = Rig()
    rig.emp.gate.clear()
    calls = [asyncio.create_task(rig.access.token()) for _ in range(3)]
    await rig.emp.asked.wait()
    calls[0].cancel()
    rig.emp.gate.set()
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError)
    assert [token.value for token in results[1:] if isinstance(token, Token)] == [
        "access-token-2"
    ] * 2
    assert len(rig.emp.forms) == 2


@pytest.mark.parametrize("status", [0, 503, 400])
async def test_a_token_that_still_lives_outlasts_an_emp_that_fails(status: int) -> None:
    """Renewing early is a precaution: if it fails, the old token serves to its end, and EMP is not asked every call."""
    rig = Rig()
    await rig.value()
    rig.emp.reply = lambda _number: (status, b"")
    rig.clock.move(3500)
    for _ in range(5):
        assert await rig.value() == "access-token-1"
    assert len(rig.emp.forms) == 2
    rig.clock.move(31)
    assert await rig.value() == "access-token-1"
    assert len(rig.emp.forms) == 3
    rig.clock.move(70)
    with pytest.raises((Unavailable, CredentialsRefused)):
        await rig.value()


async def test_a_credential_changed_during_a_refresh_wins() -> None:
    """The answer to the old refresh token may be another user's: it is thrown away."""
    rig = Rig()
    rig.emp.gate.clear()
    waiting = asyncio.create_task(rig.value())
    await rig.emp.asked.wait()
    rig.credentials = credentials(access_token=None, refresh_token="refresh-token-of-another")
    rig.emp.gate.set()
    assert await waiting == await rig.value() == "access-token-2"
    assert [form["refresh_token"] for form in rig.emp.forms] == [
        REFRESH,
        "refresh-token-of-another",
    ]


@pytest.mark.parametrize(
    ("before", "after", "value"),
    [
        (
            {"access_token": ACCESS, "refresh_token": None},
            {"access_token": "token-of-today"},
            "token-of-today",
        ),
        (
            {"access_token": ACCESS, "refresh_token": None},
            {"refresh_token": "refresh-of-today"},
            "access-token-1",
        ),
        ({"access_token": ACCESS}, {"access_token": "token-of-today"}, "token-of-today"),
        ({"access_token": ACCESS}, {"refresh_token": "refresh-of-today"}, "access-token-2"),
    ],
)
async def test_what_is_refused_is_read_again_before_it_is_given_up(
    before: dict[str, str | None], after: dict[str, str], value: str
) -> None:
    """A credential that a person replaced a moment ago, and nobody noticed yet, is found when the old one fails."""
    rig = Rig(**before)
    rig.emp.reply = lambda number: (
        (200, granted(number))
        if rig.emp.forms[-1]["refresh_token"] == "refresh-of-today"
        else (401, b"{}")
    )
    token = await rig.access.token()
    rig.stored = credentials(**{"access_token": None, "refresh_token": None, **after})
    assert (await rig.access.renewed(token)).value == value


async def test_a_token_that_still_lives_does_not_outlast_a_replaced_credential() -> None:
    """Where a renewal fails with the credentials of another user, the token of the former one is used no more."""
    rig = Rig()
    assert await rig.value() == "access-token-1"
    rig.stored = credentials(access_token=None, refresh_token="refresh-token-of-another")
    rig.emp.reply = lambda _number: (
        (401, b"{}") if rig.emp.forms[-1]["refresh_token"] == REFRESH else (503, b"")
    )
    rig.clock.move(3500)
    for _ in range(2):
        with pytest.raises(Unavailable):
            await rig.value()


async def test_what_is_still_the_same_when_read_again_is_refused() -> None:
    """There is no second refresh with a refresh token that EMP does not take."""
    rig = Rig(access_token=ACCESS)
    rig.emp.reply = lambda _number: (401, b"{}")
    rig.stored = credentials(access_token=ACCESS, refresh_token=REFRESH)
    with pytest.raises(CredentialsRefused):
        await rig.access.renewed(await rig.access.token())
    assert len(rig.emp.forms) == 1


async def test_a_new_refresh_token_is_used_from_memory_and_a_warning_says_so() -> None:
    """LG documents none; should it come, it is used, the line shows no secret, and another credential ends it."""
    rig = Rig()
    rig.emp.reply = lambda number: (200, granted(number, refresh_token=f"refresh-token-{number}"))
    with capture_logs() as lines:
        token = await rig.access.token()
        token = await rig.access.renewed(token)
    assert [form["refresh_token"] for form in rig.emp.forms] == [REFRESH, "refresh-token-1"]
    assert [(line["event"], line["log_level"], line["account"]) for line in lines] == [
        ("token.rotated", "warning", "seoul-hotel")
    ] * 2
    assert all("replace" in line["message"] and "refresh-token-" not in str(line) for line in lines)
    rig.credentials = credentials(access_token=None, refresh_token="refresh-token-of-a-person")
    await rig.value()
    assert rig.emp.forms[-1]["refresh_token"] == "refresh-token-of-a-person"


@pytest.mark.parametrize("same", [REFRESH, "", None, 5])
async def test_the_same_refresh_token_is_no_news(same: object) -> None:
    """An answer that repeats the refresh token, or holds none, warns of nothing."""
    rig = Rig()
    rig.emp.reply = lambda number: (200, granted(number, refresh_token=same))
    with capture_logs() as lines:
        await rig.access.renewed(await rig.access.token())
    assert lines == []
    assert [form["refresh_token"] for form in rig.emp.forms] == [REFRESH, REFRESH]


async def test_nothing_shows_a_secret() -> None:
    """Neither the text of a token, of an access or of an error holds a secret, even where EMP repeats it."""
    rig = Rig(access_token=ACCESS)
    token = await rig.access.renewed(await rig.access.token())
    rig.emp.reply = lambda _number: (
        400,
        json.dumps({"httpError": f"{REFRESH} is unknown"}).encode(),
    )
    with pytest.raises(CredentialsRefused) as caught:
        await rig.access.renewed(token)
    shown = f"{token!r} {token} {rig.access!r} {caught.value!r} {caught.value.words} {rig.credentials!r}"
    assert not [secret for secret in (ACCESS, REFRESH, "access-token-1") if secret in shown]
    assert "is unknown" in shown


async def test_a_rotated_refresh_token_stays_masked_while_it_is_in_use() -> None:
    """EMP sends it once; many renewals later it is still what they are made with, and no line may show it."""
    rig = Rig()
    rig.emp.reply = lambda number: (
        200,
        granted(number, **({"refresh_token": "rotated-once"} if number == 1 else {})),
    )
    for _ in range(9):
        await rig.value()
        rig.clock.move(3600)
    assert rig.emp.forms[-1]["refresh_token"] == "rotated-once"
    assert rig.masking.text("rotated-once access-token-9") == f"{MASK} {MASK}"


@pytest.mark.parametrize("looked", [False, True])
async def test_a_refresh_token_that_was_rotated_while_it_was_replaced_is_not_used(
    *, looked: bool
) -> None:
    """EMP rotates the token of the user before; the next refresh goes with what a person put in place meanwhile."""
    rig = Rig()
    rig.emp.reply = lambda number: (
        200,
        granted(number, **({"refresh_token": "rotated-of-the-old"} if number == 1 else {})),
    )
    rig.emp.gate.clear()
    waiting = asyncio.create_task(rig.value())
    await rig.emp.asked.wait()
    rig.credentials = credentials(access_token=None, refresh_token="refresh-of-another")
    another = asyncio.create_task(rig.value()) if looked else None
    await asyncio.sleep(0)
    rig.emp.gate.set()
    assert await waiting == "access-token-2"
    assert another is None or await another == "access-token-2"
    rig.clock.move(3600)
    await rig.value()
    sent = [form["refresh_token"] for form in rig.emp.forms]
    assert sent == [REFRESH, "refresh-of-another", "refresh-of-another"]
    assert not rig.access.rotated
    assert rig.masking.text("rotated-of-the-old") == MASK


async def test_a_rotated_token_that_is_refused_gives_way_to_a_replaced_one() -> None:
    """A rotated token is used from memory; once a person replaced the stored one, only that is used."""
    rig = Rig()
    rig.emp.reply = lambda number: (200, granted(number, refresh_token="rotated-once"))
    failed = await rig.access.token()
    assert rig.access.rotated
    rig.emp.reply = lambda number: (
        (401, b"{}")
        if rig.emp.forms[-1]["refresh_token"] == "rotated-once"
        else (200, granted(number))
    )
    rig.stored = credentials(access_token=None, refresh_token="refresh-of-today")
    assert (await rig.access.renewed(failed)).value == "access-token-3"
    assert [form["refresh_token"] for form in rig.emp.forms] == [
        REFRESH,
        "rotated-once",
        "refresh-of-today",
    ]
    assert not rig.access.rotated


async def test_a_rotated_refresh_token_that_emp_repeats_is_masked() -> None:
    """What was sent last is taken out of EMP's words, and that is no longer the stored one."""
    rig = Rig()
    rig.emp.reply = lambda number: (200, granted(number, refresh_token="rotated-once"))
    failed = await rig.access.token()
    rig.emp.reply = lambda _number: (
        400,
        json.dumps({"httpError": f"{rig.emp.forms[-1]['refresh_token']} is unknown"}).encode(),
    )
    with pytest.raises(CredentialsRefused) as caught:
        await rig.access.renewed(failed)
    assert rig.emp.forms[-1]["refresh_token"] == "rotated-once"
    assert f"{MASK} is unknown" in str(caught.value)


async def test_a_token_of_replaced_credentials_is_not_patiently_tried_again() -> None:
    """A renewed token may not be valid yet, which says nothing of a token of other credentials."""
    rig = Rig()
    token = await rig.access.token()
    assert rig.access.fresh_for(token) is not None
    rig.credentials = credentials(access_token="token-of-today", refresh_token=None)
    today = await rig.access.token()
    assert (rig.access.fresh_for(token), rig.access.fresh_for(today)) == (None, None)


async def test_new_credentials_have_patience_of_their_own() -> None:
    """That LG was given time for the token of the old ones takes nothing from the first token of the new ones."""
    rig = Rig()
    old = await rig.access.token()
    assert rig.access.fresh_for(old) == 0
    rig.clock.move(60)
    assert rig.access.fresh_for(old) is None
    rig.credentials = credentials(access_token=None, refresh_token="refresh-of-another")
    new = await rig.access.token()
    rig.clock.move(2)
    assert rig.access.fresh_for(new) == 2


async def test_a_failure_with_the_old_credentials_is_not_that_of_the_new() -> None:
    """Who waits while a refresh fails hears of it, unless the credentials were replaced: then EMP is asked again."""
    rig = Rig()
    rig.emp.reply = lambda number: (503, b"") if number == 1 else (200, granted(number))
    rig.emp.gate.clear()
    first = asyncio.create_task(rig.access.token())
    await rig.emp.asked.wait()
    second = asyncio.create_task(rig.access.token())
    await asyncio.sleep(0)
    rig.credentials = credentials(access_token=None, refresh_token="refresh-of-another")
    rig.emp.gate.set()
    results = await asyncio.gather(first, second, return_exceptions=True)
    assert isinstance(results[0], Unavailable)
    assert isinstance(results[1], Token)
    assert results[1].value == "access-token-2"
    assert [form["refresh_token"] for form in rig.emp.forms] == [REFRESH, "refresh-of-another"]


async def test_only_the_token_in_use_may_be_too_new() -> None:
    """A call that comes back with the token before the last renewal is made once more with that in use."""
    rig = Rig()
    before = await rig.access.token()
    now = await rig.access.renewed(before)
    assert rig.access.fresh_for(now) == 0
    assert rig.access.fresh_for(before) is None


async def test_before_the_first_token_no_end_is_known() -> None:
    """A daemon that has just started shows no date for a token that it does not have."""
    assert Rig().access.expires_at is None


async def test_the_address_of_the_backend_is_sent_where_there_is_one() -> None:
    """Without one in the credentials, the form has no such field."""
    rig = Rig(backend_url=None)
    await rig.value()
    assert "backend_url" not in rig.emp.forms[0]


async def test_a_refusal_without_words_says_its_status() -> None:
    """An empty answer of EMP still gives a sentence that a person can search for."""
    rig = Rig()
    rig.emp.reply = lambda _number: (400, b"")
    with pytest.raises(CredentialsRefused, match="status 400, no access token in the answer"):
        await rig.access.token()


async def test_the_age_of_a_renewed_token_counts_from_its_renewal() -> None:
    """LG is given time from the moment of the renewal, not from its first refusal."""
    rig = Rig()
    token = await rig.access.token()
    rig.clock.move(5)
    assert rig.access.fresh_for(token) == 5
    rig.clock.move(3)
    assert rig.access.fresh_for(token) == 8


async def test_a_token_that_lg_accepted_once_is_valid_everywhere() -> None:
    """A refusal after that is a refusal, however new the token is; another token changes nothing of it."""
    rig = Rig()
    token = await rig.access.token()
    rig.access.accepted(Token("another", rig.credentials))
    assert rig.access.fresh_for(token) == 0
    rig.access.accepted(token)
    assert rig.access.fresh_for(token) is None
