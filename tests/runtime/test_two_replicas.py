"""Two replicas as real processes over a real PostgreSQL."""

from __future__ import annotations

from pathlib import Path

from postgres import Postgres
from processes import exit_of, process
from reconciler.simulator import Route
from replicated import replicated
from scenarios import eventually, eventually_true, owned, rename_over


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
