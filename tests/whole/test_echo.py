"""LG repeats what it was sent: what is secret of it reaches no log, page, status, metric or file of the state."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.simulator import Platform, Route, Rule
from reconciler.simulator.faults import Echo, Effect
from scenarios import Site, eventually, fault, fleet, owned, site, text, write

SENT = "x-country-code=KR"
"""A part of what is repeated that is no secret: where it is shown, the words of LG got that far."""
SOON = {"PCC_INTERVAL": "1s"}


class Tokens:
    """Every token that a platform ever gave out; what was replaced stays a secret."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._user = platform.world.user("default")
        self._seen: set[str] = set()
        self.look()

    def look(self) -> None:
        """Take note of the tokens of now."""
        self._seen.update(self._user.access_tokens)
        self._seen.add(self._user.refresh_token or "")

    def all(self) -> Iterator[str]:
        """Return all that is secret."""
        self.look()
        yield from self._seen
        yield self._platform.world.service.key
        yield self._platform.world.service.id


async def shown(one: Site) -> dict[str, str]:
    """Return everything that the daemon shows, by where it does."""
    device = owned(one.platform)[0]
    paths = (
        *("/", "/metrics", "/readyz", "/api/v1/status", "/api/v1/history"),
        *("/api/v1/accounts/default", f"/api/v1/devices?device={device}"),
    )
    found = {path: (await one.get(path)).text for path in paths}
    return found | {"the log": "\n".join(map(str, one.events))}


def kept(one: Site) -> dict[str, str]:
    """Return the files of the state, as they are on the disk."""
    files = sorted((one.folder / "state").iterdir())
    return {path.name: path.read_bytes().decode("latin-1") for path in files if path.is_file()}


def leaks(places: dict[str, str], tokens: Tokens) -> list[str]:
    """Return where a secret, or a piece of it that is long enough to be no chance, is."""
    return [
        f"{place} shows {secret[:4]}"
        for place, content in places.items()
        for secret in tokens.all()
        if any(secret[at : at + 16] in content for at in range(0, len(secret) - 15, 8))
    ]


@pytest.mark.parametrize(
    ("effect", "route"),
    [
        (Echo(code="1000"), Route.LIST),
        (Echo("page"), Route.LIST),
        (Echo(code="1301", status=401), Route.LIST),
        (Echo(code="2214"), Route.SUBSCRIBE),
        (Echo(code="1221"), Route.SUBSCRIBE),
        (Echo("page", commit=True), Route.SUBSCRIBE),
        (Echo(code="1221"), Route.UNSUBSCRIBE),
        (Echo("page"), Route.UNSUBSCRIBE),
    ],
)
async def test_what_lg_repeats_is_masked_everywhere(
    effect: Effect, route: Route, tmp_path: Path
) -> None:
    """The words of LG are shown, with its tokens and keys masked, wherever an error is told."""
    platform = fleet(3)
    tokens = Tokens(platform)
    wanted, stranger = owned(platform)[:2], owned(platform)[2]
    platform.subscribe("default", stranger)
    platform.set_faults(fault(effect, route))
    write(tmp_path / "desired-state.toml", text(wanted, 'policy.max_unsubscribe = "100%"'))
    async with site(tmp_path, platform, **SOON) as one:
        await eventually(lambda: SENT in str(one.events), "what was sent is told")
        places = await shown(one)
        await one.stop()
        places |= kept(one)
    assert not leaks(places, tokens)
    assert any("****" in content for content in places.values())
    assert SENT in places["/api/v1/status"] + places["/api/v1/history"]


async def test_a_token_that_was_replaced_stays_masked(tmp_path: Path) -> None:
    """LG repeats the token that it refuses; the call is made again with a new one, and both are masked."""
    platform = fleet(3)
    tokens = Tokens(platform)
    echoes = (
        Echo(code="1218", status=400),
        Echo(code="2214"),
    )
    platform.set_faults(
        Rule(script=echoes, match=fault(echoes[0], Route.SUBSCRIBE).match),
    )
    write(tmp_path / "desired-state.toml", text(owned(platform)))
    async with site(tmp_path, platform, **SOON) as one:
        await eventually(lambda: SENT in str(one.events), "what was sent is told")
        tokens.look()
        platform.world.expire_access(platform.world.user("default"), platform.now())
        await one.has(owned(platform))
        places = await shown(one)
        await one.stop()
        places |= kept(one)
    assert len({call.headers["authorization"] for call in one.calls(Route.SUBSCRIBE)}) > 1
    assert not leaks(places, tokens)


async def test_a_refresh_token_that_is_repeated_is_masked(tmp_path: Path) -> None:
    """The token endpoint may repeat the refresh token in its own kind of error."""
    platform = fleet(3)
    tokens = Tokens(platform)
    platform.set_faults(fault(Echo("token"), Route.TOKEN))
    write(tmp_path / "desired-state.toml", text(owned(platform)))
    async with site(tmp_path, platform, **SOON) as one:
        await eventually(lambda: "httpError" in str(one.events) or "grant_type" in str(one.events))
        places = await shown(one)
        await one.stop()
        places |= kept(one)
    assert not leaks(places, tokens)
