"""A program of ours that is asked: what it answers, and what it was asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit


@dataclass
class Told:
    """Answers in their order, and what was asked for each."""

    answers: list[Any]
    asked: list[tuple[Any, ...]] = field(default_factory=list)

    def __call__(self, *asked: Any) -> Any:
        """Answer."""
        self.asked.append(asked)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    @property
    def queries(self) -> list[tuple[str, dict[str, str]]]:
        """Return the paths that were asked for, with their parameters."""
        split = [urlsplit(asked[0]) for asked in self.asked]
        return [(one.path, dict(parse_qsl(one.query))) for one in split]
