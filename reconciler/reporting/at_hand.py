"""What the files and the saved state show where no daemon answers.

Owns: that a place without a state is an error, not an empty history. Must not: open files or the state; ``runtime``
does.
"""

from __future__ import annotations

from dataclasses import dataclass

from reconciler.core.errors import StateError
from reconciler.reporting.knowledge import Knowledge


@dataclass(frozen=True, slots=True)
class AtHand:
    """What is known without a daemon, and notes for people on how it is known.

    ``desired`` says which desired state was read, ``state`` is where the state is kept, and
    ``setting`` names it.
    """

    known: Knowledge
    notes: tuple[str, ...]
    state: str = ""
    has_state: bool = True
    desired: str = "no file"
    setting: str = "PCC_STATE_DIR"

    @property
    def sources(self) -> str:
        """Say what was asked, so that nobody takes the answer of one fleet for that of another."""
        if not self.has_state:
            return f"{self.desired} alone"
        return f"{self.desired} and the state in {self.state}"

    def insist_on_state(self) -> None:
        """Raise ``StateError`` if there is no state: then past changes are unknown, which does not mean none."""
        if not self.has_state:
            raise StateError(
                f"{no_state(self.state, self.setting)}: nothing is known of past changes"
            )


def no_state(place: str, setting: str) -> str:
    """Return the sentence for a place without a state, and the setting that names the place."""
    return f"there is no state in {place} ({setting})"
