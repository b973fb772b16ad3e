"""Replicas as real processes over a real PostgreSQL."""

from __future__ import annotations

import re
import signal
from functools import partial
from hashlib import sha256
from hmac import digest
from pathlib import Path

import psycopg
import pytest

from postgres import Postgres, postgres
from processes import exit_of, process
from reconciler.simulator import Route
from reconciler.simulator.faults import Drop, Error
from replicated import Replica, Replicas, replicated, unwritten
from repositories import Remote
from scenarios import (
    CHANGES,
    eventually,
    eventually_true,
    fault,
    owned,
    rename_over,
    write,
)


async def test_a_replica_with_old_credentials_uses_no_token_of_another_account(
    tmp_path: Path, postgresql: Postgres
) -> None:
    """Where tokens were swapped in one replica's files, the account that it owns is stopped until they are right."""
    async with replicated(tmp_path, postgresql.fresh(), ("clinic", "hotel")) as one:
        await one.add().start()
        await one.working(2)
        behind = one.add()
        files = [behind.folder / "credentials" / f"{name}.refresh_token" for name in one.wanted]
        right = [file.read_text() for file in files]
        for file, content in zip(files, reversed(right), strict=True):
            rename_over(file, content)
        calls = one.calls(*Route)
        await behind.start()
        await one.working(1, 1)
        (mine,) = one.owned_by(behind)
        (other,) = one.wanted.keys() - {mine}

        async def stopped() -> bool:
            found = (await behind.accounts()).get(mine, {})
            return f"has the same refresh token as account '{other}'" in str(found)

        await eventually_true(stopped, "the account is stopped")
        assert one.calls(*Route) == calls
        for file, content in zip(files, right, strict=True):
            rename_over(file, content)
        one.wanted[mine].pop()
        one.publish()
        await eventually(one.agrees, "the edit is in force")


async def test_what_apply_accepted_is_not_undone_by_a_replica_with_an_old_file(
    tmp_path: Path, postgresql: Postgres
) -> None:
    """A replica that starts after the command, with the file from before it, waits for a newer one."""
    async with replicated(tmp_path, postgresql.fresh(), ("hotel",)) as one:
        replica = one.add()
        await replica.start()
        await one.working(1)
        assert await replica.stop() == 0
        person = one.add(PCC_LISTEN="127.0.0.1:0")
        one.wanted["hotel"] = owned(one.platform, "hotel")
        one.publish(person)
        async with process(person.given, "apply", "--yes") as command:
            assert (await exit_of(command))[0] == 0
        assert one.agrees()
        await replica.start()
        await eventually(lambda: replica.logged("source.behind"), "the file is behind")
        assert one.agrees()
        assert one.calls(Route.UNSUBSCRIBE) == 0
        one.wanted["hotel"].pop(0)
        one.publish(replica)
        await eventually(one.agrees, "the newer file is in force")


async def test_an_account_that_is_locked_is_logged_and_taken_afterwards(
    tmp_path: Path, postgresql: Postgres
) -> None:
    """While another transaction holds an account's row, the others are worked on, and the log says what is left out."""
    async with replicated(tmp_path, postgresql.fresh(), ("clinic", "hotel")) as one:
        replica = one.add()
        await replica.start()
        await one.working(2)
        assert await replica.stop() == 0
        with psycopg.connect(one.url) as somebody:
            somebody.execute("SELECT 1 FROM ownership WHERE account = 'hotel' FOR UPDATE")
            await replica.start()
            await eventually(lambda: bool(replica.logged("accounts.skipped")), "it is logged")
            assert replica.logged("accounts.skipped")[0]["accounts"] == 1
            assert one.owned_by(replica) == ["clinic"]

            async def shown() -> bool:
                return "pcc_accounts_unowned 1.0" in (await replica.ask("GET", "/metrics")).text

            await eventually_true(shown, "the account without an owner is shown")
        await one.working(2)


async def test_each_replica_shows_every_account_as_its_owner_left_it(
    tmp_path: Path, postgresql: Postgres
) -> None:
    """The call for one account and its page say what the status says of it, also where another replica works on it."""
    async with replicated(tmp_path, postgresql.fresh(), ("clinic", "hotel")) as one:
        replicas = [one.add(), one.add()]
        for replica in replicas:
            await replica.start()
        await one.working(1, 1)
        facts = ("condition", "result", "devices", "observed", "last_success", "settled")

        async def known(asked: Replica) -> bool:
            found = await asked.accounts()
            return all(account["last_success"] for account in found.values()) and len(found) == 2

        for replica in replicas:
            await eventually_true(partial(known, replica), "the passes of both are shown")
            for name, shown in (await replica.accounts()).items():
                detail = (await replica.ask("GET", f"/api/v1/accounts/{name}")).json()
                assert {key: detail[key] for key in facts} == {key: shown[key] for key in facts}
                assert (
                    "no list is known" not in (await replica.ask("GET", f"/accounts/{name}")).text
                )


async def test_each_change_that_lg_saw_has_one_intent(tmp_path: Path, postgresql: Postgres) -> None:
    """Over retries and hand-overs each call of a change has a row of its own, and no row is of two calls."""
    accounts = ("clinic", "depot", "hotel", "school")
    async with replicated(tmp_path, postgresql.fresh(), accounts, devices=12) as one:
        one.wanted = {name: owned(one.platform, name)[:6] for name in accounts}
        first, second = one.add(), one.add()
        await first.start()
        await second.start()
        await one.working(2, 2)
        for route in CHANGES:
            for effect in (Error("2000", 500), Error("2000", 503, commit=True), Drop(commit=True)):
                one.platform.add_fault(fault(effect, route, count=1))
        one.platform.set_options(latency=0.05)
        for leaving, begin in ((first, 2), (second, 4)):
            one.wanted = {name: owned(one.platform, name)[begin:][:6] for name in accounts}
            one.publish()
            await some_changes(one, 3)
            assert await leaving.stop() == 0
            await leaving.start()
        await eventually(one.agrees, "everything is as people want it")
        await eventually(lambda: not unwritten(one.platform, one.ask), "each call has its row")


async def some_changes(one: Replicas, more: int) -> None:
    """Wait for more calls that change something."""
    before = one.calls(*CHANGES)
    await eventually(lambda: one.calls(*CHANGES) > before + more, "more calls")


async def test_two_releases_work_side_by_side(tmp_path: Path, postgresql: Postgres) -> None:
    """While replicas run, the next release adds columns and a table; they go on, and one more of this release joins."""
    async with replicated(tmp_path, postgresql.fresh(), ("clinic", "hotel")) as one:
        await one.add().start()
        await one.working(2)
        tables = one.ask(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema()"
        )
        migration = [
            f"ALTER TABLE {name} ADD COLUMN next_release text NOT NULL DEFAULT ''"
            for (name,) in tables
        ]
        migration += [
            "CREATE TABLE of_the_next_release (account text)",
            "UPDATE state_version SET version = version + 1",
        ]
        for statement in migration:
            one.change(statement)
        for wanted in one.wanted.values():
            wanted.pop()
        one.publish()
        await eventually(one.agrees, "the edit is in force")
        second = one.add()
        await second.start()
        await one.working(1, 1)
        assert (await second.ask("POST", "/api/v1/pause", PAUSE)).status_code == 200
        assert await one.each[0].stop() == 0
        await one.working(2)
        for wanted in one.wanted.values():
            wanted.pop()
        one.publish()
        await eventually(lambda: one.platform.subscribed("hotel") == set(one.wanted["hotel"]))
        assert one.platform.subscribed("clinic") != set(one.wanted["clinic"])
        assert not [each for each in one.each if each.logged("replica.failed")]


PAUSE = {"account": "clinic", "pause": "all", "for": "1h", "reason": "stock-taking"}
SECRET = "a-shared-secret"


async def idle(one: Replicas) -> Replica:
    """Return a replica that owns nothing and does not read the source."""
    for _ in range(8):
        await one.working(1, 1)
        await eventually(lambda: all(each.member for each in one.each), "all have joined")
        owners = set(one.owners().values())
        (found,) = (each for each in one.each if each.member not in owners)
        if found is not one.reader():
            return found
        assert await found.stop() == 0
        await another_reads(one, found)
        await found.start()
    raise AssertionError("the replica without accounts always reads the source")


async def another_reads(one: Replicas, left: Replica) -> None:
    """Wait until another replica reads the source."""
    await eventually(lambda: one.reader() not in {None, left}, "another one reads")


@pytest.mark.system
async def test_a_replica_that_owns_nothing_takes_webhooks_commands_and_plans(
    tmp_path: Path, postgresql: Postgres
) -> None:
    """A push that it hears of is carried out elsewhere, and so is a pass; its plan rests on the others' lists."""
    remote = Remote(tmp_path / "served")
    async with replicated(
        tmp_path,
        postgresql.fresh(),
        ("clinic", "hotel"),
        PCC_GIT_URL=remote.url,
        PCC_GIT_INTERVAL="1h",
        PCC_WEBHOOK_SECRET=SECRET,
    ) as one:
        remote.publish({"desired-state.toml": one.text()}, "Begin")
        for _ in range(3):
            await one.add(PCC_DESIRED_STATE="desired-state.toml").start()
        asked = await idle(one)
        one.wanted["hotel"].pop()
        remote.publish({"desired-state.toml": one.text()}, "Move a lamp")
        signature = "sha256=" + digest(SECRET.encode(), b"{}", sha256).hex()
        headers = {"X-Hub-Signature-256": signature}
        answer = await asked.send("POST", "/hooks/git", content=b"{}", headers=headers)
        assert answer.status_code in {200, 202}
        await eventually(one.agrees, "what was pushed is in force")
        lists = one.calls(Route.LIST, user="clinic")
        assert (await asked.ask("POST", "/api/v1/reconcile?account=clinic", {})).is_success
        await eventually(lambda: one.calls(Route.LIST, user="clinic") > lists, "the owner's pass")
        one.wanted["hotel"].pop()
        file = tmp_path / "proposed.toml"
        write(file, one.text())
        url = f"http://{asked.given['PCC_LISTEN']}"
        async with process(asked.given, "plan", str(file), "--server", url) as plan:
            out, said = await plan.communicate()
        shown = (out + said).decode()
        assert re.search(r"planned on the last trusted list, of 20\d\d-\d\d-\d\dT", shown), shown


async def test_a_database_that_accepts_and_does_not_answer_stops_changes(tmp_path: Path) -> None:
    """A renewal is given up after 5 seconds, no change is made meanwhile, and all goes on when answers come again."""
    with postgres() as server:
        async with replicated(
            tmp_path, server.fresh(), ("hotel",), subscribed=1.0, PCC_INTERVAL="1s"
        ) as one:
            replica = one.add()
            await replica.start()
            await one.working(1)
            await eventually(lambda: one.calls(Route.LIST) >= 2, "passes")
            server.signal(signal.SIGSTOP)
            try:
                one.platform.unsubscribe("hotel", one.wanted["hotel"][0])
                changes = one.calls(*CHANGES)
                await eventually(lambda: replica.logged("replica.trouble"), "the trouble is seen")
                (line,) = replica.logged("replica.trouble")
                assert "did not answer within 5 s" in line["error"]
                assert one.calls(*CHANGES) == changes
                assert (await replica.ask("GET", "/healthz")).status_code == 200
            finally:
                server.signal(signal.SIGCONT)
            await eventually(one.agrees, "the change is made")
