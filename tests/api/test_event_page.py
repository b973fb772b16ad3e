"""The receiver's page: what it shows of an event, and that no foreign word gets to steer it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from reconciler.api.event_page import EVENTS, EventPage
from reconciler.events.model import (
    Device,
    Diagnosis,
    EventState,
    KeptEvent,
    Knowledge,
    Message,
    SinkRow,
    Wanted,
    Words,
)

NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
ID = "7121f083d9df33c29483843fe4181663508e36cd733db8b868269c11a2512a10"
MESSAGE = Message(
    push_type="PCC_EVENT",
    raw={},
    device=ID,
    device_type="DEVICE_OVEN",
    diagnosis="OVEN_COLD",
    diagnosed_at=NOW,
    content_url="https://evil.example/click",
)
EVENT = KeptEvent(
    seq=7,
    id="yrs0CAFk3Ygz6mm03ASnRS",
    state=EventState.PENDING,
    received_at=NOW - timedelta(seconds=3),
    push_type="PCC_EVENT",
    device=ID,
    account=None,
    diagnosis="OVEN_COLD",
    category="part_inquiry",
    diagnosed_at=NOW,
    message_id=None,
    duplicates=0,
    quarantine=None,
    body=b"{}",
    message=MESSAGE,
)


@dataclass
class Kept:
    """An archive with these events."""

    kept: Sequence[KeptEvent] = ()
    asked: list[Wanted] = field(default_factory=list)

    def events(self, wanted: Wanted) -> Sequence[KeptEvent]:
        """Return as many as are wanted."""
        self.asked.append(wanted)
        return self.kept[: wanted.limit]


@dataclass(frozen=True)
class OneName:
    """A desired state that calls every device the same."""

    name: str | None = "Kitchen oven"

    def device(self, device: str) -> Device:
        """Return the device."""
        return Device(device, Knowledge.DESIRED, "seoul-hotel", self.name, "oven", desired=True)


@dataclass
class OneDiagnosis:
    """A Logic Table that says the same of every diagnosis."""

    words: dict[str, Words] = field(
        default_factory=lambda: {
            "ko": Words("오븐이 차갑습니다", "…"),
            "en": Words("{device_name} stays cold", "…"),
        }
    )
    revision: str | None = "1"

    def diagnosis(self, diagnosis: str, device_type: str | None) -> Diagnosis:
        """Return the diagnosis."""
        del device_type
        return Diagnosis(diagnosis, matched=True, category="malfunction", words=self.words)


def shown(
    *events: KeptEvent, name: str | None = "Kitchen oven", logic: OneDiagnosis | None = None
) -> str:
    """Return the page with these events."""
    return EventPage(Kept(events), OneName(name), logic or OneDiagnosis()).render(NOW)


def row(page: str) -> str:
    """Return the words of the only row, without markup."""
    body = page.partition("<tbody")[2].partition("</tbody>")[0]
    return " ".join(re.sub("<[^>]*>", " ", body.partition(">")[2]).split())


def test_a_person_sees_which_device_has_what() -> None:
    """A row has the device's name, the short message, the diagnosis, its category, the account and how long ago."""
    said = row(shown(EVENT))
    assert said == (
        "3 seconds ago 2026-11-22 09:59:57 UTC "
        "Kitchen oven 7121f083d9df… Kitchen oven stays cold OVEN_COLD part inquiry seoul-hotel pending"
    )


def test_another_language_and_no_table() -> None:
    """Without English words the first locale is shown, and without any only the diagnosis is shown."""
    korean = OneDiagnosis({"ko": Words("오븐이 차갑습니다", "…")})
    assert "오븐이 차갑습니다" in row(shown(EVENT, logic=korean))
    assert "OVEN_COLD" in row(shown(EVENT, logic=OneDiagnosis({})))


def test_deliveries_are_told() -> None:
    """What became of an event at each sink is shown, with the number of tries where it took several."""
    rows = (
        SinkRow("crm", EventState.DELIVERED, 2, None, NOW, 200, ""),
        SinkRow("log", EventState.DEAD, 1, None, NOW, 400, ""),
    )
    said = row(shown(replace(EVENT, deliveries=rows)))
    assert said.endswith("crm: delivered after 2 tries, log: dead")


def test_an_event_without_a_body() -> None:
    """What is erased, or in quarantine, is shown with what is left of it."""
    gone = replace(
        EVENT,
        message=None,
        body=None,
        device=None,
        diagnosis=None,
        category=None,
        state=EventState.ERASED,
    )
    assert row(shown(gone)) == "3 seconds ago 2026-11-22 09:59:57 UTC PCC_EVENT unknown erased"


def test_an_event_whose_body_is_gone_keeps_its_account() -> None:
    """What was known when the event was stored is shown; while there is a body, what is known now goes first."""
    stored = replace(EVENT, account="busan-hotel")
    assert " seoul-hotel pending" in row(shown(stored))
    gone = replace(stored, message=None, body=None)
    assert row(shown(gone)).endswith("7121f083d9df… OVEN_COLD part inquiry busan-hotel pending")


def test_only_the_newest_are_shown() -> None:
    """The page asks for no more events than it shows, and says where more are."""
    archive = Kept([EVENT] * (EVENTS + 5))
    page = EventPage(archive, OneName(), OneDiagnosis()).render(NOW)
    assert archive.asked == [Wanted(limit=EVENTS)]
    assert page.count("<tr") == EVENTS + 1
    assert f"The newest {EVENTS}." in page
    assert "The newest" not in shown(EVENT)


def test_no_event_yet() -> None:
    """An empty spool says that this is usual, and how to try the way in."""
    page = shown()
    assert "No event yet" in page
    assert "receive --check" in page
    assert "<table" not in page


def test_what_lg_links_to_is_no_link() -> None:
    """No link leads away from the page, and LG's content address is not shown."""
    page = shown(EVENT)
    assert set(re.findall('<a [^>]*href="([^"]*)"', page)) == {"#main", "/"}
    assert "evil.example" not in page


HOSTILE = st.text(
    alphabet=st.one_of(
        st.sampled_from("<>&\"'`=/\\{}%\u202e\u2066\x00\n"),
        st.characters(exclude_categories=["Cs"]),
    )
)


@given(HOSTILE, HOSTILE, HOSTILE)
def test_foreign_words_stay_words(device: str, diagnosis: str, name: str) -> None:
    """Whatever a device, a diagnosis or a name is, the page has the same markup as with harmless words."""
    message = replace(MESSAGE, device=device, diagnosis=diagnosis)
    event = replace(EVENT, device=device, diagnosis=diagnosis, message=message)
    words = OneDiagnosis({"en": Words("x" + diagnosis.replace("{", "").replace("}", ""), "")})
    page = shown(event, name=f"x{name}", logic=words)
    harmless = shown(EVENT, name="x", logic=OneDiagnosis({"en": Words("x", "")}))
    assert re.findall("<[^>]*>", page) == re.findall("<[^>]*>", harmless)
    assert "\u202e" not in page
    assert "\u2066" not in page
    assert "\x00" not in page


def test_long_words_are_cut() -> None:
    """A name or a type of any length takes a bounded place."""
    event = replace(EVENT, diagnosis="E" * 10_000, message=replace(MESSAGE, diagnosis="E" * 10_000))
    words = OneDiagnosis({"en": Words("w" * 10_000, "")})
    assert len(shown(event, name="n" * 10_000, logic=words)) < 6_000
