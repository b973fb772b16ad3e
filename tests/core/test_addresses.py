"""Addresses as people write them: where a password ends, and what of it is never printed."""

from __future__ import annotations

import pytest

from reconciler.core.addresses import Address, secrets_in, split

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
        ("git@host:r.git", Address("", "git", None, "host:r.git")),
        ("", Address("", "", None, "")),
    ],
)
def test_where_the_user_ends(address: str, parts: Address) -> None:
    """A password may hold any character; an ``@`` in a path belongs to the path."""
    assert split(address) == parts
    assert split(address).plain.count(TOKEN) == 0


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
