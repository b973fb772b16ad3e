"""Who saw what replicas did: their database, which notes who wrote under which owner and file, and LG's door.

Owns: the notes, and whose renewals the database refuses. Must not: judge what replicas do; ``judges`` does. The
database notes within the very transaction of a replica, so no clock decides what was in force at an intent.
"""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import psycopg

from reconciler.simulator import Platform, Record, Route
from reconciler.simulator.app import App
from reconciler.state.postgres.connection import Connection
from reconciler.state.postgres.migrations import migrate

NOTES = """
CREATE TABLE seen_member (id text, name text);
CREATE TABLE seen_term (account text, epoch bigint, name text, at double precision);
CREATE TABLE seen_file (number bigserial, sha256 text, at double precision);
CREATE TABLE seen_intent (
    account text, device text, action text, name text, owner text, epoch bigint, sha256 text
);
CREATE FUNCTION seconds() RETURNS double precision LANGUAGE sql AS
    'SELECT extract(epoch FROM clock_timestamp())::double precision';
CREATE FUNCTION me() RETURNS text LANGUAGE sql AS 'SELECT current_setting(''application_name'')';

CREATE FUNCTION note_member() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO seen_member VALUES (NEW.id, me());
    RETURN NULL;
END $$;
CREATE TRIGGER note AFTER INSERT ON member FOR EACH ROW EXECUTE FUNCTION note_member();

CREATE FUNCTION note_term() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO seen_term VALUES (NEW.account, NEW.epoch, me(), seconds());
    RETURN NULL;
END $$;
CREATE TRIGGER note AFTER UPDATE ON ownership FOR EACH ROW WHEN (NEW.epoch <> OLD.epoch)
    EXECUTE FUNCTION note_term();

CREATE FUNCTION note_file() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO seen_file (sha256, at) VALUES (NEW.sha256, seconds());
    RETURN NULL;
END $$;
CREATE TRIGGER note AFTER INSERT OR UPDATE ON text_file FOR EACH ROW EXECUTE FUNCTION note_file();

CREATE FUNCTION note_intent() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO seen_intent
        SELECT NEW.account, NEW.device, NEW.action, me(), seen_member.name, ownership.epoch,
            (SELECT sha256 FROM seen_file ORDER BY number DESC LIMIT 1)
        FROM ownership LEFT JOIN seen_member ON seen_member.id = ownership.owner
        WHERE ownership.account = NEW.account;
    RETURN NULL;
END $$;
CREATE TRIGGER note AFTER INSERT ON change FOR EACH ROW WHEN (NEW.result IS NULL)
    EXECUTE FUNCTION note_intent();

CREATE TABLE cut_off (id text);
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF EXISTS (SELECT FROM cut_off WHERE id = NEW.id) THEN
        RAISE EXCEPTION 'its renewals are cut off';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER refuse BEFORE UPDATE ON member FOR EACH ROW WHEN (NEW.beat <> OLD.beat)
    EXECUTE FUNCTION refuse();
"""
"""The ``application_name`` in its address says which replica is meant."""


class Term(NamedTuple):
    """A replica took an account."""

    account: str
    epoch: int
    name: str
    at: float


class File(NamedTuple):
    """A file came into force for all replicas."""

    sha256: str
    at: float


class Intent(NamedTuple):
    """A change that ``name`` wrote down while ``owner`` had the account, and while a file was in force."""

    account: str
    device: str
    action: str
    name: str
    owner: str | None
    epoch: int
    sha256: str


class Notes:
    """What the database noted."""

    def __init__(self, url: str) -> None:
        self._url = url

    def begin(self) -> None:
        """Make the tables that replicas use, and note what they write from now on."""
        with Connection.connect(self._url, autocommit=True) as connection:
            migrate(connection)
            connection.execute(NOTES)

    def address(self, name: str) -> str:
        """Return the address of the database for a replica of this name."""
        return f"{self._url}&application_name={name}"

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        """Return what a query finds."""
        with psycopg.connect(self._url, autocommit=True) as connection:
            return connection.execute(sql).fetchall()

    def cut_off(self, member: str) -> None:
        """Let no renewal of a member succeed any more, while all else does."""
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute("INSERT INTO cut_off VALUES (%s)", (member,))

    def terms(self) -> list[Term]:
        """Return who took which account, in this order."""
        found = self.ask("SELECT account, epoch, name, at FROM seen_term ORDER BY epoch, at")
        return [Term(*row) for row in found]

    def files(self) -> list[File]:
        """Return which files came into force, in this order."""
        return [File(*row) for row in self.ask("SELECT sha256, at FROM seen_file ORDER BY number")]

    def intents(self) -> list[Intent]:
        """Return the changes that were written down before their calls."""
        return [Intent(*row) for row in self.ask("SELECT * FROM seen_intent")]


@dataclass(frozen=True, slots=True)
class Passage:
    """One request at LG's door. ``ended`` is when its answer was sent, or its connection broke."""

    name: str
    message_id: str
    began: float
    ended: float


@dataclass(frozen=True, slots=True)
class Call:
    """One call of an account that LG saw: who sent it, how long it was there, and what LG made of it."""

    name: str
    began: float
    ended: float
    account: str
    device: str | None
    route: Route
    status: int


class Door(App):
    """LG's platform at an address of its own for each replica."""

    def __init__(self, platform: Platform) -> None:
        super().__init__(platform)
        self._passages: list[Passage] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Let a request in, and note whose it was."""
        _, name, path = scope["path"].split("/", 2)
        ids = [value.decode() for key, value in scope["headers"] if key == b"x-message-id"]
        passage = Passage(name, ids[0] if ids else "", time.time(), 0.0)
        inside = {**scope, "path": f"/{path}", "raw_path": f"/{path}".encode()}
        try:
            await super().__call__(inside, receive, send)
        finally:
            self._passages.append(replace(passage, ended=time.time()))

    def calls(self) -> list[Call]:
        """Return the calls of accounts that came to an end, in the order in which they came."""
        return sorted(self._calls(), key=_began)

    def _calls(self) -> Iterator[Call]:
        seen: dict[str, deque[Record]] = defaultdict(deque)
        for record in self.platform.requests:
            if record.message_id is not None and record.user is not None:
                seen[record.message_id].append(record)
        for one in sorted(self._passages, key=_began):
            records = seen[one.message_id]
            if records and records[0].route is not Route.TOKEN:
                record = records.popleft()
                yield Call(
                    one.name,
                    one.began,
                    one.ended,
                    str(record.user),
                    record.device,
                    record.route,
                    record.status,
                )


def _began(one: Passage | Call) -> float:
    return one.began
