"""Which calls of the operating system a piece of code makes, in their order: what is durable shows in nothing else."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


@contextmanager
def system_calls(*names: str) -> Iterator[list[str]]:
    """Take note of the calls of these functions of ``os`` in this thread."""
    sought = {getattr(os, name): name for name in names}
    made: list[str] = []

    def take_note(_frame: FrameType, event: str, called: Any) -> None:
        if event == "c_call" and called in sought:
            made.append(sought[called])

    before = sys.getprofile()
    sys.setprofile(take_note)
    try:
        yield made
    finally:
        sys.setprofile(before)
