"""The commands that a page shows beside a state, ready to be copied. No page acts.

Owns: which commands help in which state. Pure. Must not: run anything.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from reconciler.core.model import Condition
from reconciler.reporting import AccountReport, PauseReport
from reconciler.reporting.explain import Explanation

PROGRAM = "pcc-reconciler"


@dataclass(frozen=True, slots=True)
class Command:
    """One command, and what it is for."""

    words: str
    command: str


def for_account(account: AccountReport, pause: PauseReport | None) -> tuple[Command, ...]:
    """Return the commands for an account in its present state. ``pause`` is one that a command set."""
    return tuple(_for_account(account, pause))


def for_several() -> tuple[Command, ...]:
    """Return the commands for accounts that have the same trouble with LG."""
    return (
        _command("Find what is wrong", "doctor"),
        _command("Make a pass of every account now", "reconcile"),
        _command("Follow it in a terminal", "status", "--watch"),
    )


def _for_account(account: AccountReport, pause: PauseReport | None) -> Iterator[Command]:
    name = account.account
    stopped = account.condition == Condition.STOPPED
    if stopped or account.error:
        yield _command(
            "Find what is wrong",
            "doctor",
            "--account",
            name,
        )
    if account.guarded or account.held:
        yield _command(
            "See every change, and what holds it",
            "plan",
            "--account",
            name,
        )
    if account.refused:
        yield _command(
            "See what LG refuses",
            "status",
            "--refused",
            "--account",
            name,
        )
    if stopped or account.condition == Condition.CONVERGING:
        yield _command(
            "Make a pass now",
            "reconcile",
            name,
        )
    if pause is not None:
        whose = () if pause.account is None else (name,)
        yield _command(
            "End the pause" if whose else "End the pause of all accounts",
            "resume",
            *whose,
        )
    elif not stopped:
        arguments = ("pause", name, "--for", "2h", "--reason", "why")
        yield _command("Make no changes for two hours", *arguments)


def for_device(story: Explanation) -> tuple[Command, ...]:
    """Return the commands about one device."""
    return (
        _command(
            "The same in a terminal",
            "explain",
            story.device,
            "--account",
            story.account,
        ),
        _command(
            "All of its changes",
            "history",
            "--device",
            story.device,
        ),
    )


def _command(words: str, *arguments: str) -> Command:
    return Command(words, shlex.join([PROGRAM, *arguments]))
