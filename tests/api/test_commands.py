"""Acting on the running daemon: who may, in what form, and what comes of it."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread, get_ident

import httpx
import pytest
from starlette.applications import Starlette
from starlette.types import ASGIApp, Message

from reconciler.api.app import create_app
from reconciler.api.client.connection import ask
from reconciler.api.commands import PROPOSALS, routes
from reconciler.core.errors import DaemonError, NoDaemon
from reconciler.pcc.codes import CODES
from reconciler.reporting import PlanReport
from reconciler.reporting.preview import Proposal, Proposed
from reconciler.runtime.access import SettingsPolicy
from reconciler.simulator import Route
from reconciler.simulator.faults import Error
from reconciler.telemetry.masking import Masking
from scenarios import (
    Site,
    command,
    eventually,
    eventually_true,
    fault,
    fleet,
    owned,
    site,
    text,
    write,
)
from surfaces import FakeOperations, FakePolicy, nothing_planned

TOKEN = "a-listen-token-of-some-length"


async def test_reconcile_makes_a_pass_now_and_forgets_what_waits(tmp_path: Path) -> None:
    """A device that LG refused is tried at once after a person's word, long before its hour is over."""
    platform = fleet(4)
    write(tmp_path / "desired-state.toml", text(owned(platform)))
    platform.set_faults(fault(Error(code="1214"), Route.SUBSCRIBE, count=1))
    async with site(tmp_path, platform, PCC_INTERVAL="1h", PCC_CONCURRENCY="1") as one:
        await eventually(lambda: len(one.live()) == 3)
        code, out, _ = await command(one, "reconcile")
        assert (code, out) == (0, "a pass begins for default\n")
        await one.has(owned(platform))


async def test_reconcile_lets_a_stopped_account_in_again(tmp_path: Path) -> None:
    """Once LG's refusal is mended on LG's side, nobody has to wait for the back-off."""
    platform = fleet(3)
    write(tmp_path / "desired-state.toml", text(owned(platform)))
    platform.set_faults(fault(Error(code="1304"), Route.LIST))
    async with site(tmp_path, platform) as one:
        await eventually(lambda: one.told("account.stopped"))
        assert CODES["1304"].hint in one.told("account.stopped")[0]["error"]
        platform.set_faults()
        await one.http.post("/api/v1/reconcile?account=default", json={})
        await one.has(owned(platform))


async def test_pause_stops_changes_until_resume_and_survives_a_restart(tmp_path: Path) -> None:
    """A brake by command holds changes everywhere it is shown, also after a restart, until it is taken off."""
    platform = fleet(4)
    write(tmp_path / "desired-state.toml", text(owned(platform)[:3]))
    async with site(tmp_path, platform, PCC_INTERVAL="1s") as one:
        await one.has(owned(platform)[:3])
        code, out, _ = await command(
            one, "pause", "--for", "2h", "--reason", "LG is being maintained"
        )
        assert (code, out) == (0, "paused for 2h: default\n")
        (pause,) = (await one.get("/api/v1/status")).json()["pauses"]
        assert re.fullmatch(r"\S+@\S+", pause["set_by"])
        write(one.file, text(owned(platform)))
        await one.passes(3)
        await one.stop()
        await one.start()
        await one.passes(3)
        assert len(one.live()) == 3

        async def shown() -> bool:
            account = (await one.get("/api/v1/status")).json()["accounts"][0]
            held = [held["message"] for held in account["held"]]
            return account["condition"] == "paused" and held == [
                "paused by command: LG is being maintained"
            ]

        await eventually_true(shown)
        code, out, _ = await command(one, "resume")
        assert (code, out) == (0, "no longer paused by command: default\n")
        await one.has(owned(platform))


async def test_pause_ends_by_itself(tmp_path: Path) -> None:
    """When its time is over a brake holds nothing any more, and nobody has to remember it."""
    platform = fleet(4)
    write(tmp_path / "desired-state.toml", text(owned(platform)[:3]))
    async with site(tmp_path, platform) as one:
        await one.has(owned(platform)[:3])
        answer = await one.http.post("/api/v1/pause", json={"for": "30m", "reason": "night"})
        assert answer.json() == {"api": 1, "accounts": ["default"]}
        write(one.file, text(owned(platform)))
        await eventually(lambda: one.told("pass.completed", condition="paused"))
        one.clock.go_ahead(timedelta(minutes=31))
        await one.has(owned(platform))


def office(site: Site) -> str:
    """Return a window that opens in six hours, every day for an hour."""
    begins = site.clock.now() + timedelta(hours=6)
    ends = begins + timedelta(hours=1)
    return (
        'timezone = "UTC"\n'
        f'windows = [{{ name = "office", kind = "allow", from = "{begins:%H:%M}", to = "{ends:%H:%M}" }}]'
    )


async def test_a_window_holds_until_it_opens_and_a_command_opens_it(tmp_path: Path) -> None:
    """What waits for a window is shown everywhere; a person opens it, closes it again, and then it opens in time."""
    platform = fleet(6)
    write(tmp_path / "desired-state.toml", text(owned(platform)[:2]))
    async with site(tmp_path, platform, PCC_INTERVAL="1s") as one:
        await one.has(owned(platform)[:2])
        window = office(one)
        write(one.file, text(owned(platform)[:4], window))
        await eventually(lambda: one.told("pass.completed", held=2))
        status = (await one.get("/api/v1/status")).json()
        (shown,) = status["windows"]
        assert (shown["name"], shown["active"], shown["opened_until"]) == ("office", False, None)
        assert shown["words"].startswith("allow window for all changes, closed; opens ")
        assert status["accounts"][0]["held"][0]["reason"] == "window"
        code, out, _ = await command(one, "status")
        assert "window office: allow window for all changes, closed; opens" in " ".join(out.split())
        assert "allow window for all changes, closed" in (await one.get("/")).text
        code, out, _ = await command(one, "open", "office", "--for", "1h", "--reason", "oven")
        assert code == 0
        assert re.fullmatch(r"office is open until [\d-]{10} [\d:]{8} UTC: default\n", out)
        await one.has(owned(platform)[:4])
        (shown,) = (await one.get("/api/v1/status")).json()["windows"]
        assert shown["opened_reason"] == "oven"
        assert shown["words"].startswith("allow window for all changes, open by command; opened ")
        await one.stop()
        await one.start()
        code, out, _ = await command(one, "close", "office")
        assert (code, out) == (0, "office is no longer open by command: default\n")
        write(one.file, text(owned(platform), window))
        await eventually(lambda: one.told("pass.completed", held=2))
        assert len(one.live()) == 4
        (opened,) = (await one.get("/api/v1/history")).json()["openings"]
        assert (opened["window"], opened["ended_by"], opened["reason"]) == (
            "office",
            "closed",
            "oven",
        )
        code, out, _ = await command(one, "history")
        assert "window office: opened by" in out
        one.clock.go_ahead(timedelta(hours=6, minutes=1))
        await one.has(owned(platform))


async def test_an_edit_of_a_window_closes_what_a_command_opened(tmp_path: Path) -> None:
    """The opening is for the window as it was; its end is logged and kept."""
    platform = fleet(4)
    write(tmp_path / "desired-state.toml", text(owned(platform)[:2]))
    async with site(tmp_path, platform) as one:
        await one.has(owned(platform)[:2])
        window = office(one)
        write(one.file, text(owned(platform)[:2], window))
        await eventually(lambda: len(one.told("desired.accepted")) > 1)
        body = {"window": "office", "for": "1h", "reason": "oven"}
        answer = (await one.http.post("/api/v1/open", json=body)).json()
        assert answer["accounts"] == ["default"]
        edited = window.replace('kind = "allow"', 'kind = "allow", reason = "new"')
        write(one.file, text(owned(platform), edited))
        await eventually(lambda: one.told("window.closed", window="office", ended_by="edited"))
        await eventually(lambda: one.told("pass.completed", held=2))
        assert len(one.live()) == 2


@pytest.mark.parametrize(
    ("call", "body", "status", "said"),
    [
        ("open", {"window": "offices", "for": "1h", "reason": "r"}, 404, "did you mean 'office'?"),
        ("open", {"window": "freeze", "for": "1h", "reason": "r"}, 400, "is a deny window"),
        ("open", {"window": "office", "for": "1h"}, 400, "with an end and a reason"),
        ("open", {"window": "office", "reason": "r"}, 400, "with an end and a reason"),
        ("open", {"window": "office", "for": "1h", "reason": "r" * 1001}, 400, "longer than"),
        ("open", {"for": "1h", "reason": "r"}, 400, "does not fit"),
        ("close", {"window": "office"}, 400, "no command opened window office"),
        ("close", {"window": "offices"}, 404, "there is no window"),
        ("close", {"window": "office", "for": "1h"}, 400, "does not fit"),
    ],
)
async def test_what_cannot_be_opened_or_closed_says_why(
    tmp_path: Path, call: str, body: dict[str, str], status: int, said: str
) -> None:
    """A window that is not known, or that no command opens, is refused in a sentence."""
    platform = fleet(2)
    lines = (
        'windows = [{ name = "office", kind = "allow", from = 2026-01-01T00:00:00Z }, '
        '{ name = "freeze", kind = "deny", from = 2126-01-01T00:00:00Z }]'
    )
    write(tmp_path / "desired-state.toml", text(owned(platform), lines))
    async with site(tmp_path, platform) as one:
        await one.has(owned(platform))
        answer = await one.http.post(f"/api/v1/{call}", json=body)
        assert answer.status_code == status
        assert said in answer.json()["error"]


async def test_a_pause_of_unsubscribes_goes_on_subscribing(tmp_path: Path) -> None:
    """The lighter brake holds only what cannot be taken back."""
    platform = fleet(4)
    devices = owned(platform)
    write(tmp_path / "desired-state.toml", text(devices[:3]))
    async with site(tmp_path, platform) as one:
        await one.has(devices[:3])
        code, _, _ = await command(
            one, "pause", "default", "--for", "1h", "--reason", "audit", "--unsubscribes-only"
        )
        assert code == 0
        write(one.file, text(devices[1:]))
        await one.has(devices)


@pytest.mark.parametrize(
    ("path", "content", "headers", "status"),
    [
        ("/api/v1/pause", '{"for": "1h", "reason": "x"}', {"content-type": "text/plain"}, 415),
        ("/api/v1/pause", '{"for": "1h", "reason": "x"}', {"host": "evil.example"}, 403),
        ("/api/v1/pause", '{"for": "1h"}', {}, 400),
        ("/api/v1/pause", '{"for": "for ever", "reason": "x"}', {}, 400),
        ("/api/v1/pause", '{"for": "0s", "reason": "x"}', {}, 400),
        ("/api/v1/pause", '{"for": "1h", "reason": "x", "acount": "default"}', {}, 400),
        ("/api/v1/pause", '{"for": "1h", "reason": "x", "account": "nobody"}', {}, 404),
        ("/api/v1/pause", "[", {}, 400),
        ("/api/v1/pause", "[" * 100_000, {}, 413),
        ("/api/v1/reconcile?account=defualt", "{}", {}, 404),
        ("/api/v1/reconcile?acount=default", "{}", {}, 400),
        ("/api/v1/pause?account=default", '{"for": "1h", "reason": "x"}', {}, 400),
        ("/api/v1/reconcile", "{}", {"content-type": "application/x-www-form-urlencoded"}, 415),
    ],
)
async def test_what_does_not_fit_is_refused_and_nothing_happens(
    tmp_path: Path, path: str, content: str, headers: dict[str, str], status: int
) -> None:
    """A call in the wrong form, for a wrong host or account, is refused with a reason."""
    platform = fleet(2)
    write(tmp_path / "desired-state.toml", text(owned(platform)))
    async with site(tmp_path, platform) as one:
        await one.has(owned(platform))
        answer = await one.http.post(
            path, content=content, headers={"content-type": "application/json", **headers}
        )
        assert answer.status_code == status
        assert answer.json()["error"]
        for nowhere, code in {"/api/v1/pause": 405, "/api/v1/": 404, "/api/v2/status": 404}.items():
            answer = await one.http.get(nowhere)
            assert (answer.status_code, list(answer.json())) == (code, ["error"])
        assert not one.told("pause.set")


async def test_a_listen_token_has_to_be_shown(tmp_path: Path) -> None:
    """With a token set, calls that act are answered only to who shows it, and the command shows it by itself."""
    platform = fleet(2)
    write(tmp_path / "desired-state.toml", text(owned(platform)))
    async with site(tmp_path, platform, PCC_LISTEN_TOKEN=TOKEN) as one:
        await one.has(owned(platform))
        body = {"for": "1h", "reason": "x"}
        assert (await one.http.post("/api/v1/pause", json=body)).status_code == 401
        wrong = {"authorization": "Bearer another-token"}
        assert (await one.http.post("/api/v1/pause", json=body, headers=wrong)).status_code == 401
        assert not one.told("pause.set")
        assert (await one.get("/api/v1/status")).status_code == 200
        code, _, _ = await command(one, "pause", "--for", "1h", "--reason", "x")
        assert code == 0


async def test_without_token_and_off_loopback_nobody_can_act(tmp_path: Path) -> None:
    """Bound to all addresses without a token, the calls that act do not exist; what only shows does."""
    platform = fleet(2)
    write(tmp_path / "desired-state.toml", text(owned(platform)))
    async with site(tmp_path, platform) as one:
        surface, chosen = one.process.surface(), one.process.components.settings
        assert surface.policy.acting_allowed
        elsewhere = chosen.model_copy(update={"listen": chosen.listen._replace(host="10.0.0.1")})
        surface = replace(surface, policy=SettingsPolicy(elsewhere, Masking(), one.clock))
        assert not surface.policy.acting_allowed
        transport = httpx.ASGITransport(create_app(surface))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            for path in ("/api/v1/reconcile", "/api/v1/pause", "/api/v1/plan"):
                answer = await client.post(path, json={})
                assert (answer.status_code, "PCC_LISTEN_TOKEN" in answer.json()["error"]) == (
                    404,
                    True,
                )
            assert (await client.get("/api/v1/status")).status_code == 200


async def test_a_token_that_cannot_be_read_lets_nobody_in_and_tells_nobody_where(
    tmp_path: Path,
) -> None:
    """While the token's file is gone, whoever calls hears which setting it is about, and no path of the server."""
    platform = fleet(2)
    file = tmp_path / "secret-place" / "token"
    write(file, TOKEN)
    write(tmp_path / "desired-state.toml", text(owned(platform)))
    async with site(tmp_path, platform, PCC_LISTEN_TOKEN_FILE=str(file)) as one:
        await one.has(owned(platform))
        bearer = {"authorization": f"Bearer {TOKEN}"}
        assert (
            await one.http.post("/api/v1/reconcile", json={}, headers=bearer)
        ).status_code == 200
        file.unlink()
        answer = await one.http.post("/api/v1/reconcile", json={}, headers=bearer)
        assert answer.status_code == 503
        assert "PCC_LISTEN_TOKEN" in answer.json()["error"]
        assert "secret-place" not in answer.text


class Called:
    """One request to the calls that act, by hand: its body comes when the test says so."""

    def __init__(self, app: ASGIApp, path: str = "/api/v1/plan") -> None:
        self.asked = asyncio.Event()
        self.pieces: asyncio.Queue[Message] = asyncio.Queue()
        self.sent: list[Message] = []
        headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
        self._scope = {
            "type": "http",
            "method": "POST",
            "path": path,
            "headers": headers,
            "query_string": b"",
        }
        self.task = asyncio.create_task(self._run(app))

    async def _run(self, app: ASGIApp) -> None:
        async def receive() -> Message:
            self.asked.set()
            return await self.pieces.get()

        async def send(message: Message) -> None:
            self.sent.append(message)

        await app(self._scope, receive, send)

    def give(self, body: bytes, *, more: bool = False) -> None:
        """Send a piece of the body."""
        self.pieces.put_nowait({"type": "http.request", "body": body, "more_body": more})

    async def status(self) -> int:
        """Return the status of the answer."""
        await self.task
        return int(self.sent[0]["status"])


def acting_app(plan: Callable[[Proposal], Awaitable[Proposed]], **how: float) -> ASGIApp:
    """Return an app that plans so, and does nothing else."""
    return Starlette(routes=routes(FakeOperations(plan), FakePolicy(), **how))


PROPOSAL = b'{"documents": [], "files": {}}'


async def test_a_body_that_never_comes_is_not_waited_for() -> None:
    """Whoever begins a call and falls silent is told so in the end; what was sent is let go."""
    one = Called(acting_app(nothing_planned, patience=0.01))
    one.give(PROPOSAL[:9], more=True)
    assert await one.status() == 408


async def test_a_caller_that_leaves_in_the_middle_is_no_error() -> None:
    """A lost connection ends its call, and nothing else comes of it."""
    one = Called(acting_app(nothing_planned))
    one.give(PROPOSAL[:9], more=True)
    one.pieces.put_nowait({"type": "http.disconnect"})
    await one.task


async def test_of_many_proposals_few_are_in_memory() -> None:
    """They may be large, so the body of one is not read before those ahead of it are planned; each has its turn."""
    app = acting_app(nothing_planned)
    calls = [Called(app) for _ in range(PROPOSALS + 3)]
    for _ in range(20):
        await asyncio.sleep(0)
    assert [one.asked.is_set() for one in calls] == [True] * PROPOSALS + [False] * 3
    for one in calls:
        one.give(PROPOSAL)
    assert [await one.status() for one in calls] == [200] * len(calls)


@pytest.mark.parametrize("leaves", [True, False])
async def test_a_plan_ends_with_its_time_or_its_caller(*, leaves: bool) -> None:
    """What nobody waits for any more is ended, and the next proposal has its turn."""
    ended = asyncio.Event()

    async def endless(_proposal: Proposal) -> Proposed:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return Proposed((), ())

    app = acting_app(endless, planning=60.0 if leaves else 0.01)
    for _ in range(PROPOSALS + 1):
        ended.clear()
        one = Called(app)
        one.give(PROPOSAL)
        if leaves:
            one.pieces.put_nowait({"type": "http.disconnect"})
            await one.task
        else:
            assert await one.status() == 503
        await ended.wait()


async def test_a_server_that_always_has_an_answer_does_not_stop_a_plan() -> None:
    """While a proposal is planned, a server that says the same again at once keeps nothing from going on."""
    plan_began = asyncio.Event()

    async def plan(_proposal: Proposal) -> Proposed:
        plan_began.set()
        await asyncio.sleep(0)
        return Proposed((), ())

    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": PROPOSAL, "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    one = Called(acting_app(plan))
    one.give(b"")
    await one.task
    await acting_app(plan)(one._scope, receive, send)
    assert plan_began.is_set()
    assert sent[0]["status"] == 200


async def test_what_a_large_plan_takes_is_done_beside_the_event_loop() -> None:
    """Reading a proposal and writing out its plan may take seconds, in which passes go on."""
    threads = set[int]()

    class Reports(tuple[PlanReport, ...]):
        """Reports that know who looks at them."""

        __slots__ = ()

        def __iter__(self) -> Iterator[PlanReport]:
            threads.add(get_ident())
            return super().__iter__()

    async def plan(_proposal: Proposal) -> Proposed:
        return Proposed(Reports(), ())

    one = Called(acting_app(plan))
    one.give(b'{"documents": [], "files": {}, "show": "markdown"}')
    assert await one.status() == 200
    assert threads
    assert get_ident() not in threads


def test_a_command_without_a_daemon_says_so() -> None:
    """Where nobody answers, the person hears where it was asked and what to look at."""
    with pytest.raises(DaemonError, match=r"no daemon answers at http://127\.0\.0\.1:9"):
        ask("http://127.0.0.1:9", "/api/v1/reconcile", {})
    with pytest.raises(DaemonError, match="not an http address"):
        ask("file:///etc/passwd", "/api/v1/reconcile", {})


@pytest.mark.parametrize(
    "said",
    [
        b"SSH-2.0-somebody-else\r\n",
        b'HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{"accou',
        b'HTTP/1.1 500 Error\r\ncontent-length: 99\r\n\r\n{"err',
    ],
)
def test_an_answer_that_breaks_off_is_none(said: bytes) -> None:
    """A daemon that ends in the middle of its answer, or somebody else on its port, is as good as nobody there."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            with listener.accept()[0] as connection:
                connection.recv(65536)
                connection.sendall(said)

        thread = Thread(target=answer)
        thread.start()
        with pytest.raises(NoDaemon, match=r"no daemon answers|does not answer"):
            ask(f"http://127.0.0.1:{listener.getsockname()[1]}", "/api/v1/status")
        thread.join()


@pytest.mark.parametrize("server", ["http://[::1", "http://a b:8080"])
def test_an_address_that_is_none_is_told(server: str) -> None:
    """A mistyped address is an error in words, not a traceback."""
    with pytest.raises(DaemonError, match="--server"):
        ask(server, "/api/v1/status")


async def test_a_refusal_is_told_in_the_daemons_words(tmp_path: Path) -> None:
    """A mistyped account comes back with the nearest name, and exit code 1."""
    platform = fleet(2)
    write(tmp_path / "desired-state.toml", text(owned(platform)))
    async with site(tmp_path, platform) as one:
        await one.has(owned(platform))
        code, out, err = await command(one, "reconcile", "defualt")
        assert (code, out) == (1, "")
        assert "there is no account 'defualt'; did you mean 'default'?" in err


def test_a_token_is_never_sent_in_the_clear_or_elsewhere() -> None:
    """Over plain http off loopback the token stays here, and a redirect is not followed with it."""
    with pytest.raises(DaemonError, match="not https"):
        ask("http://daemon.invalid:8080", "/api/v1/reconcile", {}, token=TOKEN)
    seen: list[str] = []

    class Elsewhere(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            seen.append(self.path)
            self.send_response(302)
            self.send_header("location", f"http://127.0.0.1:{self.server.server_port}/elsewhere")  # type: ignore[attr-defined]  # HTTPServer's
            self.end_headers()

        do_GET = do_POST  # noqa: N815 - a name of the library

        def log_message(self, *_arguments: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Elsewhere) as server:
        thread = Thread(target=server.handle_request)
        thread.start()
        with pytest.raises(DaemonError, match="is a redirect"):
            ask(f"http://127.0.0.1:{server.server_port}", "/api/v1/reconcile", {}, token=TOKEN)
        thread.join()
    assert seen == ["/api/v1/reconcile"]


EMPTY = ["", " ", "\t", "\u3000"]
JSON = {"content-type": "application/json"}


@pytest.mark.parametrize("name", [*EMPTY, None])
async def test_an_account_that_is_empty_never_means_every_account(
    tmp_path: Path, name: str | None
) -> None:
    """A name from a variable that is not set takes off no pause, makes none, and begins no pass."""
    platform = fleet(2)
    write(tmp_path / "desired-state.toml", text(owned(platform)))
    async with site(tmp_path, platform) as one:
        await one.has(owned(platform))
        await one.http.post("/api/v1/pause", json={"for": "1h", "reason": "night"})
        told = len(one.told("pause.set"))
        for body in (
            {"pause": "none", "account": name},
            {"for": "2h", "reason": "x", "account": name},
        ):
            answer = await one.http.post("/api/v1/pause", json=body)
            assert (answer.status_code, "account is empty" in answer.json()["error"]) == (400, True)
        answer = await one.http.post("/api/v1/reconcile", params={"account": name or ""}, json={})
        assert (answer.status_code, "account is empty" in answer.json()["error"]) == (400, True)
        pauses = (await one.get("/api/v1/status")).json()["pauses"]
        assert ([each["reason"] for each in pauses], len(one.told("pause.set"))) == (
            ["night"],
            told,
        )


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/v1/reconcile", '{"account": "default"}'),
        ("/api/v1/reconcile", '{"acount": "default"}'),
        ("/api/v1/reconcile", '"default"'),
        ("/api/v1/reconcile", "account=default"),
        ("/api/v1/reconcile?account=default&account=", "{}"),
        ("/api/v1/reconcile?account=default&account=default", "{}"),
        ("/api/v1/pause", '{"for": "1h", "reason": null}'),
        ("/api/v1/pause", '{"pause": null, "for": "1h", "reason": "x"}'),
        ("/api/v1/pause", '{"for": "1h", "reason": " "}'),
        ("/api/v1/plan", '{"documents": [], "files": {}, "accounts": null}'),
        ("/api/v1/plan", '{"documents": [], "files": {}, "account": "default"}'),
    ],
)
async def test_a_call_that_names_an_account_in_the_wrong_place_is_for_none(
    tmp_path: Path, path: str, body: str
) -> None:
    """What is not read must not be sent: the call would be for every account."""
    platform = fleet(2)
    write(tmp_path / "desired-state.toml", text(owned(platform)))
    async with site(tmp_path, platform) as one:
        await one.has(owned(platform))
        answer = await one.http.post(path, content=body, headers=JSON)
        assert (answer.status_code, list(answer.json())) == (400, ["error"])
        assert not one.told("pause.set")


PROXIES = [
    {"forwarded": "for=192.0.2.1"},
    {"x-forwarded-for": "192.0.2.1"},
    {"x-forwarded-host": "pcc.example"},
    {"x-forwarded-proto": "https"},
    {"x-forwarded-anything": "x"},
    {"X_Forwarded_For": "192.0.2.1"},
    {"client-ip": "192.0.2.1"},
    {"forwarded-for": "192.0.2.1"},
    {"x-real-ip": "192.0.2.1"},
    {"via": "1.1 proxy"},
    {"x-client-ip": "192.0.2.1"},
    {"cf-connecting-ip": "192.0.2.1"},
    {"x-original-url": "/"},
    {"x-envoy-external-address": "192.0.2.1"},
    {"origin": "https://pcc.example"},
    {"origin": "http://127.0.0.1:1"},
    {"origin": "null"},
    {"sec-fetch-site": "cross-site"},
]


@pytest.mark.parametrize("headers", PROXIES, ids=str)
@pytest.mark.parametrize("path", ["/api/v1/reconcile", "/api/v1/pause", "/api/v1/plan"])
async def test_without_a_token_a_proxy_on_this_machine_cannot_act(
    headers: dict[str, str], path: str
) -> None:
    """What was passed on from elsewhere is refused, with what to do, and nothing comes of it."""
    operations = FakeOperations()
    app = Starlette(routes=routes(operations, FakePolicy()))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as client:
        answer = await client.post(path, json={}, headers=headers)
    assert answer.status_code == 403
    assert "PCC_LISTEN_TOKEN" in answer.json()["error"]
    assert not operations.done


async def test_with_a_token_a_proxy_may_stand_between() -> None:
    """Who shows the token may act, whichever way the call came."""
    app = Starlette(routes=routes(FakeOperations(), FakePolicy(TOKEN)))
    headers = {
        "authorization": f"Bearer {TOKEN}",
        **{key: value for one in PROXIES for key, value in one.items()},
    }
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="https://pcc.example") as client:
        assert (await client.post("/api/v1/reconcile", json={}, headers=headers)).status_code == 200


async def test_a_page_of_the_daemons_own_origin_may_act() -> None:
    """A browser names the origin also where the page is the daemon's own."""
    app = Starlette(routes=routes(FakeOperations(), FakePolicy()))
    headers = {"origin": "http://localhost:8080", "sec-fetch-site": "same-origin"}
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost:8080") as client:
        assert (await client.post("/api/v1/reconcile", json={}, headers=headers)).status_code == 200


async def test_http_1_0_cannot_act_without_a_token(tmp_path: Path) -> None:
    """A proxy that adds no header still speaks the old protocol by default, and is refused by that."""
    platform = fleet(2)
    write(tmp_path / "desired-state.toml", text(owned(platform)))
    async with site(tmp_path, platform) as one:
        await one.has(owned(platform))
        reader, writer = await asyncio.open_connection("127.0.0.1", one.http.base_url.port)
        body = b'{"for": "1h", "reason": "x"}'
        head = (
            "POST /api/v1/pause HTTP/1.0\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
        )
        writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        said = await reader.read()
        writer.close()
        assert b" 403 " in said.partition(b"\r\n")[0]
        assert not one.told("pause.set")


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/history?account=",
        "/api/v1/history?device=",
        "/api/v1/history?since=",
        "/api/v1/history?account=default&account=",
        "/api/v1/devices?device=",
        "/api/v1/devices?device=%20",
        "/api/v1/devices?device=12345678&account=",
    ],
)
async def test_an_empty_filter_is_refused(tmp_path: Path, path: str) -> None:
    """A filter from a variable that is not set is no filter, and the answer would be for everything."""
    platform = fleet(2)
    write(tmp_path / "desired-state.toml", text(owned(platform)))
    async with site(tmp_path, platform) as one:
        await one.has(owned(platform))
        answer = await one.get(path)
        assert (answer.status_code, list(answer.json())) == (400, ["error"])


async def test_what_a_caller_says_is_repeated_only_in_part(tmp_path: Path) -> None:
    """A reason is shown everywhere and a name in each refusal, so neither may be as long as a body."""
    platform = fleet(2)
    write(tmp_path / "desired-state.toml", text(owned(platform)))
    async with site(tmp_path, platform) as one:
        await one.has(owned(platform))
        long = "x" * 50_000
        for body, status in (
            ({"for": "1h", "reason": long}, 400),
            ({"for": "1h", "reason": "x", "account": long}, 404),
            ({"for": "1h", "reason": "x", long: 1}, 400),
        ):
            answer = await one.http.post("/api/v1/pause", json=body)
            assert (answer.status_code, len(answer.text) < 1000) == (status, True)
        assert not one.told("pause.set")
