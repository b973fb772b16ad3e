"""Says in words why a connection brought no answer.

Owns: the one sentence for each way in which the network, TLS or a proxy fails, whichever library reports it.
Must not: import a library or open a connection: errors are distinguished by the names of their types, because HTTP
libraries wrap the error of the system in several of their own, and the innermost one knows.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator

from reconciler.core.errors import quoted

NOBODY = "nothing listens there (connection refused)"
CLOSED = "the other side closed the connection"
LATE = "it took too long"
NO_NAME = "the name of the host is not known"
FAILED = "the connection failed"
NO_HTTP = "what answers does not speak HTTP"

_BY_TYPE = {
    "ConnectionRefusedError": NOBODY,
    "ConnectionResetError": CLOSED,
    "BrokenPipeError": CLOSED,
    "ServerDisconnectedError": CLOSED,
    "IncompleteRead": "its answer broke off",
    "BadStatusLine": NO_HTTP,
    "RemoteProtocolError": NO_HTTP,
    "TimeoutError": LATE,
    "TimeoutException": LATE,
    "UnicodeError": NO_NAME,
    "IsADirectoryError": "it is a folder",
    "PermissionError": "the system does not allow it",
}
"""The sentence for a type of error, or for one that is derived from it."""
_BY_NUMBER = {
    errno.ECONNREFUSED: NOBODY,
    errno.ENETUNREACH: "no way leads to that network",
    errno.EHOSTUNREACH: "no way leads to that host",
    errno.ETIMEDOUT: LATE,
    errno.EADDRNOTAVAIL: "this machine has no address to ask from",
    errno.ECONNABORTED: CLOSED,
    errno.EMFILE: "this process has too many files and connections open",
    errno.ENFILE: "this machine has too many files open",
}
"""The sentence for an error number of the system."""
_WITHOUT_ANSWER = re.compile("disconnected without sending|without response", re.IGNORECASE)
_OF_A_PROGRAM = re.compile(r"\[Errno|object at 0x|<[\w.]+|\w+\('|\('[^']*', \d+\)|\[Call|\w+=")
"""What only a programmer reads: numbers, types and values as Python writes them."""
_INNER = ("os_error", "certificate_error", "reason", "__cause__", "__context__")
"""Where an error keeps the one that it wraps."""
DEEPEST = 12


def unanswered(error: BaseException) -> str:
    """Return in words why no answer came, without type, number or address of the program."""
    chain = list(_chain(error))
    proxy = "the proxy does not answer: " if any(_is_of_proxy(one) for one in chain) else ""
    for one in reversed(chain):
        words = _words(one)
        if words:
            return f"{proxy}{words}"
    plain = [str(one) for one in chain if str(one) and not _OF_A_PROGRAM.search(str(one))]
    return f"{proxy}{quoted(plain[0])}" if plain else f"{proxy}{FAILED}"


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Return an error and those that it wraps, the innermost last. Of a group only the first counts."""
    seen: list[BaseException] = []
    left: BaseException | None = error
    while left is not None and left not in seen and len(seen) < DEEPEST:
        seen.append(left)
        yield left
        left = _inner(left)


def _inner(error: BaseException) -> BaseException | None:
    if isinstance(error, BaseExceptionGroup):
        return error.exceptions[0]
    # some libraries hide the error of the system behind one without words
    hidden = error.__suppress_context__ and bool(_words(error))
    for name in _INNER:
        inner = getattr(error, name, None)
        if isinstance(inner, BaseException) and not (name == "__context__" and hidden):
            return inner
    return None


def _is_of_proxy(error: BaseException) -> bool:
    return any(
        one.__name__ in {"ClientProxyConnectionError", "ProxyError"} for one in type(error).__mro__
    )


def _words(error: BaseException) -> str:
    """Return the sentence for one error of a chain, or an empty string where it has none of its own."""
    kinds = [one.__name__ for one in type(error).__mro__]
    if "SSLError" in kinds:
        return _tls(error)
    if "gaierror" in kinds:
        return _name(error)
    if "ClientHttpProxyError" in kinds:
        status, message = getattr(error, "status", 0), quoted(str(getattr(error, "message", "")))
        return f"the proxy answers {status} {message}".rstrip()
    if _WITHOUT_ANSWER.search(str(error)):
        return CLOSED
    known = next((_BY_TYPE[one] for one in kinds if one in _BY_TYPE), "")
    return known or _BY_NUMBER.get(getattr(error, "errno", None) or 0, "")


def _name(error: BaseException) -> str:
    """Return why a name service gave no address. Ours says itself for how long it was asked."""
    given = str(getattr(error, "strerror", "") or "")
    return given if given.startswith("the name service") else NO_NAME


def _tls(error: BaseException) -> str:
    """Return why there is no TLS connection: what OpenSSL says of the certificate, or its reason."""
    verified = str(getattr(error, "verify_message", "") or "")
    if verified:
        return f"its certificate is not accepted: {quoted(verified)}"
    reason = str(getattr(error, "reason", "") or "").replace("_", " ").lower()
    return (
        f"there is no TLS connection: {quoted(reason)}" if reason else "there is no TLS connection"
    )
