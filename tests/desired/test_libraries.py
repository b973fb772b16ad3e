"""What is not promised by the libraries that read a document, and what we lean on all the same.

Each of these fails when a new version of the library changes it; the sentences for people would be worse then, or miss.
"""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any, get_args

import pytest
import rtoml
from pydantic import ValidationError
from pydantic_core.core_schema import ErrorType

from reconciler.desired import messages
from reconciler.desired.schema import DocumentTable

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize(
    "kind", [*messages.SENTENCES, "extra_forbidden", "literal_error", "missing"]
)
def test_each_kind_of_error_is_one_of_pydantic(kind: str) -> None:
    """A kind that pydantic no longer has would get a sentence of its own, in its words."""
    assert kind in get_args(ErrorType)


def errors(document: dict[str, Any]) -> list[tuple[str, tuple[str | int, ...]]]:
    """Return what pydantic finds wrong with a document: the kind, and where."""
    with pytest.raises(ValidationError) as raised:
        DocumentTable.model_validate({"version": 1, **document})
    return [(one["type"], one["loc"]) for one in raised.value.errors()]


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"devicez": 1}, ("extra_forbidden", ("devicez",))),
        (
            {"accounts": {"A": {"devices": []}}},
            ("string_pattern_mismatch", ("accounts", "A", "[key]")),
        ),
        ({"policy": {"prune": "al"}}, ("literal_error", ("policy", "prune"))),
        ({"devices": ["a", {}]}, ("missing", ("devices", 1, "id"))),
        ({"devices": [{"id": "a/b"}]}, ("fault", ("devices", 0, "id"))),
    ],
)
def test_an_error_of_pydantic_has_its_kind_and_place(
    document: dict[str, Any], expected: tuple[str, tuple[str | int, ...]]
) -> None:
    """The key path is that of the document, with a mark behind it where the key itself is wrong."""
    assert errors(document) == [expected]


def test_words_that_were_expected_are_in_quotes() -> None:
    """Pydantic lists them in one string only."""
    with pytest.raises(ValidationError) as raised:
        DocumentTable.model_validate({"version": 1, "policy": {"prune": "al"}})
    assert raised.value.errors()[0]["ctx"] == {"expected": "'all', 'owned' or 'none'"}


@pytest.mark.parametrize("content", ["a = \n", "a = 1\na = 2\n", "a = 1\n[a]\n", "a = '\n"])
def test_the_toml_reader_says_where(content: str) -> None:
    """Its message ends in line and column; there is no other way to learn them."""
    with pytest.raises(rtoml.TomlParsingError, match=r" at line \d+ column \d+$"):
        rtoml.loads(content)


def test_the_schema_is_printed_from_an_archive(tmp_path: Path) -> None:
    """The JSON Schema needs no source files beside the program."""
    archive = tmp_path / "program.zip"
    with zipfile.ZipFile(archive, "w") as zipped:
        for path in sorted((ROOT / "reconciler").rglob("*.py")):
            zipped.write(path, path.relative_to(ROOT))
    program = (
        f"import sys; sys.path.insert(0, {str(archive)!r})\n"
        "import reconciler.desired.json_schema as made\n"
        "assert made.__file__.startswith(sys.path[0]), made.__file__\n"
        "print(made.json_schema()['properties']['version']['description'])"
    )
    ran = subprocess.run(  # noqa: S603 - this interpreter
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert ran.stdout == "The version of this schema.\n"
