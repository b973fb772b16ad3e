"""The addresses and paths that pages are built with, and what each may look like.

Owns: one check for each form. Must not: know a setting by its name, or show a value in a fault: any of them may be a
secret in the wrong place.

A page makes links of these addresses. So only https is taken, or http on loopback: a link can neither run a script nor
lead a reader over a network that others can read.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from reconciler.pcc.checks import check_printable, is_loopback

COMMIT = "{commit}"
_SEGMENTS = re.compile(r"(?:/[A-Za-z0-9._~-]+)+", re.ASCII)
AT_ROOT = frozenset({"healthz", "readyz", "metrics", "hooks"})
"""What is at the root whatever the base path is; a base path cannot begin with one of these."""


def check_link(value: str) -> str:
    """Return an address that a page may link to, or raise ``ValueError``."""
    check_printable(value)
    if re.search(r"[\s\\<>\"'{}]", value):
        raise ValueError("has a character that an address cannot have")
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname, parts.port
    except ValueError:  # its words would quote the address
        raise ValueError("is not an address like https://host/path") from None
    if parts.scheme not in {"https", "http"} or not host:
        raise ValueError("has to be an address like https://host/path")
    if "@" in parts.netloc:
        raise ValueError("cannot have a user name or a password: it would be on every page")
    if parts.scheme == "http" and not is_loopback(host):
        raise ValueError("has to be https: http is for loopback only")
    return value.rstrip("/")


def check_docs_url(value: str) -> str:
    """Return the folder of the documents: names of files and sections come behind it."""
    address = check_link(value)
    if "?" in address or "#" in address:
        raise ValueError(
            "has to end with a folder: a query or a fragment cannot come before a document"
        )
    return address


def check_commit_url(value: str) -> str:
    """Return the address of a commit, with the place for its id."""
    if value.count(COMMIT) != 1:
        raise ValueError("has to contain {commit} once, where the id of a commit goes")
    before, _, after = value.partition(COMMIT)
    check_link(f"{before}0{after}")
    if urlsplit(f"{before}/{after}").netloc != urlsplit(f"{before}0{after}").netloc:
        raise ValueError("can have {commit} only in the path, the query or the fragment")
    return value


def check_base_path(value: str) -> str:
    """Return a path without a slash at its end, an empty one for the root, or raise ``ValueError``."""
    path = value.rstrip("/")
    if not path:
        return ""
    if not _SEGMENTS.fullmatch(path) or {".", ".."} & set(path.split("/")):
        raise ValueError("has to be a path like /pcc-reconciler, of letters, digits and ._~-")
    first = path.split("/")[1]
    if first in AT_ROOT:
        raise ValueError(f"cannot begin with /{first}, which is at the root in any case")
    return path
