"""The judgement of one account: every check in order, with those of its revision, region and quota.

Owns: which checks an account gets, and what is skipped without credentials. Pure. Must not: ask LG.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from reconciler.core.acceptance import AccountRevision
from reconciler.core.errors import quoted
from reconciler.core.model import Unlimited
from reconciler.core.text import counted
from reconciler.pcc.regions import cloud_of, region_of, service_url
from reconciler.reporting.diagnosis.clocks import clock
from reconciler.reporting.diagnosis.lists import live_list
from reconciler.reporting.diagnosis.tokens import token, was_accepted
from reconciler.reporting.diagnosis.values import (
    Asked,
    Check,
    Fact,
    Finding,
    Level,
    Speaking,
    skipped,
)

UNASKED = (Check.REGION, Check.TOKEN, Check.LIST, Check.CLOCK)
"""What cannot be checked for an account without its credentials."""


def account(
    text: AccountRevision | None, speaking: Speaking | str, asked: Asked | None, *, judged: bool
) -> list[Finding]:
    """Return what was found of one account, but for its quota. A ``str`` says why it cannot speak to LG.

    ``judged``: the newest revision was read and accepted, so an account that it does not name does not exist.
    """
    findings = [_wanted(text, judged=judged)]
    if isinstance(speaking, str) or asked is None:
        found = "LG cannot be asked with what is there"
        findings.append(Finding(Check.CREDENTIALS, Level.FAIL, found, str(speaking)))
        return [*findings, *(skipped(check, "LG was not asked") for check in UNASKED)]
    return [
        *findings,
        Finding(Check.CREDENTIALS, Level.OK, "complete"),
        region(speaking, works=was_accepted(asked)),
        token(speaking, asked),
        live_list(speaking, asked),
        clock(asked),
    ]


def defect(error: BaseException) -> Finding:
    """Return the finding for an examination that failed by an error of ours."""
    found = f"the examination broke off, by an error of this program: {type(error).__name__}: {quoted(str(error))}"
    return Finding(
        Check.PROGRAM, Level.FAIL, found, "please report it; this is a defect of the program"
    )


def _wanted(text: AccountRevision | None, *, judged: bool) -> Finding:
    if text is None:
        found = (
            "no revision names the account" if judged else "no revision in force names the account"
        )
        return skipped(Check.DESIRED_STATE, found)
    devices = len(text.desired.devices)
    found, facts = f"{counted(devices, 'device')} in the desired state", {"devices": devices}
    if text.rejected is None:
        return Finding(Check.DESIRED_STATE, Level.OK, found, facts=facts)
    found = f"{counted(devices, 'device')} in the revision in force; a newer one is rejected ({text.rejected})"
    fix = "correct the newest revision, as reported above; until then nothing of this account is unsubscribed"
    return Finding(Check.DESIRED_STATE, Level.WARN, found, fix, facts)


def region(speaking: Speaking, *, works: bool) -> Finding:
    """Judge whether the address fits the country. Where LG answers well all the same it is a warning at most."""
    url, country = speaking.credentials.base_url, speaking.credentials.country
    cloud, home = cloud_of(url), region_of(country)
    facts: dict[str, Fact] = {
        "base_url": url,
        "country": country,
        "region": cloud[0] if cloud else None,
    }
    bad = Level.WARN if works else Level.FAIL
    place = speaking.place("base_url")

    def finding(level: Level, found: str, fix: str = "") -> Finding:
        return Finding(Check.REGION, level, found, fix, facts | {"region_of_country": home})

    if cloud is None:
        if (urlsplit(url).hostname or "").endswith(".lgthinq.com") and home is not None:
            right = service_url(home, speaking.phase)
            return finding(
                bad,
                f"{url} is another of LG's APIs; PCC is at {right}",
                f"correct {place}, or unset it",
            )
        return finding(
            Level.OK,
            f"{url}; not one of LG's own hosts, so nothing says whether it serves {country}",
        )
    if home is None:
        found = f"{url}; LG's own client does not know in which region {country} is"
        return finding(
            Level.WARN,
            found,
            f"ask LG, and say it in PCC_REGION; or correct {speaking.place('country')}",
        )
    if cloud[0] is not home:
        found = f"{url} is region {cloud[0]}, and LG serves {country} from {home}"
        return finding(
            bad,
            found,
            f"set PCC_REGION={home} and unset {place}, or correct {speaking.place('country')}",
        )
    if cloud[1] is not speaking.phase:
        found = f"{url} is LG's platform {cloud[1]}, and PCC_PHASE says {speaking.phase}"
        return finding(bad, found, f"set PCC_PHASE={cloud[1]}, or unset {place}")
    return finding(Level.OK, f"{url} serves {country}")


def quota(
    policy: int | Unlimited, *, limit: int | None, remaining: int | None, calls: int, cost: int
) -> Finding:
    """Tell what is known of the account's quota. ``calls`` are those of the last hour, ``cost`` of them ours."""
    facts: dict[str, Fact] = {
        "limit": limit,
        "remaining": remaining,
        "calls_last_hour": calls,
        "cost": cost,
    }
    spent = f"{counted(calls, 'call')} in the last hour, {cost} of them to find this out"
    if limit is None:
        known = (
            "no limit, as policy says"
            if policy is Unlimited.UNLIMITED
            else "no limit known: LG has not throttled"
        )
        return Finding(Check.QUOTA, Level.OK, f"{known}; {spent}", facts=facts)
    whence = "learned from LG's throttling" if policy is Unlimited.AUTO else "set by policy"
    return Finding(
        Check.QUOTA,
        Level.OK,
        f"{remaining} of {limit} calls an hour left ({whence}); {spent}",
        facts=facts,
    )
