"""Sentences for what is wrong with the process or the fleet as a whole.

Owns: these sentences; each is empty where nothing is wrong. Must not: know any account.
"""

from __future__ import annotations

from reconciler.core.text import counted


def unowned(accounts: int) -> str:
    """Return what comes first where replicas share the accounts: some belong to none of them."""
    if not accounts:
        return ""
    is_or_are = "is" if accounts == 1 else "are"
    return (
        f"{counted(accounts, 'account')} {is_or_are} owned by no replica, so nobody works on "
        f"{'it' if accounts == 1 else 'them'}: look at the replicas and at their log"
    )


def stalled(why: str) -> str:
    """Return what is wrong where work is due and nothing comes of it."""
    return f"No account is looked after: {why}. Keep the log and restart the daemon" if why else ""


def of_state(trouble: str) -> str:
    """Return what a fault of the state means."""
    return (
        f"What is done cannot be remembered, so unsubscribes are held: {trouble}" if trouble else ""
    )
