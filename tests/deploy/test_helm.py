"""deploy/helm: what the chart takes and refuses, and that each object is one that Kubernetes takes."""

from __future__ import annotations

import gzip
import json
import re
import shlex
import tarfile
from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

import reconciler
import release
from chart import CHART, documented, settings, table
from documents import ROOT
from helmed import IMAGE, Helm, Refused, helm
from kustomized import CUSTOM, SAFE, SCHEMAS, Object, one
from reconciler.runtime import settings as program
from reconciler.runtime.receiver_settings import ReceiverSettings
from reconciler.runtime.settings import Settings

pytestmark = pytest.mark.system

GIT = {"from": "git", "git": {"url": "ssh://git@git.example.com/fleet/devices.git"}}
HTTPS = {"from": "git", "git": {"url": "https://git.example.com/fleet/devices.git"}}
SEVERAL: dict[str, Any] = {"replicas": 2, "postgres": {"enabled": True}}
LARGEST_SECRET = 1024 * 1024
"""Bytes of a Secret; Helm keeps each release in one."""
GATEWAY = CUSTOM | {"HTTPRoute"}
"""Kinds that Kubernetes has no schema of."""
EVERYTHING: dict[str, Any] = {
    "commonLabels": {"team": "facilities"},
    "commonAnnotations": {"contact": "facilities@example.com"},
    "image": {
        "repository": IMAGE,
        "digest": f"sha256:{'0' * 64}",
        "pullPolicy": "Always",
        "pullSecrets": ["registry"],
    },
    "persistence": {"storageClass": "fast"},
    "webhook": {
        "enabled": True,
        "ingress": {"annotations": {"a": "b"}},
        "httpRoute": {"enabled": True, "annotations": {"a": "b"}},
    },
    "events": {"enabled": True},
    "podMonitor": {"enabled": True, "labels": {"release": "kube-prometheus-stack"}},
    "rules": {"enabled": True, "labels": {"release": "kube-prometheus-stack"}},
    "dashboards": {"enabled": True},
    "metrics": {"port": 9090},
    "networkPolicy": {
        "extraIngress": [{"from": [{"podSelector": {"matchLabels": {"a": "b"}}}]}],
        "extraEgress": [{"to": [{"ipBlock": {"cidr": "10.1.2.3/32"}}]}],
    },
    "service": {"annotations": {"a": "b"}},
    "nodeSelector": {"disk": "fast"},
    "affinity": {"nodeAffinity": {}},
    "topologySpreadConstraints": [
        {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}
    ],
    "priorityClassName": "important",
    "podLabels": {"team": "facilities"},
    "podAnnotations": {"a": "b"},
    "deploymentAnnotations": {"a": "b"},
    "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy.example.com:3128"}],
    "extraVolumes": [{"name": "certificates", "configMap": {"name": "certificates"}}],
    "extraVolumeMounts": [{"name": "certificates", "mountPath": "/etc/certificates"}],
    "extraContainers": [{"name": "beside", "image": "beside"}],
    "initContainers": [{"name": "before", "image": "before"}],
    "extraObjects": [
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "{{ .Release.Name }}-more"}}
    ],
    "receiver": {
        "enabled": True,
        "httpRoute": {"enabled": True, "annotations": {"a": "b"}},
        "spool": {"storageClass": "-"},
        "metrics": {"port": 9091},
        "networkPolicy": {
            "extraIngress": [{"from": [{"podSelector": {}}]}],
            "extraEgress": [{"to": [{"podSelector": {}}]}],
        },
        "tolerations": [{"operator": "Exists"}],
        "nodeSelector": {"disk": "fast"},
        "affinity": {"nodeAffinity": {}},
        "priorityClassName": "important",
        "podLabels": {"team": "facilities"},
        "podAnnotations": {"a": "b"},
        "extraEnv": [{"name": "A", "value": "b"}],
        "extraVolumes": [{"name": "more", "emptyDir": {}}],
        "extraVolumeMounts": [{"name": "more", "mountPath": "/more"}],
    },
}
CHOICES: dict[str, dict[str, Any]] = {
    "as it comes": {},
    "everything": EVERYTHING,
    "everything on OpenShift": EVERYTHING | {"openshift": True},
    "everything, several daemons": EVERYTHING | SEVERAL | {"source": GIT},
    "the receiver alone": {"daemon": {"enabled": False}, "receiver": {"enabled": True}},
    "git over https, no volume": {"source": HTTPS, "persistence": {"enabled": False}},
}


@pytest.fixture(scope="module")
def engine() -> Iterator[Helm]:
    """Give Helm."""
    with helm() as started:
        yield started


def pod(objects: list[Object]) -> Object:
    """Return what the Deployment says of its pod."""
    said: Object = one(objects, "Deployment")["spec"]["template"]["spec"]
    return said


def given(objects: list[Object]) -> dict[str, str]:
    """Return the settings that the daemon finds in its environment."""
    said: dict[str, str] = one(objects, "ConfigMap", "pcc-reconciler-settings")["data"]
    return said


@pytest.fixture(scope="module")
def different(engine: Helm) -> list[Object]:
    """Give each object of all choices once."""
    found = {}
    for values in CHOICES.values():
        for each in engine.objects(values) + engine.tests(values):
            found[json.dumps(each, sort_keys=True)] = each
    return list(found.values())


@pytest.mark.parametrize("version", SCHEMAS)
def test_every_object_is_valid(different: list[Object], version: str) -> None:
    """Each object of each choice is valid by the schemas of three recent versions, unknown keys forbidden."""
    of_kubernetes = [each for each in different if each["kind"] not in GATEWAY]
    assert len(of_kubernetes) > len(CHOICES)
    for each in of_kubernetes:
        assert kubernetes_validate.validate(each, version, strict=True) == version


def test_every_switch_is_among_the_choices(engine: Helm) -> None:
    """The choice of everything renders each kind that the chart knows."""
    kinds = {each["kind"] for each in engine.objects(EVERYTHING | SEVERAL)}
    kinds |= {each["kind"] for each in engine.tests({})}
    written = " ".join(file.read_text(encoding="utf-8") for file in CHART.rglob("templates/*.yaml"))
    assert (
        set(re.findall(r"^kind: (\w+)", written, flags=re.MULTILINE)) - {"PersistentVolumeClaim"}
        <= kinds
    )


@pytest.mark.parametrize("choice", CHOICES)
def test_helm_finds_no_fault(engine: Helm, choice: str) -> None:
    """``helm lint --strict`` has nothing to say but that a picture would be nice."""
    values = {"image": {"repository": IMAGE}} | CHOICES[choice]
    found = engine.ask(do="lint", chart=str(CHART), values=values)
    assert {each["error"] for each in found} <= {"icon is recommended"}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"image": {"repository": ""}}, "image.repository is not set"),
        ({"image": {"repository": "ghcr.io/OWNER/a"}}, "image.repository is not set"),
        ({"replicas": 2}, "several daemons need their state in a PostgreSQL"),
        ({"source": {"from": "git"}}, "source.git.url is not set"),
        ({"source": {"from": "configMap"}}, "source.configMap is not set"),
        ({"source": {"inline": ""}}, "source.inline is empty"),
        ({"daemon": {"enabled": False}}, "nothing is left to install"),
        (
            {"webhook": {"enabled": True, "ingress": {"enabled": False}}},
            "enable webhook.ingress or webhook.httpRoute",
        ),
        ({"settings": {"PCC_INTERVALL": "5m"}}, "PCC_INTERVALL"),
        ({"settings": {"PCC_SERVICE_KEY": "a secret"}}, "PCC_SERVICE_KEY"),
        ({"settings": {"PCC_LISTEN": ":9000"}}, "PCC_LISTEN"),
        ({"receiver": {"settings": {"PCC_RECEIVE_BASIC": "a:b"}}}, "PCC_RECEIVE_BASIC"),
        ({"replica": 2}, "replica"),
        ({"image": {"tag": 1.0}}, "tag"),
        ({"source": {"from": "ftp"}}, "from"),
    ],
)
def test_what_cannot_be_right_is_refused(engine: Helm, values: dict[str, Any], words: str) -> None:
    """A mistake ends the command with words that name it, before anything reaches the cluster."""
    with pytest.raises(Refused, match=re.escape(words)):
        engine.objects(values)


def test_values_and_schema_are_of_one_mind() -> None:
    """Each value of values.yaml is explained, or lies in one that is."""
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    explained = {each.path for each in documented()}

    def unexplained(path: str, said: Any) -> Iterator[str]:
        if path in explained:
            return
        if not isinstance(said, dict) or not said:
            yield path
        else:
            for key, inner in said.items():
                yield from unexplained(f"{path}.{key}".lstrip("."), inner)

    assert not list(unexplained("", values))
    assert all(each.meaning[0] not in "a-z" for each in documented())
    assert len(table()) == len(explained) + 2


def test_the_chart_is_of_this_version() -> None:
    """Chart and image have the version of the program."""
    said = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert said["version"] == said["appVersion"] == reconciler.__version__


def test_the_chart_can_be_packed(engine: Helm, tmp_path: Path) -> None:
    """The archive holds schema, rules and dashboards, and its name has the version."""
    archive = Path(engine.ask(do="package", chart=str(CHART), folder=str(tmp_path)))
    assert archive.name == f"pcc-reconciler-{reconciler.__version__}.tgz"
    with tarfile.open(archive) as packed:
        names = set(packed.getnames())
    files = {
        f"pcc-reconciler/{file.relative_to(CHART)}" for file in CHART.rglob("*") if file.is_file()
    }
    assert names == files


def test_the_archive_of_a_release_is_the_chart(engine: Helm, tmp_path: Path) -> None:
    """What the release publishes renders to the same objects as the folder."""
    archive = release.chart(tmp_path)
    assert engine.texts(EVERYTHING, chart=archive) == engine.texts(EVERYTHING)


def test_the_program_takes_the_settings(engine: Helm, tmp_path: Path) -> None:
    """The daemon and the receiver take what the chart gives them, once the secrets are there."""
    (tmp_path / "secret").write_text("a-secret-of-a-test\n")
    for values in (EVERYTHING, EVERYTHING | SEVERAL | {"source": GIT}):
        objects = engine.objects(values)
        in_place = {
            key: str(tmp_path / "secret") if key.endswith("_FILE") else value
            for key, value in given(objects).items()
        }
        chosen = program.load({"HOME": "/home/someone"} | in_place)
        assert chosen.mode.value == "observe"
        assert chosen.country == "KR"
        found = one(objects, "ConfigMap", "pcc-receiver-settings")["data"]
        known = {f"PCC_{name.upper()}" for name in ReceiverSettings.model_fields}
        assert found.keys() <= known


@pytest.mark.parametrize(
    ("value", "text"),
    [(1000000, "1000000"), (12, "12"), (0.5, "0.5"), (True, "true"), ("5m", "5m"), ("", "")],
)
def test_settings_keep_their_form(engine: Helm, value: Any, text: str) -> None:
    """A number in the values reaches the daemon as it was written."""
    values = {"settings": {"PCC_CONCURRENCY": value}}
    assert given(engine.objects(values))["PCC_CONCURRENCY"] == text


def test_a_changed_setting_restarts_and_a_changed_list_does_not(engine: Helm) -> None:
    """The checksum in the pod follows the settings, and nothing of the pod follows the list or the chart's version."""
    before = one(engine.objects({}), "Deployment")
    edited = one(
        engine.objects({"source": {"inline": "version = 1\ndevices = []\n"}}), "Deployment"
    )
    assert edited == before
    changed = one(engine.objects({"settings": {"PCC_COUNTRY": "DE"}}), "Deployment")
    assert changed["spec"]["template"] != before["spec"]["template"]
    assert reconciler.__version__ not in json.dumps(before["spec"]["template"]["metadata"])


def test_no_secret_is_in_the_values(engine: Helm) -> None:
    """The chart makes no Secret, and the schema has no setting that holds one."""
    assert not [each for each in engine.objects({}) if each["kind"] == "Secret"]
    for process in (Settings, ReceiverSettings):
        names = settings(process, frozenset()).keys()
        held = {f"PCC_{name.upper()}" for name in process.secret_fields}
        assert held
        assert not held & names


def test_the_claim_outlives_the_release(engine: Helm) -> None:
    """Helm keeps the claim, unless that is asked for; an existing one can take its place."""
    claim = one(engine.objects({}), "PersistentVolumeClaim")
    assert claim["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    claim = one(engine.objects({"persistence": {"keep": False}}), "PersistentVolumeClaim")
    assert "helm.sh/resource-policy" not in claim["metadata"]["annotations"]
    objects = engine.objects({"persistence": {"existingClaim": "mine"}})
    assert not [each for each in objects if each["kind"] == "PersistentVolumeClaim"]
    (state,) = [each for each in pod(objects)["volumes"] if each["name"] == "state"]
    assert state["persistentVolumeClaim"]["claimName"] == "mine"


@pytest.mark.parametrize(
    ("named", "override", "names"),
    [
        ("pcc-reconciler", "", ("pcc-reconciler", "pcc-receiver", "events-receiver")),
        ("eu", "", ("eu-pcc-reconciler", "eu-pcc-receiver", "eu-events-receiver")),
        ("x", "fleet", ("fleet", "fleet-receiver", "fleet-events-receiver")),
    ],
)
def test_names_follow_the_release(
    engine: Helm, named: str, override: str, names: tuple[str, ...]
) -> None:
    """No two releases of a namespace share a name, and the parts of one share no name."""
    values = EVERYTHING | {"fullnameOverride": override}
    objects = engine.objects(values, named)
    daemon, receiver, service = names
    assert one(objects, "Deployment")["metadata"]["name"] == daemon
    assert one(objects, "StatefulSet")["metadata"]["name"] == receiver
    services = [each["metadata"]["name"] for each in objects if each["kind"] == "Service"]
    assert sorted(services) == sorted([daemon, service, f"{service}-pods"])
    whole = [(each["kind"], each["metadata"]["name"]) for each in objects]
    assert len(set(whole)) == len(whole)


def test_the_longest_release_has_names_that_kubernetes_takes(engine: Helm) -> None:
    """A release with 53 characters, as many as Helm allows, makes no name that is too long."""
    objects = engine.objects(EVERYTHING, "a" * 53)
    limits = {"Service": 63, "CronJob": 52, "StatefulSet": 52}
    for each in objects:
        assert len(each["metadata"]["name"]) <= limits.get(each["kind"], 253)


def test_the_pods_are_restricted(engine: Helm) -> None:
    """Every pod keeps to the restricted standard, also the one of ``helm test``; OpenShift gives its own numbers."""
    for openshift in (False, True):
        values = {"openshift": openshift, "receiver": {"enabled": True}}
        objects = engine.objects(values)
        job = one(objects, "CronJob")["spec"]["jobTemplate"]["spec"]["template"]["spec"]
        pods = [pod(objects), one(objects, "StatefulSet")["spec"]["template"]["spec"], job]
        for said in [*pods, one(engine.tests(values), "Pod")["spec"]]:
            numbers = {"runAsUser", "runAsGroup", "fsGroup"} & said["securityContext"].keys()
            assert bool(numbers) != openshift
            assert SAFE.items() <= said["securityContext"].items()
            (inside,) = said["containers"]
            assert inside["securityContext"]["readOnlyRootFilesystem"] is True
            assert inside["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            assert said["automountServiceAccountToken"] is False


@pytest.mark.parametrize("choice", ["as it comes", "everything", "everything, several daemons"])
def test_helm_test_is_the_doctor(engine: Helm, choice: str) -> None:
    """``helm test`` runs the doctor with the daemon's image, settings and files, and takes no call of the Service."""
    values = CHOICES[choice]
    objects, tests = engine.objects(values), engine.tests(values)
    said, daemon = one(tests, "Pod"), pod(objects)
    assert said["metadata"]["annotations"]["helm.sh/hook"] == "test"
    (doctor,), running = said["spec"]["containers"], daemon["containers"][0]
    assert doctor["args"] == ["doctor"]
    for key in ("image", "envFrom", "volumeMounts"):
        assert doctor[key] == running[key]
    assert doctor.get("env") == running.get("env")
    assert said["spec"]["volumes"] == daemon["volumes"]
    labels = said["metadata"]["labels"]
    selector = one(objects, "Service", "pcc-reconciler")["spec"]["selector"]
    assert not selector.items() <= labels.items()
    policy = one(tests, "NetworkPolicy")["spec"]
    assert policy["podSelector"]["matchLabels"].items() <= labels.items()
    own = one(objects, "NetworkPolicy", "pcc-reconciler")["spec"]
    assert policy["egress"] == own["egress"]


def test_git_over_https_needs_no_key(engine: Helm) -> None:
    """Over https no key is mounted, no ssh is let out, and the repository is in the settings."""
    objects = engine.objects({"source": HTTPS})
    assert given(objects)["PCC_GIT_URL"] == "https://git.example.com/fleet/devices.git"
    assert "git" not in {each["name"] for each in pod(objects)["volumes"]}
    egress = one(objects, "NetworkPolicy")["spec"]["egress"]
    assert 22 not in {port["port"] for rule in egress for port in rule["ports"]}


def test_an_existing_list_is_mounted(engine: Helm) -> None:
    """A ConfigMap of one's own takes the place of the chart's."""
    objects = engine.objects({"source": {"from": "configMap", "configMap": "fleet"}})
    (volume,) = [each for each in pod(objects)["volumes"] if each["name"] == "desired-state"]
    assert volume["configMap"] == {"name": "fleet"}
    names = [each["metadata"]["name"] for each in objects if each["kind"] == "ConfigMap"]
    assert names == ["pcc-reconciler-settings"]


def test_metrics_have_a_port_of_their_own(engine: Helm) -> None:
    """With metrics.port the daemon listens there, the PodMonitor asks there, and the policy lets it in."""
    objects = engine.objects({"metrics": {"port": 9090}, "podMonitor": {"enabled": True}})
    assert given(objects)["PCC_METRICS_LISTEN"] == ":9090"
    ports = {each["name"]: each["containerPort"] for each in pod(objects)["containers"][0]["ports"]}
    assert ports == {"http": 8080, "metrics": 9090}
    assert one(objects, "PodMonitor")["spec"]["podMetricsEndpoints"][0]["port"] == "metrics"
    (rule,) = one(objects, "NetworkPolicy")["spec"]["ingress"]
    assert [each["port"] for each in rule["ports"]] == ["http", "metrics"]


def test_a_release_with_the_name_of_the_receiver_holds_no_daemon(engine: Helm) -> None:
    """A daemon in the release pcc-receiver would have the receivers' job, so it is refused."""
    with pytest.raises(Refused, match="for the receiver alone"):
        engine.objects({"receiver": {"enabled": True}}, "pcc-receiver")


@pytest.mark.parametrize("named", ["pcc-reconciler", "eu"])
def test_daemon_and_receivers_have_a_job_each(engine: Helm, named: str) -> None:
    """In one release Prometheus tells the receivers from the daemon, and selects no pod twice."""
    values = {"podMonitor": {"enabled": True}, "receiver": {"enabled": True}}
    objects = engine.objects(values, named)
    pods = [
        one(objects, kind)["spec"]["template"]["metadata"]["labels"]
        for kind in ("Deployment", "StatefulSet")
    ]
    monitors = [each["spec"] for each in objects if each["kind"] == "PodMonitor"]
    jobs = []
    for monitor in monitors:
        selector = monitor["selector"]["matchLabels"]
        (labels,) = [each for each in pods if selector.items() <= each.items()]
        jobs.append(labels[monitor["jobLabel"]])
    assert len(set(jobs)) == len(monitors) == 2


def test_names_can_be_asked_elsewhere(engine: Helm) -> None:
    """Google's DNS is let through by its address, OpenShift's by its namespace and port."""
    google = {"networkPolicy": {"dnsAddresses": ["169.254.169.254/32"]}}
    rule = one(engine.objects(google), "NetworkPolicy")["spec"]["egress"][0]
    assert {"ipBlock": {"cidr": "169.254.169.254/32"}} in rule["to"]
    rule = one(engine.objects({"openshift": True}), "NetworkPolicy")["spec"]["egress"][0]
    names = [each["namespaceSelector"]["matchLabels"] for each in rule["to"]]
    assert names == [{"kubernetes.io/metadata.name": "openshift-dns"}]
    assert {each["port"] for each in rule["ports"]} == {5353}


def test_a_registry_with_a_password_and_a_class_of_volumes(engine: Helm) -> None:
    """Pull secrets reach every pod, and a class of volumes reaches the claim; "-" asks for no class."""
    values = {
        "image": {"repository": IMAGE, "pullSecrets": ["registry"]},
        "receiver": {"enabled": True},
    }
    objects = engine.objects(values)
    job = one(objects, "CronJob")["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    pods = [pod(objects), one(objects, "StatefulSet")["spec"]["template"]["spec"], job]
    for said in [*pods, one(engine.tests(values), "Pod")["spec"]]:
        assert said["imagePullSecrets"] == [{"name": "registry"}]
    for wanted, name in (("fast", "fast"), ("-", "")):
        claim = one(
            engine.objects({"persistence": {"storageClass": wanted}}), "PersistentVolumeClaim"
        )
        assert claim["spec"]["storageClassName"] == name
    assert "storageClassName" not in one(engine.objects({}), "PersistentVolumeClaim")["spec"]


def test_prometheus_gets_its_labels(engine: Helm) -> None:
    """The labels that kube-prometheus-stack asks for are on both objects, and the notes say when they are missing."""
    labels = {"release": "kube-prometheus-stack"}
    on = {"enabled": True, "labels": labels}
    objects = engine.objects({"podMonitor": on, "rules": on})
    for kind in ("PodMonitor", "PrometheusRule"):
        assert labels.items() <= one(objects, kind)["metadata"]["labels"].items()
    assert "kube-prometheus-stack" in engine.notes({"podMonitor": {"enabled": True}})
    assert "kube-prometheus-stack" not in engine.notes({"podMonitor": on})


def test_the_notes_say_what_to_do_next(engine: Helm) -> None:
    """The notes name the Secrets by the names that the pods wait for, and every command is whole."""
    values = SEVERAL | {"source": GIT, "receiver": {"enabled": True}}
    notes, objects = engine.notes(values, "eu"), engine.objects(values, "eu")
    waits = {
        each["secret"]["secretName"]
        for spec in (pod(objects), one(objects, "StatefulSet")["spec"]["template"]["spec"])
        for each in spec["volumes"]
        if "secret" in each
    }
    assert set(re.findall(r"create secret generic (\S+)", notes)) == waits
    lines = notes.splitlines()
    for line, following in pairwise(lines):
        assert not line.endswith("\\") or following.strip().startswith("--from-file=")
    assert "helm test eu --namespace pcc-reconciler --logs" in notes
    assert "observe mode. It changes nothing at LG." in notes
    enforcing = engine.notes({"settings": {"PCC_MODE": "enforce"}})
    assert "observe" not in enforcing


def commands(document: Path) -> list[list[str]]:
    """Return the words of each command of a document that installs or upgrades a release."""
    text = document.read_text(encoding="utf-8").replace("\\\n", " ")
    lines = re.findall(r"^helm (?:install|upgrade) .*$", text, flags=re.MULTILINE)
    return [shlex.split(line, comments=True) for line in lines]


def chosen(engine: Helm, words: list[str]) -> dict[str, Any]:
    """Return the values that a command gives; a file is given as its name."""
    found: dict[str, Any] = {}
    for option, value in pairwise(words):
        if option in {"--set", "--set-file"}:
            engine.merge(found, value)
        assert option != "--set-file" or "=" in value
    return found


def test_the_commands_of_the_documents_render() -> None:
    """Each command of the documents that installs the chart gives it values that it takes."""
    documents = [ROOT / "README.md", *ROOT.glob("docs/*.md"), CHART / "README.md"]
    seen = [words for document in documents for words in commands(document)]
    assert seen
    with helm() as engine:
        for words in seen:
            assert words[3].startswith(("deploy/helm", "oci://")), words
            assert engine.objects(chosen(engine, words), words[2])


@pytest.mark.parametrize(
    ("line", "devices", "words"),
    [
        ('  "{id}",\n', 8000, "8,000 ids"),
        (
            '  {{ id = "{id}", name = "Room {n} fridge", type = "refrigerator" }},\n',
            7000,
            "7,000 devices with names",
        ),
    ],
)
def test_a_large_list_fits_into_a_release(
    engine: Helm, line: str, devices: int, words: str
) -> None:
    """What docs/kubernetes.md promises of the list in a release fits, with everything else that a release keeps."""
    listed = "".join(
        line.format(id=sha256(str(n).encode()).hexdigest(), n=n) for n in range(devices)
    )
    values = EVERYTHING | {"source": {"inline": f"version = 1\ndevices = [\n{listed}]\n"}}
    assert words in (ROOT / "docs" / "kubernetes.md").read_text(encoding="utf-8")
    assert len(kept(values, engine.texts(values))) < LARGEST_SECRET


def kept(values: dict[str, Any], texts: dict[str, str]) -> bytes:
    """Return what Helm keeps of a release in a Secret: the chart, the values and the objects, packed."""
    chart = {
        str(file.relative_to(CHART)): b64encode(file.read_bytes()).decode()
        for file in CHART.rglob("*")
        if file.is_file()
    }
    release = {"chart": chart, "config": values, "manifest": "".join(texts.values())}
    return b64encode(gzip.compress(json.dumps(release).encode()))
