"""User names and passwords inside addresses, as people write them.

Owns: the place of a user name and a password in an address, also in one that does not parse, and which parts of a
value must never be printed.
Must not: know which setting a value comes from, or connect to anything.

People paste passwords as they are, with ``#``, ``/``, ``?`` or ``@`` in them. A strict parser takes a part of such a
password for a host, a port or a path, and then somebody prints it. So the reading here is generous about where a
password ends, and more is hidden than may be needed.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import unquote

SHORTEST_PASSWORD = 4
"""Characters. A shorter one is hidden only together with its user name: alone it is a part of ordinary words."""
SHORTEST_PART = 8
"""Characters. The least of a user name, or of a piece of a password, that is hidden wherever it appears."""

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(?=://)")
_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.%]+\]|[^\s\[\]@:/?#\\]+)(?::\d{0,5})?")
_QUOTES = "\"'"
_PIECES = re.compile(r"[^:@/?#\s\"'&=]+")


class Address(NamedTuple):
    """An address, taken apart. ``rest`` is what follows the user: host, port and path. Nothing is decoded."""

    scheme: str
    user: str
    password: str | None
    rest: str

    @property
    def plain(self) -> str:
        """The address without user and password."""
        return f"{self.scheme}://{self.rest}" if self.scheme else self.rest


def unquoted(value: str) -> str:
    """Return a value without the one pair of quotes around it that ``docker --env-file`` and YAML leave behind."""
    return value[1:-1] if is_quoted(value) else value


def is_quoted(value: str) -> bool:
    """Say whether a whole value is in quotes, so that the quotes are a part of it."""
    return len(value) > 1 and value[0] in _QUOTES and value[-1] == value[0]


def split(address: str, *, has_path: bool = True) -> Address:
    """Take an address apart. Never raises.

    The user ends at the last ``@`` before the path. In three cases it ends at the last ``@`` of all, because a password
    may have ``/``, ``?`` or ``#``: the part before the path cannot be a host; a ``?`` or ``#`` comes before that ``@``;
    the address has no path.
    """
    match = _SCHEME.match(address)
    scheme = match[0].lower() if match else ""
    rest = address[len(scheme) + 3 :] if scheme else address
    authority, last = re.split(r"[/?#]", rest, maxsplit=1)[0], rest.rfind("@")
    end = authority.rfind("@")
    goes_on = (
        not has_path
        or not _HOST.fullmatch(authority[end + 1 :])
        or bool(re.search("[?#]", rest[:last]))
    )
    if last > end and goes_on:
        end = last
    if end < 0:
        return Address(scheme, "", None, rest)
    user, colon, password = rest[:end].partition(":")
    return Address(scheme, user, password if colon else None, rest[end + 1 :])


def secrets_in(address: str, *, users: bool = True) -> set[str]:
    """Return the parts of an address that must not be printed: user name and password, together, alone and in pieces.

    Hidden is everything up to the last ``@``, wherever a parser takes the user to end. ``users``: a user name alone
    may be a token; without it only what follows the first colon is hidden.
    """
    given = unquoted(address.strip())
    match = _SCHEME.match(given)
    rest = given[match.end() + 3 :] if match else given
    before, at, after = rest.rpartition("@")
    found = _query_secrets(after if at else rest)
    if not at:
        return found
    user, colon, password = before.partition(":")
    found |= {before} if users or colon else set()
    found |= _long((password,), SHORTEST_PASSWORD)
    found |= _long((user,), SHORTEST_PART) if users else set()
    found |= _long(_PIECES.findall(before if users else password), SHORTEST_PART)
    strict = split(given)
    found |= _long((strict.password or "",), SHORTEST_PASSWORD)
    return {one for one in found | {unquote(one) for one in found} if len(one) >= SHORTEST_PASSWORD}


def path_secrets(address: str) -> set[str]:
    """Return the parts of an address whose path is a password: the path, and each long piece of it."""
    plain = address.partition("?")[0].partition("#")[0]
    path = plain.partition("://")[2].partition("/")[2]
    return _long([plain, path, *path.split("/")], SHORTEST_PART)


def _query_secrets(rest: str) -> set[str]:
    """Return the values in the query of an address: people put tokens there, too."""
    _, _, query = rest.partition("?")
    values = [value for _, _, value in (pair.partition("=") for pair in re.split("[&#]", query))]
    return _long(values, SHORTEST_PART)


def _long(parts: list[str] | tuple[str, ...], least: int) -> set[str]:
    return {part for part in parts if len(part) >= least}
