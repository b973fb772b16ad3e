"""Where the project and its image are published, and which version this is: each known from one place.

Owns: the address of the repository (``[project.urls]`` of pyproject.toml), the name of the image
(``[tool.pcc-reconciler]`` beside it), the version (``__version__`` of the package), and the files that name them.
Must not: need a package; the release workflow uses it before anything is installed.

``make docs`` writes all three wherever they are named; a test fails where a file names another one.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
PROJECT = ROOT / "pyproject.toml"
VERSION_FILE = ROOT / "reconciler" / "__init__.py"
NAMED_IN = (
    "pyproject.toml",
    "README.md",
    "SECURITY.md",
    "docs/*.md",
    "deploy/ci/**/*",
    "deploy/helm/**/*",
    "deploy/kubernetes/**/*.yaml",
)
"""The files in which address, image and version are written; the changelog names old versions, too."""

NUMBER = r"\d+\.\d+\.\d+(?:(?:a|b|rc)\d+)?"
OWN_HOST = r"(?![\w.-]*example\.)[a-z][\w-]*(?:\.[\w-]+)+"
ADDRESS = re.compile(rf"https://{OWN_HOST}/(?:[\w.-]+/)+pcc-reconciler(?![\w-])")
IMAGE = re.compile(
    rf"(?:(?<=oci://)|(?<![\w./@-])){OWN_HOST}/(?:(?!charts/)[\w.-]+/)*?pcc-reconciler(?=:{NUMBER}|\s|\"|'|`|@sha256|$)",
    re.MULTILINE,
)
CHART = re.compile(rf"oci://{OWN_HOST}/(?:[\w.-]+/)*charts(?=/pcc-reconciler|\s|$)", re.MULTILINE)
SLUG = re.compile(
    rf"(?<=uses: )[\w.-]+/pcc-reconciler(?=/[\w/.-]*@v{NUMBER})|(?<=--repo )[\w.-]+/pcc-reconciler"
)
STEP = re.compile(rf"(/pcc-reconciler/[\w/.-]+@v){NUMBER}")
VERSIONS = (
    re.compile(rf"(?<=pcc-reconciler@v){NUMBER}"),
    re.compile(rf"(?<=pcc-reconciler:){NUMBER}"),
    re.compile(rf"(?<=pcc-reconciler-){NUMBER}(?=\.tgz)"),
    re.compile(rf"(?<=pcc_reconciler-){NUMBER}(?=-py3|\.tar\.gz)"),
    re.compile(rf"(?<=newTag: ){NUMBER}"),
    re.compile(rf"(?<=--version ){NUMBER}"),
    re.compile(rf"(?<=--branch v){NUMBER}"),
    re.compile(rf"(?<=receive\.started        version=){NUMBER}"),
    re.compile(rf"(?<=RECONCILER_REF: v){NUMBER}"),
    re.compile(rf"(?<= ref: v){NUMBER}"),
    re.compile(rf"(?<= rev: v){NUMBER}"),
    re.compile(rf"(?<=git checkout v){NUMBER}"),
    re.compile(rf"(?<=^version: ){NUMBER}", re.MULTILINE),
    re.compile(rf"(?<=^appVersion: \"){NUMBER}", re.MULTILINE),
)


@dataclass(frozen=True)
class Places:
    """Where everything of one version is."""

    repository: str
    image: str
    version: str

    @property
    def charts(self) -> str:
        """Return the folder of the registry into which the chart is pushed: beside the image."""
        return f"oci://{self.image.rpartition('/')[0]}/charts"

    @property
    def slug(self) -> str:
        """Return owner and name of the repository, as a workflow names an action of it."""
        return "/".join(self.repository.split("/")[3:])


def places() -> Places:
    """Return what pyproject.toml and the package say."""
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))
    found = re.search(r'^__version__ = "(.+)"$', VERSION_FILE.read_text("utf-8"), re.MULTILINE)
    if found is None:
        raise LookupError(f"{VERSION_FILE} has no version")
    return Places(
        project["project"]["urls"]["Repository"],
        project["tool"]["pcc-reconciler"]["image"],
        found[1],
    )


def files() -> Iterator[Path]:
    """Yield each file that may name an address, the image or the version."""
    for pattern in NAMED_IN:
        yield from (
            path for path in sorted(ROOT.glob(pattern)) if path.is_file() and path.suffix != ".pyc"
        )


def rewritten(text: str, at: Places) -> str:
    """Return a text with the address, the image and the version as they should be."""
    text = ADDRESS.sub(at.repository, text)
    text = CHART.sub(at.charts, text)
    text = IMAGE.sub(at.image, text)
    text = SLUG.sub(at.slug, text)
    text = STEP.sub(rf"\g<1>{at.version}", text)
    for pattern in VERSIONS:
        text = pattern.sub(at.version, text)
    return text


def main() -> None:
    """Write them wherever they are named."""
    at = places()
    for path in files():
        text = path.read_text(encoding="utf-8")
        if (now := rewritten(text, at)) != text:
            path.write_text(now, encoding="utf-8")


if __name__ == "__main__":
    main()
