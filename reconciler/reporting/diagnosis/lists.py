"""The judgement of a list of devices, and of the guards that a pass on it would trip.

Owns: the checks ``list`` and ``guards``. Pure. Must not: decide what a guard holds: ``core.guards`` has decided.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from reconciler.core.errors import (
    CredentialsRefused,
    PlatformError,
    Surprise,
    Throttled,
    Unavailable,
)
from reconciler.core.guards import REMEDIES
from reconciler.core.model import AccountName, Kind, Reason, Tripped
from reconciler.core.text import counted
from reconciler.pcc.codes import CODES
from reconciler.reporting.diagnosis.answers import fix_loss, fix_surprise, reported, via
from reconciler.reporting.diagnosis.values import (
    Asked,
    Check,
    Fact,
    Finding,
    Level,
    Speaking,
    skipped,
)
from reconciler.reporting.diagnosis.words import listed

REPORTED_ELSEWHERE = frozenset({Reason.DESIRED_REJECTED, Reason.STATE_UNWRITABLE})
"""Guards whose cause has a check of its own."""
GRAVE = frozenset({Reason.SUSPECT_LIST, Reason.GUARD_FAILED})
"""Guards that say that something is wrong, not only that somebody has to decide."""


def live_list(speaking: Speaking, asked: Asked) -> Finding:
    """Judge what ``GET /pcc`` brought."""
    error, seconds = asked.error, (asked.ended - asked.began).total_seconds()
    facts: dict[str, Fact] = {"devices": asked.devices, "seconds": round(seconds, 3)}
    if error is None and asked.devices is not None:
        found = (
            f"{counted(asked.devices, 'device')} {'is' if asked.devices == 1 else 'are'} subscribed"
        )
        found = f"{found}; LG answered in {seconds:.2f} s"
        if not asked.other_id:
            return Finding(Check.LIST, Level.OK, found, facts=facts)
        found += ", and the answer names another message id than the request"
        fix = f"make sure that no cache between here and LG answers in its place{via(asked.proxy)}"
        return Finding(Check.LIST, Level.WARN, found, fix, facts)
    if error is None:
        return skipped(Check.LIST, "LG was not asked: there is no access token")
    if _about_token(error):
        return skipped(Check.LIST, "LG gave no list: it did not accept the token")
    facts |= {"code": error.code, "status": error.status, "message_id": error.message_id}
    level = Level.WARN if isinstance(error, Throttled) else Level.FAIL
    return Finding(Check.LIST, level, reported(error), _fix_list(speaking, asked, error), facts)


def guards(tripped: Iterable[Tripped]) -> list[Finding]:
    """Return a finding for each guard that a pass on the list would trip, and what to do about it."""
    return [
        Finding(
            Check.GUARDS,
            Level.FAIL if one.reason in GRAVE else Level.WARN,
            f"{one.reason}: {one.message}",
            REMEDIES[one.reason],
            {"reason": one.reason},
        )
        for one in tripped
        if one.reason.kind is Kind.GUARD and one.reason not in REPORTED_ELSEWHERE
    ]


def alike(devices: int, others: Sequence[AccountName]) -> Finding:
    """Return the warning that other accounts have the same list."""
    found = f"LG lists the same {counted(devices, 'device')} for {listed(others)}: most likely they are one LG user"
    fix = "give each account the token of its own LG user, or put all devices of one user into one account"
    return Finding(Check.LIST, Level.WARN, found, fix, {"devices": devices})


def _about_token(error: PlatformError) -> bool:
    """Say whether the token is what is wrong. Only what was sent to LG itself has a message id."""
    return isinstance(error, CredentialsRefused) or (
        isinstance(error, Unavailable) and error.message_id is None
    )


def _fix_list(speaking: Speaking, asked: Asked, error: PlatformError) -> str:
    known = CODES.get(error.code or "")
    support = f"give LG support the message id {error.message_id}"
    if known is not None and known.hint:
        return f"check {speaking.placed(known.hint)}"
    if isinstance(error, Throttled):
        return "wait, as the daemon does; if it happens often, set `calls_per_hour` in the file, or ask LG for more"
    if isinstance(error, Unavailable) and error.lost is None:
        return f"nothing to fix on your side: LG failed. If it persists, {support}"
    if isinstance(error, Unavailable):
        return fix_loss(speaking, error, speaking.place("base_url"), asked.proxy)
    if isinstance(error, Surprise) and error.code is None:
        return fix_surprise(speaking, asked, error)
    return f"nothing to fix on your side: LG documents no such answer to this call; {support}"
