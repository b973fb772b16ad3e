"""LG's registry as it is shown: what waits for ``resolve``, and the registry itself for programs.

Owns: their shapes, which JSON has too. Must not: read a registry, or judge one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from reconciler.core.errors import Unknown, quoted
from reconciler.core.model import AccountName
from reconciler.core.registry_news import RegistryNews
from reconciler.core.rules import Registry


@dataclass(frozen=True, slots=True)
class RuleReport:
    """One rule, and how many devices it would take that the lock does not have."""

    rule: str
    pending: int


@dataclass(frozen=True, slots=True)
class RegistryReport:
    """What is known of LG's registry of an account with rules. ``read`` is when the last believed one was read.

    ``doubted`` is why the newest one is not believed. ``replica`` is the host of the replica that reads it, if there
    are several.
    """

    read: datetime | None
    doubted: str
    rules: tuple[RuleReport, ...]
    replica: str | None = None


@dataclass(frozen=True, slots=True)
class RegisteredReport:
    """One device as LG's registry has it."""

    id: str
    type: str | None
    alias: str | None
    model: str | None


@dataclass(frozen=True, slots=True)
class AccountRegistry:
    """LG's registry of one account. ``trouble`` is why its devices are not given, ``replica`` who has them instead."""

    account: str
    read: datetime | None
    trouble: str
    replica: str | None
    devices: tuple[RegisteredReport, ...]


@dataclass(frozen=True, slots=True)
class RegistryList:
    """The registries of accounts with rules."""

    at: datetime
    accounts: tuple[AccountRegistry, ...]


def registry_report(news: RegistryNews | None, replica: str | None = None) -> RegistryReport | None:
    """Return what is shown of an account's registry, or None where it has no rules."""
    if news is None:
        return None
    rules = [RuleReport(name, len(devices)) for name, devices in news.pending.of_rule.items()]
    return RegistryReport(news.read, news.doubted, tuple(rules), replica)


def account_registry(
    account: AccountName, registry: Registry | None, doubted: str
) -> AccountRegistry:
    """Return the registry of an account that this process reads."""
    if doubted or registry is None:
        trouble = f"registry doubted: {doubted}" if doubted else ""
        read = None if registry is None else registry.read
        return AccountRegistry(account, read, trouble, None, ())
    devices = tuple(
        RegisteredReport(one.id, one.type, one.alias, one.model) for one in registry.devices
    )
    return AccountRegistry(account, registry.read, "", None, devices)


def registry_elsewhere(account: AccountName, report: RegistryReport | None) -> AccountRegistry:
    """Return that another replica reads the registry of an account, and which one if that is known."""
    read = None if report is None else report.read
    replica = None if report is None else report.replica
    return AccountRegistry(account, read, "", replica or "another replica", ())


def asked_for(
    asked: str | None, ruled: Sequence[AccountName], known: Mapping[AccountName, object]
) -> Sequence[AccountName]:
    """Return the accounts with rules that are asked for, or all; raises ``Unknown``."""
    if asked is None:
        return ruled
    if AccountName(asked) in ruled:
        return [AccountName(asked)]
    if AccountName(asked) in known:
        raise Unknown(
            f"account {asked} has no rules in force, so the daemon does not read LG's registry for it: run resolve "
            "once with the account's credentials"
        )
    raise Unknown(f"there is no account {quoted(asked)!r}")
