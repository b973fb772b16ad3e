"""Values to TOML.

Owns: how a document is written. ``load`` makes the same values of it. Must not: know how one is read.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

from reconciler.core import duration
from reconciler.core.model import (
    DEFAULT_ACCOUNT,
    AccountName,
    Approval,
    Desired,
    Device,
    DeviceId,
    Policy,
)
from reconciler.desired.checks import SAY_WHY, VERSION, tidy

SCHEMA_FILE = "desired-state.schema.json"
"""The name of the committed JSON Schema, as the first line of a document points to it."""


INLINE = 20
"""The most ids in the block itself; more go to a device file beside it."""
VALID_FOR = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Aside:
    """A device that a document mentions in a comment only, and why."""

    device: DeviceId
    why: str
    name: str | None = None


def dump(
    accounts: Iterable[Desired],
    *,
    environment: str | None = None,
    retired: Iterable[AccountName] = (),
    aside: Mapping[AccountName, Iterable[Aside]] | None = None,
) -> str:
    """Return a document that ``load`` makes these accounts of.

    ``aside`` are devices that are in comments above the wanted ones of their account.
    Policy comes before the devices, so a document that is cut cannot lose it. Every key of it is written, so a later
    default cannot change it. Names from LG are shortened to a line. A single account ``default`` has the short form.
    """
    wanted = sorted(accounts, key=lambda one: one.account)
    lines = [f"#:schema ./{SCHEMA_FILE}", f"version = {VERSION}"]
    if environment is not None:
        lines.append(f"environment = {toml_string(environment)}")
    if gone := sorted(retired):
        lines.append(f"retired_accounts = {toml_strings(gone)}")
    general = wanted[0].policy if len({one.policy for one in wanted}) == 1 else None
    if general is not None:
        lines += ["", *_policy_lines(general)]
    if len(wanted) == 1 and wanted[0].account == DEFAULT_ACCOUNT and wanted[0].country is None:
        lines += ["", *_aside_lines(wanted[0], aside), *_device_lines(wanted[0])]
    else:
        for one in wanted:
            lines += ["", f"[accounts.{one.account}]"]
            lines += [f"country = {toml_string(one.country)}"] if one.country is not None else []
            lines += _policy_lines(one.policy) if general is None else []
            lines += [*_aside_lines(one, aside), *_device_lines(one)]
    for one in wanted:
        for approval in one.approvals:
            lines += ["", *_approval_lines(one.account, approval)]
    return "\n".join(lines) + "\n"


def account_lines(desired: Desired) -> dict[str, str]:
    """Return an account's keys beside its devices as lines of a document, by key."""
    country = {} if desired.country is None else {"country": toml_string(desired.country)}
    return {key: f"{key} = {value}" for key, value in (country | _policy(desired.policy)).items()}


def _policy_lines(policy: Policy) -> list[str]:
    return [f"{key} = {value}" for key, value in _policy(policy).items()]


def _policy(policy: Policy) -> dict[str, str]:
    calls, most = policy.calls_per_hour, policy.max_unsubscribe
    return {
        "policy.prune": toml_string(policy.prune),
        "policy.ignore": toml_strings(sorted(policy.ignore)),
        "policy.max_unsubscribe": str(most) if isinstance(most, int) else toml_string(str(most)),
        "policy.max_unsubscribe_floor": str(policy.max_unsubscribe_floor),
        "policy.unsubscribe_after": toml_string(duration.show(policy.unsubscribe_after)),
        "policy.allow_empty": _truth(policy.allow_empty),
        "policy.pause": toml_string(policy.pause),
        "policy.calls_per_hour": str(calls) if isinstance(calls, int) else toml_string(calls.value),
    }


def _aside_lines(
    desired: Desired, aside: Mapping[AccountName, Iterable[Aside]] | None
) -> list[str]:
    found = sorted((aside or {}).get(desired.account, ()), key=lambda one: one.device)
    return [
        f"# {one.device}  {tidy(': '.join(filter(None, (one.why, one.name))))}" for one in found
    ]


def _device_lines(desired: Desired) -> list[str]:
    if not desired.devices:
        return ["devices = []"]
    described = desired.described
    return [
        "devices = [",
        *(
            f"  {_entry(described[i]) if i in described else toml_string(i)},"
            for i in sorted(desired.devices)
        ),
        "]",
    ]


def _entry(device: Device) -> str:
    values = {
        "id": toml_string(device.id),
        "name": toml_string(tidy(device.name)) if device.name else None,
        "type": toml_string(device.type) if device.type is not None else None,
        "from": _moment(device.from_) if device.from_ is not None else None,
        "until": _moment(device.until) if device.until is not None else None,
        "protected": _truth(device.protected) if device.protected is not None else None,
    }
    return (
        "{ "
        + ", ".join(f"{key} = {value}" for key, value in values.items() if value is not None)
        + " }"
    )


def approval_block(
    account: AccountName,
    devices: Iterable[DeviceId],
    now: datetime,
    *,
    file: str | None = None,
    names: Mapping[DeviceId, str] = MappingProxyType({}),
) -> str:
    """Return the ``[[approvals]]`` block that lets exactly these devices go. A person only adds the reason.

    ``names`` stand in comments behind the ids, for the person who decides.

    More than ``INLINE`` devices are named by a device file: ``file``, or one that ``plan --approval`` can write.
    """
    wanted = frozenset(devices)
    if not wanted:
        return ""
    expires = (now + VALID_FOR).replace(hour=0, minute=0, second=0, microsecond=0)
    approval = Approval(wanted, expires, SAY_WHY)
    if file is None and len(wanted) <= INLINE:
        return _dump_approval(account, approval, names=names)
    name = file or f"removed/{account}-{now:%Y-%m-%d}.txt"
    how = f"# {len(wanted)} devices; pcc-reconciler plan --account {account} --approval {name} writes that file\n"
    return ("" if file else how) + _dump_approval(account, approval, file=name)


def _dump_approval(
    account: AccountName,
    approval: Approval,
    *,
    file: str | None = None,
    names: Mapping[DeviceId, str] = MappingProxyType({}),
) -> str:
    """Return one ``[[approvals]]`` block; with ``file`` it names that device file instead of the devices."""
    return "\n".join(_approval_lines(account, approval, file, names)) + "\n"


def dump_device_file(devices: Iterable[DeviceId], names: Mapping[DeviceId, str]) -> str:
    """Return a device file: one id a line, its name in a comment; a comment alone if there is no device."""
    lines = (f"{one}{_comment(names.get(one))}" for one in sorted(devices))
    return "".join(f"{line}\n" for line in lines) or "# no device\n"


def _comment(name: str | None) -> str:
    """Return a name as a comment behind an id. It is one line without control characters, whatever the name is."""
    words = tidy(name) if name else ""
    return f"  # {words}" if words else ""


def _approval_lines(
    account: AccountName,
    approval: Approval,
    file: str | None = None,
    names: Mapping[DeviceId, str] = MappingProxyType({}),
) -> list[str]:
    if file is not None:
        which = [f"device_files = [{toml_string(file)}]"]
    else:  # one id a line, so that a review sees each
        which = [
            "devices = [",
            *(
                f"  {toml_string(one)},{_comment(names.get(one))}"
                for one in sorted(approval.devices)
            ),
            "]",
        ]
    return [
        "[[approvals]]",
        f"account = {toml_string(account)}",
        *which,
        f"expires = {_moment(approval.expires)}",
        f"reason = {toml_string(approval.reason)}",
    ]


def _moment(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _truth(value: bool) -> str:  # noqa: FBT001 - it is what is written
    return "true" if value else "false"


def toml_string(text: str) -> str:
    """Write a TOML string. TOML has JSON's escapes, and also escapes DEL."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def toml_strings(texts: Iterable[str]) -> str:
    """Write a TOML array of strings."""
    return f"[{', '.join(map(toml_string, texts))}]"
