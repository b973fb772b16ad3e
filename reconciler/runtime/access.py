"""Which calls exist, and what callers have to show, by the settings.

Owns: reading those secrets anew at each use, and that logs mask them. Must not: compare them; ``api.access`` does.
"""

from __future__ import annotations

from reconciler.core.clock import Clock
from reconciler.core.errors import ReconcilerError
from reconciler.pcc.secret_files import SecretReader
from reconciler.runtime.settings import Settings
from reconciler.telemetry.masking import Masking


class SettingsPolicy:
    """The policy that the settings make."""

    def __init__(self, settings: Settings, masking: Masking, clock: Clock) -> None:
        self._masking, self._clock = masking, clock
        self._token, self._secret = settings.listen_token_reader(), settings.webhook_secret_reader()
        self._read_token = settings.read_token_reader()
        self._events_token = settings.events_token_reader()
        self.acting_allowed = settings.acting_allowed
        self.has_webhook = self._secret is not None

    def listen_token(self) -> str | None:
        """Return the bearer token that calls that act have to show, if there is one."""
        return None if self._token is None else self._read(self._token)

    def read_token(self) -> str | None:
        """Return the token that callers have to show to read, if there is one."""
        return None if self._read_token is None else self._read(self._read_token)

    def events_token(self) -> str | None:
        """Return the bearer token that receivers want to see, if there is one."""
        return None if self._events_token is None else self._read(self._events_token)

    def webhook_secret(self) -> str:
        """Return the secret that is shared with the forge."""
        if self._secret is None:
            raise ReconcilerError("there is no webhook")
        return self._read(self._secret)

    def _read(self, reader: SecretReader) -> str:
        """Return a secret as it is now; one that cannot be read lets nobody in."""
        secret = reader.read()
        if isinstance(secret, str):
            raise ReconcilerError(secret)
        value = secret.get_secret_value()
        self._masking.hold(reader.name, frozenset({value}), self._clock.steady())
        return value
