"""Logs and metrics: what they are called, how they look, and that no secret is in them.

Owns: every metric, the set-up of structured logs, and the masking of secrets as the last step before a line leaves.
Must not: know where a figure comes from; others hand it in.

Gauges of an account are figures that the account's last pass left behind, read when Prometheus asks; so an account that
left the file leaves no series behind, and with ``PCC_METRICS_PER_ACCOUNT=false`` they are summed instead.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TextIO

import msgspec
import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from reconciler import __version__
from reconciler.guards import GUARDS, held_actions
from reconciler.model import AccountName, Action, Condition, Kind, PassResult, Reason, Result

MASK = "**********"
CONDITIONS = tuple(Condition)
DEVICE_STATES = ("in_sync", "missing", "extra", "unmanaged", "ignored")
PASS_RESULTS = tuple(PassResult)
TOKEN_RESULTS = ("success", "refused", "unavailable")
CALL_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30, 60)
PASS_SECONDS = (0.1, 0.5, 1, 5, 15, 30, 60, 300, 900, 1800)
CONVERGENCE_SECONDS = (1, 5, 15, 30, 60, 120, 300, 600, 1800, 3600)


@dataclass(frozen=True, slots=True)
class Figures:
    """What one account's last pass says in numbers. Times are epoch seconds, 0 where there was none yet."""

    condition: Condition = Condition.CONVERGING
    desired: int = 0
    observed: int = 0
    states: Mapping[str, int] = field(default_factory=dict)
    held: Mapping[tuple[Action, Reason], int] = field(default_factory=dict)
    tripped: frozenset[Reason] = frozenset()
    flapping: int = 0
    budget_remaining: int = 0
    approvals_active: int = 0
    approvals_expired: int = 0
    last_attempt: float = 0.0
    last_success: float = 0.0
    out_of_sync_since: float = 0.0
    quota_limit: int | None = None
    quota_remaining: int | None = None
    token_expiry: float | None = None


Cells = Iterable[tuple[tuple[str, ...], float]]


@dataclass(frozen=True, slots=True)
class AccountGauge:
    """One gauge of the table: its labels beside ``account`` and how it is read from an account's figures."""

    name: str
    help: str
    labels: tuple[str, ...]
    read: Callable[[Figures], Cells]


def _one(read: Callable[[Figures], float | None]) -> Callable[[Figures], Cells]:
    def cells(figures: Figures) -> Cells:
        value = read(figures)
        return [] if value is None else [((), value)]

    return cells


def _held_cells(figures: Figures) -> Cells:
    return [
        ((action, guard.reason.kind, guard.reason), figures.held.get((action, guard.reason), 0))
        for guard in GUARDS
        for action in held_actions(guard.reason)
    ]


ACCOUNT_GAUGES: tuple[AccountGauge, ...] = (
    AccountGauge(
        "pcc_account_condition",
        "1 for the one condition that the account is in.",
        ("condition",),
        lambda figures: [((condition,), condition == figures.condition) for condition in CONDITIONS],
    ),
    AccountGauge("pcc_desired_devices", "Devices wanted now.", (), _one(lambda figures: figures.desired)),
    AccountGauge(
        "pcc_observed_devices", "Devices in the last trusted live list.", (), _one(lambda figures: figures.observed)
    ),
    AccountGauge(
        "pcc_devices",
        "Devices by what they are to us; the states add up to all that is wanted or live.",
        ("state",),
        lambda figures: [((state,), figures.states.get(state, 0)) for state in DEVICE_STATES],
    ),
    AccountGauge(
        "pcc_flapping_devices",
        "Devices that LG lost again and again after confirming them.",
        (),
        _one(lambda figures: figures.flapping),
    ),
    AccountGauge(
        "pcc_changes_held",
        "Wanted changes that are not made now, by reason.",
        ("action", "kind", "reason"),
        _held_cells,
    ),
    AccountGauge(
        "pcc_guard_tripped",
        "1 while a guard holds something.",
        ("reason",),
        lambda figures: [
            ((guard.reason,), guard.reason in figures.tripped) for guard in GUARDS if guard.reason.kind is Kind.GUARD
        ],
    ),
    AccountGauge(
        "pcc_unsubscribe_budget_remaining",
        "Devices that may still be unsubscribed within 24 hours without an approval.",
        (),
        _one(lambda figures: figures.budget_remaining),
    ),
    AccountGauge(
        "pcc_approvals",
        "Approvals in the text by state.",
        ("state",),
        lambda figures: [(("active",), figures.approvals_active), (("expired",), figures.approvals_expired)],
    ),
    AccountGauge(
        "pcc_pass_last_attempt_timestamp_seconds",
        "When the last pass began.",
        (),
        _one(lambda figures: figures.last_attempt),
    ),
    AccountGauge(
        "pcc_pass_last_success_timestamp_seconds",
        "When the live list was last trusted.",
        (),
        _one(lambda figures: figures.last_success),
    ),
    AccountGauge(
        "pcc_out_of_sync_since_timestamp_seconds",
        "Since when a wanted change is not made; 0 when in sync.",
        (),
        _one(lambda figures: figures.out_of_sync_since),
    ),
    AccountGauge(
        "pcc_api_quota_calls_per_hour",
        "Calls allowed in any rolling hour; absent when unlimited or not yet known.",
        (),
        _one(lambda figures: figures.quota_limit),
    ),
    AccountGauge(
        "pcc_api_quota_remaining",
        "Calls left in this hour; absent when unlimited or not yet known.",
        (),
        _one(lambda figures: figures.quota_remaining),
    ),
    AccountGauge(
        "pcc_token_expiry_timestamp_seconds",
        "When the access token in use ends; absent where that is not known.",
        (),
        _one(lambda figures: figures.token_expiry),
    ),
)
"""Every gauge that is told account by account."""

_EARLIEST = {"pcc_pass_last_attempt_timestamp_seconds", "pcc_pass_last_success_timestamp_seconds"}
_EARLIEST_SET = {"pcc_out_of_sync_since_timestamp_seconds", "pcc_token_expiry_timestamp_seconds"}


class _AccountCollector(Collector):
    """Reads the account gauges when asked: one series an account, or one sum over all."""

    def __init__(self, figures: Mapping[AccountName, Figures], *, per_account: bool) -> None:
        self._figures = figures
        self._per_account = per_account

    def describe(self) -> Iterator[Metric]:
        """Name the gauges, so that the registry refuses a second home for one of them."""
        for gauge in ACCOUNT_GAUGES:
            yield GaugeMetricFamily(gauge.name, gauge.help)
        yield GaugeMetricFamily("pcc_accounts", _ACCOUNTS_HELP)

    def collect(self) -> Iterator[Metric]:
        """Yield every gauge with the figures of this moment."""
        figures = dict(self._figures)
        for gauge in ACCOUNT_GAUGES:
            yield self._family(gauge, figures)
        accounts = GaugeMetricFamily("pcc_accounts", _ACCOUNTS_HELP, labels=["condition"])
        for condition in CONDITIONS:
            accounts.add_metric([condition], sum(one.condition == condition for one in figures.values()))
        yield accounts

    def _family(self, gauge: AccountGauge, figures: Mapping[AccountName, Figures]) -> Metric:
        labels = [*(["account"] if self._per_account else []), *gauge.labels]
        family = GaugeMetricFamily(gauge.name, gauge.help, labels=labels)
        if self._per_account:
            for account, one in figures.items():
                for cell, value in gauge.read(one):
                    family.add_metric([account, *cell], float(value))
            return family
        gathered: dict[tuple[str, ...], list[float]] = {}
        for one in figures.values():
            for cell, value in gauge.read(one):
                gathered.setdefault(cell, []).append(float(value))
        for cell, values in gathered.items():
            family.add_metric(list(cell), _together(gauge.name, values))
        return family


_ACCOUNTS_HELP = "Accounts by condition, each in one."


def _together(name: str, values: list[float]) -> float:
    """Return one figure for a fleet: a sum, but of moments the earliest, because the laggard is what matters."""
    if name in _EARLIEST:
        return min(values)
    if name in _EARLIEST_SET:
        return min((value for value in values if value), default=0.0)
    return sum(values)


class Metrics:
    """Every metric of the program, on a registry of its own. Label values known beforehand start at 0."""

    def __init__(self, registry: CollectorRegistry | None = None, *, per_account: bool = True) -> None:
        self.registry = registry or CollectorRegistry()
        self.per_account = per_account
        self._figures: dict[AccountName, Figures] = {}
        self.registry.register(_AccountCollector(self._figures, per_account=per_account))
        self._define_process()
        self._define_texts()
        self._define_work()
        self.last_call_at: float | None = None
        self._causes: tuple[str, ...] = ()

    def _define_process(self) -> None:
        build = Gauge("pcc_build_info", "The program's version.", ["version"], registry=self.registry)
        build.labels(__version__).set(1)
        self._mode = Gauge("pcc_mode_info", "Whether changes are made.", ["mode"], registry=self.registry)
        self.interval = self._gauge("pcc_interval_seconds", "Seconds between two passes of an account.")
        self.queue_depth = self._gauge("pcc_queue_depth", "Accounts that wait for a worker.")
        self.queue_oldest = self._gauge("pcc_queue_oldest_seconds", "How long the longest of them waits.")
        self.state_writable = self._gauge("pcc_state_writable", "1 if what we do can be remembered.")

    def _define_texts(self) -> None:
        self.reload_successful = self._gauge(
            "pcc_desired_last_reload_successful", "1 if the newest text was accepted as a whole."
        )
        self.reload_success_timestamp = self._gauge(
            "pcc_desired_last_reload_success_timestamp_seconds", "When a text was last accepted as a whole."
        )
        self._revision = Gauge(
            "pcc_desired_revision_info",
            "The revision in force.",
            ["revision", "source", "verified"],
            registry=self.registry,
        )
        self.commit_timestamp = self._gauge(
            "pcc_desired_commit_timestamp_seconds", "When the commit in force was made; 0 without Git."
        )
        self._rejected = Gauge(
            "pcc_desired_rejected",
            "1 while the newest text is rejected for this cause.",
            ["cause"],
            registry=self.registry,
        )
        self.source_success_timestamp = self._gauge(
            "pcc_source_last_success_timestamp_seconds", "When the newest text was last fetched."
        )
        self.source_errors = Counter(
            "pcc_source_errors", "Fetches of the newest text that failed.", ["kind"], registry=self.registry
        )

    def _define_work(self) -> None:
        account = ["account"] if self.per_account else []
        registry = self.registry
        self._changes = Counter(
            "pcc_changes", "Changes by how they ended.", [*account, "action", "result"], registry=registry
        )
        self._passes = Counter("pcc_passes", "Passes by how they ended.", [*account, "result"], registry=registry)
        self.pass_duration = Histogram(
            "pcc_pass_duration_seconds", "Seconds that one pass took.", buckets=PASS_SECONDS, registry=registry
        )
        self.convergence = Histogram(
            "pcc_convergence_seconds",
            "Seconds from a new revision to an account in sync with it.",
            buckets=CONVERGENCE_SECONDS,
            registry=registry,
        )
        self._requests = Counter(
            "pcc_api_requests", "Calls to LG.", ["method", "route", "status", "code"], registry=registry
        )
        self._request_duration = Histogram(
            "pcc_api_request_duration_seconds",
            "Seconds that one call to LG took.",
            ["method", "route"],
            buckets=CALL_SECONDS,
            registry=registry,
        )
        self._throttled = Counter("pcc_api_throttled", "Calls that LG throttled.", account, registry=registry)
        self._refreshes = Counter("pcc_token_refreshes", "Token renewals.", [*account, "result"], registry=registry)

    def _gauge(self, name: str, words: str) -> Gauge:
        return Gauge(name, words, registry=self.registry)

    def mode(self, mode: str) -> None:
        """Say once whether changes are made."""
        for one in ("enforce", "observe"):
            self._mode.labels(one).set(one == mode)

    def sources(self, kinds: Iterable[str], causes: Iterable[str]) -> None:
        """Name the kinds of fetch errors and the causes of rejection, so that each exists at 0."""
        for kind in kinds:
            self.source_errors.labels(kind)
        self._causes = tuple(causes)
        self.rejected(None)

    def rejected(self, cause: str | None) -> None:
        """Say why the newest text is rejected, or that it is not."""
        for one in self._causes:
            self._rejected.labels(one).set(one == cause)

    def revision(self, revision: str, source: str, verified: str) -> None:
        """Say which revision is in force; the one before leaves no series behind."""
        self._revision.clear()
        self._revision.labels(revision, source, verified).set(1)

    def figures(self, account: AccountName, figures: Figures) -> None:
        """Take an account's newest figures."""
        self._figures[account] = figures

    def enter(self, account: AccountName) -> None:
        """Start every counter of a new account at 0, so that the first event is seen as a rise."""
        self._figures.setdefault(account, Figures())
        for action in Action:
            for result in Result:
                self._changes.labels(*self._of(account), action, result)
        for ended in PASS_RESULTS:
            self._passes.labels(*self._of(account), ended)
        for renewed in TOKEN_RESULTS:
            self._refreshes.labels(*self._of(account), renewed)
        if self.per_account:
            self._throttled.labels(account)

    def leave(self, account: AccountName) -> None:
        """Remove every series of an account that left the texts."""
        self._figures.pop(account, None)
        if self.per_account:
            for metric in (self._changes, self._passes, self._refreshes, self._throttled):
                metric.remove_by_labels({"account": account})

    def changed(self, account: AccountName, action: Action, result: Result, count: int = 1) -> None:
        """Count changes that ended."""
        self._changes.labels(*self._of(account), action, result).inc(count)

    def passed(self, account: AccountName, result: str, seconds: float) -> None:
        """Count one pass that ended."""
        self._passes.labels(*self._of(account), result).inc()
        self.pass_duration.observe(seconds)

    def called(
        self, method: str, route: str, status: int | None, code: str | None, *, began: float, ended: float
    ) -> None:
        """Count one call to LG, from and to steady seconds. ``status`` is nothing where no answer came."""
        self.last_call_at = ended
        self._requests.labels(method, route, "none" if status is None else str(status), self._code(code)).inc()
        self._request_duration.labels(method, route).observe(ended - began)

    def throttled(self, account: AccountName) -> None:
        """Count one throttled call."""
        (self._throttled.labels(account) if self.per_account else self._throttled).inc()

    def token_refreshed(self, account: AccountName, result: str) -> None:
        """Count one token renewal."""
        self._refreshes.labels(*self._of(account), result).inc()

    def _of(self, account: AccountName) -> tuple[str, ...]:
        return (account,) if self.per_account else ()

    def _code(self, code: str | None) -> str:
        if not code:
            return ""
        return code if code in self.known_codes else "other"

    known_codes: frozenset[str] = frozenset()
    """The codes that may be a label value; the composition root hands in LG's table."""


class Masking:
    """The last step of a log line: replaces every known secret, wherever in the line it stands."""

    def __init__(self) -> None:
        self._secrets: tuple[str, ...] = ()

    def know(self, secrets: Iterable[str]) -> None:
        """Take the secrets of this moment; those of before stay masked, because a line may still quote them."""
        plain = {secret for secret in secrets if secret}
        both = {*self._secrets, *plain, *(msgspec.json.encode(secret).decode()[1:-1] for secret in plain)}
        self._secrets = tuple(sorted(both, key=len, reverse=True))

    def text(self, text: str) -> str:
        """Return a text without secrets."""
        for secret in self._secrets:
            if secret in text:
                text = text.replace(secret, MASK)
        return text

    def __call__(self, _logger: Any, _method: str, event: Any) -> Any:
        """Mask a finished line."""
        return self.text(event) if isinstance(event, str) else event


def set_up_logs(
    level: str = "info",
    form: str = "auto",
    *,
    stream: TextIO | None = None,
    masking: Masking | None = None,
    colours: bool | None = None,
) -> Masking:
    """Make every log line of the process one event on ``stream``: JSON, or for a terminal in words."""
    stream = stream or sys.stderr
    masking = masking or Masking()
    terminal = stream.isatty()
    to_json = form == "json" or (form == "auto" and not terminal)
    render = (
        _json()
        if to_json
        else structlog.dev.ConsoleRenderer(
            colors=terminal if colours is None else colours, timestamp_key="ts", pad_event_to=22
        )
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
            structlog.processors.format_exc_info,
            render,
            masking,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(file=stream),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(handlers=[_Bridge()], level=logging.WARNING, force=True)
    return masking


class _Bridge(logging.Handler):
    """Lets what libraries log come out as our own lines do."""

    def emit(self, record: logging.LogRecord) -> None:
        structlog.get_logger().log(
            record.levelno, "library.logged", logger=record.name, message=record.getMessage(), exc_info=record.exc_info
        )


def _json() -> structlog.processors.JSONRenderer:
    def encode(event: Mapping[str, Any], **_options: Any) -> str:
        first = {key: event[key] for key in ("ts", "level", "event") if key in event}
        return msgspec.json.encode(first | dict(event), enc_hook=str).decode()

    return structlog.processors.JSONRenderer(serializer=encode)
