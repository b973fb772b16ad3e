"""Colours for finished text on a terminal: what is well, what waits, what a person has to look at.

Owns: which words of a text have which colour. Must not: change a character of it, so that tables keep their columns.
"""

from __future__ import annotations

import re

from reconciler.core.model import Condition
from reconciler.reporting.formats.styles import BOLD, CYAN, FAINT, GREEN, PLAIN, RED, YELLOW

CONDITIONS = {
    Condition.IN_SYNC: GREEN,
    Condition.CONVERGING: CYAN,
    Condition.HELD: YELLOW,
    Condition.PAUSED: YELLOW,
    Condition.STOPPED: RED,
    Condition.ABANDONED: RED,
}
RESULTS = {"success": GREEN, "noop": GREEN, "failed": RED, "refused": RED, "begun": CYAN}
_WORDS = {one.replace("_", " "): colour for one, colour in CONDITIONS.items()}
_NAMES_OF_COLUMNS = "account  condition"
_CONDITION = re.compile(rf"(?<=  )(?:{'|'.join(_WORDS)})(?=  |$)", re.MULTILINE)
_STATES = {
    "held": YELLOW,
    "refused": RED,
    "missing": CYAN,
    "extra": CYAN,
    "unknown": YELLOW,
    "in sync": GREEN,
}
_STATE = re.compile(rf"(?<=  )({'|'.join(_STATES)})(?=  |$|:)", re.MULTILINE)
_RESULT = re.compile(rf"\b((?:un)?subscribe )({'|'.join(RESULTS)})\b")
_NOTE = re.compile(r"^([a-z0-9-]+:)(?= )", re.MULTILINE)
_LABEL = re.compile(r"^  ([a-z]+(?: [a-z]+)?)(?=  )", re.MULTILINE)
_LAST = re.compile(r"^(Asked: .*)$", re.MULTILINE)
_PLACE = re.compile(r"^(\S.*?:\d+:\d+:|\S+: )")
_ERROR = re.compile(r"^(pcc-reconciler[a-z -]*:)")
_CARET = re.compile(r"^( *\| +)(\^)$")
_WARNING = " (warning)"


def status_coloured(text: str) -> str:
    """Colour a status: its first sentence, the conditions of accounts, and whose notes follow."""
    head, newline, rest = text.partition("\n")
    rest = "\n".join(map(_with_condition, rest.split("\n")))
    return f"{BOLD}{head}{PLAIN}{newline}{_NOTE.sub(_bold, rest)}"


def _with_condition(line: str) -> str:
    """Colour the condition of an account. The line of column names has the same words."""
    if line.startswith(_NAMES_OF_COLUMNS):
        return f"{BOLD}{line}{PLAIN}"
    return _CONDITION.sub(lambda found: f"{_WORDS[found[0]]}{found[0]}{PLAIN}", line)


def devices_coloured(text: str) -> str:
    """Colour a list of devices: the line of column names, and the state of each device."""
    head, newline, rest = text.partition("\n")
    rest = _STATE.sub(lambda found: f"{_STATES[found[1]]}{found[1]}{PLAIN}", rest)
    return f"{BOLD}{head}{PLAIN}{newline}{_LAST.sub(_faint, rest)}"


def history_coloured(text: str) -> str:
    """Colour past changes: their results, and the line of column names."""
    head, newline, rest = text.partition("\n")
    return f"{BOLD}{head}{PLAIN}{newline}{_LAST.sub(_faint, _with_results(rest))}"


def explanation_coloured(text: str) -> str:
    """Colour what is known of a device: labels, results, and the summary of each account."""
    text = re.sub(r"^((?:device|account) .*)$", _bold, text, flags=re.MULTILINE)
    return _LAST.sub(_faint, _with_results(_LABEL.sub(_label, text)))


def finding_coloured(line: str) -> str:
    """Colour one line of what ``validate`` found: place, mark of a warning, and the caret under a source line."""
    if line.startswith(" "):
        line = _CARET.sub(rf"\1{RED}\2{PLAIN}", line)
        return line if RED in line else f"{FAINT}{line}{PLAIN}"
    if line.endswith(_WARNING):
        line = f"{line.removesuffix(_WARNING)} {YELLOW}(warning){PLAIN}"
    return _PLACE.sub(_bold, line)


def error_coloured(line: str) -> str:
    """Colour a message about an error: who says it; and a hint."""
    if line.startswith("hint:"):
        return f"{CYAN}hint:{PLAIN}{line.removeprefix('hint:')}"
    return _ERROR.sub(rf"{RED}\1{PLAIN}", line)


def _with_results(text: str) -> str:
    return _RESULT.sub(lambda found: f"{found[1]}{RESULTS[found[2]]}{found[2]}{PLAIN}", text)


def _bold(found: re.Match[str]) -> str:
    return f"{BOLD}{found[1]}{PLAIN}"


def _label(found: re.Match[str]) -> str:
    return f"  {CYAN}{found[1]}{PLAIN}"


def _faint(found: re.Match[str]) -> str:
    return f"{FAINT}{found[1]}{PLAIN}"
