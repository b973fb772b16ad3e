"""What several documents say together, beside plain rules: who wants what, what excludes what, and what is left out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.core.model import (
    AccountName,
    Approval,
    Desired,
    Device,
    DeviceId,
    Pause,
    Policy,
    Prune,
)
from reconciler.desired import Document, MemoryTree, load

ACCOUNTS = [AccountName(name) for name in ("busan", "daegu", "seoul")]
DEVICES = [DeviceId(name) for name in "uvwxyz"]
PATHS = ("a.toml", "b.toml", "c.toml")
UNTIL = datetime(2027, 1, 1, tzinfo=UTC)
EXPIRES = [datetime(2026, 12, day, tzinfo=UTC) for day in (1, 2, 3)]
Place = tuple[str, int]
"""A path and a line."""

POLICY: Mapping[str, Mapping[str, Any]] = {
    "prune": {"'owned'": Prune.OWNED, "'none'": Prune.NONE, "'all'": Prune.ALL},
    "ignore": {"['u', 'v']": frozenset("uv"), "['z']": frozenset("z"), "[]": frozenset()},
    "max_unsubscribe": {"0": 0, "7": 7},
    "max_unsubscribe_floor": {"0": 0, "9": 9},
    "unsubscribe_after": {"'2h'": timedelta(hours=2), "'1d'": timedelta(days=1)},
    "allow_empty": {"true": True, "false": False},
    "pause": {"'none'": Pause.NONE, "'unsubscribe'": Pause.UNSUBSCRIBE, "'all'": Pause.ALL},
    "calls_per_hour": {"60": 60, "90": 90},
}
"""What may be written of each key, and what it means."""


@dataclass(frozen=True, slots=True)
class Account:
    """One account as a document defines it. ``leaving`` are those of its devices that have an end."""

    devices: tuple[DeviceId, ...]
    leaving: frozenset[DeviceId]
    country: str | None
    policy: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Approved:
    """One approval."""

    account: str
    devices: tuple[DeviceId, ...]
    expires: datetime
    reason: str


@dataclass(slots=True)
class Text:
    """One document, and the line of each thing in it."""

    path: str
    accounts: Mapping[AccountName, Account]
    approvals: Sequence[Approved]
    shared: Mapping[str, str]
    faulty: bool
    lines: list[str] = field(default_factory=lambda: ["version = 1"])
    at: dict[tuple[Any, ...], Place] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Write it down."""
        if self.faulty:
            self._line("unknown = 1", "fault")
        for key, value in self.shared.items():
            self._line(f"{key} = {value}", "shared", key)
        for name, account in self.accounts.items():
            self._line(f"[accounts.{name}]", "account", name)
            if account.country is not None:
                self._line(f"country = '{account.country}'")
            for key, value in account.policy.items():
                self._line(f"policy.{key} = {value}")
            self._devices(account.devices, account.leaving, "wants", name)
        for number, one in enumerate(self.approvals):
            self._line("[[approvals]]")
            self._line(f"account = '{one.account}'", "for", number)
            self._line(f"expires = {one.expires.isoformat()}")
            self._line(f"reason = '{one.reason}'")
            self._devices(one.devices, frozenset(), "approves", number)

    def _line(self, line: str, *thing: object) -> None:
        self.lines.append(line)
        if thing:
            self.at[thing] = self.path, len(self.lines)

    def _devices(
        self, devices: Sequence[DeviceId], leaving: frozenset[DeviceId], *thing: object
    ) -> None:
        self._line("devices = [")
        for device in devices:
            until = f"{{ id = '{device}', until = {UNTIL.isoformat()} }},"
            self._line(until if device in leaving else f"'{device}',", *thing, device)
        self._line("]")

    @property
    def document(self) -> Document:
        """Return it as it is read."""
        return Document(self.path, "\n".join([*self.lines, ""]).encode())


@st.composite
def policies(draw: st.DrawFn) -> Mapping[str, str]:
    """Draw some keys of a policy, as they are written."""
    keys = draw(st.lists(st.sampled_from(sorted(POLICY)), max_size=3, unique=True))
    return {key: draw(st.sampled_from(sorted(POLICY[key]))) for key in keys}


some = st.lists(st.sampled_from(DEVICES), max_size=3, unique=True).map(tuple)
accounts = st.builds(
    Account,
    some,
    st.frozensets(st.sampled_from(DEVICES)),
    st.none() | st.sampled_from(["KR", "US"]),
    st.just({}) | policies(),
)
approvals = st.builds(
    Approved,
    st.sampled_from([*ACCOUNTS, "elsewhere"]),
    some,
    st.sampled_from(EXPIRES),
    st.sampled_from(["sold", "moved"]),
)


@st.composite
def texts(draw: st.DrawFn) -> list[Text]:
    """Draw three documents: most accounts are in one of them, and most shared keys too."""
    mostly_one = st.sampled_from([(), (0,), (1,), (2,), (0,), (1,), (2,), (0, 2)])
    homes = {name: draw(mostly_one) for name in ACCOUNTS}
    shared = {
        "timezone": (draw(mostly_one), ["'UTC'"]),
        "environment": (draw(mostly_one), ["'one'", "'two'"]),
        "retired_accounts": (draw(mostly_one), ["['gone']", "['gone', 'late']", "['busan']"]),
    }
    general = draw(mostly_one), draw(policies())
    found = []
    for number, path in enumerate(PATHS):
        keys = {
            key: draw(st.sampled_from(values))
            for key, (where, values) in shared.items()
            if number in where
        }
        if number in general[0]:
            said = ", ".join(f"{key} = {value}" for key, value in general[1].items())
            keys["policy"] = f"{{ {said} }}"
        own = {name: draw(accounts) for name, where in homes.items() if number in where}
        faulty = draw(st.integers(0, 7)) == 7
        found.append(Text(path, own, draw(st.lists(approvals, max_size=2)), keys, faulty))
    return found


def homes_of(written: Sequence[Text], name: AccountName) -> list[Text]:
    """Return the documents that define an account."""
    return [text for text in written if name in text.accounts]


def excluding(written: Sequence[Text]) -> Iterator[tuple[Place, Place]]:
    """Find what may not be so: each place at fault, with the other one."""
    for key in ("environment", "timezone", "policy", "retired_accounts"):
        yield from _twice([text.at["shared", key] for text in written if key in text.shared])
    for name in ACCOUNTS:
        yield from _twice([text.at["account", name] for text in homes_of(written, name)])
    retiring = [text for text in written if "retired_accounts" in text.shared]
    for text in retiring[:1]:
        for name in ACCOUNTS:
            if f"'{name}'" in text.shared["retired_accounts"] and homes_of(written, name):
                home = homes_of(written, name)[-1]
                yield text.at["shared", "retired_accounts"], home.at["account", name]
    for text in written:
        for number, one in enumerate(text.approvals):
            for home in homes_of(written, AccountName(one.account))[-1:]:
                account = home.accounts[AccountName(one.account)]
                for device in set(one.devices) & set(account.devices) - account.leaving:
                    wanted = home.at["wants", one.account, device]
                    yield text.at["approves", number, device], wanted


def _twice(places: Sequence[Place]) -> Iterator[tuple[Place, Place]]:
    for place in places if len(places) > 1 else ():
        yield place, places[1] if place == places[0] else places[0]


def policy_of(*given: Mapping[str, str]) -> Policy:
    """Return what policies mean, the general one first."""
    meant: dict[str, Any] = {}
    for one in given:
        for key, written in one.items():
            value = POLICY[key][written]
            if key == "ignore":
                value |= meant.get(key, frozenset())
            if key == "pause":
                strictness = [Pause.NONE, Pause.UNSUBSCRIBE, Pause.ALL]
                value = max(value, meant.get(key, Pause.NONE), key=strictness.index)
            meant[key] = value
    return Policy(**meant)


def told(faults: Sequence[object]) -> set[tuple[Place, Place]]:
    """Return the places of faults that name another place."""
    found = set()
    for fault in map(str, faults):
        if match := re.fullmatch(r"(.+?):(\d+):\d+: .* (?:at|first) ([^ ]+):(\d+):\d+", fault):
            path, line, other, other_line = match.groups()
            found.add(((path, int(line)), (other, int(other_line))))
    return found


@settings(max_examples=150)
@given(texts())
def test_what_several_documents_say(written: list[Text]) -> None:
    """Each account is as its one document has it, with what others say of it; a contradiction names both places."""
    loaded = load([text.document for text in written], MemoryTree({}))
    wrong = set(excluding(written))
    assert told(loaded.faults) == wrong
    faulty = {place[0] for place, _other in wrong} | {text.path for text in written if text.faulty}
    if not any(text.accounts for text in written) and not faulty:
        assert (loaded.shared_fault, dict(loaded.accounts)) == (True, {})
        return
    assert dict(loaded.faulty) == {
        text.path: frozenset(text.accounts) for text in written if text.path in faulty
    }
    at_shared = {place for text in written for thing, place in text.at.items() if "shared" in thing}
    assert loaded.shared_fault is any(place in at_shared for place, _other in wrong)
    if loaded.shared_fault:
        assert not loaded.accounts
        return
    good = [text for text in written if text.path not in faulty]
    general = next((_general(text) for text in written if "policy" in text.shared), {})
    assert dict(loaded.accounts) == {
        name: meant(text, name, general, good) for text in good for name in text.accounts
    }


def _general(text: Text) -> Mapping[str, str]:
    """Return the general policy of a document, as it is written."""
    return dict(re.findall(r"(\w+) = ('\w+'|\w+|\[[^]]*\])", text.shared["policy"]))


def meant(
    text: Text, name: AccountName, general: Mapping[str, str], good: Sequence[Text]
) -> Desired:
    """Return what an account wants."""
    account = text.accounts[name]
    return Desired(
        account=name,
        devices=frozenset(account.devices),
        described={
            device: Device(device, until=UNTIL)
            for device in account.devices
            if device in account.leaving
        },
        policy=policy_of(general, account.policy),
        approvals=tuple(
            Approval(frozenset(one.devices), one.expires, one.reason)
            for other in good
            for one in other.approvals
            if one.account == name
        ),
        country=account.country,
        path=text.path,
    )


@settings(max_examples=100)
@given(texts())
def test_what_is_worth_a_word(written: list[Text]) -> None:
    """Approvals for nobody are named, and devices that two accounts want: once for each two accounts."""
    if any(len(homes_of(written, name)) > 1 for name in ACCOUNTS):
        return
    loaded = load([text.document for text in written], MemoryTree({}))
    defined = {name for text in written for name in text.accounts}
    nobody = {
        text.at["for", number]
        for text in written
        for number, one in enumerate(text.approvals)
        if one.account not in defined
    }
    order = [(text, name) for text in written for name in text.accounts]
    shared: dict[tuple[AccountName, AccountName], tuple[Place, Place, int]] = {}
    for device in DEVICES:
        wanting = [
            (text.at["wants", name, device], name)
            for text, name in order
            if device in text.accounts[name].devices
        ]
        for place, name in wanting[1:]:
            first, owner = wanting[0]
            known = shared.get((owner, name), (place, first, 0))
            shared[owner, name] = (*known[:2], known[2] + 1)
    assert told(loaded.warnings) == {(place, first) for place, first, _number in shared.values()}
    numbers = sorted(
        int(match.group(1)) + 1 if (match := re.search(r"and (\d+) more", str(one))) else 1
        for one in loaded.warnings
        if "also desired" in str(one)
    )
    assert numbers == sorted(number for _place, _first, number in shared.values())
    others = {(one.path, one.line) for one in loaded.warnings if "also desired" not in str(one)}
    assert others == nobody
