"""Plans files with the help of a running daemon, so that a pull request's checks need neither credentials nor state.

Owns: what is sent to ``POST /api/v1/plan`` and how its answer is read. Must not: print, or call LG.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from reconciler.core.approvals import APPROVABLE
from reconciler.core.errors import DaemonError, Invalid
from reconciler.core.model import AccountName, Action, DeviceId
from reconciler.desired import Loaded
from reconciler.desired.ids import is_id
from reconciler.reporting.formats.comment import LONGEST
from reconciler.reporting.formats.screen import Screen
from reconciler.source import FileSource, load_fetched

Ask = Callable[[str, dict[str, Any]], dict[str, Any]]
"""Sends a path and a body to the daemon, and returns its answer."""
CODES = frozenset({0, 1, 2, 3, 4})


@dataclass(frozen=True, slots=True)
class RemotePlan:
    """A plan as the daemon made it: the document of ``plan --output json``, and the same as it is ``shown`` to people.

    ``needed`` are, by account, the devices that wait for approval, ``names`` their names in the files.
    """

    document: dict[str, Any]
    code: int
    notes: Sequence[str]
    shown: str
    needed: Mapping[AccountName, Sequence[DeviceId]]
    names: Mapping[DeviceId, str]


def plan(
    path: Path,
    environment: str | None,
    accounts: Sequence[str],
    ask: Ask,
    *,
    show: str,
    approval: str | None = None,
    screen: Screen | None = None,
    longest: int = LONGEST,
) -> RemotePlan:
    """Return what the daemon would make of the files at a path. Raises ``Invalid`` with every fault they have.

    ``show`` is ``none``, ``text`` or ``markdown``; ``approval`` the device file that an approval shall name;
    ``screen`` the room for text, ``longest`` the characters of Markdown. What is usual is not sent,
    so that a daemon of before this version answers, too.
    """
    loaded, documents = _proposed(path, environment)
    body: dict[str, Any] = {
        "documents": documents,
        "files": {name: content.decode() for name, content in loaded.files.items()},
        "accounts": list(accounts),
        "show": show,
        "approval": approval,
    }
    if longest != LONGEST:
        body["longest"] = longest
    if screen is not None and screen != Screen():
        body["screen"] = asdict(screen)
    answer = ask("/api/v1/plan", body)
    try:
        document = answer["plan"]
        needed = {AccountName(one["account"]): _needed(one["held"]) for one in document["accounts"]}
        found = RemotePlan(
            document=document,
            code=document["exit_code"] if document["exit_code"] in CODES else 1,
            notes=[str(note) for note in answer["notes"]],
            shown=str(answer["shown"]),
            needed=needed,
            names={
                device: name
                for one in loaded.accounts.values()
                for device, name in one.names.items()
            },
        )
    except (LookupError, TypeError) as error:
        raise DaemonError("what answers is not this daemon, or one of another version") from error
    return found


def _proposed(path: Path, environment: str | None) -> tuple[Loaded, list[str]]:
    fetched = FileSource(path, named_by="PCC_DESIRED_STATE").fetch()
    loaded = load_fetched(fetched, environment=environment)
    if loaded.every_fault:
        raise Invalid(loaded.every_fault)
    return loaded, [document.path for document in fetched.documents]


def _needed(held: Sequence[Mapping[str, str]]) -> Sequence[DeviceId]:
    return [
        _device(one["device"])
        for one in held
        if one["reason"] in APPROVABLE and one["action"] == Action.UNSUBSCRIBE
    ]


def _device(word: object) -> DeviceId:
    """Return an id that may be written to a device file; raises ``TypeError`` for what is none."""
    if not isinstance(word, str) or not is_id(word):
        raise TypeError("not a device id")
    return DeviceId(word)
