"""The HTTP sink against real servers: what leaves, what answers mean, and everything that can go wrong between."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import ssl
import subprocess
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from cloudevents.core.formats.json import JSONFormat
from standardwebhooks import Webhook

from disks import StandingClock
from hooks import CLOSE, OK, Hooks, Script, answer, hooks
from reconciler.core.errors import QUOTED
from reconciler.events.envelope import Envelopes
from reconciler.events.model import Attempt, Device, Diagnosis, Knowledge, Message, Result
from reconciler.events.sinks.authorization import secrets_of
from reconciler.events.sinks.http import Endpoint, HttpSink
from reconciler.events.sinks.names import GOOD_FOR_SECONDS, system_addresses
from reconciler.events.sinks.port import Handed
from reconciler.runtime.clock import SystemClock
from reconciler.telemetry.masking import MASK, Masking

BODY = b'{"id":"a"}'
SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()


@asynccontextmanager
async def sink_to(script: Script, **options: Any) -> AsyncIterator[tuple[HttpSink, Hooks]]:
    """Serve a receiving system, with a sink that posts to it."""
    async with hooks(script) as seen, opened(seen.url, **options) as sink:
        yield sink, seen


@asynccontextmanager
async def opened(url: str, **options: Any) -> AsyncIterator[HttpSink]:
    """Return a sink that posts to an address."""
    ask = options.pop("ask", system_addresses)
    clock = options.pop("clock", SystemClock())
    sink = HttpSink("crm", Endpoint(url, **options), clock=clock, masking=Masking(), ask=ask)
    try:
        yield sink
    finally:
        await sink.close()


def always(said: bytes | list[bytes]) -> Script:
    """Return the script of a server that always answers the same."""
    return lambda _number: said


class Names:
    """Names devices, and knows diagnoses."""

    revision = "r1"

    def device(self, device: str) -> Device:
        """Return a device with a name."""
        return Device(device, Knowledge.DESIRED, "seoul", "Kitchen ❄", "REFRIGERATOR")

    def diagnosis(self, diagnosis: str, _device_type: str | None) -> Diagnosis:
        """Return a diagnosis without a row."""
        return Diagnosis(diagnosis)


async def test_what_leaves_is_a_cloudevent_that_is_signed(tmp_path: Path) -> None:
    """The packages that receiving systems use parse the event and verify its signature."""
    secret = tmp_path / "secret"
    secret.write_text(SECRET, encoding="utf-8")
    at = datetime(2026, 3, 1, 12, tzinfo=UTC)
    message = Message(
        "PCC_EVENT", {"event": {"x": "ü"}}, "m1", at, "d1", "REFRIGERATOR", "E1", at, None
    )
    body = Envelopes(Names(), Names(), "urn:pcc:test").make(
        Attempt(1, "abc", "crm", message, at, 0)
    )
    async with sink_to(always(OK), signing_secret_file=secret) as (sink, seen):
        assert await sink.hand_over("abc", body) == Handed(Result.DELIVERED, 200)
    posted = seen.posted[0]
    assert posted.head == "POST /pcc?tenant=7 HTTP/1.1"
    assert posted.headers["content-type"].startswith("application/cloudevents+json")
    assert seen.url.startswith(f"http://{posted.headers['host']}/")
    Webhook(SECRET).verify(posted.body, posted.headers)
    event = from_http_event(HTTPMessage(posted.headers, posted.body), JSONFormat())
    assert (event.get_id(), event.get_type()) == ("abc", "com.lge.pcc.diagnosis.v1")
    assert (event.get_source(), event.get_subject()) == ("urn:pcc:test", "d1")
    assert event.get_time() == at
    assert event.get_extension("pccaccount") == "seoul"
    data = event.get_data()
    assert isinstance(data, dict)
    assert data["device"]["name"] == "Kitchen ❄"
    assert posted.headers["webhook-id"] == event.get_id()


async def test_without_a_secret_the_id_and_the_time_are_there() -> None:
    """A receiving system recognises a duplicate by webhook-id, signed or not."""
    async with sink_to(always(OK)) as (sink, seen):
        await sink.hand_over("abc", BODY)
    headers = seen.posted[0].headers
    assert headers["webhook-id"] == "abc"
    assert int(headers["webhook-timestamp"]) > 1_700_000_000
    assert "webhook-signature" not in headers


async def test_no_event_leaves_without_its_signature(tmp_path: Path) -> None:
    """A secret that cannot be read holds the sink; a new one counts with the next event."""
    secret = tmp_path / "secret"
    async with sink_to(always(OK), signing_secret_file=secret) as (sink, seen):
        handed = await sink.hand_over("a", BODY)
        assert (handed.result, handed.refused) == (Result.RETRY, True)
        assert (
            handed.words
            == f"not sent, as there is no signature: {secret} cannot be read: No such file or directory"
        )
        assert seen.posted == []
        for key in (bytes(range(32)), bytes(range(32, 64))):
            written = "whsec_" + base64.b64encode(key).decode()
            secret.write_text(written, encoding="utf-8")
            assert (await sink.hand_over("a", BODY)).result is Result.DELIVERED
            Webhook(written).verify(seen.posted[-1].body, seen.posted[-1].headers)


@pytest.mark.parametrize(
    ("said", "handed"),
    [
        (answer(204), Handed(Result.DELIVERED, 204)),
        (answer(422, "no  such\ntenant"), Handed(Result.DEAD, 422, "HTTP 422: no such tenant")),
        (answer(503), Handed(Result.RETRY, 503, "HTTP 503")),
        (
            answer(307, location="https://elsewhere.example.com/x?token=1"),
            Handed(
                Result.RETRY,
                307,
                "HTTP 307: redirects are not followed: https://elsewhere.example.com/x",
            ),
        ),
        (
            b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n" + OK,
            Handed(Result.DELIVERED, 200),
        ),
        (answer(403, "x" * 300).replace(b"x", b"y"), None),
    ],
)
async def test_what_an_answer_comes_to(said: bytes, handed: Handed | None) -> None:
    """The status decides, and the words are short and on one line."""
    async with sink_to(always(said)) as (sink, seen):
        got = await sink.hand_over("a", BODY)
        assert got == handed or (handed is None and got.refused and len(got.words) < 270)
    assert len(seen.posted) == 1


async def test_retry_after_is_passed_on() -> None:
    """How long the sink asks to wait is for delivery to keep."""
    async with sink_to(always(answer(429, retry_after="90"))) as (sink, _):
        handed = await sink.hand_over("a", BODY)
    assert handed.wait is not None
    assert handed.wait.total_seconds() == 90


async def test_an_event_shows_the_authorization_that_its_file_has_now(tmp_path: Path) -> None:
    """The header has the file's line; a replaced one counts at once; a redirect gets neither event nor header."""
    token = tmp_path / "token"
    async with hooks(always(OK)) as elsewhere:

        def script(number: int) -> bytes:
            return OK if number < 3 else answer(307, location=elsewhere.url)

        async with sink_to(script, authorization_file=token) as (sink, seen):
            for value in ("Bearer one-1", "Basic dXNlcjpwYXNzd29yZC03", "Bearer two-2"):
                token.write_text(f"{value}\n", encoding="utf-8")
                await sink.hand_over("a", BODY)
                assert seen.posted[-1].headers["authorization"] == value
            assert (await sink.hand_over("a", BODY)).result is Result.RETRY
        assert len(seen.posted) == 4
        assert elsewhere.posted == []


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "cannot be read: No such file or directory"),
        ("\n \n", "is empty"),
        ("Bearer a\nBearer b\n", "has more than one line"),
        ("Bearer ä", "has characters that a header cannot have"),
        ("Bearer a\x00", "has characters that a header cannot have"),
        ("x" * 5000, "is too large for a secret"),
    ],
)
async def test_no_event_leaves_without_its_authorization(
    tmp_path: Path, content: str | None, why: str
) -> None:
    """A file that holds no usable value holds the sink, and the words say which file and why, without the value."""
    token = tmp_path / "token"
    if content is not None:
        token.write_text(content, encoding="utf-8")
    async with sink_to(always(OK), authorization_file=token) as (sink, seen):
        handed = await sink.hand_over("a", BODY)
    assert (handed.result, handed.refused) == (Result.RETRY, True)
    assert handed.words == f"not sent, as there is no authorization: {token} {why}"
    assert seen.posted == []


async def test_an_authorization_is_masked_in_the_words(tmp_path: Path) -> None:
    """A sink that repeats the header, its token, or the password in it, has each of them masked."""
    token = tmp_path / "token"
    said = answer(403, "no: Bearer sesame-9; sesame-9; password-7; user:password-7")
    async with sink_to(always(said), authorization_file=token) as (sink, _):
        token.write_text("Bearer sesame-9", encoding="utf-8")
        bearer = await sink.hand_over("a", BODY)
        token.write_text("Basic dXNlcjpwYXNzd29yZC03", encoding="utf-8")
        pair = await sink.hand_over("a", BODY)
    assert "sesame-9" not in bearer.words
    assert "password-7" not in pair.words
    assert MASK in pair.words


async def test_no_secret_is_in_the_words(tmp_path: Path) -> None:
    """A sink that repeats our secret, or the password of its address, has it masked."""
    secret = tmp_path / "secret"
    secret.write_text(SECRET, encoding="utf-8")
    said = answer(400, f"bad secret {SECRET}, bad password pass-word-7")
    async with hooks(always(said)) as seen:
        url = seen.url.replace("http://", "http://user:pass-word-7@")
        async with opened(url, signing_secret_file=secret) as sink:
            handed = await sink.hand_over("a", BODY)
    assert handed.words == f"HTTP 400: bad secret {MASK}, bad password {MASK}"
    assert seen.posted[0].headers["authorization"].startswith("Basic ")
    assert "pass-word-7" not in seen.posted[0].headers["host"]


@pytest.mark.parametrize("status", [302, 400])
async def test_no_part_of_a_secret_is_in_the_words(tmp_path: Path, status: int) -> None:
    """An answer is masked before it is cut, wherever the cut comes in a secret that it repeats."""
    secret, said = tmp_path / "secret", [answer(400)]
    secret.write_text(SECRET, encoding="utf-8")
    async with sink_to(lambda _: said[0], signing_secret_file=secret) as (sink, _):
        for before in range(QUOTED - len(SECRET) - 1, QUOTED + 1):
            words = "x" * before + SECRET
            said[0] = answer(status, words)
            if status == 302:
                said[0] = said[0].replace(b"\r\n", f"\r\nlocation: {words}\r\n".encode(), 1)
            shown = (await sink.hand_over("a", BODY)).words
            assert "x" * (before // 2) in shown
            assert SECRET[:4] not in shown


@pytest.mark.parametrize(
    "said",
    [
        [b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"],
        [b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\nx"],
        [b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 10_000_000],
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nnot a length\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 3\r\n\r\nxxx",
    ],
)
async def test_a_status_counts_whatever_comes_after_it(said: bytes | list[bytes]) -> None:
    """An answer without an end, or one that nobody can read, is delivered if its status says so."""
    async with sink_to(always(said)) as (sink, _):
        assert (await sink.hand_over("a", BODY)).result is Result.DELIVERED


@pytest.mark.parametrize(
    "said",
    [
        CLOSE,
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
        b"HTTP/1.1 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"x: " + b"y" * 300_000 + b"\r\n\r\n",
        b"\x15\x03\x01\x00\x02\x02\x28",
    ],
)
async def test_what_is_no_answer_is_tried_again(said: bytes) -> None:
    """A server that closes, or speaks something else, has not taken the event."""
    async with sink_to(always(said)) as (sink, seen):
        handed = await sink.hand_over("a", BODY)
    assert (handed.result, handed.status) == (Result.RETRY, None)
    assert handed.words.startswith("no answer: ")
    assert len(seen.posted) == 1


async def test_a_kept_connection_that_was_closed_costs_no_retry() -> None:
    """The event is posted again at once, with the same id, on a connection of its own."""

    def script(number: int) -> bytes:
        return CLOSE if number == 1 else OK

    async with sink_to(script) as (sink, seen):
        for id_ in ("a", "b"):
            assert (await sink.hand_over(id_, BODY)).result is Result.DELIVERED
    assert [one.headers["webhook-id"] for one in seen.posted] == ["a", "b", "b"]
    assert [one.connection for one in seen.posted] == [0, 0, 1]


async def test_connections_are_kept_and_bounded() -> None:
    """Events one after the other share a connection, and many at once have no more than may be."""
    async with sink_to(always(OK), concurrency=3) as (sink, seen):
        for _ in range(3):
            await sink.hand_over("a", BODY)
        assert seen.connections == 1
        await asyncio.gather(*[sink.hand_over("a", BODY) for _ in range(20)])
    assert seen.most_open <= 3


async def test_an_attempt_that_is_given_up_leaves_no_connection() -> None:
    """A server that never answers loses its connection when the attempt ends."""
    async with sink_to(always([b""])) as (sink, seen):
        attempt = asyncio.create_task(sink.hand_over("a", BODY))
        await seen.settled(posted=1, open_now=1)
        attempt.cancel()
        with pytest.raises(asyncio.CancelledError):
            await attempt
        await seen.settled(posted=1, open_now=0)


async def test_nobody_listening_is_tried_again() -> None:
    """A port that nobody has is no answer."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/"
        async with opened(url) as sink:
            handed = await sink.hand_over("a", BODY)
    assert handed.result is Result.RETRY
    assert handed.words.startswith("no answer: nothing listens there")


async def test_proxies_of_the_environment_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a proxy that is handed in is used."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY")
    async with sink_to(always(OK)) as (sink, _):
        assert (await sink.hand_over("a", BODY)).result is Result.DELIVERED


async def test_a_proxy_gets_the_name_of_the_host() -> None:
    """Through a proxy the name is looked up there, and the proxy's password is not shown."""
    async with hooks(always(answer(502, "proxy-pass-9 is wrong"))) as proxy:
        address = proxy.url.partition("/pcc")[0].replace("http://", "http://us:proxy-pass-9@")
        async with opened("http://crm.test/x", proxy=address, ask=unknown) as sink:
            handed = await sink.hand_over("a", BODY)
    assert proxy.posted[0].head == "POST http://crm.test/x HTTP/1.1"
    assert handed.words == f"HTTP 502: {MASK} is wrong"


async def test_the_secrets_of_the_addresses_stay_masked_for_as_long_as_they_are_used() -> None:
    """Hours and events later the passwords of the address and of the proxy are masked as they were with the first."""
    clock = StandingClock()
    said = answer(403, "pass-word-7 or proxy-pass-9 is wrong")
    async with hooks(always(said)) as proxy:
        address = proxy.url.partition("/pcc")[0].replace("http://", "http://us:proxy-pass-9@")
        url = "http://user:pass-word-7@crm.test/x"
        async with opened(url, proxy=address, ask=unknown, clock=clock) as sink:
            for _ in range(3):
                handed = await sink.hand_over("a", BODY)
                assert handed.words == f"HTTP 403: {MASK} or {MASK} is wrong"
                clock.wait(hours=2)
    assert len(proxy.posted) == 3


def unknown(_host: str, _port: int) -> list[str]:
    """Know no host."""
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


async def test_a_host_that_nobody_knows_is_tried_again() -> None:
    """A name service that fails is no answer."""
    async with opened("http://crm.test/", ask=unknown) as sink:
        handed = await sink.hand_over("a", BODY)
    assert handed.result is Result.RETRY
    assert handed.words.startswith("no answer: the name of the host is not known")


async def test_an_address_that_does_not_answer_leads_to_the_next() -> None:
    """A host with a dead address is reached by another one."""

    def ask(_host: str, _port: int) -> list[str]:
        return ["127.0.0.77", "127.0.0.1"]

    async with hooks(always(OK), host="crm.test") as seen, opened(seen.url, ask=ask) as sink:
        assert (await sink.hand_over("a", BODY)).result is Result.DELIVERED
    assert seen.posted[0].headers["host"].startswith("crm.test:")


@pytest.mark.parametrize("said", [CLOSE, answer(503), answer(401)])
async def test_an_address_that_took_the_event_is_the_only_one(said: bytes) -> None:
    """Once a connection came about no other address gets the event too, however that ended."""

    def ask(_host: str, _port: int) -> list[str]:
        return ["127.0.0.1"] * 3

    async with (
        hooks(always(said), host="crm.test") as seen,
        opened(seen.url, ask=ask) as sink,
    ):
        assert (await sink.hand_over("a", BODY)).result is Result.RETRY
    assert len(seen.posted) == 1


async def test_a_name_that_was_known_stays_known_while_the_name_service_fails() -> None:
    """A name service that is down for a while stops nothing."""
    asked: list[str] = []

    def ask(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else unknown(host, port)

    async with hooks(always(OK), host="crm.test") as seen, opened(seen.url, ask=ask) as sink:
        for _ in range(3):
            await sink.hand_over("a", BODY)
        sink._host.doubt()
        assert (await sink.hand_over("a", BODY)).result is Result.DELIVERED
    assert asked == ["crm.test"] * 2


async def test_a_host_that_moved_is_found_at_the_next_attempt() -> None:
    """After a connection that did not come about the name is looked up again, and not when its answer is too old."""
    asked: list[str] = []

    def ask(host: str, _port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.77"] if len(asked) == 1 else ["127.0.0.1"]

    clock = StandingClock()
    async with (
        hooks(always(OK), host="crm.test") as seen,
        opened(seen.url, ask=ask, clock=clock) as sink,
    ):
        assert (await sink.hand_over("a", BODY)).result is Result.RETRY
        for _ in range(3):
            assert (await sink.hand_over("a", BODY)).result is Result.DELIVERED
        assert len(asked) == 2
        clock.wait(seconds=GOOD_FOR_SECONDS)
        assert (await sink.hand_over("a", BODY)).result is Result.DELIVERED
    assert len(asked) == 3


async def test_a_silent_name_service_holds_one_thread() -> None:
    """However many attempts wait for a name, it is asked for once, and the process could end."""
    asked: list[threading.Thread] = []
    silent = threading.Event()

    def ask(_host: str, _port: int) -> list[str]:
        asked.append(threading.current_thread())
        silent.wait(30)
        return ["127.0.0.1"]

    async with opened("http://crm.test/", ask=ask) as sink:
        for _ in range(3):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.02):
                    await sink.hand_over("a", BODY)
    silent.set()
    assert len(asked) == 1
    assert asked[0].daemon
    asked[0].join(10)


@pytest.mark.system
async def test_tls_is_verified_by_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A certificate that nobody vouches for, or of another host, gets no byte of an event."""
    tls, certificate = await asyncio.to_thread(_certificate, tmp_path, "crm.test")

    def ask(_host: str, _port: int) -> list[str]:
        return ["127.0.0.1"]

    async with hooks(always(OK), tls, host="crm.test") as seen:
        async with opened(seen.url, ask=ask) as sink:
            handed = await sink.hand_over("a", BODY)
            assert handed.words.startswith("no answer: its certificate is not accepted")
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        async with opened(seen.url, ask=ask) as sink:
            assert (await sink.hand_over("a", BODY)).result is Result.DELIVERED
        other = seen.url.replace("crm.test", "erp.test")
        async with opened(other, ask=ask) as sink:
            assert "ostname mismatch" in (await sink.hand_over("a", BODY)).words
    assert [json.loads(one.body)["id"] for one in seen.posted] == ["a"]


def _certificate(folder: Path, name: str) -> tuple[ssl.SSLContext, Path]:
    """Make a certificate for a name, with the system's own openssl."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    names = ["-days", "1", "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}"]
    command = ["openssl", "req", *kind, *names, "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)  # noqa: S603 - words of ours
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    return tls, certificate


@pytest.mark.parametrize(
    ("pair", "password"),
    [
        ("crm:pass-word-7", "pass-word-7"),
        ("crm:pass:word:7", "pass:word:7"),
        ("crm::pass-word", ":pass-word"),
        ("crm:pass-word:", "pass-word:"),
        (":pass-word-7", "pass-word-7"),
    ],
)
def test_a_password_is_masked_as_a_whole(pair: str, password: str) -> None:
    """It begins behind the first colon, whatever colons it has itself; pair and encoded form are secret, too."""
    encoded = base64.b64encode(pair.encode()).decode()
    assert secrets_of(f"Basic {encoded}") == {f"Basic {encoded}", encoded, pair, password}
