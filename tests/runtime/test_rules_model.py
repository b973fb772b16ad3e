"""Which rules are in force, beside a model: files that are written, spoilt and away, and a spool that opens late."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from reconciler.core.errors import ReconcilerError, SpoolError
from reconciler.runtime.partner_files import Files, Rules, judged, read_files
from reconciler.runtime.receiving.rules import RulesInForce
from reconciler.telemetry.receiver_metrics import ReceiverMetrics

EVENTS = 'version = 1\nlogic = "logic"\n[sinks.{}]\ntype = "stream"\n'
Wanted = tuple[str, str]
"""A sink, and the category that the table gives the one diagnosis."""


class Ruling(RuleBasedStateMachine):
    """The partner's files and the process that follows them, on a spool that may not be open yet."""

    def __init__(self) -> None:
        super().__init__()
        self.room = TemporaryDirectory()
        self.path = Path(self.room.name) / "events.toml"
        (self.path.parent / "logic").mkdir()
        self.contents: dict[str, bytes] = {}
        self.is_open, self.refused = True, ""
        self.there: Wanted | None = None
        self.is_sound = False
        self.kept: Wanted | None = None
        self.begin()

    def teardown(self) -> None:
        """Let go of the files."""
        self.room.cleanup()

    # -- what the spool and the sinks are for the rules

    def kept_content(self) -> bytes | None:
        """Return what the spool has."""
        if not self.is_open:
            raise SpoolError("the spool is not open")
        return self.contents.get("rules")

    def enforce(self, rules: Rules) -> None:
        """Obey, unless a sink cannot be made."""
        if self.refused in rules.config.sinks:
            raise ReconcilerError("a sink cannot be made")
        self.obeyed = rules

    # -- what happens

    def begin(self) -> None:
        """Begin a process: what was in force comes back once the spool is open, and the files are read."""
        self.metrics, self.obeyed = ReceiverMetrics(1), Rules()
        self.brought = RulesInForce(Shelf(self), self.metrics, self.enforce)
        self.in_force: Wanted | None = None
        self.unkept: Wanted | None = None
        self.successful: int | None = None
        self.has_accepted = self.has_resumed = False
        self.resume()
        self.look()

    def resume(self) -> None:
        """Bring back what was in force, as the keeper of the spool does when it is open."""
        if not self.is_open or self.has_resumed:
            return
        self.has_resumed = True
        self.brought.resume(self.brought.recall())
        if self.kept is not None and not self.has_accepted and self.kept[0] != self.refused:
            self.in_force = self.kept

    def look(self) -> None:
        """Read the files, and keep what is accepted."""
        found = read_files(self.path)
        if isinstance(found, Files):
            self.brought.accept(found, judged(found))
        else:
            self.brought.missing(self.path, found)
        if self.there is None:
            self.successful = self.successful if self.in_force is None else 0
        elif not self.is_sound or self.there[0] == self.refused:
            self.successful = 0
        else:
            self.in_force = self.unkept = self.there
            self.successful, self.has_accepted = 1, True
        self.keep()

    def keep(self) -> None:
        """Keep what was accepted, if the spool is open."""
        self.brought.keep()
        if self.is_open and self.unkept is not None:
            self.kept, self.unkept = self.unkept, None

    @rule(
        sink=st.sampled_from(["crm", "lake", "ticket"]),
        category=st.sampled_from(["misuse", "malfunction"]),
        spoilt=st.sampled_from(["", "", "events", "table"]),
    )
    def write(self, sink: str, category: str, spoilt: str) -> None:
        """Let the partner write both files, one of them with a fault perhaps."""
        self.there, self.is_sound = (sink, category), not spoilt
        events = "version = 2\n" if spoilt == "events" else EVENTS.format(sink)
        table = f"diagnosis_type,category\nA,{'nonsense' if spoilt == 'table' else category}\n"
        (self.path.parent / "logic/types.csv").write_text(table)
        self.path.write_text(events)
        self.look()

    @rule()
    def take_away(self) -> None:
        """Let the events file be away."""
        self.path.unlink(missing_ok=True)
        self.there = None
        self.look()

    @rule()
    def open_or_close(self) -> None:
        """Let the spool open at last, or its disk go away."""
        self.is_open = not self.is_open
        self.resume()
        self.keep()

    @rule(sink=st.sampled_from(["", "crm", "lake"]))
    def refuse(self, sink: str) -> None:
        """Let one sink be such that it cannot be made, as behind a proxy that is none; or let all be well."""
        self.refused = sink

    @rule()
    def restart(self) -> None:
        """End the process, and begin another."""
        self.begin()

    @invariant()
    def the_right_rules_are_in_force(self) -> None:
        """See that everybody obeys what was accepted last, sinks and table together."""
        for rules in (self.brought.rules, self.obeyed):
            sinks = tuple(rules.config.sinks)
            meant = rules.table.diagnosis("A", None).category
            assert (*sinks, meant) == (self.in_force or (None,))
        shown = self.metrics.registry.get_sample_value("pcc_logic_last_reload_successful")
        assert self.successful is None or shown == self.successful


class Shelf:
    """What the rules see of the spool."""

    def __init__(self, ruling: Ruling) -> None:
        self._ruling = ruling

    def kept(self, name: str) -> bytes | None:
        """Return what is kept."""
        del name
        return self._ruling.kept_content()

    def keep(self, name: str, content: bytes) -> None:
        """Keep something."""
        self._ruling.kept_content()
        self._ruling.contents[name] = content


TestRuling = Ruling.TestCase
TestRuling.settings = settings(max_examples=50, stateful_step_count=20, deadline=None)
