"""The metrics of a receiving process, filled by its own journal, without the process around them."""

from __future__ import annotations

from reconciler.events.model import (
    PCC_EVENT,
    Arrival,
    Device,
    Diagnosis,
    EventState,
    Knowledge,
    Message,
    Receipt,
    Result,
    Stored,
)
from reconciler.runtime.clock import SystemClock
from reconciler.runtime.receiving.journal import EventJournal
from reconciler.telemetry.receiver_metrics import ReceiverMetrics, SpoolGauges

SINK = "crm"


class NoName:
    """A desired state that names no device."""

    def device(self, device: str) -> Device:
        """Return a device that nobody wants."""
        return Device(device, Knowledge.UNKNOWN)


class NoTable:
    """A Logic Table without a row."""

    revision: str | None = None

    def diagnosis(self, diagnosis: str, device_type: str | None) -> Diagnosis:
        """Return a diagnosis of which nothing is known."""
        del device_type
        return Diagnosis(diagnosis)


class ReceiverFigures:
    """The metrics of a receiver with one sink. At first nothing has happened, and every series is at 0."""

    def __init__(self) -> None:
        self.metrics = ReceiverMetrics(spool_limit=1000)
        self._clock = SystemClock()
        self._journal = EventJournal(self.metrics, NoName(), NoTable(), self._clock)
        self.metrics.sinks([SINK], [result.value for result in Result])
        self.metrics.spool(self._gauges)

    def _gauges(self) -> SpoolGauges:
        counts = {(SINK, state.value): 3 for state in EventState}
        return SpoolGauges(900, counts, {SINK: 7.0})

    def trouble(self) -> None:
        """Let everything happen once that a receiver can tell of."""
        now = self._clock.now()
        message = Message(PCC_EVENT, {}, device="one", diagnosis="E1", diagnosed_at=now)
        event = Arrival(b"1", b"{}", message)
        self._journal.stored(event, Receipt(Stored.NEW, 1, "id", id_reused=True))
        self._journal.stored(event, Receipt(Stored.DUPLICATE, 1, "id"))
        broken = Arrival(b"2", b"{", quarantine="json")
        self._journal.stored(broken, Receipt(Stored.QUARANTINED, 2, "other"))
        self._journal.stored(event, Receipt(Stored.SELF_TEST, 3, "test"))
        self._journal.refused("spool_full")
        self._journal.answered(0.02)
        for result in Result:
            self._journal.ended(SINK, result, 0.2)
        self.metrics.logic_reload_successful.set(1)
