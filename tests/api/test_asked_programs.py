"""What receivers, registries and a public address are asked, and what is made of their answers."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from reconciler.api.client import self_test
from reconciler.api.client.receivers import (
    LATEST_SECONDS,
    PAGE,
    SECONDS,
    Place,
    latest,
    newest,
    pages,
)
from reconciler.api.client.registry import AskingDaemon
from reconciler.api.receiver import SELF_TEST_HEADER
from reconciler.core.errors import DaemonError, ReconcilerError
from reconciler.core.heard import Heard
from reconciler.core.model import AccountName, DeviceId
from reconciler.core.rules import Registered, Registry
from reconciler.reporting.explain.values import DeliveryReport
from told import Told

NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
ADDRESS = "http://receiver.test"
SEOUL = AccountName("seoul-hotel")


# --- Receivers -------------------------------------------------------------------------------------------------------


def event(seq: int, **more: Any) -> dict[str, Any]:
    """Return an event as a receiver shows it."""
    plain = {"seq": seq, "id": f"id-{seq}", "received": "2026-11-22T10:00:00", "device": f"d{seq}"}
    return {**plain, **more}


def page(last: int, *events: dict[str, Any], spool: str = "one") -> dict[str, Any]:
    """Return a page of events."""
    return {"spool": spool, "last": last, "events": list(events)}


def read(place: Place, *answers: Any) -> tuple[list[tuple[Place, list[str]]], Told]:
    """Read a receiver that answers like this; return the pages, each by the ids of its events."""
    told = Told(list(answers))
    found = pages(ADDRESS, "sesame", place, asking=told)
    return [(at, [one.id for one in heard]) for at, heard in found], told


def test_a_receiver_is_read_from_where_it_was_read_to() -> None:
    """The number that was reached, the token and the time limit are those of each page."""
    found, told = read(Place("one", 7), page(9, event(8), event(9)))
    assert found == [(Place("one", 9), ["id-8", "id-9"])]
    assert told.asked == [(ADDRESS, "/api/v1/seen?after=7", "sesame", SECONDS)]


def test_after_a_full_page_the_next_is_read_from_its_end() -> None:
    """Also where the last event of a page has no device and is no matter of the daemon's."""
    full = [event(seq) for seq in range(1, PAGE)]
    found, told = read(Place(), page(PAGE, *full, event(PAGE, device=None)), page(PAGE))
    assert [(at, len(ids)) for at, ids in found] == [
        (Place("one", PAGE), PAGE - 1),
        (Place("one", PAGE), 0),
    ]
    assert [asked[1] for asked in told.asked] == [
        "/api/v1/seen?after=0",
        f"/api/v1/seen?after={PAGE}",
    ]


def test_another_spool_is_read_from_its_beginning() -> None:
    """Numbers of the spool before mean nothing in it, also where it already has more events."""
    whole = page(20, *(event(seq) for seq in (3, 20)), spool="two")
    found, told = read(Place("one", 7), page(20, event(20), spool="two"), whole)
    assert found == [(Place("two", 20), ["id-3", "id-20"])]
    assert [asked[1] for asked in told.asked] == ["/api/v1/seen?after=7", "/api/v1/seen?after=0"]


def test_an_empty_page_goes_back_to_no_event() -> None:
    """A receiver that names a lower number on an empty page does not have what is known sent again."""
    assert read(Place("one", 7), page(0))[0] == [(Place("one", 7), [])]


@pytest.mark.parametrize("last", [0, 6, 7])
def test_events_that_do_not_go_on_are_an_error(last: int) -> None:
    """Else the same page would be read for ever."""
    with pytest.raises(DaemonError, match="do not go on after 7"):
        read(Place("one", 7), page(last, event(8)))


def test_what_was_read_before_an_error_counts() -> None:
    """The pages until then are handed on, with the place to go on from."""
    full = page(PAGE, *(event(seq) for seq in range(1, PAGE + 1)))
    found = pages(ADDRESS, None, Place(), asking=Told([full, DaemonError("gone")]))
    assert next(found)[0] == Place("one", PAGE)
    with pytest.raises(DaemonError, match="gone"):
        next(found)


def test_each_fact_of_an_event_is_in_its_own_place() -> None:
    """Moments without a zone are in UTC; what is left out is not known."""
    whole = event(
        1,
        device="d/1&x",
        push_type="PCC_EVENT",
        diagnosis="E1",
        category="misuse",
        received="2026-11-22T10:00:00+09:00",
        diagnosed="2026-11-22T09:00:00",
        deliveries=[{"sink": "crm", "state": "dead", "attempts": 3}],
    )
    heard = Heard(
        id="id-1",
        device=DeviceId("d/1&x"),
        received=datetime(2026, 11, 22, 1, tzinfo=UTC),
        diagnosed=datetime(2026, 11, 22, 9, tzinfo=UTC),
        push_type="PCC_EVENT",
        diagnosis="E1",
        category="misuse",
    )
    told = Told([{"events": [whole]}, {"events": [event(2, device=None), whole]}, {"events": []}])
    found = latest(ADDRESS, "sesame", DeviceId("d/1&x"), told)
    assert found is not None
    assert (found.event, found.deliveries) == (heard, (DeliveryReport("crm", "dead", 3),))
    assert [one.event for one in newest(ADDRESS, None, 50, told)] == [heard]
    assert latest(ADDRESS, None, DeviceId("d"), told) is None
    assert told.asked == [
        (ADDRESS, "/api/v1/events?limit=1&device=d%2F1%26x", "sesame", LATEST_SECONDS),
        (ADDRESS, "/api/v1/events?limit=50", None, LATEST_SECONDS),
        (ADDRESS, "/api/v1/events?limit=1&device=d", None, LATEST_SECONDS),
    ]


# --- Registry --------------------------------------------------------------------------------------------------------

ID = "7121f083d9df33c29483843fe4181663508e36cd733db8b868269c11a2512a10"
FOUND: Mapping[str, Any] = {
    "account": "seoul",
    "replica": "",
    "trouble": "",
    "read": "2026-11-22T10:00:00+00:00",
    "devices": [{"id": ID, "type": "oven", "alias": "Kitchen", "model": "M1"}],
}


async def test_a_registry_is_read_fact_by_fact() -> None:
    """Type, alias and model are each in their own place: rules choose devices by them."""
    told = Told([{"accounts": [FOUND]}])
    found = await AskingDaemon(told).of(AccountName("seoul & co"))
    assert found == Registry((Registered(DeviceId(ID), "oven", "Kitchen", "M1"),), NOW)
    assert told.queries == [("/api/v1/registry", {"account": "seoul & co"})]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"replica": "two"}, "replica two works on this account"),
        ({"trouble": "LG answers 502"}, "LG answers 502"),
        ({"trouble": "LG answers 502", "read": None}, "LG answers 502"),
        ({"read": None}, "has not read"),
        ({"devices": [{"id": "no id", "type": None, "alias": None, "model": None}]}, "not this"),
        ({"devices": None}, "not this daemon"),
        ({"read": "yesterday"}, "not this daemon"),
    ],
)
async def test_a_registry_that_is_not_known_now_is_an_error(
    changed: Mapping[str, Any], words: str
) -> None:
    """An old one is not taken for the present one, nor that of another program."""
    with pytest.raises(ReconcilerError, match=words):
        await AskingDaemon(Told([{"accounts": [{**FOUND, **changed}]}])).of(SEOUL)


# --- The self-test ---------------------------------------------------------------------------------------------------

SECRET = "a-secret-segment-of-2026"
PAIR = "lg:sesame-9000"


@dataclass
class Public:
    """What a public address was sent."""

    address: str = ""
    paths: list[str] = field(default_factory=list)
    credentials: list[str | None] = field(default_factory=list)


@contextmanager
def public(
    status: int = 200, nonce: Callable[[str], str | None] = str, **more: str
) -> Iterator[Public]:
    """Serve an address that answers self-tests with a status and, by their nonce, the header that proves them."""
    seen = Public()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sent = json.loads(self.rfile.read(int(self.headers["content-length"])))
            seen.paths.append(self.path)
            seen.credentials.append(self.headers.get("authorization"))
            self.send_response(status)
            proof = nonce(sent["nonce"])
            for name, value in (
                more | ({} if proof is None else {SELF_TEST_HEADER: proof})
            ).items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_words: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    seen.address = f"http://127.0.0.1:{server.server_port}"
    try:
        yield seen
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("", f"/pcc/events/{SECRET}"),
        ("/", f"/pcc/events/{SECRET}"),
        ("/pcc/events", f"/pcc/events/{SECRET}"),
        ("/in/front/pcc/events/", f"/in/front/pcc/events/{SECRET}"),
        (f"/pcc/events/{SECRET}", f"/pcc/events/{SECRET}"),
        ("/elsewhere?x=1", "/elsewhere?x=1"),
    ],
)
def test_the_self_test_goes_where_lg_would_call(path: str, sent: str) -> None:
    """With both credentials, and what is printed has no secret in it."""
    with public() as seen:
        shown = self_test.check(f"{seen.address}{path}", pair=PAIR, secret=SECRET, environ={})
        assert shown == f"{seen.address}{sent.replace(SECRET, '…')}"
        self_test.check(f"{seen.address}/pcc/events", pair=None, secret=None, environ={})
    assert seen.paths == [sent, "/pcc/events"]
    assert seen.credentials == ["Basic bGc6c2VzYW1lLTkwMDA=", None]


def _nothing(_nonce: str) -> None:
    return None


def _another(nonce: str) -> str:
    return nonce[::-1] + "0"


@pytest.mark.parametrize(
    ("status", "nonce", "words"),
    [
        (200, _nothing, "does not prove"),
        (200, _another, "does not prove"),
        (202, _nothing, "does not prove"),
        (401, str, "refuses the credential"),
        (404, str, "nothing answers on this path"),
        (405, str, "takes no POST"),
        (503, str, "cannot store events now"),
        (500, str, "no answer of a receiver"),
        (307, str, "no answer of a receiver"),
        (308, str, "no answer of a receiver"),
    ],
)
def test_only_its_own_nonce_proves_that_it_was_stored(
    status: int, nonce: Callable[[str], str | None], words: str
) -> None:
    """Every other answer fails with what it means, and no word of it has a secret; a redirect is not followed."""
    with public() as elsewhere, public(status, nonce, location=elsewhere.address) as seen:
        with pytest.raises(self_test.Failed, match=words) as caught:
            self_test.check(seen.address, pair=PAIR, secret=SECRET, environ={})
        assert elsewhere.paths == []
    assert SECRET not in str(caught.value)
    assert "sesame" not in str(caught.value)


@pytest.mark.parametrize(("pair", "secret"), [(PAIR, None), (None, SECRET), (PAIR, SECRET)])
def test_no_credential_crosses_the_network_readable(pair: str | None, secret: str | None) -> None:
    """Nothing is sent to an address that is neither https nor on this machine."""
    with pytest.raises(self_test.Failed, match="is not https") as caught:
        self_test.check("http://events.example.test", pair=pair, secret=secret, environ={})
    assert SECRET not in str(caught.value)
