"""What past changes may be asked for by: action, result, author, revision.

Owns: when a change is like what is asked for, by the same rules as a database has. Must not: read anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from string import ascii_lowercase, ascii_uppercase

from reconciler.core.memory import Past
from reconciler.core.model import Action, Result, Revision

BEGUN = "begun"
"""The result of a change of which nobody knows the outcome yet."""
_LOWER = str.maketrans(ascii_uppercase, ascii_lowercase)


def folded(text: str) -> str:
    """Return text in which capital letters do not count. Only those of ASCII, as in the database."""
    return text.translate(_LOWER)


@dataclass(frozen=True, slots=True)
class Traits:
    """What a past change must be like: action, result (or ``BEGUN``), author and revision.

    ``author`` is any part of the name or address of the commit's author, ``revision`` the beginning of a commit id or
    of ``sha256:…``. What is None does not matter.
    """

    action: Action | None = None
    result: Result | str | None = None
    author: str | None = None
    revision: str | None = None

    def fit(self, past: Past) -> bool:
        """Return whether a past change is like this."""
        if self.action not in {None, past.action} or self.result not in {
            None,
            past.result or BEGUN,
        }:
            return False
        return self._by_author(past.revision) and self._of_revision(past.revision)

    def _by_author(self, revision: Revision | None) -> bool:
        if self.author is None:
            return True
        commit = revision.made_by if revision is not None else None
        return commit is not None and folded(self.author) in folded(commit.author)

    def _of_revision(self, revision: Revision | None) -> bool:
        if self.revision is None:
            return True
        names = () if revision is None else (str(revision), f"sha256:{revision.sha256}")
        return any(name.startswith(self.revision) for name in names)


ANY = Traits()
"""All changes are like this."""
