"""What an error of LG, of the network or of a proxy means, and what fixes it.

Owns: the sentence for each kind of lost or unexpected answer. Pure. Must not: know which check asks.
"""

from __future__ import annotations

from reconciler.core import duration
from reconciler.core.errors import Lost, PlatformError, Surprise, Unavailable
from reconciler.pcc.codes import CODES, Call
from reconciler.reporting.diagnosis.values import Asked, Speaking

FORBIDDEN, PROXY_PASSWORD = 403, 407
PUT_PASSWORD = "put user and password into the proxy's address in HTTP_PROXY or HTTPS_PROXY"  # noqa: S105 - no password


def reported(error: PlatformError) -> str:
    """Return an error's words without the call, which is clear here, and without the hint, which is in the fix."""
    known = CODES.get(error.code or "")
    hint = f" (check {known.hint})" if known is not None else ""
    return str(error).removeprefix(f"{Call.LIST}: ").removesuffix(hint)


def fix_surprise(speaking: Speaking, asked: Asked, error: Surprise) -> str:
    """Return what to do when something other than LG's API answered."""
    if error.status == PROXY_PASSWORD:
        return f"{PUT_PASSWORD}{via(asked.proxy)}"
    if error.status == FORBIDDEN:
        return f"{_fix_stranger(error, speaking.place('base_url'))}{via(asked.proxy)}"
    between = f"{asked.proxy or 'something'} between here and LG answers in its place"
    return f"correct {speaking.place('base_url')}: this is not how LG answers; if it is right, {between}"


def fix_loss(speaking: Speaking, error: PlatformError, place: str, proxy: str) -> str:
    """Return what to do when no answer came from the address that ``place`` names."""
    limit = f"raise PCC_REQUEST_TIMEOUT (now {duration.show(speaking.timeout)})"
    fixes = {
        Lost.NAME: f"correct {place}, or the name service of this machine",
        Lost.REFUSED: f"correct {place}: nothing listens there, or a firewall is in between",
        Lost.DATES: "set this machine's clock (NTP); if that is right, LG or the proxy has to renew its certificate",
        Lost.TLS: f"correct {place}; where a proxy signs with a certificate of its own, name that in SSL_CERT_FILE",
        Lost.TIME: f"let this machine reach what {place} names (a firewall, a proxy in HTTPS_PROXY), or {limit}",
        Lost.PROXY: "correct HTTPS_PROXY or HTTP_PROXY, or name the host in NO_PROXY",
        Lost.STRANGER: _fix_stranger(error, place),
        Lost.OTHER: f"look at the network between here and what {place} names",
        None: f"wait if {place} is right: it is tried again",
    }
    return fixes[error.lost if isinstance(error, Unavailable) else None] + via(proxy)


def _fix_stranger(error: PlatformError, place: str) -> str:
    """Return what to do when something else answers at the address that ``place`` names."""
    if error.status == PROXY_PASSWORD:
        return PUT_PASSWORD
    if error.status == FORBIDDEN:
        return f"let this machine reach what {place} names: a web filter, a firewall or a proxy answers in its place"
    return f"correct {place}: something else answers there, or in its place"


def via(proxy: str) -> str:
    """Return the words about the proxy that calls go through, or none."""
    return f" (calls go through the proxy {proxy})" if proxy else ""
