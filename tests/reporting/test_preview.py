"""Plans of proposed files: the running daemon says what a pull request would do, without a call to LG."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import httpx

from reconciler.core.acceptance import AccountRevision, Claims
from reconciler.core.model import AccountName
from reconciler.simulator import Route
from reconciler.simulator.faults import Error
from scenarios import (
    Site,
    account_text,
    child_environment,
    credentials_folder,
    eventually,
    fault,
    fleet,
    idle_site,
    owned,
    site,
    text,
    write,
)
from simulated import Fleet

TOKEN = "a-listen-token-of-some-length"


async def plan_there(
    one: Site, proposed: Path, *arguments: str, **given: str
) -> tuple[int, str, str]:
    """Run ``plan --server`` as a pull request's check would: with files, and without credentials or state."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "reconciler", "plan", "--server", str(one.http.base_url), *arguments),
        env=child_environment({"PCC_DESIRED_STATE": str(proposed), **given}),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def settled(folder: Path, wanted: Sequence[str], one: Site) -> Path:
    """Start a daemon, wait until its fleet is as wanted, and return where a proposal may be written."""
    write(one.file, text(wanted))
    await one.start()
    await one.has(wanted)
    await eventually(lambda: one.told("pass.completed", condition="in_sync"))
    return folder / "proposed" / "desired-state.toml"


async def test_a_proposal_is_planned_on_what_the_daemon_knows(tmp_path: Path) -> None:
    """It shows what would be subscribed and unsubscribed, by name, and costs no call and changes nothing."""
    platform = fleet(24)
    devices = owned(platform)
    async with idle_site(tmp_path, platform) as one:
        proposed = await settled(tmp_path, devices[:20], one)
        write(proposed, text([*devices[1:20], devices[22]]))
        before = len(platform.requests)
        code, out, err = await plan_there(one, proposed)
        assert (code, err) == (0, "")
        assert f"+ {devices[22][:12]}\n" in out
        assert f"- {devices[0][:12]}\n" in out
        assert "planned on the last trusted list" in out
        assert (await plan_there(one, proposed, "--detailed-exitcode"))[0] == 2
        assert len(platform.requests) == before
        assert one.live() == set(devices[:20])
        assert len(one.told("desired.accepted")) == 1


async def test_a_proposal_is_guarded_like_a_pass(tmp_path: Path) -> None:
    """What a guard would hold after the merge is held in the plan, with the block that lets it go and exit code 3."""
    platform = fleet(20)
    devices = owned(platform)
    async with idle_site(tmp_path, platform) as one:
        proposed = await settled(tmp_path, devices, one)
        write(proposed, text(devices[:8]))
        code, out, _ = await plan_there(
            one, proposed, "--detailed-exitcode", "--output", "markdown"
        )
        assert code == 3
        assert "too-many" in out
        assert "[[approvals]]" in out
        code, out, _ = await plan_there(one, proposed, "--output", "json")
        document = json.loads(out)
        assert (code, document["exit_code"]) == (0, 0)
        account = document["accounts"][0]
        assert [held["reason"] for held in account["held"]] == ["too-many"] * 12
        listed = proposed.parent / "removed" / "wing-b.txt"
        code, out, err = await plan_there(one, proposed, "--approval", "removed/wing-b.txt")
        assert (code, err) == (0, "")
        assert 'device_files = ["removed/wing-b.txt"]' in out
        assert {line.split("#")[0].strip() for line in listed.read_text().splitlines()} == set(
            devices[8:]
        )
        approval = (
            '[[approvals]]\ndevice_files = ["removed/wing-b.txt"]\n'
            'expires = 2099-01-01T00:00:00Z\nreason = "B"\n'
        )
        write(proposed, text(devices[:8]) + approval)
        code, out, _ = await plan_there(one, proposed, "--detailed-exitcode")
        assert code == 2
        assert out.count("\n  - ") == 12


async def test_faults_of_a_proposal_are_told_all(tmp_path: Path) -> None:
    """Faulty files end with exit code 1 and every fault, seen here or by the daemon, which knows its environment."""
    platform = fleet(4)
    async with idle_site(tmp_path, platform, PCC_ENVIRONMENT="production") as one:
        write(one.file, text(owned(platform), 'environment = "production"'))
        await one.start()
        await one.has(owned(platform))
        proposed = tmp_path / "proposed" / "desired-state.toml"
        write(proposed, 'version = 1\ncolour = "red"\ndevices = ["a b"]\n')
        code, out, err = await plan_there(one, proposed)
        assert (code, out) == (1, "")
        assert len(err.splitlines()) == 2
        assert f"{proposed}:2:1: " in err
        write(proposed, text(owned(platform), 'environment = "staging"'))
        code, out, err = await plan_there(one, proposed)
        assert (code, out) == (1, "")
        assert "another environment than 'production'" in err
        assert "the proposed files are not valid" in err


async def test_new_and_vanished_accounts_are_told(tmp_path: Path) -> None:
    """Of a new account nothing is known but its wishes; one that is not in the files any more would be abandoned."""
    platform = fleet(3, users=("seoul", "busan"))
    folder = credentials_folder(platform, tmp_path / "credentials")
    async with idle_site(tmp_path, platform, PCC_CREDENTIALS_DIR=str(folder)) as one:
        write(one.file, account_text("seoul", owned(platform, "seoul")))
        await one.start()
        await one.has(owned(platform, "seoul"), "seoul")
        proposed = tmp_path / "proposed" / "desired-state.toml"
        write(proposed, account_text("busan", owned(platform, "busan")))
        code, out, err = await plan_there(one, proposed, "--detailed-exitcode")
        assert code == 2
        assert out.count("\n  + ") == 3
        assert "The live list of a new account is not known yet" in out
        assert "Account seoul is managed today but missing from these files" in err
        code, _, err = await plan_there(one, proposed, "--account", "bussan")
        assert code == 1
        assert "did you mean 'busan'?" in err


async def test_proposed_accounts_leave_nothing_behind() -> None:
    """Whatever accounts somebody proposes, the daemon remembers no more than before, and a pass goes on as before."""
    one = Fleet(12)
    await one.reconcile()
    before, standing = set(one.state._behind.remembered.accounts), one.reconciler.accounts.statuses
    assert one.text is not None
    for number in range(20):
        stranger = replace(one.text.desired, account=AccountName(f"stranger-{number}"))
        one.reconciler.previews.preview(AccountRevision(stranger, one.text.revision), Claims())
    one.reconciler.previews.preview(
        replace(one.text, desired=replace(one.text.desired, devices=frozenset())), Claims()
    )
    assert set(one.state._behind.remembered.accounts) == before
    assert one.reconciler.accounts.statuses == standing
    assert (await one.reconcile()).settled
    assert len(one.live) == 12
    assert not one.calls("DELETE")


async def test_retries_of_edited_devices_are_not_held_in_a_plan(tmp_path: Path) -> None:
    """A refused device waits in the plan as it does in force, unless the proposal edits its entry."""
    platform = fleet(3)
    devices = owned(platform)
    platform.set_faults(fault(Error(code="1214"), Route.SUBSCRIBE, count=1))
    async with idle_site(tmp_path, platform, PCC_CONCURRENCY="1") as one:
        write(one.file, text(devices))
        await one.start()
        await eventually(lambda: one.told("pass.completed", refused=1))
        refused = one.told("change.refused")[0]["device"]
        proposed = tmp_path / "proposed" / "desired-state.toml"
        write(proposed, text(devices))
        assert (await plan_there(one, proposed, "--detailed-exitcode"))[0] == 4
        entry = f'  {{ id = "{refused}", name = "moved" }},\n'
        write(proposed, text(devices).replace(f'  "{refused}",\n', entry))
        assert (await plan_there(one, proposed, "--detailed-exitcode"))[0] == 2


async def test_an_account_whose_list_was_never_trusted_cannot_be_planned(tmp_path: Path) -> None:
    """Where nothing is known yet the answer is an error, never an empty plan."""
    platform = fleet(3)
    platform.set_faults(fault(Error(code="2000"), Route.LIST))
    write(tmp_path / "desired-state.toml", text(owned(platform)))
    async with site(tmp_path, platform) as one:
        await eventually(lambda: one.told("list.failed"))
        code, out, _ = await plan_there(one, one.file)
        assert code == 1
        assert "no live list of this account was trusted yet" in out


async def test_who_may_have_plans_made(tmp_path: Path) -> None:
    """A plan takes input, so it wants the listen token where there is one, JSON, and no more than is bearable."""
    platform = fleet(3)
    async with idle_site(tmp_path, platform, PCC_LISTEN_TOKEN=TOKEN) as one:
        proposed = await settled(tmp_path, owned(platform), one)
        write(proposed, text(owned(platform)))
        assert (await plan_there(one, proposed))[0] == 1
        assert (await plan_there(one, proposed, PCC_LISTEN_TOKEN=TOKEN))[0] == 0
        files = {"a.toml": text(owned(platform))}
        answer = await one.http.post("/api/v1/plan", json={"documents": ["a.toml"], "files": files})
        assert answer.status_code == 401
        bearer = {"authorization": f"Bearer {TOKEN}"}
        answers = [
            await one.http.post(
                "/api/v1/plan", content=body, headers=bearer | {"content-type": "application/json"}
            )
            for body in (
                b"{",
                b"[]",
                b'{"documents": []}',
                b'{"documents": ["a"], "files": {}, "colour": 1}',
            )
        ]
        assert [one.status_code for one in answers] == [400] * 4
        answer = await one.http.post(
            "/api/v1/plan", json={"documents": ["a.toml"], "files": {}}, headers=bearer
        )
        assert (answer.status_code, len(answer.json()["faults"])) == (422, 1)
        assert "default" not in await hostile(one.http, bearer)


async def hostile(http: httpx.AsyncClient, bearer: dict[str, str]) -> str:
    """Send files whose names lead elsewhere; return what is said of them."""
    files = {
        "../../etc/passwd": "x",
        "a.toml": 'version = 1\ndevices = []\ndevice_files = ["../../etc/*"]\n',
    }
    answer = await http.post(
        "/api/v1/plan", json={"documents": ["a.toml"], "files": files}, headers=bearer
    )
    assert answer.status_code == 422
    return answer.text
