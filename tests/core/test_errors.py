"""What errors say, and what they keep to themselves."""

from __future__ import annotations

import pytest

from reconciler.core.errors import (
    ConfigurationRefused,
    CredentialsRefused,
    Fault,
    Invalid,
    NotYetAccepted,
    PlatformError,
    Surprise,
    quoted,
    stops_account,
    suggestion,
)


def test_foreign_words_are_cut_to_one_line() -> None:
    """Words of the longest length stay whole, longer ones end in an ellipsis, and nothing steers a terminal."""
    assert quoted("a\n b\x07c") == "a b c"
    whole = "x" * 256
    assert quoted(whole) == whole
    assert quoted(whole + "x") == "x" * (255) + "…"
    assert quoted("x" + " " * (511)) == "x"
    assert quoted("x" + " " * (512)) == "x…"
    assert quoted(" " * 511 + "x") == "x"
    assert quoted("x" + " " * 600 + "y") == "x…"


def test_a_near_word_is_suggested() -> None:
    """The known word nearest to a mistyped one is named, and none where none is near."""
    assert suggestion("devces", ["account", "devices", "device"]) == "; did you mean 'devices'?"
    assert suggestion("devces", ["zone"]) == ""


def test_a_number_means_the_same_with_zeros_before_it() -> None:
    """The word with the same number is named before one that is as similar by its characters."""
    known = [f"daegu-{number:02}" for number in range(300)]
    assert suggestion("daegu-7", known) == "; did you mean 'daegu-07'?"
    assert suggestion("daegu-007", known) == "; did you mean 'daegu-07'?"
    assert suggestion("room-10", ["room-1", "room-010"]) == "; did you mean 'room-010'?"


def test_long_words_are_not_compared() -> None:
    """Words and known words up to the longest length are compared, and so are only the first of the known ones."""
    longest = "a" * 256
    assert suggestion(longest, [longest]) == f"; did you mean {longest!r}?"
    assert suggestion(longest + "a", [longest]) == ""
    assert suggestion(longest, [longest + "a"]) == ""
    others = [f"{number:04}" for number in range(1999)]
    assert suggestion("devces", [*others, "devices"]) == "; did you mean 'devices'?"
    assert suggestion("devces", [*others, "zone", "devices"]) == ""


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Fault("a.toml", 3, 7, "no"), "a.toml:3:7: no"),
        (Fault("a.toml", 0, 0, "no"), "a.toml: no"),
        (Fault("", 0, 0, "no"), "no"),
    ],
)
def test_a_fault_names_its_place(fault: Fault, said: str) -> None:
    """A place has a line and a column, a whole file has neither, and a fault of no file is its words."""
    assert str(fault) == said


def test_all_faults_are_told_in_their_order() -> None:
    """An error of a person's file carries every fault, sorted by its place."""
    faults = [Fault("b", 1, 1, "x"), Fault("a", 2, 1, "y"), Fault("a", 1, 9, "z")]
    error = Invalid(faults)
    assert error.faults == (faults[2], faults[1], faults[0])
    assert str(error) == "a:1:9: z\na:2:1: y\nb:1:1: x"


def test_an_error_of_lgs_keeps_what_support_asks_for() -> None:
    """Status, code, words and both message ids are kept, each as itself."""
    error = PlatformError(
        "no", status=401, code="1302", words="a\nb", message_id="ours", lg_message_id="theirs"
    )
    said = (str(error), error.status, error.code, error.words, error.message_id)
    assert said == ("no", 401, "1302", "a b", "ours")
    assert error.lg_message_id == "theirs"


@pytest.mark.parametrize(
    ("error", "stops"),
    [
        (None, False),
        (Surprise("?"), False),
        (NotYetAccepted("soon"), False),
        (CredentialsRefused("no"), True),
        (ConfigurationRefused("no"), True),
    ],
)
def test_what_stops_an_account(error: PlatformError | None, stops: bool) -> None:  # noqa: FBT001 - the expected answer
    """Refused credentials and settings stop it; a token that may not be valid yet does not."""
    assert stops_account(error) is stops


def test_lg_itself_refuses_unless_it_is_said_otherwise() -> None:
    """Who refused a credential is LG, as long as nothing says that it was a stranger."""
    assert not CredentialsRefused("no").stranger
