"""A whole dashboard for Grafana: where each panel is on the grid, variables, annotations and links.

Knows Grafana's words and nothing of what is shown; `dashboards.py` says that.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from grafana import DATA_SOURCE, Json, Panel

COLUMNS = 24
"""How wide Grafana's grid is."""
SCHEMA_VERSION = 41
"""That of Grafana 12.0."""
HIDDEN = 2
"""How Grafana says that a variable is not shown."""


@dataclass(frozen=True, slots=True)
class Line:
    """Panels side by side, each with its width; or, where there are none, a heading over the lines that follow."""

    height: int
    panels: Sequence[tuple[int, Panel]] = ()
    heading: str = ""


def laid(lines: Iterable[Line]) -> list[Json]:
    """Return every panel with a number and a place, line under line."""
    found: list[Json] = []
    top = 0
    for line in lines:
        left = 0
        if line.heading:
            grid = {"h": line.height, "w": COLUMNS, "x": 0, "y": top}
            heading: Json = {
                "id": len(found) + 1,
                "type": "row",
                "title": line.heading,
                "collapsed": False,
            }
            found.append({**heading, "gridPos": grid, "panels": []})
        for width, panel in line.panels:
            grid = {"h": line.height, "w": width, "x": left, "y": top}
            found.append(panel.placed(len(found) + 1, grid))
            left += width
        top += line.height
    return found


def data_source_variable() -> Json:
    """Return the choice of a Prometheus; the default one where nobody chooses."""
    return {
        "name": "datasource",
        "label": "Data source",
        "type": "datasource",
        "query": "prometheus",
        "current": {},
        "hide": 0,
        "includeAll": False,
        "multi": False,
        "options": [],
        "refresh": 1,
        "regex": "",
    }


def values_variable(
    name: str, label: str, description: str, query: str, *, everything: bool = False
) -> Json:
    """Return the choice of one of a label's values, asked for anew with every time range.

    ``everything`` adds the choice of all. Grafana begins with the first value, or with all where there is none.
    """
    found: Json = {
        "name": name,
        "label": label,
        "description": description,
        "type": "query",
        "datasource": DATA_SOURCE,
        "definition": query,
        "query": {
            "qryType": 1,
            "query": query,
            "refId": "PrometheusVariableQueryEditor-VariableQuery",
        },
        "current": {},
        "hide": 0,
        "includeAll": False,
        "multi": False,
        "options": [],
        "refresh": 2,
        "regex": "",
        "sort": 1,
    }
    return {**found, "includeAll": True, "allValue": ".*"} if everything else found


def constant_variable(name: str, description: str, value: str) -> Json:
    """Return a value that links are made with, in one place, and that is not shown."""
    return {
        "name": name,
        "description": description,
        "type": "constant",
        "query": value,
        "hide": HIDDEN,
    }


def annotation(
    name: str, colour: str, query: str, *, title: str, text: str, value_is_moment: bool = False
) -> Json:
    """Return marks on every panel where a query has a value, or at the moments (milliseconds) that are its values."""
    return {
        "name": name,
        "enable": True,
        "hide": False,
        "iconColor": colour,
        "datasource": DATA_SOURCE,
        "expr": query,
        "step": "60s",
        "titleFormat": title,
        "textFormat": text,
        "tagKeys": "source,verified",
        "useValueForTime": value_is_moment,
    }


def to_others(title: str, tag: str) -> Json:
    """Return a link to every dashboard with a tag, with time and variables kept."""
    kept: Json = {"asDropdown": False, "includeVars": True, "keepTime": True, "targetBlank": False}
    return {
        "type": "dashboards",
        "title": title,
        "tags": [tag],
        "icon": "external link",
        "tooltip": "",
        "url": "",
        **kept,
    }


def to_page(title: str, tooltip: str, url: str) -> Json:
    """Return a link to a page outside Grafana."""
    kept: Json = {"asDropdown": False, "includeVars": False, "keepTime": False, "targetBlank": True}
    return {
        "type": "link",
        "title": title,
        "tags": [],
        "icon": "doc",
        "tooltip": tooltip,
        "url": url,
        **kept,
    }


def lead(panels: Sequence[Json], uid: str, variables: Sequence[str]) -> None:
    """Put the address of a panel into each link ``#Title``: it opens that panel alone, with time and choices kept."""
    numbers = {panel["title"]: panel["id"] for panel in panels}
    kept = "&".join(f"${{{name}:queryparam}}" for name in variables)
    for panel in panels:
        for link in panel.get("fieldConfig", {}).get("defaults", {}).get("links", ()):
            if link["url"].startswith("#"):
                number = numbers[link["url"][1:]]
                link["url"] = f"/d/{uid}?{kept}&${{__url_time_range}}&viewPanel={number}"


def dashboard(
    uid: str,
    title: str,
    description: str,
    *,
    tag: str,
    variables: Sequence[Json],
    annotations: Sequence[Json],
    links: Sequence[Json],
    lines: Iterable[Line],
) -> Json:
    """Return a whole dashboard. It has no ``id``: Grafana gives one, and finds it again by its ``uid``."""
    panels = laid(lines)
    lead(panels, uid, [each["name"] for each in variables if each.get("hide") != HIDDEN])
    return {
        "uid": uid,
        "title": title,
        "description": description,
        "tags": [tag],
        "schemaVersion": SCHEMA_VERSION,
        "editable": True,
        "graphTooltip": 1,
        "time": {"from": "now-24h", "to": "now"},
        "timezone": "",
        "refresh": "1m",
        "links": list(links),
        "templating": {"list": list(variables)},
        "annotations": {"list": list(annotations)},
        "panels": panels,
    }
