"""The JSON that Grafana reads for one panel. `grafana_boards.py` puts panels together to a dashboard.

Knows Grafana's words and nothing of what is shown; `dashboards.py` says that. Written for Grafana 11 and newer: a newer
one brings the schema up to date automatically as it loads a dashboard.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Any

Json = dict[str, Any]

GREEN, YELLOW, ORANGE, RED, BLUE, PURPLE = "green", "yellow", "orange", "red", "blue", "purple"
LIGHT_ORANGE, DARK_ORANGE, LIGHT_PURPLE = "super-light-orange", "dark-orange", "super-light-purple"
GREY, PLAIN = "#8e8e8e", "transparent"
NO_DATA = "No data"
"""What a panel shows where its query has no value. It claims nothing, so its colour is neutral, too."""
NOTHING = "-"
"""What a cell of a table shows where it has no value."""

COUNT = "short"
"""Grafana's unit of what is counted."""
TITLE_SIZE, VALUE_SIZE = 12, 24
"""Letters of a panel that shows several values, in pixels."""
NARROWEST = 60
"""Pixels that a column of a table takes at least. Grafana's own 150 push the numbers out of sight."""
DATA_SOURCE: Json = {"type": "prometheus", "uid": "${datasource}"}
"""Whatever the reader chose at the top: no dashboard names a data source."""


FORMATS: Mapping[str, str] = {"table": "table", "heatmap": "heatmap"}
"""The form of the answer that a kind of panel needs; the others take series over time."""


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
    ``empty`` is shown where there is no value, without a colour: Grafana would give it that of the first step.
    """

    unit: str
    steps: Sequence[tuple[float | None, str]] = ((None, "text"),)
    words: Mapping[int, tuple[str, str]] | None = None
    from_words: tuple[float, str, str] | None = None
    colours: Mapping[str, str] | None = None
    empty: str = NO_DATA
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
    def without_a_value(self) -> Json:
        """Return the mapping of a value that is not there."""
        result = {"index": 1 + len(self.words or {}), "text": self.empty, "color": PLAIN}
        return {"type": "special", "options": {"match": "null", "result": result}}

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
    changed = [
        {"id": key.replace("custom_", "custom.", 1), "value": value}
        for key, value in properties.items()
    ]
    return {"matcher": {"id": matcher, "options": name}, "properties": changed}


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel, wherever it is placed. ``kind`` and ``options`` are Grafana's; ``now`` asks for one moment only.

    ``leads`` are titles and addresses of what a value counts. The address ``#Title`` is another panel of the dashboard.
    """

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
    leads: Sequence[tuple[str, str]] = ()

    def placed(self, number: int, grid: Json) -> Json:
        """Return the panel as it stands on a dashboard."""
        defaults = self.look.defaults
        if self.custom is not None:
            defaults["custom"] = self.custom
        if self.kind == "stat":
            defaults["mappings"].append(self.look.without_a_value)
        if self.kind == "timeseries":
            defaults["color"] = {"mode": "palette-classic"}
        if self.kind == "state-timeline":
            # With colours "from thresholds" Grafana merges values into the thresholds they lie in, and drops the words.
            defaults["color"] = {"mode": "fixed", "fixedColor": "text"}
        if self.leads:
            defaults["links"] = [
                {"title": title, "url": url, "targetBlank": not url.startswith("#")}
                for title, url in self.leads
            ]
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
            "format": FORMATS.get(self.kind, "time_series"),
            "instant": self.now,
            "range": not self.now,
        }


def stat(
    title: str,
    description: str,
    *queries: Query,
    look: Look,
    names: bool = False,
    leads: Sequence[tuple[str, str]] = (),
) -> Panel:
    """Return the value of this moment in large type, on its colour; ``names`` shows what the series are called."""
    several = len(queries) > 1
    options: Json = {
        "colorMode": "background",
        "graphMode": "none",
        "justifyMode": "center",
        "orientation": "auto",
        "textMode": "name" if names else "value_and_name" if several else "value",
        "wideLayout": True,
        "showPercentChange": False,
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
    }
    if several:
        # Fitted to the longest name, the letters would be too small to read.
        options["text"] = {"titleSize": TITLE_SIZE, "valueSize": VALUE_SIZE}
    return Panel("stat", title, description, queries, look, options, now=True, leads=leads)


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
        # On a stack, the line of a series that is 0 would paint the edge of the one below it.
        "lineWidth": 0 if stacked else 1,
        "fillOpacity": 70 if stacked or bars else 0,
        "showPoints": "never",
        "spanNulls": False,
        "stacking": {"mode": "normal" if stacked else "none", "group": "A"},
        "axisSoftMin": 0,
    }
    if look.unit == COUNT:
        custom["axisSoftMax"] = 1  # where all is 0, Grafana's scale would reach to 100
    options: Json = {
        "legend": {"showLegend": True, "displayMode": "list", "placement": "bottom", "calcs": []},
        "tooltip": {"mode": "multi", "sort": "desc", "hideZeros": True},
    }
    return Panel(
        "timeseries", title, description, queries, look, options, custom=custom, overrides=overrides
    )


def heatmap(title: str, description: str, query: Query, *, unit: str, empty: str) -> Panel:
    """Return the buckets of a histogram over time: the more cases, the stronger the colour."""
    options: Json = {
        "calculate": False,
        "cellGap": 1,
        "color": {"mode": "scheme", "scheme": "Blues", "steps": 64, "reverse": False},
        "filterValues": {"le": 1e-9},
        "rowsFrame": {"layout": "auto"},
        "yAxis": {"axisPlacement": "left", "unit": unit, "reverse": False},
        "legend": {"show": False},
        "tooltip": {"mode": "single", "yHistogram": False, "showColorScale": False},
        "showValue": "never",
        "cellValues": {"decimals": 0},
    }
    look = Look(COUNT, empty=empty, decimals=0)
    return Panel("heatmap", title, description, [query], look, options)


def timeline(
    title: str, description: str, *queries: Query, look: Look, rows: int | None = None
) -> Panel:
    """Return which state things were in, as bands over time; ``rows`` of them are on one page of the panel."""
    custom: Json = {"lineWidth": 0, "fillOpacity": 80}
    options: Json = {
        "mergeValues": True,
        "showValue": "auto",
        "alignValue": "left",
        "rowHeight": 0.9,
        "legend": {"showLegend": False, "displayMode": "list", "placement": "bottom", "calcs": []},
        "tooltip": {"mode": "single", "sort": "none"},
    }
    if rows is not None:
        options["perPage"] = rows
    return Panel("state-timeline", title, description, queries, look, options, custom=custom)


def table(
    title: str,
    description: str,
    *queries: Query,
    look: Look,
    columns: Mapping[str, str],
    sort: str,
    ascending: bool = False,
    overrides: Sequence[Json] = (),
) -> Panel:
    """Return a table of this moment; ``columns`` are Grafana's names for them and ours; by ``sort``, largest first."""
    options: Json = {
        "showHeader": True,
        "cellHeight": "sm",
        "frameIndex": 0,
        "sortBy": [{"displayName": sort, "desc": not ascending}],
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
        custom={"align": "auto", "cellOptions": {"type": "auto"}, "minWidth": NARROWEST},
        overrides=[override("/.*/", noValue=NOTHING), *overrides],
        transformations=steps,
    )
