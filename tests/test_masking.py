"""Secrets in whatever spelling they may stand in a text."""

from __future__ import annotations

import json
from urllib.parse import quote, urlencode

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.masking import MASK, Masking

SECRET = "pa\"ss\\wo'rd/+&% ü"


def masked(text: str, *secrets: str) -> str:
    """Mask a text with some secrets known."""
    masking = Masking()
    masking.know(secrets or (SECRET,))
    return masking.text(text)


@pytest.mark.parametrize(
    "spelt",
    [
        SECRET,
        json.dumps(SECRET),
        json.dumps(SECRET, ensure_ascii=False),
        msgspec.json.encode(SECRET).decode(),
        repr(SECRET),
        repr({"token": SECRET}),
        json.dumps(json.dumps(SECRET, ensure_ascii=False), ensure_ascii=False),
        msgspec.json.encode({"error": repr(ValueError(SECRET))}).decode(),
        quote(SECRET),
        quote(SECRET, safe=""),
        urlencode({"refresh_token": SECRET}),
    ],
)
def test_a_secret_is_masked_however_it_is_spelt(spelt: str) -> None:
    """Quoted by JSON or Python, once or twice, or encoded for an address or a form: what is left is the mask."""
    shown = masked(f"before {spelt} after")
    assert MASK in shown
    assert "rd" not in shown
    assert shown.startswith("before ")
    assert shown.endswith(" after")


@given(secret=st.text(min_size=8).filter(lambda text: "*" not in text), before=st.text(), after=st.text())
def test_no_text_keeps_a_secret(secret: str, before: str, after: str) -> None:
    """Whatever stands around it, a known secret is not in the text any more."""
    assert secret not in masked(f"{before}{secret}{after}", secret)


def test_the_longer_of_two_secrets_goes_first() -> None:
    """A secret that begins like another leaves no tail behind."""
    assert masked("token-of-anna-and-ben", "token-of-anna", "token-of-anna-and-ben") == MASK


def test_secrets_of_before_stay_masked() -> None:
    """A rotated secret may still be quoted by a late line."""
    masking = Masking()
    masking.know({"the-old-one"})
    masking.know({"the-new-one"})
    assert masking.text("the-old-one the-new-one") == f"{MASK} {MASK}"


def test_an_empty_secret_masks_nothing() -> None:
    """A setting that is empty is no secret."""
    assert masked("some words", "") == "some words"
