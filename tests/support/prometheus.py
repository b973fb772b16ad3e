"""A real Prometheus for tests and pictures, with the shipped rules, and metrics that are served for it."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
from prometheus_client import CollectorRegistry, start_http_server

from scenarios import DEADLINE_SECONDS, free_port

RULES = Path(__file__).parent.parent.parent / "deploy" / "prometheus" / "rules.yml"


class Prometheus:
    """A real Prometheus on loopback that scrapes every second.

    ``jobs`` are the addresses of each job, ``scrapes`` are whole scrape configurations.
    """

    def __init__(
        self,
        folder: Path,
        jobs: Mapping[str, Sequence[str]],
        scrapes: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        self._folder = folder
        self._jobs = jobs
        self._scrapes = scrapes
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self.http = httpx.AsyncClient(base_url=self.url, timeout=DEADLINE_SECONDS)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Start it, and end it at the end."""
        config = self._folder / "prometheus.yml"
        scrapes = [
            {"job_name": job, "static_configs": [{"targets": list(listens)}]}
            for job, listens in self._jobs.items()
        ]
        rules = {"rule_files": [str(RULES)]}
        settings = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "scrape_configs": [*scrapes, *self._scrapes],
            **rules,
        }
        config.write_text(json.dumps(settings), encoding="utf-8")
        with (self._folder / "prometheus.log").open("wb") as log:
            child = await asyncio.create_subprocess_exec(
                "prometheus",
                f"--config.file={config}",
                f"--storage.tsdb.path={self._folder / 'tsdb'}",
                f"--web.listen-address=127.0.0.1:{self._port}",
                "--web.cors.origin=.*",  # pictures are drawn by a page of another port
                stdout=log,
                stderr=log,
            )
            try:
                await until(self._ready, "Prometheus is ready")
                yield
            finally:
                child.terminate()
                await child.wait()
                await self.http.aclose()

    async def _ready(self) -> bool:
        with suppress(httpx.TransportError):
            return (await self.http.get("/-/ready")).is_success
        return False

    async def ask(self, path: str, **parameters: str) -> Any:
        """Ask its API; a query that it does not understand fails."""
        answer = await self.http.get(f"/api/v1/{path}", params=parameters)
        assert answer.is_success, f"{parameters}: {answer.text}"
        return answer.json()["data"]

    async def has(self, expression: str) -> bool:
        """Say whether a query has a value now that is a number."""
        return bool(numbers(await self.ask("query", query=expression)))


def numbers(data: Any) -> set[float]:
    """Return the values of an answer that Grafana could draw."""
    pairs = [pair for one in data["result"] for pair in one.get("values", [one.get("value")])]
    return set(filter(math.isfinite, (float(value) for _, value in pairs)))


async def until(condition: Callable[[], Any], what: str) -> None:
    """Wait until a condition that has to be asked for holds; only a defect reaches the deadline."""
    end = time.monotonic() + 3 * DEADLINE_SECONDS
    while not await condition():
        assert time.monotonic() < end, f"it never came to be: {what}"
        await asyncio.sleep(0.2)


@contextmanager
def exposed(registry: CollectorRegistry, port: int) -> Iterator[None]:
    """Serve these metrics on loopback."""
    server, thread = start_http_server(port, "127.0.0.1", registry)
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
