"""Placeholders in the partner's texts: ``{device_name}`` and the like.

Owns: which there are, what is wrong with a text that has others, and putting values in their place.
Must not: be a template language. What is put in is never looked at again, so a device's name that looks like a
placeholder stays a name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from urllib.parse import quote

NAMES = ("device_name", "account", "device_type", "diagnosed_at", "content_url")
"""Every placeholder."""
_PART = re.compile(r"\{\{|\}\}|\{(?P<name>[^{}\r\n]{0,64})\}|\{")
_MUSTACHE = re.compile(r"\{\{\s*(?P<name>[a-z_]+)\s*\}\}")
_CONTENT = "{content_url}"


def wrong(text: str) -> Iterator[tuple[int, str | None]]:
    """Find each brace that begins no placeholder: where it is, and the name in it, or None where it is not closed."""
    for part in _PART.finditer(text):
        if part.group() in {"{{", "}}"}:
            continue
        name = part["name"]
        if name not in NAMES:
            yield part.start(), name


def doubled(text: str) -> Iterator[tuple[int, str]]:
    """Find each placeholder in doubled braces, as template languages have them: here that is the text in braces."""
    for part in _MUSTACHE.finditer(text):
        if part["name"] in NAMES:
            yield part.start(), part["name"]


def fill(text: str, values: Mapping[str, str]) -> str:
    """Return a text with its placeholders filled in. ``{{`` is a brace, ``}}`` a closing one; unknown ones stay."""

    def put(part: re.Match[str]) -> str:
        if part.group() == "{{":
            return "{"
        if part.group() == "}}":
            return "}"
        return values.get(part["name"] or "", part.group())

    return _PART.sub(put, text)


def fill_address(text: str, values: Mapping[str, str]) -> str:
    """Return an address with its placeholders filled in; empty where it begins with a ``content_url`` that is none.

    LG's own address stays what it is where an address begins with it. Everything else is one part of an address, so
    that the name of a device cannot lead elsewhere.
    """
    content = values.get("content_url", "")
    safe = {name: quote(value, safe="") for name, value in values.items()}
    if not text.startswith(_CONTENT):
        return fill(text, safe)
    if not content.startswith(("https://", "http://")):
        return ""
    return content + fill(text.removeprefix(_CONTENT), safe)
