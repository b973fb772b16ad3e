"""A document of which only what may name one device is left, every line where it was.

Owns: which lines of a document can be taken out. Must not: find the device, or know what a document states.

To find one device among a hundred thousand, their entries need not be taken apart. An entry that is on a line of
its own, inside ``devices`` or ``ignore``, and does not contain the id, is replaced by an empty line. The first entry of
each list stays, so that a list that names devices goes on naming one.
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
