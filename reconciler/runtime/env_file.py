"""The env file: variables in a file, of the form that docker's --env-file takes.

Owns: reading the file line by line, and where in it a variable is.
Must not: know a setting, expand anything, or show a line in a fault: it may be a secret.
"""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import NamedTuple

from dotenv.parser import parse_stream

from reconciler.core.errors import Fault


class Variable(NamedTuple):
    """What a variable says, and its line if it is in the env file."""

    value: str
    path: str = ""
    line: int = 0

    def fault(self, message: str) -> Fault:
        """Return a fault at the place of this variable."""
        return Fault(self.path, self.line, 1 if self.line else 0, message)


def read_env_file(path: Path) -> tuple[dict[str, Variable], list[Fault]]:
    """Return the variables of an env file, and what cannot be read in it."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        return {}, [Fault(str(path), 0, 0, f"cannot be read: {error.strerror}")]
    except UnicodeDecodeError:
        return {}, [Fault(str(path), 0, 0, "is not UTF-8 text")]
    texts, faults = {}, []
    for binding in parse_stream(StringIO(text)):
        original = binding.original.string
        blank = original[: len(original) - len(original.lstrip())]
        here = Variable(binding.value or "", str(path), binding.original.line + blank.count("\n"))
        if binding.error or (binding.key is not None and binding.value is None):
            faults.append(
                here.fault("not a line of the form NAME=value")
            )  # not shown: it may be a stray secret
        elif binding.key is not None:
            texts[binding.key] = here
    return texts, faults
