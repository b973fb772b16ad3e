"""deploy/helm as Helm renders it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from chart import CHART
from kustomized import Object, parsed

ENGINE = Path(__file__).parent / "helm_engine.py"
IMAGE = "registry.example.com/pcc-reconciler"


class Refused(Exception):
    """Helm takes these values not, or the chart refuses them. The text is what a person sees."""


class Helm:
    """Helm in a process of its own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def ask(self, **asked: Any) -> Any:
        """Return the answer to a request; raise ``Refused`` where there is none."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        if "error" in answer:
            raise Refused(answer["error"])
        return answer["ok"]

    def texts(
        self, values: dict[str, Any], release: str = "pcc-reconciler", *, chart: Path = CHART
    ) -> dict[str, str]:
        """Return what each template of the chart, or of an archive of it, became."""
        given = {"image": {"repository": IMAGE}} | values
        found: dict[str, str] = self.ask(
            do="render",
            chart=str(chart),
            values=given,
            release=release,
            namespace="pcc-reconciler",
        )
        return {name.partition("/templates/")[2]: text for name, text in found.items()}

    def objects(self, values: dict[str, Any], release: str = "pcc-reconciler") -> list[Object]:
        """Return the objects of a release, without those of ``helm test``."""
        texts = self.texts(values, release).items()
        wanted = [text for name, text in texts if not name.startswith(("tests/", "NOTES"))]
        return [each for text in wanted for each in parsed(text)]

    def tests(self, values: dict[str, Any], release: str = "pcc-reconciler") -> list[Object]:
        """Return the objects of ``helm test``."""
        texts = self.texts(values, release).items()
        wanted = [text for name, text in texts if name.startswith("tests/")]
        return [each for text in wanted for each in parsed(text)]

    def merge(self, values: dict[str, Any], option: str) -> None:
        """Add to values what an option ``--set`` gives, as Helm reads it."""
        given = self.ask(do="parsed", set=option)
        while given:
            ((key, value),) = given.items()
            if not isinstance(value, dict) or key not in values:
                values[key] = value
                return
            values, given = values[key], value

    def notes(self, values: dict[str, Any], release: str = "pcc-reconciler") -> str:
        """Return what a person reads after the installation."""
        return self.texts(values, release)["NOTES.txt"]


@contextmanager
def helm() -> Iterator[Helm]:
    """Start Helm, and end it at the end."""
    assert find_spec("helm_python") is not None, "there is no wheel of Helm for this machine"
    with subprocess.Popen(  # noqa: S603 - ours
        [sys.executable, str(ENGINE)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield Helm(process)
