"""Addresses as people write them: where a password ends, and what of it is never printed."""

from __future__ import annotations

import pytest

from reconciler.core.addresses import (
    Address,
    is_quoted,
    path_secrets,
    secrets_in,
    split,
    unquoted,
)

TOKEN = "ghp_0123456789abcdefABCD"


@pytest.mark.parametrize(
    ("address", "parts"),
    [
        ("https://host/r.git", Address("https", "", None, "host/r.git")),
        ("https://host:8443/r@v2.git", Address("https", "", None, "host:8443/r@v2.git")),
        ("https://user:word@host/r@v2.git", Address("https", "user", "word", "host/r@v2.git")),
        (f"https://{TOKEN}@host/r.git", Address("https", TOKEN, None, "host/r.git")),
        ("https://user:w@rd@host/r.git", Address("https", "user", "w@rd", "host/r.git")),
        ("https://user:w/rd@host/r.git", Address("https", "user", "w/rd", "host/r.git")),
        ("https://user:w#rd@host/r.git", Address("https", "user", "w#rd", "host/r.git")),
        ("https://user:w?rd@host/r.git", Address("https", "user", "w?rd", "host/r.git")),
        ("https://user:w@r/d#x@host/r.git", Address("https", "user", "w@r/d#x", "host/r.git")),
        ("https://user:@/w@host/r.git", Address("https", "user", "@/w", "host/r.git")),
        ("https://user@host/r@v2.git", Address("https", "user", None, "host/r@v2.git")),
        ("https://user:w@rd/x@host", Address("https", "user", "w", "rd/x@host")),
        ("https://us er:w@h st/x@host", Address("https", "us er", "w@h st/x", "host")),
        ("https://user:w@h/x@y", Address("https", "user", "w", "h/x@y")),
        ("https://u:p@h?q=a@b", Address("https", "u", "p@h?q=a", "b")),
        ("https://h/p#a@b", Address("https", "h/p#a", None, "b")),
        ("https://@host/x@y", Address("https", "", None, "host/x@y")),
        ("@host", Address("", "", None, "host")),
        ("https://[::1]:80/r", Address("https", "", None, "[::1]:80/r")),
        ("HTTPS://host", Address("https", "", None, "host")),
        ("git@host:r.git", Address("", "git", None, "host:r.git")),
        ("", Address("", "", None, "")),
    ],
)
def test_where_the_user_ends(address: str, parts: Address) -> None:
    """A password may hold any character; an ``@`` in a path belongs to the path."""
    assert split(address) == parts
    assert split(address).plain.count(TOKEN) == 0


def test_without_a_path_the_user_ends_at_the_last_at() -> None:
    """The address of a proxy has none, so a slash is a part of the password."""
    address = "http://user:w@rd/x@host"
    assert split(address, has_path=False) == Address("http", "user", "w@rd/x", "host")
    assert split("host:3128", has_path=False) == Address("", "", None, "host:3128")


def test_an_address_without_its_user() -> None:
    """What is left can be shown: the scheme if there is one, and all from the host on."""
    assert split("https://user:word@host/r.git").plain == "https://host/r.git"
    assert split("user:word@host:r.git").plain == "host:r.git"


@pytest.mark.parametrize(
    ("value", "bare"),
    [
        ('"a"', "a"),
        ("'a'", "a"),
        ('""', ""),
        ('"', '"'),
        ("", ""),
        ("a", "a"),
        ("aba", "aba"),
        ("\"a'", "\"a'"),
        ('"ab', '"ab'),
        ('ab"', 'ab"'),
        ('"a"b"', 'a"b'),
        ("x'a'", "x'a'"),
        ("'a'x", "'a'x"),
        ("'abc", "'abc"),
    ],
)
def test_one_pair_of_quotes_is_taken_off(value: str, bare: str) -> None:
    """Only a whole value in one kind of quotes is quoted; two characters are enough, one is not."""
    assert unquoted(value) == bare
    assert is_quoted(value) is (value != bare)


@pytest.mark.parametrize("users", [True, False])
@pytest.mark.parametrize(
    ("address", "hidden", "without_users"),
    [
        ("https://host/r.git", set(), set()),
        ("https://host/a@b", {"host/a"}, set()),
        ("https://abc@host", set(), set()),
        ("https://abcd@host", {"abcd"}, set()),
        ("https://me:abc@host", {"me:abc"}, {"me:abc"}),
        ("https://me:abcd@host", {"me:abcd", "abcd"}, {"me:abcd", "abcd"}),
        ("https://seven-7:abcd@host", {"seven-7:abcd", "abcd"}, {"seven-7:abcd", "abcd"}),
        (
            "https://eight-88:abcd@host",
            {"eight-88:abcd", "eight-88", "abcd"},
            {"eight-88:abcd", "abcd"},
        ),
        (
            "https://me:a/bcdefghi@host",
            {"me:a/bcdefghi", "a/bcdefghi", "bcdefghi"},
            {"me:a/bcdefghi", "a/bcdefghi", "bcdefghi"},
        ),
        (
            "https://me:word@host/a@b",
            {"me:word@host/a", "word@host/a", "word"},
            {"me:word@host/a", "word@host/a", "word"},
        ),
        (
            "https://me:p?a=bcdefgh@host",
            {"me:p?a=bcdefgh", "p?a=bcdefgh"},
            {"me:p?a=bcdefgh", "p?a=bcdefgh"},
        ),
        (
            "https://ab=cdefg:word@host",
            {"ab=cdefg:word", "ab=cdefg", "word"},
            {"ab=cdefg:word", "word"},
        ),
        ("https://host/r?t=1234567", set(), set()),
        ("https://host/r?t=12345678&u=x", {"12345678"}, {"12345678"}),
    ],
)
def test_exactly_this_is_hidden(
    address: str, hidden: set[str], without_users: set[str], *, users: bool
) -> None:
    """Short parts are hidden with what is around them only: alone they are parts of ordinary words."""
    assert secrets_in(address, users=users) == (hidden if users else without_users)


@pytest.mark.parametrize(
    ("address", "hidden"),
    [
        (f"https://{TOKEN}@host/r.git", {TOKEN}),
        (
            f"https://{TOKEN}:x-oauth-basic@host/r.git",
            {TOKEN, "x-oauth-basic", f"{TOKEN}:x-oauth-basic"},
        ),
        (
            "https://me:first-half/second-half@host",
            {"first-half/second-half", "first-half", "second-half"},
        ),
        ("https://me:first-half@second-half@host", {"first-half@second-half", "second-half"}),
        ("https://me:first%40half@host", {"first%40half", "first@half"}),
        ("https://host/r.git?private_token=of-the-reader", {"of-the-reader"}),
        ("https://[broken:me:password-x@y", {"password-x"}),
        ('"https://me:password-x@host"', {"password-x"}),
        ("https://me:abc@host", {"me:abc"}),
    ],
)
def test_what_is_hidden(address: str, hidden: set[str]) -> None:
    """User and password, alone, together and in pieces, encoded and not, also where the address does not parse."""
    assert hidden <= secrets_in(address)


@pytest.mark.parametrize(
    "address", ["https://host/r.git", "proxy:3128", "/srv/git/r.git", "https://me:@host", "git@h:r"]
)
def test_an_address_without_a_password_hides_nothing_that_people_need(address: str) -> None:
    """Hosts and paths stay readable."""
    assert not [
        one
        for one in secrets_in(address)
        if one in {"host", "proxy", "/srv/git/r.git", "host/r.git"}
    ]


def test_the_user_of_an_ssh_address_is_no_secret() -> None:
    """Only what follows a colon is hidden where a user name cannot be a token."""
    assert secrets_in("ssh://deploy-user@host/r.git", users=False) == set()
    assert "password-x" in secrets_in("ssh://deploy-user:password-x@host/r.git", users=False)


@pytest.mark.parametrize(
    "address",
    [
        "https://hooks.example/services/T0123456/B7654321",
        "https://hooks.example/services/T0123456/B7654321?wait=true",
        "https://hooks.example/services/T0123456/B7654321#later",
        "https://hooks.example/services/T0123456/B7654321?wait=true#later",
    ],
)
def test_a_path_that_is_a_password_is_hidden_whole_and_in_pieces(address: str) -> None:
    """Whatever follows it; short pieces are ordinary words."""
    found = path_secrets(address)
    assert {"services/T0123456/B7654321", "T0123456", "B7654321", "services"} <= found
    assert not any("later" in one or "wait" in one for one in found)
    assert path_secrets("https://hooks.example/a/b") == {"https://hooks.example/a/b"}


def test_a_token_in_a_query_is_hidden_where_a_fragment_follows() -> None:
    """Each value on its own, as it would be printed."""
    found = secrets_in("https://hooks.example/in?key=0123456789&to=abcdefghij#part")
    assert {"0123456789", "abcdefghij"} <= found
