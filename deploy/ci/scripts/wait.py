"""Waits after a merge until the daemon is done with a commit, and shows the result as the status of that commit.

Owns: which state an exit code means. Must not: know what the daemon waits for.

    wait.py --server URL --revision COMMIT [--timeout 10m] [--accounts "NAME NAME"] [--context WORDS]

It exits as ``status --wait`` does: 0 in sync, 3 held by a guard, 4 refused, 1 too late or rejected.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from forge import Forge, ForgeError, forge_of
from runner import add_summary, annotate, job_link, run, say

STATES = {0: "success", 3: "failure", 4: "failure"}
"""Of a commit, by exit code. Any other is ``error``: it is not known how it ended."""


def main(arguments: Sequence[str]) -> int:
    """Wait, and say how it ended."""
    parser = argparse.ArgumentParser(description="Wait until the daemon is done with a commit.")
    parser.add_argument("--server", required=True)
    parser.add_argument("--revision", required=True)
    parser.add_argument("--timeout", default="10m")
    parser.add_argument("--accounts", default="")
    parser.add_argument("--context", default="pcc-reconciler")
    asked = parser.parse_args(arguments)
    forge = _forge()
    _set(forge, asked, "pending", "waiting for the daemon")
    accounts = [word for name in asked.accounts.split() for word in ("--account", name)]
    ended = run(
        [
            *("status", "--wait", "--revision", asked.revision, "--timeout", asked.timeout),
            *("--server", asked.server, "--output", "markdown", *accounts),
        ],
        token=os.environ.get("PCC_READ_TOKEN", ""),
    )
    say(ended.err)
    add_summary(ended.out)
    words = verdict(ended.err)
    if ended.code:
        annotate("error", words)
    _set(forge, asked, STATES.get(ended.code, "error"), words)
    return ended.code


def verdict(err: str) -> str:
    """Return the sentence with which the program ended: the last one that is no hint."""
    lines = [line for line in err.splitlines() if line.strip() and not line.startswith("Try ")]
    return lines[-1].strip() if lines else "the program ended without a word"


def _forge() -> Forge | None:
    try:
        return forge_of(os.environ)
    except ForgeError:
        return None


def _set(forge: Forge | None, asked: argparse.Namespace, state: str, words: str) -> None:
    """Set the status of the commit. A forge that does not take it does not change how the wait ends."""
    if forge is None:
        return
    try:
        forge.set_status(asked.revision, state, asked.context, words, job_link(os.environ))
    except ForgeError as error:
        annotate("warning", f"The status of the commit was not set: {error}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
