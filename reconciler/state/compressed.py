"""Files as they are stored: compressed.

Owns: looking into a file without holding it, and bringing one back only if it is whole.
Must not: know what a file says.

A file of a million ids has 65 MB. At the end zlib holds a file twice, in parts and joined, unless it knows the length.
So a file is looked into part by part, which also finds its length, and only a file that is needed is brought back.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256

PART_BYTES = 1 << 20
"""How much of a file is held at once while it is looked into."""


def lengths_where_named(
    compressed: Mapping[str, bytes], words: Sequence[bytes]
) -> Mapping[str, int]:
    """Return which files have at least one of the words, each with its length."""
    found = {}
    for digest, content in compressed.items():
        length = _length_where_named(content, words)
        if length is not None:
            found[digest] = length
    return found


def whole(digest: str, compressed: bytes, length: int | None = None) -> bytes | None:
    """Return the bytes of a file if they match their digest. ``length`` is what they have, where that is known."""
    try:
        content = zlib.decompress(compressed, bufsize=length or zlib.DEF_BUF_SIZE)
    except zlib.error:
        return None
    return content if sha256(content).hexdigest() == digest else None


def _length_where_named(compressed: bytes, words: Sequence[bytes]) -> int | None:
    """Return the length of a file if it has one of the words; nothing also if it is damaged."""
    overlap = max(map(len, words), default=1) - 1
    length, end, named = 0, b"", False
    try:
        for part in _parts(compressed):
            length += len(part)
            if not named:
                window = end + part
                named = any(word in window for word in words)
                end = window[len(window) - overlap :]
    except zlib.error:
        return None
    return length if named else None


def _parts(compressed: bytes) -> Iterator[bytes]:
    """Yield a file part by part, or raise ``zlib.error``."""
    stream, rest = zlib.decompressobj(), compressed
    while part := stream.decompress(rest, PART_BYTES):
        yield part
        rest = stream.unconsumed_tail
