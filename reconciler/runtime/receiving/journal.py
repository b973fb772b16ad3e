"""What the receiving process says of each event: its metrics and its lines in the log.

Owns: how an event is counted, and what a line shows of it. Must not: show a body, or decide anything.
"""

from __future__ import annotations

from itertools import product

import structlog

from reconciler.api.receiver import DEFECT, REFUSALS
from reconciler.core.clock import Clock
from reconciler.events.message import Reason
from reconciler.events.model import (
    PCC_EVENT,
    Arrival,
    Category,
    Knowledge,
    Message,
    Receipt,
    Result,
    Stored,
)
from reconciler.events.port import Directory, Logic
from reconciler.telemetry.receiver_metrics import OTHER, ReceiverMetrics

PUSH_TYPES = (
    PCC_EVENT,
    "DEVICE_PUSH",
    "DEVICE_REGISTERED",
    "DEVICE_UNREGISTERED",
    "DEVICE_ALIAS_CHANGED",
    "DEVICE_STATUS",
    OTHER,
)
"""The push types that LG's documents name; they are label values."""
UNMATCHED = "unknown"
"""The category of a diagnosis whose type the Logic Table does not have."""
NO_CATEGORY = "none"
"""The category of what is no diagnosis."""

log = structlog.get_logger()


class EventJournal:
    """Counts and logs what became of each arrival. ``directory`` and ``logic`` are those in force."""

    def __init__(
        self, metrics: ReceiverMetrics, directory: Directory, logic: Logic, clock: Clock
    ) -> None:
        self._metrics, self._clock = metrics, clock
        self._directory, self._logic = directory, logic
        self._log = log.bind()  # once: to bind it for each line takes a tenth of the line's time
        categories = [*(category.value for category in Category), UNMATCHED]
        devices = [knowledge.value for knowledge in Knowledge]
        received = [
            *product([PCC_EVENT], categories, devices),
            *product(PUSH_TYPES[1:], [NO_CATEGORY], devices),
        ]
        quarantine = [*(reason.value for reason in Reason), DEFECT]
        metrics.begin(received=received, refusals=REFUSALS, quarantine=quarantine)

    def refused(self, reason: str) -> None:
        """Count a call that was not taken."""
        self._metrics.refused(reason)

    def answered(self, seconds: float) -> None:
        """Take how long a call took that was answered with success."""
        self._metrics.receive_duration.observe(seconds)

    def stored(self, arrival: Arrival, receipt: Receipt) -> None:
        """Take what became of one arrival, after its commit."""
        if receipt.id_reused:
            self._metrics.ids_reused.inc()
        match receipt.stored:
            case Stored.SELF_TEST:
                self._metrics.last_self_test.set(self._clock.now().timestamp())
                self._log.info("event.self_test", seq=receipt.seq)
            case Stored.DUPLICATE:
                self._metrics.duplicates.inc()
                self._log.info("event.duplicate", seq=receipt.seq, id=receipt.id)
            case Stored.QUARANTINED:
                self._quarantined(arrival, receipt)
            case Stored.NEW if arrival.message is not None:
                self._received(arrival.message, receipt)

    def _quarantined(self, arrival: Arrival, receipt: Receipt) -> None:
        reason = arrival.quarantine or OTHER
        self._metrics.quarantined(reason)
        self._metrics.last_event.set(self._clock.now().timestamp())
        self._log.warning("event.quarantined", seq=receipt.seq, id=receipt.id, reason=reason)

    def _received(self, message: Message, receipt: Receipt) -> None:
        now = self._clock.now()
        self._metrics.last_event.set(now.timestamp())
        device = None if message.device is None else self._directory.device(message.device)
        category = NO_CATEGORY
        if message.push_type == PCC_EVENT and message.diagnosis is not None:
            device_type = message.device_type or (None if device is None else device.type)
            known = self._logic.diagnosis(message.diagnosis, device_type)
            category = known.category or UNMATCHED
            if not known.matched:
                self._metrics.logic_missing.inc()
            if message.diagnosed_at is not None:
                lag = (now - message.diagnosed_at).total_seconds()
                self._metrics.lag.observe(max(lag, 0.0))
        knowledge = Knowledge.UNKNOWN if device is None else device.knowledge
        self._metrics.received(message.push_type, category, knowledge.value)
        self._log.info(
            "event.received",
            seq=receipt.seq,
            id=receipt.id,
            account=None if device is None else device.account,
            device=message.device,
            type=message.diagnosis or message.push_type,
        )

    def ended(self, sink: str, result: Result, seconds: float) -> None:
        """Count an attempt to deliver that ended."""
        self._metrics.delivered(sink, result.value, seconds)
