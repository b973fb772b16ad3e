"""What people write: accounts, devices, policies and approvals as values, and how they look in files.

Owns: the fleet as a person has it in mind, and its spelling in TOML and device files. Must not: know what the program
makes of it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any
from zlib import crc32

SHARED = "policy.toml"
"""The document that holds what concerns all accounts, and the approvals."""


@dataclass(slots=True)
class Entry:
    """One device of an account. Its dates are moments, with whatever offset, or days of the fleet's zone."""

    name: str = ""
    from_: date | None = None
    until: date | None = None
    protected: bool | None = None

    @property
    def is_plain(self) -> bool:
        """Say whether a line of a device file can say it."""
        return self.from_ is self.until is None and self.protected is None


@dataclass(slots=True)
class Account:
    """One account. ``in_file``: its plain devices stand in a device file of their own.

    ``wings``: they stand in several, by these names, which one pattern finds. ``rule``: they stand in a lock, which
    was made of the rule ``resolved``. ``tables``: each other device has a table with a line for each key, between which
    the file may be cut.
    """

    devices: dict[str, Entry] = field(default_factory=dict)
    policy: dict[str, Any] = field(default_factory=dict)
    in_file: bool = False
    wings: list[str] = field(default_factory=list)
    rule: dict[str, Any] | None = None
    resolved: dict[str, Any] | None = None
    tables: bool = False


@dataclass(slots=True)
class Approved:
    """One approval."""

    account: str
    devices: list[str]
    expires: date
    in_file: str = ""


@dataclass(slots=True)
class Fleet:
    """Everything that is written."""

    environment: str = ""
    zone: str = ""
    accounts: dict[str, Account] = field(default_factory=dict)
    policy: dict[str, Any] = field(default_factory=dict)
    approvals: list[Approved] = field(default_factory=list)
    retired: list[str] = field(default_factory=list)
    windows: list[dict[str, Any]] = field(default_factory=list)

    def copy(self) -> Fleet:
        """Return one that can be changed on its own."""
        return deepcopy(self)


def files(fleet: Fleet) -> dict[str, bytes]:
    """Return the fleet as files by their names below the folder of the texts: one document an account, one for all."""
    made = {SHARED: _shared(fleet)}
    for name, account in fleet.accounts.items():
        plain = [device for device, entry in account.devices.items() if entry.is_plain]
        inline = account.devices
        lines = ["version = 1", "", f"[accounts.{name}]"]
        lines += [f"policy.{key} = {_value(value)}" for key, value in account.policy.items()]
        if account.rule is not None:
            inline = {
                device: entry for device, entry in account.devices.items() if device not in plain
            }
            lines.append(f'locked = "locks/{name}.txt"')
            made[f"locks/{name}.txt"] = _lock(name, account, plain)
        elif account.in_file:
            inline = {
                device: entry for device, entry in account.devices.items() if device not in plain
            }
            pattern = f"devices/{name}/*.txt" if account.wings else f"devices/{name}.txt"
            lines.append(f'device_files = ["{pattern}"]')
            for number, wing in enumerate(account.wings or [""]):
                mine = [
                    one
                    for one in plain
                    if crc32(one.encode()) % max(len(account.wings), 1) == number
                ]
                file = f"devices/{name}/{wing}.txt" if wing else f"devices/{name}.txt"
                made[file] = _listed(mine, account.devices)
        if inline or not (account.in_file or account.rule):
            lines += _inline(name, account, inline)
        if account.rule is not None:
            lines += ["", f"[[accounts.{name}.rules]]"]
            lines += [f"{key} = {_value(value)}" for key, value in account.rule.items()]
        made[f"{name}.toml"] = ("\n".join(lines) + "\n").encode()
    for one in fleet.approvals:
        if one.in_file:
            made[one.in_file] = "".join(f"{device}\n" for device in one.devices).encode()
    return made


def fingerprint(rule: Mapping[str, Any]) -> str:
    """Return the digest of one rule, as the format of locks has it."""
    keys = {"type": [], "alias": None, "model": None, "except": [], **rule}
    keys.pop("every", None)
    keys["type"] = sorted(keys["type"])
    return hashlib.sha256(json.dumps([keys], sort_keys=True).encode()).hexdigest()


def _lock(name: str, account: Account, devices: list[str]) -> bytes:
    """Return a lock, as resolve writes it, of the rule that it was made of."""
    rule = account.resolved or {"name": "none"}
    made_of = (
        f"account {name}; rules sha256:{fingerprint(rule)}; registry of {len(devices)} devices"
    )
    lines = [f"# written by pcc-reconciler resolve; {made_of}, read 2026-01-01T00:00:00Z"]
    names = {device: account.devices[device].name or "-" for device in sorted(devices)}
    lines += [f"{one}  # {name} | washer | rule {rule['name']}" for one, name in names.items()]
    return "".join(f"{line}\n" for line in lines).encode()


def _inline(name: str, account: Account, inline: Mapping[str, Entry]) -> list[str]:
    """Return the entries that stand in the document itself."""
    if inline and account.tables:
        lines = []
        for device, entry in inline.items():
            lines += ["", f"[[accounts.{name}.devices]]"]
            lines += [f"{key} = {_value(value)}" for key, value in _keys(device, entry)]
        return lines
    return [
        "devices = [",
        *(f"  {_entry(device, entry)}," for device, entry in inline.items()),
        "]",
    ]


def _listed(devices: list[str], entries: Mapping[str, Entry]) -> bytes:
    """Return a device file. One without devices says that this is meant."""
    lines = [f"{device} # {entries[device].name}".rstrip(" #") for device in devices]
    return "".join(f"{line}\n" for line in lines or ["# nobody lives here"]).encode()


def _shared(fleet: Fleet) -> bytes:
    lines = ["version = 1"]
    if fleet.environment:
        lines.append(f'environment = "{fleet.environment}"')
    if fleet.zone:
        lines.append(f'timezone = "{fleet.zone}"')
    if fleet.retired:
        lines.append(f"retired_accounts = {_value(fleet.retired)}")
    lines += [f"policy.{key} = {_value(value)}" for key, value in fleet.policy.items()]
    for window in fleet.windows:
        lines += ["", "[[windows]]"]
        lines += [f"{key} = {_value(value)}" for key, value in window.items()]
    for one in fleet.approvals:
        lines += [
            "",
            "[[approvals]]",
            f'account = "{one.account}"',
            f"expires = {_value(one.expires)}",
        ]
        lines.append('reason = "as agreed"')
        lines.append(
            f"device_files = {_value([one.in_file])}"
            if one.in_file
            else f"devices = {_value(one.devices)}"
        )
    return ("\n".join(lines) + "\n").encode()


def _entry(device: str, entry: Entry) -> str:
    if not entry.name and entry.is_plain:
        return _value(device)
    keys = ", ".join(f"{key} = {_value(value)}" for key, value in _keys(device, entry))
    return f"{{ {keys} }}"


def _keys(device: str, entry: Entry) -> list[tuple[str, Any]]:
    """Return what is said of a device, the id first and its protection last."""
    said = {"id": device, "name": entry.name, "from": entry.from_, "until": entry.until}
    keys: list[tuple[str, Any]] = [(key, value) for key, value in said.items() if value]
    if entry.protected is not None:
        keys.append(("protected", entry.protected))
    return keys


def _value(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case int():
            return str(value)
        case datetime() if value.tzinfo is UTC:
            return f"{value:%Y-%m-%dT%H:%M:%SZ}"
        case date():
            return value.isoformat()
        case list():
            return "[" + ", ".join(map(_value, value)) + "]"
        case _:
            return f'"{value}"'


def differing(before: Mapping[str, bytes], after: Mapping[str, bytes]) -> dict[str, bytes | None]:
    """Return what has to be written to come from one set of files to another; nothing stands for a file that goes."""
    gone = dict.fromkeys(before.keys() - after.keys())
    return {
        **gone,
        **{name: content for name, content in after.items() if before.get(name) != content},
    }
