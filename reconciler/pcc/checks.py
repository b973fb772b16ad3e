"""What a usable value of a credential looks like.

Owns: one check for each form of value: printable text, a secret, a country, an address of LG's.
Must not: show the value in the sentence it raises: any value may be a secret in the wrong place.
"""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

SHORTEST = 8
"""A secret of fewer characters is refused: it is a slip, and masking it would blacken half of every log line."""

_PRINTABLE = re.compile(r"[!-~](?:[ -~]*[!-~])?")
_COUNTRY = re.compile(r"[A-Z]{2}")


def check_printable(text: str) -> str:
    """Return a value that any header can carry, or raise ``ValueError`` with a sentence that does not show it."""
    if not text:
        raise ValueError("is empty")
    if not _PRINTABLE.fullmatch(text):
        raise ValueError(
            "has characters that a header cannot carry: only printable ASCII, no white space at the ends"
        )
    return text


def check_secret(text: str) -> str:
    """Return a usable secret, or raise ``ValueError`` with a sentence that does not show it."""
    if len(check_printable(text)) < SHORTEST:
        raise ValueError(f"has fewer than {SHORTEST} characters")
    return text


def check_country(text: str) -> str:
    """Return an ISO 3166-1 alpha-2 code as LG wants it, or raise ``ValueError``."""
    if not _COUNTRY.fullmatch(text):
        raise ValueError("has to be two upper-case letters, like KR")
    return text


def check_url(text: str, *, allow_http: bool) -> str:
    """Return an address of LG's without a slash at the end, or raise ``ValueError`` with a sentence that hides it.

    Service keys and tokens go there, so it is https, or http on loopback, unless ``allow_http``. A user or password in
    it, a query and a fragment are refused: nothing in LG's documents uses them.
    """
    check_printable(text)
    if re.search(r"[\s\\@?#]", text):
        raise ValueError(
            "has to be a plain address: no user, password, query, fragment or white space"
        )
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:  # its words would quote the address
        raise ValueError("is not an address like https://host or https://host:8443/path") from None
    if parts.scheme not in {"https", "http"} or not host:
        raise ValueError("is not an address like https://host or https://host:8443/path")
    if parts.scheme == "http" and not allow_http and not is_loopback(host):
        raise ValueError("has to be https: http is for loopback only, unless PCC_ALLOW_HTTP=true")
    return text.rstrip("/")


def is_loopback(host: str) -> bool:
    """Say whether a host is this machine itself."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
