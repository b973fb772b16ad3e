"""The daemon follows a real repository: pushes, calamities, signatures, and the commands that read it too."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from datetime import timedelta
from functools import partial
from hashlib import sha256
from hmac import digest
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

import scenarios
from reconciler.simulator import Platform, Record, Route
from repositories import (
    AUTHOR,
    GitServer,
    Remote,
    allow,
    git,
    http_server,
    signed_by,
    ssh_key,
    ssh_server,
)
from scenarios import (
    Sent,
    Site,
    Wire,
    child_environment,
    eventually,
    eventually_true,
    fleet,
    idle_site,
    owned,
    site,
    text,
    write,
)

pytestmark = pytest.mark.system

TEXT = "desired-state.toml"
SECRET = "a-shared-secret"
GENEROUS = "policy.max_unsubscribe = 1000"


@pytest.fixture
def platform() -> Platform:
    """Give a platform with twenty devices, none of them subscribed."""
    return fleet(20)


@pytest.fixture
def remote(tmp_path: Path, platform: Platform) -> Remote:
    """Give a repository that wants fifteen of them."""
    made = Remote(tmp_path / "served")
    made.publish({TEXT: text(owned(platform)[:15], GENEROUS)}, "Begin with wing A")
    return made


@pytest.fixture
def server(remote: Remote) -> Iterator[GitServer]:
    """Serve the repository over http."""
    with http_server(remote.bare.parent) as running:
        yield running


def following(url: str, **more: str) -> dict[str, str]:
    """Return the settings of a daemon that follows a repository."""
    return {"PCC_GIT_URL": url, "PCC_DESIRED_STATE": TEXT, "PCC_GIT_INTERVAL": "1s", **more}


def changes_since(platform: Platform, count: int) -> list[Record]:
    """Return the changes that the platform was asked for after so many requests."""
    return [call for call in list(platform.requests)[count:] if call.route is not Route.LIST]


async def status(one: Site) -> dict[str, Any]:
    """Ask the daemon where everything stands."""
    found: dict[str, Any] = (await one.get("/api/v1/status")).json()
    return found


@pytest.mark.parametrize("transport", ["file", "http", "ssh"])
async def test_push_is_acted_on(
    tmp_path: Path,
    remote: Remote,
    transport: str,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    """A push leads to the calls it wants, at the first look after it; each change is told with commit and author."""
    platform: Platform = request.getfixturevalue("platform")
    devices, url = owned(platform), remote.url
    with ExitStack() as stack:
        server = stack.enter_context(http_server(remote.bare.parent))
        if transport == "ssh":
            ssh = stack.enter_context(ssh_server(tmp_path / "sshd"))
            monkeypatch.setenv("GIT_SSH_COMMAND", ssh.command)
            url = ssh.url(remote)
        async with site(
            tmp_path, platform, **following(server.url if transport == "http" else url)
        ) as one:
            await one.has(devices[:15])
            assert {line["author"] for line in one.told("change.applied")} == {AUTHOR}
            looks, passed = server.asked(), platform.request_count
            pushed = remote.publish({TEXT: text(devices[1:16], GENEROUS)}, "Exchange a fridge")
            began = monotonic()
            await eventually(lambda: changes_since(platform, passed))
            request.node.user_properties.append(("seconds to the first call", monotonic() - began))
            assert server.asked() - looks <= 4, (
                "the first look after a push, which takes up to two questions, is enough"
            )
            await one.has(devices[1:16])
            for action, device in (("subscribe", devices[15]), ("unsubscribe", devices[0])):
                facts = {"action": action, "device": device, "commit": pushed, "author": AUTHOR}
                await eventually(
                    partial(one.told, "change.applied", **facts), f"a line of {action}"
                )
            metrics = await one.metrics()
            assert (
                f'pcc_desired_revision_info{{revision="{pushed}",source="git",verified="unchecked"}} 1.0'
                in metrics
            )
            told = (await status(one))["text"]
            assert (told["source"], told["revision"]) == ("git", pushed)
            assert (told["commit"]["author"], told["commit"]["subject"]) == (
                AUTHOR,
                "Exchange a fridge",
            )
            assert "Exchange a fridge" in (await one.get("/")).text
            at = float(git(remote.work, "log", "-1", "--format=%ct"))
            seen = next(
                line
                for line in metrics.splitlines()
                if line.startswith("pcc_desired_commit_timestamp_seconds ")
            )
            assert float(seen.split()[1]) == at


async def pushed_hook(one: Site) -> int:
    """Tell the daemon of a push, as GitHub does."""
    signature = "sha256=" + digest(SECRET.encode(), b"{}", sha256).hex()
    return (
        await one.http.post("/hooks/git", content=b"{}", headers={"X-Hub-Signature-256": signature})
    ).status_code


async def test_webhook_does_not_wait_for_the_interval(
    tmp_path: Path,
    platform: Platform,
    remote: Remote,
    server: GitServer,
    request: pytest.FixtureRequest,
) -> None:
    """With an interval of a day the webhook brings a push in; of many calls during one look one more follows."""
    devices = owned(platform)
    given = following(server.url, PCC_GIT_INTERVAL="1d", PCC_WEBHOOK_SECRET=SECRET)
    async with site(tmp_path, platform, **given) as one:
        await one.has(devices[:15])
        remote.publish({TEXT: text(devices, GENEROUS)})
        passed, began = platform.request_count, monotonic()
        assert await pushed_hook(one) == 202
        await eventually(lambda: changes_since(platform, passed))
        request.node.user_properties.append(("seconds to the first call", monotonic() - began))
        await one.has(devices)
        await eventually(lambda: not one.process.components.informer.reading)
        looks = server.asked()
        server.open.clear()
        assert await pushed_hook(one) == 202
        await eventually(lambda: server.asked() == looks + 1)  # this look is under way, and waits
        assert [await pushed_hook(one) for _ in range(20)] == [202] * 20
        server.open.set()
        await eventually(lambda: server.asked() == looks + 2)
        await eventually(lambda: not one.process.components.informer.reading)
        assert server.asked() == looks + 2


async def test_wait_for_a_merge_that_was_overtaken_before_it_was_fetched(
    tmp_path: Path, platform: Platform, remote: Remote
) -> None:
    """Two merges within one interval are fetched as one, and the check of the first learns that its time has come."""
    devices = owned(platform)
    given = following(remote.url, PCC_GIT_INTERVAL="1d", PCC_WEBHOOK_SECRET=SECRET)
    async with site(tmp_path, platform, **given) as one:
        await one.has(devices[:15])
        first = remote.publish({TEXT: text(devices[:16], GENEROUS)})
        second = remote.publish({TEXT: text(devices, GENEROUS)})
        assert await pushed_hook(one) == 202
        await one.has(devices)
        code, _, err = await scenarios.command(
            one, "status", "--wait", "--revision", first, "--timeout", "30s"
        )
        assert (code, err) == (0, f"1 account done with revision {second[:12]}\n")
        assert (
            await scenarios.command(
                one, "status", "--wait", "--revision", "f" * 40, "--timeout", "1s"
            )
        )[0] == 1


async def test_push_in_the_middle_of_a_pass_stops_the_old_plan(
    tmp_path: Path, platform: Platform, remote: Remote
) -> None:
    """From the moment a pushed commit is in force no call is made that only the one before wanted."""
    platform.set_options(latency=0.2)
    devices = owned(platform)
    given = following(
        remote.url, PCC_CONCURRENCY="1", PCC_GIT_INTERVAL="1d", PCC_WEBHOOK_SECRET=SECRET
    )
    async with idle_site(tmp_path, platform, **given) as one:
        wire = one.transport = Wire()
        await one.start()
        await eventually(lambda: len(one.calls(Route.SUBSCRIBE)) >= 3)
        wanted = sorted(str(call.device) for call in one.calls(Route.SUBSCRIBE))
        informer = one.process.components.informer
        tell = informer._changed

        def told(accounts: Any) -> None:
            wire.notes.append("in force")
            tell(accounts)

        informer._changed = told
        remote.publish({TEXT: text(wanted, GENEROUS)}, "No, only these")
        await pushed_hook(one)
        await one.has(wanted)
        await eventually(lambda: "in force" in wire.notes)
        after = [
            note for note in wire.notes[wire.notes.index("in force") :] if isinstance(note, Sent)
        ]
        assert not [
            note
            for note in after
            if note.method == "POST" and note.path.rpartition("/")[2] not in wanted
        ]
        assert not one.live() & set(devices[15:])


# -- calamities: nothing is unsubscribed, the state is clear, and it mends itself


def _branch_deleted(remote: Remote, _state: Path) -> None:
    remote.push(":main")


def _repository_emptied(remote: Remote, _state: Path) -> None:
    shutil.rmtree(remote.bare)
    git(remote.bare.parent, "init", "--quiet", "--bare", str(remote.bare))


def _file_deleted(remote: Remote, _state: Path) -> None:
    (remote.work / TEXT).unlink()
    remote.commit_all()
    remote.push()


def _file_is_a_link(remote: Remote, _state: Path) -> None:
    (remote.work / TEXT).unlink()
    (remote.work / TEXT).symlink_to("/etc/passwd")
    remote.commit_all()
    remote.push()


def _file_is_large(remote: Remote, _state: Path) -> None:
    remote.large_file(TEXT, 97)


def _file_is_faulty(remote: Remote, _state: Path) -> None:
    remote.publish({TEXT: "version = 1\ndevcies = []\n"})


def _remote_gone(remote: Remote, _state: Path) -> None:
    remote.bare.rename(remote.bare.with_suffix(".away"))


CALAMITIES: dict[Callable[[Remote, Path], None], tuple[str, str]] = {
    _branch_deleted: ("missing", "no such branch or tag"),
    _repository_emptied: ("missing", "no such branch or tag"),
    _file_deleted: ("missing", "there is no such file in commit"),
    _file_is_a_link: ("invalid", "is a symbolic link"),
    _file_is_large: ("invalid", "is larger than 96 MB"),
    _file_is_faulty: ("invalid", "devcies"),
    _remote_gone: ("", "the repository cannot be fetched"),
}
FILE_CALAMITIES = _file_deleted, _file_is_a_link, _file_is_large, _file_is_faulty


@pytest.mark.parametrize("calamity", CALAMITIES, ids=lambda one: one.__name__.removeprefix("_"))
async def test_calamity_changes_nothing(
    tmp_path: Path, platform: Platform, remote: Remote, calamity: Callable[[Remote, Path], None]
) -> None:
    """Whatever becomes of the repository, nothing is unsubscribed, status says why, and it mends without a hand."""
    devices = owned(platform)
    cause, words = CALAMITIES[calamity]
    async with site(tmp_path, platform, **following(remote.url)) as one:
        await one.has(devices[:15])

        async def told() -> bool:
            said = (await status(one))["text"]
            known = " ".join([said["trouble"], *said["faults"]])
            return words in known and (said["rejected"] or "") == cause

        began = (await status(one))["text"]["newest"]
        calamity(remote, tmp_path / "state")
        await eventually_true(told, words)
        rejected = {line["revision"] for line in one.told("desired.rejected")}
        newest = (await status(one))["text"]["newest"]
        assert rejected == ({newest if newest != began else ""} if cause else set()), (
            "the one that is rejected"
        )
        if calamity in FILE_CALAMITIES:
            assert newest == git(remote.bare, "rev-parse", "refs/heads/main") != began
        await one.stop()
        await one.start()
        await eventually_true(told, words)
        platform.unsubscribe("default", *devices[:3])
        one.clock.go_ahead(timedelta(minutes=2))  # what LG confirmed a moment ago counts as true
        await one.http.post("/api/v1/reconcile", json={})
        await one.has(devices[:15])
        assert not one.calls(Route.UNSUBSCRIBE)
        if cause:
            assert f'pcc_desired_rejected{{cause="{cause}"}} 1.0' in await one.metrics()
        if not remote.bare.exists():
            remote.bare.with_suffix(".away").rename(remote.bare)
        (remote.work / TEXT).unlink(missing_ok=True)
        remote.publish({TEXT: text(devices[1:17], GENEROUS)}, "Mend it")
        await one.has(devices[1:17])
        said = (await status(one))["text"]
        assert (said["trouble"], said["rejected"], said["faults"]) == ("", None, [])


async def test_remote_that_is_gone_for_an_hour(
    tmp_path: Path, platform: Platform, remote: Remote, server: GitServer
) -> None:
    """For an hour the last commit stays in force, and its age shows; then the remote is back, and so is its news."""
    devices = owned(platform)
    async with site(tmp_path, platform, **following(server.url)) as one:
        await one.has(devices[:15])

        def fetched() -> float:
            return one.process.components.informer.fetched_at

        before = fetched()
        await eventually(
            lambda: fetched() > before
        )  # a look without news counts: the remote was there
        server.down = True
        await eventually(lambda: one.told("source.failed", kind="fetch"))
        last = fetched()
        one.clock.go_ahead(timedelta(hours=1))
        failures = (
            one.process.components.metrics.source_errors.labels("fetch") if one.daemon else None
        )
        assert failures is not None
        counted = failures._value.get()
        await eventually(lambda: failures._value.get() > counted)
        metrics = await one.metrics()
        seen = next(
            line
            for line in metrics.splitlines()
            if line.startswith("pcc_source_last_success_timestamp_seconds ")
        )
        assert one.clock.now().timestamp() - float(seen.split()[1]) >= 3600
        assert fetched() == last
        said = (await status(one))["text"]
        assert "503" in said["trouble"]
        assert said["rejected"] is None
        assert one.live() == set(devices[:15])
        assert not one.calls(Route.UNSUBSCRIBE)
        assert len(one.told("source.failed")) == 1
        server.down = False
        remote.publish({TEXT: text(devices, GENEROUS)})
        await one.has(devices)
        assert not (await status(one))["text"]["trouble"]


async def test_damaged_clone_changes_nothing(
    tmp_path: Path, platform: Platform, remote: Remote
) -> None:
    """A clone that is damaged while the daemon runs is made anew at the next push; the news is acted on."""
    devices = owned(platform)
    async with site(tmp_path, platform, **following(remote.url)) as one:
        await one.has(devices[:15])
        (clone,) = (tmp_path / "state" / "git").iterdir()
        shutil.rmtree(clone / "objects")
        remote.publish({TEXT: text(devices, GENEROUS)})
        await one.has(devices)
        assert one.told("source.cloned_again")
        assert not one.calls(Route.UNSUBSCRIBE)


async def test_rewritten_history_is_followed(
    tmp_path: Path, platform: Platform, remote: Remote
) -> None:
    """A push with force is followed like any other, within the same guards, and logged with both commits."""
    devices = owned(platform)
    async with site(tmp_path, platform, **following(remote.url)) as one:
        await one.has(devices[:15])
        before = remote.head
        after = remote.commit({TEXT: text(devices[:14], GENEROUS)}, "Amended", amend=True)
        remote.push()
        await one.has(devices[:14])
        assert [(line["before"], line["commit"]) for line in one.told("source.rewritten")] == [
            (before, after)
        ]


# -- signatures


async def test_old_signed_commit_does_not_roll_the_fleet_back(
    tmp_path: Path, platform: Platform, remote: Remote
) -> None:
    """Unsigned, foreign and old signed commits change nothing, also after a restart and with the clone lost."""
    devices = owned(platform)
    key, other = ssh_key(tmp_path / "key"), ssh_key(tmp_path / "other")
    signers = allow(tmp_path / "signers", key)
    old = remote.publish({TEXT: text(devices[:5], GENEROUS)}, "Signed, old", sign=signed_by(key))
    given = following(remote.url, PCC_GIT_VERIFY="commit", PCC_GIT_ALLOWED_SIGNERS=str(signers))
    async with site(tmp_path, platform, **given) as one:
        await one.has(devices[:5])
        newer = remote.publish(
            {TEXT: text(devices[:15], GENEROUS)}, "Signed, newer", sign=signed_by(key)
        )
        await one.has(devices[:15])
        label = f'pcc_desired_revision_info{{revision="{newer}",source="git",verified="yes"}} 1.0'

        async def rejected(words: str) -> None:
            async def told() -> bool:
                said = (await status(one))["text"]
                return said["rejected"] == "unverified" and any(
                    words in fault for fault in said["faults"]
                )

            await eventually_true(told, words)
            assert label in await one.metrics()

        remote.publish({TEXT: text(devices[:1], GENEROUS)}, "Not signed")
        await rejected("it is not signed")
        remote.publish({TEXT: text(devices[:2], GENEROUS)}, "Of a stranger", sign=signed_by(other))
        await rejected("its key is not among those that are trusted")
        remote.reset(old)
        await rejected(f"it does not descend from {newer[:12]}")
        await one.stop()
        await one.start()
        await rejected(f"it does not descend from {newer[:12]}")
        await one.stop()
        shutil.rmtree(tmp_path / "state" / "git")
        await one.start()
        await rejected(f"it does not descend from {newer[:12]}")
        platform.unsubscribe("default", devices[0])
        one.clock.go_ahead(timedelta(minutes=2))  # what LG confirmed a moment ago counts as true
        await one.http.post("/api/v1/reconcile", json={})
        await one.has(devices[:15])
        assert not one.calls(Route.UNSUBSCRIBE)
        code, _, said = await command(one, "apply")
        assert (code, "is held by process" in said) == (1, True)
        remote.reset(newer)
        remote.publish({TEXT: text(devices[1:15], GENEROUS)}, "Signed, newest", sign=signed_by(key))
        await one.has(devices[1:15])
        remote.reset(old)
        await one.stop()
        code, _, said = await command(one, "apply")
        assert (code, "it does not descend from" in said) == (1, True)
        assert one.live() == set(devices[1:15])


# -- commands


async def command(one: Site, *arguments: str) -> tuple[int, str, str]:
    """Run a command of ours with the site's settings; return its exit code and what it said."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "reconciler",
        *arguments,
        env=child_environment(one.environment),
        stdout=PIPE,
        stderr=PIPE,
    )
    out, said = await child.communicate()
    assert child.returncode is not None
    return child.returncode, out.decode(), said.decode()


async def test_commands_read_the_repository_too(
    tmp_path: Path, platform: Platform, remote: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Validate, plan and apply read the newest commit; beside a daemon they leave its clone, and nothing, behind."""
    devices = owned(platform)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    async with site(tmp_path, platform, **following(remote.url, PCC_GIT_INTERVAL="1d")) as one:
        await one.has(devices[:15])
        pushed = remote.publish({TEXT: text(devices[:18], GENEROUS)})
        code, out, _ = await command(one, "validate")
        assert (code, "18 devices" in out) == (0, True)
        code, out, _ = await command(one, "plan", "--output", "json")
        (account,) = json.loads(out)["accounts"]
        assert (code, account["revision"], len(account["subscribes"])) == (0, pushed, 3)
        assert not list(temporary.iterdir())
        assert one.live() == set(devices[:15])
        await one.stop()
        code, _, said = await command(one, "apply")
        assert code == 0, said
        assert one.live() == set(devices[:18])
        remote.publish({TEXT: "version = 1\ndevcies = []\n"})
        for words in ("validate", "plan", "apply"):
            code, _, said = await command(one, words)
            assert (code, "desired-state.toml:2:1: " in said) == (1, True)
        code, _, said = await command(one, "validate", "--against", "HEAD")
        assert (code, "name their PATH" in said) == (64, True)
        remote.publish({TEXT: None, "other.toml": "version = 1\ndevices = []\n"})
        code, _, said = await command(one, "validate")
        assert (code, said.startswith("desired-state.toml: there is no such file in commit")) == (
            1,
            True,
        )
        shutil.rmtree(remote.bare)
        for words in ("validate", "plan", "apply"):
            code, _, said = await command(one, words)
            assert (code, "the repository cannot be fetched" in said) == (1, True)


# -- local files


async def authors(one: Site, device: str) -> list[tuple[str, str | None, str | None, str | None]]:
    """Return who is told to have brought a device in, and to have wanted its last change."""
    story = (await one.http.get(f"/api/v1/accounts/default/devices/{device}")).json()
    return [
        (each["revision"], each["commit"], each["author"], each["subject"])
        for each in (story["came"], story["changes"][0])
    ]


async def test_working_tree_has_its_commit(tmp_path: Path, platform: Platform) -> None:
    """A text in a working tree has its commit, an edit of it has no author; a commit alone makes no calls."""
    devices = owned(platform)
    remote = Remote(tmp_path / "repository")
    made = remote.commit({TEXT: text(devices[:5], GENEROUS)}, "Begin")
    async with site(tmp_path, platform, PCC_DESIRED_STATE=str(remote.work / TEXT)) as one:

        async def revision(wanted: str) -> None:
            async def told() -> bool:
                return bool((await status(one))["text"]["revision"] == wanted)

            await eventually_true(told, wanted)

        await one.has(devices[:5])
        await revision(made)
        assert one.told("change.applied", commit=made, author=AUTHOR)
        write(remote.work / TEXT, text(devices[:6], GENEROUS))
        await one.has(devices[:6])
        await revision(f"{made}-dirty")
        assert await authors(one, devices[5]) == [(f"{made}-dirty", None, None, None)] * 2
        assert not one.told("change.applied", device=devices[5], commit=made)
        assert not one.told("desired.accepted", revision=f"{made}-dirty", author=AUTHOR)
        changes = len(one.calls(Route.SUBSCRIBE, Route.UNSUBSCRIBE))
        await revision(remote.commit_all("Add one"))
        assert 'source="file",verified="unchecked"' in await one.metrics()
        assert len(one.calls(Route.SUBSCRIBE, Route.UNSUBSCRIBE)) == changes


# -- the end


@asynccontextmanager
async def hanging(tmp_path: Path, platform: Platform) -> AsyncIterator[Site]:
    """Give a site whose remote never answers."""
    write(tmp_path / "hang", f"#!/bin/sh\necho $$ > {tmp_path}/number\nexec sleep 600\n")
    (tmp_path / "hang").chmod(0o755)
    async with idle_site(tmp_path, platform, **following("ssh://127.0.0.1/nowhere.git")) as one:
        yield one


async def test_stop_does_not_wait_for_the_remote(
    tmp_path: Path, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A daemon whose remote never answers stops in good order, and leaves no process behind."""
    monkeypatch.setenv("GIT_SSH_COMMAND", str(tmp_path / "hang"))
    async with hanging(tmp_path, platform) as one:
        await one.start()
        await eventually(
            lambda: (tmp_path / "number").exists() and (tmp_path / "number").read_text().strip()
        )
        number = int((tmp_path / "number").read_text())
        assert (await one.get("/healthz")).status_code == 200
        assert (await one.get("/readyz")).status_code == 503
        await one.stop()
        assert one.told("daemon.stopped")
        await eventually(lambda: not Path(f"/proc/{number}").exists())
