"""A forge: a small HTTP server that keeps comments and statuses as GitHub's and GitLab's APIs do."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

TOKEN = "ghs_made_up_token_of_a_job"
BOT = "github-actions[bot]"
LONGEST = 65_536
"""Characters of a body at GitHub; a longer one is 422."""
MOST_A_PAGE = 100
DEFAULT_A_PAGE = 30

Reply = tuple[int, Any, dict[str, str]]


@dataclass
class Forge:
    """One pull request, 7, with comments, and the statuses of commits. ``failures`` are answered first."""

    url: str = ""
    comments: list[dict[str, Any]] = field(default_factory=list)
    statuses: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    head: str = "c0ffee"
    may_write: bool = True
    failures: list[Reply] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)

    def say(self, author: str, body: str) -> None:
        """Let somebody comment."""
        number = len(self.comments) + 1000
        user = {"login": author, "username": author}
        self.comments.append({"id": number, "user": user, "author": user, "body": body})

    def bodies(self, author: str = BOT) -> list[str]:
        """Return what one author's comments say."""
        return [one["body"] for one in self.comments if one["user"]["login"] == author]

    def answer(self, method: str, target: str, token: str, body: dict[str, str]) -> Reply:
        """Answer one call, whichever forge's it is."""
        self.calls.append(f"{method} {target}")
        if self.failures:
            return self.failures.pop(0)
        if token != TOKEN:
            return 401, {"message": "Bad credentials"}, {}
        if method != "GET" and not self.may_write:
            return 403, {"message": "Resource not accessible by integration"}, {}
        if len(body.get("body", "")) > LONGEST:
            return 422, {"message": "Validation Failed: body is too long"}, {}
        parts = urlsplit(target)
        for pattern, act in self._table():
            found = re.fullmatch(pattern, f"{method} {parts.path}")
            if found is not None:
                return act(self, parts.query, body, *found.groups())
        return 404, {"message": "Not Found"}, {}

    def _table(self) -> tuple[tuple[str, Callable[..., Reply]], ...]:
        github, gitlab = r"/repos/us/fleet", r"/api/v4/projects/42"
        request = rf"{gitlab}/merge_requests/7"
        return (
            (rf"GET {github}/issues/7/comments", Forge._page),
            (rf"POST {github}/issues/7/comments", Forge._create),
            (rf"PATCH {github}/issues/comments/(\d+)", Forge._update),
            (rf"GET {github}/pulls/7", Forge._pull),
            (rf"POST {github}/statuses/(\w+)", Forge._status),
            (r"GET /api/v4/user", Forge._user),
            (rf"GET {request}/notes", Forge._page),
            (rf"POST {request}/notes", Forge._create),
            (rf"PUT {request}/notes/(\d+)", Forge._update),
            (rf"GET {request}", Forge._pull),
            (rf"POST {gitlab}/statuses/(\w+)", Forge._status),
        )

    def _page(self, query: str, _body: dict[str, str]) -> Reply:
        asked = {name: values[0] for name, values in parse_qs(query).items()}
        size = min(int(asked.get("per_page", DEFAULT_A_PAGE)), MOST_A_PAGE)
        page = int(asked.get("page", "1"))
        shown = self.comments[(page - 1) * size : page * size]
        headers = {}
        if page * size < len(self.comments):
            path = self.calls[-1].split()[1].partition("?")[0]
            address = f"{self.url}{path}?per_page={size}"
            headers["link"] = (
                f'<{address}&page=1>; rel="first", <{address}&page={page + 1}>; rel="next"'
            )
        return 200, shown, headers

    def _create(self, _query: str, body: dict[str, str]) -> Reply:
        self.say(BOT, body["body"])
        return 201, self.comments[-1], {}

    def _update(self, _query: str, body: dict[str, str], number: str) -> Reply:
        for one in self.comments:
            if one["id"] == int(number):
                one["body"] = body["body"]
                return 200, one, {}
        return 404, {"message": "Not Found"}, {}

    def _pull(self, _query: str, _body: dict[str, str]) -> Reply:
        return 200, {"head": {"sha": self.head}, "sha": self.head}, {}

    def _status(self, _query: str, body: dict[str, str], commit: str) -> Reply:
        self.statuses.append((commit, body))
        return 201, {}, {}

    def _user(self, _query: str, _body: dict[str, str]) -> Reply:
        return 200, {"username": BOT}, {}


@contextmanager
def forge() -> Iterator[Forge]:
    """Serve a forge."""
    one = Forge()

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            body = json.loads(self.rfile.read(length) or b"{}")
            bearer = (self.headers.get("authorization") or "").removeprefix("Bearer ")
            token = bearer or self.headers.get("private-token") or ""
            status, document, headers = one.answer(self.command, self.path, token, body)
            data = json.dumps(document).encode()
            self.send_response(status)
            for name, value in {**headers, "content-length": str(len(data))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PATCH = do_PUT = answer  # noqa: N815 - the server's names

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    running.start()
    one.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield one
    finally:
        server.shutdown()
        running.join()
        server.server_close()
