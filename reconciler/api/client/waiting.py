"""``status --wait``: waits until the daemon has brought a revision into force and every account is done with it.

Owns: what counts as done, as held and as refused, and what is only a question of time.
Must not: know how the daemon is asked, or print.

An account is judged by its last pass, and only if that pass was of the text in force. What waiting cannot change is
told at once: a guard that only a person releases (3); a refusal, LG's cap or a stopped account (4). What time resolves
by itself is waited for: failed calls, the quota, a list that is read again. What policy holds, a person wants so: it
counts as done.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from reconciler.core.errors import NoDaemon, SomebodyElse, quoted, suggestion
from reconciler.core.model import Condition, Kind, PassResult, Reason
from reconciler.core.text import counted
from reconciler.reporting import (
    ERROR,
    HELD,
    REFUSED,
    SEVERITY,
    AccountReport,
    StatusReport,
    TextReport,
)

POLL_SECONDS = 1.0
SHORTEST = 7
"""A commit id may be shortened to so many characters, as Git does."""
_REVISION = re.compile(rf"(?:sha256:)?[0-9a-f]{{{SHORTEST},64}}(?:-dirty)?")
LASTING = frozenset({Reason.REFUSED, Reason.SUBSCRIPTIONS_FULL, Reason.ACCOUNT_STOPPED})
"""What LG or a setting holds for so long that a merge is not kept waiting for it."""
PASSING = frozenset({Reason.SUSPECT_LIST, Reason.FILES_UNSETTLED})
"""What a guard holds only until the list or the files were read again."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """How the wait stands, in one sentence.

    ``code`` is the exit code, or nothing while it is too early to tell; ``late`` the one for when time runs out.
    """

    code: int | None
    words: str
    late: int = ERROR


@dataclass(slots=True)
class Watch:
    """What is waited for, and what was seen of it so far. ``revision`` is nothing where the newest text will do.

    A commit that is in the history of what is in force was overtaken, whether the daemon ever read it or not.
    """

    revision: str | None = None
    accounts: Sequence[str] = ()
    _of: str | None = None
    _seen: dict[str, Verdict] = field(default_factory=dict)

    @property
    def commit(self) -> str | None:
        """The commit that is waited for, as the daemon is asked for it; nothing for a digest or a changed checkout."""
        plain = (
            self.revision is not None
            and not self.revision.startswith("sha256:")
            and "-" not in self.revision
        )
        return self.revision if plain else None

    def look(self, status: StatusReport) -> Verdict:
        """Return how the wait stands by this status."""
        early = (
            self._newest(status.text)
            if self.revision is None
            else self._awaited(self.revision, status)
        )
        return early or self._accounts(status)

    def _newest(self, text: TextReport) -> Verdict | None:
        """Return why the accounts need not be looked at, where the newest text is waited for."""
        if text.rejected is not None:
            return Verdict(
                ERROR, f"the newest text is rejected ({text.rejected}){_first(text.faults)}"
            )
        if text.trouble:
            return Verdict(None, f"the newest text cannot be fetched: {text.trouble}")
        return Verdict(None, "waiting for a text") if text.revision is None else None

    def _awaited(self, revision: str, status: StatusReport) -> Verdict | None:
        """Return why the accounts need not be looked at, where a certain revision is waited for.

        One that was accepted and then overtaken by a newer one has had its time: accounts are judged by what is in
        force. A newer one that is rejected says nothing of it.
        """
        text = status.text
        known = {
            one.revision: one for one in text.seen if is_meant(revision, one.revision, one.sha256)
        }
        if len(known) > 1:
            return Verdict(ERROR, f"{revision} is short for several revisions: {', '.join(known)}")
        for one in known.values():
            if one.rejected is not None and not self._spared(one.revision, status):
                faults = _first(text.faults) if text.newest == one.revision else ""
                return Verdict(
                    ERROR, f"revision {one.revision} is rejected ({one.rejected}){faults}"
                )
            return None
        if text.holds or is_meant(revision, text.revision or "", text.sha256 or ""):
            return None
        return Verdict(
            None, f"waiting for revision {revision}: in force is {text.revision or 'no text'}"
        )

    def _spared(self, revision: str, status: StatusReport) -> bool:
        """Say whether all accounts that matter are of files without a fault, so that the revision is theirs."""
        there = {one.account: one for one in status.accounts}
        mine = [there[name] for name in self.accounts if name in there]
        return bool(mine) and all(one.revision == revision and one.rejected is None for one in mine)

    def _accounts(self, status: StatusReport) -> Verdict:
        """Return how the accounts stand under the text in force; what was seen of one stays until more is seen."""
        if self._of != status.text.revision:
            self._of, self._seen = status.text.revision, {}
        there = {one.account: one for one in status.accounts}
        for name in self.accounts:
            if name not in there:
                return Verdict(
                    ERROR, f"there is no account {quoted(name)!r}{suggestion(name, there)}"
                )
        names = self.accounts or sorted(there)
        for name in names:
            judged = _unless_under_way(there[name], status)
            if judged.code is not None or name not in self._seen:
                self._seen[name] = judged
        return _sum([(name, self._seen[name]) for name in names], status)


def check_revision(text: str) -> str:
    """Return a revision as it may be waited for; raises ``ValueError`` with a sentence."""
    if not _REVISION.fullmatch(text.lower()):
        raise ValueError(
            f"a revision is a commit id of at least {SHORTEST} characters, or sha256:…"
        )
    return text.lower()


def is_meant(asked: str, revision: str, sha256: str) -> bool:
    """Say whether a revision is the one asked for: by commit id or the beginning of one, or by the digest of bytes.

    A working tree with changes of its own is not the commit that it was made from.
    """
    commit, dirty, _ = revision.partition("-dirty")
    wanted, changed, _ = asked.partition("-dirty")
    by_commit = bool(commit) and commit.startswith(wanted) and dirty == changed
    return by_commit or (bool(sha256) and f"sha256:{sha256}".startswith(asked))


def judge(account: AccountReport) -> Verdict:
    """Return how one account stands, by its last pass alone."""
    if not account.current:
        return Verdict(None, "no pass of this text has ended yet")
    if account.settled and not account.guarded:
        return Verdict(0, "in sync")
    return _stuck(account) or _on_its_way(account)


def _stuck(account: AccountReport) -> Verdict | None:
    """Return what waiting cannot change, if there is any of it."""
    holding = [(one.reason, one.message) for one in account.held if one.kind == Kind.GUARD]
    tripped = [(one.reason, one.message) for one in account.guards]
    guards = [
        (reason, message) for reason, message in (*holding, *tripped) if reason not in PASSING
    ]
    lasting = [one.reason for one in account.held if one.reason in LASTING]
    if guards:
        return Verdict(HELD, f"held by {guards[0][0]}: {guards[0][1]}")
    if account.condition == Condition.STOPPED:
        return Verdict(REFUSED, f"stopped: {account.error}")
    if account.refused:
        return Verdict(REFUSED, f"refused {counted(account.refused, 'device')} by LG")
    return Verdict(REFUSED, f"held by {lasting[0]}") if lasting else None


def _on_its_way(account: AccountReport) -> Verdict:
    """Return what an account waits for that time resolves, or that only policy holds it."""
    reasons = sorted({one.reason for one in account.held})
    trusted = account.last_success is not None and account.last_success == account.last_attempt
    if (
        trusted
        and account.result == PassResult.HELD
        and all(one.kind == Kind.POLICY for one in account.held)
    ):
        return Verdict(0, f"held by policy ({', '.join(reasons)})")
    holding = sorted({*reasons, *(one.reason for one in account.guards)})
    held = f"held by {', '.join(holding)}" if holding else "on the way"
    return Verdict(None, account.error or held, HELD if account.guarded else ERROR)


def _unless_under_way(account: AccountReport, status: StatusReport) -> Verdict:
    """Return how an account stands; where it is not in sync, a pass that is due or under way may still change that."""
    judged = judge(account)
    under_way = account.next_pass is not None and account.next_pass <= status.at
    if under_way and not account.settled and judged.code is not None:
        return Verdict(None, "a pass is under way")
    return judged


def wait(
    watch: Watch,
    fetch: Callable[[], StatusReport],
    *,
    seconds: float,
    steady: Callable[[], float],
    sleep: Callable[[float], None],
    follow: Callable[[str], None],
) -> tuple[Verdict, StatusReport | None]:
    """Return the verdict and the status it rests on. A daemon that does not answer is asked again until the end.

    Where something else answers, such as a login page, the wait ends at once.
    """
    end, status = steady() + seconds, None
    while True:
        try:
            status = fetch()
        except SomebodyElse as error:
            verdict = Verdict(ERROR, str(error))
        except NoDaemon as error:
            verdict = Verdict(None, str(error))
        else:
            verdict = watch.look(status)
        if verdict.code is not None:
            return verdict, status
        left = end - steady()
        if left <= 0:
            return Verdict(verdict.late, f"timed out: {verdict.words}"), status
        follow(verdict.words)
        sleep(min(POLL_SECONDS, left))


def _sum(found: Iterable[tuple[str, Verdict]], status: StatusReport) -> Verdict:
    """Return the verdict of all accounts together: 3 before 4, and none as long as it is too early for one of them."""
    each, under = list(found), f"revision {status.text.revision}"
    early = [(name, one) for name, one in each if one.code is None]
    if early:
        more = f" (and {len(early) - 1} more)" if len(early) > 1 else ""
        late = min(one.late for _, one in early)
        return Verdict(None, f"waiting for {early[0][0]}: {early[0][1].words}{more}", late)
    for code in SEVERITY:
        told = [f"{name} is {one.words}" for name, one in each if one.code == code]
        if told:
            return Verdict(code, f"{'; '.join(told)} ({under})")
    words = [f"{counted(len(each), 'account')} done with {under}"]
    words += [f"{name} is {one.words}" for name, one in each if one.words != "in sync"]
    return Verdict(0, "; ".join(words))


def _first(faults: Sequence[str]) -> str:
    return f": {faults[0]}" if faults else ""
