"""Which commit of a branch is believed, and what is noticed about its history, with a clone that knows its answers."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import pytest

from reconciler.core.errors import ReconcilerError
from reconciler.core.model import Cause, Commit, Verified
from reconciler.source.git.clone import Clone
from reconciler.source.git.process import GitTimeout
from reconciler.source.port import Fetched, Known
from reconciler.source.repository import GitSource

OLD, OTHER, NEW = ("1" * 40, "2" * 40, "3" * 40)


class ToldClone:
    """A clone without any files, whose history a test states; what is followed outlives each source, as on disk."""

    def __init__(self, ancestors: set[str]) -> None:
        self.ancestors, self.following = ancestors, ""
        self.steps: list[str] = []
        self.trouble: GitTimeout | None = None

    def git(self, *arguments: str, **_limits: object) -> bytes:
        """Say that every signature is good."""
        return b"G\n" if any("%G?" in one for one in arguments) else b"fully\n"

    def newest(self, ref: str) -> tuple[str, str]:
        """Return the tip."""
        return ref, NEW

    def fetch(self, name: str, id_: str) -> None:
        """Bring nothing."""

    def commit(self, id_: str) -> Commit:
        """Return a commit."""
        return Commit(id_, "Kim", "Change", datetime(2026, 11, 30, tzinfo=UTC))

    def entry(self, *_where: str) -> None:
        """Say that there is no such file, or why that cannot be said."""
        if self.trouble is not None:
            raise self.trouble

    def followed(self) -> str | None:
        """Return what was followed last."""
        self.steps.append("compared")
        return self.following or None

    def follow(self, id_: str) -> None:
        """Follow a commit."""
        self.steps.append("followed")
        self.following = id_

    def descends(self, commit: str, ancestor: str) -> bool:
        """Return whether a commit has another one in its history."""
        return commit == ancestor or (commit == NEW and ancestor in self.ancestors)

    def between(self, ancestor: str, commit: str) -> tuple[str, ...]:
        """Return what was overtaken."""
        return (f"after {ancestor}, before {commit}",)


def fetched(clone: ToldClone, *signed: str, verify: bool = True) -> tuple[Fetched, GitSource]:
    """Fetch with a new source, as after a start."""
    source = GitSource(cast("Clone", clone), "main", Path("a.toml"), verify=verify)
    found = source.fetch(Known(signed=frozenset(signed)))
    assert found is not None
    return found, source


@pytest.mark.parametrize(
    ("ancestors", "believed"),
    [({OLD, OTHER}, True), ({OLD}, False), ({OTHER}, False), (set(), False)],
)
def test_a_signed_commit_has_to_descend_from_every_one_in_force(
    ancestors: set[str], *, believed: bool
) -> None:
    """Accounts may have commits of several days in force: an old one would take back what any of them brought."""
    clone = ToldClone(ancestors)
    found, source = fetched(clone, OLD, OTHER)
    assert (found.cause is Cause.UNVERIFIED) is not believed
    commit = source.commit({})
    assert commit is not None
    assert (commit.id, commit.verified) == (NEW, Verified.YES if believed else Verified.NO)
    assert clone.following == (NEW if believed else "")


@pytest.mark.parametrize("verify", [True, False])
def test_a_history_that_was_rewritten_while_no_process_ran_is_noticed(*, verify: bool) -> None:
    """What was followed before is compared first, and followed then; only a commit that descends from it overtakes."""
    clone = ToldClone({OTHER})
    clone.following = OLD
    found, _source = fetched(clone, verify=verify)
    assert (found.rewritten, found.overtaken) == (OLD, ())
    assert clone.steps == ["compared", "followed"]
    clone.following = OTHER
    found, _source = fetched(clone, verify=verify)
    assert (found.rewritten, found.overtaken) == ("", (f"after {OTHER}, before {NEW}",))
    clone.following = ""
    found, _source = fetched(clone, verify=verify)
    assert (found.rewritten, found.overtaken) == ("", ())


@pytest.mark.parametrize("verify", [True, False])
def test_a_commit_whose_files_did_not_come_was_not_followed(*, verify: bool) -> None:
    """Once they come, its history is compared with that of the commit before, and what it overtook is known."""
    for ancestors, found_then in (
        ({OTHER}, ("", (f"after {OTHER}, before {NEW}",))),
        ({OLD}, (OTHER, ())),
    ):
        clone = ToldClone(ancestors)
        clone.following = OTHER
        clone.trouble = GitTimeout("git took too long")
        with pytest.raises(ReconcilerError, match="too long"):
            fetched(clone, verify=verify)
        clone.trouble = None
        found, _source = fetched(clone, verify=verify)
        assert (found.rewritten, found.overtaken) == found_then
