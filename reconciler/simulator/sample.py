"""A made-up fleet to begin with: users with tokens and appliances, all of it from one seed.

Owns: what a fresh simulator holds. Must not: do I/O.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from reconciler.simulator.platform import Options, Platform
from reconciler.simulator.world import sample_devices


def sample_platform(
    users: Mapping[str, int] | Sequence[str] = ("default",),
    *,
    devices: int = 20,
    subscribed: float = 0.0,
    country: str | None = "KR",
    only_pcc: bool = False,
    seed: int = 0,
    options: Options | None = None,
    now: Callable[[], float] = time.time,
    log_size: int = 10_000,
) -> Platform:
    """Return a platform with these users, each with ``devices`` appliances, or as many as the mapping says.

    Every user has a refresh token and one access token. Of the appliances that PCC takes, the share ``subscribed`` is
    subscribed already, the first ones. Two in ten are of types that PCC refuses, unless ``only_pcc``.
    """
    platform = Platform(seed=seed, options=options, now=now, log_size=log_size)
    counts = users if isinstance(users, Mapping) else dict.fromkeys(users, devices)
    for name, count in counts.items():
        user = platform.world.add_user(name, country=country)
        platform.issue_token(name)
        made = sample_devices(seed, name, count, only_pcc=only_pcc)
        platform.world.add_devices(user, made)
        fit = [device.id for device in made if device.type in platform.options.pcc_types]
        platform.subscribe(name, *fit[: round(len(fit) * subscribed)])
    return platform
