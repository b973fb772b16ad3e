"""What callers of the receiving process have to show, by its settings.

Owns: reading those secrets anew at each use, and that logs mask them. Must not: compare them; ``api`` does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from reconciler.core.clock import Clock
from reconciler.core.errors import ReconcilerError
from reconciler.pcc.secret_files import SecretReader
from reconciler.runtime.receiver_settings import ReceiverSettings, parts_of_pair
from reconciler.telemetry.masking import Masking


class ReceiverSettingsPolicy:
    """The policy that the settings make."""

    def __init__(self, settings: ReceiverSettings, masking: Masking, clock: Clock) -> None:
        self.on_loopback = settings.receive_listen.on_loopback
        self._basic = _Lines(settings.basic_reader(), masking, clock, parts_of_pair)
        self._secret = _Lines(settings.path_secret_reader(), masking, clock, _itself)
        self._token = _Lines(settings.reader("events_token"), masking, clock, _itself)

    def basic(self) -> Sequence[str]:
        """Return the ``user:password`` pairs of which a caller has to show one."""
        return self._basic.read()

    def path_secrets(self) -> Sequence[str]:
        """Return the last path segments of which a caller has to know one."""
        return self._secret.read()

    def events_token(self) -> str | None:
        """Return the bearer token of the read API, if there is one."""
        lines = self._token.read()
        return lines[0] if lines else None


class _Lines:
    """A secret of one or two lines. It is split, and given to the masking, only when it changed."""

    def __init__(
        self,
        reader: SecretReader | None,
        masking: Masking,
        clock: Clock,
        parts: Callable[[str], tuple[str, ...]],
    ) -> None:
        self._reader, self._masking, self._clock = reader, masking, clock
        self._parts = parts
        self._read = ""
        self._lines: tuple[str, ...] = ()

    def read(self) -> Sequence[str]:
        """Return the lines as they are now. Raises ``ReconcilerError`` where they cannot be read."""
        if self._reader is None:
            return ()
        secret = self._reader.read()
        if isinstance(secret, str):
            raise ReconcilerError(secret)
        value = secret.get_secret_value()
        if value != self._read:
            self._lines = tuple(value.splitlines())
            known = frozenset(part for line in self._lines for part in self._parts(line))
            self._masking.hold(self._reader.name, known, self._clock.steady())
            self._read = value
        return self._lines


def _itself(line: str) -> tuple[str, ...]:
    return (line,)
