"""An event as LG writes it for the partner's callback address.

Owns: the members of the message, and how its times are written. Source: LG's page "PCC Callback Contents". It names the
members and gives no example; the other push types are from LG's pages on push and events.
Must not: choose a device, know how a message is sent, or read a clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Final, Literal

import msgspec

from reconciler.simulator.wire import timestamp

PCC_EVENT: Final = "PCC_EVENT"
STATUS: Final = "DEVICE_STATUS"

Form = Literal["naive", "utc", "zoned"]
_ZONE: Final = timezone(timedelta(hours=9))
"""Korea's. LG writes UTC without a zone; a message with a zone has to mean the same moment."""


@dataclass(frozen=True, slots=True)
class Event:
    """What one message says. Times are epoch seconds; ``members`` are added to the event, ``without`` are left out."""

    device: str
    device_type: str | None
    at: float
    push_type: str = PCC_EVENT
    diagnosis: str | None = None
    diagnosed: float | None = None
    content_url: str | None = None
    form: Form = "naive"
    members: Mapping[str, Any] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)
    without: tuple[str, ...] = ()

    def message(self, message_id: str) -> dict[str, Any]:
        """Return the message with an id of its own: ``messageId``, ``timestamp``, and ``event`` or ``push``."""
        under = "event" if self.push_type in {PCC_EVENT, STATUS} else "push"
        return {
            "messageId": message_id,
            "timestamp": _moment(self.at, self.form),
            **self.extra,
            under: self._content(),
        }

    def _content(self) -> dict[str, Any]:
        content: dict[str, Any] = {"pushType": self.push_type, "deviceId": self.device}
        if self.device_type is not None:
            content["deviceType"] = self.device_type
        if self.push_type == PCC_EVENT:
            content.update(self._diagnosis())
        else:
            content.update(_OTHER.get(self.push_type, {}))
        content.update(self.members)
        for name in self.without:
            content.pop(name, None)
        return content

    def _diagnosis(self) -> dict[str, Any]:
        found: dict[str, Any] = {"diagnosisType": self.diagnosis}
        if self.content_url is not None:
            found["contentUrl"] = self.content_url
        if self.diagnosed is not None:
            found["diagnosisTimestamp"] = _moment(self.diagnosed, self.form, fraction=False)
        return found


_OTHER: Final[Mapping[str, Mapping[str, Any]]] = {
    "DEVICE_PUSH": {"pushCode": "WASHING_IS_COMPLETE"},
    "DEVICE_ALIAS_CHANGED": {"alias": "renamed"},
    STATUS: {"report": {"runState": {"currentState": "RUNNING"}}},
}
"""What messages of other push types say besides the device."""


def written(messages: list[dict[str, Any]], *, array: bool) -> bytes:
    """Return the body of one call: one message, as LG documents it, or an array."""
    return msgspec.json.encode(messages if array else messages[0])


def _moment(at: float, form: Form, *, fraction: bool = True) -> str:
    """Return a time as ISO 8601: with six fractional digits, as in LG's envelopes, or to the second."""
    if form == "naive":
        text = timestamp(at)
        return text if fraction else text.partition(".")[0]
    zone = UTC if form == "utc" else _ZONE
    timespec = "microseconds" if fraction else "seconds"
    text = datetime.fromtimestamp(at, zone).isoformat(timespec=timespec)
    return text.replace("+00:00", "Z")
