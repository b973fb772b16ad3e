"""What a line of the log looks like, for programs and for people, and that nothing can break it."""

from __future__ import annotations

import io
import json
import logging
import re
import sys
import warnings
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest
import structlog

from reconciler.core.model import Reason
from reconciler.telemetry.logs import LONGEST_LINE, LONGEST_VALUE, set_up_logs
from reconciler.telemetry.masking import MASK, Masking

SECRET = "secret-of-the-tests"


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Say yes."""
        return True


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    """Read what was logged as JSON."""
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def one(stream: io.StringIO) -> dict[str, Any]:
    """Read the only line that was logged as JSON."""
    (line,) = lines(stream)
    return line


def told(
    form: str = "json", level: str = "info", stream: io.StringIO | None = None, **more: Any
) -> io.StringIO:
    """Set up logs with one secret known, and return where they go."""
    stream = stream or io.StringIO()
    masking = Masking()
    masking.know({SECRET})
    set_up_logs(level, form, stream=stream, masking=masking, **more)
    return stream


def test_a_line_is_one_json_object_that_begins_with_the_same_keys() -> None:
    """Every line has ts, level and event first; facts of many types come out as JSON has them."""
    stream = told()
    structlog.get_logger().info(
        "pass.completed",
        at=datetime(2026, 11, 1, tzinfo=UTC),
        reason=Reason.TOO_MANY,
        devices=frozenset({"a"}),
        path=Path("x/y"),
        text="two\nlines",
    )
    line = one(stream)
    assert list(line)[:3] == ["ts", "level", "event"]
    assert datetime.fromisoformat(line["ts"]).utcoffset() is not None
    assert line["level"] == "info"
    assert (line["at"], line["reason"], line["devices"]) == (
        "2026-11-01T00:00:00Z",
        "too-many",
        ["a"],
    )
    assert (line["path"], line["text"]) == ("x/y", "two\nlines")


@pytest.mark.parametrize(
    "fact",
    [
        "not-utf-8-\udcff",
        {("a", 1): 2},
        object(),
        float("nan"),
        {"x": {"\udcff"}},
        b"bytes",
        10**30,
    ],
)
def test_no_fact_breaks_a_line(fact: object) -> None:
    """Whatever a fact is, the line comes out: a log must not stop the work that it is about."""
    stream = told()
    structlog.get_logger().info("something.happened", fact=fact)
    assert one(stream)["event"] == "something.happened"


@pytest.mark.parametrize("form", ["json", "console"])
def test_secrets_are_masked_in_facts_words_and_tracebacks(form: str) -> None:
    """A secret is in no line, whether it stands in a fact, inside one, or in the words of an exception."""
    stream = told(form)
    log = structlog.get_logger()
    log.info("one", fact=SECRET, facts={"list": [f"x{SECRET}y"]})
    try:
        int(SECRET)
    except ValueError:
        log.exception("two")
        logging.getLogger("library").exception("three: %s", SECRET)
    assert SECRET not in stream.getvalue()
    assert stream.getvalue().count(MASK) == 5
    assert stream.getvalue().count("Traceback") == 2


def test_what_libraries_log_comes_out_as_our_own_lines_do() -> None:
    """A library's warning is one event of ours with its logger and message; its chatter below is left out."""
    stream = told(level="debug")
    logging.getLogger("some.library").warning("said %s", "something")
    logging.getLogger("some.library").info("chatter")
    line = one(stream)
    assert (line["level"], line["event"]) == ("warning", "library.logged")
    assert (line["logger"], line["message"]) == ("some.library", "said something")


def test_a_librarys_odd_lines_come_out_too() -> None:
    """A level of its own and arguments that do not fit are no reason to lose a line."""
    stream = told()
    logging.getLogger("odd").log(35, "between")
    logging.getLogger("odd").warning("%d", "not a number")
    assert [(line["level"], line["message"]) for line in lines(stream)] == [
        ("warning", "between"),
        ("warning", "%d"),
    ]


def test_a_warning_of_python_is_a_line() -> None:
    """What would be printed raw to stderr is logged instead."""
    stream = told()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=False)
        logging.captureWarnings(capture=True)
        warnings.warn("something is old", DeprecationWarning, stacklevel=1)
        logging.captureWarnings(capture=False)
    assert "something is old" in one(stream)["message"]


@pytest.mark.parametrize(
    ("level", "events"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1), ("critical", 0)]
)
def test_less_important_lines_are_left_out(level: str, events: int) -> None:
    """The level is the least important one that is logged; for libraries too."""
    stream = told(level=level)
    log = structlog.get_logger()
    for name in ("debug", "info", "warning", "error"):
        getattr(log, name)("happened")
    logging.getLogger("library").error("happened")
    assert len(lines(stream)) == events + (level != "critical")


def test_auto_is_json_but_on_a_terminal() -> None:
    """A terminal gets words, anything else JSON, unless the form is named."""
    for form, stream, is_json in (
        ("auto", io.StringIO(), True),
        ("auto", Terminal(), False),
        ("json", Terminal(), True),
        ("console", io.StringIO(), False),
    ):
        told(form, stream=stream)
        structlog.get_logger().info("happened", fact=1)
        assert stream.getvalue().startswith("{") == is_json
        assert "happened" in stream.getvalue()


def test_colours_are_for_terminals_and_can_be_refused() -> None:
    """Only a terminal gets escape codes, and only if nobody objects."""
    for stream, colours, coloured in (
        (Terminal(), None, True),
        (Terminal(), False, False),
        (io.StringIO(), None, False),
    ):
        told("console", stream=stream, colours=colours)
        structlog.get_logger().info("happened", fact=1)
        assert ("\x1b" in stream.getvalue()) == coloured


class Fruit(StrEnum):
    """Stands for any of our enumerations."""

    APPLE = "apple"


def test_a_terminal_gets_words_and_not_values_of_python() -> None:
    """Moments, spans, enumerations, numbers and collections read as a person writes them; long ids are shortened."""
    stream = told("console", stream=Terminal(), colours=False)
    structlog.get_logger().warning(
        "change.failed",
        message_id="3r9hIcdQT0SI8wiILCRvgA",
        lg_message_id="3r9hIcdQT0SI8wiILCRvgA",
        until=datetime(2026, 11, 29, 20, 10, 3, 249834, tzinfo=UTC),
        span=timedelta(hours=2),
        reasons={Fruit.APPLE: 5, "plum": 0},
        kinds=[Fruit.APPLE, "pear"],
        ahead_seconds=0.123456,
        approved=True,
        code=None,
        devices=0,
        commit="1f2a91c71111" + "0" * 28,
        revision="sha256:" + "a" * 64,
        device="7121f083d9df33c29483843fe4181663508e36cd733db8b868269c11a2512a10",
        name="Room 1203 fridge",
        account="seoul-hotel",
    )
    line = stream.getvalue()
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ ", line)
    assert re.sub(r".*change\.failed\s+", "", line).strip() == (
        "account=seoul-hotel name='Room 1203 fridge' device=7121f083d9df… "
        "message_id=3r9hIcdQT0SI8wiILCRvgA "
        "until='2026-11-29 20:10:03 UTC' span=2h reasons='apple 5' kinds='apple, pear' "
        "ahead_seconds=0.123 approved=yes devices=0 commit=1f2a91c71111 revision=sha256:aaaaaaaaaaaa"
    )


def test_a_pass_is_told_without_its_zeros() -> None:
    """Of the many counts of a pass a person sees those that are something, after account and condition."""
    stream = told("console", stream=Terminal(), colours=False)
    structlog.get_logger().info(
        "pass.completed", failed=0, held=5, in_sync=7, missing=0, condition="held", account="east"
    )
    shown = re.sub(r".*pass\.completed\s+", "", stream.getvalue()).strip()
    assert shown == "account=east condition=held held=5 in_sync=7"
    stream = told("json")
    structlog.get_logger().info("pass.completed", failed=0, held=5)
    assert json.loads(stream.getvalue())["failed"] == 0


def test_foreign_words_cannot_steer_a_terminal() -> None:
    """Control characters in a fact are shown as what they are."""
    stream = told("console", stream=Terminal(), colours=False)
    structlog.get_logger().info("happened", name="\x1b[2Jgone\x07", words="\u202eright to left\r")
    assert "\x1b" not in stream.getvalue()
    assert "\\x1b[2Jgone" in stream.getvalue()
    assert "\u202e" not in stream.getvalue()
    assert "\r" not in stream.getvalue()


def test_foreign_words_cannot_steer_a_terminal_in_json() -> None:
    """JSON may hold a control character of the second block as it is; a line of ours never does."""
    hostile = "\x9b31mred \u202eright to left \u2028 방"
    stream = told("json")
    structlog.get_logger().info("happened", name=hostile)
    line = stream.getvalue().removesuffix("\n")
    assert line.isprintable()
    assert "방" in line
    assert json.loads(line)["name"] == hostile


def test_a_secret_that_steers_a_terminal_is_masked_in_json() -> None:
    """What a line of JSON escapes is found all the same."""
    stream = io.StringIO()
    masking = Masking()
    masking.know(["é-secret\u200b-of-two-parts"])
    set_up_logs("info", "json", stream=stream, masking=masking)
    structlog.get_logger().info("happened", name="é-secret\u200b-of-two-parts")
    assert one(stream)["name"] == MASK


def test_a_stream_that_takes_no_more_does_not_stop_the_work() -> None:
    """A full disk or a closed pipe costs lines, not passes."""

    class Full(io.StringIO):
        def write(self, _text: str) -> int:
            raise OSError(28, "No space left on device")

    told(stream=Full())
    structlog.get_logger().info("happened")
    closed = told()
    closed.close()
    structlog.get_logger().info("happened")


def test_lines_follow_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    """Lines go to what stderr is at their moment: above progress bars, which take it over for a while."""
    set_up_logs("info", "json")
    structlog.get_logger().info("first")
    before, sys.stderr = sys.stderr, io.StringIO()
    try:
        structlog.get_logger().info("second")
        assert json.loads(sys.stderr.getvalue())["event"] == "second"
    finally:
        sys.stderr = before
    assert json.loads(capsys.readouterr().err)["event"] == "first"


LONG = "lang " * 40_000


@pytest.mark.parametrize("form", ["json", "console"])
@pytest.mark.parametrize(
    "fact",
    [
        LONG,
        [LONG, "second"],
        [f"account-{number}" for number in range(20_000)],
        {"key": LONG},
        {f"key-{number}": [LONG] for number in range(3000)},
        "\x00" * 100_000,
        "\N{HANGUL SYLLABLE GA}" * 100_000,
        [["deep"] * 1000] * 1000,
        frozenset({LONG}),
        LONG.encode(),
    ],
    ids=[
        "text",
        "in a list",
        "many",
        "in a mapping",
        "many keys",
        "escaped",
        "wide",
        "deep",
        "set",
        "bytes",
    ],
)
def test_no_line_is_longer_than_a_line_may_be(fact: object, form: str) -> None:
    """Whatever a fact is, the line stays short enough for whoever collects it, and is whole JSON."""
    stream = told(form)
    structlog.get_logger().info("something.happened", fact=fact, other=LONG, account="seoul-hotel")
    assert len(stream.getvalue().encode()) <= LONGEST_LINE + 1
    assert "seoul-hotel" in stream.getvalue()
    if form == "json":
        assert one(stream)["event"] == "something.happened"


def test_what_is_left_out_of_a_value_is_counted() -> None:
    """A long value keeps its beginning and its end, several values say how many more there are."""
    stream = told()
    text, many = "a" * 5000 + "b" * 5000, [f"{number:08}" for number in range(5000)]
    structlog.get_logger().info("something.happened", text=text, many=many)
    line = one(stream)
    assert line["text"] == f"{'a' * 4000} … 2000 characters left out … {'b' * 4000}"
    assert line["many"][-1] == f"… {5000 - len(line['many']) + 1} more"
    assert line["many"][:-1] == many[: len(line["many"]) - 1]


@pytest.mark.parametrize("shift", range(0, len(SECRET) + 1, 3))
def test_half_a_secret_is_not_left_where_a_value_is_cut(shift: int) -> None:
    """A secret that lies across the cut is masked before it is cut."""
    stream = told()
    text = "a" * (LONGEST_VALUE // 2 - shift) + SECRET + "b" * LONGEST_VALUE
    structlog.get_logger().info("something.happened", text=text, several=[text])
    assert SECRET[:6] not in stream.getvalue()
    assert SECRET[-6:] not in stream.getvalue()


def test_a_long_traceback_keeps_its_end() -> None:
    """Of a defect that is long in words, what it was can still be read."""

    def deep(levels: int) -> None:
        if not levels:
            raise ValueError(LONG + "the end")
        deep(levels - 1)

    stream = told()
    try:
        deep(200)
    except ValueError:
        structlog.get_logger().exception("something.broke")
    assert "the end" in one(stream)["exception"]
