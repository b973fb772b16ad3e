"""What is handed on for the plan of proposed files, without a daemon."""

from __future__ import annotations

import pytest

from core_strategies import NOW
from reconciler.core.acceptance import Accepted, AccountRevision, Claims
from reconciler.core.errors import Invalid
from reconciler.core.model import AccountName, DeviceId, Revision
from reconciler.core.protection import Stated
from reconciler.core.status import PassReport
from reconciler.desired import Document, MemoryTree, digest, load
from reconciler.reporting.preview import Proposal, Proposed, planned

SEOUL, BUSAN = AccountName("seoul"), AccountName("busan")
MOVED, KEPT = DeviceId("moved"), DeviceId("kept")
IN_FORCE = (
    "version = 1\n[accounts.seoul]\ndevices = ['kept', 'moved']\n"
    "[accounts.busan]\ndevices = [{ id = 'safe', protected = true }]\n"
)
PROPOSED = (
    "version = 1\nenvironment = 'prod'\n[accounts.seoul]\ndevices = ['kept']\n"
    "[accounts.busan]\ndevices = ['moved', { id = 'safe', protected = false }, { id = 'new', protected = true }]\n"
    "[accounts.jeju]\ndevices = []\n"
)


def accepted(text: str = IN_FORCE) -> Accepted:
    """Return what is in force."""
    loaded = load([Document("d.toml", text.encode())], MemoryTree({}))
    revision = Revision("a" * 64)
    texts = {name: AccountRevision(one, revision) for name, one in loaded.accounts.items()}
    return Accepted(texts, revision=revision)


class Planner:
    """Keeps what it is asked for."""

    def __init__(self) -> None:
        self.asked: dict[AccountName, tuple[AccountRevision, Claims, Stated]] = {}

    def __call__(self, text: AccountRevision, claims: Claims, stated: Stated) -> PassReport:
        """Plan nothing."""
        self.asked[text.desired.account] = text, claims, stated
        return PassReport(text.desired, NOW, NOW)


async def propose(
    planner: Planner, text: str = PROPOSED, in_force: Accepted | None = None, *accounts: str
) -> Proposed:
    """Let proposed files be planned."""
    proposal = Proposal(("d.toml",), {"d.toml": text}, accounts)
    before = accepted() if in_force is None else in_force
    return await planned(proposal, before, planner, environment="prod")


async def test_each_account_is_planned_with_what_the_files_as_a_whole_say() -> None:
    """Its own part, the wishes of the other proposed accounts, and what the files change about protection."""
    planner = Planner()
    found = await propose(planner)
    assert [one.account for one in found.reports] == ["busan", "jeju", "seoul"]
    sha256 = digest({"d.toml": PROPOSED.encode()})
    assert {text.revision.sha256 for text, _claims, _stated in planner.asked.values()} == {sha256}
    assert {one.revision for one in found.reports} == {str(Revision(sha256))}
    text, claims, stated = planner.asked[SEOUL]
    assert text.desired.devices == {KEPT}
    assert claims.elsewhere(SEOUL, [MOVED, KEPT], NOW) == {MOVED: BUSAN}
    assert claims.elsewhere(BUSAN, [MOVED, KEPT], NOW) == {KEPT: SEOUL}
    assert dict(stated.protected) == {DeviceId("new"): BUSAN}
    assert stated.ended == {DeviceId("safe")}


async def test_an_account_that_stays_as_it_is_is_planned_by_what_is_in_force() -> None:
    """So its retries and what was learned of its entries count."""
    planner, before = Planner(), accepted()
    text = PROPOSED.replace("devices = ['kept']", "devices = ['kept', 'moved']")
    await propose(planner, text, before)
    assert planner.asked[SEOUL][0].desired is before.accounts[SEOUL].desired
    assert planner.asked[BUSAN][0].desired is not before.accounts[BUSAN].desired


async def test_only_the_accounts_that_are_asked_for_are_planned() -> None:
    """With the claims of all of them nevertheless."""
    planner = Planner()
    found = await propose(planner, PROPOSED, None, "seoul")
    assert [one.account for one in found.reports] == ["seoul"]
    assert planner.asked[SEOUL][1].elsewhere(SEOUL, [MOVED], NOW) == {MOVED: BUSAN}


@pytest.mark.parametrize("wrong", ["environment = 'test'\n", ""])
async def test_files_of_another_environment_are_not_planned(wrong: str) -> None:
    """As they would not be accepted, and neither are files that state none."""
    planner = Planner()
    with pytest.raises(Invalid):
        await propose(planner, PROPOSED.replace("environment = 'prod'\n", wrong))
    assert planner.asked == {}


async def test_accounts_that_leave_are_named_for_what_becomes_of_them() -> None:
    """One that is retired is meant to go, and another one would be abandoned."""
    text = "version = 1\nenvironment = 'prod'\nretired_accounts = ['busan']\n[accounts.new]\ndevices = []\n"
    found = await propose(Planner(), text)
    busan, seoul = found.notes
    assert busan == "Account busan is retired in these files; no call would be made for it."
    assert seoul.startswith("Account seoul is managed today but missing from these files")
