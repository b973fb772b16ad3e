"""The judgement of a user's token: whether LG accepts it, how old it is, and who renews it.

Owns: the check ``token``. Pure. Must not: show a token.
"""

from __future__ import annotations

from reconciler.core.errors import CredentialsRefused, PlatformError, Throttled
from reconciler.pcc.credentials import Origin
from reconciler.reporting.diagnosis.answers import fix_loss, reported
from reconciler.reporting.diagnosis.values import Asked, Check, Fact, Finding, Level, Speaking
from reconciler.reporting.diagnosis.words import span


def token(speaking: Speaking, asked: Asked) -> Finding:
    """Judge the user's token: whether LG takes it, how old it is, and who renews it."""
    return (
        _renewed(speaking, asked)
        if speaking.credentials.refresh_token is not None
        else _given(speaking, asked)
    )


def _given(speaking: Speaking, asked: Asked) -> Finding:
    """Judge an access token that nothing here renews."""
    origin = speaking.origins.get("access_token", Origin("PCC_ACCESS_TOKEN"))
    age = None if origin.written is None else max(asked.ended.timestamp() - origin.written, 0.0)
    facts: dict[str, Fact] = {"age_seconds": age, "expires_at": None, "renewed": False}
    words = "" if age is None else f"; its file was written {span(age)} ago"
    renewable = f"{speaking.place('refresh_token')} with {speaking.place('client_id')}"
    if speaking.credentials.account != "default":
        file = f"{speaking.credentials.account}.refresh_token in PCC_CREDENTIALS_DIR"
        renewable = f"{file}, with {speaking.place('client_id')}"
    if isinstance(asked.error, CredentialsRefused):
        found = f"an access token that LG does not accept: {reported(asked.error)}{words}"
        fix = f"replace {origin.words}, or give a refresh token, which gets new ones automatically: {renewable}"
        return Finding(Check.TOKEN, Level.FAIL, found, fix, facts)
    if not was_accepted(asked):
        found = f"an access token; whether LG accepts it is not known{words}"
        return Finding(Check.TOKEN, Level.SKIP, found, facts=facts)
    if age is None:
        found = "an access token that LG accepts; it ends about an hour after it was issued, and nothing renews it"
        fix = f"give a refresh token ({renewable}), or a file that something keeps fresh ({origin.words}_FILE)"
        return Finding(Check.TOKEN, Level.WARN, found, fix, facts)
    found = f"an access token that LG accepts{words}; the program that writes the file has to renew it within the hour"
    return Finding(Check.TOKEN, Level.OK, found, facts=facts)


def _renewed(speaking: Speaking, asked: Asked) -> Finding:
    """Judge a refresh token."""
    facts: dict[str, Fact] = {"age_seconds": None, "expires_at": asked.expires_at, "renewed": True}
    if asked.token_error is not None:
        found = str(asked.token_error)
        if was_accepted(asked):
            found += "; the access token beside it is still accepted"
        return Finding(
            Check.TOKEN,
            Level.FAIL,
            found,
            _fix_refresh(speaking, asked, asked.token_error),
            facts | {"renewed": False},
        )
    if isinstance(asked.error, CredentialsRefused):
        found = (
            f"LG does not accept an access token that was renewed just now: {reported(asked.error)}"
        )
        places = ("refresh_token", "client_id", "service_id", "token_url")
        fix = f"check that they belong to one service and one platform: {', '.join(map(speaking.place, places))}"
        return Finding(Check.TOKEN, Level.FAIL, found, fix, facts)
    facts["age_seconds"] = 0.0
    ends = "LG did not say when it ends"
    if asked.expires_at is not None:
        ends = f"it ends in {span((asked.expires_at - asked.ended).total_seconds())}"
    if asked.rotated:
        found = f"renewed just now, {ends}; with it LG sent another refresh token, which nothing here stores"
        return Finding(
            Check.TOKEN,
            Level.WARN,
            found,
            f"replace {speaking.place('refresh_token')} by a fresh one",
            facts,
        )
    return Finding(Check.TOKEN, Level.OK, f"renewed just now, {ends}", facts=facts)


def _fix_refresh(speaking: Speaking, asked: Asked, error: PlatformError) -> str:
    if isinstance(error, CredentialsRefused):
        for kind in ("backend_url", "client_id"):
            if kind in str(error).lower():
                return f"correct {speaking.place(kind)}: it has to be what LG gave at the login of this user"
        refresh, client = speaking.place("refresh_token"), speaking.place("client_id")
        return f"replace {refresh} by one from a new login of the user; it has to be issued to {client}"
    return fix_loss(speaking, error, speaking.place("token_url"), asked.token_proxy)


def was_accepted(asked: Asked) -> bool:
    """Say whether LG took the token: it gave the list, or counted the call."""
    return asked.devices is not None or (
        isinstance(asked.error, Throttled) and asked.error.code is not None
    )
