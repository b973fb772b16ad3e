"""What replicas tell each other of a revision beside its documents."""

from __future__ import annotations

import json
from dataclasses import fields
from datetime import UTC, datetime, time

from reconciler.core.acceptance import Accepted, AccountRevision, Seen
from reconciler.core.errors import Fault
from reconciler.core.model import (
    AccountName,
    Cause,
    Commit,
    Desired,
    DeviceId,
    Revision,
    Unsettled,
    Verified,
)
from reconciler.core.windows import Holds, Weekly, Window, WindowKind
from reconciler.runtime.replicas import marks

NOW = datetime(2026, 11, 1, tzinfo=UTC)
HOTEL, CLINIC, DEPOT = AccountName("hotel"), AccountName("clinic"), AccountName("depot")
COMMIT = Commit("c" * 40, "Kim", "Move the lamps", NOW, Verified.YES)
MADE = Revision("a" * 64, COMMIT)
NIGHT = Weekly(frozenset(range(7)), time(22), time(6), "Asia/Seoul")
EVERYTHING = Accepted(
    accounts={
        HOTEL: AccountRevision(Desired(HOTEL, frozenset({DeviceId("one")})), MADE, Cause.INVALID),
        CLINIC: AccountRevision(
            Desired(CLINIC, frozenset()), MADE, unsettled=Unsettled(None, "git is at work", NOW)
        ),
    },
    abandoned=frozenset({DEPOT}),
    retired=frozenset({AccountName("school")}),
    environment="production",
    shared=frozenset({"desired-state.toml"}),
    revision=MADE,
    newest=Revision("b" * 64),
    rejected=Cause.INVALID,
    faults=(Fault("clinic.toml", 1, 2, "it is wrong"),),
    warnings=(Fault("hotel.toml", 3, 4, "it is odd"),),
    seen=(Seen("the newest", "b" * 64, Cause.INVALID),),
    timezone="Asia/Seoul",
    windows=(Window("night", WindowKind.DENY, Holds.ALL, NIGHT, "Asia/Seoul"),),
)


def test_nothing_that_is_in_force_is_lost_on_the_way_to_another_replica() -> None:
    """Every field of what is in force is there again, beside the documents."""
    lacking = [one.name for one in fields(Accepted) if getattr(EVERYTHING, one.name) == one.default]
    assert lacking == []
    documents = Accepted(
        accounts={
            name: AccountRevision(text.desired, text.revision)
            for name, text in EVERYTHING.accounts.items()
        },
        timezone=EVERYTHING.timezone,
        windows=EVERYTHING.windows,
    )
    assert marks.read(marks.written(EVERYTHING)).on(documents) == EVERYTHING


def test_what_another_release_wrote_is_read() -> None:
    """A field that only the next release knows is not minded by this one."""
    written = json.loads(marks.written(EVERYTHING)) | {"of_the_next_release": 1}
    assert marks.read(json.dumps(written).encode()).on(EVERYTHING) == EVERYTHING
