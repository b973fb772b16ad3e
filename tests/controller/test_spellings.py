"""A device that the file and LG's list spell in two ways, over several passes."""

from __future__ import annotations

from datetime import timedelta

import httpx

from reconciler.core.model import Condition, DeviceId, Policy, Reason
from simulated import Fleet

SOON = timedelta(seconds=20)


class AnyCase(httpx.AsyncBaseTransport):
    """A platform that takes an id in upper or lower case, and lists it in its own."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self._inner = inner

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Hand a request on with its path in lower case."""
        lower = request.url.copy_with(path=request.url.path.lower())
        return await self._inner.handle_async_request(
            httpx.Request(request.method, lower, headers=request.headers)
        )


async def test_a_file_in_upper_case_loses_no_device_in_any_pass() -> None:
    """LG says "already subscribed" to the file's spelling and goes on listing its own: nothing goes in any pass."""
    fleet = Fleet(6, policy=Policy(max_unsubscribe=1000))
    fleet.reach(AnyCase(fleet.transport))
    fleet.platform.subscribe("default", *fleet.owned)
    fleet.want(DeviceId(device.upper()) for device in fleet.owned)
    for _ in range(20):
        ending = await fleet.reconcile(after=SOON)
        assert ending.condition is Condition.HELD
        assert Reason.LOOK_ALIKE in {held.reason for held in ending.held}
    assert fleet.calls("DELETE") == []
    assert fleet.live == frozenset(fleet.owned)
    fleet.want(fleet.owned)
    ending = await fleet.reconcile(after=SOON)
    assert ending.condition is Condition.IN_SYNC


async def test_a_new_spelling_that_lg_takes_and_lists_replaces_the_old_one() -> None:
    """Where the ids are two devices, the old one goes once the list shows the new one, without anybody's help."""
    fleet = Fleet(3)
    fleet.want(fleet.owned[:2])
    old = fleet.owned[0]
    await fleet.reconcile()
    new = DeviceId(old.upper())
    fleet.platform.world.user("default").devices[new] = fleet.platform.world.user(
        "default"
    ).devices[old]
    fleet.want([new, fleet.owned[1]])
    for _ in range(2):
        await fleet.reconcile(after=timedelta(minutes=2))
    assert fleet.live == {new, fleet.owned[1]}
