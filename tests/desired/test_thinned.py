"""Where a device stands is found without taking the entries of all others apart."""

from __future__ import annotations

import pytest

from reconciler import desired
from reconciler.core.model import DeviceId
from reconciler.desired import Document, MemoryTree
from reconciler.desired.thinned import thinned

NUMBER = 400


def entry(number: int) -> str:
    """Return an entry as people and programs write them."""
    device, name = f"device-{number:04}", f"Room {number}"
    forms = (
        f'"{device}",',
        f'{{ id = "{device}", name = "{name} #{{1}}, [x]" }},  # "ours"',
        f"'{device}',",
        f'    {{ id = "{device}", type = "oven", name = "a \\"quoted\\" one" }},',
        f'  "{device}", # {name}',
        f'{{ name = "{name}", id = "device\\u002d{number:04}" }},',
    )
    return forms[number % len(forms)]


def fleet(join: str) -> str:
    """Return a text with every form of list, one after the other."""
    entries = [entry(number) for number in range(NUMBER)]
    quarter = NUMBER // 4
    ids = [f'"device-{number:04}",' for number in range(NUMBER)]
    return join.join(
        [
            "version = 1",
            "[accounts.a]",
            "devices = [  # all of them",
            "",
            "# a comment",
            *entries[:quarter],
            "]",
            "[accounts.b]",
            "device_files = [",
            '  "others.txt",',
            '  "more.txt",',
            "]",
            "devices = [",
            *entries[quarter : 2 * quarter],
            "]",
            "policy.ignore = [",
            *ids[2 * quarter : 3 * quarter],
            "]",
            "[[approvals]]",
            'account = "a"',
            "expires = 2027-01-01T00:00:00Z",
            'reason = "gone"',
            "devices = [",
            *ids[3 * quarter :],
            "]",
            "",
        ]
    )


def where(text: str, number: int) -> tuple[int, int]:
    """Return line and column of a device as a reader would find them."""
    written = (f"device-{number:04}", f"device\\u002d{number:04}")
    lines = enumerate(text.splitlines(), 1)
    line, row = next((count, row) for count, row in lines if any(one in row for one in written))
    return line, len(row) - len(row.lstrip()) + 1


@pytest.mark.parametrize("join", ["\n", "\r\n"])
def test_every_device_is_found_where_it_stands(join: str) -> None:
    """Whatever its entry looks like and whatever list it is in, the place is the one in the whole text."""
    text = fleet(join)
    documents, files = (
        [Document("d.toml", text.encode())],
        {"others.txt": b"in-a-file\n", "more.txt": b"b\nanother\n"},
    )
    for number in range(0, NUMBER, 7):
        (found,) = desired.sightings(documents, MemoryTree(files), DeviceId(f"device-{number:04}"))
        assert (found.line, found.column) == where(text, number)
    (found,) = desired.sightings(documents, MemoryTree(files), DeviceId("another"))
    assert (found.path, found.line) == ("more.txt", 2)


def test_what_is_left_does_not_grow_with_the_fleet() -> None:
    """Of a hundred thousand entries with names a few are left, each line where it was."""
    lines = [
        f'{{ id = "device-{number:06}", name = "Room {number}, \'x\' #{number}" }},'
        for number in range(100_000)
    ]
    text = "\n".join(["version = 1", "devices = [", *lines, "]", ""]).encode()
    left = thinned(text, "device-012345")
    assert left.count(b"\n") == text.count(b"\n")
    assert len(left.replace(b"\n", b"")) < 300
    assert left.split(b"\n")[12347] == lines[12345].encode()
    (found,) = desired.sightings(
        [Document("d.toml", text)], MemoryTree({}), DeviceId("device-012345")
    )
    assert found.line == 12348
