"""Whatever people do to the files, no protected device is unsubscribed that no approval names."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from protected_fleet import EAST, LOOSE, NORTH, WEST, ProtectedFleet, approval
from reconciler.core.model import AccountName

ACCOUNTS = st.sampled_from([EAST, WEST, NORTH])
ENTRIES = (
    *[""] * 6,
    '"{0}"',
    '{{ id = "{0}" }}',
    *['{{ id = "{0}", protected = true }}'] * 3,
    '{{ protected = true, id = "{0}" }}',
    '{{ id = "{0}", protected = false }}',
    '{{ id = "{0}", protected = true, until = 2026-10-01T00:00:00Z }}',
    '{{ id = "{0}", until = 2026-10-01T00:00:00Z }}',
)
NUMBER = 2
EDITS = st.lists(st.sampled_from(ENTRIES), min_size=NUMBER, max_size=NUMBER)
BITS = st.integers(0, 2**NUMBER - 1)


class Editing(RuleBasedStateMachine):
    """People protect, release, move and remove devices and accounts, and cut files, while passes are made."""

    @initialize(one_user=st.booleans())
    def begin(self, *, one_user: bool) -> None:
        """Begin with devices that are live and that no file names."""
        self.room, self.loop = TemporaryDirectory(), asyncio.Runner()
        users = {EAST: "east", WEST: "east" if one_user else "west", NORTH: "east"}
        self.fleet = ProtectedFleet(Path(self.room.name), users, devices=NUMBER)
        self.devices = [str(one) for one in self.fleet.owned["east"]]
        self.fleet.subscribe("east", *self.devices)
        self.ever: set[str] = set()

    def teardown(self) -> None:
        """Let go of the loop and the disk."""
        if hasattr(self, "fleet"):
            self.fleet.close()
            self.loop.close()
            self.room.cleanup()

    def picked(self, bits: int) -> list[str]:
        """Return the devices that a number picks."""
        return [one for place, one in enumerate(self.devices) if bits >> place & 1]

    @rule(account=ACCOUNTS, entries=EDITS)
    def shorten(self, account: AccountName, entries: list[str]) -> None:
        """Write an account's file anew without any approval, and make a pass."""
        self.edit(account, entries, 0, 0, tables=False)
        self.work(0.1)

    @rule(account=ACCOUNTS, entries=EDITS)
    def lengthen(self, account: AccountName, entries: list[str]) -> None:
        """Write an account's file anew with a table for each entry, and make a pass."""
        self.edit(account, entries, 0, 0, tables=True)
        self.work(0.1)

    @rule(
        account=ACCOUNTS,
        entries=EDITS,
        tables=st.booleans(),
        approved=st.just(0) | BITS,
        hours=st.sampled_from([-1, 2, 5000]),
    )
    def edit(
        self, account: AccountName, entries: list[str], approved: int, hours: int, *, tables: bool
    ) -> None:
        """Write an account's file anew."""
        written, named = [], []
        for entry, device in zip(entries, self.devices, strict=True):
            if entry:
                written.append(entry.format(device))
            if (not entry or "until" in entry) and device in self.picked(approved):
                named.append(device)  # an approval of a wanted device is a fault
            if "protected = true" in entry:
                self.ever.add(device)
        expires = self.fleet.clock.now() + timedelta(hours=hours)
        more = approval(account, *named, expires=expires) if named else ""
        head = f"version = 1\n[accounts.{account}]\n{LOOSE}\n"
        if tables and written and all(one.startswith("{") for one in written):
            listed = "".join(_table(account, one) for one in written)
        else:
            listed = f"devices = [{', '.join(written)}]\n"
        self.do(account, head + listed + more)

    @rule(account=ACCOUNTS, share=st.floats(0, 1))
    def cut(self, account: AccountName, share: float) -> None:
        """Cut an account's file anywhere."""
        content = self.fleet.source.files.get(f"{account}.toml", b"")
        self.do(account, content[: round(share * len(content))])

    @rule(account=ACCOUNTS, gone=ACCOUNTS, retires=st.booleans())
    def remove(self, account: AccountName, gone: AccountName, *, retires: bool) -> None:
        """Remove an account's file, or retire it in the file of another one."""
        if not retires:
            self.do(gone, None)
        elif account != gone:
            self.fleet.write(gone, None)
            head = f"version = 1\nretired_accounts = ['{gone}']\n"
            self.do(account, f"{head}[accounts.{account}]\n{LOOSE}\ndevices = []\n")

    def do(self, account: AccountName, content: str | bytes | None) -> None:
        """Write a file, and let what can be come into force."""
        self.loop.run(self.fleet.edit(account, content))

    @rule(device=st.integers(0, NUMBER - 1), user=st.sampled_from(["east", "west"]))
    def by_hand(self, device: int, user: str) -> None:
        """End the process and begin another, and let somebody subscribe a device by hand meanwhile."""
        if user in self.fleet.owned:
            self.fleet.subscribe(user, self.devices[device])
        self.loop.run(self.fleet.restart())

    @rule(hours=st.sampled_from([0.1, 3]))
    def work(self, hours: float) -> None:
        """Make a pass of each account; what was never protected and nobody wants goes."""
        self.loop.run(self.fleet.passes(after=timedelta(hours=hours)))
        accepted = self.fleet.informer.accepted.accounts
        wanted: set[str] = set()
        for text in accepted.values():
            wanted |= text.desired.wanted_at(self.fleet.clock.now())
        for account, text in accepted.items():
            live = self.fleet.live(self.fleet.users[account])
            if text.rejected is None:
                assert live - wanted <= self.ever, "it holds what nobody protected"

    @invariant()
    def no_protected_device_goes(self) -> None:
        """See that nothing went whose protection nothing ended."""
        if hasattr(self, "fleet"):
            assert self.fleet.broken() == []


def _table(account: str, entry: str) -> str:
    """Return an inline entry as a table of its own, whose keys are on lines that a cut can part."""
    keys = entry.strip("{ }").replace(", ", "\n")
    return f"[[accounts.{account}.devices]]\n{keys}\n"


TestEditing = Editing.TestCase
TestEditing.settings = settings(max_examples=40, stateful_step_count=20)
