"""The Dockerfile as values: its instructions, its stages, and which files reach a build."""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
DEPLOY = ROOT / "deploy"
DOCKERFILE = DEPLOY / "docker" / "Dockerfile"


def instructions() -> list[tuple[str, str]]:
    """Return the instructions of the Dockerfile, continued lines joined."""
    lines = [
        line
        for line in DOCKERFILE.read_text(encoding="utf-8").splitlines()
        if not line.lstrip().startswith("#")
    ]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [
        (word, rest.strip())
        for word, _, rest in (line.partition(" ") for line in joined.splitlines() if line)
    ]


def stages() -> list[list[tuple[str, str]]]:
    """Return the instructions of each stage, from its FROM on."""
    found: list[list[tuple[str, str]]] = []
    for word, rest in instructions():
        if word == "FROM":
            found.append([])
        if found:
            found[-1].append((word, rest))
    return found


def let_in(path: str) -> bool:
    """Tell whether a file reaches the build: of the lines of the ignore file the last that fits decides."""
    kept = True
    for line in (
        (DOCKERFILE.parent / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    ):
        pattern = line.removeprefix("!")
        parents = [Path(path), *Path(path).parents]
        if line and not line.startswith("#"):
            fits = any(fnmatch(str(each), pattern) for each in parents)
            kept = line.startswith("!") if fits else kept
    return kept
