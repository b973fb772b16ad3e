"""The lock file: a device file with a head, which ``resolve`` writes.

Owns: the grammar of its head and of the words behind each id, both ways.
Must not: read a line that every device file has; ``device_files`` does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from reconciler.core.model import AccountName, Device, DeviceId, DeviceType
from reconciler.core.rules import LockHead, LockLine
from reconciler.desired.checks import tidy
from reconciler.desired.device_files import read_list

_HEAD = re.compile(
    rb"# written by pcc-reconciler resolve; account ([a-z0-9-]{1,63}); rules sha256:([0-9a-f]{64}); "
    rb"registry of ([0-9]{1,9}) devices?, read "
    rb"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z)\r?\n"
)
_MOMENT = "%Y-%m-%dT%H:%M:%SZ"
_KIND = re.compile(r"[a-z0-9_]{1,64}", re.ASCII)
_RULE = "rule "
_UNKNOWN = "-"
"""The word for what LG does not say of a device."""
_BETWEEN = " | "
_TYPES = frozenset(DeviceType)
LONGEST_ALIAS = 100
"""Characters of LG's alias in a lock. With type and rule behind it, the words are as long as a name may be."""


def head(content: bytes) -> LockHead | None:
    """Return the head of a lock file, or None where it has none."""
    found = _HEAD.match(content)
    if found is None:
        return None
    account, rules, devices, read = (one.decode() for one in found.groups())
    try:
        moment = datetime.strptime(read, _MOMENT).replace(tzinfo=UTC)
    except ValueError:
        return None
    return LockHead(account, rules, int(devices), moment)


def lines(devices: Iterable[DeviceId], content: bytes) -> dict[DeviceId, LockLine]:
    """Return what a lock file without fault says of its devices."""
    names = read_list("", content).names
    return {device: line(names.get(device, "")) for device in devices}


def line(words: str) -> LockLine:
    """Return what the words behind an id say. Words that a person wrote there are a name."""
    parts = words.rsplit(_BETWEEN, 2)
    if len(parts) < 3 or not parts[2].startswith(_RULE):  # noqa: PLR2004 - alias, type and rule
        return LockLine(words or None, "", "")
    alias, kind, rule = parts
    return LockLine(
        None if alias == _UNKNOWN else alias,
        "" if kind == _UNKNOWN else kind,
        rule.removeprefix(_RULE),
    )


def described(names: Mapping[DeviceId, str]) -> dict[DeviceId, Device]:
    """Return the devices of a lock file with what it says of each."""
    found = {}
    for device, words in names.items():
        about = line(words)
        kind = DeviceType(about.kind) if about.kind in _TYPES else None
        if about.alias or kind is not None:
            found[device] = Device(device, about.alias, kind)
    return found


def dump(
    account: AccountName,
    rules: str,
    registry: int,
    read: datetime,
    lines: Mapping[DeviceId, LockLine],
) -> str:
    """Return a lock file. ``rules`` is their fingerprint, ``registry`` the number of devices that LG listed."""
    number = f"{registry} device{'' if registry == 1 else 's'}"
    when = f"{read.astimezone(UTC):{_MOMENT}}"
    made_of = f"account {account}; rules sha256:{rules}; registry of {number}, read {when}"
    written = [f"# written by pcc-reconciler resolve; {made_of}"]
    written += [f"{device}  # {_words(lines[device])}" for device in sorted(lines)]
    return "\n".join(written) + "\n"


def _words(about: LockLine) -> str:
    alias = tidy(about.alias or "") or _UNKNOWN
    if len(alias) > LONGEST_ALIAS:
        alias = f"{alias[: LONGEST_ALIAS - 1]}…"
    if not about.rule:
        return alias
    kind = about.kind if _KIND.fullmatch(about.kind) else _UNKNOWN
    return f"{alias}{_BETWEEN}{kind}{_BETWEEN}{_RULE}{about.rule}"
