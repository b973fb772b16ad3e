"""The message ids of our requests.

Owns: how an ``x-message-id`` is made, and the memory of those that were sent lately.
Must not: send anything, or read an answer.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Callable
from uuid import UUID, uuid4

from reconciler.core.model import MessageId
from reconciler.pcc.codes import CHANGES, Call

READS_REMEMBERED, CHANGES_REMEMBERED = 65_536, 16_384
"""How many message ids are remembered, of lists and of changes apart: many changes must not push out the lists."""


def new_message_id(unique: Callable[[], UUID] = uuid4) -> MessageId:
    """Return a fresh ``x-message-id``: the 16 bytes of a UUIDv4 in url-safe base64 without padding, 22 characters."""
    return MessageId(urlsafe_b64encode(unique().bytes)[:-2].decode())


class SentIds:
    """The message ids of this process's latest requests, of all accounts: by them a mixed-up answer is known."""

    def __init__(self, reads: int = READS_REMEMBERED, changes: int = CHANGES_REMEMBERED) -> None:
        self._reads: dict[str, None] = {}
        self._changes: dict[str, None] = {}
        self._most_reads, self._most_changes = reads, changes

    def add(self, message_id: str, call: Call) -> None:
        """Take the message id of one request, and forget the oldest where there are too many."""
        is_change = call in CHANGES
        ids, most = (
            (self._changes, self._most_changes) if is_change else (self._reads, self._most_reads)
        )
        ids[message_id] = None
        if len(ids) > most:
            del ids[next(iter(ids))]

    def __contains__(self, message_id: object) -> bool:
        return message_id in self._reads or message_id in self._changes
