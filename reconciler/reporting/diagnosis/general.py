"""The judgement of what concerns every account: settings, state, desired state, the credentials folder.

Owns: those checks and their sentences. Pure. Must not: read a file or a setting: it is handed facts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from reconciler.core.acceptance import Accepted
from reconciler.core.model import AccountName, Cause
from reconciler.core.text import counted
from reconciler.reporting.diagnosis.values import Check, Examination, Fact, Finding, Level, skipped
from reconciler.reporting.diagnosis.words import first, listed


def settings(
    mode: str, *, allow_http: bool, unreadable: Sequence[str], warnings: Sequence[str] = ()
) -> Finding:
    """Judge the settings, which were valid one by one. ``unreadable``: why a secret of our own cannot be read.

    ``warnings`` name variables that work, and may not mean what they seem to.
    """
    facts = {"mode": mode}
    if unreadable:
        return Finding(
            Check.SETTINGS,
            Level.FAIL,
            "; ".join(unreadable),
            "correct the setting that is named here, or its file",
            facts,
        )
    if allow_http:
        found = "PCC_ALLOW_HTTP=true: the service key and tokens may cross the network readable"
        return Finding(
            Check.SETTINGS, Level.WARN, found, "unset PCC_ALLOW_HTTP, unless this is a trial", facts
        )
    if warnings:
        return Finding(
            Check.SETTINGS,
            Level.WARN,
            "; ".join(warnings),
            "correct the variable that is named here",
            facts,
        )
    words = "observe: nothing is changed at LG" if mode == "observe" else mode
    return Finding(Check.SETTINGS, Level.OK, f"valid; mode {words}", facts=facts)


def wrong_settings(faults: Iterable[object]) -> Examination:
    """Return the examination that ends with the settings, because they are not valid."""
    found = "; ".join(map(str, faults))
    return Examination(
        (Finding(Check.SETTINGS, Level.FAIL, found, "correct the settings that are named here"),)
    )


def state(
    folder: str, *, exists: bool, locked: str, full: str, trouble: str, unreadable: str
) -> Finding:
    """Judge the state. ``locked``: what of it this user cannot write; ``full``: why its disk takes nothing more.

    ``trouble``: it is damaged; ``unreadable``: it is there and cannot be read by us.
    """
    facts = {"folder": folder}
    if unreadable or trouble:
        fix = "restore the file from a copy, or let the daemon set it aside at its next start: it is in PCC_STATE_DIR"
        if unreadable:
            fix = (
                "correct PCC_STATE_DIR, or run this as the user and with the version of the daemon"
            )
        return Finding(Check.STATE, Level.FAIL, unreadable or trouble, fix, facts)
    if full:
        found = f"nothing can be written to {folder}: {full}"
        return Finding(
            Check.STATE, Level.FAIL, found, "make room on the disk of PCC_STATE_DIR", facts
        )
    if locked:
        found = f"{locked} cannot be written by this user"
        fix = "name a folder of the daemon's user in PCC_STATE_DIR; if that is another user than this, all is well"
        return Finding(Check.STATE, Level.WARN, found, fix, facts)
    return Finding(
        Check.STATE,
        Level.OK,
        folder if exists else f"none yet; the daemon will make it in {folder}",
        facts=facts,
    )


def database(name: str, *, exists: bool, unreadable: str) -> Finding:
    """Judge a state that is kept in PostgreSQL."""
    facts = {"folder": name}
    if unreadable:
        fix = "correct PCC_STATE_URL, or see to it that the server answers and lets this user read"
        return Finding(Check.STATE, Level.FAIL, unreadable, fix, facts)
    found = name if exists else f"none yet; the daemon will make its tables in {name}"
    return Finding(Check.STATE, Level.OK, found, facts=facts)


def desired_state(
    accepted: Accepted, trouble: str, path: str, abandoned: Iterable[AccountName], *, git: bool
) -> Finding:
    """Judge the newest revision. ``trouble`` is why it could not be fetched; ``git``: it comes from a repository."""
    facts: dict[str, Fact] = {
        "cause": accepted.rejected,
        "faults": len(accepted.faults),
        "warnings": len(accepted.warnings),
        "revision": str(accepted.newest or "") or None,
    }

    def finding(level: Level, found: str, fix: str = "") -> Finding:
        return Finding(Check.DESIRED_STATE, level, found, fix, facts)

    if accepted.rejected is Cause.MISSING:
        there = ", as a path inside the repository; PCC_GIT_REF has to be its branch" if git else ""
        return finding(
            Level.FAIL,
            trouble,
            f"name the file in PCC_DESIRED_STATE{there}; `export` writes a first one",
        )
    if trouble:
        place = (
            "fetch from PCC_GIT_URL, or correct that or PCC_GIT_REF"
            if git
            else f"read {path} (PCC_DESIRED_STATE)"
        )
        return finding(Level.FAIL, trouble, f"let this user {place}")
    if accepted.rejected is not None:
        return finding(Level.FAIL, *_rejected(accepted))
    gone = sorted(abandoned)
    if gone:
        whose = "it" if len(gone) == 1 else "them"
        found = f"no revision names {listed(gone)} any more, and devices of {whose} are live"
        return finding(
            Level.WARN,
            found,
            "bring the account back into the file, or name it in `retired_accounts`",
        )
    devices = sum(len(text.desired.devices) for text in accepted.accounts.values())
    found = f"valid: {counted(len(accepted.accounts), 'account')}, {counted(devices, 'device')}"
    if accepted.warnings:
        found += f"; {first(accepted.warnings, 'warning')}"
        return finding(
            Level.WARN, found, "correct the file; `validate` shows every warning with its place"
        )
    return finding(Level.OK, found)


def _rejected(accepted: Accepted) -> tuple[str, str]:
    found = f"rejected, {first(accepted.faults, 'fault')}"
    if accepted.accounts:
        found += f"; an older revision is in force for {listed(sorted(accepted.accounts))}"
    if accepted.rejected is Cause.ENVIRONMENT:
        return (
            found,
            "let PCC_ENVIRONMENT and `environment` in the file say the same; is it the wrong branch?",
        )
    if accepted.rejected is Cause.UNVERIFIED:
        return (
            found,
            "sign the commit with a key of PCC_GIT_ALLOWED_SIGNERS, or change PCC_GIT_VERIFY",
        )
    return (
        found,
        "correct the file that PCC_DESIRED_STATE names; `validate` shows every fault with its place",
    )


def heartbeat(trouble: str, *, proxied: bool) -> Finding:
    """Judge the address of the heartbeat. ``trouble`` is why it cannot be read, or why its host was not reached."""
    if trouble:
        fix = "correct PCC_HEARTBEAT_URL, or let this machine reach its host"
        return Finding(Check.HEARTBEAT, Level.WARN, trouble, fix)
    if proxied:
        return skipped(Check.HEARTBEAT, "a proxy leads there, and nothing is sent to try it")
    return Finding(Check.HEARTBEAT, Level.OK, "its host can be reached; nothing was sent")


def folder(warnings: Sequence[str], strays: Iterable[AccountName]) -> Finding | None:
    """Judge files in the credentials folder that no account uses; return no finding if there are none."""
    spare = sorted(strays)
    found = [
        *warnings,
        *([f"credentials of {listed(spare)}, which no revision names"] if spare else []),
    ]
    if not found:
        return None
    fix = "correct the name of the file, or the folder in PCC_CREDENTIALS_DIR"
    if spare and not warnings:
        fix = "name the account in the file, or take its files out of PCC_CREDENTIALS_DIR"
    return Finding(Check.CREDENTIALS, Level.WARN, "; ".join(found), fix)
