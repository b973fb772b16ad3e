"""What a real terminal gets: messages of its width, and a watched text that is drawn in place."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest

from reconciler.reporting.formats.screen import columns
from terminals import on_terminal

OTHER_SCREEN, FIRST_SCREEN = "\x1b[?1049h", "\x1b[?1049l"
ESCAPE = re.compile(r"\x1b\[[?0-9;]*[a-zA-Z]")


@pytest.fixture
def given(tmp_path: Path) -> dict[str, str]:
    """Give an environment with a desired state of two devices, where no daemon answers."""
    file = tmp_path / "desired-state.toml"
    devices = "".join(
        f'  {{ id = "device-{number:04}", name = "객실 {number} 냉장고" }},\n'
        for number in range(60)
    )
    file.write_text(f"version = 1\ndevices = [\n{devices}]\n")
    return {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).parent.parent.parent),
        "PCC_DESIRED_STATE": str(file),
        "PCC_STATE_DIR": str(tmp_path / "state"),
        "PCC_LISTEN": "127.0.0.1:9",
        "NO_COLOR": "1",
    }


@pytest.mark.parametrize("width", [80, 40])
@pytest.mark.parametrize(
    "words", [("status",), ("explain", "객실 7 냉장고 " * 9), ("history", "--since", "nonsense")]
)
def test_messages_are_folded_at_the_width_of_the_terminal(
    given: dict[str, str], words: tuple[str, ...], width: int
) -> None:
    """No message is broken by the terminal itself, which does so inside words."""
    seen = on_terminal(words, given, size=(width, 24))
    assert seen.code != 0
    lines = seen.written.splitlines()
    assert len(lines) > 1
    assert [one for one in lines if columns(one) > width] == []


def test_the_caret_stays_under_its_place_on_a_narrow_terminal(
    given: dict[str, str], tmp_path: Path
) -> None:
    """A quoted line is not folded, however narrow the terminal is; the message above it is."""
    bad = tmp_path / "bad.toml"
    bad.write_text('version = 1\ndevices = [{ id = "aaaaaaaa", type = "fridge" }]\n')
    lines = on_terminal(("validate", str(bad)), given, size=(40, 24)).written.splitlines()
    (quote,) = [at for at, one in enumerate(lines) if one.startswith("  2 | ")]
    assert quote > 1
    assert lines[quote][lines[quote + 1].index("^") :].startswith('"fridge"')


@pytest.mark.parametrize(
    ("end", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["ctrl-c", "terminated"]
)
def test_a_watched_text_leaves_the_terminal_as_it_was(
    given: dict[str, str], end: signal.Signals, code: int
) -> None:
    """It is drawn on a screen of its own, within its rows; afterwards the cursor is back and the last text is there."""
    words = ("devices", "--watch", "--all", "--server", "http://127.0.0.1:9")
    seen = on_terminal(words, given, size=(60, 12), until="Ctrl-C ends this", end=end)
    assert seen.code == code
    before, _, drawn = seen.written.partition(OTHER_SCREEN)
    drawn, _, after = drawn.partition(FIRST_SCREEN)
    assert ESCAPE.sub("", before) == ""
    assert "\x1b[2J" not in drawn
    assert drawn.count("\n") <= 12
    assert drawn.endswith("\x1b[?7h\x1b[?25h")
    assert "no daemon answers" in after
    assert not ESCAPE.search(after)


def test_lines_that_have_no_room_are_counted(given: dict[str, str]) -> None:
    """The last row of a low terminal says how many lines it leaves out, neither more nor fewer."""
    words = ("devices", "--watch", "--all", "--server", "http://127.0.0.1:9")
    drawn = []
    for rows in (40, 6):
        seen = on_terminal(
            words, given, size=(20, rows), until="Ctrl-C ends this", end=signal.SIGINT
        )
        last = seen.written.partition(FIRST_SCREEN)[2].partition("pcc-reconciler:")[0]
        drawn.append(last.splitlines())
    whole, some = drawn
    assert len(whole) > len(some) == 5
    assert some[1:-1] == whole[1:4]
    assert some[-1] == f"… and {len(whole) - 4} more lines"
