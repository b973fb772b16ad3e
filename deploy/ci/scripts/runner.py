"""What a job has around it: the program, the pull request, the summary, and outputs for later steps.

Owns: how the program is run, and how much of the job's environment it gets.
Must not: speak to a forge.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROGRAM = "RECONCILER_PROGRAM"
"""The environment's word for where the program is. Without it, it is looked for on the PATH."""
TOKENS = ("PCC_READ_TOKEN", "PCC_LISTEN_TOKEN", "FORGE_TOKEN", "GITHUB_TOKEN")
LARGEST_SUMMARY = 1_000_000
"""Bytes. GitHub refuses a summary of more than 1 MiB as a whole."""


@dataclass(frozen=True)
class Ended:
    """What a run of the program left behind."""

    code: int
    out: str
    err: str


def run(arguments: Sequence[str], *, token: str = "") -> Ended:
    """Run the program. Of the tokens of this job it gets only the one for reading, and only where that is given."""
    program = os.environ.get(PROGRAM) or "pcc-reconciler"
    given = {name: value for name, value in os.environ.items() if name not in TOKENS}
    given |= {"PCC_READ_TOKEN": token} if token else {}
    done = subprocess.run(  # noqa: S603 - the program that the job installed
        [program, *arguments], env=given, capture_output=True, text=True, check=False
    )
    return Ended(done.returncode, done.stdout, done.stderr)


@dataclass(frozen=True)
class PullRequest:
    """The pull request of this job. ``number`` is empty where there is none. ``why_not`` says why it gets no token."""

    number: str = ""
    head: str = ""
    why_not: str = ""


def pull_request(environ: Mapping[str, str]) -> PullRequest:
    """Return the pull request of this job, and whether it is one of people who may not write to the repository."""
    if environ.get("GITLAB_CI") == "true":
        source = environ.get("CI_MERGE_REQUEST_SOURCE_PROJECT_ID", "")
        foreign = source != environ.get("CI_MERGE_REQUEST_PROJECT_ID", "")
        why = "this merge request comes from a fork" if foreign else ""
        return PullRequest(
            environ.get("CI_MERGE_REQUEST_IID", ""), environ.get("CI_COMMIT_SHA", ""), why
        )
    event = _event(environ)
    found = event.get("pull_request") or {}
    head, base = found.get("head") or {}, found.get("base") or {}
    why = ""
    if found and (head.get("repo") or {}).get("id") != (base.get("repo") or {}).get("id"):
        why = "this pull request comes from a fork"
    elif found and (event.get("sender") or {}).get("login") == "dependabot[bot]":
        why = "this pull request is Dependabot's"
    return PullRequest(str(found.get("number", "")), head.get("sha", ""), why)


def _event(environ: Mapping[str, str]) -> Mapping[str, Any]:
    path = environ.get("GITHUB_EVENT_PATH", "")
    if not path:
        return {}
    found: Mapping[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
    return found


def job_link(environ: Mapping[str, str]) -> str:
    """Return the address of this job's page, or no text."""
    if environ.get("GITLAB_CI") == "true":
        return environ.get("CI_JOB_URL", "")
    server, repository = environ.get("GITHUB_SERVER_URL"), environ.get("GITHUB_REPOSITORY")
    run_id = environ.get("GITHUB_RUN_ID")
    return f"{server}/{repository}/actions/runs/{run_id}" if server and run_id else ""


def add_summary(text: str) -> None:
    """Add Markdown to the job's summary, where there is one. What is too long for it is cut at a line, and says so."""
    path = os.environ.get("GITHUB_STEP_SUMMARY", "")
    if not path:
        return
    file = Path(path)
    room = LARGEST_SUMMARY - (file.stat().st_size if file.exists() else 0)
    if len(text.encode()) > room:
        kept = text.encode()[: max(room - 200, 0)].decode("utf-8", "ignore").rpartition("\n")[0]
        text = f"{kept}\n\nThis is not all: the rest does not fit into a summary.\n"
    with file.open("a", encoding="utf-8") as out:
        out.write(f"{text}\n")


def set_output(name: str, value: str) -> None:
    """Hand a value of one line to later steps."""
    path = os.environ.get("GITHUB_OUTPUT", "")
    if path:
        with Path(path).open("a", encoding="utf-8") as out:
            out.write(f"{name}={value}\n")


def say(words: str) -> None:
    """Print foreign words to the log. A forge must not take a line of them for a command of ours."""
    if not words:
        return
    if os.environ.get("GITHUB_ACTIONS") != "true":
        sys.stderr.write(words)
        return
    word = secrets.token_hex(16)
    sys.stdout.write(f"::stop-commands::{word}\n{words.rstrip()}\n::{word}::\n")


def annotate(level: str, words: str) -> None:
    """Show a sentence beside the job: at GitHub as an annotation, elsewhere in the log."""
    plain = re.sub(r"[\r\n]+", " ", words).strip()
    if os.environ.get("GITHUB_ACTIONS") == "true":
        sys.stdout.write(f"::{level}::{plain.replace('%', '%25')}\n")
    else:
        sys.stdout.write(f"{level}: {plain}\n")
