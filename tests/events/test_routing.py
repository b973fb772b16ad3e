"""Which sinks an event goes to: filters narrow, they never lose."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from reconciler.events.config import SinkConfig, SinkType
from reconciler.events.logic import LogicInForce, LogicTable, TypeRow
from reconciler.events.model import PCC_EVENT, SELF_TEST, Category, Device, Message
from reconciler.events.routing import SinkRouter, passes

DEVICE = "7121f083"


class OneAccount:
    """A directory that has every device in one account, or in none."""

    def __init__(self, account: str | None) -> None:
        self._account = account

    def device(self, device: str) -> Device:
        """Return a device of that account."""
        return Device(device, account=self._account)


def sink(**filters: object) -> SinkConfig:
    """Return a sink with these filters."""
    return SinkConfig(name="crm", type=SinkType.STREAM, **filters)  # type: ignore[arg-type]


def routed(
    chosen: SinkConfig, account: str | None, diagnosis: str = "KNOWN", push_type: str = PCC_EVENT
) -> bool:
    """Return whether a message gets to a sink."""
    table = LogicTable("r1", {"KNOWN": {"": TypeRow(Category.MISUSE)}})
    router = SinkRouter(OneAccount(account), LogicInForce(table))
    router.enforce({"crm": chosen})
    return router.route(Message(push_type, {}, device=DEVICE, diagnosis=diagnosis)).sinks == (
        "crm",
    )


def test_a_sink_without_filters_gets_every_diagnosis() -> None:
    """And no other push type."""
    assert routed(sink(), "seoul")
    assert routed(sink(), None, "NEW")
    assert not routed(sink(), "seoul", push_type="DEVICE_STATUS")
    assert routed(sink(push_types=frozenset({"DEVICE_STATUS"})), "seoul", push_type="DEVICE_STATUS")


def test_categories_narrow() -> None:
    """A type that the table does not have has no category, so it passes."""
    misuse, other = frozenset({Category.MISUSE}), frozenset({Category.MALFUNCTION})
    assert routed(sink(categories=misuse), "seoul")
    assert not routed(sink(categories=other), "seoul")
    assert routed(sink(categories=other), "seoul", "NEW")


def test_accounts_narrow() -> None:
    """A device that the desired state does not name has no account, so it passes."""
    assert routed(sink(accounts=("busan", "seoul-*")), "seoul-hotel")
    assert not routed(sink(accounts=("busan", "seoul-*")), "seoul")
    assert routed(sink(accounts=("busan",)), None)


def test_what_was_known_is_kept_beside_the_sinks() -> None:
    """Account and category of that moment, for the lists."""
    table = LogicTable("r1", {"KNOWN": {"": TypeRow(Category.MISUSE)}})
    router = SinkRouter(OneAccount("seoul"), LogicInForce(table))
    route = router.route(Message(PCC_EVENT, {}, device=DEVICE, diagnosis="KNOWN"))
    assert (route.sinks, route.account, route.category) == ((), "seoul", "misuse")


def test_a_self_test_goes_nowhere() -> None:
    """Even where a sink asks for it."""
    assert not routed(sink(push_types=frozenset({SELF_TEST})), "seoul", push_type=SELF_TEST)


_CATEGORIES = st.sampled_from([*Category])
_ACCOUNTS = st.text("ab-1", min_size=1, max_size=4)


@given(
    st.none() | st.frozensets(_CATEGORIES, min_size=1),
    st.none() | st.lists(st.text("ab-1*?", min_size=1, max_size=4), min_size=1).map(tuple),
    st.none() | _CATEGORIES.map(str),
    st.none() | _ACCOUNTS,
)
def test_filters_never_lose(
    categories: frozenset[Category] | None,
    accounts: tuple[str, ...] | None,
    category: str | None,
    account: str | None,
) -> None:
    """An event is held back only by a filter that can judge it; fewer filters and less knowledge let more pass."""
    chosen = sink(categories=categories, accounts=accounts)
    passed = passes(chosen, PCC_EVENT, account, category)
    assert passes(chosen, PCC_EVENT, None, None)
    assert passes(sink(), PCC_EVENT, account, category)
    assert passed == (
        passes(sink(categories=categories), PCC_EVENT, account, category)
        and passes(sink(accounts=accounts), PCC_EVENT, account, category)
    )
    assert not passed or passes(chosen, PCC_EVENT, None, category)
    assert not passed or passes(chosen, PCC_EVENT, account, None)
