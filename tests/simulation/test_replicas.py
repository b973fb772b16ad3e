"""Several replicas share the accounts, and hand them over."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from reconciler.core.model import AccountName
from simulation.replicas import World, living

Story = Callable[[World], Awaitable[None]]


def lived(folder: Path, story: Story, **chosen: Any) -> None:
    """Let a story happen."""
    with living(folder, **chosen) as (loop, world):
        loop.run_until_complete(story(world))


def shares(world: World) -> list[int]:
    """Return how many accounts each replica works on."""
    return sorted(len(node.owned()) for node in world.nodes)


def all_owned_once(world: World) -> bool:
    """Say whether every account has exactly one replica that works on it."""
    owned = [account for node in world.nodes if not node.gone for account in node.owned()]
    return sorted(owned) == sorted(map(AccountName, world.wanted))


def test_two_replicas_share_the_accounts_and_one_takes_over(tmp_path: Path) -> None:
    """Both work, on half of the accounts each; when one is killed the other has all within the lease and 5 seconds."""

    async def story(world: World) -> None:
        for node in world.nodes:
            node.start()
        await world.until(lambda: all_owned_once(world) and world.agrees(), 60)
        assert shares(world) == [4, 4]
        first = world.nodes[0]
        first.kill()
        world.wanted["hotel-3"].pop()
        world.deliver(world.nodes[1])
        assert await world.until(lambda: len(world.nodes[1].owned()) == 8, 60) <= 50.0
        await world.until(world.agrees, 60)
        first.start()
        await world.until(lambda: shares(world) == [4, 4], 60)

    lived(tmp_path, story, replicas=2)
