"""The receiving process against a sender that does all that LG might do: nothing is lost, and nothing comes twice."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from browser import chromium, looking
from reconciler.runtime import settings
from reconciler.runtime.demo_events import LOG_ONLY, logic_files
from reconciler.runtime.receiving.process import ReceiverProcess
from reconciler.simulator import (
    TABLE,
    Callbacks,
    Rule,
    Sender,
    Target,
    create_app,
    sample_platform,
    serving,
)
from reconciler.simulator import event_faults as fault
from scenarios import eventually, eventually_true

PAIR = "lg:a-password-of-a-test"
EVENTS = 150
TROUBLE = (
    Rule(fault.Again(message_id="same"), probability=0.15),
    Rule(fault.Again(times=2, after=0.05, message_id="new"), probability=0.15),
    Rule(fault.Delay(0.0, 0.5), probability=0.3),
    Rule(fault.Old(0.0, 259_200.0), probability=0.2),
    Rule(fault.Reorder(behind=3, at_most=0.5), probability=0.2),
    Rule(fault.Array(size=4, at_most=0.3), probability=0.2),
    Rule(fault.Unknown(), probability=0.1),
    Rule(fault.Extra(), probability=0.2),
    Rule(fault.Times("zoned"), probability=0.2),
    Rule(fault.Times("utc"), probability=0.2),
    Rule(fault.Push("DEVICE_STATUS"), probability=0.1),
    Rule(fault.CutBody(), probability=0.1),
)


@dataclass
class Pair:
    """A receiver, and a simulator that sends to it."""

    folder: Path
    url: str
    callbacks: Callbacks
    http: httpx.AsyncClient

    async def events(self, **wanted: str) -> list[dict[str, Any]]:
        """Return what the receiver shows."""
        asked = {"limit": "1000", **wanted}
        answer = await self.http.get(f"{self.url}/api/v1/events", params=asked)
        answer.raise_for_status()
        found: list[dict[str, Any]] = answer.json()["events"]
        return found

    def delivered(self) -> list[dict[str, Any]]:
        """Return the CloudEvents that left."""
        lines = (self.folder / "out.jsonl").read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]


@asynccontextmanager
async def pair(folder: Path, *, basic: str = PAIR, **options: Any) -> AsyncIterator[Pair]:
    """Run both, the sender with these options."""
    config = f'{LOG_ONLY}path = "out.jsonl"\npush_types = ["PCC_EVENT", "DEVICE_STATUS"]\n'
    (folder / "events.toml").write_text(config, encoding="utf-8")
    for name, text in logic_files().items():
        (folder / name).write_text(text, encoding="utf-8")
    chosen = settings.load_receiver(
        {
            "PCC_RECEIVE_LISTEN": "127.0.0.1:0",
            "PCC_RECEIVE_BASIC": PAIR,
            "PCC_EVENTS_CONFIG": str(folder / "events.toml"),
            "PCC_EVENTS_DIR": str(folder / "spool"),
            "PCC_DESIRED_STATE": str(folder / "desired-state.toml"),
        }
    )
    urls: list[str] = []
    process = ReceiverProcess(chosen, ready=urls.append)
    running = asyncio.create_task(process.run())
    platform = sample_platform(devices=40, only_pcc=True, subscribed=1.0, seed=5)
    platform.set_options(callback_retry=0.1, **options)
    try:
        await eventually(lambda: bool(urls) or running.done())
        callbacks = Callbacks(platform)
        sender = Sender(callbacks, Target.of(f"{urls[0]}/pcc/events", basic))
        async with (
            serving(create_app(platform, sender)),
            httpx.AsyncClient(trust_env=False) as http,
        ):
            yield Pair(folder, urls[0], callbacks, http)
    finally:
        process.stop()
        await running


def said(event: dict[str, Any]) -> tuple[Any, ...]:
    """Return what makes one diagnosis: device, type and the moment, whatever its form."""
    return event["device"], event["diagnosis"], event["diagnosed"]


@pytest.mark.parametrize("message_id", ["same", "new"])
async def test_every_diagnosis_is_kept_and_delivered_once(tmp_path: Path, message_id: str) -> None:
    """Through doubles, delays, arrays, cut connections and other forms, each diagnosis is stored and leaves once."""
    async with pair(tmp_path, callback_retry_message_id=message_id) as both:
        platform = both.callbacks.platform
        platform.set_faults(*TROUBLE)
        for _ in range(EVENTS):
            both.callbacks.emit_any()
        sent = list(both.callbacks.log)
        await eventually(lambda: not any(one.open for one in sent))
        assert {one.state for one in sent} == {"taken"}
        used = Counter(name for one in sent for name in one.faults)
        assert len(used) == len(
            {str(rule.effect.__struct_config__.tag) for rule in TROUBLE if rule.effect}
        )

        async def all_left() -> bool:
            return not await both.events(state="pending")

        await eventually_true(all_left)
        kept = [one for one in await both.events() if one["push_type"] == "PCC_EVENT"]
        diagnosed = [one for one in sent if one.event.push_type == "PCC_EVENT"]
        assert len(kept) == len(diagnosed) > EVENTS / 2
        assert len({said(one) for one in kept}) == len(kept)
        assert sum(one["duplicates"] for one in kept) > EVENTS / 10
        assert {(one["device"], one["diagnosis"]) for one in kept} == {
            (one.event.device, one.event.diagnosis) for one in diagnosed
        }
        left = Counter(one["id"] for one in both.delivered() if "pccdiagnosis" in one)
        assert set(left.values()) == {1}
        assert set(left) == {one["id"] for one in kept}
        types = {row.type for row in TABLE}
        for one in both.delivered():
            if "pccdiagnosis" in one:
                assert one["data"]["logic"]["matched"] == (one["pccdiagnosis"] in types)


async def test_a_short_body_that_looks_whole_is_kept_and_calls_a_person(tmp_path: Path) -> None:
    """Half a message is answered with success, so that the sender does not turn away, and is in quarantine."""
    async with pair(tmp_path) as both:
        both.callbacks.platform.set_faults(Rule(fault.CutBody(how="body")))
        for _ in range(3):
            both.callbacks.emit_any()
        sent = list(both.callbacks.log)
        await eventually(lambda: not any(one.open for one in sent))
        assert [one.answers for one in sent] == [[200]] * 3
        assert len(await both.events(state="quarantined")) == 3
        metrics = (await both.http.get(f"{both.url}/metrics")).text
        assert 'pcc_events_quarantined_total{reason="json"} 3.0' in metrics


@pytest.mark.system
async def test_a_browser_shows_hostile_events_and_keeps_itself_fresh(tmp_path: Path) -> None:
    """In a real browser foreign words run nothing and reach no other host; a new event appears without a reload."""
    hostile = "<img src=https://evil.example/x onerror=alert(1)>"
    async with pair(tmp_path) as both, chromium() as browser:
        both.callbacks.emit_any(diagnosis=hostile, members={"contentUrl": "javascript:alert(2)"})
        await eventually(lambda: not any(one.open for one in both.callbacks.log))
        async with looking(browser, f"{both.url}/") as (page, seen):
            assert hostile in await page.inner_text("main")
            assert await page.locator("main a, main img").count() == 0
            both.callbacks.emit_any(diagnosis="SIM_OVEN_HEATS_SLOWLY")
            await page.get_by_text("SIM_OVEN_HEATS_SLOWLY").wait_for(timeout=30_000)
            assert await page.locator("tbody tr").count() == 2
        assert seen.dialogs == []
        assert seen.complaints == []
        assert all(url.startswith((both.url, "data:")) for url in seen.requests)


async def test_a_sender_with_the_wrong_credential_gives_up(tmp_path: Path) -> None:
    """Ten refusals switch such a sender off; the receiver has counted them, and kept nothing."""
    async with pair(tmp_path, basic="lg:wrong-password", callback_gives_up_after=10) as both:
        for _ in range(20):
            both.callbacks.emit_any()
        await eventually(lambda: both.callbacks.given_up is not None)
        sent = list(both.callbacks.log)
        await eventually(lambda: not any(one.open for one in sent))
        assert {one.state for one in sent} == {"lost"}
        assert await both.events() == []
        refused = f'pcc_events_refused_total{{reason="credential"}} {sum(len(one.answers) for one in sent)}.0'
        assert refused in (await both.http.get(f"{both.url}/metrics")).text
