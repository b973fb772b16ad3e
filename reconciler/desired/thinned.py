"""A document with only the parts that may name one device; every line keeps its place.

Owns: which lines of a document can be taken out. Must not: find the device, or know what a document states.

The search for one device among a hundred thousand need not parse every entry. An entry on its own line, inside
``devices`` or ``ignore``, becomes an empty line if it does not contain the id. The first entry of each list stays, so a
list with devices stays one.
"""

from __future__ import annotations

import re

_LIST = re.compile(rb"^[^\n#\"\[]*\b(?:devices|ignore)[ \t]*=[ \t]*\[[ \t]*(?:#[^\n]*)?\r?$")
_STRING = rb"\"[^\"\\\n]*\"|'[^'\n]*'"
_ENTRY = re.compile(
    rb"[ \t]*(?:"
    + _STRING
    + rb"|\{(?:[^{}\[\]#\"'\\\n]|"
    + _STRING
    + rb")*\})[ \t]*,[ \t]*(?:#[^\n]*)?\r?"
)


def thinned(content: bytes, device: str) -> bytes:
    """Return the document without the entries of other devices, as far as they are on lines of their own."""
    wanted = device.encode()
    lines = content.split(b"\n")
    inside = first = False
    for number, line in enumerate(lines):
        if not inside:
            inside = first = _LIST.match(line) is not None
        elif _ENTRY.fullmatch(line) is not None:
            if not first and wanted not in line:
                lines[number] = b""
            first = False
        else:
            inside = _goes_on(line.strip())
    return b"\n".join(lines)


def _goes_on(line: bytes) -> bool:
    """Return whether a list goes on after a line that is no plain entry: a blank, a comment, an entry with escapes."""
    return (
        not line
        or line.startswith(b"#")
        or (line.startswith((b"{", b'"', b"'")) and line.endswith(b","))
    )
