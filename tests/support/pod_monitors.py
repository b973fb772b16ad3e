"""What the Prometheus operator makes of a PodMonitor, and what Kubernetes tells Prometheus of a pod.

The order and form of the relabelings are those of ``generatePodMonitorConfig`` in the operator's
``pkg/prometheus/promcfg.go``. Discovery is a file instead of Kubernetes, with the same labels.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from kustomized import Object, one

META = "__meta_kubernetes_pod"


def scrape_config(monitor: Object, pods: Path) -> dict[str, Any]:
    """Return the scrape that the operator writes for a PodMonitor. The interval is left out."""
    metadata, spec = monitor["metadata"], monitor["spec"]
    assert "matchExpressions" not in spec["selector"]
    assert not {"podTargetLabels", "namespaceSelector"} & spec.keys()
    (endpoint,) = spec["podMetricsEndpoints"]
    assert endpoint.keys() == {"port", "path", "interval"}
    name = f"{metadata['namespace']}/{metadata['name']}"
    selected = sorted(spec["selector"]["matchLabels"].items())
    relabelings = [
        {"source_labels": [f"{META}_phase"], "regex": "(Failed|Succeeded)", "action": "drop"},
        *(kept(key, value) for key, value in selected),
        {
            "source_labels": [f"{META}_container_port_name"],
            "regex": endpoint["port"],
            "action": "keep",
        },
        {"source_labels": ["__meta_kubernetes_namespace"], "target_label": "namespace"},
        {"source_labels": [f"{META}_container_name"], "target_label": "container"},
        {"source_labels": [f"{META}_name"], "target_label": "pod"},
        {"target_label": "job", "replacement": name},
        {
            "source_labels": [f"{META}_label_{sanitized(spec['jobLabel'])}"],
            "target_label": "job",
            "regex": "(.+)",
            "replacement": "${1}",
        },
        {"target_label": "endpoint", "replacement": endpoint["port"]},
    ]
    return {
        "job_name": f"podMonitor/{name}/0",
        "metrics_path": endpoint["path"],
        "file_sd_configs": [{"files": [str(pods)]}],
        "relabel_configs": relabelings,
    }


def kept(key: str, value: str) -> dict[str, Any]:
    """Return the relabeling that keeps pods with a label."""
    label = sanitized(key)
    return {
        "source_labels": [f"{META}_label_{label}", f"{META}_labelpresent_{label}"],
        "regex": f"({value});true",
        "action": "keep",
    }


def sanitized(label: str) -> str:
    """Return a label as Prometheus can name it."""
    return re.sub(r"[^a-zA-Z0-9_]", "_", label)


def targets(objects: list[Object], pod: str, address: str) -> list[dict[str, Any]]:
    """Return what Kubernetes tells of each port of a pod of the Deployment; ``address`` is where it really listens."""
    deployment = one(objects, "Deployment")
    template = deployment["spec"]["template"]
    labels = {
        "__meta_kubernetes_namespace": deployment["metadata"]["namespace"],
        f"{META}_name": pod,
        f"{META}_phase": "Running",
    }
    for key, value in template["metadata"]["labels"].items():
        labels[f"{META}_label_{sanitized(key)}"] = value
        labels[f"{META}_labelpresent_{sanitized(key)}"] = "true"
    return [
        {
            "targets": [address],
            "labels": labels
            | {f"{META}_container_name": each["name"], f"{META}_container_port_name": port["name"]},
        }
        for each in template["spec"]["containers"]
        for port in each["ports"]
    ]


def discovered(folder: Path, found: list[dict[str, Any]]) -> Path:
    """Write what is discovered, and return the file."""
    file = folder / "pods.json"
    file.write_text(json.dumps(found), encoding="utf-8")
    return file
