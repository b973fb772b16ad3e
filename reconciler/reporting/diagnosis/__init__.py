"""What ``doctor`` found: what is wrong, and which setting fixes it.

Owns: the judgement, check by check, of what asking brought, and the sentence that goes with each. Pure.
Must not: ask anybody, read a clock or a file, or show a secret: it is handed facts, and settings and files by name.

``fail`` is what keeps an account from working, ``warn`` what works now and may not for long, or what only time fixes.
``skip`` is what could not be looked at, because of something else that is reported beside it. One thing that is wrong
is reported once, where it is fixed.

Inside: what concerns every account (``general``); each account (``accounts``) with its token (``tokens``), list
(``lists``) and clock (``clocks``); what a bad answer means (``answers``); findings (``values``); phrases (``words``).
"""

from reconciler.reporting.diagnosis.accounts import account, defect, quota, region
from reconciler.reporting.diagnosis.clocks import clock
from reconciler.reporting.diagnosis.general import (
    database,
    desired_state,
    folder,
    heartbeat,
    settings,
    state,
    wrong_settings,
)
from reconciler.reporting.diagnosis.lists import alike, guards, live_list
from reconciler.reporting.diagnosis.values import (
    Asked,
    Check,
    Examination,
    Examined,
    Finding,
    Level,
    Speaking,
)

__all__ = [
    "Asked",
    "Check",
    "Examination",
    "Examined",
    "Finding",
    "Level",
    "Speaking",
    "account",
    "alike",
    "clock",
    "database",
    "defect",
    "desired_state",
    "folder",
    "guards",
    "heartbeat",
    "live_list",
    "quota",
    "region",
    "settings",
    "state",
    "wrong_settings",
]
