"""Accounts that have the same live list: one LG user under two names, perhaps.

Owns: which accounts are alike, and the one warning about them. Must not: hold anything for it.
"""

from __future__ import annotations

from collections.abc import Mapping

import structlog

from reconciler.core.model import AccountName, DeviceId

log = structlog.get_logger()

ALIKE_FROM = 2
"""Two accounts with the same list of at least this many devices are most likely one LG user."""
NAMED = 20
"""A warning names at most this many accounts."""


class Twins:
    """Which accounts have equal lists. Lists are compared by their hash, which costs nothing where a list is known."""

    def __init__(self) -> None:
        self._hashes: dict[AccountName, int] = {}
        self._accounts: dict[int, set[AccountName]] = {}
        self._shared: set[int] = set()

    @property
    def alike(self) -> Mapping[AccountName, tuple[AccountName, ...]]:
        """Return for each account that is not alone with its list the others, sorted."""
        found = {}
        for one in self._shared:
            accounts = self._accounts[one]
            found.update({account: tuple(sorted(accounts - {account})) for account in accounts})
        return found

    def listed(self, account: AccountName, devices: frozenset[DeviceId]) -> None:
        """Take an account's trusted list, and warn of others that have the same."""
        new = hash(devices) if len(devices) >= ALIKE_FROM else None
        if new == self._hashes.get(account):
            return
        self.forget(account)
        if new is None:
            return
        self._hashes[account] = new
        alike = self._accounts.setdefault(new, set())
        alike.add(account)
        if len(alike) > 1:
            self._shared.add(new)
            log.warning("accounts.alike", accounts=sorted(alike)[:NAMED], devices=len(devices))

    def forget(self, account: AccountName) -> None:
        """Drop an account's list."""
        before = self._hashes.pop(account, None)
        if before is None:
            return
        self._accounts[before].discard(account)
        if len(self._accounts[before]) < 2:  # noqa: PLR2004 - nobody is alike to itself
            self._shared.discard(before)
        if not self._accounts[before]:
            del self._accounts[before]
