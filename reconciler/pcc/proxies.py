"""The proxies that the environment names.

Owns: which variable names the proxy of an address, what of its value can be used, what is wrong with it, and which
hosts are reached without a proxy.
Must not: read the environment behind its caller's back, connect to anything, or show a value in a fault.

What can be used is an HTTP proxy: ``http://host:port``, also with ``user:password@``, and without the scheme, as curl
takes it. Anything else is a fault. To pass such a variable by would send the service key and the tokens around the
proxy, over a way that somebody closed on purpose.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, unquote, urlsplit

from reconciler.core.addresses import is_quoted, secrets_in, split, unquoted
from reconciler.core.errors import Fault

VARIABLES = ("http_proxy", "https_proxy", "all_proxy")
"""In lower case; each also counts in upper case, where the lower-case one is not set or empty."""
EXCEPTIONS = "no_proxy"
DEFAULT_PORT = 80
_HIGHEST_PORT = 65535
_OTHER_KINDS = frozenset({"https", "socks", "socks4", "socks4a", "socks5", "socks5h"})
_HOST = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^\s\[\]@:/?#\\]+)(?::(?P<port>[0-9]*))?/?")
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Proxy:
    """One HTTP proxy. User and password are as they are meant, nothing encoded."""

    variable: str
    host: str
    port: int
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)

    @property
    def address(self) -> str:
        """The proxy without user and password, fit to be shown."""
        return f"http://{self.host}:{self.port}"

    @property
    def full_address(self) -> str:
        """The proxy with user and password, in the form that every program understands."""
        if not self.user and not self.password:
            return self.address
        user, password = quote(self.user, safe=""), quote(self.password, safe="")
        return f"http://{user}:{password}@{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Unusable:
    """A variable that names a proxy which cannot be used, and why. The words do not show its value."""

    variable: str
    why: str

    def __str__(self) -> str:
        return f"{self.variable}: {self.why}"


@dataclass(frozen=True, slots=True)
class Proxies:
    """What the environment says about proxies. ``chosen`` is by the scheme of the address that is called."""

    chosen: Mapping[str, Proxy | Unusable] = field(default_factory=dict)
    exceptions: tuple[str, ...] = ()
    secrets: frozenset[str] = field(default=frozenset(), repr=False)
    warnings: tuple[str, ...] = ()

    def of(self, address: str) -> Proxy | Unusable | None:
        """Return the proxy for an address, or None where it is called directly."""
        parts = urlsplit(address)
        found = self.chosen.get(parts.scheme)
        if found is None or parts.hostname is None:
            return found
        try:
            port = parts.port or _PORTS[parts.scheme]
        except ValueError:  # the call to that address reports it
            port = 0
        direct = any(_excepts(one, parts.hostname, port) for one in self.exceptions)
        return None if direct else found

    @property
    def faults(self) -> tuple[Fault, ...]:
        """What is wrong, one fault for each variable."""
        wrong = {str(one) for one in self.chosen.values() if isinstance(one, Unusable)}
        return tuple(Fault("", 0, 0, words) for words in sorted(wrong))


def read(environ: Mapping[str, str]) -> Proxies:
    """Return what an environment says about proxies. Never raises; what cannot be used says so when it is needed."""
    exceptions, warnings = tuple(_exceptions(environ)), []
    secrets: set[str] = set()
    for name in (*VARIABLES, *map(str.upper, VARIABLES)):
        secrets |= secrets_in(environ.get(name, ""))
    chosen: dict[str, Proxy | Unusable] = {}
    for scheme in _PORTS if "*" not in exceptions else ():
        variable = _variable(environ, f"{scheme}_proxy") or _variable(environ, "all_proxy")
        if variable is None:
            continue
        value = environ[variable].strip()
        chosen[scheme] = _proxy(variable, unquoted(value).strip())
        if is_quoted(value):
            warnings.append(
                f"{variable}: is in quotes, which are removed here; other programs may not do that"
            )
    return Proxies(chosen, exceptions, frozenset(secrets), tuple(dict.fromkeys(warnings)))


def _variable(environ: Mapping[str, str], name: str) -> str | None:
    """Return the name of the variable that is set, in lower case or else in upper case. An empty one is not set."""
    for one in (name, name.upper()):
        if unquoted(environ.get(one, "").strip()).strip():
            return one
    return None


def _proxy(variable: str, value: str) -> Proxy | Unusable:
    """Read one value, or say why it cannot be used, without showing it."""
    address = split(value, has_path=False)
    if address.scheme not in {"", "http"}:
        kind = f"{address.scheme}://" if address.scheme in _OTHER_KINDS else "this kind of"
        return Unusable(
            variable,
            f"{kind} proxies cannot be used; give an HTTP proxy as http://host:port, or unset the variable",
        )
    match = _HOST.fullmatch(address.rest)
    if match is None or not _is_host(match["host"]) or not (port := _port(match["port"] or "")):
        return Unusable(
            variable,
            "is not the address of a proxy, like http://host:port or http://user:password@host:port",
        )
    user, password = unquote(address.user), unquote(address.password or "")
    if ":" in user or not _can_be_sent(user + password):
        return Unusable(variable, "has a user name or password that no proxy can be given")
    return Proxy(variable, match["host"], port, user, password)


def _port(digits: str) -> int:
    """Return a port by its digits, the default without any, or 0 where there is no such port."""
    if len(digits) > len(str(_HIGHEST_PORT)):
        return 0
    port = int(digits or DEFAULT_PORT)
    return port if port <= _HIGHEST_PORT else 0


def _can_be_sent(words: str) -> bool:
    """Say whether a header can carry the words in Latin-1, as the HTTP library sends them."""
    try:
        words.encode("latin-1")
    except UnicodeError:
        return False
    return words.isprintable()


def _is_host(host: str) -> bool:
    if host.startswith("["):
        try:
            return ipaddress.ip_address(host[1:-1]).version == 6  # noqa: PLR2004 - the version of IP
        except ValueError:
            return False
    try:
        return bool(host.encode("idna"))
    except UnicodeError:
        return False


def _exceptions(environ: Mapping[str, str]) -> list[str]:
    """Return the hosts that are reached directly, in lower case. Commas and white space separate them."""
    name = _variable(environ, EXCEPTIONS)
    value = unquoted(environ[name].strip()) if name is not None else ""
    return [one for one in re.split(r"[,\s]+", value.lower()) if one]


def _excepts(exception: str, host: str, port: int) -> bool:
    """Say whether one entry of NO_PROXY means a host.

    Taken are ``*``, a name with all below it (also as ``.name`` or ``*.name``), an address, a network like
    ``10.0.0.0/8``, and each but the network with ``:port``.
    """
    if exception == "*":
        return True
    if (network := _network(exception)) is not None:
        address = _ip(host)
        return address is not None and address in network
    name, wanted = _with_port(exception)
    if wanted and wanted != str(port):
        return False
    name = name.strip("[]").removeprefix("*").strip(".")
    host = host.lower().rstrip(".")
    if _ip(name) is not None or _ip(host) is not None:
        return _ip(name) is not None and _ip(name) == _ip(host)
    return bool(name) and (host == name or host.endswith(f".{name}"))


def _with_port(exception: str) -> tuple[str, str]:
    """Take a port off the end; the colons of a bare IPv6 address are none."""
    name, colon, port = exception.rpartition(":")
    has_port = bool(colon) and port.isdecimal() and (":" not in name or name.endswith("]"))
    return (name, port) if has_port else (exception, "")


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    if "/" not in text:
        return None
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def _ip(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
