"""How commands ask the daemon: through which proxy, and what they make of somebody else's answer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from reconciler.api.client.connection import ask
from reconciler.core.errors import DaemonError, NoDaemon, SomebodyElse


@dataclass
class Somebody:
    """Answers every GET with the same words. ``asked`` are the addresses that came, as they came."""

    status: int = 200
    words: bytes = b'{"good": true}'
    kind: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        """Return where it answers."""
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def answering(somebody: Somebody) -> Iterator[Somebody]:
    """Let somebody answer on loopback."""

    class Handler(BaseHTTPRequestHandler):
        """Says always the same."""

        def do_GET(self) -> None:
            """Answer."""
            somebody.asked.append(self.path)
            self.send_response(somebody.status)
            for name, value in (("content-type", somebody.kind), *somebody.headers.items()):
                self.send_header(name, value)
            self.send_header("content-length", str(len(somebody.words)))
            self.end_headers()
            self.wfile.write(somebody.words)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        somebody.port = server.server_address[1]
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield somebody
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"])
def test_the_daemon_is_asked_through_the_proxy(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same variables count as for calls to LG, also without a scheme; loopback is asked directly."""
    monkeypatch.delenv("NO_PROXY")
    with answering(Somebody()) as proxy, answering(Somebody()) as daemon:
        environ = {name: f"127.0.0.1:{proxy.port}"}
        assert ask("http://pcc.example.invalid", "/x", environ=environ) == {"good": True}
        assert ask(daemon.url, "/y", environ=environ) == {"good": True}
    assert proxy.asked == ["http://pcc.example.invalid/x"]
    assert daemon.asked == ["/y"]


def test_a_proxy_that_cannot_be_used_is_not_passed_by() -> None:
    """The token would go around it; the variable is named."""
    with pytest.raises(DaemonError, match=r"^ALL_PROXY: socks5:// proxies cannot be used"):
        ask(
            "https://pcc.example.invalid",
            "/x",
            token="sesame-open",
            environ={"ALL_PROXY": "socks5://proxy"},
        )


@pytest.mark.parametrize(
    ("somebody", "words"),
    [
        (Somebody(words=b"<html>Sign in</html>", kind="text/html; charset=utf-8"), "is a page"),
        (Somebody(words=b"ok", kind="text/plain"), "is a page"),
        (Somebody(words=b"[]"), "is not this daemon"),
        (
            Somebody(
                302, b"", headers={"location": "https://me:word@login.example.com/?state=abc"}
            ),
            "login.example.com",
        ),
        (Somebody(307, b"", headers={"location": "/login"}), "is a redirect"),
        (Somebody(308, b"", headers={"location": "http://[broken"}), "is a redirect"),
        (Somebody(401, b"<html>Sign in</html>", kind="text/html"), "asks for a login"),
        (Somebody(403, b"", headers={"server": "gate"}), "asks for a login"),
        (Somebody(404, b"default backend", kind="text/plain"), "has no such page"),
        (Somebody(405, b"", headers={"allow": "GET"}), "has no such page"),
    ],
)
def test_somebody_else_is_told_from_a_daemon_that_is_away(somebody: Somebody, words: str) -> None:
    """A login page, a redirect or a bare refusal will be there the next time too, so nobody has to wait for it."""
    with answering(somebody), pytest.raises(SomebodyElse, match=words) as caught:
        ask(somebody.url, "/x")
    assert "word@" not in str(caught.value)
    assert "state=" not in str(caught.value)


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_gateway_without_a_daemon_behind_it_is_asked_again(status: int) -> None:
    """While the daemon starts again, what stands before it answers in its place."""
    with (
        answering(Somebody(status, b"<html>", kind="text/html")) as somebody,
        pytest.raises(NoDaemon) as caught,
    ):
        ask(somebody.url, "/x")
    assert not isinstance(caught.value, SomebodyElse)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(status: int) -> None:
    """The token is for this address only, whatever kind of redirect answers there."""
    with (
        answering(Somebody()) as elsewhere,
        answering(Somebody(status, b"", headers={"location": elsewhere.url})) as somebody,
        pytest.raises(SomebodyElse, match=r"is a redirect to 127\.0\.0\.1"),
    ):
        ask(somebody.url, "/x", token="sesame-open")
    assert elsewhere.asked == []


@pytest.mark.parametrize(
    ("server", "token", "readable", "is_asked"),
    [
        ("http://pcc.example.invalid", None, False, True),
        ("http://pcc.example.invalid", "sesame-open", False, False),
        ("http://pcc.example.invalid", "sesame-open", True, True),
        ("http://pcc.example.invalid", None, True, True),
        ("http://127.0.0.2", "sesame-open", False, False),
        ("http://user@pcc.example.invalid", None, True, False),
        ("http://:word@pcc.example.invalid", "sesame-open", True, False),
        ("ftp://pcc.example.invalid", None, True, False),
    ],
)
def test_where_a_token_may_go_without_tls(
    monkeypatch: pytest.MonkeyPatch,
    server: str,
    token: str | None,
    readable: bool,  # noqa: FBT001 - a parameter of the test
    is_asked: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """Only to a receiver inside a cluster, which is asked so on purpose; no address has a password of its own."""
    monkeypatch.delenv("NO_PROXY")
    with answering(Somebody()) as proxy:
        environ = {"http_proxy": proxy.url}
        if is_asked:
            ask(server, "/x", token=token, readable=readable, environ=environ)
        else:
            with pytest.raises(DaemonError):
                ask(server, "/x", token=token, readable=readable, environ=environ)
    assert proxy.asked == ([f"{server}/x"] if is_asked else [])
