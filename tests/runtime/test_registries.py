"""What the daemon reads of LG's registry, shows, and never acts on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

import pytest

from lock_files import lock_file
from reconciler.core.model import DEFAULT_ACCOUNT
from reconciler.core.rules import Rule
from reconciler.simulator import Platform, Route
from reconciler.simulator import faults as fault
from scenarios import Site, command, eventually, fleet, owned, site, write
from scenarios import fault as goes_wrong

ALL = Rule("all")
TEXT = (
    "version = 1\n[accounts.default]\nlocked = 'lock.txt'\n"
    "[[accounts.default.rules]]\nname = 'all'\nevery = true\n"
)
HOUR = timedelta(hours=1, seconds=30)


def locks(folder: Path, devices: Iterable[str], text: str = TEXT) -> None:
    """Write a file with one rule that takes everything, and a lock of these devices only."""
    aliases = {device: f"Machine {device[:4]}" for device in devices}
    write(folder / "lock.txt", lock_file("default", ALL, registry=12, **aliases))
    write(folder / "desired-state.toml", text)


async def reads(one: Site, count: int) -> None:
    """Wait until the registry was read so often."""
    await eventually(lambda: len(one.calls(Route.DEVICES)) >= count, f"{count} readings")


async def remarked(one: Site, words: str) -> None:
    """Wait until the account has a remark with these words."""

    async def found() -> bool:
        accounts = (await one.get("/api/v1/status")).json()["accounts"]
        return any(words in remark for account in accounts for remark in account["remarks"])

    for _try in range(600):
        if await found():
            return
        await one.get("/healthz")
    raise AssertionError(words)


async def rested(one: Site) -> None:
    """Wait until the account is as wanted and no pass of it is under way."""

    def done() -> bool:
        status = one.process.components.reconciler.accounts.statuses.get(DEFAULT_ACCOUNT)
        settled = status is not None and status.last is not None and status.last.settled
        return settled and (one.process.queue.next_due(DEFAULT_ACCOUNT) or 0.0) > 0

    await eventually(done, "an account at rest")


async def settled(one: Site) -> None:
    """Wait until what was read of the registry is shown."""

    def is_read() -> bool:
        news = one.process.components.registries.news().get(DEFAULT_ACCOUNT)
        return news is not None and news.read is not None

    await eventually(is_read, "news of the registry")


def changes(platform: Platform) -> set[str]:
    """Return the devices that were subscribed or unsubscribed."""
    sent = [one for one in platform.requests if one.method in {"POST", "DELETE"}]
    return {one.path.rpartition("/")[2] for one in sent if one.path.startswith("/pcc")}


async def test_what_a_rule_would_take_is_shown_everywhere_and_never_acted_on(
    tmp_path: Path,
) -> None:
    """Two devices that the lock lacks are in metric, status, page, plan, explanation and API, and stay unsubscribed."""
    platform = fleet(12)
    *locked, one_more, other = sorted(owned(platform))
    locks(tmp_path, locked)
    async with site(tmp_path, platform, PCC_LISTEN_TOKEN="token-for-acting") as one:
        one.http.headers["authorization"] = "Bearer token-for-acting"
        await one.has(locked)
        await settled(one)
        words = "2 devices wait for pcc-reconciler resolve: 2 by rule all"
        (account,) = (await one.get("/api/v1/status")).json()["accounts"]
        assert words in account["remarks"]
        assert account["registry"]["rules"] == [{"rule": "all", "pending": 2}]
        assert account["registry"]["doubted"] == ""
        assert 'pcc_rule_pending_devices{account="default",rule="all"} 2.0' in await one.metrics()
        assert words in (await one.get("/")).text
        assert words in (await one.get("/accounts/default")).text
        (story,) = (await one.get(f"/api/v1/devices?device={other}")).json()["accounts"]
        assert (story["pending_rule"], story["desired"], story["state"]) == ("all", False, "absent")
        assert story["why"].startswith("rule all would take it, and the lock does not have it")
        code, out, _err = await command(one, "plan")
        assert (code, words in out) == (0, True)
        code, out, _err = await command(one, "plan", "--server", str(one.http.base_url))
        assert (code, words in out) == (0, True)
        code, out, _err = await command(one, "explain", one_more)
        assert (code, "rule all would take it" in " ".join(out.split())) == (0, True)
        assert changes(platform) == set(locked)
        one.clock.go_ahead(HOUR)
        await reads(one, 3)  # the daemon's two, and that of the command plan
        assert one.live() == set(locked)


async def test_in_observe_mode_what_waits_is_shown_too(tmp_path: Path) -> None:
    """A daemon that changes nothing reads the registry all the same, and says of a device why it is not wanted."""
    platform = fleet(12)
    *locked, last = sorted(owned(platform))
    locks(tmp_path, locked)
    async with site(tmp_path, platform, PCC_MODE="observe") as one:
        await remarked(one, "1 device waits for pcc-reconciler resolve: 1 by rule all")
        platform.subscribe("default", last)
        platform.set_faults(goes_wrong(fault.Html(502), Route.DEVICES))
        one.clock.go_ahead(HOUR)
        await remarked(one, "registry doubted")
        story = (await one.get(f"/api/v1/devices?device={last}")).json()["accounts"][0]
        assert story["why"].startswith("rule all would take it")
        _code, out, _err = await command(one, "status")
        assert "registry doubted: it cannot be read" in " ".join(out.split())
        assert changes(platform) == set()


async def test_a_new_lock_ends_what_waits(tmp_path: Path) -> None:
    """After resolve and a merge nothing waits, without another reading."""
    platform = fleet(12)
    *locked, last = sorted(owned(platform))
    locks(tmp_path, locked)
    async with site(tmp_path, platform) as one:
        await one.has(locked)
        await settled(one)
        locks(tmp_path, [*locked, last])
        await one.has([*locked, last])
        registries = one.process.components.registries
        await eventually(
            lambda: registries.news()[DEFAULT_ACCOUNT].pending.total == 0, "nothing that waits"
        )
        assert len(one.calls(Route.DEVICES)) == 1
        assert 'pcc_rule_pending_devices{account="default",rule="all"} 0.0' in await one.metrics()


async def test_a_registry_that_is_empty_or_fails_is_doubted_and_changes_nothing(
    tmp_path: Path,
) -> None:
    """An empty, halved, malformed or failing registry is a remark and one line of the log; nothing else follows."""
    platform = fleet(12)
    devices = sorted(owned(platform))
    locks(tmp_path, devices)
    platform.set_faults(goes_wrong(fault.Response("[]"), Route.DEVICES))
    async with site(tmp_path, platform) as one:
        await one.has(devices)
        await reads(one, 1)
        await remarked(one, "registry doubted: LG's registry is empty")
        for number, (effect, words) in enumerate(
            [
                (fault.Short(keep=0.4), "fewer than half of the 12"),
                (fault.Html(502), "it cannot be read: "),
                (fault.Mangle("no-id"), "it cannot be read: "),
            ],
            2,
        ):
            platform.set_faults(goes_wrong(effect, Route.DEVICES))
            one.clock.go_ahead(HOUR)
            await reads(one, number)
            await remarked(one, words)
        assert len(one.told("registry.doubted")) == 1
        platform.set_faults()
        one.clock.go_ahead(HOUR)
        await eventually(lambda: bool(one.told("registry.believed")), "a registry that is believed")
        (account,) = (await one.get("/api/v1/status")).json()["accounts"]
        assert account["registry"]["doubted"] == ""
        assert one.live() == set(devices)
        assert {
            record.method for record in platform.requests if record.route is Route.UNSUBSCRIBE
        } == set()


async def test_the_registry_is_read_once_an_hour_and_only_where_there_are_rules(
    tmp_path: Path,
) -> None:
    """An account without rules costs no GET /devices; one with rules costs one, until an hour is over."""
    platform = fleet(12)
    devices = sorted(owned(platform))
    plain = f"version = 1\ndevices = {devices}\n".replace("'", '"')
    write(tmp_path / "desired-state.toml", plain)
    async with site(tmp_path, platform, PCC_INTERVAL="10m") as one:
        await rested(one)
        one.clock.go_ahead(HOUR)
        await one.passes(1)
        assert not one.calls(Route.DEVICES)
        locks(tmp_path, devices)
        await reads(one, 1)
        await rested(one)
        one.clock.go_ahead(timedelta(minutes=50))
        await one.passes(1)
        assert len(one.calls(Route.DEVICES)) == 1
        one.clock.go_ahead(timedelta(minutes=15))
        await reads(one, 2)
        write(tmp_path / "desired-state.toml", plain)
        await eventually(lambda: not one.process.components.registries.news(), "no rules")
        locks(tmp_path, devices)
        await reads(one, 3)  # what was read before the rules went does not count


@pytest.mark.parametrize("an_hour", [14, 24])
async def test_an_account_that_needs_its_calls_is_not_asked_for_its_registry(
    tmp_path: Path, an_hour: int
) -> None:
    """With few calls an hour lists and changes have them all; the registry waits until half of an hour's are free."""
    platform = fleet(12)
    devices = sorted(owned(platform))
    more = TEXT.replace("locked", f"policy.calls_per_hour = {an_hour}\nlocked")
    locks(tmp_path, devices, more)
    async with site(tmp_path, platform) as one:
        await rested(one)
        await asyncio.sleep(0.5)  # it would have been read by now
        assert not one.calls(Route.DEVICES)
        one.clock.go_ahead(timedelta(hours=2))
        await reads(one, 1)


async def test_an_account_with_changes_to_make_is_not_asked_for_its_registry(
    tmp_path: Path,
) -> None:
    """While LG does not take the changes of an account, its registry waits; it is read once they are made."""
    platform = fleet(12)
    devices = sorted(owned(platform))
    locks(tmp_path, devices)
    platform.set_faults(goes_wrong(fault.Html(502), Route.SUBSCRIBE))
    async with site(tmp_path, platform, PCC_INTERVAL="10m") as one:
        await one.passes(1)
        await asyncio.sleep(0.5)  # it would have been read by now
        assert not one.calls(Route.DEVICES)
        platform.set_faults()
        one.clock.go_ahead(HOUR)
        await one.has(devices)
        await reads(one, 1)


async def test_programs_read_the_registry_with_the_token_for_reading(tmp_path: Path) -> None:
    """The call needs the token where there is one, names what it has, and says why it has none."""
    platform = fleet(12)
    devices = sorted(owned(platform))
    locks(tmp_path, devices)
    async with site(tmp_path, platform, PCC_READ_TOKEN="token-for-reading") as one:
        assert (await one.get("/api/v1/registry")).status_code == 401
        one.http.headers["authorization"] = "Bearer token-for-reading"
        await settled(one)
        answer = (await one.get("/api/v1/registry?account=default")).json()
        (account,) = answer["accounts"]
        assert (account["account"], account["trouble"], account["replica"]) == ("default", "", None)
        some = platform.world.user("default").devices[devices[0]]
        assert {
            "id": some.id,
            "type": some.type,
            "alias": some.alias,
            "model": some.model,
        } in account["devices"]
        assert len(account["devices"]) == 12
        missing = await one.get("/api/v1/registry?account=seoul")
        assert (missing.status_code, missing.json()["error"]) == (
            404,
            "there is no account 'seoul'",
        )
        assert (await one.get("/api/v1/registry?acount=default")).status_code == 400


async def test_resolve_asks_the_daemon_and_needs_no_credential_of_lg(tmp_path: Path) -> None:
    """With --server a job without any credential writes the lock; a doubted registry ends it with 1."""
    platform = fleet(12)
    *locked, last = sorted(owned(platform))
    locks(tmp_path, locked)
    async with site(tmp_path, platform) as one:
        await one.has(locked)
        await settled(one)
        server = str(one.http.base_url)
        for secret in ("PCC_REFRESH_TOKEN", "PCC_SERVICE_KEY", "PCC_SERVICE_ID", "PCC_CLIENT_ID"):
            one.given[secret] = ""
        code, out, err = await command(one, "resolve", "--check", "--server", server)
        assert (code, f"  + {last}" in out, err) == (2, True, "")
        code, out, err = await command(one, "resolve", "--server", server)
        assert (code, err) == (0, "")
        await one.has([*locked, last])
        assert len(one.calls(Route.DEVICES)) == 1
        platform.set_faults(goes_wrong(fault.Html(502), Route.DEVICES))
        one.clock.go_ahead(HOUR)
        await remarked(one, "registry doubted")
        code, out, err = await command(one, "resolve", "--server", server)
        assert (code, out) == (1, "")
        assert "account default: registry doubted: it cannot be read" in err
