"""Somebody at a prompt, in the process of the test."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest

from reconciler import cli


@dataclass(frozen=True)
class Ended:
    """What a command left behind."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Shell:
    """Runs commands. ``before`` are the words that each begins with."""

    captured: pytest.CaptureFixture[str]
    before: tuple[str, ...] = ()

    def __call__(self, *arguments: str) -> Ended:
        """Run one command. No command may end with a traceback."""
        self.captured.readouterr()
        code = cli.run([*self.before, *arguments])
        left = self.captured.readouterr()
        assert "Traceback" not in left.err, left.err
        return Ended(code, left.out, left.err)

    def json(self, *arguments: str) -> Any:
        """Run one command that has to work, and return its JSON."""
        ended = self(*arguments, "--output", "json")
        assert ended.code == 0, ended.err
        return json.loads(ended.out)
