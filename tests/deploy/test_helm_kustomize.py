"""deploy/helm and deploy/kubernetes give a cluster the same objects."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from helmed import Helm, helm
from kustomized import KUBERNETES, Object, rendered, with_everything

pytestmark = pytest.mark.system

GIT = {"from": "git", "git": {"url": "ssh://git@git.example.com/fleet/devices.git"}}
ROUTE = {"enabled": True, "ingress": {"enabled": False}, "httpRoute": {"enabled": True}}
OPERATOR = {"podMonitor": {"enabled": True}, "rules": {"enabled": True}}
MONITORED = OPERATOR | {"dashboards": {"enabled": True}}
SEVERAL = {"replicas": 2, "postgres": {"enabled": True}}
RECEIVER = {"daemon": {"enabled": False}, "receiver": {"enabled": True}}
MERGED_BY = {"volumes": "name", "volumeMounts": "mountPath"}
"""Lists whose order says nothing, with the key that names each part."""
HASH = re.compile(r"(settings)-[0-9a-z]{10}\b")


@dataclass(frozen=True, slots=True)
class Pair:
    """An overlay with components, and the values that ask for the same."""

    overlay: str
    values: Mapping[str, Any] = field(default_factory=dict)
    components: tuple[str, ...] = ()
    release: str = "pcc-reconciler"
    opened: str = ""
    """The overlay that has all of its components."""
    instead: tuple[str, str] = ("", "")
    beside: str = ""
    """A second overlay, whose objects are in the same release."""


PAIRS = {
    "a list, watched by Prometheus": Pair(
        "overlays/configmap", MONITORED, opened="overlays/configmap"
    ),
    "Git with a webhook, watched": Pair(
        "overlays/git",
        MONITORED | {"source": GIT, "webhook": {"enabled": True}},
        opened="overlays/git",
    ),
    "Git with a webhook through a Gateway": Pair(
        "overlays/git", {"source": GIT, "webhook": ROUTE}, ("webhook-gateway",)
    ),
    "OpenShift, with events beside the list": Pair(
        "overlays/configmap",
        {"openshift": True, "events": {"enabled": True}},
        ("openshift", "events"),
    ),
    "the receiver on OpenShift": Pair(
        "overlays/receiver", RECEIVER | {"openshift": True}, ("openshift",), "pcc-receiver"
    ),
    "two daemons, Git": Pair("overlays/postgres", SEVERAL | {"source": GIT}),
    "two daemons, a list": Pair(
        "overlays/postgres", SEVERAL, instead=("  - ../git\n", "  - ../configmap\n")
    ),
    "the second in a namespace, watched": Pair(
        "overlays/second",
        {"podMonitor": {"enabled": True}},
        release="eu",
        opened="overlays/configmap",
    ),
    "daemon and receiver in one release": Pair(
        "overlays/configmap",
        {"receiver": {"enabled": True}},
        beside="overlays/receiver",
    ),
    "the receiver, watched": Pair(
        "overlays/receiver",
        RECEIVER | {"podMonitor": {"enabled": True}},
        release="pcc-receiver",
        opened="overlays/receiver",
    ),
}


@pytest.fixture(scope="module")
def engine() -> Iterator[Helm]:
    """Give Helm."""
    with helm() as started:
        yield started


def kustomized(pair: Pair, folder: Path) -> list[Object]:
    """Return what kustomize makes of the overlay."""
    if pair.opened:
        with_everything(folder, pair.opened)
        return rendered(folder / "kubernetes" / pair.overlay)
    shutil.copytree(KUBERNETES, folder / "kubernetes")
    beside = rendered(folder / "kubernetes" / pair.beside) if pair.beside else []
    file = folder / "kubernetes" / pair.overlay / "kustomization.yaml"
    text = file.read_text(encoding="utf-8").replace(*pair.instead)
    if pair.components:
        text += "\ncomponents:\n" + "".join(
            f"  - ../../components/{one}\n" for one in pair.components
        )
    file.write_text(text, encoding="utf-8")
    return rendered(file.parent) + beside


def by_name(objects: list[Object]) -> dict[tuple[str, str], Object]:
    """Return the objects by kind and name."""
    found = {(each["kind"], each["metadata"]["name"]): each for each in objects}
    assert len(found) == len(objects)
    return found


def without_hash(said: Any) -> Any:
    """Return what kustomize made, without the hash in the name of the settings."""
    if isinstance(said, dict):
        return {key: without_hash(value) for key, value in said.items()}
    if isinstance(said, list):
        return [without_hash(value) for value in said]
    return HASH.sub(r"\1", said) if isinstance(said, str) else said


def without_helms(one: Object) -> Object:
    """Return an object without what is only Helm's: two labels, the policy of the claim, and the settings' checksum."""
    metadata = one["metadata"]
    assert metadata["labels"].pop("app.kubernetes.io/managed-by") == "Helm"
    assert metadata["labels"].pop("helm.sh/chart").startswith("pcc-reconciler-")
    annotations = metadata.get("annotations", {})
    kept = annotations.pop("helm.sh/resource-policy", None)
    assert (kept == "keep") == (one["kind"] == "PersistentVolumeClaim")
    if one["kind"] in {"Deployment", "StatefulSet"}:
        assert one["spec"]["template"]["metadata"]["annotations"].pop("checksum/settings")
    return one


def flat(said: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Give each value of an object with the path to it, so that a difference names its place."""
    if isinstance(said, dict | list) and said:
        for key, value in said.items() if isinstance(said, dict) else keyed(said, path):
            yield from flat(value, f"{path}/{key}")
    else:
        yield path, said


def keyed(said: list[Any], path: str) -> Iterator[tuple[str, Any]]:
    """Give each part of a list with its key: a number, or what Kubernetes itself merges such a list by."""
    key = MERGED_BY.get(path.rpartition("/")[2])
    for number, each in enumerate(said):
        yield each[key] if key else str(number), each


@pytest.mark.parametrize("name", PAIRS)
def test_helm_and_kustomize_give_the_same_objects(engine: Helm, tmp_path: Path, name: str) -> None:
    """Each object is the same in every field, but for what only Helm or only kustomize adds."""
    pair = PAIRS[name]
    wanted = by_name([without_hash(each) for each in kustomized(pair, tmp_path)])
    found = by_name([without_helms(one) for one in engine.objects(dict(pair.values), pair.release)])
    assert found.keys() == wanted.keys()
    for key, each in found.items():
        assert dict(flat(each)) == dict(flat(wanted[key]))
