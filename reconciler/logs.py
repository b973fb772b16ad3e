"""Logs: how a line looks and where it goes.

Owns: the set-up of structured logs, for our own lines and for those of libraries; masking is the last step of each.
Must not: decide what is worth a line; whoever knows the event says it.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping
from contextlib import suppress
from threading import Lock
from typing import Any, TextIO

import msgspec
import structlog

from reconciler.masking import Masking

_LEVELS = (logging.CRITICAL, logging.ERROR, logging.WARNING, logging.INFO, logging.DEBUG)


def set_up_logs(
    level: str = "info",
    form: str = "auto",
    *,
    stream: TextIO | None = None,
    masking: Masking | None = None,
    colours: bool | None = None,
) -> Masking:
    """Make every log line of the process one event: JSON, or for a terminal in words.

    ``stream`` is whatever ``sys.stderr`` is at the moment of a line, unless given. ``colours`` only matter in words;
    they are there on a terminal unless told otherwise. Lines of libraries come from ``warning`` up.
    """
    masking = masking or Masking()
    terminal = (stream or sys.stderr).isatty()
    to_json = form == "json" or (form == "auto" and not terminal)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
            structlog.processors.format_exc_info,
            _json if to_json else _words(colours=terminal if colours is None else colours),
            masking,
            *([_in_ascii] if to_json and not _writes_unicode(stream or sys.stderr) else []),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=lambda *_: _Lines(stream),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(handlers=[_Bridge()], level=logging.WARNING, force=True)
    logging.captureWarnings(capture=True)
    return masking


class _Lines:
    """Writes finished lines. A stream that takes no more must not stop the work that the lines are about."""

    _lock = Lock()

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream

    def msg(self, line: str) -> None:
        """Write one line, whole."""
        stream = self._stream or sys.stderr
        with self._lock, suppress(OSError, ValueError):
            stream.write(line + "\n")
            stream.flush()

    debug = info = warning = error = critical = exception = msg


class _Bridge(logging.Handler):
    """Lets what libraries log come out as our own lines do."""

    def emit(self, record: logging.LogRecord) -> None:
        level = next((level for level in _LEVELS if record.levelno >= level), logging.DEBUG)
        structlog.get_logger().log(
            level, "library.logged", logger=record.name, message=_message(record), exc_info=record.exc_info
        )


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage().strip()
    except Exception:  # noqa: BLE001 - a library's broken line must not break what it is about
        return str(record.msg)


def _words(*, colours: bool) -> structlog.typing.Processor:
    console = structlog.dev.ConsoleRenderer(
        colors=colours, timestamp_key="ts", pad_event_to=22, exception_formatter=structlog.dev.plain_traceback
    )

    def render(logger: Any, method: str, event: structlog.typing.EventDict) -> str:
        return str(console(logger, method, {key: _printable(value) for key, value in event.items()}))

    return render


def _printable(value: Any) -> Any:
    """Return foreign words so that they cannot steer a terminal."""
    return repr(value) if type(value) is str and not value.isprintable() and "\n" not in value else value


def _json(_logger: Any, _method: str, event: structlog.typing.EventDict) -> str:
    first = {key: event[key] for key in ("ts", "level", "event") if key in event}
    facts = {**first, **event}
    try:
        return msgspec.json.encode(facts, enc_hook=str).decode()
    except (TypeError, ValueError):  # such as a file name that is not UTF-8: better an ugly line than none
        return json.dumps({str(key): _plain(value) for key, value in facts.items()})


def _writes_unicode(stream: TextIO) -> bool:
    """Say whether a stream can write every character as JSON has it, which is in UTF-8."""
    return (getattr(stream, "encoding", None) or "utf-8").lower().replace("_", "-") in {"utf-8", "utf8"}


def _in_ascii(_logger: Any, _method: str, line: Any) -> str:
    """Return a line of JSON that every encoding can write, and that means the same."""
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
