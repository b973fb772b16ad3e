"""The webhook: who is believed, in which form, and that a believed one only wakes."""

from __future__ import annotations

import hmac
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from hashlib import sha1, sha256
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from structlog.testing import capture_logs

from reconciler.api import webhook
from reconciler.api.webhook import LARGEST_BODY
from reconciler.core.errors import ReconcilerError
from scenarios import Site, eventually, fleet, idle_site, owned, site, text, write
from surfaces import FakeOperations, FakePolicy

SECRET = "correct-horse-battery-staple"
BODY = b'{"ref": "refs/heads/main", "after": "\\n::error::forged"}'


Done = list[tuple[object, ...]]
"""What a call had the daemon do."""


def signed(body: bytes = BODY, secret: str = SECRET) -> str:
    """Return the signature of a body, as GitHub and Gitea compute it."""
    return hmac.new(secret.encode(), body, sha256).hexdigest()


@asynccontextmanager
async def forge(
    secret: Callable[[], str] = lambda: SECRET,
) -> AsyncIterator[tuple[httpx.AsyncClient, list[tuple[object, ...]]]]:
    """Give a client of the webhook, and what it had the daemon do."""
    operations = FakeOperations()
    app = Starlette(routes=[webhook.route(operations, FakePolicy(secret=secret, has_webhook=True))])
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://127.0.0.1"
    ) as client:
        yield client, operations.done


GOOD = {
    "github": {"X-Hub-Signature-256": f"sha256={signed()}", "X-GitHub-Event": "push"},
    "gitea": {"X-Gitea-Signature": signed(), "X-Gitea-Event": "push"},
    "gitlab": {"X-Gitlab-Token": SECRET, "X-Gitlab-Event": "Push Hook"},
    "upper case": {"X-Hub-Signature-256": f"sha256={signed().upper()}"},
    "both": {"X-Hub-Signature-256": f"sha256={signed()}", "X-Gitea-Signature": signed()},
}


@pytest.mark.parametrize("form", GOOD)
@pytest.mark.parametrize("media_type", ["application/json", "application/x-www-form-urlencoded"])
async def test_a_forge_that_knows_the_secret_wakes(form: str, media_type: str) -> None:
    """The forms of GitHub, Gitea and GitLab are believed, whatever the content type."""
    async with forge() as (client, done):
        answer = await client.post(
            "/hooks/git", content=BODY, headers={**GOOD[form], "content-type": media_type}
        )
    assert (answer.status_code, answer.json(), done) == (202, {"accepted": True}, [("pushed",)])


async def test_a_call_that_is_repeated_is_known_as_one() -> None:
    """Whoever recorded a call can send it again, and is told from a forge that has something new; both are answered."""
    async with forge() as (client, done):
        many = [str(number).encode() for number in range(webhook.MOST_HEARD)]
        for body in (b"one", b"one", b"two", b"one", *many, b"one"):
            answer = await client.post(
                "/hooks/git", content=body, headers={"X-Gitea-Signature": signed(body)}
            )
            assert answer.status_code == 202
    assert done[:4] == [("pushed",), ("pushed again",), ("pushed",), ("pushed again",)]
    assert set(done[4:]) == {("pushed",)}


async def test_a_call_that_is_repeated_again_and_again_stays_known() -> None:
    """It counts from when it came last, not first: those that came least lately are forgotten."""
    async with forge() as (client, done):
        some = [str(number).encode() for number in range(webhook.MOST_HEARD - 1)]
        others = [b"other " + body for body in some]
        for body in (b"one", *some, b"one", *others, b"one", some[0]):
            answer = await client.post(
                "/hooks/git", content=body, headers={"X-Gitea-Signature": signed(body)}
            )
            assert answer.status_code == 202
    again = [number for number, (kind,) in enumerate(done) if kind == "pushed again"]
    assert again == [len(some) + 1, 2 * len(some) + 2]


BAD = {
    "nothing": {},
    "empty signature": {"X-Hub-Signature-256": ""},
    "only the prefix": {"X-Hub-Signature-256": "sha256="},
    "another secret": {
        "X-Hub-Signature-256": f"sha256={signed(secret='another-secret-altogether')}"
    },
    "another body": {"X-Gitea-Signature": signed(b"{}")},
    "the old hash": {
        "X-Hub-Signature": "sha1=" + hmac.new(SECRET.encode(), BODY, sha1).hexdigest()
    },
    "half of it": {"X-Hub-Signature-256": f"sha256={signed()[:32]}"},
    "not text": {"X-Hub-Signature-256": "sha256=" + "é" * 64},
    "another token": {"X-Gitlab-Token": SECRET[:-1]},
    "a token that is not text": {"X-Gitlab-Token": "ÿ" * 28},
    "no token": {"X-Gitlab-Token": ""},
    "a good signature and a bad token": {
        "X-Hub-Signature-256": f"sha256={signed()}",
        "X-Gitlab-Token": "wrong",
    },
    "a good token and a bad signature": {
        "X-Gitlab-Token": SECRET,
        "X-Gitea-Signature": signed(b"{}"),
    },
    "a second opinion": {
        "X-Hub-Signature-256": f"sha256={signed(b'{}')}",
        "X-Gitea-Signature": signed(),
    },
}


@pytest.mark.parametrize("form", BAD)
async def test_who_does_not_know_the_secret_is_refused(form: str) -> None:
    """A wrong or missing signature wakes nothing, and nothing of the request is logged or sent back."""
    headers = [(name.encode(), value.encode("latin-1")) for name, value in BAD[form].items()]
    async with forge() as (client, done):
        with capture_logs() as lines:
            answer = await client.post("/hooks/git", content=BODY, headers=headers)
    assert (answer.status_code, done) == (401, [])
    assert [line["event"] for line in lines] == ["webhook.refused"]
    assert set(lines[0]) == {"event", "log_level", "status", "reason"}
    written = answer.text + repr(lines)
    assert not any(
        value in written for value in (SECRET, "forged", *filter(None, BAD[form].values()))
    )


@pytest.mark.parametrize(
    "headers", [{"X-Gitlab-Token": SECRET}, {"X-Hub-Signature-256": "sha256=" + "0" * 64}]
)
async def test_a_body_of_ten_megabytes_is_refused(headers: dict[str, str]) -> None:
    """No more of a body is read than is bearable, even from who knows the secret."""
    read = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal read
        for _ in range(160):
            read += 65536
            yield b"x" * 65536

    async with forge() as (client, done):
        answer = await client.post("/hooks/git", content=body(), headers=headers)
    assert (answer.status_code, done) == (413, [])
    assert read <= LARGEST_BODY + 2 * 65536


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
async def test_only_post_is_heard(method: str) -> None:
    """Any other method is refused, even with a good token."""
    async with forge() as (client, done):
        answer = await client.request(method, "/hooks/git", headers={"X-Gitlab-Token": SECRET})
    assert (answer.status_code, done) == (405, [])


async def test_nobody_is_believed_while_the_secret_cannot_be_read() -> None:
    """A secret file that is gone lets nobody in, and is told in the log."""

    def unreadable() -> str:
        raise ReconcilerError("PCC_WEBHOOK_SECRET_FILE: cannot be read")

    async with forge(unreadable) as (client, done):
        with capture_logs() as lines:
            answer = await client.post("/hooks/git", content=BODY, headers=GOOD["github"])
    assert (answer.status_code, done) == (503, [])
    assert answer.json() == {"error": "the webhook's secret cannot be read"}
    assert [(line["event"], line["log_level"]) for line in lines] == [("webhook.refused", "error")]


async def test_the_daemon_reads_its_source_when_a_forge_says_so(tmp_path: Path) -> None:
    """With PCC_WEBHOOK_SECRET the hook is there and wakes, under any Host; replays do no harm."""
    platform = fleet(4)
    async with idle_site(tmp_path, platform, PCC_WEBHOOK_SECRET=SECRET) as one:
        write(one.file, text(owned(platform)))
        await one.start()
        await one.has(owned(platform))
        before = fetched_at(one)
        headers = {**GOOD["github"], "Host": "hooks.example"}
        answers = [
            await one.http.post("/hooks/git", content=BODY, headers=headers) for _ in range(20)
        ]
        assert {answer.status_code for answer in answers} == {202}
        await eventually(lambda: fetched_at(one) > before)
        assert (
            await one.http.post("/hooks/git", content=b"{}", headers=GOOD["github"])
        ).status_code == 401
        assert not one.told("source.failed")


async def test_without_a_secret_there_is_no_webhook(tmp_path: Path) -> None:
    """A daemon that was given no secret hears no forge."""
    platform = fleet(1)
    async with idle_site(tmp_path, platform) as one:
        write(one.file, text(owned(platform)))
        await one.start()
        assert (
            await one.http.post("/hooks/git", content=BODY, headers=GOOD["github"])
        ).status_code == 404


def fetched_at(one: Site) -> float:
    """Return when the daemon last read its source."""
    return one.process.components.informer.fetched_at


async def test_a_secret_that_is_not_there_is_a_warning_at_the_start(tmp_path: Path) -> None:
    """Where the webhook's secret has no file, the daemon starts, and its log says why no push will wake it."""
    platform = fleet(1)
    write(tmp_path / "desired-state.toml", text(owned(platform)))
    missing = tmp_path / "service" / "webhook_secret"
    async with site(tmp_path, platform, PCC_WEBHOOK_SECRET_FILE=str(missing)) as one:
        await one.has(owned(platform))
        warnings = [line["message"] for line in one.events if line["event"] == "settings.warning"]
    assert any("PCC_WEBHOOK_SECRET_FILE" in message for message in warnings), warnings
