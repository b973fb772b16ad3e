"""What was read of LG's registry of each account that has rules.

Owns: the last registry of each account that was believed, why a newer one is not, and what waits for ``resolve``.
Must not: ask LG, or change what an account wants: all of this is shown, and nothing else.

It may be asked from any thread. What it says of a revision is worked out when a registry or the revision changes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from reconciler.core.model import AccountName, Desired
from reconciler.core.registry_news import RegistryNews, news
from reconciler.core.rules import Registered, Registry, doubt


class Registries:
    """The registries, by account. ``changed`` hears which account has other news."""

    def __init__(self) -> None:
        self.changed: Callable[[AccountName], None] = _nobody_hears
        self._believed: Mapping[AccountName, Registry] = MappingProxyType({})
        self._words: dict[str | None, str | None] = {}
        self._doubted: dict[AccountName, str] = {}
        self._judged: dict[AccountName, Desired] = {}
        self._news: dict[AccountName, RegistryNews] = {}

    def news(self) -> Mapping[AccountName, RegistryNews]:
        """Return what is known of every account with rules."""
        return self._news.copy()

    def believed(self, account: AccountName) -> Registry | None:
        """Return the last registry of an account that was believed."""
        return self._believed.get(account)

    def doubted(self, account: AccountName) -> str:
        """Return why the newest registry of an account is not believed, or an empty string."""
        return self._doubted.get(account, "")

    def take(self, desired: Desired, registry: Registry) -> str:
        """Take what LG answered; return why it is not believed, or an empty string. For a worker thread."""
        why = doubt(registry.devices, None if desired.ruled is None else desired.ruled.head)
        if not why:
            self._believed = {**self._believed, desired.account: self._shared(desired, registry)}
        self._note(desired, why)
        return why

    def _shared(self, desired: Desired, registry: Registry) -> Registry:
        """Return a registry whose words are in memory once: types and models are few, and most ids are wanted ones."""
        ids = {device: device for device in desired.devices}
        words = self._words
        devices = tuple(
            Registered(
                ids.get(one.id, one.id),
                words.setdefault(one.type, one.type),
                one.alias,
                words.setdefault(one.model, one.model),
            )
            for one in registry.devices
        )
        return Registry(devices, registry.read)

    def failed(self, desired: Desired, why: str) -> None:
        """Take that LG gave no registry."""
        self._note(desired, why)

    def _note(self, desired: Desired, why: str) -> None:
        self._doubted[desired.account] = why
        self._judged.pop(desired.account, None)
        self.judge(desired)

    def is_new(self, desired: Desired) -> bool:
        """Say whether nobody worked out yet what waits in this revision of an account."""
        return self._judged.get(desired.account) is not desired

    def judge(self, desired: Desired) -> None:
        """Work out what waits in a revision of an account, unless that was done. For a worker thread."""
        account = desired.account
        if self._judged.get(account) is desired:
            return
        found = self.of(desired)
        if found is None:
            self.forget(account)
            return
        self._judged[account] = desired
        if self._news.get(account) != found:
            self._news[account] = found
            self.changed(account)

    def of(self, desired: Desired) -> RegistryNews | None:
        """Return what would wait in this revision of an account, in force or proposed. For a worker thread."""
        account = desired.account
        return news(desired, self._believed.get(account), self.doubted(account))

    def forget(self, account: AccountName) -> None:
        """Drop what is known of an account that has no rules any more, left, or is another replica's."""
        self._believed = {
            name: registry for name, registry in self._believed.items() if name != account
        }
        for known in (self._doubted, self._judged, self._news):
            known.pop(account, None)


def _nobody_hears(_account: AccountName) -> None:
    return None
