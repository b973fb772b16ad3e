"""Asks a person before something is changed.

Owns: when there is somebody to ask, and what counts as a yes. Must not: know what is asked for.
"""

from __future__ import annotations

import sys

from reconciler.cli.console import say

YES = "yes"


def somebody_is_there() -> bool:
    """Say whether a person can read a question and answer it: both ways lead to a terminal."""
    streams = (sys.stdin, sys.stderr)
    return all(stream is not None and stream.isatty() for stream in streams)


def agreed(question: str) -> bool:
    """Ask, and say whether the answer is yes. Anything else is a no, as is the end of the input."""
    say(question)
    sys.stderr.write(f"Only {YES} is taken as a yes: ")
    sys.stderr.flush()
    answer = sys.stdin.readline()
    if not answer.endswith("\n"):
        say("")
    return answer.strip().lower() == YES
