"""Placeholders in the partner's texts and addresses."""

from __future__ import annotations

from reconciler.events.placeholders import fill, fill_address

VALUES = {
    "device_name": "Room 1203 / fridge?",
    "account": "seoul",
    "device_type": "refrigerator",
    "diagnosed_at": "2026-11-30T01:02:03Z",
    "content_url": "https://lg.example.com/a?b=c",
}


def test_every_placeholder_is_filled_in() -> None:
    """Braces that are doubled are braces."""
    text = "{{{account}}} {device_name}, {device_type}: {diagnosed_at} {{account}} {content_url}"
    assert fill(text, VALUES) == (
        "{seoul} Room 1203 / fridge?, refrigerator: 2026-11-30T01:02:03Z {account} https://lg.example.com/a?b=c"
    )


def test_in_an_address_a_name_is_one_part() -> None:
    """The name of a device cannot lead to another path, query or host."""
    assert fill_address("https://help.example.com/{device_name}?a={account}", VALUES) == (
        "https://help.example.com/Room%201203%20%2F%20fridge%3F?a=seoul"
    )


def test_an_address_may_begin_with_that_of_lg() -> None:
    """It stays as LG sent it; one that is missing or is no web address makes no address."""
    assert (
        fill_address("{content_url}&n={account}", VALUES) == "https://lg.example.com/a?b=c&n=seoul"
    )
    assert fill_address("{content_url}&n={device_name}#{content_url}", VALUES) == (
        "https://lg.example.com/a?b=c&n=Room%201203%20%2F%20fridge%3F"
        "#https%3A%2F%2Flg.example.com%2Fa%3Fb%3Dc"
    )
    assert fill_address("{content_url}", {}) == ""
    assert fill_address("{content_url}", {"content_url": "javascript:alert(1)"}) == ""
    assert fill_address("https://x.example.com/?to={content_url}", VALUES) == (
        "https://x.example.com/?to=https%3A%2F%2Flg.example.com%2Fa%3Fb%3Dc"
    )
