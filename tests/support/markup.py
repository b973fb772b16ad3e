"""What a page is made of, read as a browser would: its elements, its text, and where it leads."""

from __future__ import annotations

from html.parser import HTMLParser

LEADING = {"href", "src", "action", "formaction", "content", "xlink:href"}


class Markup(HTMLParser):
    """One page. ``links`` are the addresses that it leads to or loads, without the picture of its tab."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements = set[str]()
        self.attributes = set[str]()
        self.links = set[str]()
        self.ids = set[str]()
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element and where it leads."""
        given = {name: value or "" for name, value in attrs}
        self.elements.add(tag)
        self.attributes |= set(given)
        if "id" in given:
            self.ids.add(given["id"])
        if tag == "meta" or given.get("rel") == "icon":
            return
        self.links |= {value for name, value in given.items() if name in LEADING}

    def handle_data(self, data: str) -> None:
        """Note text."""
        self.text += data
