"""The pauses in force, as plain values ready to be shown.

Owns: which pauses are listed, and in which order. Must not: know what a pause holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from reconciler.core.acceptance import Accepted
from reconciler.core.guards import PauseOverride
from reconciler.core.model import AccountName, Pause


@dataclass(frozen=True, slots=True)
class PauseReport:
    """A pause of one account, or of all. ``by`` is ``command``, or ``text`` for the file, whose pause has no end.

    ``set_by`` is who gave the command, as far as that is known.
    """

    pause: str
    until: datetime | None
    reason: str
    account: str | None = None
    by: str = "command"
    set_by: str = ""


def pause_reports(
    accepted: Accepted, overrides: Mapping[AccountName | None, PauseOverride]
) -> tuple[PauseReport, ...]:
    """Return the pauses in force: by command, then in the file; a pause of all accounts in the file is listed once."""
    texts: dict[AccountName | None, Pause] = {
        account: text.desired.policy.pause for account, text in accepted.accounts.items()
    }
    alike = len(texts) > 1 and len(set(texts.values())) == 1
    by_text = {None: next(iter(texts.values()))} if alike else texts
    commanded = [
        PauseReport(one.pause, one.until, one.reason, account, set_by=one.set_by)
        for account, one in overrides.items()
    ]
    written = []
    for account, pause in by_text.items():
        if pause is not Pause.NONE:
            written.append(PauseReport(pause, None, "set in the file", account, by="text"))
    return (*sorted(commanded, key=_account_first), *sorted(written, key=_account_first))


def _account_first(report: PauseReport) -> str:
    """Return what pauses are sorted by; the one on all accounts is first."""
    return report.account or ""
