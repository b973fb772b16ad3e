"""Whether the daemon lives: what ``/healthz`` says when it does not, in each of the ways in which it can be stuck."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path

from reconciler.runtime import settings
from reconciler.runtime.daemon import Daemon
from reconciler.runtime.environment import Environment
from reconciler.simulator import Route
from reconciler.simulator.faults import Hang
from scenarios import (
    Site,
    account_text,
    credentials_folder,
    eventually,
    eventually_true,
    fault,
    fleet,
    idle_site,
    owned,
    site,
    text,
    write,
)

PATIENCE = timedelta(minutes=6)
"""A little more than liveness has with intervals of a minute."""
PATIENT = {"PCC_INTERVAL": "1m", "PCC_REQUEST_TIMEOUT": "12h"}


async def health(one: Site) -> tuple[int, str]:
    """Return what the daemon says of its health."""
    answer = await one.get("/healthz")
    return answer.status_code, answer.text


async def becomes(one: Site, status: int, words: str) -> None:
    """Wait until this is what the daemon says of its health, once it has ticked after a leap of time."""

    async def so() -> bool:
        return await health(one) == (status, words)

    await eventually_true(so, words)


def lists_beyond(one: Site, count: int, user: str | None = None) -> bool:
    """Say whether more lists were read than so many."""
    return len(one.calls(Route.LIST, user=user)) > count


async def oldest(one: Site) -> float:
    """Return for how long the account waits that has waited longest, as the metrics have it."""
    for line in (await one.metrics()).splitlines():
        if line.startswith("pcc_queue_oldest_sec"):
            return float(line.split()[1])
    return 0.0


class Still:
    """A ticker that never ticks."""

    def every(self, seconds: float, call: Callable[[], object]) -> None:
        """Do nothing."""

    def stop(self) -> None:
        """Do nothing."""


async def test_a_ticker_that_does_not_tick_is_told(tmp_path: Path) -> None:
    """Where nothing advances the queue any more the daemon is not live, though it answers."""
    platform = fleet(2)
    write(tmp_path / "desired-state.toml", text(owned(platform)))
    async with idle_site(tmp_path, platform, **PATIENT) as one:
        ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        around = Environment(clock=one.clock)
        daemon = Daemon(
            settings.load(one.environment), ready=ready.set_result, environment=around, ticker=Still
        )
        running = asyncio.create_task(daemon.run())
        one.http.base_url = await ready
        await one.has(owned(platform))
        assert await health(one) == (200, "live\n")
        one.clock.go_ahead(PATIENCE)
        assert await health(one) == (503, "the ticker does not tick\n")
        status = (await one.get("/api/v1/status")).json()
        assert not status["well"]
        assert status["summary"].startswith("No account is looked after: the ticker does not tick.")

        async def waits_for_long() -> bool:
            # A pass that was under way when time went ahead is due again later; so it goes ahead again.
            one.clock.go_ahead(PATIENCE)
            return await oldest(one) > 200

        await eventually_true(waits_for_long, "an account that waits")
        daemon.stop()
        await running


async def test_a_blocked_loop_answers_nobody(tmp_path: Path) -> None:
    """While the loop is blocked a probe gets no answer, which is how whoever probes finds out; then it lives again."""
    platform = fleet(2)
    write(tmp_path / "desired-state.toml", text(owned(platform)))
    async with site(tmp_path, platform) as one:
        await one.has(owned(platform))
        heard: list[bytes] = []
        gave_up = threading.Event()

        def probe() -> None:
            address = (str(one.http.base_url.host), one.http.base_url.port)
            with socket.create_connection(address) as connection:
                connection.sendall(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
                connection.settimeout(1)
                try:
                    heard.append(connection.recv(1))
                except TimeoutError:
                    gave_up.set()

        prober = threading.Thread(target=probe)
        prober.start()
        while prober.is_alive() and not gave_up.is_set():
            gave_up.wait(10)  # blocks the loop, which is the point
        prober.join()
        assert heard == []
        assert await health(one) == (200, "live\n")


async def test_one_worker_that_hangs_is_found_among_others_that_work(tmp_path: Path) -> None:
    """A pass that hangs for ever makes the daemon not live, however busily other accounts have passes meanwhile."""
    platform = fleet(2, users=("hangs", "works"))
    for user in ("hangs", "works"):
        write(tmp_path / "texts" / f"{user}.toml", account_text(user, owned(platform, user)))
    platform.set_faults(fault(Hang(), Route.LIST, user="hangs"))
    given = {
        **PATIENT,
        "PCC_DESIRED_STATE": str(tmp_path / "texts"),
        "PCC_CREDENTIALS_DIR": str(credentials_folder(platform, tmp_path / "credentials")),
    }
    async with site(tmp_path, platform, **given) as one:
        await one.has(owned(platform, "works"), "works")
        await eventually(lambda: one.calls(Route.LIST, user="hangs"))
        assert await health(one) == (200, "live\n")
        one.clock.go_ahead(PATIENCE)
        for _ in range(3):
            listed = partial(
                lists_beyond, one, len(one.calls(Route.LIST, user="works")), user="works"
            )
            (await one.http.post("/api/v1/reconcile?account=works", json={})).raise_for_status()
            await eventually(listed)
        await becomes(
            one, 503, "account hangs is due, and its pass neither ended nor made a call\n"
        )
        await one.unplug()


async def test_passes_that_begin_and_never_end_are_found(tmp_path: Path) -> None:
    """That new passes begin again and again does not hide that none of them ends."""
    users = tuple(f"user-{number}" for number in range(4))
    platform = fleet(2, users=users)
    platform.set_faults(fault(Hang(), Route.LIST))
    given = {
        **PATIENT,
        "PCC_DESIRED_STATE": str(tmp_path / "texts"),
        "PCC_CREDENTIALS_DIR": str(credentials_folder(platform, tmp_path / "credentials")),
    }
    (tmp_path / "texts").mkdir()
    async with site(tmp_path, platform, **given) as one:
        for user in users:
            write(tmp_path / "texts" / f"{user}.toml", account_text(user, owned(platform, user)))
            await one.passes(1, user=user)
            one.clock.go_ahead(PATIENCE / 2)
        await becomes(
            one, 503, "account user-0 is due, and its pass neither ended nor made a call\n"
        )
        await one.unplug()


async def test_a_pass_that_is_busy_without_a_call_is_found(tmp_path: Path) -> None:
    """A pass that keeps itself busy, ending nothing and calling nobody, makes the daemon not live."""
    platform = fleet(2)
    write(tmp_path / "desired-state.toml", text(owned(platform)))
    async with site(tmp_path, platform, **PATIENT, PCC_SHUTDOWN_GRACE="1s") as one:
        await one.has(owned(platform))
        await eventually(lambda: not one.process.queue.under_way)
        turns = 0

        async def busy(_account: object) -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        one.process.components.reconciler.reconcile = busy  # type: ignore[method-assign,assignment]  # the defect of this test
        (await one.http.post("/api/v1/reconcile", json={})).raise_for_status()
        await eventually(lambda: turns > 10)
        assert await health(one) == (200, "live\n")
        one.clock.go_ahead(PATIENCE)
        await becomes(
            one, 503, "account default is due, and its pass neither ended nor made a call\n"
        )


async def test_idling_is_living(tmp_path: Path) -> None:
    """A daemon that was not asked to do anything for hours, as a machine that slept, is live."""
    platform = fleet(2)
    write(tmp_path / "desired-state.toml", text(owned(platform)))
    async with site(tmp_path, platform, **PATIENT) as one:
        await one.has(owned(platform))
        await eventually(lambda: not one.process.queue.under_way)
        listed = partial(lists_beyond, one, len(one.calls(Route.LIST)))
        one.clock.go_ahead(timedelta(hours=5))
        await becomes(one, 200, "live\n")
        await eventually(listed)
        assert await health(one) == (200, "live\n")
