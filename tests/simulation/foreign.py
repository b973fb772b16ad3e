"""Files of other formats where a list of devices should be: what tools and accidents leave.

Owns: how each looks. Must not: know whether the program takes it.
"""

from __future__ import annotations

FOREIGN = (
    "csv",
    "semicolons",
    "quoted",
    "numbers",
    "pointer",
    "conflict",
    "utf-16",
    "no bytes",
    "white space",
)


def foreign(how: str, content: bytes) -> bytes:
    """Return what becomes of a file with this content."""
    lines = [line for line in content.decode(errors="replace").splitlines() if line.strip()] or [
        "0a77c3f2"
    ]
    match how:
        case "csv":
            made = ["id,name", *(f"{line},Room" for line in lines)]
        case "semicolons":
            made = [f"{line};oven;" for line in lines]
        case "quoted":
            made = [f'"{line}"' for line in lines]
        case "numbers":
            made = [f"{1 + number % 9}.23457E+1{number % 10}" for number, _ in enumerate(lines)]
        case "pointer":
            made = [
                "version https://git-lfs.github.com/spec/v1",
                f"oid sha256:{'0a' * 32}",
                f"size {len(content)}",
            ]
        case "conflict":
            half = len(lines) // 2
            made = ["<<<<<<< HEAD", *lines[:half], "=======", *lines[half:], ">>>>>>> wing-b"]
        case "utf-16":
            return content.decode(errors="replace").encode("utf-16")
        case "no bytes":
            return b""
        case _:
            made = ["", "  ", ""]
    return "".join(f"{line}\n" for line in made).encode()
