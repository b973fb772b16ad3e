"""What must never be printed.

Owns: the secrets of this process, and every spelling in which one of them may stand in a text.
Must not: know where a secret comes from, or what prints.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote, quote_plus

MASK = "**********"


class Masking:
    """The last step of anything that is printed: replaces every known secret, wherever in the text it stands."""

    def __init__(self) -> None:
        self._secrets: tuple[str, ...] = ()
        self._known: set[str] = set()

    def know(self, secrets: Iterable[str]) -> None:
        """Take the secrets of this moment; those of before stay masked, because a line may still quote them."""
        new = {secret for secret in secrets if secret} - self._known
        if new:
            self._known |= new
            known = set(self._secrets).union(*map(_spellings, new))
            self._secrets = tuple(sorted(known, key=len, reverse=True))

    def text(self, text: str) -> str:
        """Return a text without secrets."""
        for secret in self._secrets:
            if secret in text:
                text = text.replace(secret, MASK)
        return text

    def __call__(self, _logger: Any, _method: str, line: Any) -> Any:
        """Mask a finished line of the log."""
        return self.text(line) if isinstance(line, str) else line


def _spellings(secret: str) -> set[str]:
    """Return how a secret may stand in a text: as it is, in JSON, quoted by Python, in an address or a form."""
    quoted = {_json(secret), json.dumps(secret)[1:-1], repr(secret)[1:-1]}
    inside = {_json(one) for one in quoted}  # an exception's words in a JSON line are quoted twice
    return {secret, quote(secret), quote(secret, safe=""), quote_plus(secret), *quoted, *inside}


def _json(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]
