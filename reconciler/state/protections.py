"""Which devices are protected, as accepted revisions stated last, also after their entries left.

Owns: what is remembered of it, and when that is written. Must not: read a revision, or hold a change.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from reconciler.core.memory import AccountMemory
from reconciler.core.model import Action, Outcome
from reconciler.core.protection import Protected, Stated
from reconciler.state.memories import Memories
from reconciler.state.port import Protections
from reconciler.state.records import Group, ProtectionReleased, ProtectionStated
from reconciler.state.write_behind import WriteBehind


@dataclass(frozen=True, slots=True)
class StoredProtection:
    """The protected devices that were stored at a moment. ``taken`` counts what this process had learned until then."""

    taken: int
    protected: Protected


class ProtectionStore(Protections):
    """The memory of protection, over the shared memory and the write-behind."""

    def __init__(self, behind: WriteBehind, memories: Memories) -> None:
        self._behind, self._memories = behind, memories
        self._lock = behind.remembered.lock
        self._taken = 0

    def all(self) -> Protected:
        with self._lock:
            return self._memories.protected().lend()

    def take(self, stated: Stated) -> None:
        with self._lock:
            self._take(stated)

    def keep(self, stated: Stated) -> None:
        self._behind.refuse_if_frozen()
        with self._lock:
            news = stated.news(self._memories.protected().look())
            if not news:
                return
            self._take(news)
            self._behind.waiting.put(self.group(news))
        self._behind.flush()

    def group(self, stated: Stated) -> Group:
        return Group((ProtectionStated(stated.protected, stated.ended),), lasting=True)

    def unsubscribed(self, known: AccountMemory, outcomes: Iterable[Outcome]) -> None:
        """Forget the protection of devices that an account unsubscribed: an approval named them.

        What the entry in force still protects stays, and so does what another account's entry protected last. It is
        written with the next write.
        """
        with self._lock:
            shelf = self._memories.protected()
            over = set()
            for one in outcomes:
                device = one.change.device
                gone = one.change.action is Action.UNSUBSCRIBE and one.result.confirmed
                mine = gone and shelf.look().get(device) == known.name
                if mine and not known.names.protects(device):
                    over.add(device)
            if not over:
                return
            protected = shelf.mine()
            for device in over:
                del protected[device]
            released = ProtectionReleased(known.name, frozenset(over))
            self._behind.waiting.put(Group((released,), lasting=True))

    def stored(self) -> StoredProtection:
        """Return what is stored, and how often this process changed its own memory before. Raises ``StateError``."""
        with self._lock:
            taken = self._taken
        return StoredProtection(taken, self._behind.storage.protected())

    def replace(self, stored: StoredProtection) -> None:
        """Take what is remembered in a state that several replicas share.

        What this process learned itself in the meantime may not be in it, so then it waits for the next time.
        """
        with self._lock:
            shelf = self._memories.protected()
            if stored.taken == self._taken and shelf.look() != stored.protected:
                shelf.become(dict(stored.protected))

    def _take(self, stated: Stated) -> None:
        shelf = self._memories.protected()
        news = stated.news(shelf.look())
        if news:
            self._taken += 1
            shelf.become(dict(news.on(shelf.look())))
