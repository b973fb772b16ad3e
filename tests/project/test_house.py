"""The house stays easy to read: the numbers of ``tools/house.py`` do not get worse."""

from __future__ import annotations

from pathlib import Path

import pytest

from house import LARGE_CLASS, LARGE_FUNCTION, LARGE_MODULE, House, lines, measured

MOST = {
    "rooms": 13,
    "floors": 7,
    "names_imported_by_the_pass": 20,
    "large_classes": 0,
    "large_modules": 0,
    "large_functions": 0,
    "tokens_a_code_line": 8.2,
    "comprehensions_per_1000_lines": 26.5,
}
"""How much each number may be. Whoever brings one down lowers it here; nobody raises one."""


@pytest.fixture(scope="module")
def numbers() -> House:
    """Return the numbers of this project."""
    return measured()


@pytest.mark.parametrize("name", MOST)
def test_no_number_gets_worse(numbers: House, name: str) -> None:
    """Each number is at most what it was; of what is too large, the list says where it is."""
    value = getattr(numbers, name)
    found = len(value) if isinstance(value, tuple) else value
    assert found <= MOST[name], value


def test_what_is_measured(tmp_path: Path) -> None:
    """Docstrings, comments and the simulator do not count, and an f-string is one token."""
    package = tmp_path / "reconciler"
    for name, text in {
        "__main__.py": "",
        "core/__init__.py": "",
        "core/values.py": '"""About."""\n\n# a remark\nname = f"{1} and {2}"\nall_of_it = [one for one in name]\n',
        "controller/__init__.py": "",
        "controller/reconciler.py": "import os\nfrom reconciler.core.values import all_of_it, name\n",
        "simulator/__init__.py": "a = [one for one in ()]\n" * 9,
    }.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(text, encoding="utf-8")
    (tmp_path / "pyproject.toml").write_text(
        '[[tool.importlinter.contracts]]\nlayers = ["__main__", "controller", "core"]\n',
        encoding="utf-8",
    )
    found = measured(tmp_path)
    assert found == House(
        rooms=3,
        floors=2,
        names_imported_by_the_pass=2,
        large_classes=(),
        large_modules=(),
        large_functions=(),
        tokens_a_code_line=6.0,
        comprehensions_per_1000_lines=250.0,
        code_lines=4,
        test_lines=0,
    )


def test_what_is_too_large_is_named(tmp_path: Path) -> None:
    """A class, a module and a function over their size are named with it; at their size they are not."""
    methods = "".join(f"    def method_{number}(self): ...\n" for number in range(LARGE_CLASS + 1))
    long = "def long():\n" + "    pass\n" * LARGE_FUNCTION
    at_the_limit = "def short():\n" + "    pass\n" * (LARGE_FUNCTION - 1)
    module = f"class Large:\n{methods}{long}{at_the_limit}"
    module += "\n" * (LARGE_MODULE + 1 - len(module.splitlines()))
    for room, text in {"core": module, "controller": "\n" * LARGE_MODULE}.items():
        folder = tmp_path / "reconciler" / room
        folder.mkdir(parents=True)
        (folder / "__init__.py").write_text("")
        (folder / "reconciler.py").write_text(text)
    (tmp_path / "pyproject.toml").write_text("[[tool.importlinter.contracts]]\nlayers = []\n")
    found = measured(tmp_path)
    where = "reconciler/core/reconciler.py"
    assert found.large_classes == (f"{where}: Large (26 methods)",)
    assert found.large_functions == (f"{where}: long (61 lines)",)
    assert found.large_modules == (f"{where} (501 lines)",)


def test_each_number_has_a_line() -> None:
    """What is too large is listed below its number."""
    shown = list(lines(House(12, 7, 20, ("a: A (26 methods)",), (), (), 8.4, 34.0, 1, 2)))
    assert shown[:3] == ["rooms: 12", "floors: 7", "names imported by the pass: 20"]
    assert shown[3:5] == ["large classes: 1", "  a: A (26 methods)"]
    assert "tokens a code line: 8.4" in shown
