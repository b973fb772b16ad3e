"""The plan of one account, by number of devices and by how many of them differ."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING

from benchmarks import Measurement, measure
from reconciler.model import DEFAULT_ACCOUNT, Desired, DeviceId, Memory, Observed
from reconciler.plan import plan

if TYPE_CHECKING:
    from collections.abc import Iterator

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def measurements() -> Iterator[Measurement]:
    """Measure the usual case, nothing to do, and a tenth of the devices to subscribe and another to unsubscribe."""
    for size in (10_000, 100_000, 1_000_000):
        ids = [DeviceId(sha256(str(number).encode()).hexdigest()) for number in range(size + size // 10)]
        for what, wanted in (("in sync", ids[:size]), ("10% new, 10% gone", ids[-size:])):
            # Equal strings, not the same ones: the file and LG's answer are read apart.
            live = frozenset(DeviceId(str(device.encode(), "ascii")) for device in ids[:size])
            case = partial(plan, Desired(DEFAULT_ACCOUNT, frozenset(wanted)), Observed(live, NOW), Memory(), NOW)
            yield measure(f"{size:,} devices, {what}", case)
