"""The kinds of value that a setting can have, and how each is read.

Owns: the words that a setting takes, and one reader for each form of value.
Must not: know a setting by its name, or show a value in a fault: any of them may be a secret in the wrong place.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from enum import Enum, StrEnum
from typing import Annotated, NamedTuple, TypeVar
from urllib.parse import unquote

from pydantic import AfterValidator, BeforeValidator, SecretStr, ValidationInfo

from reconciler.core import addresses, duration
from reconciler.core.errors import suggestion
from reconciler.pcc.checks import check_printable, check_secret, check_url

_LISTEN = re.compile(
    r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<host>[A-Za-z0-9._-]*)):(?P<port>\d{1,5})", re.ASCII
)
_REF = re.compile(r"(?!-)(?!.*\.\.)(?!.*@\{)[^\s\x00-\x20\x7f~^:?*\[\\]+")
_GIT_URL = re.compile(r"(?!-)(?![A-Za-z0-9.+-]*::)[!-~]+")
_HIGHEST_PORT = 65535
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_SIZE = re.compile(r"([0-9]{1,6})(KiB|MiB|GiB|TiB)", re.ASCII)
_UNITS = {"KiB": 1024, "MiB": 1024**2, "GiB": 1024**3, "TiB": 1024**4}
_PATH_SECRET = re.compile(r"[A-Za-z0-9._~-]{22,}", re.ASCII)
_MOST_LINES = 2


class Mode(StrEnum):
    """Whether we change anything at LG."""

    ENFORCE = "enforce"
    OBSERVE = "observe"


class GitVerify(StrEnum):
    """Which commits are accepted."""

    NONE = "none"
    COMMIT = "commit"


class LogLevel(StrEnum):
    """The least important line that is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(StrEnum):
    """How a line of the log looks."""

    AUTO = "auto"
    CONSOLE = "console"
    JSON = "json"


class Listen(NamedTuple):
    """Where the HTTP surface is bound. Port 0 lets the system choose one, and an empty host means every address."""

    host: str
    port: int

    @property
    def on_loopback(self) -> bool:
        """Say whether only programs of this machine can call."""
        return self.host in _LOOPBACK

    @property
    def everywhere(self) -> bool:
        """Say whether callers come in at every address of this machine, of both families."""
        return self.host in {"", "::"}

    @property
    def near(self) -> str:
        """Return the address at which a program of this machine reaches it."""
        host = "127.0.0.1" if self.everywhere or self.host == "0.0.0.0" else self.host  # noqa: S104 - compared
        return f"http://{Listen(host, self.port)}"

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


# One reader for each form of value. Each gets text from a variable, or a finished value (a default, a test), and raises
# ValueError with a sentence that does not show what it was given.


def _span(value: object) -> object:
    return duration.parse(value) if isinstance(value, str) else value


def _waiting(value: timedelta) -> timedelta:
    if value < timedelta(seconds=1):
        raise ValueError("has to be at least 1s")
    return value


def _whole(value: object) -> object:
    if isinstance(value, str):
        if not re.fullmatch(r"[0-9]{1,6}", value) or not int(value):
            raise ValueError("has to be a whole number from 1 to 999999")
        return int(value)
    return value


def _truth(value: object) -> object:
    if isinstance(value, str):
        if value not in {"true", "false"}:
            raise ValueError(
                f"has to be true or false{suggestion(value.lower(), ('true', 'false'))}"
            )
        return value == "true"
    return value


_Word = TypeVar("_Word", bound=Enum)


def one_of(words: type[_Word]) -> Callable[[object], object]:
    """Return a reader that takes the words of an enumeration and no others."""

    def read(value: object) -> object:
        known = [word.value for word in words]
        if isinstance(value, str) and value not in known:
            raise ValueError(
                f"has to be one of {', '.join(known)}{suggestion(value.lower(), known)}"
            )
        return value

    return read


def read_listen(value: object) -> object:
    """Return the address and the port of a text like ``127.0.0.1:8080``."""
    if not isinstance(value, str):
        return value
    match = _LISTEN.fullmatch(value)
    if match is None or int(match["port"]) > _HIGHEST_PORT:
        raise ValueError(
            "has to be an address and a port, like 127.0.0.1:8080, [::1]:8080, or :8080 for every address"
        )
    return Listen(match["six"] or match["host"], int(match["port"]))


def check_git_url(value: str) -> str:
    """Return a repository's address, or raise ``ValueError``."""
    if not _GIT_URL.fullmatch(value):
        raise ValueError(
            "has to be a repository's address, https, ssh or a path without spaces; it cannot begin with '-'"
        )
    address = addresses.split(value)
    if not (unquote(address.user) + unquote(address.password or "")).isprintable():
        raise ValueError("has a user name or password with a character that cannot be printed")
    if address.scheme == "ssh" and address.password is not None:
        raise ValueError("ssh takes no password in an address; give the daemon's user a key")
    return value


def check_git_ref(value: str) -> str:
    """Return the name of a branch, tag or commit, or raise ``ValueError``."""
    if not _REF.fullmatch(value):
        raise ValueError(
            "has to be the name of a branch or a tag, or a commit; it cannot begin with '-'"
        )
    return value


def _identifier(value: SecretStr) -> SecretStr:
    check_printable(value.get_secret_value())
    return value


def _secret(value: SecretStr) -> SecretStr:
    check_secret(value.get_secret_value())
    return value


def check_state_url(text: str) -> str:
    """Return the address of a PostgreSQL, or raise ``ValueError`` with a sentence that does not show it."""
    check_printable(text)
    if " " in text or not text.startswith(("postgresql://", "postgres://")):
        raise ValueError("has to be like postgresql://USER:PASSWORD@HOST:PORT/DATABASE")
    return text


def check_heartbeat_url(text: str, *, allow_http: bool) -> str:
    """Return an address to ping, or raise ``ValueError`` with a sentence that hides it: its path is its password."""
    check_secret(text)
    address, question, query = text.partition("?")
    return check_url(address, allow_http=allow_http) + question + query


def _heartbeat_url(value: SecretStr, info: ValidationInfo) -> SecretStr:
    allow_http = info.data.get("allow_http") is True
    return SecretStr(check_heartbeat_url(value.get_secret_value(), allow_http=allow_http))


def _state_url(value: SecretStr) -> SecretStr:
    return SecretStr(check_state_url(value.get_secret_value()))


def _size(value: object) -> object:
    if isinstance(value, str):
        match = _SIZE.fullmatch(value)
        if match is None or not int(match[1]):
            raise ValueError("a size is written like 500MiB or 2GiB")
        return int(match[1]) * _UNITS[match[2]]
    return value


def _lines(text: str) -> list[str]:
    """Return the lines of a secret: one, or a new and an old one."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        raise ValueError("is empty")
    if len(lines) > _MOST_LINES:
        raise ValueError("has more than two lines: the new value and the old one")
    return lines


def check_pairs(text: str) -> str:
    """Return one or two lines of ``user:password``, or raise ``ValueError`` with a sentence that does not show them."""
    lines = _lines(text)
    for line in lines:
        user, colon, password = line.partition(":")
        if not user or not colon:
            raise ValueError("has to be user:password, or two such lines")
        try:
            check_secret(password)
            check_printable(user)
        except ValueError as error:
            raise ValueError(f"has to be user:password: the password or the user {error}") from None
    return "\n".join(lines)


def check_path_secrets(text: str) -> str:
    """Return one or two lines that can each be a path segment, or raise ``ValueError``."""
    lines = _lines(text)
    for line in lines:
        if not _PATH_SECRET.fullmatch(line):
            raise ValueError("has to be at least 22 letters, digits or -._~")
    return "\n".join(lines)


def check_source(value: str) -> str:
    """Return what CloudEvents take as ``source``: a URI without white space."""
    if not re.fullmatch(r"[!-~]+", value):
        raise ValueError("has to be a URI like urn:pcc:production, without white space")
    return value


def _pairs(value: SecretStr) -> SecretStr:
    return SecretStr(check_pairs(value.get_secret_value()))


def _path_secrets(value: SecretStr) -> SecretStr:
    return SecretStr(check_path_secrets(value.get_secret_value()))


def _address(value: str, info: ValidationInfo) -> str:
    return check_url(value, allow_http=info.data.get("allow_http") is True)


def read_receivers(value: object) -> object:
    """Return the base addresses of receivers; plain http is allowed, for a cluster's own network."""
    if not isinstance(value, str):
        return value
    found = tuple(part.strip().rstrip("/") for part in value.split(",") if part.strip())
    for address in found:
        check_url(address, allow_http=True)
    if len(set(found)) < len(found):
        raise ValueError("names a receiver twice")
    return found


Span = Annotated[timedelta, BeforeValidator(_span)]
Wait = Annotated[timedelta, BeforeValidator(_span), AfterValidator(_waiting)]
Count = Annotated[int, BeforeValidator(_whole)]
Truth = Annotated[bool, BeforeValidator(_truth)]
Receivers = Annotated[tuple[str, ...], BeforeValidator(read_receivers)]
Address = Annotated[str, AfterValidator(_address)]
Identifier = Annotated[SecretStr, AfterValidator(_identifier)]
Secret = Annotated[SecretStr, AfterValidator(_secret)]
BasicPairs = Annotated[SecretStr, AfterValidator(_pairs)]
PathSecrets = Annotated[SecretStr, AfterValidator(_path_secrets)]
StateUrl = Annotated[SecretStr, AfterValidator(_state_url)]
HeartbeatUrl = Annotated[SecretStr, AfterValidator(_heartbeat_url)]
Size = Annotated[int, BeforeValidator(_size)]
