"""Files on disk that a pattern names.

Owns: how folders are walked, so that no loop of links, no size of a tree and no number of patterns makes it last.
Must not: read a file, or know what a pattern means.

A folder is listed once for all patterns. ``**`` follows no link. Where a pattern names a folder, or by a
pattern for one name, a link to a folder counts as one (a mounted ConfigMap has such), but each folder only once.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from reconciler.desired import TOO_MUCH, Unreadable, globs

MOST_ENTRIES = 200_000
"""The number of names in folders that one reading looks at."""

Listing = list[tuple[str, bool, bool]]
"""Names of a folder, each with whether it is a folder, also behind a link, and whether it is a link."""
Place = tuple[str, int]
"""A folder, relative to where the walk begins, and how many parts of the pattern are used up there."""


class Walk:
    """Walks folders for patterns; what it listed once it does not list again."""

    def __init__(self, most: int = MOST_ENTRIES) -> None:
        self._left = self._most = most
        self._listings: dict[str, Listing] = {}
        self._effort = globs.Effort()

    def match(self, folder: str, pattern: str) -> tuple[str, ...]:
        """Return the sorted paths of what is no folder and matches. Raises ``Unreadable`` where there is too much."""
        try:
            return tuple(
                sorted(os.path.join(folder, name) for name in self._found(folder or ".", pattern))
            )
        except globs.TooMuch:
            raise Unreadable(TOO_MUCH) from None

    def _found(self, home: str, pattern: str) -> set[str]:
        parts, names = globs.compiled(pattern), pattern.split("/")
        found: set[str] = set()
        seen: set[tuple[int, int, int]] = set()
        places: list[Place] = [("", 0)]
        while places:
            below, used = places.pop()
            part, last = parts[used], used == len(parts) - 1
            if part is None:
                if not self._again(home, below, used, seen):
                    places += self._any_folders(home, below, used, found if last else None)
            elif globs.has_magic(names[used]):
                if not self._again(home, below, used, seen):
                    places += self._named(home, below, used, part, found if last else None)
            elif not last:
                places.append((f"{below}{names[used]}/", used + 1))
            elif _is_file(os.path.join(home, f"{below}{names[used]}")):
                found.add(f"{below}{names[used]}")
        return found

    def _any_folders(
        self, home: str, below: str, used: int, found: set[str] | None
    ) -> Iterator[Place]:
        """Go on below a folder for ``**``; where nothing follows it, every file there is ``found``."""
        if found is None:
            yield below, used + 1
        for name, is_folder, is_link in self._list(home, below):
            if name.startswith("."):
                continue
            if is_folder and not is_link:
                yield f"{below}{name}/", used
            elif found is not None and not is_folder:
                found.add(f"{below}{name}")

    def _named(
        self, home: str, below: str, used: int, part: globs.Name, found: set[str] | None
    ) -> Iterator[Place]:
        """Go on in the folders whose name matches; where nothing follows, the files whose name does are ``found``."""
        for name, is_folder, _is_link in self._list(home, below):
            if is_folder is (found is None) and part.matches(name, self._effort):
                if found is None:
                    yield f"{below}{name}/", used + 1
                else:
                    found.add(f"{below}{name}")

    def _again(self, home: str, below: str, used: int, seen: set[tuple[int, int, int]]) -> bool:
        """Return whether this folder was walked for this part of the pattern before, by whatever path."""
        try:
            status = os.stat(os.path.join(home, below))
        except OSError:
            return True
        key = status.st_dev, status.st_ino, used
        if key in seen:
            return True
        seen.add(key)
        return False

    def _list(self, home: str, below: str) -> Listing:
        path = os.path.join(home, below)
        if path not in self._listings:
            self._listings[path] = sorted(self._entries(path))
        return self._listings[path]

    def _entries(self, path: str) -> Iterator[tuple[str, bool, bool]]:
        try:
            with os.scandir(path) as entries:
                for entry in entries:
                    self._left -= 1
                    if self._left < 0:
                        raise Unreadable(
                            f"there are more than {self._most} names in the folders that the patterns lead through: "
                            "name the folders in the patterns"
                        )
                    yield entry.name, entry.is_dir(), entry.is_symlink()
        except OSError:
            return


def _is_file(path: str) -> bool:
    return os.path.lexists(path) and not os.path.isdir(path)
