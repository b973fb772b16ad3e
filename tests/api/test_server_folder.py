"""Errors say what is wrong, and not where on the server the files are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

import httpx
import pytest

from reconciler.api.app import Surface, create_app
from reconciler.api.local import ServerFolder
from reconciler.core.errors import ReconcilerError, StateError, Unknown
from reconciler.reporting.account_devices import DevicesAsked
from reconciler.telemetry.metrics import Metrics
from surfaces import FakeHealth, FakeOperations, FakePolicy, FakeQueries

HOME = "/srv/fleet/of/us"


class Failing(FakeQueries):
    """Fails each question with an error that names a file of the server."""

    def __init__(self, kind: type[ReconcilerError]) -> None:
        self._kind = kind

    def _fail(self, *_asked: object) -> NoReturn:
        raise self._kind(f"{HOME}/desired-state.toml:3:1: cannot be read, nor can {HOME}")

    async def account(self, name: str) -> NoReturn:
        """Fail."""
        self._fail(name)

    async def account_view(self, name: str, asked: DevicesAsked) -> NoReturn:
        """Fail."""
        self._fail(name, asked)

    async def device(self, account: str, device: str) -> NoReturn:
        """Fail."""
        self._fail(account, device)

    async def explain(self, device: str, account: str | None) -> NoReturn:
        """Fail."""
        self._fail(device, account)

    async def devices(self, asked: Mapping[str, str]) -> NoReturn:
        """Fail."""
        self._fail(asked)

    async def history(self, asked: Mapping[str, str]) -> NoReturn:
        """Fail."""
        self._fail(asked)

    async def registry(self, asked: Mapping[str, str]) -> NoReturn:
        """Fail."""
        self._fail(asked)

    async def search(self, words: str) -> NoReturn:
        """Fail."""
        self._fail(words)

    async def events(self) -> NoReturn:
        """Fail."""
        self._fail()


STATUSES = {Unknown: 404, StateError: 503, ReconcilerError: 400}
CALLS = (
    "/api/v1/accounts/a",
    "/api/v1/accounts/a/devices/d",
    "/api/v1/device-states",
    "/api/v1/devices?device=d",
    "/api/v1/history",
    "/api/v1/registry",
)
PAGES = (
    "/accounts/a",
    "/accounts/a/devices/d",
    "/events",
    "/history",
    "/search?q=d",
)


@pytest.mark.parametrize("kind", STATUSES)
async def test_no_error_shows_the_folder_of_the_server(kind: type[ReconcilerError]) -> None:
    """Each call and each page states the file as seen from the folder of the files, with the status of its error."""
    surface = Surface(
        Metrics(),
        Failing(kind),
        FakeOperations(),
        FakeHealth(),
        FakePolicy(),
        folder=ServerFolder(Path(HOME)),
    )
    transport = httpx.ASGITransport(create_app(surface))
    async with httpx.AsyncClient(transport=transport, base_url="http://pcc") as client:
        for asked in CALLS:
            answer = await client.get(asked)
            assert (asked, answer.status_code) == (asked, STATUSES[kind])
            assert answer.json() == {"error": "desired-state.toml:3:1: cannot be read, nor can ."}
        for asked in PAGES:
            answer = await client.get(asked)
            status = 200 if asked == "/history" else STATUSES[kind]  # there the form stays
            assert (asked, answer.status_code) == (asked, status)
            assert "esired-state.toml:3:1: cannot be read, nor can ." in answer.text
            assert HOME not in answer.text
