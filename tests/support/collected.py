"""A plugin of pytest: print each test that was collected, as its function and a digest of its whole name."""

from __future__ import annotations

from hashlib import sha256

import pytest


def pytest_collection_finish(session: pytest.Session) -> None:
    """Print a line for each test."""
    for item in session.items:
        function = item.nodeid.partition("[")[0]
        print(f"{function} {sha256(item.nodeid.encode()).hexdigest()[:16]}")  # noqa: T201 - for who started it
