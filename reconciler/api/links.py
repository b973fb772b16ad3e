"""Where the links of the pages lead: to other pages, to the documents, to the forge and to Grafana.

Owns: how such an address is put together. Must not: know what a page shows, or read settings.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote, urlencode


@dataclass(frozen=True, slots=True)
class Links:
    """What the operator set. An empty address means that there is no such link.

    ``base`` is the path under which the pages are, without a slash at its end. ``commit`` has ``{commit}`` where the id
    of a commit goes. ``metrics``: they are served beside the pages, and have no port of their own.
    """

    base: str = ""
    docs: str = ""
    commit: str = ""
    grafana: str = ""
    metrics: bool = True

    def to(self, path: str, **query: str | None) -> str:
        """Return the address of a path of ours, with the parameters that have a value."""
        return f"{self.base}{path}{self.query(**query)}"

    def query(self, **query: str | None) -> str:
        """Return the part of an address behind its path: the parameters that have a value."""
        asked = {name: value for name, value in query.items() if value}
        return f"?{urlencode(asked)}" if asked else ""

    def account(self, name: str) -> str:
        """Return the address of an account's page."""
        return self.to(f"/accounts/{_segment(name)}")

    def device(self, account: str, device: str) -> str:
        """Return the address of a device's page."""
        return self.to(f"/accounts/{_segment(account)}/devices/{_segment(device)}")

    def reason(self, reason: str) -> str:
        """Return the address of the section about a reason, or nothing."""
        return f"{self.docs.rstrip('/')}/guards.md#{quote(reason)}" if self.docs else ""

    def commit_of(self, commit: str | None) -> str:
        """Return the address of a commit at the forge, or nothing."""
        if not self.commit or not commit:
            return ""
        return self.commit.replace("{commit}", quote(commit, safe=""))


def _segment(word: str) -> str:
    """Return a word as one part of a path. A dot alone would mean a folder."""
    return quote(word, safe="").replace(".", "%2E") if set(word) == {"."} else quote(word, safe="")
