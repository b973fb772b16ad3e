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
    r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<host>[A-Za-z0-9._-]+)):(?P<port>\d{1,5})", re.ASCII
)
_REF = re.compile(r"(?!-)(?!.*\.\.)(?!.*@\{)[^\s\x00-\x20\x7f~^:?*\[\\]+")
_GIT_URL = re.compile(r"(?!-)(?![A-Za-z0-9.+-]*::)[!-~]+")
_HIGHEST_PORT = 65535


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
    """Where the HTTP surface is bound. Port 0 lets the system choose one."""

    host: str
    port: int

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
            "has to be an address and a port, like 127.0.0.1:8080, [::1]:8080 or 0.0.0.0:8080"
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


def _address(value: str, info: ValidationInfo) -> str:
    return check_url(value, allow_http=info.data.get("allow_http") is True)


Span = Annotated[timedelta, BeforeValidator(_span)]
Wait = Annotated[timedelta, BeforeValidator(_span), AfterValidator(_waiting)]
Count = Annotated[int, BeforeValidator(_whole)]
Truth = Annotated[bool, BeforeValidator(_truth)]
Address = Annotated[str, AfterValidator(_address)]
Identifier = Annotated[SecretStr, AfterValidator(_identifier)]
Secret = Annotated[SecretStr, AfterValidator(_secret)]
