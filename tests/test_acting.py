"""Acting on the running daemon: who may, in what form, and what comes of it."""

from __future__ import annotations

from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from scenarios import command, eventually, eventually_true, fault, fleet, owned, site, text, write

from reconciler.errors import DaemonError
from reconciler.pcc.wire import CODES
from reconciler.remote.ask import ask
from reconciler.simulator import Route
from reconciler.simulator.faults import Error

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
        code, out, _ = await command(one, "pause", "--for", "2h", "--reason", "LG is being maintained")
        assert (code, out) == (0, "paused for 2h: default\n")
        write(one.file, text(owned(platform)))
        await one.passes(3)
        await one.stop()
        await one.start()
        await one.passes(3)
        assert len(one.live()) == 3

        async def shown() -> bool:
            account = (await one.get("/api/v1/status")).json()["accounts"][0]
            held = [held["message"] for held in account["held"]]
            return account["condition"] == "paused" and held == ["paused by command: LG is being maintained"]

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
        await one.http.post("/api/v1/pause", json={"for": "30m", "reason": "night"})
        write(one.file, text(owned(platform)))
        await eventually(lambda: one.told("pass.completed", condition="paused"))
        one.clock.go_ahead(timedelta(minutes=31))
        await one.has(owned(platform))


async def test_a_pause_of_unsubscribes_goes_on_subscribing(tmp_path: Path) -> None:
    """The lighter brake holds only what cannot be taken back."""
    platform = fleet(4)
    devices = owned(platform)
    write(tmp_path / "desired-state.toml", text(devices[:3]))
    async with site(tmp_path, platform) as one:
        await one.has(devices[:3])
        code, _, _ = await command(one, "pause", "default", "--for", "1h", "--reason", "audit", "--unsubscribes-only")
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
        ("/api/v1/pause", '{"for": "1h", "reason": "x", "acount": "default"}', {}, 400),
        ("/api/v1/pause", '{"for": "1h", "reason": "x", "account": "nobody"}', {}, 400),
        ("/api/v1/pause", "[", {}, 400),
        ("/api/v1/pause", "[" * 100_000, {}, 413),
        ("/api/v1/reconcile?account=defualt", "{}", {}, 400),
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
        answer = await one.http.post(path, content=content, headers={"content-type": "application/json", **headers})
        assert answer.status_code == status
        assert answer.json()["error"]
        assert (await one.http.get("/api/v1/pause")).status_code == 405
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
        assert one.daemon is not None
        surface = one.daemon._surface(one.daemon._parts)
        assert surface.acting is not None
        listen = one.daemon._settings.listen._replace(host="10.0.0.1")
        one.daemon._settings = one.daemon._settings.model_copy(update={"listen": listen})
        assert one.daemon._surface(one.daemon._parts).acting is None


def test_a_command_without_a_daemon_says_so() -> None:
    """Where nobody answers, the person hears where it was asked and what to look at."""
    with pytest.raises(DaemonError, match=r"no daemon answers at http://127\.0\.0\.1:9"):
        ask("http://127.0.0.1:9", "/api/v1/reconcile", {})
    with pytest.raises(DaemonError, match="not an http address"):
        ask("file:///etc/passwd", "/api/v1/reconcile", {})


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
        with pytest.raises(DaemonError, match="said no"):
            ask(f"http://127.0.0.1:{server.server_port}", "/api/v1/reconcile", {}, token=TOKEN)
        thread.join()
    assert seen == ["/api/v1/reconcile"]
