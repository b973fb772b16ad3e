"""What the receiving process is made of: which setting reaches which part, and in which order parts obey."""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from prometheus_client import generate_latest

from disks import StandingClock
from hooks import OK, answer, hooks
from receiving import PAIR, body
from reconciler.core.acceptance import Accepted, AccountRevision
from reconciler.core.errors import ReconcilerError, SpoolError
from reconciler.core.model import AccountName, Desired, Device, DeviceId, DeviceType, Revision
from reconciler.events.config import read_config
from reconciler.events.logic import LogicInForce
from reconciler.events.message import read
from reconciler.events.model import Receipt, Result, Stored
from reconciler.events.routing import SinkRouter
from reconciler.events.spool import Spool
from reconciler.pcc.proxies import Proxies
from reconciler.runtime.directory import DesiredDirectory
from reconciler.runtime.environment import Environment
from reconciler.runtime.partner_files import Files, Rules, judged
from reconciler.runtime.receiving.journal import EventJournal
from reconciler.runtime.receiving.process import Enforcement, GuardedInlet, Parts
from reconciler.runtime.receiving.sinks import SinkBuilder
from reconciler.runtime.settings import load_receiver
from reconciler.source import FileSource
from reconciler.telemetry.masking import Masking
from reconciler.telemetry.receiver_metrics import ReceiverMetrics
from scenarios import eventually
from spooled import ROOMY, Routes

DEVICE = "7121f083d9df33c2"
FILE = f'environment = "production"\ndevices = [{{ id = "{DEVICE}", name = "Room 1203" }}]\n'
EVENTS = b'version = 1\nlogic = "."\n[sinks.crm]\ntype = "stream"\n'
TYPES = b"diagnosis_type,category,device_types\nE1,malfunction,washer\nE2,misuse,oven\n"


@contextmanager
def parts_in(
    folder: Path, given: Mapping[str, str], masking: Masking | None = None
) -> Iterator[Parts]:
    """Give the parts of a process that has begun: its spool is open, and its desired state was not read."""
    (folder / "desired-state.toml").write_text(f"version = 1\n{FILE}")
    usual = {
        "HOME": str(folder),
        "PCC_EVENTS_DIR": str(folder / "events"),
        "PCC_EVENTS_CONFIG": str(folder / "events.toml"),
    }
    settings = load_receiver({**usual, **given})
    source = FileSource(folder / "desired-state.toml")
    parts = Parts(settings, source, masking or Masking(), Environment(clock=StandingClock()))
    parts.keeper.begin()
    parts.files.begin()
    try:
        yield parts
    finally:
        parts.keeper.close()


async def ready(parts: Parts) -> str:
    """Return what the process says of its readiness."""
    transport = httpx.ASGITransport(parts.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://receiver") as client:
        return (await client.get("/readyz")).text.strip()


async def test_it_is_not_ready_before_it_knows_the_names(tmp_path: Path) -> None:
    """An event that came before would be kept without the name and the account of its device."""
    with parts_in(tmp_path, {}) as parts:
        assert await ready(parts) == "files are not read yet"
        await parts.directory.refresh()
        assert parts.directory.accepted.accounts
        assert await ready(parts) != "files are not read yet"


@pytest.mark.parametrize(("word", "accepted"), [("production", True), ("trial", False), ("", True)])
async def test_no_name_comes_from_a_file_of_another_environment(
    tmp_path: Path, word: str, *, accepted: bool
) -> None:
    """The word of the settings counts for the receiving process as for the daemon."""
    with parts_in(tmp_path, {"PCC_ENVIRONMENT": word}) as parts:
        await parts.directory.refresh()
        assert bool(parts.directory.accepted.accounts) is accepted


@pytest.mark.parametrize(("grace", "longest"), [("3s", 3.0), ("25s", 25.0)])
async def test_no_part_takes_longer_to_end_than_the_settings_allow(
    tmp_path: Path, grace: str, longest: float
) -> None:
    """Deliveries under way are waited for no longer than the whole process."""
    with parts_in(tmp_path, {"PCC_SHUTDOWN_GRACE": grace}) as parts:
        (delivery,) = (
            one for one in parts.services(cast("Any", None), None) if one.name == "delivery"
        )
        assert 0 < delivery.grace <= longest


async def test_what_opens_a_sink_or_lets_callers_in_is_masked(tmp_path: Path) -> None:
    """By the masking of the process: a key in a sink's address, and the credential that is in a file."""
    (tmp_path / "basic").write_text(PAIR)
    (tmp_path / "events.toml").write_text(
        'version = 1\n[sinks.crm]\ntype = "http"\nurl = "https://crm.example/pcc?key=sesame-path-9000"\n'
    )
    masking = Masking()
    given = {"PCC_RECEIVE_BASIC_FILE": str(tmp_path / "basic")}
    with parts_in(tmp_path, given, masking) as parts:
        transport = httpx.ASGITransport(parts.receiver)
        async with httpx.AsyncClient(transport=transport, base_url="http://receiver") as client:
            answer = await client.post("/pcc/events", content=body())
        assert answer.status_code == 401
        for secret in ("sesame-path-9000", PAIR.partition(":")[2]):
            assert secret not in masking.text(f"see {secret}")


async def test_a_sink_is_made_as_its_table_says(tmp_path: Path) -> None:
    """What it is signed with, what it is let in by, and how much at once it takes are those of the events file."""
    (tmp_path / "signing").write_text(
        f"whsec_{b64encode(b'sesame-open-9000-sesame-open').decode()}"
    )
    (tmp_path / "auth").write_text("Bearer sesame-open-7000")
    async with hooks(lambda _: OK) as outside:
        lines = [
            "version = 1",
            "[sinks.crm]",
            'type = "http"',
            f'url = "{outside.url}"',
            'signing_secret_file = "signing"',
            'authorization_file = "auth"',
            "concurrency = 2",
        ]
        config = read_config(str(tmp_path / "events.toml"), "\n".join(lines).encode()).config
        assert config is not None
        builder = SinkBuilder(Proxies(), Masking(), StandingClock())
        sink = builder.build(config.sinks["crm"])
        handed = await asyncio.gather(*(sink.hand_over(f"id-{one}", b"{}") for one in range(6)))
        await sink.close()
    assert {one.result for one in handed} == {Result.DELIVERED}
    for posted in outside.posted:
        assert posted.headers["authorization"] == "Bearer sesame-open-7000"
        assert posted.headers["webhook-signature"].startswith("v1,")
    assert outside.most_open <= 2


async def test_a_sink_is_reached_through_the_proxy_of_the_environment(tmp_path: Path) -> None:
    """The partner's system is behind it, and nobody is asked for its address here."""
    (tmp_path / "events.toml").write_text(
        'version = 1\n[sinks.crm]\ntype = "http"\nurl = "https://crm.test/pcc"\n'
    )
    async with hooks(lambda _: answer(403)) as proxy:
        with parts_in(tmp_path, {"https_proxy": proxy.url.partition("/pcc")[0]}) as parts:
            async with delivering(parts):
                assert await posted(parts, body()) == [200]
                await eventually(lambda: proxy.posted)
    assert proxy.posted[0].head == "CONNECT crm.test:443 HTTP/1.1"


def test_a_sink_has_its_series_before_its_first_delivery() -> None:
    """Also one that a later events file adds: an alert on a rate needs the 0 before the first failure."""
    metrics = ReceiverMetrics(ROOMY)
    router = SinkRouter(DesiredDirectory(StandingClock()), LogicInForce())
    enforcement = Enforcement(LogicInForce(), router, cast("Any", Obeying()), metrics)
    for sinks in (["crm"], ["crm", "erp"]):
        tables = b"".join(b'[sinks.%s]\ntype = "stream"\n' % one.encode() for one in sinks)
        found = judged(Files("events.toml", b"version = 1\n" + tables, {})).rules
        assert found is not None
        enforcement.enforce(found)
        shown = generate_latest(metrics.registry).decode()
        for one in ("crm", "erp"):
            there = one in sinks
            for result in Result:
                line = f'pcc_deliveries_total{{result="{result}",sink="{one}"}} 0.0\n'
                assert (line in shown) is there, line
            assert (f'pcc_delivery_duration_seconds_count{{sink="{one}"}} 0.0' in shown) is there


@asynccontextmanager
async def delivering(parts: Parts) -> AsyncIterator[None]:
    """Let the process deliver."""
    (delivery,) = (one for one in parts.services(cast("Any", None), None) if one.name == "delivery")
    running = asyncio.create_task(delivery.run())
    try:
        yield
    finally:
        delivery.stop()
        await asyncio.wait_for(running, 30)


async def posted(parts: Parts, *contents: bytes) -> list[int]:
    """Send events to the process, and return the answers."""
    transport = httpx.ASGITransport(parts.receiver)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8081") as client:
        return [
            (await client.post("/pcc/events", content=content)).status_code for content in contents
        ]


@pytest.mark.parametrize(
    ("given", "source"),
    [
        ({"PCC_ENVIRONMENT": "production"}, "urn:pcc:production"),
        ({"PCC_ENVIRONMENT": "production", "PCC_EVENT_SOURCE": "urn:fleet"}, "urn:fleet"),
        ({}, "urn:pcc:default"),
    ],
)
async def test_events_leave_with_the_source_of_the_settings(
    tmp_path: Path, given: dict[str, str], source: str
) -> None:
    """Whoever gets events of several fleets tells them apart by it."""
    (tmp_path / "events.toml").write_text(
        'version = 1\n[sinks.file]\ntype = "stream"\npath = "out.jsonl"\n'
    )
    out = tmp_path / "out.jsonl"
    with parts_in(tmp_path, given) as parts:
        async with delivering(parts):
            assert await posted(parts, body()) == [200]
            await eventually(lambda: out.exists() and out.read_bytes().endswith(b"\n"))
    assert json.loads(out.read_text())["source"] == source


async def test_a_spool_over_the_limit_of_the_settings_takes_nothing(tmp_path: Path) -> None:
    """Where it was raised, the same events are taken."""
    contents = [body(deviceId=f"device-{number}", contentUrl="x" * 60_000) for number in range(40)]
    taken: list[int] = []
    for name, limit in (("small", "1MiB"), ("large", "1GiB")):
        folder = tmp_path / name
        folder.mkdir()
        with parts_in(folder, {"PCC_SPOOL_LIMIT": limit}) as parts:
            taken.append((await posted(parts, *contents)).count(200))
    assert 0 < taken[0] < taken[1] == len(contents)


class Refusing:
    """A delivery that cannot make a sink."""

    def use(self, _sinks: object) -> None:
        """Refuse."""
        raise ReconcilerError("its proxy cannot be used")


class Obeying:
    """A delivery that takes every sink."""

    def use(self, _sinks: object) -> None:
        """Take them."""


def rules() -> Rules:
    """Return rules with one sink and one diagnosis."""
    found = judged(Files("events.toml", EVENTS, {"types.csv": TYPES})).rules
    assert found is not None
    return found


@pytest.mark.parametrize(("delivery", "obeyed"), [(Obeying(), True), (Refusing(), False)])
def test_rules_are_obeyed_by_everybody_or_by_nobody(delivery: object, *, obeyed: bool) -> None:
    """Where a sink cannot be made no event is routed to it, and diagnoses mean what they meant."""
    logic = LogicInForce()
    router = SinkRouter(DesiredDirectory(StandingClock()), logic)
    enforcement = Enforcement(logic, router, cast("Any", delivery), ReceiverMetrics(ROOMY))
    try:
        enforcement.enforce(rules())
    except ReconcilerError:
        assert not obeyed
    (arrival,) = read(body(diagnosisType="E1", deviceType="DEVICE_WASHER"))
    assert arrival.message is not None
    assert bool(router.route(arrival.message).sinks) is obeyed
    assert logic.diagnosis("E1", "washer").matched is obeyed


async def test_nothing_is_taken_while_the_rules_are_not_back(tmp_path: Path) -> None:
    """Though the spool itself would take it: the keeper says when."""

    class Keeper:
        is_open = False

    spool = Spool(tmp_path, StandingClock(), Routes(), limit=ROOMY)
    spool.open()
    try:
        keeper = Keeper()
        inlet = GuardedInlet(cast("Any", keeper), spool)
        with pytest.raises(SpoolError, match="not open"):
            await inlet.store(read(body()))
        keeper.is_open = True
        (receipt,) = await inlet.store(read(body()))
        assert receipt.stored is Stored.NEW
    finally:
        spool.close()


def directory() -> DesiredDirectory:
    """Return a directory that knows a washer by its file."""
    entry = Device(DeviceId(DEVICE), "Room 1203", DeviceType.WASHER)
    desired = Desired(AccountName("hotel"), frozenset({entry.id}), {entry.id: entry})
    found = DesiredDirectory(StandingClock())
    revision = Revision("0" * 64)
    found.enforce(
        Accepted({desired.account: AccountRevision(desired, revision)}, revision=revision)
    )
    return found


def test_a_diagnosis_is_counted_by_the_type_that_the_file_gives() -> None:
    """LG's message need not say what kind of device it is; for another kind the table may have no row."""
    metrics, logic = ReceiverMetrics(ROOMY), LogicInForce()
    logic.enforce(rules().table)
    journal = EventJournal(metrics, directory(), logic, StandingClock())

    def counted(category: str, device: str) -> float | None:
        labels = {"push_type": "PCC_EVENT", "category": category, "device": device}
        return metrics.registry.get_sample_value("pcc_events_received_total", labels)

    cases: list[dict[str, Any]] = [
        {"diagnosisType": "E1", "deviceType": None},
        {"diagnosisType": "E1", "deviceType": "DEVICE_WASHER"},
        {"diagnosisType": "E2", "deviceType": "DEVICE_OVEN"},
        {"diagnosisType": "E2", "deviceType": None},
        {"diagnosisType": "E1", "deviceType": "DEVICE_OVEN"},
    ]
    for number, changed in enumerate(cases):
        (arrival,) = read(body(deviceId=DEVICE, **changed))
        journal.stored(arrival, Receipt(Stored.NEW, number, "id"))
    found = [counted(one, "desired") for one in ("malfunction", "misuse", "unknown")]
    assert found == [2, 1, 2]
    assert metrics.registry.get_sample_value("pcc_logic_missing_total") == 2


@pytest.mark.parametrize(
    ("content", "stored", "is_event", "is_self_test"),
    [
        (body(), Stored.NEW, True, False),
        (b"no json", Stored.QUARANTINED, True, False),
        (body(), Stored.DUPLICATE, False, False),
        (body(), Stored.SELF_TEST, False, True),
    ],
)
def test_the_last_event_is_one_that_came_from_lg(
    content: bytes, stored: Stored, *, is_event: bool, is_self_test: bool
) -> None:
    """One that is not understood came all the same; a self-test of ours and a repetition are none."""
    metrics, clock = ReceiverMetrics(ROOMY), StandingClock()
    journal = EventJournal(metrics, directory(), LogicInForce(), clock)
    (arrival,) = read(content)
    journal.stored(arrival, Receipt(stored, 1, "id"))
    now = clock.now().timestamp()
    shown = {
        name: metrics.registry.get_sample_value(f"pcc_{name}_timestamp_seconds") == now
        for name in ("last_event", "self_check_last_success")
    }
    assert shown == {"last_event": is_event, "self_check_last_success": is_self_test}
    assert now > timedelta(days=1).total_seconds()
