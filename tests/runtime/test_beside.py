"""Commands beside a receiver: what a person hears about what cannot be erased from here."""

from __future__ import annotations

from datetime import timedelta
from itertools import product
from pathlib import Path

import pytest

from disks import START
from reconciler.events.model import EventState, Result
from reconciler.runtime.partner_files import Rules
from reconciler.runtime.receiving.beside import Beside
from spooled import Routes, To, opened, outcome, sent, stored

SETTLED = (EventState.DEAD, EventState.DELIVERED)


@pytest.mark.parametrize(("end", "replays"), list(product([None, *Result], [0, 1, 2])), ids=str)
async def test_every_sink_that_was_given_an_event_is_named(
    tmp_path: Path, end: Result | None, replays: int
) -> None:
    """Whatever it answered, and also while the event waits to be given to it once more; no other sink is named."""
    with opened(tmp_path, router=Routes(To(["crm", "log"]))) as spool:
        (seq,) = await stored(spool, sent("room-1203"))
        if end is not None:
            due = START + timedelta(days=1) if end is Result.RETRY else None
            await spool.record([outcome(seq, end, due)])
        for _ in range(replays):
            spool.replay("crm", START, states=SETTLED)
        named = Beside(spool, Rules()).reached("room-1203")
        assert named == ([] if end is None else ["crm"])
        assert Beside(spool, Rules()).reached("another-room") == []
