"""The OpenAPI documents: they have every call, they agree with docs/api.md, and the running daemon keeps to them."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator
from starlette.routing import Route
from starlette.types import ASGIApp
from test_event_queries import nowhere

from documents import ROOT
from receiver_figures import NoName, NoTable
from receiving import GivenPolicy, body
from reconciler.api import commands, event_openapi, event_queries, openapi, queries
from reconciler.api.described import PATH, Call
from reconciler.api.event_page import EventPage
from reconciler.api.receiver_app import ReceiverSurface, create_receiver_app
from reconciler.events.message import read
from reconciler.events.spool import Spool
from reconciler.reporting.devices import PARAMETERS
from reconciler.reporting.queries import Wanted
from reconciler.runtime.clock import SystemClock
from reconciler.runtime.server import listening
from reconciler.runtime.services.http import HttpServer
from reconciler.runtime.setting_values import Listen
from reconciler.simulator import Route as LgRoute
from reconciler.simulator import faults as effects
from reconciler.telemetry.receiver_metrics import ReceiverMetrics
from scenarios import Site, command, eventually, fault, fleet, owned, site, text, write
from spooled import Routes
from surfaces import FakeHealth, FakeOperations, FakePolicy, FakeQueries

READ, ACT = "sesame-read-9000", "sesame-act-9000"
SCHEMATHESIS = Path(sys.executable).parent / "schemathesis"
EXAMPLES = 10
"""Of each call and kind; with them a run takes some seconds. SCHEMATHESIS by hand takes as many as one likes."""
NOT_CHECKED = "positive_data_acceptance"
"""A cursor, an account and the files of a plan can be as the document wants, and still be nobody's."""
Json = dict[str, Any]


def documented_calls() -> set[tuple[str, str]]:
    """Return method and path of each call in the tables of docs/api.md."""
    document = (ROOT / "docs" / "api.md").read_text("utf-8")
    found = re.findall(r"^\| `(GET|POST) (/api/v1/[^`?]*)", document, re.MULTILINE)
    return {(method, path.replace("{id}", "{device}")) for method, path in found}


def calls_of(table: tuple[Call, ...]) -> set[tuple[str, str]]:
    """Return method and path of each call of a table, and of the document itself."""
    return {(one.method.upper(), one.path) for one in table} | {("GET", PATH)}


def served(routes: list[Route]) -> set[tuple[str, str]]:
    """Return method and path of each route of the API, as a document writes paths."""
    return {
        (method, re.sub(r":\w+}", "}", route.path))
        for route in routes
        for method in (route.methods or set()) - {"HEAD"}
        if route.path.startswith("/api/")
    }


def test_the_document_has_every_call_and_so_has_the_reference() -> None:
    """What is routed, what the document describes and what docs/api.md explains are the same calls."""
    policy = FakePolicy()
    routes = [
        *queries.routes(FakeQueries()),
        *commands.routes(FakeOperations(), policy),
        openapi.route(policy, ""),
    ]
    assert served(routes) == calls_of(openapi.CALLS) == documented_calls()


def test_the_receivers_document_has_every_call(tmp_path: Path) -> None:
    """What the receiver routes is what its document describes."""
    archive, policy = Spool(tmp_path, SystemClock(), Routes(), limit=1024), GivenPolicy()
    page = EventPage(archive, NoName(), NoTable())
    routes = event_queries.routes(archive, policy, SystemClock().now, page)
    assert served([*routes, event_openapi.route(policy)]) == calls_of(event_openapi.CALLS)


def names(path: str, place: str = "query") -> list[str]:
    """Return the parameters of a call of the daemon."""
    (call,) = [one for one in openapi.CALLS if one.path == path]
    return [one.name for one in call.parameters if one.place == place]


def test_parameters_are_those_that_are_read() -> None:
    """The document has each parameter that a call understands, and docs/api.md explains each."""
    document = (ROOT / "docs" / "api.md").read_text("utf-8")
    assert names("/api/v1/history") == [one.name for one in fields(Wanted)]
    assert names("/api/v1/device-states") == list(PARAMETERS)
    (listed,) = [one for one in event_openapi.CALLS if one.path == "/api/v1/events"]
    assert [one.name for one in listed.parameters] == list(event_queries.LIST_PARAMETERS)
    for path in ("/api/v1/history", "/api/v1/device-states"):
        _, _, after = document.partition(f"`{path}` takes these optional parameters:")
        table = after.strip().partition("\n\n")[0]
        rows = re.findall(r"^\| (`.+?) \|", table, re.MULTILINE)
        assert sorted(word for row in rows for word in re.findall(r"`(\w+)`", row)) == sorted(
            names(path)
        )


def test_every_value_has_its_section_in_the_reference() -> None:
    """A schema is called as the section that explains it, and no section is without a schema."""
    document = (ROOT / "docs" / "api.md").read_text("utf-8")
    titles = {title.lower() for title in re.findall(r"^### (.+)$", document, re.MULTILINE)}
    aside = {
        "accountdetail": "account in full",
        "closebody": "",
        "concerned": "",
        "opened": "",
        "delivery": "",
        "error": "",
        "heard": "heard of",
        "proposed": "plan",
        "reconcilebody": "",
        "screenbody": "",
        "verified": "",
    }
    known = {title.replace(" ", "").replace("'s", ""): title for title in titles}
    for name in openapi.components():
        section = aside.get(name.lower(), known.get(name.lower()))
        assert section is not None, name
        assert not section or section in titles, name


@pytest.mark.parametrize(
    "made",
    [openapi.document("/base", reading=True, acting=True), event_openapi.document(guarded=True)],
)
def test_schemas_are_schemas(made: Json) -> None:
    """Each is a valid JSON Schema, and each reference leads to one."""
    schemas = made["components"]["schemas"]
    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)
    places = set(re.findall(r"#/components/schemas/(\w+)", str(made)))
    assert places == schemas.keys() & places
    assert made["openapi"] == "3.1.0"


@pytest.mark.parametrize(
    ("reading", "acting", "status", "pause", "plan"),
    [
        (False, False, [], [], []),
        (True, True, ["bearer", "basic"], ["bearer"], ["bearer", "basic"]),
        (True, False, ["bearer", "basic"], ["bearer", "basic"], ["bearer", "basic"]),
        (False, True, [], ["bearer"], ["bearer"]),
    ],
)
def test_the_document_says_which_token_is_asked_for(
    *, reading: bool, acting: bool, status: list[str], pause: list[str], plan: list[str]
) -> None:
    """A daemon without tokens asks for none, and Basic authentication never opens a call that needs the one to act."""
    paths = openapi.document("", reading=reading, acting=acting)["paths"]

    def schemes(path: str, method: str) -> list[str]:
        return [name for one in paths[path][method]["security"] for name in one]

    assert schemes("/api/v1/status", "get") == status
    assert schemes("/api/v1/pause", "post") == pause
    assert schemes("/api/v1/plan", "post") == plan


def validated(answer: httpx.Response, document: Json, path: str, method: str = "get") -> Json:
    """Return an answer, after it was checked against its schema; in values no key may be unexplained."""
    said = document["paths"][path][method]["responses"][str(answer.status_code)]
    schema = said["content"]["application/json"]["schema"]
    schemas = {name: strict(one) for name, one in document["components"]["schemas"].items()}
    whole = {"components": {"schemas": schemas}, "unevaluatedProperties": False, **schema}
    found: Json = answer.json()
    faults = Draft202012Validator(whole).iter_errors(found)
    assert [(fault.json_path, fault.message[:300]) for fault in faults] == []
    return found


def strict(schema: Any) -> Any:
    """Return a schema in which no nested object has a key that is not named; the outermost is closed by the caller."""
    if isinstance(schema, list):
        return [strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    inside = {key: strict(one) for key, one in schema.items()}
    for key, one in inside.get("properties", {}).items():
        nested = one.get("items", one)
        if "properties" in nested:
            nested.setdefault("additionalProperties", False)
        inside["properties"][key] = one
    return inside


async def test_answers_keep_to_the_document(tmp_path: Path) -> None:
    """A daemon with something in sync, missing, extra, held and refused answers each call as the document says."""
    platform = fleet(12)
    devices = owned(platform)
    platform.set_faults(fault(effects.Error("1211"), LgRoute.SUBSCRIBE, count=2))
    write(tmp_path / "desired-state.toml", text(devices[:10]))
    async with site(tmp_path, platform) as one:
        await eventually(lambda: len(one.live()) >= 9)
        write(tmp_path / "desired-state.toml", text(devices[8:12]))
        await eventually(lambda: one.told("guard.tripped"))
        document = (await one.get(PATH)).json()
        status = validated(await one.get("/api/v1/status"), document, "/api/v1/status")
        assert status["accounts"][0]["held"]
        account = await one.get("/api/v1/accounts/default")
        validated(account, document, "/api/v1/accounts/{account}")
        device = f"/api/v1/accounts/default/devices/{devices[0]}"
        validated(await one.get(device), document, "/api/v1/accounts/{account}/devices/{device}")
        found = await one.get(f"/api/v1/devices?device={devices[0]}")
        validated(found, document, "/api/v1/devices")
        states = await one.get("/api/v1/device-states?state=missing,extra,held&limit=3")
        validated(states, document, "/api/v1/device-states")
        past = await one.get("/api/v1/history?limit=3&since=2h")
        validated(past, document, "/api/v1/history")
        for path in ("/api/v1/history?limit=0", "/api/v1/device-states?state=,"):
            refused = await one.get(path)
            assert refused.status_code == 400
            validated(refused, document, path.partition("?")[0])
        files = {"a.toml": text(devices[:1])}
        asked = {"documents": ["a.toml"], "files": files, "show": "markdown"}
        planned = await one.http.post("/api/v1/plan", json=asked)
        plan = validated(planned, document, "/api/v1/plan", "post")
        assert plan["plan"]["accounts"][0]["account"] == "default"
        wrong = await one.http.post("/api/v1/plan", json={**asked, "files": {}})
        validated(wrong, document, "/api/v1/plan", "post")


async def run(folder: Path, url: str, *more: str) -> str:
    """Let schemathesis ask a running process, also for what the document forbids, and return what it said.

    It leaves what it learned in its folder.
    """
    child = await asyncio.create_subprocess_exec(
        *(str(SCHEMATHESIS), "run", f"{url}{PATH}", "--no-color"),
        *("--max-examples", str(EXAMPLES), "--seed", "1", "--phases", "examples,coverage,fuzzing"),
        *("--continue-on-failure", "--suppress-health-check", "all", "--request-timeout", "60"),
        *("--exclude-checks", NOT_CHECKED),
        *more,
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await child.communicate()
    words = said.decode()
    assert child.returncode == 0, words
    return words


async def crowded(folder: Path) -> tuple[Any, dict[str, str]]:
    """Return a platform and the settings of a daemon that asks for both tokens."""
    platform = fleet(12)
    write(folder / "desired-state.toml", text(owned(platform)[:10]))
    return platform, {"PCC_READ_TOKEN": READ, "PCC_LISTEN_TOKEN": ACT}


def errors(one: Site) -> list[Mapping[str, Any]]:
    """Return the lines of the log that only a defect writes."""
    return [line for line in one.events if "exception" in line or "exc_info" in line]


async def test_the_running_daemon_keeps_to_its_document(tmp_path: Path) -> None:
    """Hundreds of valid and invalid calls: no answer is a 5xx or unknown to the document, none needs no token."""
    platform, given = await crowded(tmp_path)
    async with site(tmp_path, platform, **given) as one:
        one.http.headers["authorization"] = f"Bearer {ACT}"
        await one.has(owned(platform)[:10])
        url = str(one.http.base_url).rstrip("/")
        said = await run(tmp_path, url, "--header", f"Authorization: Bearer {ACT}")
        assert (await one.get("/api/v1/status")).status_code == 200
        assert errors(one) == []
        code, _, _ = await command(one, "resume")
        assert code == 0
    assert re.search(r"Tested: 12\b", said)
    assert int(re.findall(r"(\d+) generated", said)[0]) > 300


@asynccontextmanager
async def serving(app: ASGIApp) -> AsyncIterator[str]:
    """Serve an app as our processes serve theirs, and give its address."""
    with listening(Listen("127.0.0.1", 0)) as front:
        server = HttpServer(front, app)
        running = asyncio.create_task(server.run())
        yield front.url
        server.stop()
        await asyncio.wait_for(running, 60)


async def test_the_running_receiver_keeps_to_its_document(tmp_path: Path) -> None:
    """The same of the receiver, with events in its spool and one that was not understood."""
    clock = SystemClock()
    spool = Spool(tmp_path, clock, Routes(), limit=1024**3)
    spool.open()
    try:
        for content in (body(), body(diagnosisType="E2"), b"{not json"):
            await spool.store(read(content))
        app = create_receiver_app(
            ReceiverSurface(
                receiver=nowhere,
                archive=spool,
                page=EventPage(spool, NoName(), NoTable()),
                registry=ReceiverMetrics(1).registry,
                health=FakeHealth(),
                policy=GivenPolicy(),
                now=clock.now,
                steady=clock.steady,
            )
        )
        async with serving(app) as url, httpx.AsyncClient(base_url=url) as http:
            said = await run(tmp_path, url)
            document = (await http.get(PATH)).json()
            listed = await http.get("/api/v1/events")
            events = validated(listed, document, "/api/v1/events")["events"]
            assert len(events) == 3
            one = await http.get(f"/api/v1/events/{events[0]['id']}")
            validated(one, document, "/api/v1/events/{id}")
            validated(await http.get("/api/v1/seen"), document, "/api/v1/seen")
    finally:
        spool.close()
    assert re.search(r"Tested: 3\b", said)
