"""Secrets in whatever spelling they may stand in a text."""

from __future__ import annotations

import json
from itertools import count
from typing import Any
from urllib.parse import quote, urlencode

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from reconciler.telemetry.masking import FEW, KEPT_SECONDS, MASK, RENEWALS, Masking

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


@given(
    secret=st.text(min_size=8).filter(lambda text: "*" not in text),
    before=st.text(),
    after=st.text(),
)
def test_no_text_keeps_a_secret(secret: str, before: str, after: str) -> None:
    """Whatever stands around it, a known secret is not in the text any more."""
    assert secret not in masked(f"{before}{secret}{after}", secret)


def bared(text: str, secrets: list[str]) -> str:
    """Mask by definition: every place of every secret, and one mask where places overlap."""
    places = [
        (at, at + len(secret))
        for secret in secrets
        for at in range(len(text))
        if text.startswith(secret, at) and secret
    ]
    parts, seen = [], 0
    for begin, end in sorted(places):
        parts += [text[seen:begin], MASK] if begin >= seen else []
        seen = max(seen, end)
    return "".join([*parts, text[seen:]])


# Letters and digits have one spelling; so few of them that secrets overlap, also themselves.
ALIKE = st.text("ab1", min_size=1, max_size=12)


@pytest.mark.parametrize("others", [0, FEW])
@given(secrets=st.lists(ALIKE, min_size=1, max_size=6), text=st.text("ab1 ", max_size=80))
def test_masking_is_as_defined_however_many_secrets_there_are(
    others: int, secrets: list[str], text: str
) -> None:
    """Not a character of any place of a secret is left, and nothing else is touched, with few secrets and with many."""
    masking = Masking()
    masking.know(f"another-secret-{number}" for number in range(others))
    for secret in secrets:
        masking.know([secret])
        assert secret not in masking.text(f"{text}{secret}")
    assert masking.text(text) == bared(text, secrets)


def test_secrets_that_overlap_are_masked_as_one() -> None:
    """Of two secrets that share characters in a text, neither the rest of the one nor of the other is left."""
    assert masked("<token-of-anna-and-ben>", "token-of-anna", "anna-and-ben") == f"<{MASK}>"


@given(
    secret=st.text(min_size=8).filter(lambda text: "*" not in text),
    before=st.text(),
    after=st.text(),
)
def test_no_text_keeps_one_of_many_secrets(secret: str, before: str, after: str) -> None:
    """A secret of a fleet with thousands of them is masked like the only one, whatever its characters."""
    assert secret not in masked(
        f"{before}{secret}{after}", secret, *(f"another-secret-{number}" for number in range(FEW))
    )


def test_the_longer_of_two_secrets_goes_first() -> None:
    """A secret that begins like another leaves no tail behind."""
    assert masked("token-of-anna-and-ben", "token-of-anna", "token-of-anna-and-ben") == MASK


def test_secrets_of_before_stay_masked() -> None:
    """A rotated secret may still be quoted by a late line."""
    masking = Masking()
    masking.know({"the-old-one"})
    masking.know({"the-new-one"})
    assert masking.text("the-old-one the-new-one") == f"{MASK} {MASK}"


@pytest.mark.parametrize("others", [0, FEW])
def test_tokens_of_long_ago_are_forgotten(others: int) -> None:
    """A token that was renewed several times since is no longer sought, so a year of hourly tokens costs nothing."""
    masking = Masking()
    masking.know(f"another-secret-{number}" for number in range(others))
    masking.renew("busan", ["token-of-busan"])
    for hour in range(50):
        masking.renew("seoul", [f"token-{hour}", "the-lasting-part"])
    assert masking.text("token-0 token-45 token-46") == "token-0 token-45 token-46"
    assert masking.text("token-47 token-48 token-49 token-of-busan the-lasting-part") == " ".join(
        [MASK] * 5
    )
    assert len(masking._spellings) == others + 5


@pytest.mark.parametrize("others", [0, FEW])
def test_a_replaced_secret_stays_masked_while_a_line_may_have_it(others: int) -> None:
    """Files that something rewrites every minute for a year leave no more behind than those of the last hour."""
    masking = Masking()
    masking.know(f"another-secret-{number}" for number in range(others))
    for minute in range(3 * 60):
        masking.hold(
            "files", frozenset({f"token-of-minute-{minute:03}", "the-lasting-key"}), minute * 60.0
        )
    last = 3 * 60 - 1
    for minute in range(last - 59, last + 1):
        assert masking.text(f"token-of-minute-{minute:03} the-lasting-key") == f"{MASK} {MASK}"
    assert masking.text("token-of-minute-000") == "token-of-minute-000"
    assert len(masking._spellings) <= others + 63


def test_a_secret_that_comes_back_or_is_known_otherwise_is_not_forgotten() -> None:
    """A file that was put back, two owners with one secret, and what is also a setting: all stay masked."""
    masking = Masking()
    masking.know(["a-setting"])
    masking.hold("files", frozenset({"put-back", "of-two", "a-setting"}), 0.0)
    masking.hold("other", frozenset({"of-two"}), 0.0)
    masking.hold("files", frozenset(), 10.0)
    masking.hold("files", frozenset({"put-back"}), 20.0)
    masking.hold("files", frozenset({"put-back"}), 20.0 + 2 * KEPT_SECONDS)
    assert masking.text("put-back of-two a-setting") == f"{MASK} {MASK} {MASK}"
    masking.hold("other", frozenset(), 20.0 + 2 * KEPT_SECONDS)
    masking.hold("other", frozenset(), 30.0 + 4 * KEPT_SECONDS)
    assert masking.text("put-back of-two a-setting") == f"{MASK} of-two {MASK}"


def test_a_renewed_token_that_is_also_known_otherwise_stays_masked() -> None:
    """What a person's store still holds is a secret, however often the account got another one."""
    masking = Masking()
    masking.know(["static-token"])
    masking.renew("seoul", ["static-token"])
    for hour in range(9):
        masking.renew("seoul", [f"token-{hour}"])
    assert masking.text("static-token") == MASK


def test_an_empty_secret_masks_nothing() -> None:
    """A setting that is empty is no secret."""
    assert masked("some words", "") == "some words"


@pytest.mark.parametrize("others", [0, FEW])
def test_secrets_may_come_and_go_while_a_line_is_masked(others: int) -> None:
    """Threads write lines while the event loop learns of new tokens: no line is lost over that, and none laid bare."""
    masking = Masking()
    masking.know([SECRET, *(f"another-{number:04}-{number}" for number in range(others))])
    alike = [f"alike-00-{number}-secret" for number in range(9)]
    for number, secret in enumerate(alike):
        masking.renew(number, [secret])

    class Line(str):
        """A line in which another thread has its turn whenever somebody looks."""

        __slots__ = ()

        def __contains__(self, sought: object) -> bool:
            masking.know([f"just read {next(fresh)}"])
            for _ in range(4):
                masking.renew(0, [f"just renewed {next(fresh)}"])
            return str.__contains__(self, str(sought))

    fresh = count()
    shown = masking.text(Line(" ".join([SECRET, *alike])))
    assert not [secret for secret in (SECRET, *alike[1:]) if secret in shown]


WORDS = [f"secret-of-room-{room}" for room in "abcdef"]
OWNERS = ["seoul", "busan"]
some = st.frozensets(st.sampled_from(WORDS), max_size=3)
whose = st.sampled_from(OWNERS)
events = st.lists(
    st.tuples(st.just("know"), whose, some)
    | st.tuples(st.just("renew"), whose, some)
    | st.tuples(st.just("hold"), whose, some)
    | st.tuples(
        st.just("wait"), st.just(""), st.sampled_from([1.0, KEPT_SECONDS, 2 * KEPT_SECONDS])
    ),
    max_size=25,
)


class Known:
    """What is a secret, by definition: without counts, spellings or an index."""

    def __init__(self) -> None:
        self.lasting: set[str] = set()
        self.renewed: dict[str, list[frozenset[str]]] = {owner: [] for owner in OWNERS}
        self.present: dict[str, frozenset[str]] = dict.fromkeys(OWNERS, frozenset())
        self.gone: dict[tuple[str, str], float] = {}

    def hold(self, owner: str, words: frozenset[str], now: float) -> None:
        """Let an owner have these, and forget what it had long ago."""
        for word in self.present[owner] - words:
            self.gone[owner, word] = now
        self.present[owner] = words
        self.gone = {
            key: at
            for key, at in self.gone.items()
            if key[0] != owner or (key[1] not in words and now - at <= KEPT_SECONDS)
        }

    @property
    def secrets(self) -> set[str]:
        """Everything that must not be shown."""
        renewed = [words for sets in self.renewed.values() for words in sets[-RENEWALS:]]
        gone = {word for _, word in self.gone}
        return self.lasting.union(*renewed, *self.present.values(), gone)


@pytest.mark.parametrize("others", [0, FEW])
@settings(max_examples=40)
@example(
    happened=[
        *[("hold", "seoul", frozenset(WORDS[:count])) for count in (1, 0, 1, 0)],
        ("wait", "", 2 * KEPT_SECONDS),
        ("hold", "seoul", frozenset()),
    ]
)
@given(happened=events)
def test_what_is_a_secret_at_each_moment_is_masked_and_nothing_else(
    others: int, happened: list[tuple[str, str, Any]]
) -> None:
    """Settings, renewed tokens and files come, go and come back, also the same word from several: as by definition."""
    masking, known, now = Masking(), Known(), 0.0
    masking.know(f"another-secret-{number}" for number in range(others))
    for what, owner, given_ in happened:
        if what == "know":
            masking.know(given_)
            known.lasting |= given_
        elif what == "renew":
            masking.renew(owner, given_)
            known.renewed[owner].append(given_)
        elif what == "hold":
            masking.hold(owner, given_, now)
            known.hold(owner, given_, now)
        else:
            now += given_
        hidden = {word for word in WORDS if masking.text(f"<{word}>") == f"<{MASK}>"}
        assert hidden == known.secrets
