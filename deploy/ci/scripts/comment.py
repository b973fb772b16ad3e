"""Shows a check to people: the job's summary, and one comment that is updated by every later check.

Owns: what a comment is made of, in which order, and which one is ours. Must not: run the program.

    comment.py --from FOLDER [--key WORD] [--number N] [--head COMMIT] [--author LOGIN] [--comment false]

What reviewers need comes first: the plan, which begins with what is removed and held, with the approval to commit; then
what the files change. A first line that readers do not see says whose comment it is. Only a comment of our own author
is replaced, so nobody else's words are lost, whatever they begin with.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from forge import Forge, ForgeError, forge_of
from runner import add_summary, annotate, job_link, pull_request

LONGEST = 65_536
"""Characters of a comment at GitHub. GitLab takes a million."""
PIECES = ("plan", "validate", "events")
FORBIDDEN, MISSING = 403, 404


def main(arguments: Sequence[str]) -> int:
    """Write the summary and the comment."""
    parser = argparse.ArgumentParser(description="Show a check to people.")
    parser.add_argument("--from", dest="folder", type=Path, required=True)
    parser.add_argument("--key", default="desired-state")
    parser.add_argument("--number", default="")
    parser.add_argument("--head", default="")
    parser.add_argument("--author", default="github-actions[bot]")
    parser.add_argument("--comment", default="true", choices=("true", "false"))
    asked = parser.parse_args(arguments)
    add_summary("\n\n".join(_pieces(asked.folder, "whole.md")))
    here = pull_request(os.environ)
    number, head = asked.number or here.number, asked.head or here.head
    if asked.comment == "false" or not number:
        return 0
    stranger = "" if asked.number else here.why_not
    body = text(asked.key, asked.folder, head)
    try:
        forge = None if stranger else forge_of(os.environ, number, asked.author)
        if forge is None:
            why = stranger or "no token of the forge is given to this job"
            annotate("notice", f"No comment was written: {why}. The job's summary has it all.")
            return 0
        if asked.head and forge.head() != asked.head:
            annotate("notice", f"No comment was written: {asked.head} is not the newest commit.")
            return 0
        annotate("notice", f"The comment was {write(forge, marker(asked.key), body)}.")
    except ForgeError as error:
        return _unwritten(error)
    return 0


def _unwritten(error: ForgeError) -> int:
    """Say why there is no comment. A job that may not write one is no failure; a forge that fails is one."""
    may_not = error.status in {FORBIDDEN, MISSING}
    annotate("warning" if may_not else "error", f"The comment was not written: {error}")
    return 0 if may_not else 1


def marker(key: str) -> str:
    """Return the first line of our comment. Readers do not see it; ``key`` tells two checks of one project apart."""
    return f"<!-- pcc-reconciler: {re.sub(r'[^A-Za-z0-9_./-]+', '-', key)} -->"


def text(key: str, folder: Path, head: str) -> str:
    """Return the comment: never longer than it may be, as the program has cut each piece between two rows."""
    lines = [marker(key), *_pieces(folder, "md")]
    link = job_link(os.environ)
    of = f" of {head[:12]}" if head else ""
    where = f"[The job's page]({link})" if link else "The job's page"
    lines.append(
        f"<sub>This is the check{of}; a later one replaces it. {where} has the summary with more rows, and"
        " plan.json with all devices.</sub>"
    )
    body = "\n\n".join(lines) + "\n"
    if len(body) <= LONGEST:
        return body
    return "\n\n".join([lines[0], "This comment would be too long for the forge.", lines[-1]])


def _pieces(folder: Path, ending: str) -> Iterator[str]:
    for name in PIECES:
        file = folder / f"{name}.{ending}"
        if file.exists():
            yield file.read_text(encoding="utf-8").strip()


def write(forge: Forge, first: str, body: str) -> str:
    """Replace our comment, or write the first one, and return which of the two was done."""
    for one in forge.comments():
        ours = one.body.partition("\n")[0].strip() == first
        if ours and (not forge.author or one.author == forge.author):
            try:
                forge.update(one.id, body)
            except ForgeError as error:
                if error.status != MISSING:
                    raise
                continue  # somebody deleted it meanwhile
            return "updated"
    forge.create(body)
    return "created"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
