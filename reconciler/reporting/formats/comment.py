"""A comment in Markdown that is never too long: a forge refuses a longer one as a whole.

Owns: how much is shown, what is left out first, and that what is left out is counted. Must not: know what is shown.

A comment is made of sections, as of accounts; a section of its title and parts; a part of rows under a head, as of a
table or a block of code. Where all of it is too long, every section keeps its title as long as there is room for that,
and the parts share what is left row by row, so that a large account does not hide a small one. Cut is between rows
only: no row of a table and no block of code is ever broken.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from reconciler.core.text import counted, markdown, markdown_code, plural

LONGEST = 32_000
"""Characters. GitHub refuses more than 65,536, and ``validate`` and ``plan`` often share a comment."""
LEAST_LONGEST, MOST_LONGEST = 2_000, 1_000_000
"""Characters. A caller may ask for another limit within these: a job's summary has more room than a comment."""
LONGEST_TITLE = 4_000
NOTE = 120
"""Room for the line that counts what a part lacks."""


@dataclass(frozen=True, slots=True)
class Part:
    """Rows under a head. ``labels`` say of what kind each row is; where not all fit, kinds in ``first`` go first.

    Parts of a lower ``rank`` get room before others. Of a part that is ``whole``, all rows are shown or none.
    """

    rows: Sequence[str]
    what: str
    before: Sequence[str] = ()
    after: Sequence[str] = ()
    labels: Sequence[str] = ()
    first: Sequence[str] = ()
    rank: int = 0
    whole: bool = False

    def order(self) -> list[int]:
        """Return the rows by the order in which they get room."""
        places = {label: place for place, label in enumerate(self.first)}

        def place(index: int) -> int:
            return places.get(self.labels[index], len(places)) if self.labels else 0

        return sorted(range(len(self.rows)), key=place)


@dataclass(frozen=True, slots=True)
class Section:
    """A title and its parts. If not all titles have room, those of a lower ``rank`` are kept."""

    title: Sequence[str]
    parts: Sequence[Part] = ()
    rank: int = 0
    what: str = "account"


@dataclass(slots=True)
class _Room:
    """How much of one part is shown."""

    part: Part
    shown: set[int] = field(default_factory=set)
    left: list[int] = field(default_factory=list)

    def next_cost(self) -> int:
        """Return the characters that the next row takes, with its head where it is the first."""
        head = 0 if self.shown else _size([*self.part.before, *self.part.after, ""])
        rows = self.left if self.part.whole else self.left[:1]
        return head + _size(self.part.rows[index] for index in rows)

    def take(self) -> None:
        """Show the next row, or all where none may be missing."""
        taken = len(self.left) if self.part.whole else 1
        self.shown.update(self.left[:taken])
        del self.left[:taken]

    def lines(self) -> list[str]:
        """Return what is shown of the part, and how much is not."""
        lines = [self.part.rows[index] for index in sorted(self.shown)]
        lines = [*self.part.before, *lines, *self.part.after] if lines else []
        if not self.left:
            return lines
        kinds = (
            Counter(self.part.labels[index] for index in self.left)
            if self.part.labels
            else Counter[str]()
        )
        named = (
            f" ({', '.join(f'{count} {label}' for label, count in sorted(kinds.items()))})"
            if kinds
            else ""
        )
        number = 1 if self.part.whole else len(self.left)
        what = plural(self.part.what, number)
        note = f"Not shown here: {number}{' more' if lines else ''} {what}{named}."
        return [*lines, "", note] if lines else [note]


def comment(sections: Sequence[Section], most: int = LONGEST) -> str:
    """Return sections as Markdown of limited length; what is left out is counted."""
    whole = _joined([_all_of(one) for one in sections])
    if len(whole) <= most:
        return whole
    last = (
        "This is not all: the whole would be too long for a comment. `--output json` has all of it."
    )
    kept, gone = _kept(sections, most * 3 // 5)
    blocks = _filled(kept, most - len(last) - 2 * NOTE)
    for what, number in Counter(one.what for one in gone).items():
        blocks.append([f"Not shown here at all: {counted(number, what)}."])
    return _joined([*blocks, [last]])


def _all_of(section: Section) -> list[str]:
    lines = list(section.title)
    for part in section.parts:
        if part.rows:
            lines += ["", *part.before, *part.rows, *part.after]
    return lines


def _kept(sections: Sequence[Section], most: int) -> tuple[list[Section], list[Section]]:
    """Return the sections whose titles there is room for, in their order, and the others."""
    keep: set[int] = set()
    for index in sorted(range(len(sections)), key=lambda one: sections[one].rank):
        fixed = _size(_short(sections[index].title)) + NOTE * len(sections[index].parts)
        if fixed > most:
            break
        most -= fixed
        keep.add(index)
    kept = [one for index, one in enumerate(sections) if index in keep]
    return kept, [one for index, one in enumerate(sections) if index not in keep]


def _filled(sections: Sequence[Section], most: int) -> list[list[str]]:
    """Return the lines of each section, with as many rows as there is room for."""
    rooms = [
        [_Room(part, left=part.order()) for part in one.parts if part.rows] for one in sections
    ]
    titles = [_short(one.title) for one in sections]
    room = most - sum(map(_size, titles)) - NOTE * sum(map(len, rooms))
    every = [one for each in rooms for one in each]
    for rank in sorted({one.part.rank for one in every}):
        room = _share([one for one in every if one.part.rank == rank], room)
    return [_under(title, each) for title, each in zip(titles, rooms, strict=True)]


def _share(open_: Sequence[_Room], room: int) -> int:
    """Give each part a row in turn until there is room for no more, and return the room that is left."""
    while open_:
        still = []
        for one in open_:
            cost = one.next_cost()
            if cost <= room:
                room -= cost
                one.take()
                still += [one] if one.left else []
        open_ = still
    return room


def _under(title: Sequence[str], rooms: Sequence[_Room]) -> list[str]:
    lines = list(title)
    for one in rooms:
        lines += ["", *one.lines()]
    return lines


def _short(title: Sequence[str]) -> list[str]:
    """Return a title of which no line is endless."""
    return [
        line if len(line) <= LONGEST_TITLE else "(this title is too long to be shown)"
        for line in title
    ]


def _size(lines: Iterable[str]) -> int:
    """Return the characters of lines, with their ends."""
    return sum(len(line) + 1 for line in lines)


def _joined(blocks: Sequence[Sequence[str]]) -> str:
    return "\n\n".join("\n".join(block) for block in blocks) + "\n"


def table_part(
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    what: str,
    *,
    code: Sequence[int] = (),
    labels: Sequence[str] = (),
    first: Sequence[str] = (),
) -> Part:
    """Return rows under their columns for a comment; those at the places in ``code`` are ids."""
    lines = []
    for row in rows:
        cells = [
            markdown_code(cell) if index in code else markdown(cell)
            for index, cell in enumerate(row)
        ]
        lines.append(f"| {' | '.join(cells)} |")
    head = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    return Part(lines, what, head, labels=labels, first=first)
