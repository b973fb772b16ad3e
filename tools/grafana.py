"""The JSON that Grafana reads: panels, variables, annotations, and where each panel stands on the grid.

Knows Grafana's words and nothing of what is shown; `dashboards.py` says that. Written for Grafana 11 and newer: a newer
one brings the schema up to date automatically as it loads a dashboard.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Any

Json = dict[str, Any]

GREEN, YELLOW, ORANGE, RED, BLUE, PURPLE = "green", "yellow", "orange", "red", "blue", "purple"
GREY, PLAIN = "#8e8e8e", "transparent"

SCHEMA_VERSION = 41
"""That of Grafana 12.0."""
COLUMNS = 24
"""How wide Grafana's grid is."""
DATA_SOURCE: Json = {"type": "prometheus", "uid": "${datasource}"}
"""Whatever the reader chose at the top: no dashboard names a data source."""


@dataclass(frozen=True, slots=True)
class Query:
    """One PromQL expression; ``legend`` names its series, with labels as ``{{label}}``."""

    expression: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Look:
    """How values are shown: their unit, their colours, and words in place of some of them.

    ``steps`` are colours from a value on, of which the first has none; ``words`` are text and colour by value;
    ``from_words`` are those of all values from one on; ``colours`` are of series by name, or by ``/pattern/``;
    ``empty`` stands where there is no value.
    """

    unit: str
    steps: Sequence[tuple[float | None, str]] = ((None, "text"),)
    words: Mapping[int, tuple[str, str]] | None = None
    from_words: tuple[float, str, str] | None = None
    colours: Mapping[str, str] | None = None
    empty: str = "No data"
    decimals: int | None = None

    @property
    def defaults(self) -> Json:
        """Return what holds for every field of the panel."""
        found: Json = {
            "unit": self.unit,
            "noValue": self.empty,
            "color": {"mode": "thresholds"},
            "thresholds": {
                "mode": "absolute",
                "steps": [{"value": at, "color": to} for at, to in self.steps],
            },
            "mappings": self._mappings(),
        }
        return found if self.decimals is None else {**found, "decimals": self.decimals}

    def _mappings(self) -> list[Json]:
        values = {
            str(value): {"index": index, "text": text, "color": colour}
            for index, (value, (text, colour)) in enumerate((self.words or {}).items())
        }
        found: list[Json] = [{"type": "value", "options": values}] if values else []
        if self.from_words is not None:
            begin, text, colour = self.from_words
            result = {"index": len(values), "text": text, "color": colour}
            found.append(
                {"type": "range", "options": {"from": begin, "to": None, "result": result}}
            )
        return found

    @property
    def overrides(self) -> list[Json]:
        """Return the colours of single series."""
        return [
            override(
                name,
                color={"mode": "shades" if name.startswith("/") else "fixed", "fixedColor": colour},
            )
            for name, colour in (self.colours or {}).items()
        ]


def override(name: str, **properties: Any) -> Json:
    """Return what is special of one field; a name in slashes is a pattern, and ``custom_…`` stands for ``custom.…``."""
    matcher = "byRegexp" if name.startswith("/") else "byName"
    told = [
        {"id": key.replace("custom_", "custom.", 1), "value": value}
        for key, value in properties.items()
    ]
    return {"matcher": {"id": matcher, "options": name}, "properties": told}


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel, wherever it stands. ``kind`` and ``options`` are Grafana's; ``now`` asks for one moment only."""

    kind: str
    title: str
    description: str
    queries: Sequence[Query]
    look: Look
    options: Json
    now: bool = False
    custom: Json | None = None
    overrides: Sequence[Json] = ()
    transformations: Sequence[Json] = ()

    def placed(self, number: int, grid: Json) -> Json:
        """Return the panel as it stands on a dashboard."""
        defaults = self.look.defaults
        if self.custom is not None:
            defaults["custom"] = self.custom
        if self.kind == "timeseries":
            defaults["color"] = {"mode": "palette-classic"}
        found: Json = {
            "id": number,
            "type": self.kind,
            "title": self.title,
            "description": self.description,
            "gridPos": grid,
            "datasource": DATA_SOURCE,
            "fieldConfig": {
                "defaults": defaults,
                "overrides": [*self.look.overrides, *self.overrides],
            },
            "options": self.options,
            "targets": [
                self._target(*one) for one in zip(ascii_uppercase, self.queries, strict=False)
            ],
        }
        return (
            {**found, "transformations": list(self.transformations)}
            if self.transformations
            else found
        )

    def _target(self, letter: str, query: Query) -> Json:
        return {
            "refId": letter,
            "datasource": DATA_SOURCE,
            "editorMode": "code",
            "expr": query.expression,
            "legendFormat": query.legend or "__auto",
            "format": "table" if self.kind == "table" else "time_series",
            "instant": self.now,
            "range": not self.now,
        }


def stat(title: str, description: str, *queries: Query, look: Look, names: bool = False) -> Panel:
    """Return the value of this moment in large type, on its colour; ``names`` shows what the series are called."""
    several = len(queries) > 1
    options: Json = {
        "colorMode": "background",
        "graphMode": "none",
        "justifyMode": "center",
        "orientation": "vertical" if several else "auto",
        "textMode": "name" if names else "value_and_name" if several else "value",
        "wideLayout": True,
        "showPercentChange": False,
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
    }
    return Panel("stat", title, description, queries, look, options, now=True)


def series(
    title: str,
    description: str,
    *queries: Query,
    look: Look,
    stacked: bool = False,
    bars: bool = False,
    overrides: Sequence[Json] = (),
) -> Panel:
    """Return lines over time, or areas or bars that add up."""
    custom: Json = {
        "drawStyle": "bars" if bars else "line",
        "lineWidth": 1,
        "fillOpacity": 70 if stacked or bars else 0,
        "showPoints": "never",
        "spanNulls": False,
        "stacking": {"mode": "normal" if stacked else "none", "group": "A"},
        "axisSoftMin": 0,
    }
    options: Json = {
        "legend": {
            "showLegend": True,
            "displayMode": "list",
            "placement": "bottom",
            "calcs": ["lastNotNull"],
        },
        "tooltip": {"mode": "multi", "sort": "desc", "hideZeros": True},
    }
    return Panel(
        "timeseries", title, description, queries, look, options, custom=custom, overrides=overrides
    )


def timeline(title: str, description: str, *queries: Query, look: Look) -> Panel:
    """Return which state things were in, as bands over time."""
    custom: Json = {"lineWidth": 0, "fillOpacity": 80}
    options: Json = {
        "mergeValues": True,
        "showValue": "auto",
        "alignValue": "left",
        "rowHeight": 0.9,
        "legend": {"showLegend": False, "displayMode": "list", "placement": "bottom", "calcs": []},
        "tooltip": {"mode": "single", "sort": "none"},
    }
    return Panel("state-timeline", title, description, queries, look, options, custom=custom)


def table(
    title: str,
    description: str,
    *queries: Query,
    look: Look,
    columns: Mapping[str, str],
    sort: str,
    overrides: Sequence[Json] = (),
) -> Panel:
    """Return a table of this moment; ``columns`` are Grafana's names for them and ours; by ``sort``, descending."""
    options: Json = {
        "showHeader": True,
        "cellHeight": "sm",
        "frameIndex": 0,
        "sortBy": [{"displayName": sort, "desc": True}],
    }
    organize: Json = {
        "excludeByName": {"Time": True},
        "indexByName": {name: index for index, name in enumerate(columns)},
        "renameByName": dict(columns),
    }
    steps: list[Json] = [{"id": "merge", "options": {}}, {"id": "organize", "options": organize}]
    return Panel(
        *("table", title, description, queries, look, options),
        now=True,
        custom={"align": "auto", "cellOptions": {"type": "auto"}},
        overrides=overrides,
        transformations=steps,
    )


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


def values_variable(name: str, label: str, description: str, query: str) -> Json:
    """Return the choice of one of a label's values, asked for anew with every time range."""
    return {
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


def constant_variable(name: str, description: str, value: str) -> Json:
    """Return a value that links are made with, in one place, and that is not shown."""
    return {"name": name, "description": description, "type": "constant", "query": value, "hide": 2}


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
        "panels": laid(lines),
    }
