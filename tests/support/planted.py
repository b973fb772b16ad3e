"""Defects that a test plants in the program, to prove that a checker would notice them."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any, Self


class Planted:
    """A program with parts replaced by defective ones, for as long as the block lasts."""

    def __init__(self) -> None:
        self._undone = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._undone.close()

    def replace(self, owner: Any, name: str, defective: object) -> None:
        """Put a defective part in place of one."""
        self._undone.callback(setattr, owner, name, getattr(owner, name))
        setattr(owner, name, defective)
