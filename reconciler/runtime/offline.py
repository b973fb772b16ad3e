"""Answers from files and state where no daemon runs.

Owns: what would be in force if a daemon read the files now, put together without writing anything.
Must not: ask LG, or hold a rule of its own. What only a running process knows (last passes, when the next is due) is
missing here.
"""

from __future__ import annotations

from collections.abc import Sequence

from reconciler import desired
from reconciler.core import acceptance
from reconciler.core.acceptance import Accepted, Claims
from reconciler.core.clock import Clock
from reconciler.core.errors import Fault, SourceError
from reconciler.core.model import Revision
from reconciler.reporting.queries import AtHand, Knowledge, no_state
from reconciler.runtime.setting_values import Mode
from reconciler.runtime.settings import Settings
from reconciler.source import FileSource
from reconciler.source.kept import recalled
from reconciler.state import KeptText, State, is_there


def at_hand(settings: Settings, clock: Clock) -> AtHand:
    """Return what the files and the state say, without a daemon. Nothing is written, and there need be no state."""
    state = State.read_only(settings.state_dir, clock)
    kept = state.revisions.kept()
    before = recalled(kept, state.accounts.live_accounts, settings.environment) if kept else None
    in_force, read, notes = _newest_text(settings, before or Accepted(), kept)
    revisions = [one.revision for one in read]
    if state.trouble:
        notes = (*notes, f"state: {state.trouble}")
    has_state, folder = is_there(settings.state_dir), str(settings.state_dir)
    if not has_state:
        notes = (*notes, f"{no_state(folder)}: what was done is not known")
    claims = Claims()
    claims.follow(in_force.accounts)
    claims.enforce(in_force.accounts)
    known = Knowledge(
        now=clock.now(),
        accepted=in_force,
        state=state,
        kept=lambda: (*read, *(one for one in kept if one.revision not in revisions)),
        observing=settings.mode is Mode.OBSERVE,
        claims=claims,
    )
    return AtHand(known, notes, folder, has_state)


def _newest_text(
    settings: Settings, before: Accepted, kept: Sequence[KeptText]
) -> tuple[Accepted, Sequence[KeptText], tuple[str, ...]]:
    """Return what would be in force if a daemon read the files now, the files, and what is wrong with them."""
    if settings.git_url is not None:
        return before, (), ("the repository is not asked: texts are those that the daemon accepted last",)
    source = FileSource(settings.desired_state)
    try:
        fetched = source.fetch()
    except SourceError as error:
        return before, (), (f"{error}; texts are those that the daemon accepted last",)
    if fetched.unreadable:
        return before, (), (*map(str, fetched.unreadable), "texts are those that the daemon accepted last")
    loaded = desired.load(fetched.documents, fetched.tree, environment=settings.environment)
    same = [one.revision for one in kept if one.revision.sha256 == loaded.sha256]
    commit = source.commit(loaded.files) or next((one.commit for one in same), None)
    revision = Revision(loaded.sha256, commit)
    after = acceptance.accept(before, loaded, revision)
    read = [KeptText(one.path, revision, loaded.files) for one in fetched.documents]
    faults: Sequence[Fault] = after.faults
    return after, read, tuple(f"{fault} (not in force)" for fault in faults)
