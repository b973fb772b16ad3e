"""Device files: lists of ids, one a line.

Owns: their grammar, and that each is read once.
Must not: quote the content of a file, which may not be ours to show, or touch a disk (a ``Tree`` does).

A file whose lines are all plain ids is read in one step. A file with names or a fault is read line by line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace

from reconciler.core.model import DeviceId
from reconciler.desired import foreign
from reconciler.desired.checks import tidy
from reconciler.desired.diagnostics import Finding, Where, byte_place
from reconciler.desired.documents import Tree, Unreadable
from reconciler.desired.ids import ID_WORDS, plain_ids, plain_lines, wrong_id

_MARK = "\ufeff".encode()

NULL = b"\0"
"""A disk that lost power leaves this in place of lines. A comment may hide it, and no name has it."""


_PROTECTS = re.compile(r"\bprotected\s*=\s*(?:true|false)\b", re.IGNORECASE)
NOT_HERE = (
    'a device file cannot protect a device: write { id = "…", protected = true } in devices instead'
)
"""Whoever writes it into a comment would believe that the device is protected."""


def says_protected(name: str) -> bool:
    """Say whether a name would be taken for an attempt to protect its device."""
    return _PROTECTS.search(name) is not None


@dataclass(frozen=True, slots=True)
class Listed:
    """One device file, read."""

    path: str
    content: bytes = b""
    ids: frozenset[DeviceId] = frozenset()
    names: Mapping[DeviceId, str] = field(default_factory=dict)
    faults: tuple[Finding, ...] = ()
    warnings: tuple[Finding, ...] = ()

    def where(self, wanted: AbstractSet[str]) -> Iterator[tuple[DeviceId, Where]]:
        """Find the lines of some ids."""
        for number, column, text in _lines(self.content.decode().removeprefix("\ufeff")):
            if text in wanted:
                yield DeviceId(text), Where(self.path, line=number, column=column)


def _lines(text: str) -> Iterator[tuple[int, int, str]]:
    """Take a device file apart: line, column and id of each line that has an id."""
    for number, line in enumerate(text.split("\n"), 1):
        before = line.partition("#")[0]
        if device := before.strip():
            yield number, before.index(device) + 1, device


def read_list(path: str, content: bytes, *, kept: bool = False) -> Listed:
    """Read a device file: in one step if every line is a plain id, otherwise line by line.

    ``kept``: it was accepted before, maybe by a version that took an empty file and lines of other formats.
    """
    ids = plain_lines(content) if content else None
    if ids is not None:
        return Listed(path, content, ids)
    what = None if kept else foreign.whole(content)
    if what is not None:
        return Listed(path, faults=(Finding(Where(path, line=1, column=1), f"this file {what}"),))
    try:
        text = content.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        return Listed(
            path, faults=(Finding(byte_place(path, content, error.start), "is not UTF-8"),)
        )
    if not kept and not text.strip():
        return Listed(
            path, content, faults=(Finding(Where(path, line=1, column=1), foreign.EMPTY),)
        )
    warnings = (
        (Finding(Where(path, line=1, column=1), foreign.BYTE_ORDER_MARK),)
        if content[:3] == _MARK
        else ()
    )
    plain, names = _with_names(text)
    ids = plain_ids(plain)
    if (
        ids is None
        or len(ids) != len(plain)
        or (text and not text.endswith("\n"))
        or NULL in content
        or _PROTECTS.search(text)
    ):
        return replace(_list_carefully(path, content, names, kept=kept), warnings=warnings)
    return Listed(path, content, ids, names, warnings=warnings)


def _with_names(text: str) -> tuple[list[str], dict[DeviceId, str]]:
    """Return the ids of a device file as they are written, and the names behind them."""
    devices: list[str] = []
    names: dict[DeviceId, str] = {}
    for line in text.split("\n"):
        before, _mark, comment = line.partition("#")
        device = before.strip()
        if device:
            devices.append(device)
            name = tidy(comment)
            if name:
                names[DeviceId(device)] = name
    return devices, names


def _list_carefully(
    path: str, content: bytes, names: Mapping[DeviceId, str], *, kept: bool
) -> Listed:
    """Read a device file that has a fault or something unusual, and find every fault in it."""
    conflict = -1 if kept else foreign.conflict(content)
    if conflict >= 0:
        where = byte_place(path, content, conflict)
        return Listed(
            path, faults=(Finding(where, "an unresolved merge conflict begins here: resolve it"),)
        )
    text = content.decode().removeprefix("\ufeff")
    faults = []
    first: dict[str, Where] = {}
    for number, column, device in _lines(text):
        where = Where(path, line=number, column=column)
        wrong = wrong_id(device, kept=kept)
        if wrong is not None:
            words = wrong if wrong is ID_WORDS else f"it {wrong}"
            faults.append(Finding(where, f"this line is not a device id: {words}"))
        elif device in first:
            faults.append(Finding(where, "this device is listed twice, first at", first[device]))
        else:
            first[device] = where
    if not kept:
        faults += _protecting(path, text)
    if NULL in content:
        faults.append(
            Finding(
                byte_place(path, content, content.index(NULL)),
                "has a null byte here, so it is damaged",
            )
        )
    if text and not text.endswith("\n"):
        last = text.rpartition("\n")[2]
        where = Where(path, line=text.count("\n") + 1, column=len(last) + 1)
        faults.append(Finding(where, "the file does not end with a newline, so it may be cut"))
    return Listed(path, content, frozenset(map(DeviceId, first)), names, tuple(faults))


def _protecting(path: str, text: str) -> Iterator[Finding]:
    """Find the lines of devices that say whether the device is protected."""
    for number, line in enumerate(text.split("\n"), 1):
        found = _PROTECTS.search(line)
        if found is not None and line.partition("#")[0].strip():
            yield Finding(Where(path, line=number, column=found.start() + 1), NOT_HERE)


@dataclass(frozen=True, slots=True)
class OnlyOne:
    """A tree with only the lines that may name one device. All other lines are empty, so places stay right.

    So a search in a file of a million lines is fast.
    """

    tree: Tree
    device: DeviceId

    def match(self, folder: str, pattern: str) -> Sequence[str]:
        """Return the sorted paths that match a glob relative to ``folder``."""
        return self.tree.match(folder, pattern)

    def read(self, path: str) -> bytes:
        """Return a file's content with all other lines empty, or raise ``Unreadable``."""
        content, wanted = self.tree.read(path), self.device.encode()
        kept, done = [], 0
        found = content.find(wanted)
        while found >= 0:
            start = content.rfind(b"\n", 0, found) + 1
            end = content.find(b"\n", found) + 1 or len(content)
            kept += [b"\n" * content.count(b"\n", done, start), content[start:end]]
            done, found = end, content.find(wanted, end)
        return b"".join(kept)


class DeviceFiles:
    """Every device file that the documents name, read once however often it is named."""

    def __init__(self, tree: Tree, *, kept: bool = False) -> None:
        self._tree = tree
        self._kept = kept
        self._lists: dict[str, Listed | Unreadable] = {}
        self.contents: dict[str, bytes] = {}

    def find(self, folder: str, pattern: str) -> dict[str, Listed | Unreadable]:
        """Read the files that a pattern matches, each as a list or as why it cannot be read."""
        found = {}
        for path in self._tree.match(folder, pattern):
            if path not in self._lists:
                self._lists[path] = self._read(path)
            found[path] = self._lists[path]
        return found

    def _read(self, path: str) -> Listed | Unreadable:
        try:
            content = self._tree.read(path)
        except Unreadable as error:
            return error
        self.contents[path] = content
        return read_list(path, content, kept=self._kept)
