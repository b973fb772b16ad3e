"""Looking into the files of accepted documents, which are stored compressed."""

from __future__ import annotations

import zlib
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.state.compressed import PART_BYTES, lengths_where_named, whole


def stored(content: bytes) -> tuple[str, bytes]:
    """Return a file as it is stored: its digest, and its compressed bytes."""
    return sha256(content).hexdigest(), zlib.compress(content, 1)


@given(st.integers(-9, 9), st.integers(0, 3), st.binary(max_size=20))
def test_a_word_is_found_wherever_it_is(place: int, parts: int, after: bytes) -> None:
    """A word is found at each place of a long file, also where it lies across two of the parts that are looked into."""
    before = b"." * max(0, parts * PART_BYTES + place)
    content = before + b"needle" + after
    digest, compressed = stored(content)
    assert lengths_where_named({digest: compressed}, [b"absent!!", b"needle"]) == {
        digest: len(content)
    }
    assert whole(digest, compressed, len(content)) == whole(digest, compressed) == content


@given(st.integers(0, 3 * PART_BYTES))
def test_a_word_that_is_not_there_is_not_found(length: int) -> None:
    """A file without the word is left out, however long it is."""
    digest, compressed = stored(b"needl" * (length // 5))
    assert lengths_where_named({digest: compressed}, [b"needle"]) == {}


@pytest.mark.parametrize("length", [None, 1, 1 << 24])
def test_a_wrong_length_does_no_harm(length: int | None) -> None:
    """The length only says how much room to make: a file comes back whole whatever it is."""
    digest, compressed = stored(b"needle" * 99)
    assert whole(digest, compressed, length) == b"needle" * 99


def test_a_damaged_file_is_left_out() -> None:
    """Bytes that cannot be read, or that are those of another file, are not given to anybody."""
    digest, compressed = stored(b"needle")
    assert lengths_where_named({digest: b"x" + compressed}, [b"needle"]) == {}
    assert whole(digest, b"x" + compressed) is None
    assert whole(stored(b"other")[0], compressed) is None
