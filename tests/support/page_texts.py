"""A page as lines: what a person reads on it, where it leads, what its forms send, and what a script finds on it.

Owns: which attributes mean something to a person. A tag that only gives shape does not show, so a page may be built
otherwise and still be the same lines.
"""

from __future__ import annotations

from html.parser import HTMLParser

LINES = frozenset(
    {
        "article",
        "br",
        "button",
        "dd",
        "details",
        "div",
        "dl",
        "dt",
        "footer",
        "form",
        "h1",
        "h2",
        "h3",
        "header",
        "input",
        "label",
        "li",
        "main",
        "nav",
        "ol",
        "option",
        "p",
        "pre",
        "section",
        "select",
        "summary",
        "svg",
        "table",
        "td",
        "th",
        "title",
        "tr",
        "ul",
    }
)
"""Elements that begin and end a line."""
VOID = frozenset({"br", "hr", "input", "link", "meta", "rect"})
MEANS = {
    "button": ("data-copy", "aria-label", "hidden"),
    "code": ("id", "title"),
    "form": ("action", "method"),
    "html": ("class",),
    "input": ("name", "value", "placeholder", "maxlength"),
    "meta": ("http-equiv", "content"),
    "option": ("value", "selected"),
    "pre": ("id",),
    "rect": ("class", "width"),
    "script": ("src",),
    "select": ("name",),
    "svg": ("aria-label",),
    "time": ("datetime",),
}
"""What of an element is shown beside its words. Of every element: ``COMMON``, and a class of ``TONES``."""
COMMON = ("role", "aria-current")
SHAPE = frozenset(
    {
        "table",
        "rowgroup",
        "row",
        "rowheader",
        "columnheader",
        "cell",
        "list",
        "listitem",
        "region",
        "search",
        "img",
    }
)
"""Roles that only repeat what an element is."""
TONES = frozenset({"badge", "look", "sign", "some", "wait", "none"})


class PageText(HTMLParser):
    """One page. ``lines`` is all of it."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.lines: list[str] = []
        self._line = ""
        self._leads: list[str] = []
        self._is_icon = False
        self.feed(page)
        self.close()
        self._end_line()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Begin a line where an element does, with what it means beside its words."""
        given = {name: "" if value is None else value for name, value in attrs}
        if tag in LINES:
            self._end_line()
        if tag == "link":
            picture = given["href"].startswith("data:")
            self.lines.append(f"({given['rel']}: {'a picture' if picture else given['href']})")
            return
        self._line += _meaning(tag, given)
        if tag == "a":
            self._leads.append(given["href"])
            self._line += "["
        if tag in LINES and tag in VOID:
            self._end_line()

    def handle_endtag(self, tag: str) -> None:
        """End a line where an element does."""
        if tag == "a":
            self._line = f"{self._line.rstrip()}]({self._leads.pop()})"
        if tag in LINES:
            self._end_line()

    def handle_data(self, data: str) -> None:
        """Take words."""
        self._line += data

    def _end_line(self) -> None:
        words = " ".join(self._line.split())
        if words:
            self.lines.append(words)
        self._line = ""


def _meaning(tag: str, given: dict[str, str]) -> str:
    """Return what of an element is shown."""
    names = [name for name in MEANS.get(tag, ()) if name in given]
    names += [name for name in COMMON if name in given and given[name] not in SHAPE]
    shown = [f"{name}={given[name]}" if given[name] else name for name in names]
    classes = given.get("class", "").split()
    if tag not in {"html", "rect"} and TONES.intersection(classes):
        shown.append(".".join(classes))
    return f"{{{' '.join([tag, *shown])}}} " if shown else ""


def page_text(page: str) -> str:
    """Return the lines of a page."""
    return "\n".join(PageText(page).lines) + "\n"
