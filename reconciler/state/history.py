"""Past changes and devices, from the storage and from the groups that wait to be written.

Owns: how waiting groups are laid over the stored ones. Must not: change anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from reconciler.core.errors import StateError
from reconciler.core.memory import Past
from reconciler.core.model import AccountName, DeviceId
from reconciler.state.port import HISTORY, Asked, History, Known, Stay
from reconciler.state.records import newest_first, past_key
from reconciler.state.traits import ANY, Traits
from reconciler.state.write_behind import WriteBehind


class HistoryStore(History):
    """The past, over the write-behind."""

    def __init__(self, behind: WriteBehind) -> None:
        self._behind, self._storage = behind, behind.storage

    def changes(
        self,
        account: AccountName | None = None,
        device: DeviceId | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = HISTORY,
        *,
        traits: Traits = ANY,
    ) -> Sequence[Past]:
        asked = Asked(account, device, since, until, traits)
        with self._behind.reading() as groups:
            waiting = sum(len(group.pasts) + len(group.withdrawn) for group in groups)
            found = {past_key(past): past for past in self._storage.changes(asked, limit + waiting)}
        for group in groups:
            found.update((past_key(past), past) for past in group.pasts)
            for past in group.withdrawn:
                found.pop(past_key(past), None)
        return sorted(filter(asked.takes, found.values()), key=newest_first)[:limit]

    def devices_like(self, prefix: str, limit: int) -> frozenset[Known]:
        with self._behind.reading() as groups:
            found = set(self._storage.devices_like(prefix, limit))
        for group in groups:
            found.update(
                (past.account, past.device)
                for past in group.pasts
                if past.device.startswith(prefix)
            )
            for moved in group.moved:
                found.update(
                    (moved.account, one) for one in moved.entering if one.startswith(prefix)
                )
        return frozenset(sorted(found)[:limit])

    def came_and_went(self, account: AccountName, device: DeviceId) -> Stay:
        with self._behind.reading() as groups:
            stay = self._storage.came_and_went(account, device)
        for group in groups:
            for moved in group.moved:
                if moved.account == account and device in moved.entering:
                    stay = Stay(came=moved.mark)
                elif moved.account == account and device in moved.leaving:
                    stay = Stay(stay.came, moved.mark)
        return stay

    def sent_after(self, account: AccountName, moment: datetime) -> tuple[datetime, ...]:
        with self._behind.disk:
            try:
                return self._storage.sent_after(account, moment)
            except StateError as error:
                self._behind.unread(error)
                return ()
