"""Works on many accounts, a few at once.

Owns: how many at once, the order of what comes of it, and who follows the work. Must not: know what the work is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from reconciler.core.model import AccountName

Result = TypeVar("Result")


class Follower:
    """Somebody who follows the work, such as progress bars. This one does nothing."""

    def accounts(self, count: int) -> None:
        """Hear how many accounts there are to work on."""

    def account_done(self) -> None:
        """Hear that one of them is done."""

    def changes(self, count: int) -> None:
        """Hear that this many more changes are about to be made."""

    def change_done(self) -> None:
        """Hear that one of them was made, failed or was refused."""


async def each_account(
    names: Sequence[AccountName],
    work: Callable[[AccountName], Awaitable[Result]],
    follower: Follower,
    *,
    at_once: int,
) -> list[Result | BaseException]:
    """Do the work of each account; return what came of it, in the order of the names.

    An error is returned in its place: what goes wrong in one account does not break off the others.
    """
    room = asyncio.Semaphore(at_once)

    async def one(name: AccountName) -> Result:
        async with room:
            result = await work(name)
        follower.account_done()
        return result

    follower.accounts(len(names))
    return await asyncio.gather(*map(one, names), return_exceptions=True)
