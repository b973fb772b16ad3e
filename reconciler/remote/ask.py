"""Asks the running daemon, from another process.

Owns: where the daemon is, how it is spoken to, and what its refusal means to a person.
Must not: know what is asked, or be used by the daemon itself.

The standard library's client is enough for one request to a server of our own.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

from reconciler import proxies
from reconciler.errors import DaemonError, NoDaemon, quoted
from reconciler.proxies import Unusable

TIMEOUT_SECONDS = 15.0
PLAN_SECONDS = 300.0
"""A plan of a million proposed devices takes its time, and another one may be before it."""
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


def ask(
    server: str,
    path: str,
    body: dict[str, Any] | None = None,
    *,
    token: str | None = None,
    seconds: float = TIMEOUT_SECONDS,
    environ: Mapping[str, str] = os.environ,
) -> dict[str, Any]:
    """Send one request, a POST where there is a body, and return the JSON of the answer.

    ``environ`` names the proxies. Loopback is asked without one.

    Raises ``DaemonError`` with the daemon's own words, and ``NoDaemon`` where none of ours answers.
    """
    url = f"{server.rstrip('/')}{path}"
    try:
        scheme, host = urlsplit(url).scheme, urlsplit(url).hostname
    except ValueError as error:
        raise DaemonError(f"--server: {server} is not an address: {error}") from error
    if scheme not in {"http", "https"}:
        raise DaemonError(f"--server: {server} is not an http address")
    headers = {"content-type": "application/json", "accept": "application/json"}
    if token is not None:
        headers["authorization"] = f"Bearer {token}"
    data = json.dumps(body).encode() if body is not None else None
    request = Request(url, data, headers)  # noqa: S310 - the scheme is checked above
    through = {} if host in LOOPBACK else _through(url, scheme, environ)
    if host not in LOOPBACK and token is not None and scheme != "https":
        raise DaemonError(f"--server: {server} is not https, and the token would cross the network readable")
    try:
        with build_opener(_NoRedirect(), ProxyHandler(through)).open(request, timeout=seconds) as answer:
            said = json.loads(answer.read())
    except HTTPError as error:
        why = _why(error)
        known = DaemonError if why else NoDaemon
        raise known(f"the daemon at {server} said no: {why or f'{error.code} {error.reason}'}") from error
    except (URLError, OSError, HTTPException, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise NoDaemon(f"no daemon answers at {server} ({quoted(str(reason))}); is it running? see --server") from error
    if not isinstance(said, dict):
        raise NoDaemon(f"what answers at {server} is not this daemon")
    return said


def _through(url: str, scheme: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the proxy for an address by its scheme, as the standard library wants it, or nothing."""
    found = proxies.read(environ).of(url)
    if isinstance(found, Unusable):
        raise DaemonError(str(found))
    return {} if found is None else {scheme: found.full_address}


class _NoRedirect(HTTPRedirectHandler):
    """Follows nowhere: the token is for this server and no other."""

    def redirect_request(self, *_arguments: object) -> None:
        """Return nothing, which makes the redirect an error."""


def _why(error: HTTPError) -> str:
    """Return the daemon's words, or nothing where it was not a daemon of ours that spoke."""
    with error:
        try:
            said = json.loads(error.read())
            return "\n".join(quoted(str(one)) for one in (said["error"], *said.get("faults", ())))
        except (OSError, HTTPException, ValueError, LookupError, TypeError):
            return ""
