"""The remote repository: its address, and which commits its branches and tags name.

Owns: where a password of the address goes, and how a branch or tag is found. Must not: fetch anything.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from reconciler.core import addresses
from reconciler.source.git.commits import is_id
from reconciler.source.git.process import Git, option_free

ASKING_SECONDS = 30.0
"""For asking a remote what it has."""
REMOTE = "followed"
"""The remote's name in git's configuration. Its address is in no file, because it may hold a password."""
_LARGEST_ANSWER = 1024 * 1024
_USER, _PASSWORD = "FOLLOWED_USER", "FOLLOWED_PASSWORD"
_HELPER = f'!f() {{ test "$1" = get && printf "username=%s\\npassword=%s\\n" "${_USER}" "${_PASSWORD}"; }}; f'
"""Gives git the password of the address. It is in the environment: arguments are seen by everybody on the machine."""


@dataclass(frozen=True, slots=True)
class Address:
    """A repository's address without user and password, and how git gets them: configuration and environment."""

    plain: str
    configuration: Sequence[tuple[str, str]]
    environment: Mapping[str, str]

    @classmethod
    def of(cls, url: str) -> Address:
        """Take an address apart.

        git would hand the whole address to the program that speaks http, as an argument. User and password are for
        this one host. With a password nobody else is asked; with a user name alone, the helpers that are set up are
        asked for the password first.
        """
        parts = addresses.split(option_free(url))
        if parts.scheme not in {"http", "https"} or not (parts.user or parts.password):
            return cls(url, [_remote(url)], {})
        host = re.split("[/?#]", parts.rest, maxsplit=1)[0]
        prefix = f"credential.{parts.scheme}://{host}"
        configuration = [_remote(parts.plain), (f"{prefix}.username", unquote(parts.user))]
        if parts.password is not None:
            configuration.append((f"{prefix}.helper", ""))
        configuration.append((f"{prefix}.helper", _HELPER))
        return cls(
            parts.plain,
            configuration,
            {_USER: unquote(parts.user), _PASSWORD: unquote(parts.password or "")},
        )


def _remote(url: str) -> tuple[str, str]:
    """Return the setting of the remote's address; a relative path of this machine is made absolute."""
    scheme_or_host = ":" in option_free(url).partition("/")[0]
    return f"remote.{REMOTE}.url", url if scheme_or_host else os.path.abspath(url)


class Remote:
    """Asks the remote which commits its refs name."""

    def __init__(self, git: Git) -> None:
        self._git = git

    def stop(self) -> None:
        """End what is under way, and begin nothing more."""
        self._git.stop()

    def tip(self, ref: str) -> tuple[str, str] | None:
        """Return the full name and the commit of a branch, a tag or a ref by its full name; ``None``: there is none.

        A branch goes before a tag of the same name.
        """
        names = (
            [ref]
            if ref == "HEAD" or ref.startswith("refs/")
            else [f"refs/heads/{ref}", f"refs/tags/{ref}"]
        )
        asked = []
        for name in names:
            asked += [f"{name}^{{}}", name]  # what an annotated tag points to goes first
        printed = self._git(
            "ls-remote",
            "--quiet",
            REMOTE,
            *asked,
            seconds=ASKING_SECONDS,
            online=True,
            most=_LARGEST_ANSWER,
        )
        found = {}
        for line in printed.decode(errors="replace").splitlines():
            id_, _, name = line.partition("\t")
            if is_id(id_):
                found[name] = id_
        for name in asked:
            if name in found:
                return name.removesuffix("^{}"), found[name]
        return None
