"""The events of demonstrations: the partner's files, and a line on the terminal for each event that is delivered.

Owns: how LG's table, as the simulator has it, becomes the files that a partner would write; when events begin.
Must not: invent a diagnosis.
"""

from __future__ import annotations

import asyncio
import csv
import io
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

from reconciler.core.text import one_line
from reconciler.runtime.setting_values import Listen
from reconciler.simulator import TABLE, Callbacks

EVENTS_FILE = "events.toml"
LOG_ONLY = """\
version = 1
logic = "."

# Every event as one line of JSON on standard output.
[sinks.log]
type = "stream"
"""
DELIVERED = "events.jsonl"
TO_A_FILE = f"""\
version = 1
logic = "."

# Every event as one line of JSON in this file. Replace it with your own system: type = "http", url = "https://…"
[sinks.file]
type = "stream"
path = "{DELIVERED}"
"""
EVENTS_PER_HOUR = 450.0
"""One every eight seconds."""
RECAP_EVERY = 10
"""After this number of events the recap is printed again: it stays on a screen of 24 lines."""
SHOWN_IN_A_LINE = frozenset({"event.received", "delivery.delivered"})
"""What the log of the demonstration leaves out on a terminal, because a line of ours says it."""
LOOK_SECONDS = 0.3
READY_SECONDS = 15.0
"""How long the receiver is waited for; it says itself that it is ready after ten seconds."""
SEVERITIES: Mapping[str, str] = {"malfunction": "high", "part_inquiry": "low"}
"""What a partner may make of a category; all others are in between."""


def logic_files() -> Mapping[str, str]:
    """Return the files of the Logic Table: their names and texts."""
    types = [
        (row.type, row.category, _plain(row.device_type), SEVERITIES.get(row.category, "medium"))
        for row in TABLE
    ]
    english = [(row.type, "", row.short, row.full, "") for row in TABLE]
    korean = [(row.type, "", row.short_ko, row.full_ko, "") for row in TABLE]
    messages = (
        "diagnosis_type",
        "device_type",
        "short_message",
        "full_instruction",
        "instruction_url",
    )
    return {
        "types.csv": _sheet(("diagnosis_type", "category", "device_types", "severity"), types),
        "messages.en.csv": _sheet(messages, english),
        "messages.ko.csv": _sheet(messages, korean),
    }


def _plain(device_type: str) -> str:
    """Return our word for LG's name of a device type."""
    return device_type.removeprefix("DEVICE_").lower()


def _sheet(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()


class DemoEvents:
    """The events of one demonstration, whose files are in ``folder``. ``listen``: where the receiver is."""

    def __init__(
        self,
        folder: Path,
        callbacks: Callbacks,
        listen: Listen,
        say: Callable[[str], None],
        *,
        welcome: str = "",
        recap: str = "",
    ) -> None:
        self._folder, self._callbacks = folder, callbacks
        self._listen, self._say = listen, say
        self._welcome, self._recap = welcome, recap

    def write_files(self) -> Path:
        """Write the events file and the Logic Table; return the former."""
        file = self._folder / EVENTS_FILE
        file.write_text(TO_A_FILE, encoding="utf-8")
        for name, text in logic_files().items():
            (self._folder / name).write_text(text, encoding="utf-8")
        return file

    async def run(self) -> None:
        """Let events happen once the receiver is ready, and say each one that is delivered, until cancelled."""
        await asyncio.to_thread(self._wait_until_ready)
        self._callbacks.platform.set_options(events_per_hour=EVENTS_PER_HOUR)
        self._callbacks.emit_any()
        shown = 0
        while True:
            lines = await asyncio.to_thread(self._delivered)
            for number, line in enumerate(lines[shown:], shown):
                self._say(f"event        {event_words(json.loads(line))}")
                self._repeat(number)
            shown = len(lines)
            await asyncio.sleep(LOOK_SECONDS)

    def _repeat(self, number: int) -> None:
        """Say again what to try: all of it once the first lines of the log have pushed it away, later where it is."""
        words = self._welcome if number == 0 else self._recap
        if words and number % RECAP_EVERY == 0:
            self._say(f"\n{words.strip()}\n")

    def _wait_until_ready(self) -> None:
        for _ in range(round(READY_SECONDS / LOOK_SECONDS)):
            if self._is_ready():
                return
            time.sleep(LOOK_SECONDS)

    def _is_ready(self) -> bool:
        connection = HTTPConnection(self._listen.host, self._listen.port, timeout=1.0)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200  # noqa: PLR2004  HTTP's own
        except (OSError, HTTPException):
            return False
        finally:
            connection.close()

    def _delivered(self) -> list[bytes]:
        """Return the lines that are whole."""
        try:
            content = (self._folder / DELIVERED).read_bytes()
        except FileNotFoundError:
            return []
        return content.splitlines()[: content.count(b"\n")]


def event_words(event: Mapping[str, Any]) -> str:
    """Return a delivered CloudEvent as one line for people: device and short message."""
    data = event["data"]
    device = data["device"] or {}
    words = (data.get("messages") or {}).get("en") or {}
    name = device.get("name") or device.get("id") or event.get("subject") or "some device"
    return one_line(f"{name}: {words.get('short') or event['type']}")
