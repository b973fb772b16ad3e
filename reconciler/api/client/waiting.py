"""``status --wait``: waits until the daemon has brought a revision into force and every account is done with it.

Owns: what counts as done, as held and as refused, and what is only a question of time.
Must not: know how the daemon is asked, or print.

An account is judged by its last pass, and only if that pass was of the revision in force. States that waiting cannot
change are reported at once: a guard that only a person releases (3); a refusal, LG's cap or a stopped account (4). The
wait continues for what time resolves: failed calls, the quota, a list that is read again. Changes that policy holds
count as done, because a person set the policy.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from reconciler.core.errors import NoDaemon, SomebodyElse, quoted, suggestion
from reconciler.core.model import Condition, Kind, PassResult
from reconciler.core.text import counted, short_revision
from reconciler.core.urgency import LASTING, PASSING
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
"""A commit id may be shortened to this number of characters, as in Git."""
_REVISION = re.compile(rf"(?:sha256:)?[0-9a-f]{{{SHORTEST},64}}(?:-dirty)?")


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of the wait so far, in one sentence.

    ``code`` is the exit code, or None while it is too early; ``late`` is the one for when time is up.
    """

    code: int | None
    words: str
    late: int = ERROR


@dataclass(slots=True)
class Watch:
    """What the command waits for, and what it saw so far. ``revision`` is None for the newest revision.

    A commit in the history of the revision in force was replaced, even if the daemon never read it.
    """

    revision: str | None = None
    accounts: Sequence[str] = ()
    _of: str | None = None
    _seen: dict[str, Verdict] = field(default_factory=dict)

    @property
    def commit(self) -> str | None:
        """The awaited commit for the query to the daemon; None for a digest or a changed checkout."""
        plain = (
            self.revision is not None
            and not self.revision.startswith("sha256:")
            and "-" not in self.revision
        )
        return self.revision if plain else None

    def look(self, status: StatusReport) -> Verdict:
        """Return the verdict from this status."""
        early = (
            self._newest(status.text)
            if self.revision is None
            else self._awaited(self.revision, status)
        )
        return early or self._accounts(status)

    def _newest(self, text: TextReport) -> Verdict | None:
        """Return a verdict that needs no look at the accounts, if the newest revision is awaited."""
        if text.rejected is not None:
            return Verdict(
                ERROR, f"the newest revision is rejected ({text.rejected}){_first(text.faults)}"
            )
        if text.trouble:
            return Verdict(None, f"the newest revision cannot be fetched: {text.trouble}")
        return Verdict(None, "waiting for a revision") if text.revision is None else None

    def _awaited(self, revision: str, status: StatusReport) -> Verdict | None:
        """Return a verdict that needs no look at the accounts, if a certain revision is awaited.

        If a newer revision replaced it, accounts are judged by the newer one. A rejected newer one does not matter.
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
                    ERROR,
                    f"revision {short_revision(one.revision)} is rejected ({one.rejected}){faults}",
                )
            return None
        if text.holds or is_meant(revision, text.revision or "", text.sha256 or ""):
            return None
        in_force = short_revision(text.revision or "no revision")
        return Verdict(
            None, f"waiting for revision {short_revision(revision)}: in force is {in_force}"
        )

    def _spared(self, revision: str, status: StatusReport) -> bool:
        """Say whether all accounts that matter are of files without a fault, so that the revision is theirs."""
        there = {one.account: one for one in status.accounts}
        mine = [there[name] for name in self.accounts if name in there]
        return bool(mine) and all(one.revision == revision and one.rejected is None for one in mine)

    def _accounts(self, status: StatusReport) -> Verdict:
        """Return the verdicts of the accounts under the revision in force; the last verdict of each stays."""
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
    """Return a valid revision to wait for; raises ``ValueError`` with a sentence."""
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
    """Return the verdict of one account, by its last pass alone."""
    if not account.current:
        return Verdict(None, "no pass of this revision has ended yet")
    if account.settled and not account.guarded:
        return Verdict(0, "in sync")
    return _stuck(account) or _on_its_way(account)


def _stuck(account: AccountReport) -> Verdict | None:
    """Return the verdict that waiting cannot change, if there is one."""
    holding = [(one.reason, one.message) for one in account.held if one.asks]
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
    """Return the verdict of an account that waits for time, or that only policy holds."""
    reasons = sorted({one.reason for one in account.held})
    trusted = account.last_success is not None and account.last_success == account.last_attempt
    if (
        trusted
        and account.result == PassResult.HELD
        and all(one.kind == Kind.POLICY for one in account.held)
    ):
        return Verdict(0, f"held by policy ({', '.join(reasons)})")
    holding = sorted({*reasons, *(one.reason for one in account.guards)})
    held = f"held by {', '.join(holding)}" if holding else "converging"
    return Verdict(None, account.error or held, HELD if account.guarded else ERROR)


def _unless_under_way(account: AccountReport, status: StatusReport) -> Verdict:
    """Return the verdict of one account. If it is not in sync, a pass that is due or under way may change that."""
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
    """Return the verdict and its status. A daemon that does not answer is asked again until time is up.

    If something else answers, such as a login page, the wait ends at once.
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
    each, under = list(found), f"revision {short_revision(str(status.text.revision))}"
    early = [(name, one) for name, one in each if one.code is None]
    if early:
        more = f" (and {len(early) - 1} more)" if len(early) > 1 else ""
        late = min(one.late for _, one in early)
        return Verdict(None, f"waiting for {early[0][0]}: {early[0][1].words}{more}", late)
    for code in SEVERITY:
        reached = [f"{name} is {one.words}" for name, one in each if one.code == code]
        if reached:
            return Verdict(code, f"{'; '.join(reached)} ({under})")
    words = [f"{counted(len(each), 'account')} done with {under}"]
    words += [f"{name} is {one.words}" for name, one in each if one.words != "in sync"]
    return Verdict(0, "; ".join(words))


def _first(faults: Sequence[str]) -> str:
    return f": {faults[0]}" if faults else ""
