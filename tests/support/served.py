"""A simulated platform that is served beside a test that has no event loop of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

from reconciler.simulator import Platform, Sender, create_app, serving


def served(platform: Platform, sender: Sender | None = None) -> Iterator[str]:
    """Serve a platform from a thread with a loop of its own. Events are made with ``sender``, and not sent."""
    loop, ready, urls = asyncio.new_event_loop(), threading.Event(), list[str]()
    done = asyncio.Event()

    async def work() -> None:
        async with serving(create_app(platform, sender)) as url:
            urls.append(url)
            ready.set()
            await done.wait()

    def thread() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(work())

    running = threading.Thread(target=thread)
    running.start()
    assert ready.wait(30)
    yield urls[0]
    loop.call_soon_threadsafe(done.set)
    running.join(30)
