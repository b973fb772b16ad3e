"""What ``helm test`` runs, run here: the doctor with the settings and files that the chart gives its pod."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from helmed import Helm, helm
from kustomized import Object, one
from processes import exit_of, process
from reconciler.simulator import Platform, create_app, serving
from scenarios import environment, fleet, owned, text, write

pytestmark = pytest.mark.system

SECRETS = ("service_id", "service_key", "client_id", "listen_token", "read_token")


@dataclass(frozen=True, slots=True)
class Pod:
    """The pod of ``helm test`` with its files in a folder, and a simulator instead of LG."""

    folder: Path
    command: tuple[str, ...]
    given: Mapping[str, str]

    def volume(self, path: str) -> Path:
        """Return where a path of the pod is here."""
        return self.folder / path.lstrip("/")


@asynccontextmanager
async def pod(engine: Helm, folder: Path, platform: Platform) -> AsyncIterator[Pod]:
    """Give the pod as the chart has it, with whatever the Secrets and the ConfigMap would hold."""
    values = {"source": {"inline": text(owned(platform), 'environment = "production"')}}
    objects, tests = engine.objects(values), engine.tests(values)
    (doctor,) = one(tests, "Pod")["spec"]["containers"]
    (settings,) = (each["configMapRef"]["name"] for each in doctor["envFrom"])
    async with serving(create_app(platform)) as base_url:
        of_simulator = environment(platform, base_url, folder)
        given = {
            key: str(folder / value.lstrip("/")) if value.startswith("/") else value
            for key, value in one(objects, "ConfigMap", settings)["data"].items()
        }
        played = {
            key: of_simulator[key] for key in ("PCC_BASE_URL", "PCC_TOKEN_URL", "PCC_BACKEND_URL")
        }
        found = Pod(folder, tuple(doctor["args"]), given | played)
        fill(found, objects, of_simulator)
        yield found


def fill(found: Pod, objects: list[Object], of_simulator: Mapping[str, str]) -> None:
    """Write the files of the Secrets, of the list, and the folder of the state."""
    for name in SECRETS:
        value = of_simulator.get(f"PCC_{name.upper()}", f"a-long-random-{name}-of-a-test")
        write(found.volume(f"/etc/pcc-reconciler/service/{name}"), value)
    accounts = found.volume("/etc/pcc-reconciler/accounts")
    write(accounts / "default.refresh_token", of_simulator["PCC_REFRESH_TOKEN"])
    lists = one(objects, "ConfigMap", "pcc-reconciler-desired-state")["data"]
    for name, content in lists.items():
        write(found.volume("/etc/pcc-reconciler/desired-state") / name, content)
    found.volume("/var/lib/pcc-reconciler").mkdir(parents=True)


@pytest.mark.parametrize("spoiled", ["", "accounts/default.refresh_token"])
async def test_helm_test_says_whether_the_installation_works(tmp_path: Path, spoiled: str) -> None:
    """With all of its files the doctor ends with 0, and with 1 where a secret is not LG's."""
    with helm() as engine:
        async with pod(engine, tmp_path, fleet(3)) as found:
            if spoiled:
                write(found.volume(f"/etc/pcc-reconciler/{spoiled}"), "a-secret-of-somebody-else")
            async with process(found.given, *found.command) as child:
                code, _ = await exit_of(child)
    assert code == (1 if spoiled else 0)
