"""What the benchmarks make of what they measured."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from benchmarks import (
    Row,
    Target,
    Verdict,
    alternating,
    at_least,
    at_most,
    compared,
    exactly,
    exit_code,
    turns,
)
from benchmarks.__main__ import as_data, main, table
from benchmarks._acknowledging import Floor, Routes, body_of
from reconciler.events.spool.storing import Nowhere
from reconciler.events.spool.tables import FILE
from spooled import Routes as Sent
from spooled import arrived, opened


@pytest.mark.parametrize("routed", [False, True])
async def test_the_floor_writes_the_rows_that_the_spool_writes(
    tmp_path: Path, *, routed: bool
) -> None:
    """Whatever it leaves out, it is not the work of the disk: each event has the same row and the same bytes."""
    bodies = [body_of(number) for number in range(3)]
    floor = Floor(tmp_path / "floor.db", routed=routed)
    for body in bodies:
        await floor.acknowledge(body)
    floor.close()
    router = Sent(otherwise=Routes.ROUTE if routed else Nowhere())
    with opened(tmp_path, router=router) as spool:
        for body in bodies:
            await spool.store(arrived(body))
        assert _rows_in(tmp_path / "floor.db") == _rows_in(tmp_path / FILE)


def _rows_in(file: Path) -> list[list[Any]]:
    """Return what the tables of an event hold, but for the moments of this machine."""
    with closing(sqlite3.connect(file)) as connection:
        columns = [one[1] for one in connection.execute("PRAGMA table_info(event)")]
        columns.remove("received")
        return [
            connection.execute(f"SELECT {', '.join(columns)} FROM event").fetchall(),  # noqa: S608 - columns of ours
            connection.execute("SELECT * FROM body").fetchall(),
            connection.execute("SELECT seq, sink, device, state FROM delivery").fetchall(),
        ]


def test_pairs_become_medians_and_one_ratio_each() -> None:
    """A row has the medians of both sides, and the ratio of each pair, not the ratio of the medians."""
    row = compared("a", [(2.0, 1.0), (9.0, 3.0), (4.0, 4.0)], "s", "floor")
    assert (row.ours, row.other, row.ratios, row.ratio) == (4.0, 3.0, (2.0, 3.0, 1.0), 2.0)


def test_the_spread_of_few_ratios_is_all_of_them() -> None:
    """Of fewer than ten ratios the spread goes from the lowest to the highest."""
    assert _of([3.0, 1.0, 2.0]).spread == (1.0, 3.0)


def test_the_spread_of_many_ratios_leaves_out_a_tenth_on_either_side() -> None:
    """Of ten ratios the lowest and the highest are no part of the spread."""
    assert _of([float(number) for number in range(10)]).spread == (1.0, 8.0)


def test_one_ratio_has_no_spread() -> None:
    """A single pair says nothing of how ratios spread."""
    assert _of([1.5]).spread is None


@pytest.mark.parametrize(
    ("target", "ratio", "verdict"),
    [
        (at_most(1.5), 1.5, Verdict.MET),
        (at_most(1.5), 1.51, Verdict.MISSED),
        (at_least(0.9), 0.9, Verdict.MET),
        (at_least(0.9), 0.89, Verdict.MISSED),
        (exactly(1), 1.0, Verdict.MET),
        (exactly(1), 0.999, Verdict.MISSED),
        (exactly(1), 1.001, Verdict.MISSED),
        (None, 7.0, Verdict.NO_TARGET),
    ],
)
def test_a_target_is_met_or_missed(target: Target | None, ratio: float, verdict: Verdict) -> None:
    """The median ratio decides on a target, on the side that the target names."""
    assert _of([ratio], target).verdict is verdict


def test_an_absolute_target_is_met_by_the_program_itself() -> None:
    """What the program took decides on an absolute target, whatever its ratio."""
    row = Row("a", 0.2, "s", 0.1, "floor", (2.0,), at_most(0.3, absolute=True))
    assert row.verdict is Verdict.MET


def test_what_could_not_be_measured_is_neither_met_nor_missed() -> None:
    """A row without a figure says so, and fails nothing."""
    row = Row("a", None, "s", target=at_most(1.0), remark="the registry cannot be reached")
    assert (row.verdict, exit_code([row])) == (Verdict.NOT_MEASURED, 0)


@pytest.mark.parametrize(
    ("target", "ratio", "code"),
    [
        (at_most(1.5), 1.6, 0),
        (at_most(1.5), 3.0, 0),
        (at_most(1.5), 3.1, 1),
        (at_least(0.9), 0.5, 0),
        (at_least(0.9), 0.4, 1),
        (exactly(1), 1.1, 0),
        (exactly(1), 2.1, 1),
        (None, 99.0, 0),
    ],
)
def test_a_run_fails_only_far_out_of_line(target: Target | None, ratio: float, code: int) -> None:
    """A ratio fails the run where it is more than twice as bad as its target, and one such row is enough."""
    assert exit_code([_of([1.0], at_most(1)), _of([ratio], target)]) == code


def test_an_absolute_target_never_fails_a_run() -> None:
    """A slow machine is no defect of the program."""
    assert exit_code([Row("a", 99.0, "s", target=at_most(0.3, absolute=True))]) == 0


def test_nothing_against_nothing_is_alike() -> None:
    """Two figures of zero are as good as each other; one beside zero is worse than any target."""
    assert compared("a", [(0.0, 0.0), (1.0, 0.0)], "s", "floor").ratios == (1.0, float("inf"))


def test_each_side_goes_first_as_often() -> None:
    """Orders alternate, and so do the two that are measured."""
    calls: list[str] = []

    def ours() -> float:
        calls.append("ours")
        return 1.0

    def other() -> float:
        calls.append("other")
        return 2.0

    assert list(turns(3)) == [(0, 1), (1, 0), (0, 1)]
    assert alternating(ours, other, 2) == [(1.0, 2.0), (1.0, 2.0)]
    assert calls == ["ours", "other", "other", "ours"]


def test_the_table_has_a_line_for_each_row() -> None:
    """The table for people has as many lines as there are rows, over all benchmarks."""
    assert (
        table({"one": [_of([1.0]), _of([2.0], at_most(1))], "two": [Row("a", None, "s")]}).row_count
        == 3
    )


def test_the_data_for_programs_has_everything() -> None:
    """The JSON names the benchmark of each row, its figures, target and verdict, and what it was measured on."""
    data = json.loads(json.dumps(as_data({"one": [_of([1.0, 3.0], at_most(1.5))]}, quick=True)))
    assert data["quick"] is True
    assert {"measured_at", "python", "machine"} <= data.keys()
    [row] = data["rows"]
    assert (row["benchmark"], row["ratio"], row["ratios"], row["target"]) == (
        "one",
        2.0,
        [1.0, 3.0],
        "≤ x 1.5",
    )
    assert row["verdict"] == "missed"


def test_an_unknown_benchmark_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A wrong name ends at once and names what there is; what benchmarks share is no benchmark."""
    with pytest.raises(SystemExit):
        main(["--json", str(tmp_path / "bench.json"), "nothing"])
    said = capsys.readouterr().err
    assert "no benchmark nothing" in said
    assert "diff" in said
    assert "_processes" not in said


def _of(ratios: list[float], target: Target | None = None) -> Row:
    return compared("a", [(ratio, 1.0) for ratio in ratios], "s", "floor", target)
