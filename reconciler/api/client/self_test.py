"""Proves that an event which LG sends would arrive: one marked call through the public address into the spool.

Owns: what is sent, and what the answer means to a person. Must not: look into the spool; the answer carries the nonce
only once the call is on the disk.
"""

from __future__ import annotations

import json
import os
from base64 import b64encode
from collections.abc import Mapping
from datetime import UTC, datetime
from http.client import HTTPException
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit, urlunsplit
from urllib.request import ProxyHandler, Request, build_opener
from uuid import uuid4

from reconciler.api.client.connection import LOOPBACK, NoRedirect, proxy_for
from reconciler.api.receiver import PATH, SELF_TEST_HEADER
from reconciler.core.errors import ReconcilerError, quoted
from reconciler.core.unanswered import unanswered
from reconciler.events.model import SELF_TEST

TIMEOUT_SECONDS = 15.0
REASONS = {
    401: "it refuses the credential; compare PCC_RECEIVE_BASIC and PCC_RECEIVE_SECRET with the receiver's",
    404: "nothing answers on this path; does the ingress pass on /pcc/events?",
    405: "it takes no POST on this path",
    503: "it cannot store events now; its log and metrics say why",
}
"""What a status means to whoever runs the check."""


class Failed(ReconcilerError):
    """The self-test did not come through."""


def check(
    url: str,
    *,
    pair: str | None,
    secret: str | None,
    environ: Mapping[str, str] = os.environ,
    seconds: float = TIMEOUT_SECONDS,
) -> str:
    """Send one self-test and return the address it went to, without its secret. Raises ``Failed``.

    ``pair`` is shown as Basic authentication, ``secret`` becomes the last segment of the path if the path has none.
    """
    target = _target(url, secret)
    shown = _without_secret(target, secret)
    request = _request(target, shown, pair, secret)
    nonce = uuid4().hex
    request.data = _body(nonce)
    host = urlsplit(target).hostname
    proxies = {} if host in LOOPBACK else proxy_for(target, urlsplit(target).scheme, environ)
    try:
        opener = build_opener(NoRedirect(), ProxyHandler(proxies))
        with opener.open(request, timeout=seconds) as answer:
            status, returned = answer.status, answer.headers.get(SELF_TEST_HEADER)
    except HTTPError as error:
        with error:
            why = REASONS.get(error.code, "that is no answer of a receiver of ours")
            raise Failed(f"{shown} answers {error.code}: {why}") from None
    except (URLError, OSError, HTTPException, ValueError) as error:
        raise Failed(f"{shown} does not answer: {unanswered(error)}") from None
    if returned != nonce:
        raise Failed(
            f"{shown} answers {status} and does not prove that it stored the test: is it a receiver of ours?"
        )
    return shown


def _target(url: str, secret: str | None) -> str:
    """Return the whole address. Raises ``Failed`` where it cannot be one."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise Failed(f"--check: {quoted(url)} is not an address") from error
    if parts.scheme not in {"http", "https"} or not host or "@" in parts.netloc:
        raise Failed("--check: has to be an address like https://events.example.com/pcc/events")
    path = parts.path.rstrip("/") or PATH
    if secret is not None and path.endswith(PATH):
        path = f"{path}/{secret}"
    return urlunsplit((parts.scheme, parts.netloc, path, parts.query, ""))


def _request(target: str, shown: str, pair: str | None, secret: str | None) -> Request:
    parts = urlsplit(target)
    open_road = parts.scheme == "http" and parts.hostname not in LOOPBACK
    if open_road and (pair is not None or secret is not None):
        raise Failed(
            f"--check: {shown} is not https, and the credential would cross the network readable"
        )
    headers = {"content-type": "application/json", "user-agent": "pcc-reconciler"}
    if pair is not None:
        headers["authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
    return Request(target, headers=headers, method="POST")  # noqa: S310 - the scheme is checked above


def _body(nonce: str) -> bytes:
    now = datetime.now(UTC).isoformat()
    message = {"timestamp": now, "push": {"pushType": SELF_TEST}, "nonce": nonce}
    return json.dumps(message).encode()


def _without_secret(target: str, secret: str | None) -> str:
    return target if secret is None else target.replace(secret, "…")
