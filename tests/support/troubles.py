"""Two fleets in which everything goes wrong that dashboards show, step by step, and how Prometheus sees each step."""

from __future__ import annotations

import asyncio
from pathlib import Path

from reconciler.simulator import Match, Platform, Route, Rule
from reconciler.simulator.faults import Error, Html
from repositories import Remote
from scenarios import Site, account_text, credentials_folder, fault, fleet, owned

USERS = ("seoul", "busan", "jeju", "incheon", "daegu", "suwon")


def troubled(folder: Path, seed: int) -> tuple[Platform, Remote]:
    """Return a platform on which everything goes wrong somewhere, and the repository with what is wanted of it."""
    platform = fleet(30, users=USERS, seed=seed)
    platform.world.revoke_access(platform.world.user("incheon"))
    platform.set_faults(
        Rule(
            Error("1214"),
            match=Match(route=Route.SUBSCRIBE, devices=tuple(owned(platform, "seoul")[-2:])),
        ),
        Rule(
            Html(502),
            match=Match(route=Route.SUBSCRIBE, devices=tuple(owned(platform, "seoul")[9:15])),
            count=6,
        ),
        fault(Error("1302"), Route.LIST, user="incheon"),
    )
    remote = Remote(folder / "served")
    remote.publish(wanted(platform, 5), "Begin with wing A")
    return platform, remote


def wanted(platform: Platform, count: int) -> dict[str, str | None]:
    """Return texts that want so many devices of each account."""
    return {
        f"fleet/{user}.toml": account_text(user, owned(platform, user)[:count]) for user in USERS
    }


def grow(platform: Platform, remote: Remote) -> None:
    """Push many more devices, when LG has just forgotten a token, and lets one account make no more calls."""
    platform.world.revoke_access(platform.world.user("suwon"))
    platform.world.user("jeju").quota = 1
    remote.publish(wanted(platform, 30), "Add wing B")


async def hurry(one: Site) -> None:
    """Ask for a pass of one account again and again: the load."""
    while True:
        (await one.http.post("/api/v1/reconcile?account=suwon", json={})).raise_for_status()
        await asyncio.sleep(0.05)


APPROVAL = """
[[approvals]]
account = "busan"
devices = ["{device}"]
expires = {expires}T00:00:00Z
reason = "sold"
"""


def edit(platform: Platform, remote: Remote) -> None:
    """Push what people push: a good change, an account that vanishes, far too many removals, two of them approved."""
    busan = owned(platform, "busan")
    approved = [APPROVAL.format(device=busan[-1], expires="2099-01-01")]
    approved += [APPROVAL.format(device=busan[-2], expires="2020-01-01")]
    files = {
        "fleet/suwon.toml": account_text("suwon", owned(platform, "suwon")[:27]),
        "fleet/busan.toml": account_text("busan", busan[:5]) + "".join(approved),
        "fleet/daegu.toml": None,
    }
    remote.publish(files, "Close wing B")


def break_a_file(_: Platform, remote: Remote) -> None:
    """Push what nobody should: half a table's head."""
    remote.publish({"fleet/suwon.toml": "version = 1\n[accounts.suw"}, "Oops")


def lock(_: Platform, remote: Remote) -> None:
    """Let the repository be found no more."""
    remote.bare.rename(remote.bare.with_suffix(".gone"))


Happenings = tuple[str, ...]
BEGUN: Happenings = (
    "pcc_accounts{%s, condition='in_sync'} > 0",
    "count_over_time(pcc_build_info{%s}[1h]) > 3",
)
GROWN: Happenings = (
    "pcc_accounts{%s, condition='in_sync'} > 0",
    "pcc_accounts{%s, condition='stopped'} > 0",
    "sum(increase(pcc_token_refreshes_total{%s, result='success'}[1h])) > 0",
    "sum(increase(pcc_api_throttled_total{%s}[1h])) > 0",
    "sum(increase(pcc_changes_total{%s, result='failed'}[1h])) > 0",
    "sum(increase(pcc_changes_total{%s, result='refused'}[1h])) > 0",
    "sum(increase(pcc_changes_total{%s, action='subscribe', result='success'}[1h])) > 50",
    "sum(pcc_token_expiry_timestamp_seconds{%s}) > 0",
)
EDITED: Happenings = (
    "pcc_accounts{%s, condition='held'} > 0",
    "pcc_accounts{%s, condition='abandoned'} > 0",
    "sum(increase(pcc_changes_total{%s, action='unsubscribe', result='success'}[1h])) > 3",
    "increase(pcc_convergence_seconds_count{%s}[1h]) > 0",
    "sum(pcc_guard_tripped{%s}) > 0",
)
BROKEN: Happenings = ("pcc_desired_rejected{%s, cause='invalid'} > 0",)
LOCKED: Happenings = ("sum(increase(pcc_source_errors_total{%s}[1h])) > 0",)
"""What has to have happened, step by step, before panels are asked for it."""


def following(platform: Platform, remote: Remote, folder: Path) -> dict[str, str]:
    """Return the settings of a daemon that follows the repository closely."""
    return {
        "PCC_GIT_URL": remote.url,
        "PCC_GIT_INTERVAL": "1s",
        "PCC_DESIRED_STATE": "fleet",
        "PCC_CREDENTIALS_DIR": str(credentials_folder(platform, folder / "credentials")),
        "PCC_INTERVAL": "1s",
    }
