"""Which devices wait because local files may be half written.

Owns: what waits now, the files that each document in force was read from, and the look at the folder.
Must not: hold anything itself; a guard does, by what is marked here.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from reconciler.core import unsettled
from reconciler.core.acceptance import Accepted
from reconciler.core.clock import Clock
from reconciler.core.model import DeviceId
from reconciler.core.unsettled import Waits
from reconciler.desired import Loaded, read_list
from reconciler.source import Source
from reconciler.state import KeptText


class HalfWritten:
    """What waits. All methods but ``waits`` and ``waits_for_files`` may look at the disk."""

    def __init__(self, source: Source, clock: Clock) -> None:
        self.waits = Waits()
        self._source = source
        self._clock = clock
        self._files: dict[str, frozenset[str]] = {}

    @property
    def waits_for_files(self) -> bool:
        """Say whether devices wait because their file went away."""
        return bool(self.waits.gone)

    def know(self, kept: Sequence[KeptText]) -> None:
        """Take the files that the documents in force were read from."""
        self._files = {one.document: frozenset(one.files) for one in kept}

    def inherit(self, accepted: Accepted) -> None:
        """Take what waits at the replica that reads the files: whoever reads them next lets it go on waiting."""
        gone = {
            name: text.unsettled.devices
            for name, text in accepted.accounts.items()
            if text.unsettled is not None and text.unsettled.devices != frozenset()
        }
        self.waits = Waits(gone=gone, gone_since=self._clock.steady())

    def lost(self, kept: Sequence[KeptText]) -> bool:
        """Say whether a file that a kept document was read from is not there any more."""
        unrest = self._source.unrest
        if unrest is None:
            return False
        paths = [path for one in kept for path in one.files]
        return bool(unrest.gone(paths, {}))

    def look_again(self) -> Waits | None:
        """Return what still waits, or None where the files changed since the last reading: these are read first."""
        unrest, now = self._source.unrest, self._clock.steady()
        if unrest is None or self._source.poll():
            return None
        locked = unrest.lock() is not None
        quiet = unrest.quiet_for() if self.waits.gone else 0.0
        return unsettled.after_a_look(self.waits, now=now, locked=locked, quiet_for=quiet)

    def mark(self, before: Accepted, after: Accepted, loaded: Loaded) -> Accepted:
        """Return what is in force after a reading, with what may be missing only because the files are half written."""
        unrest, now = self._source.unrest, self._clock.steady()
        if unrest is None:
            return after
        lock = unrest.lock()
        known = frozenset[str]().union(self._files, *self._files.values())
        seen = unsettled.Reading(
            now=now,
            lock=lock.path if lock is not None else "",
            lock_since=self._clock.now() - timedelta(seconds=lock.age)
            if lock is not None
            else None,
            gone=unrest.gone(known, loaded.files),
            missing={
                path: _devices_in(path, content) for path, content in self._source.missing().items()
            },
            whole=unrest.is_whole,
        )
        self.waits = unsettled.after_reading(self.waits, seen, before, after, self._files)
        if after.newest is not None and after.revision is after.newest:
            self._files = self._files_after(loaded)
        return unsettled.marked(after, self.waits, now)

    def _files_after(self, loaded: Loaded) -> dict[str, frozenset[str]]:
        """Return the files of each document in force: a faulty one keeps those that it was read from before."""
        files = {path: named for path, named in self._files.items() if path in loaded.faulty}
        for path, named in loaded.named.items():
            if path not in loaded.faulty:
                files[path] = frozenset(named)
        return files


def _devices_in(path: str, content: bytes | None) -> frozenset[DeviceId] | None:
    """Return the devices that a missing file held, or None where that cannot be read from what the commit has."""
    if content is None or path.endswith(".toml"):
        return None
    listed = read_list(path, content)
    return None if listed.faults else listed.ids
