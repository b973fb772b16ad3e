"""The daemon and the commands with their state in PostgreSQL: it dies, is away at start, and is asked by commands."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading
from asyncio.subprocess import Process
from collections.abc import Iterator, Mapping
from datetime import timedelta
from functools import partial
from pathlib import Path
from socket import gethostname

import httpx
import psycopg
import pytest

from postgres import Postgres, postgres
from processes import exit_of, process
from reconciler.core.errors import Invalid, StateError
from reconciler.core.model import (
    DEFAULT_ACCOUNT,
    NOTHING,
    Action,
    Change,
    DeviceId,
    PassId,
    Revision,
)
from reconciler.core.replicas import Member, MemberId
from reconciler.runtime.clock import SystemClock
from reconciler.runtime.settings import load
from reconciler.simulator import Platform, Route, create_app, serving
from reconciler.state import Place, State, vacant
from reconciler.state.postgres.coordination import PostgresCoordination
from reconciler.telemetry.masking import Masking
from scenarios import (
    CHANGES,
    DEADLINE_SECONDS,
    environment,
    eventually,
    fleet,
    free_port,
    owned,
    text,
    write,
)

URL = "postgresql://pcc:Swordfish-1@db.example:5432/pcc"


@pytest.fixture(scope="module")
def mortal() -> Iterator[Postgres]:
    """Start a PostgreSQL that tests may stop."""
    with postgres() as running:
        yield running


def lists(platform: Platform) -> int:
    """Return how many lists were asked for."""
    return sum(one.route is Route.LIST for one in platform.requests)


def changes(platform: Platform) -> int:
    """Return how many changes were asked for."""
    return sum(one.route in CHANGES for one in platform.requests)


async def line(child: Process, event: str) -> dict[str, object]:
    """Read the log until there is a line of this event, and return that."""
    assert child.stderr is not None
    async with asyncio.timeout(DEADLINE_SECONDS):
        while True:
            found: dict[str, object] = json.loads(await child.stderr.readline())
            if found["event"] == event:
                return found


async def shown(given: Mapping[str, str], *command: str) -> str:
    """Return what a command prints, and after it what it says on standard error."""
    async with process(given, *command) as child:
        out, said = await child.communicate()
        return (out + said).decode()


async def test_the_daemon_outlives_its_database(tmp_path: Path, mortal: Postgres) -> None:
    """After kill -9 of PostgreSQL in the middle it goes on when that is back, and each success is known once."""
    platform = fleet(300)
    platform.set_options(latency=0.02)
    wanted = owned(platform)
    write(tmp_path / "desired-state.toml", text(wanted))
    async with serving(create_app(platform)) as base_url:
        given = environment(platform, base_url, tmp_path) | {"PCC_STATE_URL": mortal.fresh()}
        async with process(given, "run") as child:
            await eventually(lambda: len(platform.subscribed("default")) >= 60)
            mortal.kill()
            await line(child, "state.failed")
            mortal.start()
            await line(child, "state.restored")
            await eventually(lambda: platform.subscribed("default") == set(wanted))
            child.send_signal(signal.SIGTERM)
            code, _ = await exit_of(child)
        assert code == 0
        said = await shown(given, "history", "--output", "json", "--limit", "5000")
        past, _ = json.JSONDecoder().raw_decode(said)
    successes = [one["device"] for one in past["changes"] if one["result"] == "success"]
    assert sorted(successes) == sorted(wanted)


async def test_nothing_is_changed_while_the_database_is_away(
    tmp_path: Path, mortal: Postgres
) -> None:
    """Devices that vanish at LG meanwhile wait: no call is made, the process is alive, and its metrics say why."""
    platform = fleet(6, subscribed=1.0)
    wanted = owned(platform)
    write(tmp_path / "desired-state.toml", text(wanted))
    async with serving(create_app(platform)) as base_url:
        given = environment(platform, base_url, tmp_path) | {
            "PCC_STATE_URL": mortal.fresh(),
            "PCC_INTERVAL": "1s",
            "PCC_LISTEN": f"127.0.0.1:{free_port()}",
        }
        async with process(given, "run") as child, httpx.AsyncClient() as client:
            await eventually(lambda: lists(platform) >= 2)
            mortal.kill()
            await line(child, "state.failed")
            platform.unsubscribe("default", wanted[0])
            posts = changes(platform)
            await asyncio.sleep(3)  # time for passes, and for a call that must not be made
            assert changes(platform) == posts
            surface = f"http://{given['PCC_LISTEN']}"
            assert (await client.get(f"{surface}/healthz")).status_code == 200
            assert "\npcc_state_writable 0.0\n" in (await client.get(f"{surface}/metrics")).text
            mortal.start()
            await eventually(lambda: platform.subscribed("default") == set(wanted))


async def test_a_start_without_the_database_waits(tmp_path: Path, mortal: Postgres) -> None:
    """It says what it waits for, also on its page, makes no call, and begins when PostgreSQL answers."""
    platform = fleet(4)
    wanted = owned(platform)
    write(tmp_path / "desired-state.toml", text(wanted))
    async with serving(create_app(platform)) as base_url:
        given = environment(platform, base_url, tmp_path) | {"PCC_STATE_URL": mortal.fresh()}
        mortal.kill()
        given["PCC_LISTEN"] = f"127.0.0.1:{free_port()}"
        async with process(given, "run") as child:
            waiting = await line(child, "replica.trouble")
            assert str(waiting["error"]).startswith("PostgreSQL cannot be reached: ")
            async with httpx.AsyncClient(base_url=f"http://{given['PCC_LISTEN']}") as client:
                assert (await client.get("/healthz")).status_code == 200
                ready = await client.get("/readyz")
                assert (ready.status_code, "cannot be reached" in ready.text) == (503, True)
                page = await client.get("/")
                assert (page.status_code, "cannot be reached" in page.text) == (200, True)
            child.send_signal(signal.SIGTERM)
            code, _ = await exit_of(child)
            assert (code, platform.request_count) == (0, 0)
        async with process(given, "run") as child:
            await line(child, "replica.trouble")
            assert platform.request_count == 0
            mortal.start()
            await eventually(lambda: platform.subscribed("default") == set(wanted))


async def test_commands_read_the_state_in_the_database(
    tmp_path: Path, postgresql: Postgres
) -> None:
    """After the daemon has ended, apply, plan, status, explain, history and doctor know what it wrote."""
    platform = fleet(6)
    wanted = owned(platform)
    write(tmp_path / "desired-state.toml", text(wanted))
    async with serving(create_app(platform)) as base_url:
        given = environment(platform, base_url, tmp_path) | {"PCC_STATE_URL": postgresql.fresh()}
        assert "there is no state in PostgreSQL (PCC_STATE_URL)" in await shown(given, "history")
        assert "none yet; the daemon will make its tables" in await shown(given, "doctor")
        assert "6 subscribed" in await shown(given, "apply", "--yes")
        assert "subscribe" in await shown(given, "history")
        assert "in sync" in await shown(given, "plan")
        assert "the state in PostgreSQL" in await shown(given, "explain", str(wanted[0]))
        assert "PostgreSQL" in await shown(given, "doctor")
    assert not (tmp_path / "state" / "state.db").exists()


@pytest.mark.parametrize(("longest", "waits"), [("10m", True), ("1s", False)])
async def test_apply_waits_for_the_call_of_a_replica_that_was_killed_as_long_as_calls_may_take(
    tmp_path: Path, postgresql: Postgres, longest: str, *, waits: bool
) -> None:
    """How long that is the setting says: until then a list without the device does not show that it was not made."""
    platform, clock = fleet(2), SystemClock()
    wanted, device = owned(platform)
    write(tmp_path / "desired-state.toml", text([wanted]))
    url = postgresql.fresh()
    killed = State.open(Place(tmp_path, lambda: url), clock)
    intent = [Change(DEFAULT_ACCOUNT, Action.SUBSCRIBE, DeviceId(device))]
    began, revision = clock.now() - timedelta(seconds=80), Revision("1" * 64)
    killed.changes.intend(DEFAULT_ACCOUNT, PassId("pass"), intent, NOTHING, revision, began)
    killed.close()
    async with serving(create_app(platform)) as base_url:
        given = environment(platform, base_url, tmp_path) | {
            "PCC_STATE_URL": url,
            "PCC_REQUEST_TIMEOUT": longest,
            "PCC_LEASE": "15m",
        }
        assert "1 subscribed" in await shown(given, "apply", "--yes")
    with psycopg.connect(url) as connection:
        found = connection.execute("SELECT open FROM change WHERE device = %s", (device,))
        assert found.fetchall() == [(waits,)]


async def test_a_database_that_is_away_is_one_line_without_the_password(tmp_path: Path) -> None:
    """A command ends with one sentence that names the server."""
    write(tmp_path / "desired-state.toml", text([]))
    url = "postgresql://pcc:Swordfish-1@127.0.0.1:1/pcc"
    given = environment(fleet(1), "http://127.0.0.1:9", tmp_path) | {"PCC_STATE_URL": url}
    said = await shown(given, "history")
    assert said == (
        "pcc-reconciler: PostgreSQL at 127.0.0.1:1 cannot be reached: Connection refused\n"
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"PCC_STATE_URL": "mysql://u:Swordfish-1@h/db"}, "has to be like postgresql://"),
        ({"PCC_STATE_URL": URL, "PCC_LEASE": "30s"}, "has to be at least 35s"),
        ({"PCC_STATE_URL": URL, "PCC_REQUEST_TIMEOUT": "26s"}, "has to be at least 46s"),
        ({"PCC_STATE_URL_FILE": "url", "PCC_LEASE": "1s"}, "has to be at least 35s"),
        ({"PCC_STATE_URL": URL, "PCC_STATE_URL_FILE": "url"}, "not both"),
    ],
)
def test_settings_that_cannot_be_right(change: Mapping[str, str], words: str) -> None:
    """Each is a fault with a sentence, in which the address is not shown."""
    with pytest.raises(Invalid) as caught:
        load({"HOME": "/home/someone"} | dict(change))
    (fault,) = map(str, caught.value.faults)
    assert words in fault
    assert "Swordfish" not in fault


def test_a_lease_means_nothing_without_a_database() -> None:
    """Whoever has one replica may have any time limit of calls."""
    settings = load({"HOME": "/home/someone", "PCC_REQUEST_TIMEOUT": "10m"})
    assert settings.state_place.url is None
    assert load({"HOME": "/h", "PCC_STATE_URL": URL, "PCC_LEASE": "35s"}).state_place.shared


def test_the_address_is_read_from_its_file_at_each_use(tmp_path: Path) -> None:
    """A password may change while the program runs, and the password alone is masked, too."""
    file = tmp_path / "url"
    file.write_text(URL + "\n")
    place = load({"HOME": "/h", "PCC_STATE_URL_FILE": str(file)}).state_place
    assert place.url is not None
    assert place.url() == URL
    file.write_text(URL.replace("Swordfish-1", "Swordfish-22"))
    os.utime(file, (1, 1))
    assert place.url() == URL.replace("Swordfish-1", "Swordfish-22")
    masking = Masking()
    masking.know(load({"HOME": "/h", "PCC_STATE_URL": URL}).secrets())
    assert "Swordfish" not in masking.text("password Swordfish-1 is wrong")


async def test_no_command_changes_the_state_beside_a_replica(
    tmp_path: Path, postgresql: Postgres
) -> None:
    """While a daemon lives in the database, apply and migrate-state end with a sentence that names it."""
    platform = fleet(4)
    wanted = owned(platform)
    write(tmp_path / "desired-state.toml", text(wanted))
    async with serving(create_app(platform)) as base_url:
        given = environment(platform, base_url, tmp_path) | {"PCC_STATE_URL": postgresql.fresh()}
        State.open(Path(given["PCC_STATE_DIR"]), SystemClock()).close()
        async with process(given, "run") as child:
            await eventually(lambda: platform.subscribed("default") == set(wanted))
            for command in (("apply", "--yes"), ("migrate-state",)):
                said = await shown(given, *command)
                assert f"replica {gethostname()} uses PostgreSQL: stop all replicas first" in said
            child.send_signal(signal.SIGTERM)
            assert (await exit_of(child))[0] == 0
        assert "4 in sync" in await shown(given, "apply", "--yes")


def test_a_replica_joins_after_the_command(tmp_path: Path, postgresql: Postgres) -> None:
    """While a command works on the whole state, a second command is refused, and a replica waits to join."""
    url = postgresql.fresh()
    place = Place(tmp_path, partial(str, url))
    joined = threading.Event()
    coordination = PostgresCoordination.at(url)

    def join() -> None:
        coordination.members.join(Member(MemberId("m"), "pod", "1", 45.0))
        joined.set()

    with vacant(place, print):
        replica = threading.Thread(target=join)
        replica.start()
        with (
            pytest.raises(StateError, match="another command or a replica uses PostgreSQL"),
            vacant(place, print),
        ):
            pass
        assert not joined.is_set()
    replica.join(30)
    assert joined.is_set()
    coordination.close()
