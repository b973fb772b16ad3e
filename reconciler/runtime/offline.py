"""Answers from files and state where no daemon runs.

Owns: what would be in force if a daemon read the files now, put together without writing anything.
Must not: ask LG, or hold a rule of its own. What only a running process knows (last passes, when the next is due) is
missing here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from reconciler.core import acceptance
from reconciler.core.acceptance import Accepted, Claims
from reconciler.core.clock import Clock
from reconciler.core.errors import SourceError
from reconciler.core.model import Revision
from reconciler.reporting.at_hand import AtHand, no_state
from reconciler.reporting.knowledge import Knowledge
from reconciler.runtime.setting_values import Mode
from reconciler.runtime.settings import Settings
from reconciler.runtime.source import local
from reconciler.source import Fetched, FileSource, load_fetched
from reconciler.source.kept import recalled
from reconciler.state import KeptText, State, is_there, name_of

LAST_ACCEPTED = "showing what the daemon accepted last"
KEPT = "the revision that the daemon accepted last"


@dataclass(frozen=True, slots=True)
class _Newest:
    """What would be in force, the files it was read from, and what is wrong with them."""

    accepted: Accepted
    read: Sequence[KeptText] = ()
    notes: Sequence[str] = ()
    place: str = KEPT
    """What was read, in words."""


class _Kept:
    """The files that a device may be named in: those that were read now, and those that the state keeps beside them."""

    def __init__(self, read: Sequence[KeptText], kept: Sequence[KeptText]) -> None:
        newer = {one.revision for one in read}
        older = [one for one in kept if one.revision not in newer]
        self._files = (*read, *older)

    def __call__(self) -> Sequence[KeptText]:
        return self._files


def at_hand(settings: Settings, clock: Clock) -> AtHand:
    """Return what the files and the state say, without a daemon. Nothing is written, and there need be no state."""
    place = settings.state_place
    state = State.read_only(place, clock)
    kept = state.revisions.kept()
    before = recalled(kept, state.accounts.live_accounts, settings.environment) if kept else None
    newest = _newest(settings, before or Accepted(), kept)
    notes = list(newest.notes)
    if state.trouble:
        notes.append(f"state: {state.trouble}")
    has_state, name = is_there(place, clock), name_of(place)
    if not has_state:
        notes.append(f"{no_state(name, place.setting)}: past changes are not known")
    claims = Claims()
    claims.follow(newest.accepted.accounts)
    claims.enforce(newest.accepted.accounts)
    known = Knowledge(
        now=clock.now(),
        accepted=newest.accepted,
        state=state,
        kept=_Kept(newest.read, kept),
        observing=settings.mode is Mode.OBSERVE,
        claims=claims,
    )
    return AtHand(known, tuple(notes), name, has_state, newest.place, place.setting)


def _newest(settings: Settings, before: Accepted, kept: Sequence[KeptText]) -> _Newest:
    """Return what would be in force if a daemon read the files now."""
    if settings.git_url is not None:
        return _Newest(before, notes=(f"the repository is not asked: {LAST_ACCEPTED}",))
    source = local(settings.desired_state)
    try:
        fetched = source.fetch()
    except SourceError as error:
        return _Newest(before, notes=(f"{error}; {LAST_ACCEPTED}",))
    newest = _judged(source, fetched, before, kept, settings.environment)
    return replace(newest, place=f"the desired state {settings.desired_state.absolute()}")


def _judged(
    source: FileSource,
    fetched: Fetched,
    before: Accepted,
    kept: Sequence[KeptText],
    environment: str | None,
) -> _Newest:
    """Return what these files would bring into force."""
    paths = {one.desired.path for one in before.accounts.values()}
    loaded = load_fetched(fetched, environment=environment, known=paths)
    commit = source.commit(loaded.files)
    if commit is None:
        known = [one.revision.commit for one in kept if one.revision.sha256 == loaded.sha256]
        commit = known[0] if known else None
    revision = Revision(loaded.sha256, commit)
    accepted = acceptance.accept(before, loaded, revision)
    read = [KeptText(one.path, revision, loaded.files) for one in fetched.documents]
    notes = [f"{fault} (not in force)" for fault in accepted.faults]
    return _Newest(accepted, read, notes)
