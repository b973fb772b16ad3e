"""Every record has statements that write it."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from reconciler.state.records import Record
from reconciler.state.sql.writes import statements


@pytest.mark.parametrize("kind", get_args(Record))
def test_each_kind_of_record_is_written(kind: type) -> None:
    """A record that a new version adds has statements of its own."""
    assert statements.dispatch(kind) is not statements.dispatch(object)


def test_what_is_no_record_is_named() -> None:
    """The error says what cannot be written."""
    stranger: Any = "a word"
    with pytest.raises(TypeError, match="no statements write a str"):
        statements(stranger)
