"""Whether we believe LG's list.

Owns: how short a list must be to be doubted, and how often it is doubted.
Must not: count the readings; the memory of the account does.
"""

from __future__ import annotations

from reconciler.core.guards.finding import Finding, everything, holding
from reconciler.core.guards.situation import Situation
from reconciler.core.model import DeviceId, Memory, Observed, Plan, Reason
from reconciler.core.text import counted

SUSPECT_FROM = 10
"""From this many known devices on, a doubted list ends the pass. Below, it holds unsubscribes only."""
SUSPECT_ALONE = 2
"""Below ``SUSPECT_FROM``, a list without any known device is doubted only if at least this many are known."""
BELIEVED_AFTER = 3
"""This many short lists in a row are believed: a real wipe looks the same each time, a glitch does not."""


def is_suspect(observed: Observed, memory: Memory) -> bool:
    """Say whether this list lacks too many of the devices that should be live to be believed now."""
    return _too_short(observed, memory) and (
        memory.credential_changed or memory.suspect_readings + 1 < BELIEVED_AFTER
    )


def subscribes_in_doubt(memory: Memory) -> bool:
    """Say whether subscribes continue while the list is doubted: with few known devices they do no harm."""
    return len(_expected(memory)) < SUSPECT_FROM


def suspect_list(plan: Plan, situation: Situation) -> Finding | None:
    """Hold everything while the list is doubted; in a small account, hold unsubscribes only."""
    observed, memory = situation.observed, situation.memory
    if not is_suspect(observed, memory):
        return None
    expected = _expected(memory)
    shown = len(expected & observed.devices)
    message = f"of {counted(len(expected), 'device')} that should be live the list shows {shown}"
    if memory.credential_changed:
        message += (
            ", and the credential changed since the last trusted list: a person has to confirm it"
        )
    else:
        message += (
            f" (reading {memory.suspect_readings + 1} of {BELIEVED_AFTER} before it is believed)"
        )
    changes = plan.unsubscribes if subscribes_in_doubt(memory) else everything(plan)
    return holding(Reason.SUSPECT_LIST, changes, message)


def _expected(memory: Memory) -> frozenset[DeviceId]:
    return memory.expected or frozenset()


def _too_short(observed: Observed, memory: Memory) -> bool:
    """Say whether a list lacks most known devices; with few devices and the same credential, all of them."""
    expected, lost = len(_expected(memory)), _lost(observed, memory)
    if expected >= SUSPECT_FROM or memory.credential_changed:
        return 2 * lost > expected
    return expected >= SUSPECT_ALONE and lost == expected


def _lost(observed: Observed, memory: Memory) -> int:
    """Count the devices that should be live and are not in this list."""
    expected = _expected(memory)
    return 0 if observed.devices is expected else len(expected - observed.devices)
