"""A fleet with a device in nearly each state, and what a daemon knows of a fleet."""

from __future__ import annotations

from datetime import timedelta

from reconciler.core.acceptance import Accepted
from reconciler.core.model import DEFAULT_ACCOUNT, Device, Policy, Prune
from reconciler.reporting.knowledge import Knowledge
from reconciler.simulator import Match, Route, Rule
from reconciler.simulator.faults import Error
from simulated import Fleet


def known(one: Fleet, *, running: bool = True) -> Knowledge:
    """Return what a daemon knows of a fleet; or what files and state tell, where none is running."""
    assert one.text is not None
    return Knowledge(
        now=one.clock.now(),
        accepted=Accepted({DEFAULT_ACCOUNT: one.text}, revision=one.text.revision),
        state=one.state,
        kept=list,
        statuses=one.reconciler.accounts.statuses if running else {},
        claims=one.claims,
    )


async def mixed() -> Fleet:
    """Return a fleet with a device in nearly each state."""
    one = Fleet(16, wanted=8, policy=Policy(prune=Prune.OWNED, max_unsubscribe_floor=1))
    one.platform.subscribe("default", *one.owned[12:14])
    await one.reconcile()
    one.platform.set_faults(
        Rule(Error(code="1214"), match=Match(route=Route.SUBSCRIBE, devices=(one.owned[15],)))
    )
    ignoring = Policy(prune=Prune.OWNED, max_unsubscribe_floor=1, ignore=frozenset({one.owned[13]}))
    described = {one.owned[4]: Device(one.owned[4], name="Room 202 fridge")}
    one.want([*one.owned[4:8], one.owned[15]], policy=ignoring, described=described)
    await one.reconcile(after=timedelta(minutes=1))
    return one
