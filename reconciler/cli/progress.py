"""Progress bars of the commands that ask LG, on the terminal that stderr is.

Owns: how they look, and that nothing of them stays behind. Must not: know what the work is.
"""

from __future__ import annotations

from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from reconciler.runtime.accounts import Follower


class Bars(Follower):
    """A bar of accounts, and one of changes as soon as there are any. Lines printed meanwhile appear above them."""

    def __init__(self) -> None:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        # stdout stays as it is: what goes there is data, and perhaps for a file.
        self._progress = Progress(
            *columns, console=Console(stderr=True), transient=True, redirect_stdout=False
        )
        self._accounts = self._progress.add_task("accounts", visible=False)
        self._changes = self._progress.add_task("changes", visible=False)
        self._planned = 0

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._progress.stop()

    def accounts(self, count: int) -> None:
        """Show the bar of accounts."""
        self._progress.update(self._accounts, total=count, visible=True)

    def account_done(self) -> None:
        """Move it on."""
        self._progress.advance(self._accounts)

    def changes(self, count: int) -> None:
        """Show the bar of changes, or make it longer."""
        self._planned += count
        self._progress.update(self._changes, total=self._planned, visible=True)

    def change_done(self) -> None:
        """Move it on."""
        self._progress.advance(self._changes)
