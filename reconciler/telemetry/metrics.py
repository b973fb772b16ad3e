"""Metrics: every one of them, once.

Owns: names, labels and meaning of all metrics, and which series exist before anything happened.
Must not: know where a figure comes from. It is set where the fact is known: of passes in ``controller.recorder``, of
revisions in ``controller.revision_recorder``, of calls to LG in ``pcc.client``, of the process in ``runtime``.

Gauges of an account are figures of the account's last pass, read when Prometheus asks. So an account that left the
file leaves no series behind, and with ``PCC_METRICS_PER_ACCOUNT=false`` they are summed instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from reconciler import __version__
from reconciler.core.guards import GUARDS, held_actions
from reconciler.core.model import AccountName, Action, Condition, Kind, PassResult, Result
from reconciler.core.status import Figures
from reconciler.telemetry.registries import new_registry

DEVICE_STATES = ("in_sync", "missing", "extra", "unmanaged", "ignored")
MODES = ("enforce", "observe")
TOKEN_RESULTS = ("success", "refused", "unavailable")
CALL_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30, 60)
PASS_SECONDS = (0.1, 0.5, 1, 5, 15, 30, 60, 300, 900, 1800)
CONVERGENCE_SECONDS = (1, 5, 15, 30, 60, 120, 300, 600, 1800, 3600)


Cells = Mapping[tuple[str, ...], float]
"""Values of one gauge of one account, by its other labels; empty if the gauge is absent."""


def _earliest(moments: list[float]) -> float:
    """Return the earliest of some moments; an account without one counts as the earliest of all."""
    return min(moments)


def _earliest_given(moments: list[float]) -> float:
    """Return the earliest of some moments; 0 means none."""
    return min((moment for moment in moments if moment), default=0.0)


@dataclass(frozen=True, slots=True)
class AccountGauge:
    """One gauge for each account: how it is read, and how the accounts become one figure.

    Figures are added. Of moments the earliest counts, because the slowest account matters.
    """

    name: str
    help: str
    labels: tuple[str, ...]
    read: Callable[[Figures], Cells]
    together: Callable[[list[float]], float] = sum


def _single(
    name: str,
    words: str,
    read: Callable[[Figures], float | None],
    together: Callable[[list[float]], float] = sum,
) -> AccountGauge:
    """Return a gauge without labels of its own, absent if there is no figure."""

    def cells(figures: Figures) -> Cells:
        value = read(figures)
        return {} if value is None else {(): value}

    return AccountGauge(name, words, (), cells, together)


def _conditions(figures: Figures) -> Cells:
    return {(condition,): condition == figures.condition for condition in Condition}


def _states(figures: Figures) -> Cells:
    """Return the devices by state. While no list was read, nobody knows what is missing, and 0 would say none is."""
    if not figures.states:
        return {}
    return {(state,): figures.states.get(state, 0) for state in DEVICE_STATES}


def _held(figures: Figures) -> Cells:
    cells: dict[tuple[str, ...], float] = {}
    for guard in GUARDS:
        reason = guard.reason
        for action in held_actions(reason):
            cells[action, reason.kind, reason] = figures.held.get((action, reason), 0)
    return cells


def _tripped(figures: Figures) -> Cells:
    cells: dict[tuple[str, ...], float] = {}
    for guard in GUARDS:
        if guard.reason.kind is Kind.GUARD:
            cells[guard.reason,] = guard.reason in figures.tripped
    return cells


def _approvals(figures: Figures) -> Cells:
    return {("active",): figures.approvals_active, ("expired",): figures.approvals_expired}


_CONDITION = AccountGauge(
    "pcc_account_condition",
    "1 for the condition of the account.",
    ("condition",),
    _conditions,
)
_ACCOUNTS = ("pcc_accounts", "Accounts by condition.")

# Laid out by hand, one metric in two or three lines, to be read as the table that it is.
# fmt: off
ACCOUNT_GAUGES: tuple[AccountGauge, ...] = (
    _CONDITION,
    _single("pcc_desired_devices", "Devices wanted now.", lambda one: one.desired),
    _single("pcc_observed_devices", "Devices in the last trusted live list; absent while none was read.",
            lambda one: one.observed if one.states else None),
    AccountGauge("pcc_devices", "Devices by state; the states add up to all devices that are wanted or live;"
                 " absent while no list of the account was read.", ("state",), _states),
    _single("pcc_flapping_devices", "Wanted devices that LG accepted and lost five times or more in a day.",
            lambda one: one.flapping),
    AccountGauge("pcc_changes_held", "Wanted changes that are not made now, by reason.",
                 ("action", "kind", "reason"), _held),
    AccountGauge("pcc_guard_tripped", "1 while a guard holds something.", ("reason",), _tripped),
    _single("pcc_unsubscribe_budget_remaining",
            "Devices that may still be unsubscribed within 24 hours without an approval.",
            lambda one: one.budget_remaining),
    AccountGauge("pcc_approvals", "Approvals in the desired state by state.", ("state",), _approvals),
    _single("pcc_pass_last_attempt_timestamp_seconds", "When the last pass began.",
            lambda one: one.last_attempt, _earliest),
    _single("pcc_pass_last_success_timestamp_seconds", "When the live list was last trusted.",
            lambda one: one.last_success, _earliest),
    _single("pcc_out_of_sync_since_timestamp_seconds", "Since when the account is not in sync; 0 when in sync.",
            lambda one: one.out_of_sync_since, _earliest_given),
    _single("pcc_api_quota_calls_per_hour",
            "Calls allowed in any rolling hour; absent if unlimited or not yet known.",
            lambda one: one.quota_limit),
    _single("pcc_api_quota_remaining", "Calls left in this hour; absent if unlimited or not yet known.",
            lambda one: one.quota_remaining),
    _single("pcc_token_expiry_timestamp_seconds",
            "When the access token in use ends; absent if not known.",
            lambda one: one.token_expiry, _earliest_given),
)
"""Every gauge that has a figure for each account."""
# fmt: on


class _AccountCollector(Collector):
    """Reads the account gauges when asked: one series an account, or one figure for all."""

    def __init__(self, figures: Mapping[AccountName, Figures], *, per_account: bool) -> None:
        self.abandoned: frozenset[AccountName] = frozenset()
        self._figures = figures
        self._per_account = per_account

    def describe(self) -> Iterator[Metric]:
        """Name the gauges, so that the registry refuses a second home for one of them."""
        for gauge in ACCOUNT_GAUGES:
            yield GaugeMetricFamily(gauge.name, gauge.help)
        yield GaugeMetricFamily(*_ACCOUNTS)

    def collect(self) -> Iterator[Metric]:
        """Yield every gauge with the figures of this moment."""
        figures = dict(self._figures)
        gone = Figures(condition=Condition.ABANDONED)
        everyone = {**figures, **dict.fromkeys(self.abandoned, gone)}
        for gauge in ACCOUNT_GAUGES:
            yield self._family(gauge, everyone if gauge is _CONDITION else figures)
        accounts = GaugeMetricFamily(*_ACCOUNTS, labels=["condition"])
        for condition in Condition:
            accounts.add_metric(
                [condition], sum(one.condition == condition for one in everyone.values())
            )
        yield accounts

    def _family(self, gauge: AccountGauge, figures: Mapping[AccountName, Figures]) -> Metric:
        labels = ["account", *gauge.labels] if self._per_account else gauge.labels
        family = GaugeMetricFamily(gauge.name, gauge.help, labels=labels)
        gathered: dict[tuple[str, ...], list[float]] = {}
        for account, one in figures.items():
            for cell, value in gauge.read(one).items():
                key = (account, *cell) if self._per_account else cell
                gathered.setdefault(key, []).append(float(value))
        for cell, values in gathered.items():
            family.add_metric(list(cell), gauge.together(values))
        return family


class Metrics:
    """Every metric of the program, on a registry of its own. Label values known beforehand start at 0."""

    def __init__(
        self, registry: CollectorRegistry | None = None, *, per_account: bool = True
    ) -> None:
        self.registry = registry or new_registry()
        self.per_account = per_account
        self.last_call_at: float | None = None
        self._figures: dict[AccountName, Figures] = {}
        self._accounts = _AccountCollector(self._figures, per_account=per_account)
        self.registry.register(self._accounts)
        self._causes: tuple[str, ...] = ()
        self._codes: frozenset[str] = frozenset()
        self._define_process_and_source()
        self._define_work()

    def _define_process_and_source(self) -> None:
        gauge = self._gauge
        gauge("pcc_build_info", "The program's version.", "version").labels(__version__).set(1)
        self._mode = gauge("pcc_mode_info", "Whether changes are made.", "mode")
        self.interval = gauge("pcc_interval_seconds", "Seconds between two passes of an account.")
        self.queue_depth = gauge("pcc_queue_depth", "Accounts that wait for a worker.")
        self.queue_oldest = gauge(
            "pcc_queue_oldest_seconds",
            "How long the longest-waiting of them, or of the due accounts, has waited; measured when asked.",
        )
        self._log_lines_dropped = self._counter(
            "pcc_log_lines_dropped_total",
            "Log lines that were dropped because nobody read them.",
        )
        self._log_lines_counted = 0
        self.clock_ahead = gauge(
            "pcc_clock_ahead_seconds",
            "By how much this machine's clock is ahead of LG's; 0 if LG's is not known.",
        )
        self.state_writable = gauge("pcc_state_writable", "1 if the state can be written.")
        self.reload_successful = gauge(
            "pcc_desired_last_reload_successful",
            "1 if the newest revision was accepted as a whole.",
        )
        self.reload_success_timestamp = gauge(
            "pcc_desired_last_reload_success_timestamp_seconds",
            "When a revision was last accepted as a whole.",
        )
        self._revision = gauge(
            "pcc_desired_revision_info", "The revision in force.", "revision", "source", "verified"
        )
        self.commit_timestamp = gauge(
            "pcc_desired_commit_timestamp_seconds",
            "When the commit in force was made; 0 without Git.",
        )
        self._rejected = gauge(
            "pcc_desired_rejected",
            "1 while the newest revision is rejected for this cause.",
            "cause",
        )
        self.source_success_timestamp = gauge(
            "pcc_source_last_success_timestamp_seconds",
            "When the newest revision was last fetched.",
        )
        self.source_errors = self._counter(
            "pcc_source_errors", "Fetches of the newest revision that failed.", "kind"
        )

    def _define_work(self) -> None:
        counter, histogram = self._counter, self._histogram
        account = ["account"] if self.per_account else []
        self._changes = counter("pcc_changes", "Changes by result.", *account, "action", "result")
        self._passes = counter("pcc_passes", "Passes by result.", *account, "result")
        self._throttled = counter("pcc_api_throttled", "Calls that LG throttled.", *account)
        self._otherwise = counter(
            "pcc_api_other_message_ids",
            "Answers from LG with another message id than their request.",
            *account,
        )
        self._refreshes = counter("pcc_token_refreshes", "Token renewals.", *account, "result")
        self._requests = counter(
            "pcc_api_requests", "Calls to LG.", "method", "route", "status", "code"
        )
        self._request_duration = histogram(
            "pcc_api_request_duration_seconds",
            "Duration of one call to LG in seconds.",
            CALL_SECONDS,
            "method",
            "route",
        )
        self.pass_duration = histogram(
            "pcc_pass_duration_seconds", "Duration of one pass in seconds.", PASS_SECONDS
        )
        self.convergence = histogram(
            "pcc_convergence_seconds",
            "Seconds from a new revision to an account in sync with it.",
            CONVERGENCE_SECONDS,
        )

    def _gauge(self, name: str, words: str, *labels: str) -> Gauge:
        return Gauge(name, words, labels, registry=self.registry)

    def _counter(self, name: str, words: str, *labels: str) -> Counter:
        return Counter(name, words, labels, registry=self.registry)

    def _histogram(
        self, name: str, words: str, buckets: tuple[float, ...], *labels: str
    ) -> Histogram:
        return Histogram(name, words, labels, buckets=buckets, registry=self.registry)

    def mode(self, mode: str) -> None:
        """Say once whether changes are made."""
        for one in MODES:
            self._mode.labels(one).set(one == mode)

    def platform(self, routes: Iterable[tuple[str, str]], codes: Iterable[str]) -> None:
        """Name LG's calls (method, route), so that each exists at 0, and the codes that may be a label value."""
        self._codes = frozenset(codes)
        for method, route in routes:
            self._requests.labels(method, route, "200", "")
            self._request_duration.labels(method, route)

    def sources(self, kinds: Iterable[str], causes: Iterable[str]) -> None:
        """Name the kinds of fetch errors and the causes of rejection, so that each exists at 0."""
        for kind in kinds:
            self.source_errors.labels(kind)
        self._causes = tuple(causes)
        self.rejected(None)

    def lines_dropped(self, since_the_start: int) -> None:
        """Set the number of log lines that were dropped so far."""
        self._log_lines_dropped.inc(since_the_start - self._log_lines_counted)
        self._log_lines_counted = since_the_start

    def rejected(self, cause: str | None) -> None:
        """Say why the newest revision is rejected, or that it is not."""
        for one in self._causes:
            self._rejected.labels(one).set(one == cause)

    def revision(self, revision: str, source: str, verified: str) -> None:
        """Set the revision in force; the series of the one before disappears."""
        self._revision.clear()
        self._revision.labels(revision, source, verified).set(1)

    def figures(self, account: AccountName, figures: Figures) -> None:
        """Set an account's newest figures."""
        self._figures[account] = figures

    def abandoned(self, accounts: Iterable[AccountName]) -> None:
        """Set the accounts that left the files while devices of them are live; they have a condition only."""
        self._accounts.abandoned = frozenset(accounts)

    def enter(self, account: AccountName) -> None:
        """Start every counter of a new account at 0, so the first event shows as an increase."""
        self._figures.setdefault(account, Figures())
        for counter, cell in self._of_account():
            self._series(counter, account, *cell)

    def leave(self, account: AccountName) -> None:
        """Remove every series of an account that left the files."""
        self._figures.pop(account, None)
        if not self.per_account:
            return
        for counter, cell in self._of_account():
            counter.remove(account, *cell)

    def _of_account(self) -> Iterator[tuple[Counter, tuple[str, ...]]]:
        """Yield the counters that have a series for each account, with every combination of their other labels."""
        for action, change_result in product(Action, Result):
            yield self._changes, (action, change_result)
        for pass_result in PassResult:
            yield self._passes, (pass_result,)
        for token_result in TOKEN_RESULTS:
            yield self._refreshes, (token_result,)
        yield self._throttled, ()
        yield self._otherwise, ()

    def changed(self, account: AccountName, action: Action, result: Result, count: int = 1) -> None:
        """Count changes that ended."""
        self._series(self._changes, account, action, result).inc(count)

    def passed(self, account: AccountName, result: str, seconds: float) -> None:
        """Count one pass that ended."""
        self._series(self._passes, account, result).inc()
        self.pass_duration.observe(seconds)

    def called(
        self,
        method: str,
        route: str,
        status: int | None,
        code: str | None,
        *,
        began: float,
        ended: float,
    ) -> None:
        """Count one call to LG, from and to steady seconds. ``status`` is None where no answer came."""
        self.last_call_at = ended
        known = code if not code or code in self._codes else "other"
        self._requests.labels(
            method, route, "none" if status is None else str(status), known or ""
        ).inc()
        self._request_duration.labels(method, route).observe(ended - began)

    def throttled(self, account: AccountName) -> None:
        """Count one throttled call."""
        self._series(self._throttled, account).inc()

    def answered_otherwise(self, account: AccountName) -> None:
        """Count one answer with another message id than its request."""
        self._series(self._otherwise, account).inc()

    def token_refreshed(self, account: AccountName, result: str) -> None:
        """Count one token renewal."""
        self._series(self._refreshes, account, result).inc()

    def _series(self, counter: Counter, account: AccountName, *others: str) -> Counter:
        """Return the series of an account; without account labels, the one that all share."""
        labels = (account, *others) if self.per_account else others
        return counter.labels(*labels) if labels else counter
