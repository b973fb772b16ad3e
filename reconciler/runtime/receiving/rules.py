"""What the partner wrote, as it is in force: sinks, filters, retention, and the Logic Table.

Owns: which reading of the events file is in force, and that the last accepted one is kept. Must not: read a file,
or judge one (``partner_files`` does).

A faulty file never ends the process, and takes nothing out of force: the last accepted one stays, also over a restart.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import structlog

from reconciler.core.errors import Fault, ReconcilerError, SpoolError
from reconciler.events.config import RetentionConfig
from reconciler.events.port import Keeper
from reconciler.runtime.partner_files import Files, Judged, Rules, judged
from reconciler.telemetry.receiver_metrics import ReceiverMetrics

KEPT = "rules"
"""The name under which the spool keeps what was last accepted."""
MOST_FAULTS = 20
"""Faults that one line of the log has."""

log = structlog.get_logger()


def restored(keeper: Keeper) -> Rules | None:
    """Return what was last accepted, or None where nothing was. May block on the disk.

    Raises ``SpoolError``, and ``MsgspecError`` for what another version kept.
    """
    kept = keeper.kept(KEPT)
    return None if kept is None else judged(msgspec.msgpack.decode(kept, type=Files)).rules


class RulesInForce:
    """Brings accepted readings into force. ``enforce`` hears of each."""

    def __init__(
        self,
        keeper: Keeper,
        metrics: ReceiverMetrics,
        enforce: Callable[[Rules], None],
    ) -> None:
        self.was_read = False
        self._is_accepted = False
        self._keeper, self._metrics, self._enforce = keeper, metrics, enforce
        self._unkept: bytes | None = None
        self.rules = Rules()

    @property
    def retention(self) -> RetentionConfig:
        """How long things are kept."""
        return self.rules.config.retention

    def recall(self) -> Rules | None:
        """Return what was last accepted, or None where that is not known. May block on the disk."""
        try:
            return restored(self._keeper)
        except (SpoolError, msgspec.MsgspecError) as error:
            log.error("rules.not_restored", error=str(error))  # noqa: TRY400 - the sentence says it all
            return None

    def resume(self, recalled: Rules | None) -> None:
        """Bring back into force what was last accepted, unless files were accepted since: the spool may open late."""
        if recalled is None or self._is_accepted:
            return
        try:
            self._use(recalled)
        except ReconcilerError as error:
            log.error("rules.not_restored", error=str(error))  # noqa: TRY400 - the sentence says it all

    def accept(self, files: Files, found: Judged) -> None:
        """Bring a reading into force if it has no fault. ``found`` is what the files come to."""
        self.was_read = True
        for warning in found.warnings:
            log.warning("rules.warning", message=str(warning))
        if found.rules is None:
            self._reject(found.faults)
            return
        try:
            self._use(found.rules)
        except ReconcilerError as error:
            self._reject([Fault(files.path, 0, 0, str(error))])
            return
        self._is_accepted = True
        self._metrics.logic_reload_successful.set(1)
        self._unkept = msgspec.msgpack.encode(files)
        log.info(
            "rules.accepted",
            sinks=sorted(found.rules.config.sinks),
            logic=found.rules.table.revision,
        )

    def missing(self, path: Path, why: str) -> None:
        """Take that there is no events file. That is no fault where there never was one."""
        self.was_read = True
        if self.rules == Rules():
            log.warning("rules.no_sinks", path=str(path), reason=why)
            return
        self._reject([Fault(str(path), 0, 0, why)])

    def keep(self) -> None:
        """Keep what was accepted in the spool, if that is not done yet. May block on the disk."""
        unkept = self._unkept
        if unkept is None:
            return
        try:
            self._keeper.keep(KEPT, unkept)
        except SpoolError as error:
            log.warning("rules.not_kept", error=str(error))
            return
        if self._unkept is unkept:
            self._unkept = None

    def _reject(self, faults: Sequence[Fault]) -> None:
        self._metrics.logic_reload_successful.set(0)
        shown = [str(fault) for fault in faults[:MOST_FAULTS]]
        log.error("rules.rejected", faults=shown, count=len(faults))

    def _use(self, rules: Rules) -> None:
        self._enforce(rules)
        self.rules = rules
        if not rules.config.sinks:
            log.warning("rules.no_sinks", reason="the events file names none")
