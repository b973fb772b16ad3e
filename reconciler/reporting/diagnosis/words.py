"""Phrases that several checks share.

Owns: the words for spans, faults and names of accounts in a finding. Must not: judge.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta

from reconciler.core import duration
from reconciler.core.model import AccountName
from reconciler.core.text import counted, listing

NAMED = 5
"""How many accounts a sentence names; the rest is a number."""


def span(seconds: float) -> str:
    """Return a span to two units: what matters is whether it is minutes or days."""
    return "".join(
        re.findall(r"\d+[dhms]", duration.show(timedelta(seconds=round(max(seconds, 0)))))[:2]
    )


def first(faults: Sequence[object], word: str) -> str:
    """Return how many faults there are, and the first of them."""
    more = f" (the first of {len(faults)})" if len(faults) > 1 else ""
    return f"{counted(len(faults), word)}: {faults[0]}{more}" if faults else f"no {word}"


def listed(accounts: Sequence[AccountName]) -> str:
    """Return the names of accounts, shortened to a number where there are many."""
    return listing(accounts, NAMED)
