"""Logs: how a line looks and where it goes.

Owns: the set-up of structured logs, for our own lines and for those of libraries, and the length of a line. Masking is
the last step of each line.
Must not: decide which events get a line; the module that knows the event does.

In a process that must not stop, lines are ``queued``. Then no work waits for the reader of the log.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from threading import Lock
from typing import Any, TextIO

import msgspec
import structlog

from reconciler.core.text import steerless
from reconciler.telemetry.folding import folded
from reconciler.telemetry.masking import Masking
from reconciler.telemetry.outlet import Outlet
from reconciler.telemetry.spoken import spoken

LONGEST_VALUE = 8_000
"""Characters of one value of a line. A longer one loses its middle."""
LONGEST_LINE = 32 * 1024
"""Bytes of a line. If the values together are longer, they are cut shorter."""
SHORTEST_CUT = 60
"""Characters to which values are cut at most, however long the line is."""
_SHORT = frozenset({int, float, bool, type(None)})
_LEVELS = (logging.CRITICAL, logging.ERROR, logging.WARNING, logging.INFO, logging.DEBUG)


def set_up_logs(
    level: str = "info",
    form: str = "auto",
    *,
    stream: TextIO | None = None,
    masking: Masking | None = None,
    colours: bool | None = None,
    queued: bool = False,
    without: Collection[str] = (),
) -> Masking:
    """Make every log line of the process one event: JSON, or for a terminal in words.

    ``stream`` is by default the ``sys.stderr`` of the moment of a line. ``colours`` only matter in words; by default
    they are on for a terminal. Lines of libraries are logged from ``warning`` up. A separate thread writes ``queued``
    lines, to the present ``sys.stderr``. Events ``without`` which a person reads on are left out in words.
    """
    masking = masking or Masking()
    terminal = (stream or sys.stderr).isatty()
    to_json = logs_json(form, stream)
    written_to = stream or sys.stderr
    render: structlog.typing.Processor = _json
    if not to_json:
        render = _words(written_to, colours=terminal if colours is None else colours)
    stamped = structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts")
    bounded = _Bounded(render, masking)
    _queue.outlet = None
    if queued and stream is None:

        def log_gap(lines: int) -> str:
            return str(
                bounded(None, "warning", stamped(None, "warning", _log_line("log.dropped", lines)))
            )

        _queue.open(log_gap, "utf-8" if to_json else sys.stderr.encoding)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            *([] if to_json else [_Leaving(without)]),
            structlog.processors.add_log_level,
            stamped,
            structlog.processors.format_exc_info,
            bounded,
            masking,
            *([_in_ascii] if to_json and not _writes_unicode(stream or sys.stderr) else []),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[level.upper()]
        ),
        logger_factory=lambda *_: _Lines(stream),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(handlers=[_Bridge()], level=logging.WARNING, force=True)
    logging.captureWarnings(capture=True)
    return masking


def logs_json(form: str, stream: TextIO | None = None) -> bool:
    """Say whether the lines of this form are JSON."""
    return form == "json" or (form == "auto" and not (stream or sys.stderr).isatty())


def flush(seconds: float) -> None:
    """Wait until queued lines are written, but no longer than this."""
    if _queue.outlet is not None:
        _queue.outlet.flush(seconds)


def lines_dropped() -> int:
    """Return the number of lines since the start that were dropped because nobody read them."""
    return 0 if _queue.outlet is None else _queue.outlet.dropped


class _Queue:
    """The outlet of this process, if its lines are queued."""

    def __init__(self) -> None:
        self.outlet: Outlet | None = None

    def open(self, gap: Callable[[int], str], encoding: str) -> None:
        """Queue lines from here on, unless standard error is no file."""
        with suppress(OSError, ValueError):
            self.outlet = Outlet(sys.stderr.fileno(), gap, encoding=encoding)


_queue = _Queue()


def _log_line(event: str, lines: int) -> dict[str, Any]:
    return {"level": "warning", "event": event, "lines": lines}


class _Lines:
    """Writes finished lines. A stream that accepts no more must not stop the work."""

    _lock = Lock()

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream

    def msg(self, line: str) -> None:
        """Write one line, whole."""
        if _queue.outlet is not None and self._stream is None:
            _queue.outlet.put(line)
            return
        stream = self._stream or sys.stderr
        with self._lock, suppress(OSError, ValueError):
            stream.write(line + "\n")
            stream.flush()

    debug = info = warning = error = critical = exception = msg


class _Bounded:
    """Renders a line of limited length.

    Values are masked before they are cut, because half a secret is not recognised.
    """

    def __init__(self, render: structlog.typing.Processor, masking: Masking) -> None:
        self._render, self._masking = render, masking

    def __call__(self, logger: Any, method: str, event: structlog.typing.EventDict) -> str:
        most = LONGEST_VALUE
        line = str(self._render(logger, method, event))
        if len(line) <= most:
            return line  # then no value is longer, either
        line = str(self._render(logger, method, self._cut_all(event, most)))
        while len(line.encode("utf-8", "replace")) > LONGEST_LINE and most > SHORTEST_CUT:
            most //= 2
            line = str(self._render(logger, method, self._cut_all(event, most)))
        return line

    def _cut_all(self, event: structlog.typing.EventDict, most: int) -> structlog.typing.EventDict:
        return {key: self._cut(value, most) for key, value in event.items()}

    def _cut(self, value: Any, most: int) -> Any:
        if type(value) in _SHORT:
            return value
        if isinstance(value, str):
            return value if len(value) <= most else self._cut_text(value, most)
        if isinstance(value, Mapping):
            return self._cut_mapping(value, most)
        if isinstance(value, list | tuple | set | frozenset):
            return self._cut_several(value, most)
        text = str(value)
        return value if len(text) <= most else self._cut_text(text, most)

    def _cut_text(self, text: str, most: int) -> str:
        text = self._masking.text(text)
        left_out = len(text) - most
        if left_out <= 0:
            return text
        return f"{text[: most // 2]} … {left_out} characters left out … {text[-(most // 2) :]}"

    def _cut_several(self, values: Collection[Any], most: int) -> list[Any]:
        """Return as many of the first values as have room, and the number of the others."""
        cut: list[Any] = []
        room = most
        for value in values:
            if room <= 0:
                cut.append(f"… {len(values) - len(cut)} more")
                break
            cut.append(self._cut(value, room))
            room -= len(str(cut[-1])) + 2
        return cut

    def _cut_mapping(self, values: Mapping[Any, Any], most: int) -> dict[Any, Any]:
        cut: dict[Any, Any] = {}
        room = most
        for key, value in values.items():
            if room <= 0:
                cut["…"] = f"{len(values) - len(cut)} more"
                break
            cut[key] = self._cut(value, room)
            room -= len(str(key)) + len(str(cut[key])) + 4
        return cut


class _Bridge(logging.Handler):
    """Gives the lines of libraries the form of our own."""

    def emit(self, record: logging.LogRecord) -> None:
        level = next((level for level in _LEVELS if record.levelno >= level), logging.DEBUG)
        structlog.get_logger().log(
            level,
            "library.logged",
            logger=record.name,
            message=_message(record),
            exc_info=record.exc_info,
        )


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage().strip()
    except Exception:  # noqa: BLE001 - a library's broken line must not break what it is about
        return str(record.msg)


class _Leaving:
    """Leaves out the lines of some events."""

    def __init__(self, events: Collection[str]) -> None:
        self._events = frozenset(events)

    def __call__(
        self, _logger: Any, _method: str, event: structlog.typing.EventDict
    ) -> structlog.typing.EventDict:
        if event.get("event") in self._events:
            raise structlog.DropEvent
        return event


def _words(stream: TextIO, *, colours: bool) -> structlog.typing.Processor:
    console = structlog.dev.ConsoleRenderer(
        colors=colours,
        timestamp_key="ts",
        pad_event_to=22,
        sort_keys=False,
        exception_formatter=structlog.dev.plain_traceback,
    )

    def render(logger: Any, method: str, event: structlog.typing.EventDict) -> str:
        facts = {key: _printable(value) for key, value in spoken(event).items()}
        return folded(str(console(logger, method, facts)), stream)

    return render


def _printable(value: Any) -> Any:
    """Return words from outside that cannot control a terminal."""
    if type(value) is not str or value.isprintable() or "\n" in value:
        return value
    return repr(value)


def _json(_logger: Any, _method: str, event: structlog.typing.EventDict) -> str:
    facts: dict[str, Any] = {}
    for key in ("ts", "level", "event"):
        if key in event:
            facts[key] = event[key]
    facts |= event
    try:
        return steerless(msgspec.json.encode(facts, enc_hook=str).decode())
    except (
        TypeError,
        ValueError,
    ):  # such as a file name that is not UTF-8: better an ugly line than none
        return json.dumps({str(key): _plain(value) for key, value in facts.items()})


def _writes_unicode(stream: TextIO) -> bool:
    """Say whether a stream can write every character in UTF-8, as JSON needs."""
    return (getattr(stream, "encoding", None) or "utf-8").lower().replace("_", "-") in {
        "utf-8",
        "utf8",
    }


def _in_ascii(_logger: Any, _method: str, line: Any) -> str:
    """Return the same JSON in characters that every encoding can write."""
    try:
        return json.dumps(json.loads(str(line)))
    except ValueError:
        return str(line)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(one) for one in value]
    return value if isinstance(value, str | int | float | None) else str(value)
