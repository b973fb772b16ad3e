"""What a forge is asked for: comments of one pull request, and the status of one commit.

Owns: the addresses and the words of GitHub and GitLab, pages of a list, and when a call is tried again.
Must not: know what a comment says. It uses the standard library only: it runs before anything is installed.

GitHub: https://docs.github.com/rest/issues/comments and https://docs.github.com/rest/commits/statuses.
GitLab: https://docs.gitlab.com/api/notes and https://docs.gitlab.com/api/commits.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any, NoReturn, Protocol
from urllib.error import HTTPError, URLError
from urllib.parse import quote
from urllib.request import HTTPRedirectHandler, Request, build_opener

SECONDS = 30.0
"""One call."""
TRIES = 3
LONGEST_WAIT = 60.0
"""Seconds that a forge may ask us to wait before the next try."""
MOST_PAGES = 100
"""Of comments, a hundred each: no pull request has more."""
PASSING = frozenset({429, 500, 502, 503, 504})
"""Statuses after which the same call is tried again."""


class ForgeError(Exception):
    """A call that a forge did not answer as it should. ``status`` is None where there was no answer."""

    def __init__(self, why: str, status: int | None = None) -> None:
        super().__init__(why)
        self.status = status


@dataclass(frozen=True)
class Comment:
    """One comment of a pull request."""

    id: int
    author: str
    body: str


@dataclass(frozen=True)
class Answer:
    """What a forge answered: the JSON, and the address of the next page, if there is one."""

    document: Any
    following: str


class Forge(Protocol):
    """One pull request, and the commits of its repository."""

    author: str
    """Who writes our comments. Comments of others are never touched. Empty where that is not known."""

    def comments(self) -> Iterator[Comment]:
        """Yield every comment, oldest first."""

    def create(self, body: str) -> None:
        """Write a new comment."""

    def update(self, comment: int, body: str) -> None:
        """Replace what a comment says."""

    def head(self) -> str:
        """Return the newest commit of the pull request."""

    def set_status(self, commit: str, state: str, context: str, words: str, link: str) -> None:
        """Set the status of a commit; ``state`` is ``pending``, ``success``, ``failure`` or ``error``."""


class _NoRedirects(HTTPRedirectHandler):
    """Follows none: a token goes to the forge's address and nowhere else."""

    def redirect_request(self, *_: Any) -> None:
        """Return no request to follow with."""


class Caller:
    """Makes the calls. The token is in a header, never in an address."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._headers = {"user-agent": "pcc-reconciler", **headers}
        self._opener = build_opener(_NoRedirects())

    def call(self, method: str, url: str, body: Mapping[str, str] | None = None) -> Answer:
        """Return the answer of one call; raises ``ForgeError``. What may pass is tried again."""
        for tried in range(1, TRIES):
            try:
                return self._once(method, url, body)
            except _PassingError as error:
                time.sleep(tried if error.wait is None else error.wait)
        try:
            return self._once(method, url, body)
        except _PassingError as error:
            raise error.lasting from error

    def pages(self, url: str) -> Iterator[Any]:
        """Yield the entries of a list, page by page."""
        for _ in range(MOST_PAGES):
            answer = self.call("GET", url)
            yield from answer.document
            if not answer.following:
                return
            url = answer.following

    def _once(self, method: str, url: str, body: Mapping[str, str] | None) -> Answer:
        data = None if body is None else json.dumps(body).encode()
        headers = {
            **self._headers,
            **({} if data is None else {"content-type": "application/json"}),
        }
        asked = Request(url, data, headers, method=method)  # noqa: S310 - the address is the runner's
        try:
            with self._opener.open(asked, timeout=SECONDS) as answer:
                text = answer.read()
                return Answer(json.loads(text or b"null"), _next(answer.headers.get("link", "")))
        except HTTPError as error:
            _refused(method, url, error)
        except (URLError, HTTPException, OSError) as error:
            raise _PassingError(ForgeError(f"{method} {url}: no answer: {error}")) from error
        except ValueError as error:
            raise ForgeError(f"{method} {url}: the answer is not JSON") from error


class _PassingError(Exception):
    """A failure after which the call is tried again. ``wait`` is in seconds, None where the forge names none."""

    def __init__(self, lasting: ForgeError, wait: float | None = None) -> None:
        super().__init__(str(lasting))
        self.lasting, self.wait = lasting, wait


def _refused(method: str, url: str, error: HTTPError) -> NoReturn:
    """Raise what an answer that is no success means. GitHub limits with 403 and a time to wait."""
    wait = error.headers.get("retry-after", "")
    with error:
        words = error.read(500).decode("utf-8", "replace").replace("\n", " ")
    lasting = ForgeError(f"{method} {url}: HTTP {error.code}: {words}", error.code)
    if error.code in PASSING or wait:
        seconds = min(float(wait), LONGEST_WAIT) if wait.isdecimal() else None
        raise _PassingError(lasting, seconds) from error
    raise lasting from error


def _next(links: str) -> str:
    """Return the address of the next page from a Link header, or no text."""
    for one in links.split(","):
        address, _, relation = one.partition(";")
        if 'rel="next"' in relation:
            return address.strip().strip("<>")
    return ""


class GitHub:
    """A pull request at GitHub. ``number`` is empty where only commits matter."""

    def __init__(self, environ: Mapping[str, str], number: str, author: str) -> None:
        api = environ.get("GITHUB_API_URL", "https://api.github.com").rstrip("/")
        self._repository = f"{api}/repos/{quote(environ['GITHUB_REPOSITORY'])}"
        self._number = number
        self.author = author
        self._caller = Caller(
            {
                "accept": "application/vnd.github+json",
                "authorization": f"Bearer {environ['GITHUB_TOKEN']}",
                "x-github-api-version": "2022-11-28",
            }
        )

    def comments(self) -> Iterator[Comment]:
        """Yield every comment, oldest first."""
        url = f"{self._repository}/issues/{self._number}/comments?per_page=100"
        for one in self._caller.pages(url):
            user = one.get("user") or {}
            yield Comment(one["id"], user.get("login", ""), one.get("body") or "")

    def create(self, body: str) -> None:
        """Write a new comment."""
        url = f"{self._repository}/issues/{self._number}/comments"
        self._caller.call("POST", url, {"body": body})

    def update(self, comment: int, body: str) -> None:
        """Replace what a comment says."""
        url = f"{self._repository}/issues/comments/{comment}"
        self._caller.call("PATCH", url, {"body": body})

    def head(self) -> str:
        """Return the newest commit of the pull request."""
        answer = self._caller.call("GET", f"{self._repository}/pulls/{self._number}")
        return str(answer.document["head"]["sha"])

    def set_status(self, commit: str, state: str, context: str, words: str, link: str) -> None:
        """Set the status of a commit."""
        body = {"state": state, "context": context, "description": words[:140]}
        body |= {"target_url": link} if link else {}
        self._caller.call("POST", f"{self._repository}/statuses/{commit}", body)


STATES_OF_GITLAB = {
    "pending": "running",
    "success": "success",
    "failure": "failed",
    "error": "failed",
}


class GitLab:
    """A merge request at GitLab."""

    def __init__(self, environ: Mapping[str, str], number: str) -> None:
        self._api = environ["CI_API_V4_URL"].rstrip("/")
        self._project = f"{self._api}/projects/{quote(environ['CI_PROJECT_ID'], safe='')}"
        self._request = f"{self._project}/merge_requests/{number}"
        self._caller = Caller({"private-token": environ["FORGE_TOKEN"]})
        self.author = "" if not number else str(self._myself())

    def _myself(self) -> str:
        return str(self._caller.call("GET", f"{self._api}/user").document["username"])

    def comments(self) -> Iterator[Comment]:
        """Yield every note, oldest first."""
        url = f"{self._request}/notes?per_page=100&order_by=created_at&sort=asc"
        for one in self._caller.pages(url):
            yield Comment(one["id"], one["author"]["username"], one.get("body") or "")

    def create(self, body: str) -> None:
        """Write a new note."""
        self._caller.call("POST", f"{self._request}/notes", {"body": body})

    def update(self, comment: int, body: str) -> None:
        """Replace what a note says."""
        self._caller.call("PUT", f"{self._request}/notes/{comment}", {"body": body})

    def head(self) -> str:
        """Return the newest commit of the merge request."""
        return str(self._caller.call("GET", self._request).document["sha"])

    def set_status(self, commit: str, state: str, context: str, words: str, link: str) -> None:
        """Set the status of a commit."""
        body = {"state": STATES_OF_GITLAB[state], "name": context, "description": words[:255]}
        body |= {"target_url": link} if link else {}
        self._caller.call("POST", f"{self._project}/statuses/{commit}", body)


def forge_of(environ: Mapping[str, str], number: str = "", author: str = "") -> Forge | None:
    """Return the forge that this job runs at, or None where its token is not given to this job."""
    if environ.get("GITHUB_ACTIONS") == "true":
        return GitHub(environ, number, author) if environ.get("GITHUB_TOKEN") else None
    if environ.get("GITLAB_CI") == "true":
        return GitLab(environ, number) if environ.get("FORGE_TOKEN") else None
    raise ForgeError("this is neither a job of GitHub nor one of GitLab")
