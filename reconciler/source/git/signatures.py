"""Whether the signature of a commit is good.

Owns: what git's verdict means to us, and the sentence for each way in which a signature is not good.
Must not: decide what becomes of a commit.
"""

from __future__ import annotations

from pathlib import Path

from reconciler.source.git.commits import LARGEST_LINE, Repository, checked_id
from reconciler.source.git.process import GitError, GitMissing, GitTimeout

TRUSTED = frozenset({"fully", "ultimate"})
"""How far a key has to be trusted; a key among the allowed signers counts as ``fully``."""
_LARGEST_COMMIT = 1024 * 1024
"""Bytes of one commit with all that is written in it."""

_VERDICTS = {
    "B": "its signature is bad, or by a key that is revoked",
    "E": "its signature cannot be checked: its key is not in the keyring, there is no list of allowed SSH keys"
    " (PCC_GIT_ALLOWED_SIGNERS), or the program that checks it is missing",
    "N": "it is not signed",
    "R": "its key is revoked",
    "U": "its key is not among those that are trusted",
    "X": "its signature has expired",
    "Y": "its key has expired",
}
"""What git's one letter about a signature means to us; whatever is not a plain yes is a no."""


def verdict(repository: Repository, id_: str, allowed_signers: Path | None) -> str:
    """Return what is wrong with the signature of a commit, or nothing if it is good.

    Good is only a valid signature by an SSH key among the allowed signers, or by a PGP key that is fully trusted.
    """
    try:
        letter = _ask(repository, id_, "%G?", allowed_signers)
        # git before 2.40 breaks off with "BUG" where the trust in a key is asked for that nobody knows.
        if letter == "G" and _ask(repository, id_, "%GT", allowed_signers) in TRUSTED:
            return ""
        no_list = allowed_signers is not None and not allowed_signers.is_file()
        if (letter == "N" and _has_signature(repository, id_)) or (letter == "U" and no_list):
            letter = "E"
    except (GitMissing, GitTimeout):
        raise
    except (
        GitError
    ):  # the commit itself was read a moment ago, so it is the signature that git cannot judge
        letter = "E"
    return _VERDICTS.get(letter, _VERDICTS["U"])


def _ask(repository: Repository, id_: str, form: str, allowed_signers: Path | None) -> str:
    """Return one of git's facts about the signature of a commit."""
    command = ["log", "-1", f"--format={form}", "--end-of-options", checked_id(id_)]
    if allowed_signers is not None:
        command = ["-c", f"gpg.ssh.allowedSignersFile={allowed_signers.absolute()}", *command]
    printed = repository.git(*command, most=LARGEST_LINE)
    return printed.decode(errors="replace").removesuffix("\n")


def _has_signature(repository: Repository, id_: str) -> bool:
    """Return whether a commit carries any signature: git calls one that it cannot check at all none."""
    printed = repository.git("cat-file", "commit", checked_id(id_), most=_LARGEST_COMMIT)
    head, _, _message = printed.partition(b"\n\n")
    return any(line.startswith((b"gpgsig ", b"gpgsig-sha256 ")) for line in head.split(b"\n"))
