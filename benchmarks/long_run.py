"""Twenty thousand passes with faults, on a virtual clock: what grows while a daemon lives, and what does not.

The daemon is the real one, in the world of the simulations (`tests/simulation`) but without its checker, which would
remember every call. One call in twenty fails, LG loses subscriptions, and people edit the text, day after day.
"""

from __future__ import annotations

import asyncio
import gc
import os
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from statistics import fmean

from benchmarks import Row, at_most, compared
from benchmarks._processes import apart
from reconciler.simulator import Match, Options, Platform, Rule, sample_devices
from reconciler.simulator.faults import Effect, Error, Hang, Html
from reconciler.telemetry.logs import set_up_logs
from reconciler.telemetry.masking import Masking
from simulation import texts
from simulation.answers import Between
from simulation.clockwork import MachineClock, VirtualLoop
from simulation.disk import Disk
from simulation.machine import Machine
from simulation.texts import Account, Entry, Fleet
from simulation.wire import Weather

USER, DEVICES = "hotel", 300
DAY, HOUR = 86_400.0, 3_600.0
FAULTS: tuple[Effect, ...] = (
    Html(503),
    Html(502, commit=True),
    Hang(),
    Hang(commit=True),
    Error("2214"),
)
SHARE = 0.05
Sample = tuple[int, float, int, int, int]
"""Passes so far, memory in MB, tasks, open files, and bytes of state."""


def rows(*, quick: bool) -> Iterator[Row]:
    """Hold what is there at the end against what was there after a while, in one life."""
    passes = 2_000 if quick else 20_000
    samples: list[Sample] = apart(_live, passes).given
    early, late = samples[len(samples) // 5 : len(samples) // 2], samples[-len(samples) // 4 :]
    names = ("memory", "tasks", "open files")
    for place, (name, unit) in enumerate(
        zip(names, ("MB", "tasks", "files"), strict=True), start=1
    ):
        pair = (fmean(one[place] for one in late), fmean(one[place] for one in early))
        against = f"the same life, passes {early[0][0]:,} to {early[-1][0]:,}"
        yield compared(
            f"{passes:,} passes with faults, {name}", [pair], unit, against, at_most(1.05)
        )
    if not quick:  # what is kept for 90 days has to grow that long
        aged = [one for one in samples if one[0] > passes * 0.75]
        pair = (aged[-1][4] / 1e6, aged[0][4] / 1e6)
        against = "the same life, when its history was 100 days long"
        yield compared(
            f"{passes:,} passes with faults, state", [pair], "MB", against, at_most(1.05)
        )


def _live(passes: int) -> list[Sample]:
    """Let one daemon live for so many passes."""
    random = Random(9)  # noqa: S311 - repeatable, and no secret
    loop = VirtualLoop(Random(10))  # noqa: S311 - as above
    asyncio.set_event_loop(loop)
    with (
        tempfile.TemporaryDirectory() as folder,
        Path(os.devnull).open("w", encoding="utf-8") as nowhere,
    ):
        set_up_logs("info", "json", stream=nowhere, masking=Masking())
        life = _Life(loop, Path(folder), random)
        loop.run_until_complete(life.live(passes))
        return life.samples


class _Life:
    """One daemon and all that befalls it. Hears of calls only to count them."""

    def __init__(self, loop: VirtualLoop, folder: Path, random: Random) -> None:
        self.samples: list[Sample] = []
        self._loop, self._folder, self._random = loop, folder, random
        self._passes = 0
        clock = MachineClock(loop, datetime(2026, 11, 1, tzinfo=UTC))
        self._disk = Disk(loop, clock)
        self.platform = Platform(
            options=Options(token_life=4 * HOUR),
            now=lambda: clock.start.timestamp() + loop.time(),
            log_size=0,
        )
        user = self.platform.world.add_user(USER)
        self.platform.world.add_devices(user, sample_devices(0, USER, DEVICES, only_pcc=True))
        self.platform.set_faults(
            *(Rule(one, match=Match(), probability=SHARE / len(FAULTS)) for one in FAULTS)
        )
        for name in ("texts", "credentials"):
            (folder / name).mkdir()
        self._disk.write(
            folder / "credentials" / f"{USER}.refresh_token", f"{user.refresh_token}\n".encode()
        )
        self._machine = Machine(
            loop,
            clock,
            self._disk,
            self.platform,
            Weather(Between(random)),
            random,
            self,
            folder,
            self._given(),
            Masking(),
        )

    async def live(self, passes: int) -> None:
        """Go on until so many passes were made, and look every now and then."""
        self._edit()
        self._machine.start()
        while self._passes < passes:
            await asyncio.sleep(3 * HOUR)
            self.platform.lose(USER, count=self._random.randint(0, 5))
            if self._random.random() < 0.25:
                self._edit()
            if self._passes >= (len(self.samples) + 1) * passes / 40:
                self._look()
        await self._machine.stop()

    def _edit(self) -> None:
        devices = list(self.platform.world.user(USER).devices)
        wanted = {one: Entry() for one in devices if self._random.random() < 0.98}
        for name, content in texts.files(
            Fleet(accounts={USER: Account(wanted, in_file=True)})
        ).items():
            self._disk.rename_over(self._folder / "texts" / name, content)

    def _look(self) -> None:
        gc.collect()
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        state = sum(path.stat().st_size for path in self._machine.state.iterdir())
        files = len(list(Path("/proc/self/fd").iterdir()))
        memory = pages * os.sysconf("SC_PAGE_SIZE") / 1e6
        self.samples.append(
            (self._passes, memory, len(asyncio.all_tasks(self._loop)), files, state)
        )

    def _given(self) -> dict[str, str]:
        service = self.platform.world.service
        return {
            "PCC_DESIRED_STATE": str(self._folder / "texts"),
            "PCC_CREDENTIALS_DIR": str(self._folder / "credentials"),
            "PCC_BASE_URL": "https://lg.invalid",
            "PCC_TOKEN_URL": "https://lg.invalid/emp/v2/token",
            "PCC_COUNTRY": "KR",
            "PCC_SERVICE_ID": service.id,
            "PCC_SERVICE_KEY": service.key,
            "PCC_CLIENT_ID": service.client_id,
            "PCC_LISTEN": "127.0.0.1:0",
        }

    def sent(self, call: object) -> None:
        """Count the lists, each the beginning of a pass."""
        self._passes += getattr(call, "path", "") == "/pcc"

    def done_at_platform(self, call: object, answer: object, *, changed: bool) -> None:
        """Hear of a request that LG has dealt with."""

    def delivered(self, call: object, answer: object) -> None:
        """Hear of an answer."""

    def flooded(self, call: object, taken: int) -> bool:
        """Hear of an answer without an end, of which there is none here."""
        del call
        return not taken

    def lost(self, call: object) -> None:
        """Hear of a request without one."""
