"""Who may read, under which path, and where metrics are."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from reconciler.api.app import Surface, create_app
from reconciler.api.links import Links
from reconciler.cli.daemon_tokens import for_reading
from reconciler.core.errors import ReconcilerError
from reconciler.runtime.settings import load
from reconciler.telemetry.metrics import Metrics
from scenarios import command, fleet, free_port, owned, site, text, write
from surfaces import FakeHealth, FakeOperations, FakePolicy, FakeQueries

READ, ACT = "sesame-read-9000", "sesame-act-9000"
GUARDED = (
    "/",
    "/api/v1/status",
    "/api/v1/history",
    "/style.css",
    "/page.js",
    "/nowhere",
    "//",
    "/healthz/",
)
OPEN = ("/healthz", "/readyz", "/metrics")


@dataclass
class ReadPolicy(FakePolicy):
    """A policy with a token for reading."""

    reading: str | None = READ
    token: str | None = ACT
    has_webhook: bool = True


class BrokenPolicy(ReadPolicy):
    """A policy whose token for reading is in a file that cannot be read."""

    def read_token(self) -> str | None:
        """Say why there is none."""
        raise ReconcilerError("PCC_READ_TOKEN_FILE: /secret/place cannot be read")


@asynccontextmanager
async def asking(
    policy: FakePolicy, base: str = "", *, shows_metrics: bool = True
) -> AsyncIterator[httpx.AsyncClient]:
    """Give a client of the app."""
    surface = Surface(
        Metrics(), FakeQueries(), FakeOperations(), FakeHealth(), policy,
        links=Links(base=base, metrics=shows_metrics),
    )  # fmt: skip
    transport = httpx.ASGITransport(create_app(surface), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
        yield http


def bearer(token: str) -> dict[str, str]:
    """Return the header of a program."""
    return {"authorization": f"Bearer {token}"}


def basic(password: str, user: str = "anybody") -> dict[str, str]:
    """Return the header of a browser."""
    return {"authorization": f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}"}


@pytest.mark.parametrize("path", GUARDED)
@pytest.mark.parametrize(
    "headers", [{}, bearer("wrong-token"), basic("wrong-token"), basic("", READ), bearer(""),
                {"authorization": READ}, {"authorization": "Basic ====="}, bearer(f"{READ}x")]
)  # fmt: skip
async def test_without_the_token_nothing_is_read(path: str, headers: dict[str, str]) -> None:
    """Every page, file and call asks for it, and so does what does not exist."""
    async with asking(ReadPolicy()) as http:
        answer = await http.get(path, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Basic realm=")
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert "PCC_READ_TOKEN" in answer.text
    assert ("error" in answer.json()) if path.startswith("/api/") else True


@pytest.mark.parametrize(
    "headers",
    [bearer(READ), basic(READ), basic(READ, ""), bearer(ACT), basic(ACT), {"authorization": f"bearer {READ}"}],
)  # fmt: skip
async def test_either_token_reads_in_either_form(headers: dict[str, str]) -> None:
    """A program shows a bearer token, a browser a password; whoever may act may read."""
    async with asking(ReadPolicy()) as http:
        assert (await http.get("/style.css", headers=headers)).status_code == 200
        assert (await http.get("/nowhere", headers=headers)).status_code == 404


@pytest.mark.parametrize("token", ["ops:7f3c9a1e55", ":leading", "trailing:", "Ümlaut-東京"])
async def test_every_token_works_as_a_password(token: str) -> None:
    """A token may have a colon or other letters in it: the password begins after the first colon."""
    async with asking(ReadPolicy(reading=token)) as http:
        assert (await http.get("/style.css", headers=basic(token))).status_code == 200
        assert (await http.get("/style.css", headers=basic(f"{token}x"))).status_code == 401


@pytest.mark.parametrize("path", OPEN)
async def test_probes_and_the_scraper_need_no_token(path: str) -> None:
    """Health and metrics are answered whatever is asked for elsewhere."""
    async with asking(ReadPolicy()) as http:
        assert (await http.get(path)).status_code == 200


async def test_the_token_for_reading_does_not_act() -> None:
    """Who may only read is refused by the calls that act, and the webhook still has its signature."""
    async with asking(ReadPolicy()) as http:
        path = "/api/v1/reconcile"
        assert (await http.post(path, headers=bearer(READ), json={})).status_code == 401
        assert (await http.post(path, headers=basic(ACT), json={})).status_code == 401
        assert (await http.post(path, headers=bearer(ACT), json={})).status_code == 200
        assert (await http.post("/hooks/git", headers=bearer(READ))).status_code == 401


ACTING = ("/api/v1/reconcile", "/api/v1/pause", "/api/v1/open", "/api/v1/close")
TAKING = {*ACTING, "/api/v1/plan"}
"""Every call that takes a POST. A plan only reads; the webhook, which is signed, is no call for people."""


async def described(http: httpx.AsyncClient) -> dict[str, set[str]]:
    """Return each path that the app describes, with its methods; a place for a name has one."""
    answer = await http.get("/api/v1/openapi.json", headers=bearer(READ))
    paths = answer.json()["paths"]
    return {re.sub(r"{[^}]*}", "name", path): set(methods) for path, methods in paths.items()}


async def test_every_call_that_takes_something_is_known_here() -> None:
    """A path that takes a POST is added above, with whoever may call it."""
    async with asking(ReadPolicy()) as http:
        paths = await described(http)
    assert {path for path, methods in paths.items() if "post" in methods} == TAKING


@pytest.mark.parametrize("path", ACTING)
async def test_no_call_that_acts_is_open_to_readers(path: str) -> None:
    """The token for reading is refused by each of them, in either form, and nothing is done."""
    async with asking(ReadPolicy()) as http:
        for headers in ({}, bearer(READ), basic(READ), basic(ACT)):
            assert (await http.post(path, headers=headers, json={})).status_code == 401, headers
        assert (await http.post(path, headers=bearer(ACT), json={})).status_code != 401


async def test_every_page_and_reading_call_asks_for_the_token() -> None:
    """Only probes and metrics are open, whatever paths there are."""
    async with asking(ReadPolicy()) as http:
        paths = {path for path, methods in (await described(http)).items() if "get" in methods}
        assert len(paths) >= 7
        for path in paths - set(OPEN):
            assert (await http.get(path)).status_code == 401, path


async def test_a_token_that_cannot_be_read_lets_nobody_in_but_with_the_other() -> None:
    """A file that is gone opens nothing, and nobody outside hears where it was."""
    async with asking(BrokenPolicy()) as http:
        for headers in ({}, bearer(READ), bearer("")):
            answer = await http.get("/style.css", headers=headers)
            assert answer.status_code == 503
            assert "secret" not in answer.text
        assert (await http.get("/style.css", headers=bearer(ACT))).status_code == 200
        assert (await http.get("/healthz")).status_code == 200


async def test_without_the_setting_everybody_reads() -> None:
    """It is as it was: the port decides."""
    async with asking(FakePolicy()) as http:
        assert (await http.get("/style.css")).status_code == 200


async def test_everything_is_under_the_base_path() -> None:
    """Files, calls and health are there; at the root there is only what no person reads."""
    async with asking(FakePolicy(has_webhook=True), "/fleet/pcc") as http:
        for path in ("/style.css", *OPEN):
            assert (await http.get(f"/fleet/pcc{path}")).status_code == 200
        for path in OPEN:
            assert (await http.get(path)).status_code == 200
        assert (await http.post("/hooks/git")).status_code == 401
        for path in ("/style.css", "/api/v1/status", "/fleet/pccx/style.css", "/fleet"):
            assert (await http.get(path)).status_code == 404
        assert "error" in (await http.get("/api/v1/status")).json()
        assert "error" in (await http.get("/fleet/pcc/api/v1/nothing")).json()


@pytest.mark.parametrize("path", ["/", "/fleet/pcc"])
async def test_the_way_to_the_first_page_is_shown(path: str) -> None:
    """Who looks where it would be without a base path is led there, relative to the name that was called."""
    async with asking(FakePolicy(), "/fleet/pcc") as http:
        answer = await http.get(path)
    assert (answer.status_code, answer.headers["location"]) == (307, "/fleet/pcc/")


async def test_a_redirect_stays_under_the_base_path() -> None:
    """A slash too many leads to the page, not out of the base path."""
    async with asking(FakePolicy(), "/fleet/pcc") as http:
        answer = await http.get("/fleet/pcc/style.css/")
    assert httpx.URL(answer.headers["location"]).path == "/fleet/pcc/style.css"


async def test_the_token_guards_under_a_base_path_too() -> None:
    """No spelling of the path leads around it."""
    async with asking(ReadPolicy(), "/pcc") as http:
        for path in (
            "/pcc/",
            "/pcc/style.css",
            "/pcc//style.css",
            "/pcc/pcc/healthz",
            "/pcc/x/../style.css",
        ):
            assert (await http.get(path)).status_code == 401, path
        for path in OPEN:
            assert (await http.get(f"/pcc{path}")).status_code == 200


async def test_metrics_leave_the_main_port_for_one_of_their_own(tmp_path: Path) -> None:
    """A running daemon shows them there, alone and without a token."""
    platform = fleet(1)
    write(tmp_path / "desired-state.toml", text(owned(platform)))
    metrics = f"127.0.0.1:{free_port()}"
    given = {"PCC_METRICS_LISTEN": metrics, "PCC_READ_TOKEN": READ}
    async with site(tmp_path, platform, **given) as one:
        shown = await one.http.get(f"http://{metrics}/metrics")
        assert "pcc_build_info" in shown.text
        assert (await one.http.get(f"http://{metrics}/")).status_code == 404
        assert (await one.http.get("/metrics", headers=bearer(READ))).status_code == 404
        assert (await one.http.get("/healthz")).status_code == 200


async def test_a_command_reads_and_acts_under_a_base_path_with_the_tokens_of_its_settings(
    tmp_path: Path,
) -> None:
    """The same settings as the daemon's are all it takes; with the wrong token it says which one is asked for."""
    platform = fleet(1)
    write(tmp_path / "desired-state.toml", text(owned(platform)))
    given = {"PCC_READ_TOKEN": READ, "PCC_LISTEN_TOKEN": ACT, "PCC_BASE_PATH": "/pcc"}
    async with site(tmp_path, platform, **given) as one:
        await one.has(owned(platform))
        assert (await command(one, "status"))[0] == 0
        assert (await command(one, "reconcile"))[0] == 0
        server = f"{str(one.http.base_url).rstrip('/')}/pcc"
        assert (await command(one, "history", "--server", server))[0] == 0
        del one.given["PCC_READ_TOKEN"]
        assert (await command(one, "status"))[0] == 0
        one.given["PCC_READ_TOKEN"] = "another-token"
        code, _, err = await command(one, "status")
        assert (code, "PCC_READ_TOKEN" in err) == (1, True)


async def test_a_command_that_acts_passes_the_guard_with_the_only_token_there_is(
    tmp_path: Path,
) -> None:
    """On loopback, where no token for acting is set, the one for reading is shown."""
    platform = fleet(1)
    write(tmp_path / "desired-state.toml", text(owned(platform)))
    async with site(tmp_path, platform, PCC_READ_TOKEN=READ) as one:
        assert (await command(one, "reconcile"))[0] == 0
        assert (await one.http.post("/api/v1/reconcile", json={})).status_code == 401


@pytest.mark.parametrize(
    ("server", "given", "shown"),
    [
        ("http://127.0.0.1:8080", {"PCC_LISTEN_TOKEN": ACT}, ACT),
        ("https://pcc.test", {"PCC_LISTEN_TOKEN": ACT}, ACT),
        ("http://[::1]:8080", {"PCC_LISTEN_TOKEN": ACT}, ACT),
        ("http://LOCALHOST", {"PCC_LISTEN_TOKEN": ACT}, ACT),
        ("http://pcc.test", {"PCC_LISTEN_TOKEN": ACT}, None),
        ("http://localhost.example.com", {"PCC_LISTEN_TOKEN": ACT}, None),
        ("http://pcc.localhost", {"PCC_LISTEN_TOKEN": ACT}, None),
        ("http://127.0.0.1.example.com", {"PCC_LISTEN_TOKEN": ACT}, None),
        ("http://localhost@pcc.test", {"PCC_LISTEN_TOKEN": ACT}, None),
        ("http://[::1:2]", {"PCC_LISTEN_TOKEN": ACT}, None),
        ("http://pcc.test", {"PCC_LISTEN_TOKEN": ACT, "PCC_READ_TOKEN": READ}, READ),
        ("http://[broken", {"PCC_LISTEN_TOKEN": ACT}, None),
        ("https://pcc.test", {}, None),
    ],
)
def test_a_command_that_reads_shows_the_token_for_reading_first(
    server: str, given: dict[str, str], shown: str | None
) -> None:
    """The one that acts is shown only where nobody else can read what is sent."""
    assert for_reading(load({"HOME": "/home/someone"} | given), server) == shown


@pytest.mark.parametrize("shows_metrics", [True, False])
async def test_no_page_leads_to_metrics_that_are_elsewhere(*, shows_metrics: bool) -> None:
    """Where the metrics have a port of their own, the pages have no link to them."""
    async with asking(FakePolicy(), shows_metrics=shows_metrics) as http:
        page = (await http.get("/no-such-page", headers={"accept": "text/html"})).text
        assert (await http.get("/metrics")).is_success == shows_metrics
    assert ('href="/metrics"' in page) == shows_metrics


PLANNING = [
    (READ, ACT, READ, 200),
    (READ, ACT, ACT, 200),
    (READ, None, READ, 200),
    (READ, ACT, "wrong-token-9000", 401),
    (None, ACT, ACT, 200),
    (None, ACT, READ, 401),
    (None, None, "", 200),
]


@pytest.mark.parametrize(("reading", "acting", "shown", "status"), PLANNING)
async def test_who_may_read_may_plan_and_not_act(
    reading: str | None, acting: str | None, shown: str, status: int
) -> None:
    """A plan changes nothing, so the token for reading opens it, and opens neither a pass nor a pause."""
    policy = ReadPolicy(token=acting, reading=reading)
    headers = {"authorization": f"Bearer {shown}"} if shown else {}
    body: dict[str, object] = {"documents": [], "files": {}}
    async with asking(policy) as http:
        assert (await http.post("/api/v1/plan", json=body, headers=headers)).status_code == status
        if shown == READ and acting is not None:
            pause = {"pause": "none"}
            acted = await http.post("/api/v1/pause", json=pause, headers=headers)
            assert acted.status_code == 401


async def test_the_token_for_reading_plans_where_nobody_may_act() -> None:
    """Off loopback and without a token for acting there are no calls that act, and plans need the one for reading."""
    policy = ReadPolicy(token=None, acting_allowed=False)
    headers = {"authorization": f"Bearer {READ}"}
    body: dict[str, object] = {"documents": [], "files": {}}
    async with asking(policy) as http:
        assert (await http.post("/api/v1/plan", json=body, headers=headers)).status_code == 200
        assert (await http.post("/api/v1/pause", json={}, headers=headers)).status_code == 404


async def test_an_unreadable_token_for_reading_opens_no_plan() -> None:
    """With it nobody plans but who shows the token for acting."""
    body: dict[str, object] = {"documents": [], "files": {}}
    async with asking(BrokenPolicy()) as http:
        wrong = {"authorization": f"Bearer {READ}"}
        assert (await http.post("/api/v1/plan", json=body, headers=wrong)).status_code == 503
        right = {"authorization": f"Bearer {ACT}"}
        assert (await http.post("/api/v1/plan", json=body, headers=right)).status_code == 200
