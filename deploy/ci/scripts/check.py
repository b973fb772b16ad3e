"""Checks a change of the desired state: its faults, what it changes, and what the daemon would do with it.

Owns: which commands are run, and the pieces that they leave in a folder for ``comment.py`` and for people.
Must not: speak to a forge. It never needs a token of one.

    check.py validate --out FOLDER [--path PATH] [--against REV] [--events PATH]
    check.py plan     --out FOLDER [--path PATH] --server URL        (with PCC_READ_TOKEN, if the daemon has one)

It exits with 1 where the files have a fault, or where no plan could be made. A change that a guard would hold is no
fault: the comment says so, and ``--fail-on held`` makes it one.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from runner import Ended, annotate, pull_request, run, say, set_output

LONGEST_COMMENT = 32_000
"""Characters of one piece: two of them, the marker and the links fit into the 65,536 of a comment at GitHub."""
LONGEST_SUMMARY = 400_000
"""Characters of one piece in a summary, which may have 1 MiB of UTF-8."""
HELD, FAILED = 3, 1
LINES, COLUMNS = 50, 500
"""How much is shown of what a program says where it prints no Markdown."""
VALIDATED, PLANNED = "validate", "plan"


def main(arguments: Sequence[str]) -> int:
    """Do one half of the check."""
    parser = argparse.ArgumentParser(description="Check a change of the desired state.")
    parser.add_argument("half", choices=(VALIDATED, PLANNED))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--path", default="")
    parser.add_argument("--against", default="")
    parser.add_argument("--events", default="")
    parser.add_argument("--server", default="")
    parser.add_argument("--fail-on", default="error", choices=("error", "held"))
    asked = parser.parse_args(arguments)
    asked.out.mkdir(parents=True, exist_ok=True)
    if asked.half == VALIDATED:
        return _validate(asked)
    return _plan(asked)


def _validate(asked: argparse.Namespace) -> int:
    """Check the files, and leave what was found. Faults are shown beside their lines, too."""
    path = [asked.path] if asked.path else []
    against = ["--against", asked.against] if asked.against else []
    code = _checked(asked.out, VALIDATED, [*path, *against])
    if asked.events:
        code = max(code, _checked(asked.out, "events", ["--events", asked.events]))
    set_output("valid", "true" if code == 0 else "false")
    return code


def _checked(out: Path, name: str, arguments: Sequence[str]) -> int:
    """Run ``validate`` in each form that is needed, and return its exit code."""
    found = run(["validate", *arguments, "--output", "github"])
    _show_annotations(found)
    _write_both(out, name, ["validate", *arguments])
    made = run(["validate", *arguments, "--output", "json"])
    (out / f"{name}.json").write_text(made.out, encoding="utf-8")
    if os.environ.get("GITLAB_CI") == "true" and made.out:
        (out / f"{name}.codequality.json").write_text(_code_quality(made.out), encoding="utf-8")
    return found.code


def _write_both(out: Path, name: str, command: Sequence[str], *, token: str = "") -> Ended:
    """Run a command for the summary, and where that is too long for a comment, once more for it."""
    markdown = [*command, "--output", "markdown", "--longest"]
    whole = run([*markdown, str(LONGEST_SUMMARY)], token=token)
    short = whole
    if len(whole.out) > LONGEST_COMMENT:
        short = run([*markdown, str(LONGEST_COMMENT)], token=token)
    for form, made in ((f"{name}.whole.md", whole), (f"{name}.md", short)):
        (out / form).write_text(made.out or quoted(made.err), encoding="utf-8")
    return whole


def _show_annotations(found: Ended) -> None:
    if os.environ.get("GITHUB_ACTIONS") == "true":
        sys.stdout.write(found.out)
    say(found.err)


def _code_quality(text: str) -> str:
    """Return faults as GitLab's report, which a merge request shows beside the lines."""
    document = json.loads(text)
    rows = []
    for severity, each in (("major", document["faults"]), ("minor", document["warnings"])):
        for one in each:
            place = {"path": one["path"], "lines": {"begin": max(one["line"], 1)}}
            words = one["message"]
            fingerprint = f"{one['path']}:{one['line']}:{one['column']}:{words}"
            rows.append(
                {
                    "description": words,
                    "check_name": "pcc-reconciler validate",
                    "fingerprint": fingerprint,
                    "severity": severity,
                    "location": place,
                }
            )
    return json.dumps(rows, indent=2, ensure_ascii=False) + "\n"


def _plan(asked: argparse.Namespace) -> int:
    """Let the daemon plan the files, and leave the plan. One of a person who may not write here gets no token."""
    stranger = pull_request(os.environ).why_not
    if stranger:
        return _no_plan(asked.out, f"There is no plan: {stranger}, so it gets no token.", "", 0)
    path = [asked.path] if asked.path else []
    command = ["plan", *path, "--server", asked.server, "--detailed-exitcode"]
    token = os.environ.get("PCC_READ_TOKEN", "")
    whole = _write_both(asked.out, PLANNED, command, token=token)
    say(whole.err)
    if not whole.out:
        return _no_plan(asked.out, "There is no plan: the daemon made none.", whole.err, FAILED)
    document = run([*command, "--output", "json"], token=token)
    (asked.out / "plan.json").write_text(document.out, encoding="utf-8")
    set_output("plan", str(whole.code))
    if whole.code == HELD:
        annotate("warning", "A guard would hold changes: see the comment or the summary.")
    fails = whole.code == FAILED or (whole.code == HELD and asked.fail_on == "held")
    return FAILED if fails else 0


def _no_plan(out: Path, why: str, words: str, code: int) -> int:
    """Say in place of a plan why there is none, with the words of the program."""
    text = f"### {why}\n\n{quoted(words)}" if words else f"### {why}\n"
    for form in ("plan.md", "plan.whole.md"):
        (out / form).write_text(text, encoding="utf-8")
    annotate("error" if code else "notice", f"{why} {words}")
    set_output("plan", "")
    return code


def quoted(words: str) -> str:
    """Return foreign words as an indented block, in which Markdown means nothing."""
    lines = words.strip().splitlines()[:LINES]
    return "".join(f"    {line[:COLUMNS]}\n" for line in lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
