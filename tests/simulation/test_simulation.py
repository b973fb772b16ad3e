"""The simulation itself: it keeps time, it is the same again from the same seed, and it finds what is planted."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import httpx
import pytest

from reconciler.core.errors import Surprise
from reconciler.core.model import AccountName
from reconciler.desired import Document, MemoryTree, load
from reconciler.pcc import protocol
from reconciler.pcc.codes import Call
from reconciler.runtime.ticker import SchedulerTicker
from reconciler.simulator import Answer
from reconciler.simulator.wire import success
from simulation.__main__ import _show
from simulation.answers import CHANGED, FLOODS, OLD, Between, Flood, Odd
from simulation.checker import listed
from simulation.clockwork import MACHINE, MachineClock, Stuck, VirtualLoop
from simulation.defects import DEFECTS, FOUND, read
from simulation.foreign import FOREIGN, foreign
from simulation.histories import differences
from simulation.meaning import Reading, State, Texts, after
from simulation.meaning import read as meaning_of
from simulation.modes import FLICKER, HEARD, STRICT, USUAL
from simulation.seed import run

ROOT = Path(__file__).parent.parent.parent
SEEDS_TO_FIND_IN = 500
HIDDEN_LOSS_SEED = 3
ALERT_HOURS = 28.0
"""26 hours of silence, and what goes by between two looks at the metrics."""
ACCOUNT = b'version = 1\n[accounts.hotel]\ndevices = [\n  "a1",\n  "b2",\n]\n'


def simulate(*words: str) -> tuple[int, list[str]]:
    """Run the simulation as a person does, and return its exit code and what it said."""
    path = os.pathsep.join(map(str, (ROOT, ROOT / "tests", ROOT / "tests" / "support")))
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


def test_strict_seeds_keep_every_promise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With slow calls, long passes and edits all the while, a few seeds go well, too."""
    monkeypatch.chdir(tmp_path)
    code, said = simulate("--mode", "strict", "--seeds", "3", "--hours", "7", "--from", "5")
    assert (code, said[-1]) == (0, "seeds 5..7: 0 violations")


def test_a_loss_that_lists_hide_alerts_in_time() -> None:
    """LG stops to send events and its lists show every device: the silence alerts, and no promise is broken."""
    lines = run(HIDDEN_LOSS_SEED, 48, HEARD).told()
    hidden = next(line for line in lines if "LG sends no events any more" in line)
    alerts = [line for line in lines if "silence alerts" in line]
    assert not [line for line in lines if "VIOLATION" in line]
    assert lines.index(hidden) < lines.index(alerts[0])
    assert float(alerts[0].split()[-2]) < ALERT_HOURS


def test_seeds_with_events_keep_every_promise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Forged events, receivers that fail and lists that lie leave every call as it should be."""
    monkeypatch.chdir(tmp_path)
    code, said = simulate("--mode", "heard", "--seeds", "3", "--hours", "12", "--from", "4")
    assert (code, said[-1]) == (0, "seeds 4..6: 0 violations")


def test_seeds_with_rules_keep_every_promise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """People edit rules and locks, and some forget to resolve, while LG's registry is another one every hour."""
    monkeypatch.chdir(tmp_path)
    code, said = simulate("--mode", "ruled", "--seeds", "2", "--hours", "8", "--from", "1")
    assert (code, said[-1]) == (0, "seeds 1..2: 0 violations")


def test_a_registry_that_flickers_for_thirty_days_changes_nothing() -> None:
    """Right, short of some devices, empty, malformed or failing: no device comes or goes because of LG's registry."""
    lines = run(1, 30 * 24, FLICKER).told()
    assert not [line for line in lines if "VIOLATION" in line]
    assert sum("registry.doubted" in line for line in lines) > 100


def test_seeds_that_protect_keep_every_promise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Devices are protected and released, and files are cut behind an id: no protected device goes."""
    monkeypatch.chdir(tmp_path)
    code, said = simulate("--mode", "protected", "--seeds", "3", "--hours", "8", "--from", "1")
    assert (code, said[-1]) == (0, "seeds 1..3: 0 violations")


def test_what_is_protected_is_so_by_the_last_word() -> None:
    """Read anew: an entry without the key changes nothing, false releases, and what is gone stays protected."""
    entries = ("protected = true", "", "protected = false")
    states = [State()]
    for entry in (*entries[:2], None, entries[2]):
        device = f'[[accounts.hotel.devices]]\nid = "a1"\n{entry}\n' if entry is not None else ""
        text = f"version = 1\n[accounts.hotel]\n{device or 'devices = []'}\n"
        states.append(after(states[-1], meaning_of({"hotel.toml": text.encode()}, "")))
    assert [one.protects("a1") for one in states] == [False, True, True, True, False]
    assert not states[3].released("a1").protects("a1")
    assert states[1].released("a1").protects("a1")


def test_seeds_with_windows_keep_every_promise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """People edit and open change windows while clocks are put back, and nothing is changed that a window holds."""
    monkeypatch.chdir(tmp_path)
    code, said = simulate("--mode", "windows", "--seeds", "2", "--hours", "8", "--from", "2")
    assert (code, said[-1]) == (0, "seeds 2..3: 0 violations")


def test_a_pass_of_the_strict_mode_is_longer_than_any_grace() -> None:
    """What the checker lets pass after an edit or a pause ends before two calls of a pass can have been made."""
    two_calls = 4 * STRICT.way_seconds[0]
    assert max(STRICT.text_grace_seconds, STRICT.grace_seconds) < two_calls
    assert max(USUAL.text_grace_seconds, USUAL.grace_seconds) > 4 * USUAL.way_seconds[1]


def test_a_seed_is_the_same_again() -> None:
    """What happens in a run follows from its seed alone, also after other runs in the same process."""
    first = run(11, 8).told()
    run(12, 5)
    assert len(first) > 30
    assert run(11, 8).told() == first


@pytest.mark.parametrize(
    "defect",
    [
        *("no too-many", "nothing intended", "token in the log", "edits wait for the next pass"),
        *("an event causes a subscribe", "an event holds an unsubscribe"),
        "the healthy flow is counted as a contradiction",
    ],
)
def test_a_planted_defect_is_found(
    defect: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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
    assert "make simulate SEEDS=1 FROM=7 HOURS=48\n" in said
    assert len(Path("build/simulation/seed-7.txt").read_text().splitlines()) == 100
    _show(7, 12.0, "too-many: six devices went", ["day 1 line 1"], STRICT)
    assert "make simulate SEEDS=1 FROM=7 HOURS=12 MODE=strict\n" in capsys.readouterr().out


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
    before, newer = (
        meaning_of({"a.toml": ACCOUNT}, ""),
        meaning_of({"a.toml": ACCOUNT.replace(b"b2", b"c3")}, ""),
    )
    texts = Texts(4.0)
    texts.changed(0.0, before)
    texts.started()
    texts.changed(100.0, newer)
    assert len(texts.states(101.0)) == 2
    assert texts.states(105.0) == [after(after(State(), before), newer)]


def test_nobody_is_held_to_an_edit_while_the_files_are_rejected_as_a_whole() -> None:
    """A faulty file that says what concerns all keeps each account as it was until it is mended."""
    policy = b'version = 1\ntimezone = "Asia/Seoul"\n'
    other = b'version = 1\n[accounts.other]\ndevices = ["c3"]\n'

    def reading(account: bytes = ACCOUNT, policy: bytes = policy) -> Reading:
        files = {"a.toml": account, "b.toml": other, "policy.toml": policy}
        return meaning_of(files, "")

    sound, faulty = reading(), reading(policy=policy + b"nonsense = 1\n")
    cut = reading(policy=b"version = 1\nnonsense = 1\n")
    beside = reading(account=ACCOUNT + b"nonsense = 1\n")
    texts = Texts(4.0)
    texts.changed(0.0, sound)
    texts.started()
    texts.changed(100.0, beside)
    assert texts.rejected_at(200.0) <= 0.0
    for at, wrong in ((300.0, faulty), (500.0, cut)):
        texts.changed(at, wrong)
        assert texts.rejected_at(at + 50.0) == at + 50.0
        texts.changed(at + 100.0, sound)
        assert texts.rejected_at(at + 150.0) == at + 100.0


@pytest.mark.parametrize("how", FOREIGN)
def test_both_readings_of_other_formats_agree(how: str) -> None:
    """Of a device file in another format, the checker's reading and the program's take no device."""
    text = b'version = 1\n[accounts.hotel]\ndevice_files = ["wings/*.txt"]\n'
    other = b'version = 1\n[accounts.other]\ndevices = ["c3"]\n'
    files = {
        "hotel.toml": text,
        "other.toml": other,
        "wings/b.txt": foreign(how, b"a1\nb2 # Room 7\n"),
    }
    documents = [Document(name, files[name]) for name in ("hotel.toml", "other.toml")]
    loaded, reading = load(documents, MemoryTree(files)), meaning_of(files, "")
    assert set(loaded.accounts) == set(reading.accounts) == {"other"}


def test_both_readings_of_several_device_files_agree() -> None:
    """Device files that a pattern finds are read by both, and a comment alone is an empty file on purpose."""
    text = b'version = 1\n[accounts.hotel]\ndevice_files = ["wings/*.txt"]\n'
    files = {
        "hotel.toml": text,
        "wings/a.txt": b"a1 # Room 7\n",
        "wings/b.txt": b"# nobody lives here\n",
    }
    loaded, reading = load([Document("hotel.toml", text)], MemoryTree(files)), meaning_of(files, "")
    assert (
        set(loaded.accounts[AccountName("hotel")].devices)
        == set(reading.accounts["hotel"].devices)
        == {"a1"}
    )
    assert reading.accounts["hotel"].sources == {"a1": "wings/a.txt"}


LISTS_BELIEVED = {"young", "another id"}
EARLIER, ASKED = "A" * 22, "B" * 22


@pytest.mark.parametrize("how", [*OLD, *CHANGED])
@pytest.mark.parametrize("chance", range(6))
def test_both_readings_of_a_changed_list_agree(how: str, chance: int) -> None:
    """The checker believes a list that came changed exactly where the program does."""

    def answer(message_id: str) -> Answer:
        return Answer(body=success(message_id, 0.0, b'[{"deviceId": "a1"}, {"deviceId": "b2"}]'))

    between = Between(Random(chance))  # noqa: S311 - repeatable
    between.pass_on(_Asked("hotel"), answer(EARLIER))
    between.odd.append(Odd(how, None, 1.0))
    changed, flood = between.pass_on(_Asked("hotel"), answer(ASKED))
    reply = protocol.Reply(
        Call.LIST,
        changed.status,
        changed.body,
        ASKED,
        headers=dict(changed.headers),
        sent={EARLIER},
    )
    ours: frozenset[str] | None
    try:
        ours = protocol.live_devices(reply, datetime.now(UTC))
    except Surprise:
        ours = None
    assert not flood
    assert listed(changed, {EARLIER}) == ours
    assert (ours is not None) is (how in LISTS_BELIEVED)


@dataclass(frozen=True)
class _Asked:
    account: str


@pytest.mark.parametrize("how", FLOODS)
def test_a_flood_has_no_end_until_nobody_takes_more(how: str, loop: VirtualLoop) -> None:
    """An answer without an end goes on for as long as it is taken, and says how much of it was."""
    seen: list[int] = []

    def taken(gone: int) -> bool:
        seen.append(gone)
        return gone < 100 * 1024 * 1024

    async def drink() -> bytes:
        flood = Flood(how, taken)
        return await httpx.Response(200, headers=flood.headers, stream=flood).aread()

    with pytest.raises(httpx.ReadError, match="over"):
        loop.run_until_complete(drink())
    assert seen[-1] >= 100 * 1024 * 1024
    loop.close()


def test_beside_a_lock_older_texts_may_be_in_force() -> None:
    """While git is at work any text since then may be in force, but nothing may go by one that it wrote."""
    before, newer = (
        meaning_of({"a.toml": ACCOUNT}, ""),
        meaning_of({"a.toml": ACCOUNT.replace(b"b2", b"c3")}, ""),
    )
    texts = Texts(4.0)
    texts.changed(0.0, before)
    texts.started()
    texts.lock(100.0, before, locked=True)
    texts.changed(101.0, newer)
    meanwhile = [one.accounts["hotel"] for one in texts.states(190.0)]
    assert {(one.locked, "c3" in one.wanted.devices) for one in meanwhile} == {
        (False, False),
        (True, False),
        (True, True),
    }
    texts.lock(200.0, newer, locked=False)
    assert [one.accounts["hotel"].locked for one in texts.states(205.0)] == [False]


@pytest.mark.parametrize("step", [timedelta(days=-3), timedelta(hours=-1), timedelta(days=30)])
def test_the_real_ticker_ticks_on_virtual_time(step: timedelta, loop: VirtualLoop) -> None:
    """APScheduler itself calls what the daemon wants called, also after the machine's clock was set."""
    clock = MachineClock(loop, datetime(2026, 3, 28, tzinfo=UTC))
    ticks: list[float] = []

    async def live() -> None:
        MACHINE.set(clock)
        loop.busy = lambda: True
        ticker = SchedulerTicker(clock.steady)
        ticker.every(1.0, lambda: ticks.append(loop.time()))
        await asyncio.sleep(10.0)
        clock.set_by(step)
        await asyncio.sleep(10.5)
        ticker.stop()
        await asyncio.sleep(5.0)

    loop.run_until_complete(live())
    assert len(ticks) == 20
    loop.close()


def test_time_leaps_over_ticks_that_nobody_needs(loop: VirtualLoop) -> None:
    """Where nothing is due the ticker ticks now and then, and in time for what is due."""
    clock = MachineClock(loop, datetime(2026, 3, 28, tzinfo=UTC))
    ticks: list[float] = []

    async def live() -> None:
        MACHINE.set(clock)
        loop.due = lambda: 3000.2 if loop.time() < 3000.2 else None
        ticker = SchedulerTicker(clock.steady)
        ticker.every(0.25, lambda: ticks.append(loop.time()))
        await asyncio.sleep(6000.0)
        ticker.stop()
        await asyncio.sleep(1.0)

    loop.run_until_complete(live())
    assert len(ticks) < 70
    assert any(3000.2 <= tick <= 3000.5 for tick in ticks)
    loop.close()


def test_histories_are_compared_moment_by_moment() -> None:
    """Lines of one moment may change places; one that is missing, new or another is shown with its side."""
    before = ["01 Jun 03:00:00.000 a", "01 Jun 03:00:00.000 b", "01 Jun 04:00:00.000 c"]
    assert list(differences(before, [before[1], before[0], before[2]])) == []
    assert list(differences(before, [*before[:2], "01 Jun 04:00:00.000 d"])) == [
        "- 01 Jun 04:00:00.000 c",
        "+ 01 Jun 04:00:00.000 d",
    ]
