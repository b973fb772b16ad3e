"""The overlay of several replicas, as a cluster would get it."""

from __future__ import annotations

import shutil
from pathlib import Path

import kubernetes_validate
import pytest

from kustomized import KUBERNETES, SCHEMAS, Object, one, rendered
from manifests import DEPLOY
from reconciler.runtime.settings import load

OVERLAY = "overlays/postgres"


@pytest.fixture(scope="module")
def objects() -> list[Object]:
    """Give the objects of the overlay."""
    return rendered(KUBERNETES / OVERLAY)


def pod(objects: list[Object]) -> Object:
    """Return what the Deployment says of its pod."""
    said: Object = one(objects, "Deployment")["spec"]["template"]["spec"]
    return said


@pytest.mark.parametrize("version", SCHEMAS)
def test_every_object_is_valid(objects: list[Object], version: str) -> None:
    """Each object is valid by the schemas of three recent versions, unknown keys forbidden."""
    for each in objects:
        assert kubernetes_validate.validate(each, version, strict=True) == version


def test_two_replicas_are_exchanged_one_by_one(objects: list[Object]) -> None:
    """A new one comes before an old one goes, and a drain takes one at a time."""
    said = one(objects, "Deployment")["spec"]
    assert said["replicas"] == 2
    assert said["strategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0},
    }
    budget = one(objects, "PodDisruptionBudget")["spec"]
    labels = said["template"]["metadata"]["labels"]
    assert budget["maxUnavailable"] == 1
    assert budget["selector"]["matchLabels"].items() <= labels.items()


def test_no_replica_needs_a_volume(objects: list[Object]) -> None:
    """The state folder is emptied with its pod, and no claim can keep a pod from another node."""
    assert not [each for each in objects if each["kind"] == "PersistentVolumeClaim"]
    (state,) = [each for each in pod(objects)["volumes"] if each["name"] == "state"]
    assert set(state) == {"name", "emptyDir"}


def test_replicas_are_spread(objects: list[Object]) -> None:
    """They are kept apart by node and by zone, and run also where there is only one."""
    labels = one(objects, "Deployment")["spec"]["template"]["metadata"]["labels"]
    found = pod(objects)["topologySpreadConstraints"]
    assert [each["topologyKey"] for each in found] == [
        "kubernetes.io/hostname",
        "topology.kubernetes.io/zone",
    ]
    for each in found:
        assert each["whenUnsatisfiable"] == "ScheduleAnyway"
        assert each["labelSelector"]["matchLabels"].items() <= labels.items()


def test_the_settings_are_those_of_a_shared_state(objects: list[Object]) -> None:
    """The program takes them, and the file with the address is mounted from a Secret."""
    given: dict[str, str] = one(objects, "ConfigMap", "pcc-reconciler-settings")["data"]
    chosen = load({"HOME": "/home/someone"} | given)
    assert chosen.state_place.shared
    (inside,) = pod(objects)["containers"]
    mounts = {each["mountPath"]: each["name"] for each in inside["volumeMounts"]}
    volumes = {each["name"]: each for each in pod(objects)["volumes"]}
    file = Path(given["PCC_STATE_URL_FILE"])
    assert volumes[mounts[str(file.parent)]]["secret"]["secretName"] == "pcc-reconciler-state"


def test_a_start_waits_for_the_database(objects: list[Object]) -> None:
    """A pod is alive without PostgreSQL, and ready with it, so an update goes on only when it answers."""
    (inside,) = pod(objects)["containers"]
    paths = {
        probe: inside[probe]["httpGet"]["path"]
        for probe in ("startupProbe", "livenessProbe", "readinessProbe")
    }
    assert paths == {
        "startupProbe": "/healthz",
        "livenessProbe": "/healthz",
        "readinessProbe": "/readyz",
    }


def test_the_database_can_be_reached(objects: list[Object]) -> None:
    """The NetworkPolicy lets the pod out to PostgreSQL, and LG, names and Git as before."""
    egress = one(objects, "NetworkPolicy")["spec"]["egress"]
    ports = {port["port"] for rule in egress for port in rule["ports"]}
    assert ports == {53, 443, 22, 5432}


def test_it_lies_on_the_other_source_as_well(tmp_path: Path) -> None:
    """One word exchanges the Git repository for a ConfigMap."""
    shutil.copytree(KUBERNETES, tmp_path / "kubernetes")
    file = tmp_path / "kubernetes" / OVERLAY / "kustomization.yaml"
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("  - ../git\n", "  - ../configmap\n"), encoding="utf-8")
    found = rendered(file.parent)
    assert one(found, "Deployment")["spec"]["replicas"] == 2
    assert "PCC_GIT_URL" not in one(found, "ConfigMap", "pcc-reconciler-settings")["data"]


def test_the_image_has_the_driver() -> None:
    """The image installs what the extra asks for, with hashes."""
    text = (DEPLOY / "docker" / "Dockerfile").read_text(encoding="utf-8")
    assert "--require-hashes" in text
    assert "-r requirements/postgres.txt" in text
    locked = (DEPLOY.parent / "requirements" / "postgres.txt").read_text(encoding="utf-8")
    assert locked.count("--hash=sha256:") > 10
    assert "psycopg[binary]==" in locked
