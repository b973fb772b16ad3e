"""The simulation itself: it keeps time, it is the same again from the same seed, and it finds what is planted."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
from simulation.__main__ import _show
from simulation.clockwork import Stuck, VirtualLoop
from simulation.defects import DEFECTS, FOUND, read
from simulation.meaning import State, Texts, after
from simulation.meaning import read as meaning_of
from simulation.seed import run

from reconciler.desired import Document, MemoryTree, load

ROOT = Path(__file__).parent.parent
SEEDS_TO_FIND_IN = 500
ACCOUNT = b'version = 1\n[accounts.hotel]\ndevices = [\n  "a1",\n  "b2",\n]\n'


def simulate(*words: str) -> tuple[int, list[str]]:
    """Run the simulation as a person does, and return its exit code and what it said."""
    path = os.pathsep.join((str(ROOT), str(ROOT / "tests")))
    done = subprocess.run(  # noqa: S603 - ourselves
        [sys.executable, "-m", "simulation", *words],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.stderr, done.stderr
    return done.returncode, done.stdout.splitlines()


@pytest.fixture
def loop() -> VirtualLoop:
    """Return a loop on virtual time."""
    return VirtualLoop(Random(1))  # noqa: S311 - repeatable


def test_days_pass_in_no_time(loop: VirtualLoop) -> None:
    """Whoever sleeps for a day on the virtual loop wakes at once, a day later."""
    loop.run_until_complete(asyncio.sleep(86_400))
    assert loop.time() == pytest.approx(86_400)
    loop.close()


def test_a_wait_for_nothing_is_told(loop: VirtualLoop) -> None:
    """Where nothing will ever happen again the run ends and says so, instead of waiting for ever."""
    waiting = loop.create_task(asyncio.Event().wait())
    with pytest.raises(Stuck, match="nothing will ever happen"):
        loop.run_until_complete(waiting)
    waiting.cancel()
    loop.run_until_complete(asyncio.wait({waiting}))
    loop.close()


def test_seeds_keep_every_promise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few seeds go well, and the last line says how many there were and that nothing was broken."""
    monkeypatch.chdir(tmp_path)
    code, said = simulate("--seeds", "4", "--hours", "12", "--from", "3")
    assert (code, said[-1]) == (0, "seeds 3..6: 0 violations")


def test_a_seed_is_the_same_again() -> None:
    """What happens in a run follows from its seed alone, also after other runs in the same process."""
    first = run(11, 8).told()
    run(12, 5)
    assert len(first) > 30
    assert run(11, 8).told() == first


@pytest.mark.parametrize("defect", ["no too-many", "nothing intended", "token in the log"])
def test_a_planted_defect_is_found(defect: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a mistake planted in the program a few seeds are enough to break a promise."""
    monkeypatch.chdir(tmp_path)
    code, said = simulate("--defects", defect, "--seeds", "12", "--from", "2", "--hours", "24")
    assert (code, said[-1]) == (0, "1 defects planted: 1 found")


def test_every_planted_defect_was_found() -> None:
    """The list says of each defect which seed found it, within the first five hundred."""
    found = read()
    assert FOUND.exists()
    assert list(found) == [one.name for one in DEFECTS]
    assert len(found) >= 15
    assert all(0 < one["seed"] <= SEEDS_TO_FIND_IN for one in found.values())


def test_a_broken_promise_is_told_with_the_command_to_see_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The end of the timeline is shown, all of it is in a file, and one command replays it."""
    monkeypatch.chdir(tmp_path)
    Path("build/simulation").mkdir(parents=True)
    _show(7, 48.0, "too-many: six devices went", [f"day 1 line {number}" for number in range(100)])
    said = capsys.readouterr().out
    assert "line 99" in said
    assert "line 3\n" not in said
    assert "make simulate SEEDS=1 FROM=7 HOURS=48" in said
    assert len(Path("build/simulation/seed-7.txt").read_text().splitlines()) == 100


@pytest.mark.parametrize("cut", range(0, len(ACCOUNT), 3))
def test_both_readings_of_a_cut_text_agree(cut: int) -> None:
    """The checker's reading of the format and the program's accept the same accounts of a text cut anywhere."""
    other = b'version = 1\n[accounts.other]\ndevices = ["c3"]\n'
    files = {"hotel.toml": ACCOUNT[:cut], "other.toml": other}
    documents = [Document(name, content) for name, content in files.items()]
    loaded, reading = load(documents, MemoryTree(files)), meaning_of(files, "")
    ours = {name: set(account.devices) for name, account in loaded.accounts.items()}
    assert ours == {name: set(account.devices) for name, account in reading.accounts.items()}


def test_what_may_be_in_force_narrows_down() -> None:
    """Right after a change both texts may be in force, some seconds later only the newer one."""
    before, newer = meaning_of({"a.toml": ACCOUNT}, ""), meaning_of({"a.toml": ACCOUNT.replace(b"b2", b"c3")}, "")
    texts = Texts(4.0)
    texts.changed(0.0, before)
    texts.started()
    texts.changed(100.0, newer)
    assert len(texts.states(101.0)) == 2
    assert texts.states(105.0) == [after(after(State(), before), newer)]
