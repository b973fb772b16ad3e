"""deploy/kubernetes: the receiver as a cluster would get it, judged by Kubernetes' own schemas."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping
from ipaddress import ip_address, ip_network
from pathlib import Path

import kubernetes_validate
import pytest

import reconciler
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
from manifests import DEPLOY
from reconciler.events.config import read_config
from reconciler.events.logic_reading import read_logic
from reconciler.runtime import settings
from reconciler.runtime.receiver_settings import ReceiverSettings
from reconciler.runtime.settings import LG_CREDENTIALS
from reconciler.runtime.settings_reading import INJECTED

OVERLAY = "overlays/receiver"
CONFIG = "/etc/pcc-reconciler/events"


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, list[Object]]:
    """Give the objects of the base, of the overlay, and of the overlay with its component."""
    found = {name: rendered(KUBERNETES / name) for name in ("receiver", OVERLAY)}
    folder = with_everything(tmp_path_factory.mktemp("kubernetes"), OVERLAY)
    return found | {f"{OVERLAY} with components": rendered(folder)}


def pods(installation: list[Object]) -> Iterator[tuple[str, Object, Mapping[str, str]]]:
    """Give each pod's kind, what it says, and its labels: the receiver's, and that of the check."""
    for kind in ("StatefulSet", "CronJob"):
        spec = one(installation, kind)["spec"]
        template = (spec["jobTemplate"]["spec"] if kind == "CronJob" else spec)["template"]
        yield kind, template["spec"], template["metadata"]["labels"]


def receiver(installation: list[Object]) -> tuple[Object, Object]:
    """Return the receiver's pod and its only container."""
    (said,) = [said for kind, said, _ in pods(installation) if kind == "StatefulSet"]
    (inside,) = said["containers"]
    return said, inside


def given(installation: list[Object]) -> dict[str, str]:
    """Return the settings that the receiver finds in its environment."""
    said: dict[str, str] = one(installation, "ConfigMap", "pcc-receiver-settings")["data"]
    return said


def selects(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    """Return whether a selector takes a pod with these labels."""
    return selector.items() <= labels.items()


@pytest.mark.parametrize("version", SCHEMAS)
def test_every_object_is_valid(objects: Mapping[str, list[Object]], version: str) -> None:
    """Each object is valid by three recent versions, unknown keys forbidden; no Namespace is among them."""
    kinds = set()
    for installation in objects.values():
        for each in installation:
            if each["kind"] not in CUSTOM:
                assert kubernetes_validate.validate(each, version, strict=True) == version
            kinds.add(each["kind"])
    assert kinds == {
        *("ConfigMap", "CronJob", "Ingress", "NetworkPolicy", "PodDisruptionBudget"),
        *("PodMonitor", "Service", "ServiceAccount", "StatefulSet"),
    }


def test_two_receivers_with_a_spool_each(objects: Mapping[str, list[Object]]) -> None:
    """There are two, each with a claim of its own that outlives it, and PCC_EVENTS_DIR is on it."""
    for installation in objects.values():
        spec = one(installation, "StatefulSet")["spec"]
        assert spec["replicas"] == 2
        (claim,) = spec["volumeClaimTemplates"]
        assert claim["spec"]["accessModes"] == ["ReadWriteOnce"]
        assert set(spec["persistentVolumeClaimRetentionPolicy"].values()) == {"Retain"}
        _, inside = receiver(installation)
        (mount,) = [
            each for each in inside["volumeMounts"] if each["name"] == claim["metadata"]["name"]
        ]
        assert Path(given(installation)["PCC_EVENTS_DIR"]).is_relative_to(mount["mountPath"])
        assert spec["podManagementPolicy"] == "Parallel"


def test_the_claim_has_room_for_the_spool(objects: Mapping[str, list[Object]]) -> None:
    """The volume is twice as large as PCC_SPOOL_LIMIT: the log of the database is beside the spool."""
    limit = re.fullmatch(r"(\d+)GiB", given(objects["receiver"])["PCC_SPOOL_LIMIT"])
    (claim,) = one(objects["receiver"], "StatefulSet")["spec"]["volumeClaimTemplates"]
    room = re.fullmatch(r"(\d+)Gi", claim["spec"]["resources"]["requests"]["storage"])
    assert limit is not None
    assert room is not None
    assert int(room[1]) >= 2 * int(limit[1])


def test_they_are_spread_and_drained_one_by_one(objects: Mapping[str, list[Object]]) -> None:
    """No node gets both while another takes pods, and a drain takes one at a time, also where one is not ready."""
    for installation in objects.values():
        (labels,) = [labels for kind, _, labels in pods(installation) if kind == "StatefulSet"]
        said, _ = receiver(installation)
        nodes, zones = said["topologySpreadConstraints"]
        assert nodes["topologyKey"] == "kubernetes.io/hostname"
        assert (nodes["whenUnsatisfiable"], nodes["maxSkew"]) == ("DoNotSchedule", 1)
        assert nodes["nodeTaintsPolicy"] == "Honor"
        assert zones["whenUnsatisfiable"] == "ScheduleAnyway"
        budget = one(installation, "PodDisruptionBudget")["spec"]
        assert budget["maxUnavailable"] == 1
        assert budget["unhealthyPodEvictionPolicy"] == "AlwaysAllow"
        for selector in (nodes["labelSelector"], zones["labelSelector"], budget["selector"]):
            assert selects(selector["matchLabels"], labels)


def test_selectors_take_the_receivers_and_not_the_check(
    objects: Mapping[str, list[Object]],
) -> None:
    """Services, budget and policy of the receiver leave the pod of the check out; it has its own policy."""
    for installation in objects.values():
        labels = {kind: labels for kind, _, labels in pods(installation)}
        selectors = [
            one(installation, "StatefulSet")["spec"]["selector"]["matchLabels"],
            one(installation, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        ]
        selectors += [
            each["spec"]["selector"] for each in installation if each["kind"] == "Service"
        ]
        for selector in selectors:
            assert selects(selector, labels["StatefulSet"])
            assert not selects(selector, labels["CronJob"])
        policies = [each for each in installation if each["kind"] == "NetworkPolicy"]
        for kind, own in labels.items():
            taken = [
                each["metadata"]["name"]
                for each in policies
                if selects(each["spec"]["podSelector"]["matchLabels"], own)
            ]
            assert taken == ["pcc-receiver" if kind == "StatefulSet" else "pcc-receiver-check"]


def test_the_pods_are_restricted(objects: Mapping[str, list[Object]]) -> None:
    """Both pods keep to every point of the restricted standard, and run as the user of the image."""
    for installation in objects.values():
        for _, said, _ in pods(installation):
            (inside,) = said["containers"]
            assert SAFE.items() <= said["securityContext"].items()
            assert inside["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            context = said["securityContext"]
            assert (context["runAsUser"], context["runAsGroup"], context["fsGroup"]) == (USER,) * 3
            assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers"} & said.keys()
            assert not [port for port in inside.get("ports", []) if "hostPort" in port]
            assert inside["resources"]["requests"].keys() == {"cpu", "memory"}
            assert inside["resources"]["limits"].keys() == {"memory"}
            assert inside["terminationMessagePolicy"] == "FallbackToLogsOnError"


def test_the_pods_cannot_speak_to_kubernetes(objects: Mapping[str, list[Object]]) -> None:
    """They have no token and no right, and no variables of other Services."""
    for installation in objects.values():
        account = one(installation, "ServiceAccount")
        assert account["automountServiceAccountToken"] is False
        for _, said, _ in pods(installation):
            assert said["serviceAccountName"] == account["metadata"]["name"] != "default"
            assert said["automountServiceAccountToken"] is False
            assert said["enableServiceLinks"] is False
        assert not [each for each in installation if "Role" in each["kind"]]


def test_no_credential_of_lg_is_there(objects: Mapping[str, list[Object]]) -> None:
    """Neither pod has a setting for one of LG's credentials, or mounts a Secret that holds some."""
    for installation in objects.values():
        for _, said, _ in pods(installation):
            (inside,) = said["containers"]
            names = set(given(installation)) | {each["name"] for each in inside.get("env", [])}
            assert not names & set(LG_CREDENTIALS)
            secrets = {each["secret"]["secretName"] for each in said["volumes"] if "secret" in each}
            assert secrets == {"pcc-receiver"}


def test_no_service_makes_a_variable_that_could_be_a_setting(
    objects: Mapping[str, list[Object]],
) -> None:
    """What Kubernetes would inject for the Services begins with no PCC_, and is no setting."""
    for installation in objects.values():
        services = [each for each in installation if each["kind"] == "Service"]
        assert len(services) == 2
        for each in services:
            name = each["metadata"]["name"].upper().replace("-", "_")
            assert not f"{name}_SERVICE_HOST".startswith("PCC_")
            assert INJECTED.fullmatch(f"PCC_{name}_SERVICE_HOST")


def test_only_what_has_to_be_written_can_be(objects: Mapping[str, list[Object]]) -> None:
    """The receiver writes to its spool and to a limited /tmp, the check nowhere; no file is mounted with subPath."""
    for installation in objects.values():
        writable = {}
        for kind, said, _ in pods(installation):
            (inside,) = said["containers"]
            mounts = inside["volumeMounts"]
            assert not [each for each in mounts if "subPath" in each or "subPathExpr" in each]
            writable[kind] = {each["mountPath"] for each in mounts if not each.get("readOnly")}
            for volume in said["volumes"]:
                assert "emptyDir" not in volume or volume["emptyDir"]["sizeLimit"]
                assert "secret" not in volume or volume["secret"]["defaultMode"] == 0o440
        assert writable == {
            "StatefulSet": {"/var/lib/pcc-reconciler", "/tmp"},  # noqa: S108 - the container's own
            "CronJob": set(),
        }


def test_the_settings_are_settings(objects: Mapping[str, list[Object]], tmp_path: Path) -> None:
    """The receiver takes what it is given once the secrets are there, and asks callers for a credential."""
    (tmp_path / "receive_basic").write_text("lg:a-secret-of-a-test\n")
    (tmp_path / "events_token").write_text("another-secret-of-a-test\n")
    known = {f"PCC_{name.upper()}" for name in ReceiverSettings.model_fields}
    for installation in objects.values():
        assert given(installation).keys() <= known
        in_place = {
            key: str(tmp_path / Path(value).name) if key.endswith("_FILE") else value
            for key, value in given(installation).items()
        }
        chosen = settings.load_receiver(in_place)
        said, inside = receiver(installation)
        (port,) = inside["ports"]
        assert chosen.receive_listen.port == port["containerPort"]
        assert not chosen.receive_listen.on_loopback
        assert chosen.basic_reader() is not None
        grace = chosen.shutdown_grace.total_seconds()
        (pause,) = [int(word) for word in inside["lifecycle"]["preStop"]["exec"]["command"][1:]]
        assert said["terminationGracePeriodSeconds"] >= grace + pause + 10


def test_the_secret_is_made_as_the_base_says(objects: Mapping[str, list[Object]]) -> None:
    """The command at the top of the base makes every file that the settings and the check name."""
    text = (KUBERNETES / "receiver" / "kustomization.yaml").read_text(encoding="utf-8")
    made = set(re.findall(r"--from-file=(\S+)", text))
    installation = objects["receiver"]
    named = {Path(value) for key, value in given(installation).items() if key.endswith("_FILE")}
    for _, said, _ in pods(installation):
        (inside,) = said["containers"]
        named |= {Path(each["value"]) for each in inside.get("env", [])}
        paths = {each["mountPath"] for each in inside["volumeMounts"]}
        assert {str(path.parent) for path in named} <= paths
    assert {path.name for path in named} == made
    (volume,) = [
        each
        for kind, said, _ in pods(installation)
        if kind == "CronJob"
        for each in said["volumes"]
    ]
    assert [each["key"] for each in volume["secret"]["items"]] == ["receive_basic"]


def test_the_events_file_and_its_table_are_valid(objects: Mapping[str, list[Object]]) -> None:
    """One ConfigMap under a fixed name holds both, where the settings look, and there is not one fault in them."""
    installation = objects[OVERLAY]
    file = Path(given(installation)["PCC_EVENTS_CONFIG"])
    said, inside = receiver(installation)
    (mount,) = [each for each in inside["volumeMounts"] if each["mountPath"] == str(file.parent)]
    (volume,) = [each for each in said["volumes"] if each["name"] == mount["name"]]
    assert volume["configMap"] == {"name": "pcc-receiver-events"}
    data = one(installation, "ConfigMap", "pcc-receiver-events")["data"]
    reading = read_config(str(file), data[file.name].encode())
    assert reading.config is not None, reading.faults
    assert not reading.warnings
    assert reading.config.logic is not None
    assert Path(reading.config.logic).resolve() == file.parent
    tables = {name: text.encode() for name, text in data.items() if name.endswith(".csv")}
    assert set(tables) == {"types.csv", "messages.en.csv"}
    table = read_logic(str(file.parent), tables, reading.config.locales)
    assert table.table is not None, table.faults
    assert not table.warnings


def test_every_sink_that_is_shown_is_valid() -> None:
    """The events file is valid with the sink that a comment shows, and its secrets are in a mounted folder."""
    text = (KUBERNETES / OVERLAY / "events.toml").read_text(encoding="utf-8")
    opened = re.sub(r"^#(\[sinks|\w+ = )", r"\1", text, flags=re.MULTILINE)
    assert opened != text
    reading = read_config(f"{CONFIG}/events.toml", opened.encode())
    assert reading.config is not None, reading.faults
    sink = reading.config.sinks["crm"]
    for secret in (sink.signing_secret_file, sink.authorization_file):
        assert secret is not None
        assert str(secret.parent) == "/etc/pcc-reconciler/receiver"


def test_names_come_from_the_daemons_list(objects: Mapping[str, list[Object]]) -> None:
    """The receiver mounts the ConfigMap of the daemon's overlay, and starts without it as well."""
    said, inside = receiver(objects[OVERLAY])
    path = given(objects[OVERLAY])["PCC_DESIRED_STATE"]
    (mount,) = [each for each in inside["volumeMounts"] if each["mountPath"] == path]
    (volume,) = [each for each in said["volumes"] if each["name"] == mount["name"]]
    daemons = one(rendered(KUBERNETES / "overlays" / "configmap"), "ConfigMap", "pcc-reconciler-de")
    assert volume["configMap"] == {"name": daemons["metadata"]["name"], "optional": True}


def test_probes_ask_what_they_should(objects: Mapping[str, list[Object]]) -> None:
    """Start and liveness ask /healthz, readiness /readyz; a slow start may take two minutes."""
    for installation in objects.values():
        _, inside = receiver(installation)
        asked = {name: inside[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness")}
        assert set(map(str, asked.values())) == {str({"path": "/healthz", "port": "http"})}
        assert inside["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "http"}
        start, live = inside["startupProbe"], inside["livenessProbe"]
        assert start["periodSeconds"] * start["failureThreshold"] >= 120
        assert live["periodSeconds"] * live["failureThreshold"] >= 60


def test_one_path_is_outside(objects: Mapping[str, list[Object]]) -> None:
    """The Ingress lets in the one exact path over TLS, leads to the receivers, and the check takes the same way."""
    installation = objects[OVERLAY]
    said = one(installation, "Ingress")["spec"]
    (rule,) = said["rules"]
    (path,) = rule["http"]["paths"]
    assert (path["path"], path["pathType"]) == ("/pcc/events", "Exact")
    assert said["tls"][0]["hosts"] == [rule["host"]]
    backend = path["backend"]["service"]
    service = one_named(installation, "Service", backend["name"])
    assert backend["port"]["name"] in {each["name"] for each in service["spec"]["ports"]}
    (check,) = [said for kind, said, _ in pods(installation) if kind == "CronJob"]
    (inside,) = check["containers"]
    assert inside["args"] == ["receive", "--check", f"https://{rule['host']}{path['path']}"]


def test_the_services_lead_to_the_receivers(objects: Mapping[str, list[Object]]) -> None:
    """One Service shares calls among ready receivers, the other names each; both find the port by name."""
    for installation in objects.values():
        names = {each["name"] for each in receiver(installation)[1]["ports"]}
        services = {
            each["metadata"]["name"]: each["spec"]
            for each in installation
            if each["kind"] == "Service"
        }
        shared, each_one = services["events-receiver"], services["events-receiver-pods"]
        assert "publishNotReadyAddresses" not in shared
        assert each_one["clusterIP"] == "None"
        assert each_one["publishNotReadyAddresses"] is True
        assert one(installation, "StatefulSet")["spec"]["serviceName"] == "events-receiver-pods"
        for spec in services.values():
            assert {port["targetPort"] for port in spec["ports"]} <= names


def test_the_check_is_made_every_ten_minutes_and_never_twice(
    objects: Mapping[str, list[Object]],
) -> None:
    """A check that hangs ends before the next one, nothing piles up, and no failed one is tried again by Kubernetes."""
    for installation in objects.values():
        spec = one(installation, "CronJob")["spec"]
        assert spec["schedule"] == "*/10 * * * *"
        assert spec["concurrencyPolicy"] == "Forbid"
        job = spec["jobTemplate"]["spec"]
        assert job["activeDeadlineSeconds"] < 600
        assert job["backoffLimit"] == 0
        assert job["template"]["spec"]["restartPolicy"] == "Never"
        assert job["ttlSecondsAfterFinished"]


@pytest.mark.parametrize("policy", ["pcc-receiver", "pcc-receiver-check"])
@pytest.mark.parametrize(
    ("address", "reachable"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1:248:1893:25c8:1946", True),
        ("10.96.0.1", False),
        ("172.20.3.4", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),
        ("fd00::1", False),
    ],
)
def test_the_cloud_and_the_cluster_are_out_of_reach(
    objects: Mapping[str, list[Object]], policy: str, address: str, *, reachable: bool
) -> None:
    """Both pods get to the internet by https, to DNS, and to no private address."""
    said = one_named(objects[OVERLAY], "NetworkPolicy", policy)["spec"]
    assert sorted(said["policyTypes"]) == ["Egress", "Ingress"]
    ports = {str(each["port"]) for rule in said["egress"] for each in rule["ports"]}
    assert ports == {"53", "443"}
    there = ip_address(address)
    peers = [
        peer["ipBlock"]
        for rule in said["egress"]
        for peer in rule["to"]
        if rule["ports"][0]["port"] == 443
    ]
    assert reachable == any(
        there in ip_network(block["cidr"])
        and not any(there in ip_network(out) for out in block["except"])
        for block in peers
        if ip_network(block["cidr"]).version == there.version
    )


def one_named(objects: list[Object], kind: str, name: str) -> Object:
    """Return the object of a kind with exactly this name."""
    (found,) = [
        each for each in objects if each["kind"] == kind and each["metadata"]["name"] == name
    ]
    return found


def test_who_may_call_the_receiver(objects: Mapping[str, list[Object]]) -> None:
    """The ingress controller, Prometheus and the daemon get to the receiver's port; nobody gets to the check."""
    for installation in objects.values():
        (rule,) = one_named(installation, "NetworkPolicy", "pcc-receiver")["spec"]["ingress"]
        spaces, daemon = rule["from"]
        (expression,) = spaces["namespaceSelector"]["matchExpressions"]
        assert expression["values"] == ["monitoring", "ingress-nginx"]
        assert daemon == {
            "podSelector": {
                "matchExpressions": [
                    {
                        "key": "app.kubernetes.io/name",
                        "operator": "In",
                        "values": ["pcc-reconciler"],
                    }
                ]
            }
        }
        assert rule["ports"] == [{"port": "http", "protocol": "TCP"}]
        check = one_named(installation, "NetworkPolicy", "pcc-receiver-check")["spec"]
        assert "ingress" not in check


def test_labels_are_the_recommended_ones(objects: Mapping[str, list[Object]]) -> None:
    """Every object says what it is, of a name that no selector of the daemon takes, and lives in the one namespace."""
    daemon = one(rendered(KUBERNETES / "base"), "NetworkPolicy")["spec"]["podSelector"]
    for installation in objects.values():
        for each in installation:
            labels = each["metadata"]["labels"]
            name, instance = (labels[f"app.kubernetes.io/{one}"] for one in ("name", "instance"))
            assert name == instance == "pcc-receiver"
            assert labels["app.kubernetes.io/component"] in {"receiver", "check"}
            assert labels["app.kubernetes.io/part-of"] == "pcc-reconciler"
            assert each["metadata"]["namespace"] == "pcc-reconciler"
        for _, _, labels in pods(installation):
            assert not selects(daemon["matchLabels"], labels)


def test_the_image_is_this_version(objects: Mapping[str, list[Object]]) -> None:
    """Both pods run the version that the base belongs to; an overlay only says from where."""
    for name, installation in objects.items():
        for _, said, _ in pods(installation):
            registry, _, tag = said["containers"][0]["image"].rpartition(":")
            assert tag == reconciler.__version__
            expected = (
                "pcc-reconciler" if name == "receiver" else "registry.example.com/pcc-reconciler"
            )
            assert registry == expected


def test_prometheus_finds_the_receivers(objects: Mapping[str, list[Object]]) -> None:
    """The PodMonitor selects the receivers and not the check, and the port by its name."""
    for name, installation in objects.items():
        monitors = [each for each in installation if each["kind"] == "PodMonitor"]
        assert bool(monitors) == name.endswith("with components")
        labels = {kind: labels for kind, _, labels in pods(installation)}
        for monitor in monitors:
            selector = monitor["spec"]["selector"]["matchLabels"]
            assert selects(selector, labels["StatefulSet"])
            assert not selects(selector, labels["CronJob"])
            (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
            assert endpoint["path"] == "/metrics"
            _, inside = receiver(installation)
            assert endpoint["port"] in {each["name"] for each in inside["ports"]}


def test_a_changed_setting_restarts_and_a_changed_events_file_does_not(tmp_path: Path) -> None:
    """The name of the settings follows their content, that of the events file stays."""
    shutil.copytree(KUBERNETES, tmp_path / "kubernetes")
    folder = tmp_path / "kubernetes" / OVERLAY
    before = rendered(folder)
    for name, old, new in (
        ("events.toml", 'type = "stream"', 'type = "stream"\norder = "none"'),
        ("types.csv", "note\n", "note\nE1,malfunction,,,\n"),
    ):
        text = (folder / name).read_text(encoding="utf-8")
        (folder / name).write_text(text.replace(old, new), encoding="utf-8")
    edited = rendered(folder)
    assert one(edited, "ConfigMap", "pcc-receiver-events") != one(
        before, "ConfigMap", "pcc-receiver-events"
    )
    assert one(edited, "StatefulSet") == one(before, "StatefulSet")
    file = folder / "kustomization.yaml"
    text = file.read_text(encoding="utf-8").replace("=production", "=staging")
    file.write_text(text, encoding="utf-8")
    assert one(rendered(folder), "StatefulSet") != one(before, "StatefulSet")


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> list[Object]:
    """Give the objects of the daemon's overlay with the component that lets it ask the receivers."""
    folder = tmp_path_factory.mktemp("daemon")
    shutil.copytree(KUBERNETES, folder / "kubernetes")
    overlay = folder / "kubernetes" / "overlays" / "configmap"
    file = overlay / "kustomization.yaml"
    text = file.read_text(encoding="utf-8")
    opened = text.replace("#components:", "components:\n  - ../../components/events\n#", 1)
    assert opened != text
    file.write_text(opened, encoding="utf-8")
    return rendered(overlay)


@pytest.mark.parametrize("version", SCHEMAS)
def test_the_daemon_that_asks_the_receivers_is_valid(daemon: list[Object], version: str) -> None:
    """Each object of the daemon's overlay with this component is valid, unknown keys forbidden."""
    for each in daemon:
        assert kubernetes_validate.validate(each, version, strict=True) == version


def test_the_daemon_asks_every_receiver(
    daemon: list[Object], objects: Mapping[str, list[Object]], tmp_path: Path
) -> None:
    """The daemon names each replica by its own name and port, and takes the token that the receivers ask for."""
    data = one(daemon, "ConfigMap", "pcc-reconciler-settings")["data"]
    spec = one(objects[OVERLAY], "StatefulSet")["spec"]
    _, inside = receiver(objects[OVERLAY])
    port = inside["ports"][0]["containerPort"]
    names = [f"pcc-receiver-{number}.{spec['serviceName']}" for number in range(spec["replicas"])]
    assert data["PCC_EVENTS_FROM"] == ",".join(f"http://{name}:{port}" for name in names)
    (tmp_path / "secret").write_text("a-secret-of-a-test\n")
    in_place = {
        key: str(tmp_path / "secret") if key.endswith("_FILE") else value
        for key, value in data.items()
    }
    assert len(settings.load(in_place).events_from) == spec["replicas"]
    token = Path(data["PCC_EVENTS_TOKEN_FILE"])
    pod = one(daemon, "Deployment")["spec"]["template"]["spec"]
    (mount,) = [
        each
        for each in pod["containers"][0]["volumeMounts"]
        if each["mountPath"] == str(token.parent)
    ]
    assert mount["readOnly"] is True
    (volume,) = [each for each in pod["volumes"] if each["name"] == mount["name"]]
    assert volume["secret"]["secretName"] == "pcc-receiver"
    assert volume["secret"]["items"] == [{"key": token.name, "path": token.name}]
    assert Path(given(objects[OVERLAY])["PCC_EVENTS_TOKEN_FILE"]).name == token.name


def test_the_daemon_gets_to_the_receivers(
    daemon: list[Object], objects: Mapping[str, list[Object]]
) -> None:
    """Its policy lets it out to the receivers' port, and theirs lets it in."""
    rule = one(daemon, "NetworkPolicy")["spec"]["egress"][-1]
    (peer,) = rule["to"]
    wanted = {each["key"]: each["values"] for each in peer["podSelector"]["matchExpressions"]}
    (labels,) = [labels for kind, _, labels in pods(objects[OVERLAY]) if kind == "StatefulSet"]
    assert all(labels[key] in values for key, values in wanted.items())
    assert rule["ports"] == [{"port": 8081, "protocol": "TCP"}]
    own = one(daemon, "Deployment")["spec"]["template"]["metadata"]["labels"]
    (into,) = one_named(objects[OVERLAY], "NetworkPolicy", "pcc-receiver")["spec"]["ingress"]
    (expression,) = into["from"][1]["podSelector"]["matchExpressions"]
    assert own[expression["key"]] in expression["values"]


def test_every_file_is_used() -> None:
    """Each file of the receiver's folders is named by the kustomization beside it."""
    for name in ("receiver", OVERLAY, "components/receiver-monitoring", "components/events"):
        folder = DEPLOY / "kubernetes" / name
        text = (folder / "kustomization.yaml").read_text(encoding="utf-8")
        for path in folder.iterdir():
            assert path.name == "kustomization.yaml" or path.name in text, path
