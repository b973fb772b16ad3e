"""What deploy/ holds that is made from something else. `make docs` writes it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from chart import CHART, readme, schema
from dashboards import dashboards
from reconciler import desired
from reconciler.core.model import DEFAULT_ACCOUNT, Desired, Device, DeviceId, DeviceType
from reconciler.runtime.demo_events import EVENTS_FILE, LOG_ONLY, logic_files
from reconciler.simulator import Platform, SimulatorOptions, build

DEPLOY = Path(__file__).parent.parent / "deploy"
RULES = DEPLOY / "prometheus" / "rules.yml"
PLAYED = SimulatorOptions(
    devices=40,
    subscribed=0.5,
    latency=0.05,
    callback="http://127.0.0.1:8081/pcc/events",
    callback_basic="lg:only-for-looking-around",
    events_per_hour=360,
)
"""What the simulator of deploy/compose is told."""

RULE_HEAD = """\
# Made from deploy/prometheus/rules.yml by `make docs`: edit it there. The comments are its own.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: pcc-reconciler
spec:
"""
FLEET_HEAD = """\
# The fleet that the simulator of compose.yaml makes up; `make docs` writes it. Half of it is subscribed at the start.
"""


EVENTS_HEAD = """\
# What the receiver of compose.yaml does with events; `make docs` writes it and the Logic Table beside it.
"""


def prometheus_rule() -> str:
    """Return the alerts as an object of the Prometheus operator, comments and all."""
    lines = RULES.read_text(encoding="utf-8").splitlines()
    return RULE_HEAD + "".join(f"  {line}\n" if line else "\n" for line in lines)


def fleet() -> str:
    """Return a text that wants every device of the simulated fleet that PCC takes."""
    kinds = {f"DEVICE_{kind.name}": kind for kind in DeviceType}
    owned = played().world.user(DEFAULT_ACCOUNT).devices.values()
    devices = {
        DeviceId(one.id): Device(DeviceId(one.id), one.alias, kinds[one.type])
        for one in owned
        if one.type in kinds
    }
    text = desired.dump([Desired(DEFAULT_ACCOUNT, frozenset(devices), devices)])
    return FLEET_HEAD + text.removeprefix(f"#:schema ./{desired.SCHEMA_FILE}\n")


def played() -> Platform:
    """Return the platform that deploy/compose plays."""
    return build(PLAYED)


def events_file() -> str:
    """Return the events file of deploy/compose."""
    return EVENTS_HEAD + LOG_ONLY


def dashboard(name: str) -> str:
    """Return a dashboard for a ConfigMap: as short as it can be, because kubectl keeps a copy in an annotation."""
    return json.dumps(dashboards()[name], separators=(",", ":"), ensure_ascii=False) + "\n"


MADE: Mapping[Path, Callable[[], str]] = {
    DEPLOY / "kubernetes" / "components" / "monitoring" / "prometheusrule.yaml": prometheus_rule,
    **{
        DEPLOY / "kubernetes" / "components" / "dashboards" / name: partial(dashboard, name)
        for name in dashboards()
    },
    CHART / "files" / "rules.yml": partial(RULES.read_text, encoding="utf-8"),
    **{CHART / "files" / name: partial(dashboard, name) for name in dashboards()},
    CHART / "README.md": readme,
    CHART / "values.schema.json": schema,
    DEPLOY / "compose" / "desired-state" / "desired-state.toml": fleet,
    DEPLOY / "compose" / "events" / EVENTS_FILE: events_file,
    **{
        DEPLOY / "compose" / "events" / name: partial(str, text)
        for name, text in logic_files().items()
    },
}


def main() -> None:
    """Write every such file."""
    for path, make in MADE.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(make(), encoding="utf-8")


if __name__ == "__main__":
    main()
