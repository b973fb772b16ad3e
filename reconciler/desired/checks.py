"""Checks of single values of the desired-state file, each with the sentence for what is wrong.

Owns: what a name, a date, a duration, a pattern or a limit may be.
Must not: know keys, or repeat a value in a sentence.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time
from fractions import Fraction

from pydantic import ValidationInfo
from pydantic_core import PydanticCustomError

from reconciler.core import duration
from reconciler.core.errors import quoted
from reconciler.core.model import DeviceType, Limit, Share
from reconciler.desired import globs
from reconciler.desired.ids import ID_WORDS, LONGEST, wrong_id

VERSION = 1
"""The schema version that this program reads and writes."""
SHARE = r"^(100(\.0{1,3})?|[0-9]{1,2}(\.[0-9]{1,3})?)%$"
CLOCK = r"^([01][0-9]|2[0-3]):[0-5][0-9]$"
NAME = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
ACCOUNT_PATTERN = r"^[a-z0-9*?-]{1,63}$"
OUT_OF_RANGE = "this date is out of range"
LONGEST_REASON = 1000
SAY_WHY = "say why these devices go"
"""What an approval block has as its reason when the program writes it."""
MOST = 1_000_000_000
FEWEST_CALLS = 2  # one lists, one changes
_LONGEST_SPAN = 99_999  # days; what duration.show writes of it, duration.parse still reads


def fault(message: str) -> PydanticCustomError:
    """Return the fault of a value, for pydantic."""
    return PydanticCustomError("fault", "{message}", {"message": message})


def unknown_word(message: str, word: str, known: Sequence[str]) -> PydanticCustomError:
    """Return the fault of an unknown word; the suggestion is added when the fault is shown."""
    return PydanticCustomError(
        "word", "{message}", {"message": message, "word": word, "known": tuple(known)}
    )


# fmt: off
_LG_TYPES = (
    "air_conditioner", "air_purifier", "air_purifier_fan", "ceiling_fan", "cooktop", "dehumidifier",
    "dish_washer", "dryer", "home_brew", "hood", "humidifier", "kimchi_refrigerator", "microwave_oven", "oven",
    "plant_cultivator", "refrigerator", "robot_cleaner", "stick_cleaner", "styler", "system_boiler", "ventilator",
    "washcombo_main", "washcombo_mini", "washer", "washtower", "washtower_dryer", "washtower_washer",
    "water_heater", "water_purifier", "wine_cellar",
)
# fmt: on
TYPES: dict[str, str] = {}
for _type in sorted(_LG_TYPES, key=lambda name: name not in [*DeviceType]):
    TYPES[_type] = _type
    TYPES[f"DEVICE_{_type.upper()}"] = _type
"""Both ways to write a device type: ours, and LG's own."""
_SPOKEN = {
    "fridge": "refrigerator",
    "freezer": "refrigerator",
    "fridge freezer": "refrigerator",
    "washing machine": "washer",
    "laundry": "washer",
    "dish washing machine": "dish_washer",
    "stove": "oven",
    "range": "oven",
    "microwave": "microwave_oven",
    "vacuum cleaner": "robot_cleaner",
}
"""What people call appliances whose type has another name, which is not similar."""


def device_id(value: object, info: ValidationInfo) -> str:
    """Return an id that somebody may want, or raise."""
    if not isinstance(value, str):
        raise fault("a device id is text in quotes")
    why = wrong_id(value, kept=info.context is not None)
    if why is not None:
        raise fault(why if why is ID_WORDS else f"this id {why}")
    return value


def name(value: object) -> str:
    """Return the name of a device, or raise."""
    if not isinstance(value, str):
        raise fault("must be text in quotes")
    if not value.isprintable() or len(value) > LONGEST:
        raise fault(f"a name is one line of at most {LONGEST} printable characters")
    return value.strip()


def reason(value: object, info: ValidationInfo) -> str:
    """Return why devices may go, on one line, or raise. An older version took the words of the program for a reason."""
    if not isinstance(value, str):
        raise fault("must be text in quotes")
    line = " ".join(value.split())
    if not line:
        raise fault("state the reason, for a reader next year")
    if info.context is None and line.rstrip(".!").casefold() == SAY_WHY:
        raise fault(f"{SAY_WHY!r} is not a reason: replace it by yours, for a reader next year")
    if not line.isprintable() or len(line) > LONGEST_REASON:
        raise fault(f"a reason is at most {LONGEST_REASON} printable characters")
    return line


def device_type(value: object) -> str:
    """Return a device type, in our way to write it, or raise."""
    if not isinstance(value, str):
        raise fault("must be text in quotes")
    if value not in TYPES:
        meant = value.lower().removeprefix("device_")
        meant = _SPOKEN.get(meant.replace("_", " ").replace("-", " "), meant)
        raise unknown_word(f"the type must be {one_of([*DeviceType])}", meant, _LG_TYPES)
    return TYPES[value]


def moment(value: object) -> date:
    """Return a bare date unchanged (its zone comes later), and a date-time in UTC."""
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise fault(
                "a date-time needs its offset, like 2026-12-01T00:00:00+09:00 or 2026-12-01T00:00:00Z"
            )
        try:
            return value.astimezone(UTC)
        except OverflowError:
            raise fault(OUT_OF_RANGE) from None
    if not isinstance(value, date):
        raise fault("must be a date like 2026-12-01 or a date-time with offset, without quotes")
    return value


def window_edge(value: object) -> date | time:
    """Return a time of day, or a moment as ``moment`` does, or raise."""
    if isinstance(value, time):
        raise fault('a time of day is written in quotes, like "09:00"')
    if not isinstance(value, str):
        return moment(value)
    if value == "24:00":
        raise fault('the end of a day is written "00:00"')
    if not re.fullmatch(CLOCK, value):
        raise fault(
            'must be a time of day in quotes, like "09:00", or a date or date-time without quotes'
        )
    return time.fromisoformat(value)


def window_name(value: object) -> str:
    """Return the name of a change window, or raise."""
    if not isinstance(value, str) or not re.fullmatch(NAME, value):
        raise fault(
            "a window's name is 1 to 63 of a-z, 0-9 and -, and begins and ends with a letter or digit"
        )
    return value


def account_pattern(value: object) -> str:
    """Return a pattern of account names, or raise."""
    if not isinstance(value, str) or not re.fullmatch(ACCOUNT_PATTERN, value):
        raise fault("a pattern of account names has a-z, 0-9, - and *, like seoul-*")
    return value


def share_or_number(value: object) -> object:
    """Return a share or a whole number, or raise."""
    number = type(value) is int and 0 <= value <= MOST
    if not number and not (isinstance(value, str) and re.fullmatch(SHARE, value)):
        raise fault('must be a share like "10%", from "0%" to "100%", or a whole number like 20')
    return value


def limit(value: int | str) -> Limit:
    """Return what a validated ``max_unsubscribe`` means."""
    return value if isinstance(value, int) else Share(Fraction(value.removesuffix("%")) / 100)


def tidy(name: str) -> str:
    """Return a name from a comment or from LG, safe to show. Neither is a reason to refuse a file."""
    name = name.strip()
    return name if name.isprintable() and len(name) <= LONGEST else quoted(name)


def quota(value: object) -> object:
    """Return a number of calls, or one of two words, or raise."""
    number = type(value) is int and FEWEST_CALLS <= value <= MOST
    if not number and value not in ("auto", "unlimited"):
        message = f'must be "auto", "unlimited" or a whole number from {FEWEST_CALLS}'
        if isinstance(value, str):
            raise unknown_word(message, value, ["auto", "unlimited"])
        raise fault(message)
    return value


def span(value: object) -> object:
    """Return a duration, as it is written, or raise."""
    if not isinstance(value, str):
        raise fault('must be a duration in quotes, like "90s", "10m", "1h30m" or "7d"')
    try:
        parsed = duration.parse(value)
    except ValueError as error:
        raise fault(str(error)) from None
    if parsed.days >= _LONGEST_SPAN:
        raise fault(f"is longer than {_LONGEST_SPAN} days")
    return value


def version(value: object) -> object:
    """Return the version of the schema, or raise."""
    if type(value) is not int:
        raise fault(f"must be the whole number {VERSION}")
    return value


def pattern(value: object) -> object:
    """Return a pattern of device files, or raise."""
    if not isinstance(value, str):
        raise fault("must be text in quotes")
    if not value or not value.isprintable():
        raise fault("a pattern is printable text, like devices/*.txt")
    if value.startswith("/") or "\\" in value or ".." in value.split("/"):
        raise fault(
            "device files stay inside the folder of this file: no leading /, no .. and no \\"
        )
    if len(value) > globs.LONGEST_PATTERN or value.count("/") >= globs.DEEPEST_PATTERN:
        raise fault(
            f"a pattern has at most {globs.LONGEST_PATTERN} characters and {globs.DEEPEST_PATTERN} folders"
        )
    return value


def file_name(value: object) -> object:
    """Return the path of one file beside the document, or raise."""
    if isinstance(value, str) and globs.has_magic(value):
        raise fault("names one file, so it has no *, ? or [")
    if isinstance(value, str) and value.endswith(".toml"):
        raise fault("names a device file, like locks/all.txt, and no .toml file")
    return pattern(value)


def wildcard(value: object) -> str:
    """Return a pattern of LG's words for a device, or raise."""
    if not isinstance(value, str):
        raise fault("must be text in quotes")
    if not value.strip() or not value.isprintable() or len(value) > LONGEST:
        raise fault(f"a pattern is one line of at most {LONGEST} printable characters, like Room *")
    return value.strip()


def word(value: object) -> object:
    """Return one line of printable text, or raise."""
    if isinstance(value, str):
        fits = 0 < len(value) <= LONGEST and value.isprintable() and value == value.strip()
        if not fits:
            raise fault("must be one line of printable text")
    return value


def one_of(words: Iterable[str]) -> str:
    """Return words as a list in a sentence."""
    *most, last = words
    return f"{', '.join(most)} or {last}"
