"""The files that the partner writes for events, as they are read from disk."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from reconciler.runtime.partner_files import Judged, judged_at, read_files

EVENTS = 'version = 1\nlogic = "logic"\n[sinks.log]\ntype = "stream"\n'
TYPES = "diagnosis_type,category\nA,misuse\n"
ENGLISH = "diagnosis_type,short_message\nA,a\n"


def written(folder: Path, **files: str) -> Path:
    """Write files, with _ for each / and . of their names, and return the events file."""
    for name, text in {"events_toml": EVENTS, "logic_types_csv": TYPES, **files}.items():
        path = folder / name.replace("logic_", "logic/", 1).replace("_", ".")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return folder / "events.toml"


def faults(found: Judged, folder: Path) -> list[str]:
    """Return faults, as they are printed, without the folder."""
    return [str(fault).replace(f"{folder}/", "") for fault in found.faults]


def test_events_file_and_table_are_read_together(tmp_path: Path) -> None:
    """Other files of the folder are not."""
    found = judged_at(written(tmp_path, logic_messages_en_csv=ENGLISH, logic_notes_csv="x"))
    assert found.faults == ()
    assert found.rules is not None
    assert {*found.rules.config.sinks} == {"log"}
    assert found.rules.table.diagnosis("A", None).words["en"].short == "a"


def test_the_faults_of_both_are_reported_at_once(tmp_path: Path) -> None:
    """A fault in the one does not hide those of the other, and both are one failure domain."""
    events = EVENTS.replace("stream", "steam")
    found = judged_at(written(tmp_path, events_toml=events, logic_types_csv=TYPES + "B,x\n"))
    assert found.rules is None
    assert [fault.partition(": ")[0] for fault in faults(found, tmp_path)] == [
        "events.toml:4:8",
        "logic/types.csv:3:3",
    ]
    right = judged_at(written(tmp_path, logic_types_csv=TYPES + "B,x\n"))
    assert right.rules is None


def test_a_table_that_is_not_there_is_a_fault(tmp_path: Path) -> None:
    """So is an events file."""
    path = written(tmp_path, events_toml=EVENTS.replace('"logic"', '"elsewhere"'))
    assert faults(judged_at(path), tmp_path) == ["elsewhere/types.csv: there is no such file"]
    path.unlink()
    assert faults(judged_at(path), tmp_path) == [
        "events.toml: cannot be read: No such file or directory"
    ]


@pytest.mark.parametrize("kind", ["folder", "pipe"])
def test_what_is_no_file_is_not_waited_for(tmp_path: Path, kind: str) -> None:
    """A pipe in the place of a file is named, and holds nobody up."""
    path = written(tmp_path)
    for one in (tmp_path / "logic/messages.en.csv", tmp_path / "logic/types.csv"):
        one.unlink(missing_ok=True)
        one.mkdir() if kind == "folder" else os.mkfifo(one)
    assert faults(judged_at(path), tmp_path) == [
        "logic/messages.en.csv: is not a regular file",
        "logic/types.csv: is not a regular file",
    ]
    path.unlink()
    path.mkdir() if kind == "folder" else os.mkfifo(path)
    assert read_files(path) == "is not a regular file"


def test_a_mounted_config_map_is_read(tmp_path: Path) -> None:
    """Its files are links to a folder that is exchanged as a whole."""
    real = tmp_path / "..2026_11_30"
    real.mkdir()
    for name, text in {"events.toml": EVENTS.replace('"logic"', '"."'), "types.csv": TYPES}.items():
        (real / name).write_text(text)
        (tmp_path / name).symlink_to(f"..data/{name}")
    (tmp_path / "..data").symlink_to(real.name)
    assert judged_at(tmp_path / "events.toml").rules is not None
