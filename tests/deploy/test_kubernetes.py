"""deploy/kubernetes as a cluster would get it: rendered by kubectl, and judged by Kubernetes' own schemas."""

from __future__ import annotations

import json
import re
import shutil
import textwrap
from collections.abc import Iterator, Mapping
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

import reconciler
from dashboards import dashboards
from kustomized import (
    CUSTOM,
    KUBERNETES,
    SAFE,
    SCHEMAS,
    USER,
    Object,
    one,
    rendered,
    with_everything,
)
from manifests import DEPLOY, MADE, RULES
from reconciler import desired
from reconciler.desired import Document, MemoryTree
from reconciler.runtime import settings
from reconciler.runtime.setting_values import Mode
from reconciler.runtime.settings import Settings

LOST = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
"""The taints of a node that Kubernetes has lost sight of."""
LARGEST_ANNOTATION = 256 * 1024
"""Bytes of all annotations of an object; kubectl apply keeps a copy of the object in one."""
LARGEST_CONFIGMAP = 1024 * 1024
"""Bytes of all values of a ConfigMap."""
RENDERED = ("base", "overlays/configmap", "overlays/git")
SECOND = "overlays/second"


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, list[Object]]:
    """Give the objects of each installation, and of the overlays with all of their components."""
    found = {name: rendered(KUBERNETES / name) for name in RENDERED}
    for overlay in ("overlays/configmap", "overlays/git"):
        folder = with_everything(tmp_path_factory.mktemp("kubernetes"), overlay)
        found[f"{overlay} with components"] = rendered(folder)
    return found


def pod(objects: list[Object]) -> Object:
    """Return what the Deployment says of its pod."""
    said: Object = one(objects, "Deployment")["spec"]["template"]["spec"]
    return said


def container(objects: list[Object]) -> Object:
    """Return the only container."""
    (found,) = pod(objects)["containers"]
    said: Object = found
    return said


def given(objects: list[Object]) -> dict[str, str]:
    """Return the settings that the daemon finds in its environment."""
    said: dict[str, str] = one(objects, "ConfigMap", "pcc-reconciler-settings")["data"]
    return said


def every(objects: Mapping[str, list[Object]]) -> Iterator[list[Object]]:
    """Give each installation."""
    assert len(objects) == 5
    yield from objects.values()


@pytest.mark.parametrize("version", SCHEMAS)
def test_every_object_is_valid(objects: Mapping[str, list[Object]], version: str) -> None:
    """Each object of each installation is valid by the schemas of three recent versions, unknown keys forbidden."""
    kinds = set()
    for installation in every(objects):
        for each in installation:
            if each["kind"] not in CUSTOM:
                assert kubernetes_validate.validate(each, version, strict=True) == version
            kinds.add(each["kind"])
    assert kinds == CUSTOM | {
        *("ConfigMap", "Deployment", "Ingress", "NetworkPolicy"),
        *("PersistentVolumeClaim", "Service", "ServiceAccount"),
    }


def test_the_schemas_are_strict(objects: Mapping[str, list[Object]]) -> None:
    """A key that Kubernetes does not know is found, however deep it stands."""
    wrong = pod(objects["base"]) | {"enableServiceLink": False}
    deployment = one(objects["base"], "Deployment")
    deployment = deployment | {"spec": deployment["spec"] | {"template": {"spec": wrong}}}
    with pytest.raises(kubernetes_validate.ValidationError, match="enableServiceLink"):
        kubernetes_validate.validate(deployment, SCHEMAS[0], strict=True)


def test_one_daemon_at_a_time(objects: Mapping[str, list[Object]]) -> None:
    """There is one replica; the old one ends before the new one begins; no budget keeps a node from being drained."""
    for installation in every(objects):
        said = one(installation, "Deployment")["spec"]
        assert said["replicas"] == 1
        assert said["strategy"] == {"type": "Recreate"}
        assert not [
            each
            for each in installation
            if each["kind"] in {"PodDisruptionBudget", "HorizontalPodAutoscaler"}
        ]


def test_the_state_outlives_the_pod(objects: Mapping[str, list[Object]]) -> None:
    """PCC_STATE_DIR is where the claim is mounted, and only one node may mount it."""
    for installation in every(objects):
        claim = one(installation, "PersistentVolumeClaim")
        assert claim["spec"]["accessModes"] == ["ReadWriteOnce"]
        assert mounted(installation)[given(installation)["PCC_STATE_DIR"]] == {
            "name": "state",
            "persistentVolumeClaim": {"claimName": claim["metadata"]["name"]},
        }


def mounted(installation: list[Object]) -> dict[str, Object]:
    """Return the volume at each path of the container; each volume is mounted once, and none of them with subPath."""
    volumes = {each["name"]: each for each in pod(installation)["volumes"]}
    mounts = container(installation)["volumeMounts"]
    assert sorted(volumes) == sorted(each["name"] for each in mounts)
    assert not [each for each in mounts if "subPath" in each or "subPathExpr" in each]
    return {each["mountPath"]: volumes[each["name"]] for each in mounts}


def test_the_pod_is_restricted(objects: Mapping[str, list[Object]]) -> None:
    """The pod keeps to every point of the restricted standard."""
    for installation in every(objects):
        said, inside = pod(installation), container(installation)
        assert SAFE.items() <= said["securityContext"].items()
        assert inside["securityContext"]["allowPrivilegeEscalation"] is False
        assert inside["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert (
            not {"hostNetwork", "hostPID", "hostIPC", "initContainers", "ephemeralContainers"}
            & said.keys()
        )
        assert not [port for port in inside["ports"] if "hostPort" in port]
        kinds = {kind for volume in said["volumes"] for kind in volume} - {"name"}
        assert kinds <= {"configMap", "emptyDir", "persistentVolumeClaim", "secret"}


def test_no_installation_owns_its_namespace(objects: Mapping[str, list[Object]]) -> None:
    """The namespace is applied once by hand, enforces the restricted standard, and is removed with no installation."""
    assert not [each for found in objects.values() for each in found if each["kind"] == "Namespace"]
    (found,) = yaml.safe_load_all((KUBERNETES / "namespace.yaml").read_text(encoding="utf-8"))
    assert kubernetes_validate.validate(found, SCHEMAS[-1], strict=True) == SCHEMAS[-1]
    labels = found["metadata"]["labels"]
    assert {
        labels[f"pod-security.kubernetes.io/{what}"] for what in ("enforce", "audit", "warn")
    } == {"restricted"}


def test_the_last_words_of_a_pod_are_shown(objects: Mapping[str, list[Object]]) -> None:
    """Where the daemon refuses its settings, `kubectl describe pod` shows why."""
    for installation in every(objects):
        assert container(installation)["terminationMessagePolicy"] == "FallbackToLogsOnError"


def test_a_wedged_pod_is_not_waited_for(objects: Mapping[str, list[Object]]) -> None:
    """A process that does not answer gets a few seconds to end, one that is asked to end gets its full grace."""
    for installation in every(objects):
        probe = container(installation)["livenessProbe"]
        assert probe["terminationGracePeriodSeconds"] == 5
        assert pod(installation)["terminationGracePeriodSeconds"] > 5


def test_argo_keeps_the_claim(objects: Mapping[str, list[Object]]) -> None:
    """Argo CD neither prunes nor deletes the claim of the state."""
    for installation in every(objects):
        annotations = one(installation, "PersistentVolumeClaim")["metadata"]["annotations"]
        assert annotations["argocd.argoproj.io/sync-options"] == "Prune=false,Delete=false"


def test_two_installations_share_a_namespace(tmp_path: Path) -> None:
    """Two installations share no object, no selector, no Secret, no job and no rule."""
    first = rendered(with_everything(tmp_path / "first", "overlays/configmap"))
    with_everything(tmp_path / "second", "overlays/configmap")
    second = rendered(tmp_path / "second" / "kubernetes" / SECOND)
    for version in SCHEMAS:
        for each in second:
            assert (
                each["kind"] in CUSTOM
                or kubernetes_validate.validate(each, version, strict=True) == version
            )
    names = [
        {(each["kind"], each["metadata"]["name"]) for each in found} for found in (first, second)
    ]
    assert not names[0] & names[1]
    assert "PrometheusRule" not in {kind for kind, _ in names[1]}
    selected = [selectors(found) for found in (first, second)]
    for place, found in enumerate((first, second)):
        template = one(found, "Deployment")["spec"]["template"]["metadata"]["labels"]
        assert all(each.items() <= template.items() for each in selected[place])
        assert not any(each.items() <= template.items() for each in selected[1 - place])
    secrets = [
        {each["secret"]["secretName"] for each in pod(found)["volumes"] if "secret" in each}
        for found in (first, second)
    ]
    assert not secrets[0] & secrets[1]
    jobs = [
        one(found, "Deployment")["spec"]["template"]["metadata"]["labels"][
            one(found, "PodMonitor")["spec"]["jobLabel"]
        ]
        for found in (first, second)
    ]
    assert jobs == ["pcc-reconciler", "eu"]


def selectors(installation: list[Object]) -> list[dict[str, str]]:
    """Return by which labels each object of an installation finds its pods."""
    return [
        one(installation, "Deployment")["spec"]["selector"]["matchLabels"],
        one(installation, "Service")["spec"]["selector"],
        one(installation, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
        one(installation, "PodMonitor")["spec"]["selector"]["matchLabels"],
    ]


@pytest.mark.parametrize("overlay", ["overlays/configmap", "overlays/git"])
def test_openshift_gives_the_numbers(tmp_path: Path, overlay: str) -> None:
    """On OpenShift no user or group is asked for, DNS is where OpenShift has it, and all else stays."""
    shutil.copytree(KUBERNETES, tmp_path / "kubernetes")
    file = tmp_path / "kubernetes" / overlay / "kustomization.yaml"
    before = rendered(file.parent)
    text = file.read_text(encoding="utf-8")
    file.write_text(f"{text}\ncomponents:\n  - ../../components/openshift\n", encoding="utf-8")
    found = rendered(file.parent)
    said = pod(found)["securityContext"]
    assert not {"runAsUser", "runAsGroup", "fsGroup"} & said.keys()
    assert SAFE.items() <= said.items()
    (dns,) = allowed(one(found, "NetworkPolicy")["spec"]["egress"], 5353)
    assert dns["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"] == "openshift-dns"
    kinds = {"Deployment", "NetworkPolicy"}
    assert [each for each in found if each["kind"] not in kinds] == [
        each for each in before if each["kind"] not in kinds
    ]


def test_a_gateway_can_take_the_place_of_the_ingress(tmp_path: Path) -> None:
    """The route lets in one exact path with POST only, and leads to the Service under whatever name it has."""
    shutil.copytree(KUBERNETES, tmp_path / "kubernetes")
    file = tmp_path / "kubernetes" / "overlays" / "git" / "kustomization.yaml"
    text = file.read_text(encoding="utf-8")
    added = "\nnamePrefix: eu-\ncomponents:\n  - ../../components/webhook-gateway\n"
    file.write_text(text + added, encoding="utf-8")
    found = rendered(file.parent)
    (rule,) = one(found, "HTTPRoute")["spec"]["rules"]
    assert rule["matches"] == [{"method": "POST", "path": {"type": "Exact", "value": "/hooks/git"}}]
    service = one(found, "Service")
    assert rule["backendRefs"] == [
        {"name": service["metadata"]["name"], "port": service["spec"]["ports"][0]["port"]}
    ]
    settings_of_it = one(found, "ConfigMap", "eu-pcc-reconciler-settings")["data"]
    assert "PCC_WEBHOOK_SECRET_FILE" in settings_of_it


def test_the_pod_runs_as_the_user_of_the_image(objects: Mapping[str, list[Object]]) -> None:
    """User and group are the image's numbers, and volumes belong to that group."""
    dockerfile = (DEPLOY / "docker" / "Dockerfile").read_text(encoding="utf-8")
    assert f"\nUSER {USER}:{USER}\n" in dockerfile
    for installation in every(objects):
        said = pod(installation)["securityContext"]
        assert (said["runAsUser"], said["runAsGroup"], said["fsGroup"]) == (USER, USER, USER)


def test_the_root_file_system_is_read_only(objects: Mapping[str, list[Object]]) -> None:
    """Only the state and the temporary folder can be written to; the latter has a limit."""
    for installation in every(objects):
        assert container(installation)["securityContext"]["readOnlyRootFilesystem"] is True
        writable = {
            each["mountPath"]
            for each in container(installation)["volumeMounts"]
            if not each.get("readOnly")
        }
        assert writable == {"/var/lib/pcc-reconciler", "/tmp"}  # noqa: S108 - the container's own
        assert mounted(installation)["/tmp"]["emptyDir"]["sizeLimit"]  # noqa: S108 - the container's own


def test_the_pod_cannot_speak_to_kubernetes(objects: Mapping[str, list[Object]]) -> None:
    """It has an account of its own, no token of it, no right, and no variables of other Services."""
    for installation in every(objects):
        said = pod(installation)
        account = one(installation, "ServiceAccount")
        assert said["serviceAccountName"] == account["metadata"]["name"] != "default"
        assert said["automountServiceAccountToken"] is False
        assert account["automountServiceAccountToken"] is False
        assert said["enableServiceLinks"] is False
        assert not [each for each in installation if "Role" in each["kind"]]


def test_secrets_are_files_and_rotate(objects: Mapping[str, list[Object]]) -> None:
    """No secret is in the environment; whole Secrets are mounted, read-only, and not for others to read."""
    for installation in every(objects):
        inside = container(installation)
        assert [list(each) for each in inside["envFrom"]] == [["configMapRef"]]
        assert {each["name"] for each in inside.get("env", [])} <= {"GIT_SSH_COMMAND"}
        assert not [each for each in inside.get("env", []) if "valueFrom" in each]
        assert not [each for each in installation if each["kind"] == "Secret"]
        for path, volume in mounted(installation).items():
            if "secret" in volume:
                assert volume["secret"]["defaultMode"] == 0o440
                assert "items" not in volume["secret"]
                assert {"mountPath": path, "name": volume["name"], "readOnly": True} in inside[
                    "volumeMounts"
                ]


def test_every_file_that_a_setting_names_is_mounted(objects: Mapping[str, list[Object]]) -> None:
    """Each *_FILE setting, PCC_CREDENTIALS_DIR and the files that ssh needs lie in a Secret of its own kind."""
    for installation in every(objects):
        volumes = mounted(installation)
        named = {
            name: Path(value)
            for name, value in given(installation).items()
            if name.endswith("_FILE")
        }
        assert {
            "PCC_SERVICE_ID_FILE",
            "PCC_SERVICE_KEY_FILE",
            "PCC_CLIENT_ID_FILE",
            "PCC_LISTEN_TOKEN_FILE",
        } <= set(named)
        for name, path in named.items():
            assert volumes[str(path.parent)]["secret"]["secretName"] == "pcc-reconciler-service"
            assert path.name == name.removeprefix("PCC_").removesuffix("_FILE").lower()
        accounts = volumes[given(installation)["PCC_CREDENTIALS_DIR"]]
        assert accounts["secret"]["secretName"] == "pcc-reconciler-accounts"
        for each in container(installation).get("env", []):
            for path in re.findall(r"/etc/\S+/", each["value"]):
                assert "secret" in volumes[path.rstrip("/")]


def test_the_secrets_are_made_as_the_base_says() -> None:
    """The commands at the top of the base make every file that its settings name."""
    text = (KUBERNETES / "base" / "kustomization.yaml").read_text(encoding="utf-8")
    made = set(re.findall(r"--from-file=(\S+)", text))
    wanted = {Path(path).name for path in re.findall(r"PCC_\w+_FILE=(\S+)", text)}
    assert made == wanted | {"default.refresh_token"}
    for name in ("pcc-reconciler-service", "pcc-reconciler-accounts"):
        assert f"create secret generic {name} " in text


def test_the_settings_are_settings(objects: Mapping[str, list[Object]], tmp_path: Path) -> None:
    """The daemon takes what each overlay gives it, once the secrets are there."""
    (tmp_path / "secret").write_text("a-secret-of-a-test\n")
    for name, installation in objects.items():
        if name != "base":
            in_place = {
                key: str(tmp_path / "secret") if key.endswith("_FILE") else value
                for key, value in given(installation).items()
            }
            chosen = settings.load(in_place)
            assert chosen.mode is Mode.OBSERVE
            assert (chosen.listen.host, chosen.listen.port) == ("", 8080)


@pytest.mark.parametrize("overlay", ["overlays/configmap", "overlays/git"])
def test_one_line_turns_it_on(tmp_path: Path, overlay: str) -> None:
    """An overlay begins in observe mode, as the base does; the word enforce on one line of it is the switch."""
    shutil.copytree(KUBERNETES, tmp_path / "kubernetes")
    file = tmp_path / "kubernetes" / overlay / "kustomization.yaml"
    before = given(rendered(file.parent))
    lines = file.read_text(encoding="utf-8").splitlines()
    (switch,) = [number for number, line in enumerate(lines) if "PCC_MODE=observe" in line]
    lines[switch] = lines[switch].replace("observe", "enforce")
    file.write_text("\n".join([*lines, ""]), encoding="utf-8")
    assert given(rendered(file.parent)) == before | {"PCC_MODE": "enforce"}
    assert before["PCC_MODE"] == given(rendered(KUBERNETES / "base"))["PCC_MODE"] == "observe"


def test_a_changed_setting_restarts_and_a_changed_text_does_not(tmp_path: Path) -> None:
    """The name of the settings follows their content, that of the desired state stays."""
    shutil.copytree(KUBERNETES, tmp_path / "kubernetes")
    folder = tmp_path / "kubernetes" / "overlays" / "configmap"
    before = rendered(folder)
    text = folder / "desired-state.toml"
    text.write_text(text.read_text(encoding="utf-8").replace("10%", "5%"), encoding="utf-8")
    edited = rendered(folder)
    assert one(edited, "ConfigMap", "pcc-reconciler-desired-state") != one(
        before, "ConfigMap", "pcc-reconciler-desired-state"
    )
    assert one(edited, "Deployment") == one(before, "Deployment")
    file = folder / "kustomization.yaml"
    file.write_text(
        file.read_text(encoding="utf-8").replace("PCC_COUNTRY=KR", "PCC_COUNTRY=DE"),
        encoding="utf-8",
    )
    assert one(rendered(folder), "Deployment") != one(before, "Deployment")


def test_the_desired_state_is_a_folder_that_can_change(objects: Mapping[str, list[Object]]) -> None:
    """The ConfigMap is mounted whole where PCC_DESIRED_STATE looks, and the text in it is valid and empty."""
    installation = objects["overlays/configmap"]
    volume = mounted(installation)[given(installation)["PCC_DESIRED_STATE"]]
    assert volume["configMap"] == {"name": "pcc-reconciler-desired-state"}
    data = one(installation, "ConfigMap", "pcc-reconciler-desired-state")["data"]
    assert list(data) == ["desired-state.toml"]
    document = Document("desired-state.toml", data["desired-state.toml"].encode())
    found = desired.load(
        [document], MemoryTree({}), environment=given(installation)["PCC_ENVIRONMENT"]
    )
    assert not found.faults
    assert [len(account.devices) for account in found.accounts.values()] == [0]


def test_probes_ask_what_they_should(objects: Mapping[str, list[Object]]) -> None:
    """Start and liveness ask /healthz, readiness /readyz; a slow start may take two minutes."""
    for installation in every(objects):
        inside = container(installation)
        (port,) = [each["name"] for each in inside["ports"] if each["containerPort"] == 8080]
        paths = {
            "startupProbe": "/healthz",
            "livenessProbe": "/healthz",
            "readinessProbe": "/readyz",
        }
        assert {name: inside[name]["httpGet"] for name in paths} == {
            name: {"path": path, "port": port} for name, path in paths.items()
        }
        start, live = inside["startupProbe"], inside["livenessProbe"]
        assert start["periodSeconds"] * start["failureThreshold"] >= 120
        assert live["periodSeconds"] * live["failureThreshold"] >= 60


def test_there_is_time_to_stop(objects: Mapping[str, list[Object]]) -> None:
    """Kubernetes waits longer than PCC_SHUTDOWN_GRACE, with ten seconds to spare."""
    for installation in every(objects):
        grace = settings.load(
            {"PCC_SHUTDOWN_GRACE": given(installation)["PCC_SHUTDOWN_GRACE"]}
        ).shutdown_grace
        assert pod(installation)["terminationGracePeriodSeconds"] >= grace.total_seconds() + 10


def test_a_lost_node_is_given_up_soon(objects: Mapping[str, list[Object]]) -> None:
    """The pod of a node that is lost is replaced after half a minute, not after Kubernetes' five."""
    for found in objects.values():
        tolerations = one(found, "Deployment")["spec"]["template"]["spec"]["tolerations"]
        seconds = {each["key"]: each["tolerationSeconds"] for each in tolerations}
        assert seconds == dict.fromkeys(LOST, 30)
        assert {each["effect"] for each in tolerations} == {"NoExecute"}


def test_resources_are_what_was_measured(objects: Mapping[str, list[Object]]) -> None:
    """Memory is requested and limited, CPU is requested and not limited."""
    for installation in every(objects):
        said = container(installation)["resources"]
        assert said["requests"].keys() == {"cpu", "memory"}
        assert said["limits"].keys() == {"memory"}


def allowed(rules: list[Object], port: int) -> list[Object]:
    """Return where the rules let the pod go at a port."""
    return [
        peer
        for rule in rules
        for peer in rule["to"]
        if port in {each["port"] for each in rule["ports"]}
    ]


def test_the_network_is_closed_but_for_what_is_needed(objects: Mapping[str, list[Object]]) -> None:
    """Out: DNS of the cluster and the internet, nothing private; in: the page's port from two namespaces."""
    for name, installation in objects.items():
        said = one(installation, "NetworkPolicy")["spec"]
        assert sorted(said["policyTypes"]) == ["Egress", "Ingress"]
        selected = said["podSelector"]["matchLabels"]
        assert (
            selected.items()
            <= one(installation, "Deployment")["spec"]["template"]["metadata"]["labels"].items()
        )
        ports = {str(each["port"]) for rule in said["egress"] for each in rule["ports"]}
        assert ports == {"53", "443"} | ({"22"} if "git" in name else set())
        (rule,) = said["ingress"]
        (peer,) = rule["from"]
        assert peer == {
            "namespaceSelector": {
                "matchExpressions": [
                    {
                        "key": "kubernetes.io/metadata.name",
                        "operator": "In",
                        "values": ["monitoring", "ingress-nginx"],
                    }
                ]
            }
        }
        assert rule["ports"] == [{"port": "http", "protocol": "TCP"}]


def test_names_are_asked_of_the_cluster(objects: Mapping[str, list[Object]]) -> None:
    """DNS is let through to the cluster's own, selected by its labels and not by ours, and to the cache on the node."""
    for installation in every(objects):
        peers = allowed(one(installation, "NetworkPolicy")["spec"]["egress"], 53)
        assert peers == [
            {
                "namespaceSelector": {
                    "matchLabels": {"kubernetes.io/metadata.name": "kube-system"}
                },
                "podSelector": {
                    "matchExpressions": [
                        {"key": "k8s-app", "operator": "In", "values": ["kube-dns"]}
                    ]
                },
            },
            {"ipBlock": {"cidr": "169.254.20.10/32"}},
        ]


@pytest.mark.parametrize("port", [22, 443])
@pytest.mark.parametrize(
    ("address", "reachable"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1:248:1893:25c8:1946", True),
        *(
            (inside, False)
            for inside in (
                "10.96.0.1",
                "172.20.3.4",
                "192.168.1.1",
                "100.64.0.9",
                "169.254.169.254",
            )
        ),
        *((inside, False) for inside in ("127.0.0.1", "::1", "fd00::1", "fe80::1")),
    ],
)
def test_the_cloud_and_the_cluster_are_out_of_reach(
    objects: Mapping[str, list[Object]], address: str, port: int, *, reachable: bool
) -> None:
    """The internet can be reached, and no private address, not even the metadata service of a cloud."""
    peers = allowed(one(objects["overlays/git"], "NetworkPolicy")["spec"]["egress"], port)
    assert peers
    there = ip_address(address)
    blocks = [peer["ipBlock"] for peer in peers]
    assert reachable == any(
        there in ip_network(block["cidr"])
        and not any(there in ip_network(out) for out in block["except"])
        for block in blocks
        if ip_network(block["cidr"]).version == there.version
    )


def test_labels_are_the_recommended_ones(objects: Mapping[str, list[Object]]) -> None:
    """Every object says what it is with the recommended labels, and lives in the one namespace."""
    for installation in every(objects):
        for each in installation:
            labels = each["metadata"]["labels"]
            assert (
                labels["app.kubernetes.io/name"]
                == labels["app.kubernetes.io/instance"]
                == "pcc-reconciler"
            )
            assert {"app.kubernetes.io/component", "app.kubernetes.io/part-of"} <= labels.keys()
            assert each["metadata"]["namespace"] == "pcc-reconciler"
        template = one(installation, "Deployment")["spec"]["template"]["metadata"]["labels"]
        for selector in (
            one(installation, "Deployment")["spec"]["selector"]["matchLabels"],
            one(installation, "Service")["spec"]["selector"],
        ):
            assert selector.items() <= template.items()


def test_the_service_leads_to_the_daemon(objects: Mapping[str, list[Object]]) -> None:
    """The Service finds the daemon's port by its name, also while it is not ready: then its page is wanted most."""
    for installation in every(objects):
        said = one(installation, "Service")["spec"]
        assert said["type"] == "ClusterIP"
        assert said["publishNotReadyAddresses"] is True
        names = {each["name"] for each in container(installation)["ports"]}
        assert {each["targetPort"] for each in said["ports"]} <= names


def test_the_image_is_this_version(objects: Mapping[str, list[Object]]) -> None:
    """The base names the version that it belongs to; an overlay only says from where."""
    for name, installation in objects.items():
        registry, _, tag = container(installation)["image"].rpartition(":")
        assert tag == reconciler.__version__
        assert registry == (
            "pcc-reconciler" if name == "base" else "registry.example.com/pcc-reconciler"
        )


def test_prometheus_finds_the_daemon(objects: Mapping[str, list[Object]]) -> None:
    """The PodMonitor selects the pod by its labels and the port by its name; without the component there is none."""
    for name, installation in objects.items():
        monitors = [each for each in installation if each["kind"] == "PodMonitor"]
        assert bool(monitors) == name.endswith("with components")
        for monitor in monitors:
            template = one(installation, "Deployment")["spec"]["template"]["metadata"]["labels"]
            assert monitor["spec"]["selector"]["matchLabels"].items() <= template.items()
            (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
            assert endpoint["path"] == "/metrics"
            assert endpoint["port"] in {each["name"] for each in container(installation)["ports"]}
            assert template[monitor["spec"]["jobLabel"]] == "pcc-reconciler"


def test_the_operators_rules_are_the_rules(objects: Mapping[str, list[Object]]) -> None:
    """The PrometheusRule holds exactly the groups of deploy/prometheus/rules.yml."""
    found = one(objects["overlays/git with components"], "PrometheusRule")
    assert found["spec"] == yaml.safe_load(RULES.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", dashboards())
def test_grafanas_sidecar_finds_the_dashboards(
    objects: Mapping[str, list[Object]], name: str
) -> None:
    """Each dashboard is in a ConfigMap with the sidecar's label, whole, and small enough for kubectl apply."""
    installation = objects["overlays/configmap with components"]
    found = one(installation, "ConfigMap", f"pcc-dashboard-{name.removesuffix('.json')}")
    assert found["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert json.loads(found["data"][name]) == dashboards()[name]
    assert len(json.dumps(found)) < LARGEST_ANNOTATION
    assert not any(
        each["kind"] == "ConfigMap" and "dashboard" in each["metadata"]["name"]
        for each in objects["overlays/configmap"]
    )


@pytest.mark.parametrize("path", MADE, ids=lambda path: path.name)
def test_made_files_are_current(path: Path) -> None:
    """What is made from something else is what ``make docs`` would write now."""
    assert path.read_text(encoding="utf-8") == MADE[path](), "run: make docs"


def test_the_webhook_is_all_that_is_outside(objects: Mapping[str, list[Object]]) -> None:
    """The component lets in one exact path, over TLS, and turns the hook on."""
    installation = objects["overlays/git with components"]
    said = one(installation, "Ingress")["spec"]
    (rule,) = said["rules"]
    (path,) = rule["http"]["paths"]
    assert (path["path"], path["pathType"]) == ("/hooks/git", "Exact")
    assert rule["host"] in said["tls"][0]["hosts"]
    assert path["backend"]["service"]["name"] == one(installation, "Service")["metadata"]["name"]
    assert "PCC_WEBHOOK_SECRET_FILE" in given(installation)


def test_every_key_is_a_setting(objects: Mapping[str, list[Object]]) -> None:
    """No installation gives a variable that the daemon does not know."""
    known = {f"PCC_{name.upper()}" for name in Settings.model_fields}
    for installation in every(objects):
        assert given(installation).keys() <= known


def documented_patches() -> list[str]:
    """Return the patches that docs/kubernetes.md shows, each as the end of a kustomization."""
    text = (DEPLOY.parent / "docs" / "kubernetes.md").read_text(encoding="utf-8")
    found = re.findall(r"^( *)```yaml\n\1(patches:\n.*?)^\1```", text, re.MULTILINE | re.DOTALL)
    return [textwrap.dedent(indent + patches) for indent, patches in found]


@pytest.mark.parametrize(
    ("words", "path", "wanted"),
    [
        ("imagePullSecrets", ("ServiceAccount", "imagePullSecrets"), [{"name": "registry"}]),
        ("storageClassName", ("PersistentVolumeClaim", "spec", "storageClassName"), "fast"),
        ("release", ("PodMonitor", "metadata", "labels", "release"), "kube-prometheus-stack"),
        ("release", ("PrometheusRule", "metadata", "labels", "release"), "kube-prometheus-stack"),
        (
            "containerPort: 9090",
            ("PodMonitor", "spec", "podMetricsEndpoints", 0, "port"),
            "metrics",
        ),
    ],
)
def test_the_patches_of_the_document_do_what_it_says(
    tmp_path: Path, words: str, path: tuple[str | int, ...], wanted: object
) -> None:
    """A patch that is copied from the document into an overlay sets what it is for, and leaves valid objects."""
    overlay = with_everything(tmp_path, "overlays/configmap")
    (patches,) = [each for each in documented_patches() if words in each]
    beside = overlay.parent / "patched"
    beside.mkdir()
    head = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [../configmap]\n"
    (beside / "kustomization.yaml").write_text(head + patches, encoding="utf-8")
    kind, *keys = path
    found = rendered(beside)
    said: Any = one(found, str(kind))
    for each in found:
        if each["kind"] not in CUSTOM:
            assert kubernetes_validate.validate(each, SCHEMAS[-1], strict=True) == SCHEMAS[-1]
    for key in keys:
        said = said[key]
    assert said == wanted
    assert len(documented_patches()) == 4


PLAIN = '  "{id}",\n'
NAMED = '  {{ id = "{id}", name = "Room {n} fridge", type = "refrigerator" }},\n'


@pytest.mark.parametrize(
    ("line", "applied", "held", "words"),
    [
        (PLAIN, 3500, 14_000, ("3,500 ids", "14,000 ids")),
        (NAMED, 1900, 8000, ("1,900 devices with names", "8,000 devices with names")),
    ],
)
def test_a_configmap_holds_as_many_devices_as_the_document_says(
    line: str, applied: int, held: int, words: tuple[str, str]
) -> None:
    """Plain apply takes the first number of devices, server-side apply the second; neither takes a tenth more."""
    text = (DEPLOY.parent / "docs" / "kubernetes.md").read_text(encoding="utf-8")
    assert all(each in text for each in words)

    def sizes(devices: int) -> tuple[int, int]:
        listed = "".join(line.format(id=f"{n:064x}", n=n) for n in range(devices))
        content = f"version = 1\ndevices = [\n{listed}]\n"
        labels = {f"app.kubernetes.io/{n}": "pcc-reconciler" for n in range(4)}
        metadata = {"name": "pcc-reconciler-desired-state", "labels": labels}
        whole = {"kind": "ConfigMap", "data": {"desired-state.toml": content}, "metadata": metadata}
        return len(json.dumps(whole)), len(content)

    assert sizes(applied)[0] < LARGEST_ANNOTATION < sizes(applied * 11 // 10)[0]
    assert sizes(held)[1] < LARGEST_CONFIGMAP < sizes(held * 11 // 10)[1]
