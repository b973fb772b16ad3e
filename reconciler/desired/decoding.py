"""The text of a file that a spreadsheet wrote, in whichever encoding.

Owns: which encoding a file has, as far as that is certain. Must not: guess: a wrong guess makes wrong names, and nobody
would notice. What is not certain is a fault with its line, and a person names the encoding.
"""

from __future__ import annotations

import codecs
import re

MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
"""What a file begins with that names its own encoding."""
KOREAN = "cp949"
_SEVERAL_BYTES = re.compile(r"[\u0800-\uffff]")
_KOREAN_WORD = re.compile(r"[\uac00-\ud7a3]{2}")
_FOR_ONE_BYTE = "name it with --encoding: cp949 if it is Korean, cp1252 if it is of western Europe"


class NotDecodedError(ValueError):
    """The text cannot be read for sure. ``line`` is where that shows, 0 if the whole file is meant."""

    def __init__(self, message: str, line: int = 0) -> None:
        super().__init__(message)
        self.line = line


def decoded(content: bytes, encoding: str | None = None) -> tuple[str, str]:
    """Return the text of a file without its mark, and the encoding. Raises ``NotDecodedError``.

    ``encoding`` is what a person names. A file that says or shows another one is a fault, too.
    """
    _refuse_workbooks(content)
    named = None if encoding is None else _known(encoding)
    for mark, its in MARKS:
        if content.startswith(mark):
            if named is not None and _family(named) != _family(its):
                raise NotDecodedError(
                    f"begins with the mark of {its}, and is not {encoding}: leave --encoding out"
                )
            return _strictly(content[len(mark) :], its), its
    if named is None:
        return _by_itself(content), "utf-8"
    if named != "utf-8":
        _refuse_others(content, named)
    return _strictly(content, named), named


def _by_itself(content: bytes) -> str:
    """Return the text of a file that names no encoding: it is UTF-8, or a person has to say what it is."""
    if b"\0" in content:
        raise NotDecodedError(
            "has null bytes: it is UTF-16 without its mark, or damaged; save it as UTF-8, or name "
            "the encoding, like --encoding utf-16-le",
            _line_of(content, content.index(b"\0")),
        )
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        line = _line_of(content, error.start)
        raise NotDecodedError(f"is not UTF-8: {_FOR_ONE_BYTE}", line) from None
    return _undamaged(text, "utf-8")


def _strictly(content: bytes, encoding: str) -> str:
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content[: error.start].decode(encoding, "replace").count("\n") + 1
        raise NotDecodedError(f"is not {encoding}", line) from None
    return _undamaged(text, encoding)


def _undamaged(text: str, encoding: str) -> str:
    """Return a text, or raise where it has what another program leaves of characters that it could not read."""
    for what, found in (("a null character", "\0"), ("a character that was lost", "\ufffd")):
        if found in text:
            line = text[: text.index(found)].count("\n") + 1
            raise NotDecodedError(f"has {what} here, so it is damaged or not {encoding}", line)
    return text


def _refuse_workbooks(content: bytes) -> None:
    if content.startswith((b"PK\3\4", b"\xd0\xcf\x11\xe0")):
        raise NotDecodedError("is a workbook, not CSV: save the sheet as CSV UTF-8")


def _refuse_others(content: bytes, named: str) -> None:
    """Raise if a file is surely not what a person named, although its bytes can be read as that."""
    if content.isascii():
        return
    try:
        text = content.decode()
    except UnicodeDecodeError:
        text = ""
    if text and (named != KOREAN or _SEVERAL_BYTES.search(text)):
        line = next(number for number, one in enumerate(text.split("\n"), 1) if not one.isascii())
        raise NotDecodedError(f"is UTF-8, not {named}: leave --encoding out", line)
    if named != KOREAN and len(codecs.encode("\u00e9", named, "replace")) == 1:
        _refuse_korean(content, named)


def _refuse_korean(content: bytes, named: str) -> None:
    """Raise if a file that is to have one byte for each character has Korean words, which have two."""
    try:
        text = content.decode(KOREAN)
    except UnicodeDecodeError:
        return
    for number, line in enumerate(text.split("\n"), 1):
        if _KOREAN_WORD.search(line):
            raise NotDecodedError(f"looks Korean, not {named}: try --encoding cp949", number)


def _known(encoding: str) -> str:
    """Return the name that Python has for an encoding of text."""
    try:
        info = codecs.lookup(encoding)
        "a".encode(info.name)
    except (LookupError, ValueError):
        raise NotDecodedError(
            f"{encoding[:40]!r} is no encoding of text; known are utf-8, utf-16, cp949, cp1252 and others"
        ) from None
    aliases = {
        "euc_kr": KOREAN,
        "utf-8-sig": "utf-8",
    }  # cp949 has all of EUC-KR, and what Excel adds
    return aliases.get(info.name, info.name)


def _family(encoding: str) -> str:
    return "utf-16" if encoding.startswith("utf-16") else encoding


def _line_of(content: bytes, at: int) -> int:
    return content.count(b"\n", 0, at) + 1
