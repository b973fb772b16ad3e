"""Two installations in one namespace, as a real Prometheus sees them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kustomized import Object, one, rendered, with_everything
from pod_monitors import discovered, scrape_config, targets
from processes import process
from prometheus import Prometheus, until
from reconciler.simulator import Route, create_app, serving
from reconciler.simulator.faults import Error
from scenarios import environment, fault, fleet, free_port, owned, text, write

pytestmark = pytest.mark.system

JOBS = {"pcc-reconciler": 3, "eu": 5}
"""The two installations, with the number of devices that each cannot subscribe."""


@dataclass(frozen=True, slots=True)
class Installation:
    """The objects of an installation, and where its daemon listens here."""

    job: str
    objects: list[Object]
    port: int

    @property
    def pod(self) -> str:
        """Return the name that Kubernetes could give the pod."""
        return f"{one(self.objects, 'Deployment')['metadata']['name']}-7c5ddbdf54-x2k4q"


@pytest.fixture
def installations(tmp_path: Path) -> list[Installation]:
    """Give the overlay of the first, and that of the second, both with the component for Prometheus."""
    first = rendered(with_everything(tmp_path / "first", "overlays/configmap"))
    with_everything(tmp_path / "second", "overlays/configmap")
    second = rendered(tmp_path / "second" / "kubernetes" / "overlays" / "second")
    return [
        Installation(job, objects, free_port())
        for job, objects in zip(JOBS, (first, second), strict=True)
    ]


def scrapes(installations: list[Installation], folder: Path) -> Iterator[dict[str, Any]]:
    """Give the scrape of each PodMonitor; each sees the pods of both, as they are in one namespace."""
    found = [
        target
        for each in installations
        for target in targets(each.objects, each.pod, f"127.0.0.1:{each.port}")
    ]
    pods = discovered(folder, found)
    for each in installations:
        yield scrape_config(one(each.objects, "PodMonitor"), pods)


async def daemon(stack: AsyncExitStack, folder: Path, each: Installation) -> None:
    """Start a daemon whose devices cannot be subscribed."""
    platform = fleet(JOBS[each.job], seed=each.port)
    platform.set_faults(fault(Error(code="2000"), Route.SUBSCRIBE))
    base_url = await stack.enter_async_context(serving(create_app(platform)))
    write(folder / each.job / "desired-state.toml", text(owned(platform)))
    given = environment(platform, base_url, folder / each.job)
    listen = {"PCC_LISTEN": f"127.0.0.1:{each.port}"}
    await stack.enter_async_context(process(given | listen, "run"))


async def by_job(prometheus: Prometheus, expression: str) -> dict[str, list[float]]:
    """Return the values of an expression for each job."""
    found: dict[str, list[float]] = {}
    for each in (await prometheus.ask("query", query=expression))["result"]:
        found.setdefault(each["metric"].get("job", ""), []).append(float(each["value"][1]))
    return found


async def test_two_in_one_namespace_are_told_apart(
    tmp_path: Path, installations: list[Installation]
) -> None:
    """Each pod is scraped once, under a job of its own, and no rule adds the two up."""
    prometheus = Prometheus(tmp_path, {}, list(scrapes(installations, tmp_path)))
    async with AsyncExitStack() as stack:
        for each in installations:
            await daemon(stack, tmp_path, each)
        await stack.enter_async_context(prometheus.running())
        wanted = {job: [float(devices)] for job, devices in JOBS.items()}

        async def both_are_recorded() -> bool:
            return await by_job(prometheus, "pcc:overdue_devices:sum") == wanted

        await until(both_are_recorded, f"the rule records {wanted}")
        assert await by_job(prometheus, 'pcc_devices{state="missing"}') == wanted
        active = (await prometheus.ask("targets", state="active"))["activeTargets"]
        places = {each["labels"]["pod"]: each["labels"] for each in active}
        assert len(active) == len(places) == len(installations)
        for each in installations:
            labels = places[each.pod]
            assert labels["job"] == each.job
            assert labels["namespace"] == "pcc-reconciler"
            assert labels["instance"] == f"127.0.0.1:{each.port}"
        every = await prometheus.ask("query", query='{__name__=~"pcc_.+"}')
        seen = {(one["metric"]["job"], one["metric"]["pod"]) for one in every["result"]}
        assert seen == {(each.job, each.pod) for each in installations}
        await no_rule_adds_them_up(prometheus)
    assert "out-of-order" not in (tmp_path / "prometheus.log").read_text(encoding="utf-8")


async def no_rule_adds_them_up(prometheus: Prometheus) -> None:
    """Assert that whatever a rule has a value for, it says of which installation."""
    groups = (await prometheus.ask("rules"))["groups"]
    for rule in (rule for group in groups for rule in group["rules"]):
        for found in (await prometheus.ask("query", query=rule["query"]))["result"]:
            assert found["metric"].get("job") in JOBS, rule["name"]
            assert found["metric"].get("namespace") == "pcc-reconciler", rule["name"]
