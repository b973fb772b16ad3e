"""A receiver as the daemon sees it: a small HTTP server with the pages of ``/api/v1/seen``."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

PAGE = 1000
MOST_SENT = 64 * 1024 * 1024
"""Bytes after which an answer without an end does end, so that no test runs for ever."""


class FakeReceiver:
    """What a receiver has, and how it answers. ``odd`` is an answer that it gives in place of its own.

    ``drip`` is a piece and the seconds between two: it sends that without an end, and ``sent`` has the bytes that were
    taken of each such answer.
    """

    def __init__(self) -> None:
        self.spool = "spool-1"
        self.events: list[dict[str, Any]] = []
        self.asked: list[int] = []
        self.tokens: list[str | None] = []
        self.odd: tuple[int, str, bytes] | None = None
        self.address = ""
        self.drip: tuple[bytes, float] | None = None
        self.sent: list[int] = []

    def hear(self, device: str, **more: Any) -> None:
        """Take an event."""
        self.events.append(
            {
                "seq": len(self.events) + 1,
                "id": f"id-{len(self.events) + 1}",
                "device": device,
                "push_type": "PCC_EVENT",
                "diagnosis": "E1",
                "category": "malfunction",
                "diagnosed": None,
                "received": datetime.now(UTC).isoformat(),
                **more,
            }
        )

    def page(self, after: int) -> bytes:
        """Return one page, as a receiver writes it."""
        events = [one for one in self.events if one["seq"] > after][:PAGE]
        last = events[-1]["seq"] if events else after
        return json.dumps({"spool": self.spool, "last": last, "events": events}).encode()

    def latest(self, device: str) -> bytes:
        """Return the newest event of a device, as a receiver writes it."""
        found = [one for one in self.events if one["device"] == device]
        newest = [{"deliveries": [], **one} for one in found[-1:]]
        return json.dumps({"api": 1, "events": newest}).encode()

    def newest(self, limit: int) -> bytes:
        """Return the newest events, as a receiver writes them."""
        found = [{"deliveries": [], **one} for one in reversed(self.events[-limit:])]
        return json.dumps({"api": 1, "events": found}).encode()

    @contextmanager
    def serving(self) -> Iterator[str]:
        """Serve on a free port of this machine; give the base address."""
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path, asked = urlsplit(self.path).path, parse_qs(urlsplit(self.path).query)
                receiver.tokens.append(self.headers.get("authorization"))
                if path == "/api/v1/seen":
                    receiver.asked.append(int(asked["after"][0]))
                    if receiver.drip is not None:
                        self.send_without_end(*receiver.drip)
                        return
                    own = (200, "application/json", receiver.page(receiver.asked[-1]))
                elif "device" in asked:
                    own = (200, "application/json", receiver.latest(asked["device"][0]))
                else:
                    own = (200, "application/json", receiver.newest(int(asked["limit"][0])))
                status, kind, body = receiver.odd or own
                self.send_response(status)
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def send_without_end(self, piece: bytes, pause: float) -> None:
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.end_headers()
                sent = 0
                while sent < MOST_SENT and receiver.drip is not None:
                    try:
                        self.wfile.write(piece)
                    except OSError:
                        break
                    sent += len(piece)
                    time.sleep(pause)
                receiver.sent.append(sent)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            server.server_close()
            thread.join()
