"""The JSON of the daemon: its document and its answers agree, and what is asked badly is told so."""

from __future__ import annotations

import os
import re
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import pytest

from reconciler.api.commands import OpenBody, PauseBody, PlanBody
from reconciler.api.local import ServerFolder
from reconciler.core.model import Commit
from reconciler.reporting import (
    AccountReport,
    GuardReport,
    HeldReport,
    PauseReport,
    SeenReport,
    StatusReport,
    TextReport,
)
from reconciler.reporting.devices import DeviceList, DeviceRow
from reconciler.reporting.explain import (
    ApprovalReport,
    ChangeReport,
    Explanation,
    HoldReport,
    MarkReport,
    PlaceReport,
    WaitReport,
)
from reconciler.reporting.explain.values import EventReport
from reconciler.reporting.forecast import BoundaryReport
from reconciler.reporting.heard import HeardReport, LastHeardReport
from reconciler.reporting.queries import AccountDetail, DeviceExplanation, Page, RefusedReport
from reconciler.reporting.registry_reports import (
    AccountRegistry,
    RegisteredReport,
    RegistryList,
    RegistryReport,
    RuleReport,
)
from reconciler.reporting.windows import OpeningReport, WindowReport
from reconciler.simulator import Match, Route, Rule
from reconciler.simulator.faults import Error
from scenarios import Site, eventually, eventually_true, fault, fleet, owned, site, text, write

ROOT = Path(__file__).parent.parent.parent
VALUES: dict[str, type] = {
    "Status": StatusReport,
    "Device list": DeviceList,
    "Device row": DeviceRow,
    "Text": TextReport,
    "Commit": Commit,
    "Seen": SeenReport,
    "Account": AccountReport,
    "Held": HeldReport,
    "Guard": GuardReport,
    "Pause": PauseReport,
    "Boundary": BoundaryReport,
    "Refused": RefusedReport,
    "Wait": WaitReport,
    "Explanation": DeviceExplanation,
    "Device": Explanation,
    "Place": PlaceReport,
    "Mark": MarkReport,
    "Hold": HoldReport,
    "Approval": ApprovalReport,
    "History": Page,
    "Change": ChangeReport,
    "Event": EventReport,
    "Heard of": HeardReport,
    "Registry": RegistryReport,
    "Rule": RuleReport,
    "Registries": RegistryList,
    "Account's registry": AccountRegistry,
    "Registered device": RegisteredReport,
    "Last heard": LastHeardReport,
    "Pause body": PauseBody,
    "Plan body": PlanBody,
    "Open body": OpenBody,
    "Window": WindowReport,
    "Opening": OpeningReport,
}


def sections() -> dict[str, str]:
    """Return the sections of the document by their titles."""
    document = (ROOT / "docs" / "api.md").read_text("utf-8")
    return dict(re.findall(r"^### ([^\n]+)\n(.*?)(?=^##|\Z)", document, re.MULTILINE | re.DOTALL))


def documented(title: str) -> list[str]:
    """Return the keys that a section explains."""
    rows = re.findall(r"^\| (`.+?) \|", sections()[title], re.MULTILINE)
    return [key for row in rows for key in re.findall(r"`(\w+)`", row)]


def keys(kind: type) -> set[str]:
    """Return the keys that a value has as JSON."""
    return {one.encode_name for one in msgspec.inspect.type_info(kind).fields}  # type: ignore[attr-defined]  # of objects


@pytest.mark.parametrize("title", VALUES)
def test_each_key_is_documented_and_present(title: str) -> None:
    """The table of each value explains each of its keys once, and no key that it does not have."""
    explained = documented(title)
    assert len(explained) == len(set(explained))
    assert set(explained) == keys(VALUES[title])


def test_the_document_has_a_section_for_each_value() -> None:
    """Beside the values there are only what an account's own call adds, and the answer to a proposed plan."""
    assert sections().keys() - VALUES.keys() == {"Account in full", "Plan"}
    assert set(documented("Account in full")) == keys(AccountDetail) - keys(AccountReport)


async def exactly(one: Site, path: str, kind: type) -> dict[str, Any]:
    """Ask, and make sure that the answer has every key of this value and of those in it, and no other."""
    response = await one.get(path)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/json"
    answer: dict[str, Any] = response.json()
    assert answer.pop("api") == 1
    assert is_dataclass(kind)
    assert msgspec.json.decode(msgspec.json.encode(msgspec.convert(answer, kind))) == answer
    return answer


async def test_answers_have_the_documented_keys(tmp_path: Path) -> None:
    """A daemon with something subscribed, removed, held and refused answers each call as the document says."""
    platform = fleet(12)
    devices = owned(platform)
    refused, held = devices[11], devices[1]
    platform.set_faults(
        Rule(Error(code="1214"), match=Match(route=Route.SUBSCRIBE, devices=(refused,)))
    )
    write(tmp_path / "desired-state.toml", text(devices, "policy.max_unsubscribe_floor = 1"))
    async with site(tmp_path, platform) as one:
        await one.has(devices[:11])
        write(
            one.file,
            text(
                [devices[0], refused], "policy.max_unsubscribe_floor = 1", *approving(devices[10])
            ),
        )
        await one.has(devices[:10])
        await one.http.post(
            "/api/v1/pause", json={"for": "1h", "reason": "night", "pause": "unsubscribe"}
        )

        async def shown() -> bool:
            status = await exactly(one, "/api/v1/status", StatusReport)
            return {held["reason"] for held in status["accounts"][0]["held"]} == {
                "too-many",
                "refused",
            }

        await eventually_true(shown)
        account = await exactly(one, "/api/v1/accounts/default", AccountDetail)
        assert [refusal["device"] for refusal in account["refused_devices"]] == [refused]
        assert account["pause"]["reason"] == "night"
        assert account["approvals"][0]["devices"] == 1
        device = await exactly(one, f"/api/v1/accounts/default/devices/{held}", Explanation)
        assert (device["state"], device["hold"]["reason"]) == ("extra", "too-many")
        found = await exactly(one, f"/api/v1/devices?device={devices[10][:12]}", DeviceExplanation)
        assert (found["taken_by"], found["accounts"][0]["changes"][0]["approved"]) == (
            "prefix",
            True,
        )
        listed = await exactly(one, "/api/v1/device-states", DeviceList)
        by_device = {row["device"]: row["state"] for row in listed["devices"]}
        assert (by_device[held], by_device[refused]) == ("held", "refused")
        history = await exactly(one, "/api/v1/history", Page)
        assert {change["action"] for change in history["changes"]} == {"subscribe", "unsubscribe"}


def approving(*devices: str) -> tuple[str, ...]:
    """Return an approval, to stand before the top-level ``devices``; TOML wants tables last, so it is inline."""
    listed = ", ".join(f'"{device}"' for device in devices)
    return (
        f'approvals = [{{ devices = [{listed}], expires = 2099-01-01T00:00:00Z, reason = "closed" }}]',
    )


async def test_pages_of_history_follow_each_other_without_a_gap(tmp_path: Path) -> None:
    """Page by page one gets every change once, newest first, however many share a moment."""
    platform = fleet(23)
    write(tmp_path / "desired-state.toml", text(owned(platform)))
    async with site(tmp_path, platform) as one:
        await one.has(owned(platform))
        found: list[str] = []
        times: list[str] = []
        before = ""
        while True:
            page = (await one.get(f"/api/v1/history?limit=5{before}")).json()
            assert len(page["changes"]) <= 5
            found += [change["device"] for change in page["changes"]]
            times += [change["at"] for change in page["changes"]]
            if page["next"] is None:
                break
            before = f"&before={page['next']}"
        assert sorted(found) == sorted(owned(platform))
        assert times == sorted(times, reverse=True)


BAD = {
    "/api/v1/history?limit=0": (400, "from 1 to 1000"),
    "/api/v1/history?limit=1001": (400, "from 1 to 1000"),
    "/api/v1/history?limit=-1": (400, "from 1 to 1000"),
    "/api/v1/history?limit=%D9%A3": (400, "from 1 to 1000"),
    "/api/v1/history?limit=" + "9" * 5000: (400, "from 1 to 1000"),
    "/api/v1/history?limit=0001000000": (400, "from 1 to 1000"),
    "/api/v1/history?since=yesterday": (400, "since must be"),
    "/api/v1/history?since=2026-11-22T10:00:00": (400, "with its offset"),
    "/api/v1/history?until=0000-01-01T00:00:00Z": (400, "until must be"),
    "/api/v1/history?before=x": (400, "the next of an earlier answer"),
    "/api/v1/history?before=WzEsMiwiYSIsMV0": (400, "the next of an earlier answer"),
    "/api/v1/history?before=" + "W1tb" * 4000: (400, "the next of an earlier answer"),
    "/api/v1/history?acount=default": (400, "did you mean 'account'?"),
    "/api/v1/history?account=defualt": (404, "did you mean 'default'?"),
    "/api/v1/accounts/defualt": (404, "did you mean 'default'?"),
    "/api/v1/accounts/%3Cscript%3E": (404, "there is no account"),
    "/api/v1/accounts/default/devices/nothing": (404, "device 'nothing' not found"),
    "/api/v1/accounts/nobody/devices/x": (404, "there is no account 'nobody'"),
    "/api/v1/accounts/default/devices/" + "x" * 20000: (404, "not found"),
    "/api/v1/accounts/default/devices/" + quote("../../x\x00'; DROP TABLE change", safe=""): (
        404,
        "not found",
    ),
    "/api/v1/accounts/default/devices/%FF%FE": (404, "not found"),
    "/api/v1/accounts/default/devices/x%0Ay": (404, "Not Found"),
    "/api/v1/device-states?acount=default": (400, "did you mean 'account'?"),
    "/api/v1/device-states?account=defualt": (404, "did you mean 'default'?"),
    "/api/v1/device-states?state=mising": (400, "did you mean 'missing'?"),
    "/api/v1/device-states?limit=1001": (400, "from 1 to 1000"),
    "/api/v1/device-states?after=WyJhIl0": (400, "the next of an earlier answer"),
    "/api/v1/device-states?name=": (400, "name is empty"),
    "/api/v1/devices": (400, "say which device"),
    "/api/v1/devices?device=": (400, "say which device"),
    "/api/v1/devices?device=x&acount=default": (400, "did you mean 'account'?"),
    "/api/v1/devices?device=x&account=nobody": (404, "there is no account 'nobody'"),
}


async def test_what_is_asked_badly_is_told_in_a_sentence(tmp_path: Path) -> None:
    """Parameters, accounts and ids that do not fit are refused in words on one line, and harm nothing."""
    platform = fleet(2)
    write(tmp_path / "desired-state.toml", text(owned(platform)))
    async with site(tmp_path, platform) as one:
        await one.has(owned(platform))
        for path, (status, words) in BAD.items():
            answer = await one.http.get(path)
            assert (answer.status_code, words in answer.text) == (status, True), (
                path[:80],
                answer.text[:80],
            )
            assert len(answer.text) < 1500
            assert "\n" not in answer.text
        assert len((await one.get("/api/v1/history")).json()["changes"]) == 2


async def test_reading_needs_no_token_and_is_for_get_only(tmp_path: Path) -> None:
    """Whoever reaches the port may read, under any name and without a token, and no other origin is let in."""
    platform = fleet(2)
    write(tmp_path / "desired-state.toml", text(owned(platform)))
    async with site(tmp_path, platform, PCC_LISTEN_TOKEN="a-listen-token-of-some-length") as one:
        await one.has(owned(platform))
        paths = (
            *("/api/v1/status", "/api/v1/accounts/default", "/api/v1/history"),
            "/api/v1/device-states",
            *(
                f"/api/v1/devices?device={owned(platform)[0]}",
                f"/api/v1/accounts/default/devices/{owned(platform)[0]}",
            ),
        )
        for path in paths:
            answer = await one.http.get(
                path, headers={"host": "elsewhere.example", "origin": "http://evil.example"}
            )
            assert answer.status_code == 200
            assert "access-control-allow-origin" not in answer.headers
            assert answer.headers["cache-control"] == "no-store"
            assert (await one.http.post(path, json={})).status_code == 405


async def test_a_name_that_is_no_text_is_told_all_the_same(tmp_path: Path) -> None:
    """A file's name need not be UTF-8: whoever asks how things stand hears of it, by every call."""
    platform = fleet(2)
    write(tmp_path / "texts" / "a.toml", text(owned(platform)))
    async with site(tmp_path, platform, PCC_DESIRED_STATE=str(tmp_path / "texts")) as one:
        await one.has(owned(platform))
        write(tmp_path / "texts" / os.fsdecode(b"b\xff.toml"), "version = 1\n")
        await eventually(lambda: one.told("desired.rejected"))
        answers = {path: await one.get(path) for path in ("/", "/metrics", "/api/v1/status")}
        assert {path: answer.status_code for path, answer in answers.items()} == dict.fromkeys(
            answers, 200
        )
        assert "b\\udcff.toml" in answers["/api/v1/status"].json()["text"]["faults"][0]


async def test_an_unreadable_state_is_told_and_nothing_else_suffers(tmp_path: Path) -> None:
    """Where the state cannot be read the answer is 503 with a sentence, and passes go on."""
    platform = fleet(3)
    platform.set_faults(fault(Error(code="1214"), Route.UNSUBSCRIBE))
    write(tmp_path / "desired-state.toml", text(owned(platform)[:2]))
    async with site(tmp_path, platform) as one:
        await one.has(owned(platform)[:2])
        database: Any = one.process.components.state._storage.medium
        with database._turn:
            database._connection.execute("ALTER TABLE change RENAME TO gone")
        answer = await one.get("/api/v1/history")
        assert (answer.status_code, "cannot be read" in answer.text) == (503, True), answer.text
        with database._turn:
            database._connection.execute("ALTER TABLE gone RENAME TO change")
        write(one.file, text(owned(platform)))
        await one.has(owned(platform))
        assert (await one.get("/api/v1/history")).status_code == 200


async def test_places_are_seen_from_the_folder_of_the_texts(tmp_path: Path) -> None:
    """No answer and no page tells where on the server the files are, in faults, warnings, places or words."""
    platform = fleet(3)
    devices = owned(platform)
    home = tmp_path / "conf"
    home.mkdir()
    link = tmp_path / "etc"
    link.symlink_to(home)
    write(home / "desired-state.toml", text(devices))
    paths = (home / "desired-state.toml", link / "desired-state.toml", home, link)
    for number, path in enumerate(paths):
        write(home / "desired-state.toml", text(devices))
        where = {"PCC_DESIRED_STATE": str(path), "PCC_STATE_DIR": str(tmp_path / f"state-{number}")}
        async with site(tmp_path, platform, **where) as one:
            await one.passes(1)
            story = (await one.get(f"/api/v1/accounts/default/devices/{devices[0]}")).json()
            assert story["place"]["path"] == "desired-state.toml"
            write(
                home / "desired-state.toml",
                'version = 1\ndevices = ["a", "a"]\ndevice_files = ["../x.txt", "no.txt"]\n',
            )

            async def rejected() -> bool:
                return bool((await one.get("/api/v1/status")).json()["text"]["faults"])

            await eventually_true(rejected)
            faults = (await one.get("/api/v1/status")).json()["text"]["faults"]
            assert all(fault.startswith("desired-state.toml:") for fault in faults)
            for asked in (
                "/",
                "/api/v1/status",
                "/api/v1/accounts/default",
                f"/api/v1/devices?device={devices[0]}",
            ):
                assert str(tmp_path) not in (await one.get(asked)).text
            (home / "desired-state.toml").unlink()

            async def missing() -> bool:
                return bool(
                    (await one.get("/api/v1/status")).json()["text"]["rejected"] == "missing"
                )

            await eventually_true(missing)
            for asked in ("/", "/api/v1/status"):
                assert str(tmp_path) not in (await one.get(asked)).text


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ("/etc/pcc/a.toml:3:1: x at /etc/pcc/b.toml:1:1", "a.toml:3:1: x at b.toml:1:1"),
        ("/etc/pcc: there is no file", ".: there is no file"),
        ('"/etc/pcc/devices/a.txt"', '"devices/a.txt"'),
        ("/etc/pcc2/a.toml", "/etc/pcc2/a.toml"),
        ("/srv/etc/pcc/a.toml", "/srv/etc/pcc/a.toml"),
        ("/etc/pcc.toml", "/etc/pcc.toml"),
    ],
)
def test_only_the_folder_itself_is_taken_out(words: str, shown: str) -> None:
    """Other paths that begin or end alike stay as they are."""
    assert ServerFolder(Path("/etc/pcc")).hide(words) == shown
    assert ServerFolder(Path("etc/pcc")).hide(words) == words
    assert ServerFolder(Path("/")).hide(words) == words
