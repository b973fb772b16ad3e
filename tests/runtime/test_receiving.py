"""The receiving process as a process of its own: what it takes, how it ends, and what keeps it from starting."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from processes import exit_of, process
from receiving import EVENT, PAIR, PATH_SECRET, basic, body
from reconciler.runtime.server import listening
from reconciler.runtime.setting_values import Listen
from reconciler.runtime.settings import LG_CREDENTIALS
from scenarios import DEADLINE_SECONDS, eventually, eventually_true, free_port


@dataclass
class Running:
    """A receiving process that answers."""

    child: asyncio.subprocess.Process
    url: str
    http: httpx.AsyncClient

    async def post(self, content: bytes, **headers: str) -> httpx.Response:
        """Send an event."""
        return await self.http.post(f"{self.url}/pcc/events", content=content, headers=headers)

    async def metric(self, line: str) -> bool:
        """Say whether the metrics have a line."""
        return line in (await self.http.get(f"{self.url}/metrics")).text.splitlines()

    async def end(self) -> str:
        """Stop it in good order, and return what it logged."""
        self.child.send_signal(signal.SIGTERM)
        code, said = await exit_of(self.child)
        assert code == 0, said
        return said


def given_in(folder: Path, **more: str) -> dict[str, str]:
    """Return settings for a process whose files are in a folder."""
    return {
        "HOME": str(folder),
        "PCC_RECEIVE_LISTEN": "127.0.0.1:0",
        "PCC_EVENTS_DIR": str(folder / "events"),
        "PCC_EVENTS_CONFIG": str(folder / "events.toml"),
        "PCC_DESIRED_STATE": str(folder / "desired-state.toml"),
        "PCC_LOG_FORMAT": "json",
        **more,
    }


@asynccontextmanager
async def running(given: Mapping[str, str]) -> AsyncIterator[Running]:
    """Start the process, and wait until it says where it is."""
    async with process(given, "receive") as child, httpx.AsyncClient(trust_env=False) as http:
        assert child.stderr is not None
        url = ""
        said = b""
        while not url:
            line = await asyncio.wait_for(child.stderr.readline(), DEADLINE_SECONDS)
            said += line
            assert line, said
            if json.loads(line)["event"] == "receive.started":
                url = json.loads(line)["listen"]
        yield Running(child, url, http)


async def test_metrics_leave_the_port_of_lg_for_one_of_their_own(tmp_path: Path) -> None:
    """They are there alone, and who reaches the port that LG calls reads none."""
    metrics = f"127.0.0.1:{free_port()}"
    given = given_in(tmp_path, PCC_RECEIVE_METRICS_LISTEN=metrics)
    async with running(given) as receiver:
        assert (await receiver.post(body())).status_code == 200
        shown = await receiver.http.get(f"http://{metrics}/metrics")
        assert "pcc_receiver_build_info" in shown.text
        assert (await receiver.http.post(f"http://{metrics}/pcc/events")).status_code == 404
        assert (await receiver.http.get(f"{receiver.url}/metrics")).status_code == 404
        assert (await receiver.http.get(f"{receiver.url}/healthz")).status_code == 200
        await receiver.end()


async def test_what_was_answered_is_there_after_a_kill(tmp_path: Path) -> None:
    """Without any setting of LG's and without a desired state it takes events, and a kill loses none of them."""
    given = given_in(tmp_path)
    async with running(given) as one:
        for number in range(20):
            assert (await one.post(body(deviceId=f"device-{number}"))).status_code == 200
        one.child.kill()
        await one.child.wait()
    async with running(given) as one:
        again = await one.post(body(deviceId="device-7"))
        assert again.status_code == 200
        assert await one.metric("pcc_events_duplicate_total 1.0")
        seen = (await one.http.get(f"{one.url}/api/v1/seen")).json()
        assert [event["device"] for event in seen["events"]] == [f"device-{n}" for n in range(20)]
        assert seen["last"] == 20
        after = (await one.http.get(f"{one.url}/api/v1/seen?after=18")).json()
        assert [event["seq"] for event in after["events"]] == [19, 20]
        await one.end()


async def test_it_ends_in_good_order_while_callers_come(tmp_path: Path) -> None:
    """SIGTERM under load: every answer 200 is on the disk, the exit code is 0, and no caller hears a lie."""
    given = given_in(tmp_path)
    acknowledged: set[str] = set()

    async def call(one: Running, first: int) -> None:
        for number in range(first, first + 1000):
            device = f"device-{number}"
            try:
                answer = await one.post(body(deviceId=device))
            except httpx.HTTPError:
                return
            assert answer.status_code in {200, 503}
            if answer.status_code == 200:
                acknowledged.add(device)

    async with running(given) as one, asyncio.TaskGroup() as callers:
        for first in range(0, 20_000, 1000):
            callers.create_task(call(one, first))
        await eventually(lambda: len(acknowledged) >= 200)
        said = await one.end()
    assert "Traceback" not in said
    async with running(given) as one:
        kept: set[str] = set()
        after = 0
        while True:
            page = (await one.http.get(f"{one.url}/api/v1/seen?after={after}")).json()
            if not page["events"]:
                break
            after = page["last"]
            kept |= {event["device"] for event in page["events"]}
        await one.end()
    assert acknowledged <= kept


async def test_a_body_that_is_not_complete_at_the_end_is_sent_again_later(tmp_path: Path) -> None:
    """SIGTERM while a body comes in: its sender hears when to try again, as the table of answers says, and no error."""
    async with running(given_in(tmp_path)) as one:
        port = int(one.url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        whole = body()
        head = (
            f"POST /pcc/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(whole)}\r\n\r\n"
        )
        writer.write(head.encode() + whole[:-1])
        await writer.drain()
        await one.http.get(f"{one.url}/healthz")
        said = await one.end()
        answer = await asyncio.wait_for(reader.read(), DEADLINE_SECONDS)
        writer.close()
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: 60" in answer
    assert "Traceback" not in said


async def test_an_event_is_named_counted_and_delivered(tmp_path: Path) -> None:
    """The desired state names the device, the Logic Table its diagnosis, and a stream sink gets the CloudEvent."""
    device = EVENT["event"]["deviceId"]
    (tmp_path / "desired-state.toml").write_text(
        f'version = 1\n[accounts.seoul-hotel]\ndevices = [{{ id = "{device}", name = "Room 1203" }}]\n'
    )
    (tmp_path / "logic").mkdir()
    (tmp_path / "logic" / "types.csv").write_text(
        "diagnosis_type,category,device_types,severity,note\nWASHER_DRAIN_SLOW,malfunction,,high,\n"
    )
    (tmp_path / "logic" / "messages.en.csv").write_text(
        "diagnosis_type,device_type,short_message,full_instruction,instruction_url\n"
        "WASHER_DRAIN_SLOW,,{device_name} drains slowly,Clean the filter,\n"
    )
    events = tmp_path / "events.toml"
    out = tmp_path / "out.jsonl"
    events.write_text(
        f'version = 1\nlogic = "logic/"\n[sinks.crm]\ntype = "stream"\npath = "{out}"\n'
    )
    async with running(given_in(tmp_path)) as one:

        async def ready() -> bool:
            return (await one.http.get(f"{one.url}/readyz")).status_code == 200

        await eventually_true(ready)
        assert (await one.post(body())).status_code == 200

        async def delivered() -> bool:
            return await one.metric('pcc_deliveries_total{result="delivered",sink="crm"} 1.0')

        await eventually_true(delivered)
        labels = 'category="malfunction",device="desired",push_type="PCC_EVENT"'
        assert await one.metric(f"pcc_events_received_total{{{labels}}} 1.0")

        async def counted() -> bool:
            # The attempt is counted before its outcome is on the disk.
            return await one.metric('pcc_spool_events{sink="crm",state="delivered"} 1.0')

        await eventually_true(counted)
        assert await one.metric("pcc_logic_last_reload_successful 1.0")
        found = (await one.http.get(f"{one.url}/api/v1/events?account=seoul-hotel")).json()
        assert [event["state"] for event in found["events"]] == ["delivered"]
        said = await one.end()
    left = json.loads(out.read_text())
    assert left["data"]["device"]["name"] == "Room 1203"
    assert left["data"]["messages"]["en"]["short"] == "Room 1203 drains slowly"
    received = next(
        line for line in map(json.loads, said.splitlines()) if line["event"] == "event.received"
    )
    assert received["account"] == "seoul-hotel"
    assert "drains" not in said


class Partner:
    """The partner's own system: takes events over HTTP."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, Any]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Take one event."""
        content = b""
        more = True
        while more:
            message = await receive()
            content += message["body"]
            more = message["more_body"]
        headers = dict(scope["headers"])
        self.taken.append((headers[b"webhook-id"].decode(), json.loads(content)))
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})


async def test_an_event_is_posted_to_the_partner(tmp_path: Path) -> None:
    """A sink over HTTP gets the CloudEvent under the event's id, once for each diagnosis."""
    partner = Partner()
    with listening(Listen("127.0.0.1", 0)) as port:
        task = asyncio.create_task(port.serve(partner))
        (tmp_path / "events.toml").write_text(
            f'version = 1\n[sinks.crm]\ntype = "http"\nurl = "{port.url}/pcc"\n'
        )
        async with running(given_in(tmp_path)) as one:
            for device in ("first-device", "first-device", "second-device"):
                assert (await one.post(body(deviceId=device))).status_code == 200
            await eventually(lambda: len(partner.taken) >= 2)
            listed = (await one.http.get(f"{one.url}/api/v1/events")).json()["events"]
            await one.end()
        port.stop()
        await task
    assert {name for name, _ in partner.taken} == {event["id"] for event in listed}
    assert [event["subject"] for _, event in partner.taken] == ["first-device", "second-device"]


async def test_faulty_files_neither_end_it_nor_take_anything_out_of_force(tmp_path: Path) -> None:
    """After an edit with a fault, and after a restart with it, the last accepted sinks are still in force."""
    events = tmp_path / "events.toml"
    out = tmp_path / "out.jsonl"
    good = f'version = 1\n[sinks.crm]\ntype = "stream"\npath = "{out}"\n'
    events.write_text(good)
    given = given_in(tmp_path)

    async def rejected() -> bool:
        return await one.metric("pcc_logic_last_reload_successful 0.0")

    async def lines() -> bool:
        return out.exists() and len(out.read_text().splitlines()) == expected

    async with running(given) as one:
        assert await one.metric("pcc_logic_last_reload_successful 1.0")
        events.write_text("version = 1\n[sinks.crm]\ntype = 'steam'\n")
        await eventually_true(rejected)
        await one.post(body(deviceId="first-device"))
        expected = 1
        await eventually_true(lines)
        await one.end()
    async with running(given) as one:
        assert await rejected()
        await one.post(body(deviceId="second-device"))
        expected = 2
        await eventually_true(lines)
        events.unlink()
        await one.post(body(deviceId="third-device"))
        expected = 3
        await eventually_true(lines)
        await one.end()


async def test_without_an_events_file_events_are_kept(tmp_path: Path) -> None:
    """It says that there are no sinks, and a sink that is written later gets what comes from then on."""
    async with running(given_in(tmp_path)) as one:
        await one.post(body(deviceId="first-device"))
        found = (await one.http.get(f"{one.url}/api/v1/events?state=unrouted")).json()
        assert len(found["events"]) == 1
        out = tmp_path / "out.jsonl"
        (tmp_path / "events.toml").write_text(
            f'version = 1\n[sinks.crm]\ntype = "stream"\npath = "{out}"\n'
        )

        async def in_force() -> bool:
            return await one.metric('pcc_spool_events{sink="crm",state="pending"} 0.0')

        await eventually_true(in_force)
        await one.post(body(deviceId="second-device"))
        await eventually_true(lambda: asyncio.to_thread(out.exists))
        said = await one.end()
    assert (
        "rules.no_sinks" not in said
    )  # it was the first line of all, before the process took calls


async def test_a_spool_that_cannot_be_opened_is_tried_again(tmp_path: Path) -> None:
    """Until then callers are asked to come again; as soon as the folder can be made, events are taken."""
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where a folder should be")
    given = given_in(tmp_path, PCC_EVENTS_DIR=str(blocked / "events"))
    async with running(given) as one:
        answer = await one.post(body())
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "60")
        ready = await one.http.get(f"{one.url}/readyz")
        assert (ready.status_code, ready.text) == (503, "the spool is not open\n")
        assert (await one.http.get(f"{one.url}/healthz")).status_code == 200
        assert (await one.http.get(f"{one.url}/api/v1/events")).status_code == 503
        assert (await one.http.get(f"{one.url}/metrics")).status_code == 200
        blocked.unlink()

        async def taken() -> bool:
            return (await one.post(body())).status_code == 200

        await eventually_true(taken)
        said = await one.end()
    assert said.count("spool.failed") <= 1  # its first line came before the process took calls


async def test_a_spool_that_opens_late_brings_back_the_sinks_of_before(tmp_path: Path) -> None:
    """Where the events file is faulty meanwhile, events go to the sinks that were accepted last."""
    home, out, file = tmp_path / "home", tmp_path / "out.jsonl", tmp_path / "events.toml"
    given = given_in(tmp_path, PCC_EVENTS_DIR=str(home / "spool"))
    file.write_text(f'version = 1\n[sinks.crm]\ntype = "stream"\npath = "{out}"\n')
    async with running(given) as one:
        await one.post(body(deviceId="first-device"))
        await eventually_true(lambda: asyncio.to_thread(out.exists))
        await one.end()
    home.rename(tmp_path / "away")
    home.write_text("a file where a folder should be")
    file.write_text("version = 1\nnonsense = 2\n")
    async with running(given) as one:
        assert (await one.post(body(deviceId="second-device"))).status_code == 503
        home.unlink()
        (tmp_path / "away").rename(home)

        async def delivered() -> bool:
            await one.post(body(deviceId="second-device"))
            return b"second-device" in await asyncio.to_thread(out.read_bytes)

        await eventually_true(delivered)
        await one.end()


async def test_a_hang_up_reads_the_desired_state_and_ends_nothing(tmp_path: Path) -> None:
    """Events that come afterwards have the new names."""
    file = tmp_path / "desired-state.toml"
    file.write_text("version = 1\ndevices = []\n")
    async with running(given_in(tmp_path)) as one:
        file.write_text('version = 1\ndevices = ["first-device"]\n')
        one.child.send_signal(signal.SIGHUP)

        async def named() -> bool:
            await one.post(
                body(deviceId="first-device", diagnosisType=f"TYPE-{time.monotonic_ns()}")
            )
            found = (await one.http.get(f"{one.url}/api/v1/events?account=default")).json()
            return bool(found["events"])

        await eventually_true(named)
        said = await one.end()
    assert "daemon.read_again" in said


@pytest.mark.parametrize("name", ["PCC_SERVICE_KEY", "PCC_CLIENT_ID_FILE", "PCC_CREDENTIALS_DIR"])
async def test_a_credential_of_lg_keeps_it_from_starting(tmp_path: Path, name: str) -> None:
    """The exit code is 1, and the one line names the setting and not its value."""
    async with process(given_in(tmp_path, **{name: "sesame-open-9000"}), "receive") as child:
        code, said = await exit_of(child)
    assert code == 1
    (line,) = said.splitlines()
    assert name in json.loads(line)["faults"][0]
    assert "sesame" not in said
    assert name in LG_CREDENTIALS


async def test_two_processes_do_not_share_a_spool(tmp_path: Path) -> None:
    """The second one ends with a line that says who has it."""
    given = given_in(tmp_path)
    async with running(given) as one:
        async with process(given, "receive") as child:
            code, said = await exit_of(child)
        assert code == 1
        assert "holds" in said or "held" in said or "in use" in said, said
        await one.end()


async def test_no_line_shows_a_secret(tmp_path: Path) -> None:
    """Neither the pair, nor its header, nor the secret of the path is in the log, at any level and whatever comes."""
    secret = tmp_path / "secret"
    secret.write_text(PATH_SECRET)
    given = given_in(
        tmp_path,
        PCC_RECEIVE_BASIC=PAIR,
        PCC_RECEIVE_SECRET_FILE=str(secret),
        PCC_LOG_LEVEL="debug",
    )
    async with running(given) as one:
        path = f"{one.url}/pcc/events/{PATH_SECRET}"
        shown = {"Authorization": basic()}
        content = body(deviceId=f"device of {PAIR} and {PATH_SECRET}")
        assert (await one.http.post(path, content=content, headers=shown)).status_code == 200
        assert (await one.http.post(path, content=content)).status_code == 401
        assert (await one.http.post(f"{path}x", headers=shown)).status_code == 401
        secret.write_text("AnotherVeryLongSegment-2026")
        newer = f"{one.url}/pcc/events/AnotherVeryLongSegment-2026"

        async def taken() -> bool:
            return (await one.http.post(newer, content=content, headers=shown)).status_code == 200

        await eventually_true(taken)
        assert (await one.http.post(path, content=content, headers=shown)).status_code == 401
        said = await one.end()
    assert "event.received" in said
    for hidden in (PAIR, PAIR.partition(":")[2], basic().split()[1], PATH_SECRET, "AnotherVery"):
        assert hidden not in said


async def test_the_self_test_goes_through_the_public_address(tmp_path: Path) -> None:
    """It exits with 0 only if the event is on the disk, and is shown in the metrics and counted nowhere."""
    given = given_in(tmp_path, PCC_RECEIVE_BASIC=PAIR, PCC_RECEIVE_SECRET=PATH_SECRET)
    async with running(given) as one:
        for url in (one.url, f"{one.url}/pcc/events", f"{one.url}/pcc/events/{PATH_SECRET}"):
            async with process(given, "receive", "--check", url) as child:
                out, said = await child.communicate()
            assert child.returncode == 0, said
            assert PATH_SECRET not in out.decode()
        wrong = given | {"PCC_RECEIVE_BASIC": "lg:sesame-open-9001"}
        for settings, url, why in (
            (wrong, one.url, "answers 401: it refuses the credential"),
            (given, f"{one.url}/metrics", "answers"),
            (given, "http://127.0.0.1:1", "nothing listens there (connection refused)"),
        ):
            async with process(settings, "receive", "--check", url) as child:
                code, words = await exit_of(child)
            assert code == 1
            assert words.startswith("pcc-reconciler: http://127.0.0.1")
            assert why in words
        metrics = (await one.http.get(f"{one.url}/metrics")).text
        stamp = re.search(
            r"^pcc_self_check_last_success_timestamp_seconds (\S+)$", metrics, re.MULTILINE
        )
        assert stamp is not None
        assert float(stamp[1]) > 0
        assert not re.search(r"^pcc_events_received_total\{.*\} [1-9]", metrics, re.MULTILINE)
        assert (await one.http.get(f"{one.url}/api/v1/events")).json()["events"] == []
        await one.end()
