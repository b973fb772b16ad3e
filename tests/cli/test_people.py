"""What people meet at a terminal: colours, carets, suggestions, dates as they are typed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from prompts import Ended, Shell
from reconciler.runtime.clock import SystemClock
from reconciler.state import State

TYPES = "washer, refrigerator, dish_washer or oven"
ESCAPE = re.compile(r"\x1b\[[0-9;]*m")
BAD = (
    "version = 1\n"
    "devices = [\n"
    '  { id = "aaaaaaaa", name = "냉장고", type = "fridge" },\n'
    "]\n"
    'policy.prnue = "all"\n'
)


@pytest.fixture
def shell(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Shell:
    """Give a prompt in a folder of the test's own, where no daemon answers."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PCC_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("PCC_LISTEN", "127.0.0.1:9")
    monkeypatch.setenv("COLUMNS", "80")
    for name in ("NO_COLOR", "FORCE_COLOR", "CLICOLOR", "CLICOLOR_FORCE"):
        monkeypatch.delenv(name, raising=False)
    return Shell(capsys)


def fleet() -> None:
    """Write a desired state and a state without changes."""
    Path("desired-state.toml").write_text(
        'version = 1\ntimezone = "Asia/Seoul"\n'
        'devices = [{ id = "aaaaaaaa", name = "Room 1 fridge", type = "refrigerator" }]\n'
    )
    State.open(Path("state").absolute(), SystemClock()).close()


# ---------------------------------------------------------------------------------------------------------------------
# Colours

COLOURED = [
    ("validate", "bad.toml"),
    ("explain", "aaaaaaaa"),
    ("devices",),
    ("history",),
    ("history", "--account", "nobody"),
    ("plan", "--acount", "x"),
]


@pytest.mark.parametrize("name", ["FORCE_COLOR", "CLICOLOR_FORCE"])
@pytest.mark.parametrize("arguments", COLOURED)
def test_colours_can_be_insisted_on(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], name: str
) -> None:
    """A CI log has colours where somebody asks for them, and without them the text is the same to the letter."""
    fleet()
    Path("bad.toml").write_text(BAD)
    plain = shell(*arguments)
    assert not ESCAPE.search(plain.out + plain.err)
    monkeypatch.setenv(name, "1")
    bright = shell(*arguments)
    assert ESCAPE.search(bright.out + bright.err)
    without = Ended(bright.code, ESCAPE.sub("", bright.out), ESCAPE.sub("", bright.err))
    assert sans_times(without) == sans_times(plain)
    monkeypatch.setenv(name, "0")
    assert not ESCAPE.search(shell(*arguments).err)
    monkeypatch.setenv(name, "1")
    monkeypatch.setenv("NO_COLOR", "1")
    objected = shell(*arguments)
    assert not ESCAPE.search(objected.out + objected.err)


def sans_times(ended: Ended) -> Ended:
    """Return what a command left without the times of day in it."""
    return Ended(ended.code, re.sub(r"\d\d:\d\d:\d\d", "T", ended.out), ended.err)


@pytest.mark.parametrize("form", ["json", "markdown", "github"])
def test_programs_get_no_colours(shell: Shell, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    """Only text for people has colours, however much somebody insists."""
    Path("bad.toml").write_text(BAD)
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert not ESCAPE.search(shell("validate", "bad.toml", "--output", form).out)


# ---------------------------------------------------------------------------------------------------------------------
# Faults and suggestions


def test_a_fault_shows_its_line_with_a_caret(shell: Shell) -> None:
    """The caret stands under the place, also behind characters that are two columns wide, and faults are counted."""
    Path("bad.toml").write_text(BAD)
    assert shell("validate", "bad.toml").err.splitlines() == [
        f"bad.toml:3:43: the type must be {TYPES}; did you mean 'refrigerator'?",
        '  3 |   { id = "aaaaaaaa", name = "냉장고", type = "fridge" },',
        f"    | {' ' * (39 + 3 * 2)}^",  # three characters take two columns each
        "bad.toml:5:8: unknown key 'prnue'; did you mean 'prune'?",
        '  5 | policy.prnue = "all"',
        "    |        ^",
        "2 faults",
    ]


def test_a_long_line_is_cut_around_the_place(shell: Shell) -> None:
    """The caret is in sight on a terminal of 80 columns."""
    ids = ", ".join(f'"{number:08}"' for number in range(200))
    Path("long.toml").write_text(
        f'version = 1\ndevices = [{ids}, "bad id", {ids.replace("0", "a")}]\n'
    )
    place, shown, caret = shell("validate", "long.toml").err.splitlines()
    assert place.startswith("long.toml:2:")
    assert max(len(shown), len(caret)) <= 80
    assert shown[caret.index("^") :].startswith('"bad id"')
    assert shown.count("…") == 2


def test_a_line_of_a_file_elsewhere_is_not_quoted(shell: Shell, tmp_path: Path) -> None:
    """A link to another folder may lead to a file that is not ours to show."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "private.toml").write_text("top secret = 1\n")
    here = tmp_path / "fleet"
    here.mkdir()
    (here / "a.toml").symlink_to(elsewhere / "private.toml")
    ended = shell("validate", str(here))
    assert ended.code == 1
    assert "secret" not in ended.err


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("fridge", "refrigerator"),
        ("Fridge-Freezer", "refrigerator"),
        ("washing machine", "washer"),
        ("DEVICE_WASHR", "washer"),
        ("dishwasher", "dish_washer"),
    ],
)
def test_what_people_call_an_appliance_leads_to_its_type(
    shell: Shell, word: str, meant: str
) -> None:
    """The everyday word is as good as a mistyped one."""
    Path("one.toml").write_text(
        f'version = 1\ndevices = [{{ id = "aaaaaaaa", type = "{word}" }}]\n'
    )
    assert f"did you mean '{meant}'?" in shell("validate", "one.toml").err


def test_only_the_nearest_option_is_suggested(shell: Shell) -> None:
    """A list of options that nobody meant does not help."""
    told = shell("plan", "--acount", "x").err
    assert "--account" in told
    assert "--output" not in told


def test_an_answer_of_several_lines_is_counted_only_once(shell: Shell) -> None:
    """One fault needs no number below it."""
    Path("one.toml").write_text("version = 1\ndevices = 7\n")
    assert "fault" not in shell("validate", "one.toml").err


# ---------------------------------------------------------------------------------------------------------------------
# Past changes


def test_a_bare_date_is_meant_in_the_zone_of_the_file(shell: Shell) -> None:
    """The command says which zone it took, and the empty answer names the span and who was asked."""
    fleet()
    ended = shell("history", "--since", "2026-11-24", "--until", "2026-11-24")
    assert ended.code == 0
    zone = "Asia/Seoul, the timezone of desired-state.toml"
    assert ended.err.splitlines()[:2] == [
        f"since 2026-11-24 00:00 ({zone})",
        f"until 2026-11-25 00:00 ({zone})",
    ]
    first, asked, *_ = ended.out.splitlines()
    assert first == f"No change since 2026-11-24 00:00 ({zone}) until 2026-11-25 00:00 ({zone})."
    assert asked.startswith("Asked: the desired state /")
    assert str(Path("state").absolute()) in asked


def test_an_empty_answer_names_every_filter(shell: Shell) -> None:
    """A person sees what was asked for, and does not take a narrow question for a quiet year."""
    fleet()
    filters = ("--action", "unsubscribe", "--result", "failed", "--author", "lee", "--since", "7d")
    assert shell("history", *filters).out.splitlines()[0] == (
        "No change with action unsubscribe with result failed with author lee since 7d."
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--since", "tomorow"), "a date like 2026-11-24, yesterday, last tuesday"),
        (("--action", "subscribed"), "did you mean 'subscribe'?"),
        (("--result", "fialed"), "did you mean 'failed'?"),
        (("--since", "yesterday", "--timezone", "Asia/Nowhere"), "is not a time zone"),
        (("--author", ""), "is empty"),
    ],
)
def test_a_filter_that_cannot_be_read_is_wrong_usage(
    shell: Shell, arguments: tuple[str, ...], words: str
) -> None:
    """A misspelt filter must not mean everything."""
    fleet()
    ended = shell("history", *arguments)
    assert (ended.code, ended.out) == (64, "")
    assert words in ended.err
