"""Signatures as Standard Webhooks has them; its own package verifies them."""

from __future__ import annotations

import base64
import time
from pathlib import Path

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from reconciler.events.sinks.authorization import secrets_of
from reconciler.events.sinks.secret_file import NoSecretError
from reconciler.events.sinks.signing import Secret, secrets_in, signature

BODY = b'{"id":"a"}'
KEY = base64.b64encode(bytes(range(32))).decode()
OTHER = base64.b64encode(bytes(range(100, 124))).decode()


def verified(header: str, written: str, at: int, body: bytes = BODY) -> None:
    """Verify a signature as a receiving system does, or raise. It refuses what was signed long ago."""
    headers = {"webhook-id": "a", "webhook-timestamp": str(at), "webhook-signature": header}
    Webhook(written).verify(body, headers)


def test_the_example_of_the_standard() -> None:
    """The vector that the reference libraries test with gives the signature that they give."""
    key = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    path_free = signature(
        [Secret(key, base64.b64decode(key))],
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
    )
    assert path_free == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("written", [f"whsec_{KEY}", KEY, f"whsec_{KEY.rstrip('=')}"])
def test_a_signature_is_verified(tmp_path: Path, written: str) -> None:
    """A secret counts with and without its prefix and its padding."""
    now = int(time.time())
    header = signature(_kept(tmp_path, written), "a", now, BODY)
    verified(header, f"whsec_{KEY}", now)
    with pytest.raises(WebhookVerificationError):
        verified(header, f"whsec_{OTHER}", now)
    with pytest.raises(WebhookVerificationError):
        verified(header, f"whsec_{KEY}", now, BODY + b" ")


def test_two_secrets_sign_while_they_are_rotated(tmp_path: Path) -> None:
    """A receiving system that knows only one of them accepts the event."""
    now = int(time.time())
    header = signature(_kept(tmp_path, f"whsec_{OTHER}\nwhsec_{KEY}\n"), "a", now, BODY)
    verified(header, f"whsec_{KEY}", now)
    verified(header, f"whsec_{OTHER}", now)


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("", "is empty"),
        ("\n \n", "is empty"),
        ("whsec_not base64!", "has no secret in base64, such as whsec_..."),
        ("whsec_" + base64.b64encode(b"short").decode(), "has a secret of fewer than 24 bytes"),
        (f"{KEY}\n{KEY}\n{KEY}", "has more than 2 lines, which are one secret each"),
        ("x" * 5000, "is too large for a secret"),
    ],
)
def test_what_is_no_secret_says_why_and_shows_none(
    tmp_path: Path, written: str, words: str
) -> None:
    """The file is named, and nothing of what is in it."""
    with pytest.raises(NoSecretError) as caught:
        _kept(tmp_path, written)
    assert str(caught.value) == f"{tmp_path}/secret {words}"


def test_a_file_that_is_not_there_says_so(tmp_path: Path) -> None:
    """A missing file and a folder in its place are no secret, either."""
    with pytest.raises(NoSecretError, match="cannot be read: No such file or directory"):
        secrets_in(tmp_path / "none")
    with pytest.raises(NoSecretError, match="is not a regular file"):
        secrets_in(tmp_path)


def _kept(folder: Path, written: str) -> tuple[Secret, ...]:
    (folder / "secret").write_text(written, encoding="utf-8")
    return secrets_in(folder / "secret")


@pytest.mark.parametrize("scheme", ["Basic", "basic", "BASIC"])
@pytest.mark.parametrize("space", [" ", "   "])
def test_of_basic_authorization_the_pair_and_its_password_are_secret(
    scheme: str, space: str
) -> None:
    """A scheme is written in any case: each spelling of what must not be shown is known, and no short word is."""
    encoded = base64.b64encode(b"us:pass-word-7").decode()
    value = f"{scheme}{space}{encoded}"
    assert secrets_of(value) == {value, encoded, "us:pass-word-7", "pass-word-7"}


@pytest.mark.parametrize(
    ("value", "secret"),
    [
        ("Bearer sesame-9", {"Bearer sesame-9", "sesame-9"}),
        ("sesame-9", {"sesame-9"}),
        ("Bearer abc", {"Bearer abc"}),
        ("Basic !!!!", {"Basic !!!!", "!!!!"}),
        (f"Bearer {base64.b64encode(b'us:pass-word-7').decode()}", None),
    ],
)
def test_of_another_authorization_the_credentials_are_secret(
    value: str, secret: set[str] | None
) -> None:
    """What is no Basic authentication is not decoded; fewer than four characters are in too many other words."""
    assert secrets_of(value) == (secret or {value, value.removeprefix("Bearer ")})
