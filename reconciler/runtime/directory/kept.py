"""What of the desired state outlives a restart of the receiving process.

Owns: the form in which accounts are kept in the spool, and that what cannot be read there is None.
Must not: keep more than names need: no approvals, and of the policy only what is ignored.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType

import msgspec

from reconciler.core.acceptance import Accepted, AccountRevision
from reconciler.core.model import (
    AccountName,
    Desired,
    Device,
    DeviceId,
    DeviceType,
    Policy,
    Revision,
)

NAME = "names"
"""The name under which the spool keeps it."""
_QUICK = 1
_TYPES = frozenset(DeviceType)


class _KeptDevice(msgspec.Struct, frozen=True, array_like=True):
    id: str
    name: str | None
    type: str | None
    from_: datetime | None
    until: datetime | None


class _KeptAccount(msgspec.Struct, frozen=True):
    account: str
    path: str
    devices: list[str]
    described: list[_KeptDevice]
    ignore: list[str]


class _Kept(msgspec.Struct, frozen=True):
    version: int
    sha256: str
    accounts: list[_KeptAccount]
    shared: list[str]
    signed: list[str]


@dataclass(frozen=True, slots=True)
class Recalled:
    """What was in force before. ``signed``: the commits with a good signature that brought it in."""

    accepted: Accepted
    signed: frozenset[str] = frozenset()


_VERSION = 1
_DECODER = msgspec.msgpack.Decoder(_Kept)


def packed(accepted: Accepted, signed: Iterable[str] = ()) -> bytes:
    """Return what is in force as bytes."""
    kept = _Kept(
        version=_VERSION,
        sha256="" if accepted.revision is None else accepted.revision.sha256,
        accounts=[_account(one.desired) for one in accepted.accounts.values()],
        shared=sorted(accepted.shared),
        signed=sorted(signed),
    )
    return zlib.compress(msgspec.msgpack.encode(kept), _QUICK)


def unpacked(content: bytes) -> Recalled | None:
    """Return what was in force before, or None where these bytes are none of ours."""
    try:
        kept = _DECODER.decode(zlib.decompress(content))
    except (zlib.error, msgspec.MsgspecError):
        return None
    if kept.version != _VERSION:
        return None
    revision = Revision(kept.sha256)
    accounts = {
        AccountName(one.account): AccountRevision(_desired(one), revision) for one in kept.accounts
    }
    accepted = Accepted(
        accounts=MappingProxyType(accounts), shared=frozenset(kept.shared), revision=revision
    )
    return Recalled(accepted, frozenset(kept.signed))


def without(content: bytes, device: str) -> bytes | None:
    """Return what is kept without one device, or None where it does not name it."""
    recalled = unpacked(content)
    if recalled is None:
        return None
    accounts = {
        name: replace(one, desired=_forgotten(one.desired, DeviceId(device)))
        for name, one in recalled.accepted.accounts.items()
    }
    if accounts == recalled.accepted.accounts:
        return None
    left = replace(recalled.accepted, accounts=MappingProxyType(accounts))
    return packed(left, recalled.signed)


def _forgotten(desired: Desired, device: DeviceId) -> Desired:
    """Return an account's part without a device."""
    described = {one: known for one, known in desired.described.items() if one != device}
    policy = replace(desired.policy, ignore=desired.policy.ignore - {device})
    return replace(
        desired,
        devices=desired.devices - {device},
        described=MappingProxyType(described),
        policy=policy,
    )


def _account(desired: Desired) -> _KeptAccount:
    described = [
        _KeptDevice(
            one.id, one.name, None if one.type is None else str(one.type), one.from_, one.until
        )
        for one in desired.described.values()
    ]
    return _KeptAccount(
        account=desired.account,
        path=desired.path,
        devices=list(desired.devices),
        described=described,
        ignore=list(desired.policy.ignore),
    )


def _desired(kept: _KeptAccount) -> Desired:
    described: dict[DeviceId, Device] = {}
    for one in kept.described:
        id_ = DeviceId(one.id)
        described[id_] = Device(id_, one.name, _type(one.type), one.from_, one.until)
    return Desired(
        account=AccountName(kept.account),
        devices=frozenset(map(DeviceId, kept.devices)),
        described=MappingProxyType(described),
        policy=Policy(ignore=frozenset(map(DeviceId, kept.ignore))),
        path=kept.path,
    )


def _type(name: str | None) -> DeviceType | None:
    return DeviceType(name) if name in _TYPES else None
