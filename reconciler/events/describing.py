"""What is known about a message at this moment: its device and its diagnosis.

Owns: which of two sources counts where both know something. Must not: keep anything, or read a file.
"""

from __future__ import annotations

from dataclasses import dataclass

from reconciler.events.logic import plain_type
from reconciler.events.model import PCC_EVENT, Device, Diagnosis, Message
from reconciler.events.port import Directory, Logic


@dataclass(frozen=True, slots=True)
class Description:
    """A message's device and diagnosis, by the desired state and the table that are in force.

    ``device_type`` is in our way to write it: as LG sent it, else as the desired state says. ``diagnosis`` is None for
    what is no diagnosis.
    """

    device: Device | None
    device_type: str | None
    diagnosis: Diagnosis | None
    revision: str | None


def describe(message: Message, directory: Directory, logic: Logic) -> Description:
    """Return what is known about a message."""
    device = None if message.device is None else directory.device(message.device)
    device_type = message.device_type or (None if device is None else device.type)
    diagnosis = None
    if message.push_type == PCC_EVENT and message.diagnosis is not None:
        diagnosis = logic.diagnosis(message.diagnosis, device_type)
    plain = plain_type(device_type) if device_type else None
    return Description(device, plain, diagnosis, logic.revision)
