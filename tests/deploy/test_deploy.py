"""The image, the Compose file and the systemd unit, as far as they can be tried without a container engine."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from asyncio.subprocess import PIPE
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from compose_spec import PyCompose

from image import DOCKERFILE, instructions, let_in, stages
from manifests import DEPLOY, PLAYED, played
from reconciler.runtime import settings
from reconciler.runtime.receiver_settings import ReceiverSettings
from reconciler.runtime.setting_values import Mode
from reconciler.runtime.settings import Settings
from reconciler.simulator import Route, create_app, serving
from scenarios import ConfigMap, child_environment, eventually, fleet, owned, site, text

ROOT = DEPLOY.parent
COMPOSE = DEPLOY / "compose" / "compose.yaml"
UNIT = DEPLOY / "systemd" / "pcc-reconciler.service"
SERVICES = sorted(path for path in UNIT.parent.iterdir() if path.suffix != ".env")
PROGRAM = "/opt/pcc-reconciler/bin/pcc-reconciler"
KNOWN = {f"PCC_{name.upper()}" for name in (*Settings.model_fields, *ReceiverSettings.model_fields)}
EXPOSURE = 1.5
"""systemd 252 says 1.1; other versions weigh a little differently. An unhardened unit has 9.6."""

Part = dict[str, Any]


def test_hadolint_finds_nothing() -> None:
    """Not one rule of hadolint is broken, down to those of style, and none is turned off."""
    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    assert hadolint is not None, "hadolint is not beside this Python: run make test-all"
    done = subprocess.run(  # noqa: S603 - ours
        [hadolint, "--no-color", str(DOCKERFILE)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert "hadolint ignore" not in DOCKERFILE.read_text(encoding="utf-8")


def test_every_stage_begins_with_one_pinned_image() -> None:
    """Both stages stand on the same image, of a minor version of Python and a release of Debian, and take a digest."""
    given = dict(rest.split("=", 1) for word, rest in instructions()[:2] if word == "ARG")
    assert re.fullmatch(r"3\.\d+-slim-[a-z]+", given["PYTHON"])
    assert given["DIGEST"] == ""
    assert [stage[0][1].split(" AS ")[0] for stage in stages()] == ["python:${PYTHON}${DIGEST}"] * 2


def test_only_locked_packages_get_in() -> None:
    """Each pip install takes hashed packages only, or nothing but what was just built."""
    commands = [part for word, rest in instructions() if word == "RUN" for part in rest.split("&&")]
    installs = [part.split() for part in commands if " install " in part and "pip" in part]
    assert len(installs) == 3
    for words in installs:
        assert "--require-hashes" in words or {"--no-deps", "--no-index"} <= set(words)


def test_nothing_but_the_package_reaches_the_build() -> None:
    """Every file that the Dockerfile copies is let in, and no secret, history or test is."""
    for word, rest in instructions():
        if word == "COPY" and not rest.startswith("--from"):
            *sources, _ = rest.split()
            for source in sources:
                assert (ROOT / source).exists()
                assert let_in(source.rstrip("/")), source
    for outside in (
        ".git/config",
        "pcc.env",
        "tests/conftest.py",
        ".venv/bin/python",
        "deploy/docker/Dockerfile",
        ".env",
    ):
        assert not let_in(outside), outside
    assert let_in("reconciler/api/static/style.css")
    assert not let_in("reconciler/api/__pycache__/app.cpython-313.pyc")


def test_the_image_runs_as_nobody_in_particular() -> None:
    """The last word on the user is a number, the entry point is no shell, and the health check needs no curl."""
    last = dict(stages()[-1])
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", last["USER"])
    assert json.loads(last["ENTRYPOINT"]) == ["tini", "--", "pcc-reconciler"]
    assert json.loads(last["CMD"]) == ["run"]
    command = json.loads(last["HEALTHCHECK"].partition("CMD ")[2])
    assert command[0] == "python"
    assert f"COPY deploy/docker/health.py {command[-1]}" in DOCKERFILE.read_text(encoding="utf-8")
    said = {rest for word, rest in stages()[-1] if word == "LABEL"}.pop()
    assert set(re.findall(r"org\.opencontainers\.image\.(\w+)=", said)) == {
        *("title", "description", "licenses", "version", "revision", "source"),
    }


def test_the_image_sets_what_the_daemon_knows() -> None:
    """What the image sets of settings are settings, and the state lies on its volume."""
    last = stages()[-1]
    given = dict(
        re.findall(r"(PCC_\w+)=(\S+)", " ".join(rest for word, rest in last if word == "ENV"))
    )
    assert given.keys() <= KNOWN
    assert dict(last)["VOLUME"] == given["PCC_STATE_DIR"]
    assert Path(given["PCC_EVENTS_DIR"]).is_relative_to(given["PCC_STATE_DIR"])
    ports = [given[name].rpartition(":")[2] for name in ("PCC_LISTEN", "PCC_RECEIVE_LISTEN")]
    assert dict(last)["EXPOSE"].split() == ports


async def test_the_health_check_tells_the_daemons_health(tmp_path: Path) -> None:
    """It ends with 0 while the daemon is alive, with 1 when nothing answers, and no proxy can come between."""
    platform = fleet(2)
    (tmp_path / "desired-state.toml").write_text(text(owned(platform)))

    async def asked(listen: str) -> tuple[int | None, str]:
        given = child_environment(
            {"PCC_LISTEN": listen, "http_proxy": "http://127.0.0.1:1", "NO_PROXY": ""}
        )
        script = str(DEPLOY / "docker" / "health.py")
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-I", script, env=given, stdout=PIPE
        )
        out, _ = await child.communicate()
        return child.returncode, out.decode()

    async with site(tmp_path, platform) as one:
        port = one.http.base_url.port
        assert await asked(f"0.0.0.0:{port}") == (0, "live\n")
        assert await asked(f"127.0.0.1:{port}") == (0, "live\n")
    code, said = await asked(f"0.0.0.0:{port}")
    assert code == 1
    assert said.startswith("nothing answers")


def compose() -> Part:
    """Return the Compose file."""
    said: Part = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))
    return said


def mounts(service: Part) -> dict[str, str]:
    """Return what a service mounts: the source of each path inside."""
    return {each.split(":")[1]: each.split(":")[0] for each in service.get("volumes", [])}


def test_the_compose_file_is_one() -> None:
    """It keeps to the Compose specification, in which a key that nobody knows is an error."""
    PyCompose.from_json(json.dumps(compose()))
    wrong = compose()
    wrong["services"]["simulator"]["read_onyl"] = True
    with pytest.raises(ValueError, match="read_onyl"):
        PyCompose.from_json(json.dumps(wrong))


def test_compose_shows_everything_and_only_here() -> None:
    """Simulator, daemon, receiver, Prometheus and Grafana are there; what is published is on loopback."""
    services = compose()["services"]
    assert set(services) == {"simulator", "pcc-reconciler", "receiver", "prometheus", "grafana"}
    published = [port for each in services.values() for port in each.get("ports", [])]
    assert len(published) == 4
    assert all(port.startswith("127.0.0.1:") for port in published)
    assert not [
        each
        for each in services.values()
        if each.get("privileged") or each.get("network_mode") == "host"
    ]
    for each in services.values():
        assert each["cap_drop"] == ["ALL"]
        assert each["security_opt"] == ["no-new-privileges:true"]
        assert re.search(r":(?!latest)\S+$", each["image"])


def test_compose_mounts_what_is_there() -> None:
    """Each mounted file and folder exists and is read-only, and each named volume is declared."""
    for service in compose()["services"].values():
        for each in service.get("volumes", []):
            source, _, options = each.split(":")[0], each.split(":")[1], each.split(":")[2:]
            if source.startswith("."):
                assert (COMPOSE.parent / source).exists(), source
                assert options == ["ro"]
            else:
                assert source in compose()["volumes"]


def test_the_daemon_of_compose_knows_its_simulator(tmp_path: Path) -> None:
    """Simulator and daemon agree: the made-up credentials, the address in the shared network, a valid file."""
    services = compose()["services"]
    command = services["simulator"]["command"]
    options = dict(zip(command[1::2], command[2::2], strict=True))
    assert options == {
        "--devices": str(PLAYED.devices),
        "--subscribed": str(PLAYED.subscribed),
        "--latency": str(PLAYED.latency),
        "--callback": PLAYED.callback,
        "--callback-basic": PLAYED.callback_basic,
        "--events-per-hour": str(PLAYED.events_per_hour),
    }
    daemon = services["pcc-reconciler"]
    given = daemon["environment"]
    world = played().world
    assert (
        given.items()
        >= {
            "PCC_BASE_URL": f"http://{PLAYED.listen}",
            "PCC_SERVICE_ID": world.service.id,
            "PCC_SERVICE_KEY": world.service.key,
            "PCC_CLIENT_ID": world.service.client_id,
            "PCC_BACKEND_URL": world.service.backend_url,
            "PCC_REFRESH_TOKEN": world.user("default").refresh_token,
        }.items()
    )
    assert daemon["network_mode"] == "service:simulator"
    assert settings.load(given | {"PCC_STATE_DIR": str(tmp_path)}).mode is Mode.ENFORCE
    assert mounts(daemon)[given["PCC_DESIRED_STATE"]] == "./desired-state"
    assert mounts(daemon)["/var/lib/pcc-reconciler"] == "state"


async def test_the_fleet_of_compose_comes_into_sync(tmp_path: Path) -> None:
    """With the text and credentials of the Compose file, a daemon brings the simulated fleet into sync."""
    given = dict(compose()["services"]["pcc-reconciler"]["environment"])
    platform = played()
    for address in ("PCC_BASE_URL", "PCC_TOKEN_URL", "PCC_DESIRED_STATE"):
        del given[address]
    given["PCC_DESIRED_STATE"] = str(DEPLOY / "compose" / "desired-state")
    async with site(tmp_path, platform, **given) as one:
        await one.has(
            device.id
            for device in platform.world.user("default").devices.values()
            if device.type in platform.options.pcc_types
        )
        assert not one.told("desired.rejected")


async def test_the_commands_of_compose_do_what_they_say() -> None:
    """The command at the top of the Compose file that loses subscriptions loses them, and the health check answers."""
    comment = " ".join(
        re.findall(r"^#(.*)$", COMPOSE.read_text(encoding="utf-8"), re.MULTILINE)
    ).replace(" \\ ", " ")
    found = re.search(r"exec simulator (python -c +'[^']+')", comment)
    assert found is not None
    platform = played()
    before = len(platform.subscribed("default"))
    async with serving(create_app(platform)) as address:
        for command in (
            shlex.split(found[1]),
            compose()["services"]["simulator"]["healthcheck"]["test"][1:],
        ):
            script = command[-1].replace(f"http://{PLAYED.listen}", address)
            assert script != command[-1]
            child = await asyncio.create_subprocess_exec(sys.executable, "-c", script)
            assert await child.wait() == 0
    assert len(platform.subscribed("default")) == before - 3


def test_prometheus_of_compose_scrapes_both_processes() -> None:
    """The targets are the name that both have in the network, at the ports of the image; the rules are mounted."""
    services = compose()["services"]
    said = yaml.safe_load((COMPOSE.parent / "prometheus.yml").read_text(encoding="utf-8"))
    scraped = {each["job_name"]: each["static_configs"] for each in said["scrape_configs"]}
    assert set(scraped) == {"pcc-reconciler", "pcc-receiver"}
    for job, setting in (("pcc-reconciler", "PCC_LISTEN"), ("pcc-receiver", "PCC_RECEIVE_LISTEN")):
        ((target,),) = [each["targets"] for each in scraped[job]]
        host, _, port = target.partition(":")
        assert host in services["simulator"]["networks"]["default"]["aliases"]
        assert f"{setting}=:{port}" in DOCKERFILE.read_text(encoding="utf-8")
    inside = mounts(services["prometheus"])
    assert inside["/etc/prometheus/prometheus.yml"] == "./prometheus.yml"
    assert said["rule_files"] == ["rules.yml"]
    assert inside["/etc/prometheus/rules.yml"] == "../prometheus/rules.yml"


@pytest.mark.system
def test_promtool_takes_the_configuration(tmp_path: Path) -> None:
    """Promtool finds nothing wrong with the configuration, the rules beside it as in the container."""
    shutil.copy(COMPOSE.parent / "prometheus.yml", tmp_path)
    shutil.copy(DEPLOY / "prometheus" / "rules.yml", tmp_path)
    command = ["promtool", "check", "config", "--lint-fatal", str(tmp_path / "prometheus.yml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - ours
    assert done.returncode == 0, done.stderr


def test_grafana_of_compose_has_the_dashboards() -> None:
    """What the provisioning files expect is there: the dashboards' folder, and Prometheus under its name."""
    services = compose()["services"]
    inside = mounts(services["grafana"])
    provisioning = COMPOSE.parent / inside["/etc/grafana/provisioning"]
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "pcc-reconciler.yaml").read_text())[
        "providers"
    ]
    dashboards = COMPOSE.parent / inside[provider["options"]["path"]]
    assert list(dashboards.glob("*.json"))
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yaml").read_text())[
        "datasources"
    ]
    assert source["url"] == "http://prometheus:9090"
    home = services["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert (dashboards / Path(home).name).is_file()


OFFERED = re.compile(r"#(?=(?:LoadCredential|Environment|PCC_\w+)=)")
"""Before a line that has no effect until an operator takes this away."""


def lines_of(file: Path, *, offered: bool) -> Iterator[tuple[str, str]]:
    """Give each setting of a file, and those that it offers."""
    for line in file.read_text(encoding="utf-8").splitlines():
        shown = OFFERED.sub("", line) if offered else line
        if shown and shown[0] not in "#[":
            name, _, value = shown.partition("=")
            yield name, value


@pytest.mark.parametrize("offered", [False, True], ids=["as it is", "with all that it offers"])
def test_the_unit_gives_settings_that_the_daemon_takes(tmp_path: Path, *, offered: bool) -> None:
    """The unit's variables and those of its sample file are settings; each credential that it names is handed over."""
    unit = [*lines_of(UNIT, offered=offered)]
    credentials = dict(value.split(":") for name, value in unit if name == "LoadCredential")
    for name in credentials:
        (tmp_path / name).write_text("a-secret-of-a-test\n")
    given = dict(lines_of(UNIT.parent / "pcc.env", offered=offered))
    for name, value in unit:
        if name == "Environment":
            key, _, inside = value.partition("=")
            given[key] = inside.replace("%S", "/var/lib").replace("%d", str(tmp_path))
    chosen = settings.load(
        {name: value for name, value in given.items() if name.startswith("PCC_")}
    )
    assert chosen.mode is Mode.OBSERVE
    assert (chosen.read_token_reader() is None) is not offered
    assert (chosen.listen_token_reader() is None) is not offered
    assert {Path(value).name for name, value in given.items() if name.endswith("_FILE")} == set(
        credentials
    )
    assert all(
        path.startswith("/etc/pcc-reconciler/pcc/credentials/") for path in credentials.values()
    )
    named = dict(unit)
    assert str(chosen.state_dir) == f"/var/lib/{named['StateDirectory']}"
    assert int(named["TimeoutStopSec"].rstrip("s")) >= chosen.shutdown_grace.total_seconds() + 10


@pytest.mark.system
@pytest.mark.parametrize("unit", SERVICES, ids=lambda path: path.name)
def test_systemd_finds_nothing_wrong(tmp_path: Path, unit: Path) -> None:
    """systemd-analyze verify has nothing to say, once the program is where the unit expects one."""
    for each in (UNIT.parent).iterdir():
        text = each.read_text(encoding="utf-8")
        text = text.replace(PROGRAM, shutil.which("true") or "")
        (tmp_path / each.name).write_text(text, encoding="utf-8")
    done = subprocess.run(  # noqa: S603 - ours
        ["systemd-analyze", "verify", str(tmp_path / unit.name)],  # noqa: S607 - ours
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.system
@pytest.mark.parametrize(
    "unit", [path for path in SERVICES if path.suffix == ".service"], ids=lambda path: path.name
)
def test_the_unit_is_hardened(unit: Path) -> None:
    """Systemd's own measure of what the service could do if it turned bad stays low."""
    command = [
        "systemd-analyze",
        "security",
        "--offline=true",
        f"--threshold={EXPOSURE * 10:.0f}",
        str(unit),
    ]
    given = {**os.environ, "LC_ALL": "C.UTF-8"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=given)  # noqa: S603 - ours
    figure = re.search(rf"Overall exposure level for {re.escape(unit.name)}: ([\d.]+)", done.stdout)
    assert figure is not None, done.stdout + done.stderr
    assert float(figure[1]) <= EXPOSURE
    assert done.returncode == 0


async def test_what_kubernetes_swaps_takes_effect_without_a_restart(tmp_path: Path) -> None:
    """A rotated token and a changed text, each swapped in as the kubelet does it, are used, and no pass fails."""
    platform = fleet(30)
    wanted = owned(platform)
    old = platform.issue_token("default")
    secret = ConfigMap(tmp_path / "accounts", {"default.access_token": old})
    texts = ConfigMap(tmp_path / "texts", {"desired-state.toml": text(wanted[:20])})
    given = {
        "PCC_CREDENTIALS_DIR": str(tmp_path / "accounts"),
        "PCC_DESIRED_STATE": str(tmp_path / "texts"),
        "PCC_INTERVAL": "1s",
        "PCC_REFRESH_TOKEN": "",
    }
    async with site(tmp_path, platform, **given) as one:
        await one.has(wanted[:20])
        new = platform.issue_token("default")
        secret.swap({"default.access_token": new})

        def used() -> str:
            return one.calls(Route.LIST)[-1].headers["authorization"]

        await eventually(lambda: used() == f"Bearer {new}", "the new token in use")
        await one.passes(2)
        texts.swap({"desired-state.toml": text(wanted)})
        await one.has(wanted)
        await one.passes(2)
        sent = [call.headers["authorization"] for call in platform.requests]
        switch = sent.index(f"Bearer {new}")
        assert set(sent[:switch]) == {f"Bearer {old}"}
        assert set(sent[switch:]) == {f"Bearer {new}"}
        assert {call.status for call in platform.requests} == {200}
        assert 'pcc_passes_total{account="default",result="failed"} 0.0' in await one.metrics()
        assert len(one.told("daemon.started")) == 1
        assert not one.told("account.stopped")
        assert not one.told("desired.rejected")


INSTALLS = ("README.md", "docs/host.md", "deploy/systemd/pcc-reconciler.service")


@pytest.mark.parametrize("path", INSTALLS)
def test_documents_install_nothing_that_is_not_pinned(path: str) -> None:
    """Each command with pip takes hashed packages only, or ours without fetching a build backend."""
    lines = (ROOT / path).read_text(encoding="utf-8").splitlines()
    commands = [
        line.strip("# ") for line in lines if re.match(r"#? *(\S*/)?pip (install|wheel) ", line)
    ]
    assert commands
    for command in commands:
        hashed = "--require-hashes" in command and "--only-binary :all:" in command
        ours = "--no-deps" in command and (
            "--no-build-isolation" in command or "--no-index" in command
        )
        assert hashed or ours, command


def test_root_builds_nothing() -> None:
    """What runs as root on a host is pip with wheels, never a build backend."""
    for path in ("docs/host.md", "deploy/systemd/pcc-reconciler.service"):
        for line in (ROOT / path).read_text(encoding="utf-8").splitlines():
            if "/opt/pcc-reconciler/bin/pip" in line:
                assert "--only-binary :all:" in line or ("--no-index" in line and ".whl" in line)
