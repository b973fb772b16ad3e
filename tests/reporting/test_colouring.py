"""Which words of a text have which colour."""

from __future__ import annotations

from reconciler.reporting.formats.colouring import status_coloured
from reconciler.reporting.formats.styles import GREEN, PLAIN, RED

STATUS = """1 account is stopped.
revision: 1f2a91c71111 from file

account  condition  wanted  in sync  missing  held  last list
east     in sync    23      23       0        0     just now
west     stopped    23      23       0        0     just now
west: stopped: the token was refused
"""


def test_the_conditions_of_accounts_have_colours_and_the_names_of_columns_have_not() -> None:
    """What is well is green, what a person has to look at is red, and a heading of the same words is neither."""
    lines = status_coloured(STATUS).splitlines()
    assert lines[3].replace("\x1b[1m", "").replace(PLAIN, "") == STATUS.splitlines()[3]
    assert f"{GREEN}in sync{PLAIN} " in lines[4]
    assert f"{RED}stopped{PLAIN} " in lines[5]
    assert RED not in lines[6]
