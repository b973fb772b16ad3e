"""The simulated platform's events: what a message says, which calls are due, and what faults do to them."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.simulator import (
    TABLE,
    Callbacks,
    Match,
    Options,
    Platform,
    Request,
    Route,
    Rule,
    SimulatorError,
    read_rules,
    sample_platform,
)
from reconciler.simulator import event_faults as fault
from reconciler.simulator.calls import Call
from reconciler.simulator.faults import Drop, Latency
from reconciler.simulator.world import PCC_TYPES

START = 1_790_000_000.25
"""2026-09-21T14:13:20.250000 in UTC."""
DAY = 86_400.0


@dataclass
class Time:
    """A clock that moves when told to."""

    now: float = START

    def __call__(self) -> float:
        """Return the time."""
        return self.now


@dataclass
class Sim:
    """A platform whose devices are all subscribed, and the calls that its events lead to."""

    options: Options = field(default_factory=Options)
    seed: int = 7
    time: Time = field(default_factory=Time)
    platform: Platform = field(init=False)
    callbacks: Callbacks = field(init=False)

    def __post_init__(self) -> None:
        self.platform = sample_platform(
            {"default": 8, "other": 4},
            only_pcc=True,
            subscribed=1.0,
            seed=self.seed,
            options=self.options,
            now=self.time,
        )
        self.callbacks = Callbacks(self.platform)

    @property
    def ids(self) -> list[str]:
        """The device ids of the user ``default``."""
        return list(self.platform.world.user("default").devices)

    def emit(self, *effects: fault.EventEffect, number: int = 0, **given: Any) -> Any:
        """Make one event of a device of ``default``."""
        return self.callbacks.emit("default", self.ids[number], effects=effects, **given)

    def take(self, seconds: float = 0.0) -> list[Call]:
        """Let time pass and return the calls that are due then."""
        self.time.now += seconds
        return self.callbacks.take()

    def messages(self, seconds: float = 0.0) -> list[Any]:
        """Let time pass and return the bodies that are due then, each answered with 200."""
        calls = self.take(seconds)
        for call in calls:
            self.callbacks.answer(call, 200)
        return [json.loads(call.body()) for call in calls]


@pytest.fixture
def sim() -> Sim:
    """Return a fresh platform without a fault."""
    return Sim()


# What a message says


def test_message_has_the_members_that_lg_documents(sim: Sim) -> None:
    """A PCC event has exactly the members of LG's page, each in its form."""
    sim.emit()
    (message,) = sim.messages()
    assert list(message) == ["messageId", "timestamp", "event"]
    assert re.fullmatch("[A-Za-z0-9_-]{22}", message["messageId"])
    assert message["timestamp"] == "2026-09-21T14:13:20.250000"
    event = message["event"]
    assert list(event) == [
        "pushType",
        "deviceId",
        "deviceType",
        "diagnosisType",
        "contentUrl",
        "diagnosisTimestamp",
    ]
    assert event["pushType"] == "PCC_EVENT"
    assert event["deviceId"] == sim.ids[0]
    assert event["deviceType"] == sim.platform.world.user("default").devices[sim.ids[0]].type
    assert event["contentUrl"].startswith("https://")
    diagnosed = datetime.fromisoformat(event["diagnosisTimestamp"]).replace(tzinfo=UTC).timestamp()
    assert START - 61 <= diagnosed <= START


def test_diagnoses_fit_the_appliance(sim: Sim) -> None:
    """A diagnosis is one of those that the table has for the type of the appliance."""
    known = {(row.device_type, row.type) for row in TABLE}
    for number in range(len(sim.ids)):
        sim.emit(number=number)
    for message in sim.messages():
        event = message["event"]
        assert (event["deviceType"], event["diagnosisType"]) in known


def test_table_covers_pcc() -> None:
    """The sample table has every appliance type of PCC and each of LG's five categories, and every type once."""
    assert {row.device_type for row in TABLE} == set(PCC_TYPES)
    assert {row.category for row in TABLE} == {
        "installation",
        "misuse",
        "malfunction",
        "maintenance",
        "part_inquiry",
    }
    assert len({row.type for row in TABLE}) == len(TABLE)


def test_other_appliance_types_have_a_diagnosis(sim: Sim) -> None:
    """An appliance without a row in the table, or one that is registered no more, is diagnosed all the same."""
    sim.platform.subscribe("default", "stranger")
    sim.platform.world.remove_devices(
        sim.platform.world.user("default"), ["stranger"], START, keep_subscriptions=True
    )
    sim.callbacks.emit("default", "stranger")
    (message,) = sim.messages()
    assert message["event"]["diagnosisType"] == "SIM_CHECK_DUE"
    assert "deviceType" not in message["event"]


def test_given_members(sim: Sim) -> None:
    """What a person gives stands in the message: type, time, and further members."""
    sim.emit(diagnosis="E42", diagnosed=START - 3600, members={"level": 3})
    (message,) = sim.messages()
    assert message["event"]["diagnosisType"] == "E42"
    assert message["event"]["diagnosisTimestamp"] == "2026-09-21T13:13:20"
    assert message["event"]["level"] == 3


def test_equal_diagnoses_are_never_made_twice(sim: Sim) -> None:
    """Many events of one device at one moment differ in type or time: duplicates are made only on purpose."""
    for _ in range(200):
        sim.emit()
    said = {
        (message["event"]["diagnosisType"], message["event"]["diagnosisTimestamp"])
        for message in sim.messages()
    }
    assert len(said) == 200


def test_clock_of_lg(sim: Sim) -> None:
    """Times in messages are LG's, also where its clock is ahead."""
    sim.platform.set_options(clock_offset=3600.0)
    sim.emit()
    assert sim.messages()[0]["timestamp"] == "2026-09-21T15:13:20.250000"


# Which events are made


def test_only_subscribed_devices_have_events(sim: Sim) -> None:
    """A device that is not subscribed has no event, neither asked for nor at random."""
    sim.platform.unsubscribe("default", *sim.ids[1:])
    sim.platform.unsubscribe("other", *sim.platform.subscribed("other"))
    with pytest.raises(SimulatorError, match="not subscribed"):
        sim.emit(number=1)
    for _ in range(20):
        sim.callbacks.emit_any()
    assert {message["event"]["deviceId"] for message in sim.messages()} == {sim.ids[0]}
    sim.platform.unsubscribe("default", sim.ids[0])
    assert sim.callbacks.emit_any() is None
    assert sim.callbacks.emit_any("default") is None


def test_a_lost_subscription_has_no_events(sim: Sim) -> None:
    """A subscription that silently goes away later has no event from then on."""
    sim.platform.world.lose_later(sim.platform.world.user("default"), sim.ids[0], sim.time.now + 10)
    sim.emit()
    sim.time.now += 11
    with pytest.raises(SimulatorError, match="not subscribed"):
        sim.emit()
    with pytest.raises(SimulatorError, match="not subscribed"):
        sim.callbacks.subscriber(sim.ids[0])


def test_events_per_hour_are_of_the_whole_fleet() -> None:
    """A rate of 600 gives about 600 events in an hour over all users, at random times."""
    sim = Sim(Options(events_per_hour=600.0))
    moments = []
    while (at := sim.callbacks.next_at()) is not None and at < START + 3600:
        moments += [at] * len(sim.take(max(at - sim.time.now, 0.0)))
    assert 500 < len(moments) < 700
    assert {sent.user for sent in sim.callbacks.log} == {"default", "other"}
    assert len(set(moments)) > 400


def test_rate_can_change(sim: Sim) -> None:
    """Without a rate nothing is due; a rate that is set later holds at once, and ends when it is taken away."""
    assert sim.callbacks.next_at() is None
    assert sim.take(DAY) == []
    sim.platform.set_options(events_per_hour=3600.0)
    due = sim.callbacks.next_at()
    assert due is not None
    assert due < sim.time.now + 60
    sim.platform.set_options(events_per_hour=0.0)
    assert sim.callbacks.next_at() is None


def test_equal_seeds_give_equal_events() -> None:
    """The same seed and the same times make the same bodies; another seed makes others."""

    def bodies(seed: int) -> list[Any]:
        sim = Sim(Options(events_per_hour=3600.0), seed)
        sim.platform.set_faults(Rule(fault.Again(message_id="new"), probability=0.5))
        return [sim.messages(60.0) for _ in range(5)]

    assert bodies(3) == bodies(3)
    assert bodies(3) != bodies(4)


def test_events_leave_the_platforms_chances_alone() -> None:
    """Events draw from randomness of their own, so a fault plan for requests plays out as without them."""
    without, beside = Sim(), Sim()
    for _ in range(10):
        beside.emit(fault.Delay(0.0, 9.0))
    assert without.platform.random.random() == beside.platform.random.random()


# Faults


@pytest.mark.parametrize("message_id", ["same", "new"])
def test_again(sim: Sim, message_id: Any) -> None:
    """A doubled event says the same, with the message id that is asked for, some seconds later."""
    sim.emit(fault.Again(times=2, after=5.0, message_id=message_id))
    (first,) = sim.messages()
    (second,) = sim.messages(5.0)
    (third,) = sim.messages(5.0)
    assert first["event"] == second["event"] == third["event"]
    ids = {one["messageId"] for one in (first, second, third)}
    assert len(ids) == (1 if message_id == "same" else 3)


def test_delay_of_days(sim: Sim) -> None:
    """A delayed event goes days later in the simulator's time, and says when it was made."""
    sim.emit(fault.Delay(3 * DAY))
    assert sim.messages(3 * DAY - 1) == []
    (message,) = sim.messages(1.0)
    assert message["timestamp"] == "2026-09-21T14:13:20.250000"


def test_old(sim: Sim) -> None:
    """An old event goes at once, and its times are earlier."""
    sim.emit(fault.Old(2 * DAY), diagnosed=START)
    (message,) = sim.messages()
    assert message["timestamp"] == "2026-09-19T14:13:20.250000"
    assert message["event"]["diagnosisTimestamp"] == "2026-09-19T14:13:20"


def test_random_delays_stay_in_their_span(sim: Sim) -> None:
    """A delay with two bounds is between them."""
    for _ in range(50):
        sim.emit(fault.Delay(10.0, 20.0))
    assert sim.messages(9.9) == []
    assert len(sim.messages(10.2)) == 50


def test_reorder(sim: Sim) -> None:
    """An event that is held back goes after so many later ones."""
    held = sim.emit(fault.Reorder(behind=2))
    sim.emit(number=1)
    assert len(sim.messages()) == 1
    sim.emit(number=2)
    order = [message["event"]["deviceId"] for message in sim.messages()]
    assert order == [sim.ids[2], held.event.device]


def test_reorder_waits_for_events_and_not_for_retries(sim: Sim) -> None:
    """A call that is made again is no later event: one that is held back stays behind as many as it was to."""
    sim.emit(fault.Reorder(behind=2, at_most=DAY))
    again = sim.emit(number=1)
    for seconds in (0.0, 10.0, 20.0):
        (call,) = sim.take(seconds)
        assert call.parts[0][0] is again
        sim.callbacks.answer(call, 503)
    sim.emit(number=2)
    assert [message["event"]["deviceId"] for message in sim.messages()] == [
        sim.ids[2],
        sim.ids[0],
    ]


def test_reorder_ends(sim: Sim) -> None:
    """An event that is held back goes after a while, also where no other comes."""
    sim.emit(fault.Reorder(at_most=30.0))
    assert sim.callbacks.next_at() == START + 30
    assert sim.messages(29.0) == []
    assert len(sim.messages(1.0)) == 1


def test_array(sim: Sim) -> None:
    """Gathered events go as one array: once there are enough, or after a while."""
    for number in range(3):
        sim.emit(fault.Array(size=2, at_most=10.0), number=number)
    (full,) = sim.messages()
    assert [one["event"]["deviceId"] for one in full] == sim.ids[:2]
    assert sim.callbacks.next_at() == START + 10
    (rest,) = sim.messages(10.0)
    assert [one["event"]["deviceId"] for one in rest] == [sim.ids[2]]
    assert [sent.state for sent in sim.callbacks.log] == ["taken"] * 3


def test_unknown_diagnosis(sim: Sim) -> None:
    """A diagnosis of an unknown type is in no table; other pushes have none."""
    sim.emit(fault.Unknown())
    sim.emit(fault.Unknown("E99"))
    sim.emit(fault.Push(), fault.Unknown())
    first, second, third = sim.messages()
    assert first["event"]["diagnosisType"] not in {row.type for row in TABLE}
    assert second["event"]["diagnosisType"] == "E99"
    assert "diagnosisType" not in third["push"]


def test_extra_and_missing_members(sim: Sim) -> None:
    """Members can come that LG does not document, and others can lack."""
    sim.emit(fault.Extra(), fault.Without(("contentUrl", "diagnosisTimestamp")))
    (message,) = sim.messages()
    assert set(message) > {"messageId", "timestamp", "event"}
    assert message["event"]["userList"] == ["simulated"]
    assert not message["event"].keys() & {"contentUrl", "diagnosisTimestamp"}


@pytest.mark.parametrize(
    ("push_type", "under"),
    [
        ("DEVICE_PUSH", "push"),
        ("DEVICE_REGISTERED", "push"),
        ("DEVICE_UNREGISTERED", "push"),
        ("DEVICE_ALIAS_CHANGED", "push"),
        ("DEVICE_STATUS", "event"),
    ],
)
def test_other_push_types(sim: Sim, push_type: Any, under: str) -> None:
    """Other pushes are under the member that LG documents, and have no diagnosis; however they are asked for."""
    sim.emit(fault.Push(push_type))
    sim.emit(push_type=push_type)
    for message in sim.messages():
        assert message[under]["pushType"] == push_type
        assert message[under]["deviceId"] == sim.ids[0]
        assert not message[under].keys() & {"diagnosisType", "diagnosisTimestamp", "contentUrl"}


@pytest.mark.parametrize(
    ("form", "ending"), [("naive", ".250000"), ("utc", ".250000Z"), ("zoned", ".250000+09:00")]
)
def test_forms_of_times(sim: Sim, form: Any, ending: str) -> None:
    """A time can be written in three forms, and all of them mean the same moment."""
    sim.emit(fault.Times(form), diagnosed=START)
    (message,) = sim.messages()
    assert message["timestamp"].endswith(ending)
    for text in (message["timestamp"], message["event"]["diagnosisTimestamp"]):
        moment = datetime.fromisoformat(text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        assert abs(moment.timestamp() - START) < 1


def test_rules_about_events(sim: Sim) -> None:
    """Rules of a plan fire for the events that they match, all of them at once, and count as for requests."""
    plan = [
        {"effect": {"kind": "again"}, "match": {"devices": [sim.ids[0]]}},
        {"effect": {"kind": "without"}, "match": {"user": "default"}, "count": 1},
        {"effect": {"kind": "extra"}, "match": {"user": "other"}},
        {"script": [None, {"kind": "times"}]},
        {"effect": {"kind": "drop"}},
    ]
    sim.platform.set_faults(*read_rules(json.dumps(plan)))
    assert sim.emit().faults == ("again", "without")
    assert sim.emit().faults == ("again", "times")
    assert sim.emit(number=1).faults == ()
    other = sim.callbacks.emit_any("other")
    assert other is not None
    assert other.faults == ("extra",)
    assert [rule["fired"] for rule in sim.platform.describe_faults()] == [2, 1, 1, 2, 0]


def test_rules_about_events_concern_no_request(sim: Sim) -> None:
    """A rule about events leaves requests alone, and counts none of them."""
    sim.platform.set_faults(Rule(fault.Delay(5.0)), Rule(Latency(2.0)))
    sim.platform.lose("default", count=1)
    answer = sim.platform.handle(Request("GET", "/pcc"))
    assert answer.delay_seconds == 2.0
    assert [rule["seen"] for rule in sim.platform.describe_faults()] == [0, 1]


@pytest.mark.parametrize(
    "make",
    [
        lambda: Rule(script=(fault.Delay(1.0), Drop())),
        lambda: Rule(fault.Delay(1.0), match=Match(route=Route.LIST)),
        lambda: Rule(fault.Delay(1.0), match=Match(method="GET")),
        lambda: fault.Delay(-1.0),
        lambda: fault.Old(5.0, 4.0),
        lambda: fault.Again(times=0),
        lambda: fault.Reorder(behind=0),
        lambda: fault.Array(size=0),
        lambda: fault.CutBody(keep=1.0),
        lambda: Options(events_per_hour=-1.0),
        lambda: Options(callback_attempts=0),
        lambda: Options(callback_gives_up_after=0),
        lambda: Options(callback_timeout=0.0),
    ],
)
def test_senseless_faults_and_options(make: Any) -> None:
    """What makes no sense is refused."""
    with pytest.raises(ValueError, match=r"\w"):
        make()


# Answers and retries


def waits(sim: Sim, statuses: Sequence[int | None]) -> list[float]:
    """Answer each attempt of one event in turn; return how long after the one before each was due."""
    found: list[float] = []
    for status in statuses:
        due = sim.callbacks.next_at()
        if due is None:
            break
        seconds = max(due - sim.time.now, 0.0)
        found.append(seconds)
        (call,) = sim.take(seconds)
        sim.callbacks.answer(call, status)
    return found


def test_retries(sim: Sim) -> None:
    """What was not answered with 2xx is sent again, later and later, until it is taken."""
    sent = sim.emit()
    assert waits(sim, [503, None, 404, 204]) == [0.0, 10.0, 20.0, 40.0]
    assert sent.answers == [503, None, 404, 204]
    assert sent.state == "taken"
    assert len(sent.message_ids) == 1
    assert sim.callbacks.next_at() is None


def test_retries_end(sim: Sim) -> None:
    """After the last attempt an event is lost."""
    sent = sim.emit()
    waits(sim, [500] * 4)
    assert sent.state == "waiting"
    waits(sim, [500])
    assert sent.state == "lost"
    assert sim.callbacks.next_at() is None


def test_sender_that_tries_once() -> None:
    """With one attempt an event that is not taken at once is lost."""
    sim = Sim(Options(callback_attempts=1))
    sent = sim.emit()
    assert waits(sim, [503, 200]) == [0.0]
    assert sent.state == "lost"


def test_retry_with_another_message_id() -> None:
    """A retry can carry a new message id, and says the same otherwise."""
    sim = Sim(Options(callback_retry_message_id="new"))
    sim.emit()
    (call,) = sim.take()
    first = json.loads(call.body())
    sim.callbacks.answer(call, None)
    second = sim.messages(10.0)[0]
    assert first["messageId"] != second["messageId"]
    assert first["event"] == second["event"]


def test_giving_up() -> None:
    """A sender that gives up after ten 4xx answers in a row loses what waits and what comes, until it is resumed."""
    sim = Sim(Options(callback_gives_up_after=10, callback_attempts=3))
    statuses = [401] * 5 + [200] + [401, 503] * 9
    for status in statuses:
        sim.emit(number=1)
        sim.callbacks.answer(sim.take()[-1], status)
    assert sim.callbacks.given_up is None
    assert sim.callbacks.refused_in_a_row == 9
    sim.emit(fault.Reorder(behind=2, at_most=DAY))
    sim.emit(fault.Array(at_most=DAY))
    late = sim.emit(fault.Delay(DAY))
    last = sim.emit(number=2)
    (call,) = sim.take()
    sim.callbacks.answer(call, 404)
    assert sim.callbacks.given_up == sim.time.now
    assert {last.state, late.state} == {"lost"}
    assert {sent.state for sent in sim.callbacks.log} == {"lost", "taken"}
    assert sim.emit().state == "lost"
    assert sim.take(2 * DAY) == []
    sim.callbacks.resume()
    sim.emit()
    assert len(sim.messages()) == 1


def test_after_a_resume_refusals_are_counted_anew() -> None:
    """The address is given up again after as many refusals as the first time, and not at the next one."""
    sim = Sim(Options(callback_gives_up_after=3, callback_attempts=1))
    for _ in range(2):
        for refused in range(3):
            assert (sim.callbacks.given_up, sim.callbacks.refused_in_a_row) == (None, refused)
            sim.emit()
            (call,) = sim.take()
            sim.callbacks.answer(call, 401)
        assert sim.callbacks.given_up == sim.time.now
        sim.callbacks.resume()


def test_an_answer_after_giving_up() -> None:
    """What was under way when the address was given up is not sent again."""
    sim = Sim(Options(callback_gives_up_after=1))
    sim.emit()
    sim.emit(number=1)
    first, second = sim.take()
    sim.callbacks.answer(first, 401)
    sim.callbacks.answer(second, 500)
    assert {sent.state for sent in sim.callbacks.log} == {"lost"}
    assert sim.take(DAY) == []


def test_common_headers(sim: Sim) -> None:
    """LG's common headers come only where they are asked for, with the message's id and the user's country."""
    sim.emit()
    (call,) = sim.take()
    assert call.headers(sim.platform) == {}
    sim.platform.set_options(callback_headers=True)
    headers = call.headers(sim.platform)
    assert headers["x-message-id"] == json.loads(call.body())["messageId"]
    assert headers["x-country-code"] == "KR"
    assert headers["x-service-key"] == sim.platform.world.service.key


EFFECTS = st.sampled_from(
    [
        fault.Again(2, 3.0, "new"),
        fault.Delay(0.0, 2 * DAY),
        fault.Old(0.0, 3 * DAY),
        fault.Reorder(2),
        fault.Array(2),
        fault.Unknown(),
        fault.Extra(),
        fault.Without(),
        fault.Push("DEVICE_STATUS"),
        fault.Times("utc"),
        fault.CutBody(),
    ]
)


@given(
    st.lists(st.lists(EFFECTS, max_size=4), min_size=1, max_size=8),
    st.lists(st.sampled_from([200, 401, 503, None]), min_size=1),
)
def test_no_event_is_forgotten(
    effects: list[list[fault.EventEffect]], statuses: list[int | None]
) -> None:
    """Whatever befalls events, each ends as taken or lost, as its answers say, and nothing stays due."""
    sim = Sim()
    for number, some in enumerate(effects):
        sim.emit(*some, number=number)
    step = 0
    while (due := sim.callbacks.next_at()) is not None:
        for call in sim.take(max(due - sim.time.now, 0.0)):
            json.loads(call.body())
            sim.callbacks.answer(call, statuses[step % len(statuses)])
            step += 1
        assert step < 1000
    for sent in sim.callbacks.log:
        assert sent.open == 0
        assert sent.answers
        assert sent.state == ("taken" if 200 in sent.answers else "lost")
    longest = timedelta(days=9)  # four delays of two days each, and the sender's own tries
    assert sim.time.now <= START + longest.total_seconds()
