"""How the environment and an env file become the settings of a process.

Owns: which variables are ours, which of environment and file goes first, and every fault of a name or a value.
Must not: know a setting, or show a value in a fault: any of them may be a secret in the wrong place.

An empty variable counts as not set: Kubernetes and Compose files leave such variables behind. White space around a
value is not part of it.
"""

from __future__ import annotations

import pwd
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, Field, ValidationError

from reconciler.core import addresses
from reconciler.core.errors import Fault, Invalid, suggestion
from reconciler.pcc import proxies
from reconciler.pcc.checks import SHORTEST
from reconciler.pcc.proxies import Proxies
from reconciler.runtime.env_file import Variable, read_env_file

PREFIX = "PCC_"

# What Kubernetes puts into every container for a Service whose name begins with "pcc".
INJECTED = re.compile(
    r"PCC_(?:\w*_)?(?:SERVICE_HOST|SERVICE_PORT(?:_\w*)?|PORT|PORT_\d+_\w+)", re.ASCII
)
QUOTED = (
    "the value is in quotes, which are a part of it: docker's --env-file and Kubernetes keep them; "
    "write it without"
)

Chosen = TypeVar("Chosen", bound=BaseModel)


def variable(field: str) -> str:
    """Return the name of the variable that sets a field."""
    return f"{PREFIX}{field.upper()}"


def in_file(name: str) -> Any:
    """Return the field of a setting whose value is in a file."""
    return Field(
        None,
        description=f"path of a file that holds `{PREFIX}{name}`; it is read again when it changes",
    )


@dataclass(frozen=True, slots=True)
class Written:
    """What environment and env file say, before a value is judged. ``given`` is by the name of the variable."""

    given: Mapping[str, Variable]
    faults: Sequence[Fault]
    proxies: Proxies

    def values(self, fields: Collection[str]) -> dict[str, str]:
        """Return the values that are given for some fields."""
        return {
            field: self.given[variable(field)].value.strip()
            for field in fields
            if variable(field) in self.given
        }


def read(environ: Mapping[str, str], env_file: Path | None, names: Collection[str]) -> Written:
    """Return what is written for the settings with these names.

    The environment goes before the file, also where one has ``NAME`` and the other ``NAME_FILE``. Of the file only
    ``PCC_*`` is read, and nothing in it is expanded: a ``$`` in a key is a ``$``.
    """
    in_env_file, faults = ({}, []) if env_file is None else read_env_file(env_file)
    in_environment = {name: Variable(value) for name, value in environ.items()}
    for name, text in in_environment.items():
        if text.value.strip():
            in_env_file.pop(f"{name}_FILE", None)
            in_env_file.pop(name.removesuffix("_FILE"), None)
    given: dict[str, Variable] = {}
    unknown: list[Fault] = []
    quoted: list[Fault] = []
    for name, text in (*in_env_file.items(), *in_environment.items()):
        if _unknown(name, names):
            nearest = suggestion(name.upper(), names)
            unknown.append(text.fault(f"{name}: no such setting{nearest}"))
        if name in names and addresses.is_quoted(text.value.strip()):
            quoted.append(text.fault(f"{name}: {QUOTED}"))
        elif text.value.strip():
            given[name] = text
    named = proxies.read(environ)
    return Written(given, (*faults, *unknown, *quoted, *named.faults), named)


def checked(
    settings: type[Chosen],
    written: Written,
    values: Mapping[str, Any],
    faults: Sequence[Fault] = (),
) -> Chosen:
    """Return the settings, or raise ``Invalid`` with every fault, those that are known already among them."""
    known = [*written.faults, *faults]
    try:
        chosen = settings(**values)
    except ValidationError as error:
        # its own words are in the faults
        raise Invalid([*known, *_faults(error, written.given)]) from None
    if known:
        raise Invalid(known)
    return chosen


def _unknown(name: str, names: Collection[str]) -> bool:
    """Say whether a name is meant for us and not known. One in lower case is meant for us if it would be known."""
    if name.startswith(PREFIX):
        return name not in names and not INJECTED.fullmatch(name)
    return name.upper() in names


def _faults(error: ValidationError, given: Mapping[str, Variable]) -> list[Fault]:
    faults = []
    for one in error.errors(include_url=False, include_input=False):
        name = variable(str(one["loc"][0]))
        cause = one.get("ctx", {}).get("error", one["msg"])
        if one["type"] == "missing":
            cause = "has to be set: this user has no home folder to keep state in"
        faults.append(given.get(name, Variable("")).fault(f"{name}: {cause}"))
    return faults


def state_home(environ: Mapping[str, str], user: Callable[[], int]) -> Path | None:
    """Return the user's state folder by the XDG rules, of which one is that a relative path does not count."""
    named = environ.get("XDG_STATE_HOME", "")
    if named.startswith("/"):
        return Path(named) / "pcc-reconciler"
    home = environ.get("HOME")
    if not home:
        try:
            home = pwd.getpwuid(user()).pw_dir
        except KeyError:  # a container may run under a number that no user has
            return None
    return Path(home) / ".local/state/pcc-reconciler"


def suspects(
    environ: Mapping[str, str],
    env_file: Path | None,
    *,
    names: Collection[str],
    secrets: Collection[str],
) -> frozenset[str]:
    """Return what may be secret among the values as they are written, also where they are not valid.

    ``names`` are all settings, ``secrets`` those whose whole value is one. Whatever has another name of ours may be one
    as well.
    """
    in_env_file, _ = ({}, []) if env_file is None else read_env_file(env_file)
    written = [(name, text.value) for name, text in in_env_file.items()]
    found = set(proxies.read(environ).secrets)
    for name, value in [*written, *environ.items()]:
        upper = name.upper()
        if not upper.startswith(PREFIX) or INJECTED.fullmatch(name):
            continue
        bare = addresses.unquoted(value.strip()).strip()
        if (upper in secrets or upper not in names) and len(bare) >= SHORTEST:
            found |= {value.strip(), bare, *_lines(bare)}
        if upper in names:
            found |= secrets_in_url(bare)
    return frozenset(found)


def _lines(text: str) -> list[str]:
    """Return the lines of a secret that are long enough to be masked: an old and a new one may be in one value."""
    return [line.strip() for line in text.splitlines() if len(line.strip()) >= SHORTEST]


def secrets_in_url(url: str) -> set[str]:
    """Return what of a repository's address is secret. The user name of an ssh address is none."""
    return addresses.secrets_in(url, users=url.lower().startswith(("http://", "https://")))
