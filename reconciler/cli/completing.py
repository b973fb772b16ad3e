"""What a shell offers after TAB: accounts and devices, from the desired state at hand, else from the running daemon.

Owns: where names come from, and how quickly it gives up. A completion never fails and never prints: whatever is wrong,
nothing is offered. Must not: load a library before it has to; a person waits for each key.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

import typer

Offer = tuple[str, str]
"""A word that would fit, and what it is."""

MOST = 200
"""More than this many words help nobody."""
MOST_BYTES = 8 * 1024 * 1024
"""Files beyond this are not read: the person would wait."""
PATIENCE_SECONDS = 1.0
"""How long a daemon may take to answer."""
UNSAFE_IN_BASH = re.compile(r"([^\w@%+=:,./가-힣-])")
"""Characters that bash would split a word at, or expand."""
UNSAFE_IN_QUOTES = re.compile(r"""(["$`\\])""")
"""Characters that bash would expand inside double quotation marks."""
IN_APOSTROPHES = r"'\''"
"""An apostrophe in a word that is between apostrophes: it ends them, and begins them again."""
VARIABLE = "_PCC_RECONCILER_COMPLETE"
IN_BASH, IN_ZSH = "complete_bash", "complete_zsh"


def accounts(ctx: typer.Context, incomplete: str) -> list[Offer]:
    """Return the accounts whose names begin like this."""
    with suppress(Exception):
        names = [*_desired(ctx)] or _asked(ctx)
        return [*islice(((one, "account") for one in names if one.startswith(incomplete)), MOST)]
    return []


def devices(ctx: typer.Context, incomplete: str) -> list[Offer]:
    """Return the names and ids of devices that begin like this. Ids are offered once something is typed."""
    with suppress(Exception):
        only = ctx.params.get("account")
        found: list[Offer] = []
        desired = _desired(ctx)
        for account, each in desired.items():
            if only is None or account == only:
                found += each
        if not desired:
            found = _asked_devices(ctx, incomplete, only)
        return [*islice(map(_quoted, _fitting(found, incomplete)), MOST)]
    return []


def _fitting(found: Iterable[Offer], incomplete: str) -> Iterator[Offer]:
    """Yield what begins as it was typed: by id, or by name whatever the case of its letters."""
    folded = incomplete.casefold()
    for device, name in found:
        if name and name.casefold().startswith(folded):
            yield name, device
        elif device.startswith(incomplete) and (incomplete or not name):
            yield device, name or "device"


def _quoted(offer: Offer) -> Offer:
    """Return an offer as the shell takes it: bash inserts a word as it is, the others quote it."""
    word, shell = offer[0], os.environ.get(VARIABLE)
    if shell == IN_BASH:
        return _Fitting(_for_bash(word)), offer[1]
    if shell == IN_ZSH:
        return _Escaped(_for_zsh(word)), offer[1]
    return _Fitting(word), offer[1]


def _for_zsh(word: str) -> str:
    """Return a word as it is written in what zsh evaluates: between quotation marks, and those between apostrophes."""
    escaped = UNSAFE_IN_QUOTES.sub(r"\\\1", word).replace(":", r"\\:")
    return escaped.replace("'", IN_APOSTROPHES)


def _for_bash(word: str) -> str:
    """Return a word as it goes on in bash behind the quotation mark with which it was begun, if there is one."""
    words = os.environ.get("COMP_WORDS", "").split("\n")
    place = int(os.environ.get("COMP_CWORD", "0"))
    begun = words[place][:1] if place < len(words) else ""
    if begun == "'":
        return word.replace("'", IN_APOSTROPHES)
    unsafe = UNSAFE_IN_QUOTES if begun == '"' else UNSAFE_IN_BASH
    return unsafe.sub(r"\\\1", word)


class _Fitting(str):
    """A word that was compared with what is typed. Typer compares again, and knows neither quoting nor case."""

    __slots__ = ()

    def startswith(self, *_typed: object) -> bool:
        """Say that it fits."""
        return True


class _Escaped(_Fitting):
    """A word that is escaped already. Typer escapes for zsh, and loses apostrophes and quotation marks by it."""

    __slots__ = ()

    def replace(self, *_what: object) -> str:
        """Return it as it is."""
        return self


def _setting(ctx: typer.Context, name: str) -> str | None:
    """Return a setting from the environment, or from the env file that is named on the line."""
    if os.environ.get(name):
        return os.environ[name]
    file = ctx.params.get("env_file")
    if file is None:
        return None
    from reconciler.runtime.env_file import read_env_file

    found = read_env_file(Path(file))[0].get(name)
    return found.value if found is not None else None


def _desired(ctx: typer.Context) -> Mapping[str, list[Offer]]:
    """Return the accounts of the desired state on this machine, each with ids and names of its devices."""
    if _setting(ctx, "PCC_GIT_URL"):
        return {}
    place = Path(_setting(ctx, "PCC_DESIRED_STATE") or "desired-state.toml")
    found: dict[str, list[Offer]] = {}
    for file in sorted(place.glob("*.toml")) if place.is_dir() else [place]:
        with suppress(OSError, ValueError):
            document = tomllib.loads(_read(file).decode())
            tables = document.get("accounts", {})
            if "devices" in document or "device_files" in document:
                tables = {**tables, "default": document}
            for account, table in tables.items():
                found.setdefault(account, []).extend(_devices_of(table, file.parent))
    return found


_ALIAS = re.compile(r" \| [a-z0-9_-]+ \| rule [a-z0-9-]+$", re.ASCII)
"""What is behind LG's alias in a lock."""


def _devices_of(table: Mapping[str, Any], home: Path) -> Iterator[Offer]:
    for one in table.get("devices", []):
        if isinstance(one, str):
            yield one, ""
        elif isinstance(one, dict) and isinstance(one.get("id"), str):
            yield one["id"], str(one.get("name", ""))
    locked = [table["locked"]] if isinstance(table.get("locked"), str) else []
    for pattern in (*table.get("device_files", []), *locked):
        for file in sorted(home.glob(pattern)):
            with suppress(OSError, ValueError):
                for line in _read(file).decode().splitlines():
                    device, _, name = line.partition("#")
                    if device.strip():
                        yield device.strip(), _ALIAS.sub("", name).strip()


def _read(file: Path) -> bytes:
    if file.stat().st_size > MOST_BYTES:
        raise ValueError("too large")
    return file.read_bytes()


def _asked(ctx: typer.Context) -> Sequence[str]:
    """Return the accounts that the running daemon knows."""
    return [str(one["account"]) for one in _answer(ctx, "/api/v1/status")["accounts"]]


def _asked_devices(ctx: typer.Context, incomplete: str, account: str | None) -> list[Offer]:
    """Return the devices that the running daemon knows by a name like this."""
    from urllib.parse import urlencode

    query = {"limit": str(MOST)}
    if incomplete:
        query["name"] = incomplete
    if account is not None:
        query["account"] = account
    answer = _answer(ctx, f"/api/v1/device-states?{urlencode(query)}")
    return [(str(one["device"]), str(one["name"] or "")) for one in answer["devices"]]


def _answer(ctx: typer.Context, path: str) -> dict[str, Any]:
    """Return what the running daemon answers, if it does so soon."""
    from reconciler.api.client.connection import ask
    from reconciler.cli.daemon_tokens import for_reading
    from reconciler.runtime import settings

    file = ctx.params.get("env_file")
    chosen = settings.load(os.environ, Path(file) if file is not None else None)
    server = ctx.params.get("server") or chosen.near
    return ask(server, path, token=for_reading(chosen, server), seconds=PATIENCE_SECONDS)
