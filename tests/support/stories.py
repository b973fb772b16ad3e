"""The life of a small fleet over three days, in which a device comes to each end that ``explain`` can tell of.

On simulated time, so the stories are the same each time; docs/explain.md shows them, and tests read them.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from functools import cache

from structlog.testing import capture_logs

from reconciler import desired
from reconciler.core.acceptance import Accepted, AccountRevision
from reconciler.core.errors import Unknown
from reconciler.core.model import DEFAULT_ACCOUNT, Commit, DeviceId, Revision
from reconciler.desired import Document, MemoryTree
from reconciler.reporting import queries
from reconciler.reporting.formats import explanations as shown
from reconciler.reporting.knowledge import Knowledge
from reconciler.reporting.queries import DeviceExplanation
from reconciler.simulator import Match, Route, Rule
from reconciler.simulator import faults as fault
from reconciler.state import KeptText
from simulated import Fleet

PATH = "desired-state.toml"
DAY = timedelta(days=1)
CASES = {
    "subscribed": "is wanted, and live",
    "unsubscribed": "was taken out by a commit, and LG unsubscribed it",
    "held": "was taken out with many others, so a guard waits for a person",
    "refused": "is wanted, and LG does not take it",
    "unmanaged": "is live, and was never ours",
    "approved": "was taken out with the others, and an approval let it go",
}
ASKED_BY = "the daemon at http://127.0.0.1:8080"


@dataclass(frozen=True)
class World:
    """What is known at the end of the three days, and which device is an example of what."""

    known: Knowledge
    examples: dict[str, DeviceId]

    def explain(self, asked: str) -> DeviceExplanation:
        """Explain a device."""
        return queries.explain(self.known, asked)


class Editor:
    """Somebody who commits texts, with the fleet that has to follow."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.accepted = Accepted()
        self._commits = 0

    async def commit(
        self, who: str, subject: str, devices: Iterable[DeviceId], *lines: str
    ) -> None:
        """Bring a text into force, and make a pass of it."""
        fleet, self._commits = self.fleet, self._commits + 1
        content = self._text(devices, *lines).encode()
        loaded = desired.load([Document(PATH, content)], MemoryTree({}))
        assert not loaded.faults, loaded.faults
        digit = f"{self._commits}"
        commit = Commit(f"{digit}f2a91c7" + digit * 32, who, subject, fleet.clock.now())
        revision = Revision(loaded.sha256, commit)
        text = AccountRevision(loaded.accounts[DEFAULT_ACCOUNT], revision)
        fleet.text = text
        fleet.state.accounts.desire(text.desired, revision, fleet.clock.now())
        fleet.state.revisions.keep([KeptText(PATH, revision, loaded.files)])
        self.accepted = Accepted({DEFAULT_ACCOUNT: text}, revision=revision, newest=revision)
        await fleet.reconcile(after=timedelta(seconds=1))

    def _text(self, devices: Iterable[DeviceId], *lines: str) -> str:
        owned = self.fleet.platform.world.user("default").devices
        listed = "".join(f'  {{ id = "{one}", name = "{owned[one].alias}" }},\n' for one in devices)
        return "\n".join(
            ["version = 1", 'policy.prune = "owned"', "devices = [", f"{listed}]", *lines, ""]
        )


async def live(fleet: Fleet) -> World:
    """Let three days pass."""
    editor, devices = Editor(fleet), fleet.owned
    refused, unmanaged, gone = devices[15], devices[16], devices[2]
    fleet.platform.subscribe("default", unmanaged)
    refusal = fault.Error(code="1214")
    fleet.platform.set_faults(Rule(refusal, match=Match(route=Route.SUBSCRIBE, devices=(refused,))))
    await editor.commit("Kim Minji <minji@hotel.example>", "Take in both wings", devices[:16])
    fleet.clock.pass_by(DAY)
    rest = [one for one in devices[:16] if one != gone]
    await editor.commit("Lee Jun <jun@hotel.example>", "Room 103 is closed", rest)
    await fleet.reconcile(after=DAY)
    staying, leaving = [*rest[:4], refused], rest[4:14]
    ids = ", ".join(f'"{one}"' for one in leaving[:2])
    approval = (
        "[[approvals]]",
        f"devices = [{ids}]",
        "expires = 2026-12-01T00:00:00Z",
        'reason = "wing B is rebuilt"',
    )
    await editor.commit(
        "Park Seo <seo@hotel.example>", "Wing B is being rebuilt", staying, *approval
    )
    await fleet.reconcile(after=timedelta(minutes=10))
    now = fleet.clock.now()
    known = Knowledge(
        now=now + timedelta(minutes=2),
        accepted=editor.accepted,
        state=fleet.state,
        kept=fleet.state.revisions.kept,
        statuses=fleet.reconciler.accounts.statuses,
        passes={DEFAULT_ACCOUNT: now + timedelta(minutes=10)},
    )
    return World(
        known,
        dict(
            zip(CASES, (devices[0], gone, leaving[4], refused, unmanaged, leaving[0]), strict=True)
        ),
    )


@cache
def world() -> World:
    """Return what is known after the three days."""
    with capture_logs():
        return asyncio.run(live(Fleet(20, wanted=0)))


def told() -> list[str]:
    """Return the seven stories as ``explain`` prints them, as a section of a document."""
    examples, lines = world().examples, list[str]()
    for case, words in CASES.items():
        text = shown.explanation_text(world().explain(examples[case]), ASKED_BY)
        lines += ["", f"## A device that {words}", "", *_console(examples[case], text)]
    asked = examples["subscribed"][:-1] + "x"
    lines += [
        "",
        "## A device that nobody knows",
        "",
        *_console(asked, f"pcc-reconciler: {refusal(asked)}"),
    ]
    return [*steady(lines), ""]


def refusal(asked: str) -> str:
    """Return what is said of a device that is not known."""
    try:
        world().explain(asked)
    except Unknown as error:
        return str(error)
    raise LookupError(asked)


def _console(asked: str, text: str) -> list[str]:
    return [
        "```console",
        f"$ pcc-reconciler explain {asked}",
        *text.rstrip("\n").split("\n"),
        "```",
    ]


def steady(lines: Iterable[str]) -> list[str]:
    """Return lines in which ids that are drawn anew each time are counted instead."""
    seen: dict[str, str] = {}

    def number(match: re.Match[str]) -> str:
        word, drawn = match.groups()
        return f"{word} {seen.setdefault(drawn, f'{len(seen) + 1:0{len(drawn)}x}')}"

    return [
        re.sub(r"\b(pass|message id|LG's) ([\w-]{12,22})(?=[,\s]|$)", number, line)
        for line in lines
    ]
