"""Which unsubscribes wait because local files may be half written.

Owns: the step from signs (git's lock, files that went away, tracked files that are missing) to the devices that wait,
and when each wait ends. Every wait ends on its own.
Must not: look at a disk, or hold a subscribe. It is pure: seconds of a steady clock are arguments.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from reconciler.core.acceptance import Accepted, AccountRevision
from reconciler.core.errors import quoted
from reconciler.core.model import AccountName, DeviceId, Unsettled

QUIET_SECONDS = 5.0
"""A file that disappeared counts as removed after the folder has not changed for this long."""
LONGEST_WAIT_SECONDS = 30.0
"""The longest time that a command waits for a quiet folder. After that the changes are held."""
LONGEST_SECONDS = 600.0
"""The longest time that a device waits for a file that disappeared, tracked by git or not."""


@dataclass(frozen=True, slots=True)
class Absent:
    """A tracked file that is missing. ``devices`` is None if its content is not known; then every device waits."""

    since: float
    devices: frozenset[DeviceId] | None


@dataclass(frozen=True, slots=True)
class Waits:
    """Everything that waits. ``gone``: by account, devices whose file disappeared, the first at ``gone_since``.

    None means every device: the account came while others were in force, and some of its files may still come.
    """

    lock: str = ""
    lock_since: datetime | None = None
    gone: Mapping[AccountName, frozenset[DeviceId] | None] = field(default_factory=dict)
    gone_since: float = 0.0
    absent: Mapping[str, Absent] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.lock or self.gone or self.absent)


@dataclass(frozen=True, slots=True)
class Reading:
    """What one reading of the files shows. ``now`` is in seconds of a steady clock.

    ``lock`` is git's index lock and its time, if it existed. ``gone`` are files that were named before and no longer
    exist. ``missing`` are tracked files that do not exist, with their devices as far as they are known. ``whole`` says
    that the folder is exchanged as a whole, so that what is in it is complete at any time.
    """

    now: float
    lock: str = ""
    lock_since: datetime | None = None
    gone: frozenset[str] = frozenset()
    missing: Mapping[str, frozenset[DeviceId] | None] = field(default_factory=dict)
    whole: bool = False


def after_reading(
    waits: Waits,
    seen: Reading,
    before: Accepted,
    after: Accepted,
    named: Mapping[str, frozenset[str]],
) -> Waits:
    """Return what waits after a reading. ``named``: the files of each revision that was in force before."""
    gone: dict[AccountName, frozenset[DeviceId] | None] = {}
    for account, text in after.accounts.items():
        old = before.accounts.get(account)
        devices = waits.gone.get(account, frozenset())
        if old is None and before.accounts and not seen.whole:
            devices = None
        if devices is None:
            gone[account] = None
            continue
        if (
            old is not None
            and old.desired is not text.desired
            and not seen.gone.isdisjoint(_files(old, named))
        ):
            devices |= old.desired.devices
        if left := devices - text.desired.devices:
            gone[account] = left
    absent = {path: Absent(seen.now, devices) for path, devices in seen.missing.items()}
    for path in absent.keys() & waits.absent.keys():
        absent[path] = replace(absent[path], since=waits.absent[path].since)
    return Waits(
        lock=seen.lock,
        lock_since=seen.lock_since,
        gone=gone,
        gone_since=waits.gone_since if waits.gone else seen.now,
        absent=absent,
    )


def after_a_look(waits: Waits, *, now: float, locked: bool, quiet_for: float) -> Waits:
    """Return what still waits if no file changed since the last reading."""
    over = quiet_for >= QUIET_SECONDS or now - waits.gone_since >= LONGEST_SECONDS
    return replace(
        waits,
        lock=waits.lock if locked else "",
        lock_since=waits.lock_since if locked else None,
        gone={} if over and not locked else waits.gone,
    )


def marked(accepted: Accepted, waits: Waits, now: float) -> Accepted:
    """Return what is in force, with what waits of each account."""
    shared = _shared(waits, now)
    same: dict[
        int, bool
    ] = {}  # most accounts have the one that they share, which may hold very many devices
    texts = {}
    for account, text in accepted.accounts.items():
        old = text.unsettled
        if account in waits.gone:
            new = _of(waits.gone[account], shared)
            texts[account] = text if old == new else replace(text, unsettled=new)
            continue
        if id(old) not in same:
            same[id(old)] = old == shared
        texts[account] = text if same[id(old)] else replace(text, unsettled=shared)
    if all(accepted.accounts[account] is text for account, text in texts.items()):
        return accepted
    return replace(accepted, accounts=texts)


def _files(text: AccountRevision, named: Mapping[str, frozenset[str]]) -> frozenset[str]:
    return named.get(text.desired.path, frozenset()) | {text.desired.path}


def _shared(waits: Waits, now: float) -> Unsettled | None:
    """Return what waits in every account: devices of files that concern git."""
    words, devices, everything = [], set[DeviceId](), False
    if waits.lock:
        everything = True
        words.append(
            f"git is at work on the files: unsubscribes wait until {quoted(waits.lock)} is gone"
        )
    late = {path: one for path, one in waits.absent.items() if now - one.since < LONGEST_SECONDS}
    if late:
        everything = everything or any(one.devices is None for one in late.values())
        devices.update(*(one.devices for one in late.values() if one.devices is not None))
        words.append(_missing_words(late, now))
    if not words:
        return None
    return Unsettled(None if everything else frozenset(devices), "; ".join(words), waits.lock_since)


def _missing_words(late: Mapping[str, Absent], now: float) -> str:
    first, *more = sorted(late)
    which = quoted(first) + (f" and {len(more)} more" if more else "")
    left = timedelta(seconds=round(max(LONGEST_SECONDS - now + one.since for one in late.values())))
    unknown = any(one.devices is None for one in late.values())
    whose = (
        "what was in it is not known, so all unsubscribes wait" if unknown else "its devices wait"
    )
    return (
        f"a file that git tracks is missing from the working tree: {which}; {whose} until the removal is committed, "
        f"or the file is back, at most for {round(left.total_seconds() / 60)} minutes"
    )


def _of(devices: frozenset[DeviceId] | None, shared: Unsettled | None) -> Unsettled:
    if devices is None:
        words = "the account's file came a moment ago, and others may follow; its unsubscribes wait"
    else:
        words = "a device file went away a moment ago; its devices wait"
    words += f" until nothing below the folder of the files has changed for {QUIET_SECONDS:.0f} s"
    if shared is None:
        return Unsettled(devices, words)
    both = None if devices is None or shared.devices is None else shared.devices | devices
    return replace(shared, devices=both, message=f"{shared.message}; {words}")
