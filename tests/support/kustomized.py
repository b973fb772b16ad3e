"""deploy/kubernetes as kubectl renders it, and what every pod of ours has in common."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from manifests import DEPLOY

KUBERNETES = DEPLOY / "kubernetes"
SCHEMAS = ("1.35", "1.36", "1.37")
CUSTOM = {"PodMonitor", "PrometheusRule"}
"""Kinds of the Prometheus operator: Kubernetes has no schema of them."""
USER = 65532
SAFE = {"seccompProfile": {"type": "RuntimeDefault"}, "runAsNonRoot": True}

Object = dict[str, Any]


def rendered(folder: Path) -> list[Object]:
    """Return the objects that kubectl makes of a folder."""
    kubectl = shutil.which("kubectl", path=str(Path(sys.executable).parent))
    assert kubectl is not None, "kubectl is not beside this Python: run make test-all"
    done = subprocess.run(  # noqa: S603 - ours
        [kubectl, "kustomize", str(folder)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return parsed(done.stdout)


def parsed(text: str) -> list[Object]:
    """Return the objects of a file. What is parsed in C takes a tenth of the time."""
    objects = yaml.load_all(text, Loader=yaml.CSafeLoader)
    return [each for each in objects if each is not None]


def with_everything(folder: Path, overlay: str) -> Path:
    """Copy deploy/kubernetes, and take the comment signs from the components of an overlay."""
    shutil.copytree(KUBERNETES, folder / "kubernetes")
    file = folder / "kubernetes" / overlay / "kustomization.yaml"
    text = file.read_text(encoding="utf-8")
    opened = re.sub(r"^#(components:|  - \.\./\.\./components/)", r"\1", text, flags=re.MULTILINE)
    assert opened != text
    file.write_text(opened, encoding="utf-8")
    return file.parent


def one(objects: list[Object], kind: str, name: str = "") -> Object:
    """Return the only object of a kind, or the one of them whose name begins like that."""
    (found,) = [
        each
        for each in objects
        if each["kind"] == kind and each["metadata"]["name"].startswith(name)
    ]
    return found
