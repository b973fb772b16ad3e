"""Loading with what was kept is loading anew, after any sequence of edits: in one process, and over a restart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import deepcopy

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from disks import StandingClock
from reconciler import desired
from reconciler.controller.kept_revisions import KeptRevisions
from reconciler.core import acceptance
from reconciler.core.acceptance import Accepted, Loaded
from reconciler.core.model import AccountName, Desired, DeviceId, Revision
from reconciler.desired import Document, LoadCache, MemoryTree, Role, Sighting
from reconciler.source import Fetched, load_fetched
from reconciler.state import State

SHARED = "all.toml"
HOMES = {"a": "one.toml", "b": "two.toml", "c": "two.toml"}
FILES = (SHARED, "one.toml", "two.toml")
LISTS = ("f.txt", "g.txt")
HEADS = (
    "timezone = 'Asia/Seoul'",
    "timezone = 'Europe/Paris'",
    "timezone = 'Asia/Seoul'\npolicy.max_unsubscribe = 7",
    "timezone = 'Asia/Seoul'\npolicy.ignore = [\n  'w',\n  'x',\n]",
    "timezone = 'Asia/Seoul'\nenvironment = 'production'",
    "timezone = 'Asia/Seoul'\nretired_accounts = ['d']",
)
ACCOUNTS = (
    None,
    "devices = []",
    "devices = ['x', 'y']",
    "devices = [\n  'x',\n  { id = 'y', name = 'Y' },\n  'z',\n]",
    "devices = ['x']\npolicy.allow_empty = true",
    "devices = ['y']\npolicy.ignore = ['y']",
    "device_files = ['f.txt']",
    "device_files = ['*.txt']\ndevices = ['v']",
    "devices = [{ id = 'w', until = 2027-01-01 }]",
)
APPROVALS = (
    None,
    "devices = ['gone', 'x']\nexpires = 2027-01-01T00:00:00Z\nreason = 'moved'",
    "device_files = ['g.txt']\nexpires = 2027-01-01T00:00:00Z\nreason = 'moved'",
    "devices = [\n  'gone',\n  'z',\n]\nexpires = 2027-01-01\nreason = 'a bare date'",
)
LISTED = (b"x\n", b"y # Why\nz\n", b"z\n")
SPOILT = ("cut", "no zone", "two zones", "listed twice", "in two files", "no list", "empty list")
DEVICES = [DeviceId(one) for one in ("v", "w", "x", "y", "z", "gone")]
file_names = st.sampled_from(FILES)
account_names = st.sampled_from(sorted(HOMES))


class Written:
    """One document in its parts."""

    def __init__(self, head: str = "") -> None:
        self.head = head
        self.accounts: dict[str, str] = {}
        self.approvals: dict[str, str] = {}
        self.broken = False

    @property
    def content(self) -> bytes:
        """Return the document as it is written."""
        lines = ["version = 1", self.head]
        for name, body in self.accounts.items():
            lines += [f"[accounts.{name}]", body]
        for name, body in self.approvals.items():
            lines += ["[[approvals]]", f"account = '{name}'", body]
        return "\n".join([*lines, "[" if self.broken else "", ""]).encode()


class Editing(RuleBasedStateMachine):
    """People edit a few files, and after each edit all are loaded."""

    def __init__(self) -> None:
        super().__init__()
        self.written = {name: Written() for name in FILES}
        self.written[SHARED].head = HEADS[0]
        for name, home in HOMES.items():
            self.written[home].accounts[name] = ACCOUNTS[2] if name == "a" else "devices = []"
        self.lists = dict.fromkeys(LISTS, b"x\n")
        self.state = State.in_memory(StandingClock())
        self.cache, self.recalling = LoadCache(), LoadCache()
        self.accepted = Accepted()
        self.kept = KeptRevisions(
            self.state.accounts,
            self.state.revisions,
            self.state.protections,
            StandingClock(),
            None,
            writes=True,
        )
        self.files: dict[str, Mapping[str, bytes]] = {}
        self.last: Loaded | None = None

    def teardown(self) -> None:
        """Let go of the state."""
        self.state.close()

    @rule(head=st.sampled_from(HEADS))
    def edit_head(self, head: str) -> None:
        """Let what concerns all accounts be edited."""
        self.written[SHARED].head = head

    @rule(account=account_names, body=st.sampled_from(ACCOUNTS))
    def edit_account(self, account: str, body: str | None) -> None:
        """Let an account be edited, or taken out."""
        accounts = self.written[HOMES[account]].accounts
        accounts.pop(account, None)
        if body is not None:
            accounts[account] = body

    @rule(name=file_names, account=account_names, body=st.sampled_from(APPROVALS))
    def edit_approval(self, name: str, account: str, body: str | None) -> None:
        """Let an approval be given, or withdrawn; the account may be in another file."""
        approvals = self.written[name].approvals
        approvals.pop(account, None)
        if body is not None:
            approvals[account] = body

    @rule(name=st.sampled_from(LISTS), content=st.sampled_from(LISTED))
    def edit_list(self, name: str, content: bytes) -> None:
        """Let a device file be edited."""
        self.lists[name] = content

    @rule(name=file_names, how=st.sampled_from(SPOILT))
    def spoil(self, name: str, how: str) -> None:
        """Let a fault be made, seen and taken back."""
        written, lists = deepcopy(self.written), dict(self.lists)
        one = self.written[name]
        match how:
            case "cut":
                one.broken = True
            case "no zone":
                self.written[SHARED].head = ""
            case "two zones":
                self.written[FILES[1]].head = HEADS[0]
            case "listed twice":
                one.accounts["b"] = "devices = ['x', 'x']"
            case "in two files":
                self.written[FILES[1]].accounts["b"] = "devices = ['y']"
            case "no list":
                self.lists.clear()
            case _:
                self.lists["f.txt"] = b""
        self.a_load_with_what_was_kept_is_a_load_anew()
        self.written, self.lists = written, lists

    @rule(name=file_names)
    def take_away(self, name: str) -> None:
        """Let a document be away for a moment."""
        away = self.written.pop(name)
        self.a_load_with_what_was_kept_is_a_load_anew()
        self.written[name] = away

    @invariant()
    def a_load_with_what_was_kept_is_a_load_anew(self) -> None:
        """Load twice, keep what is good, and see that a restart reads from it what it would read anew."""
        fetched = Fetched(
            tuple(Document(name, one.content) for name, one in sorted(self.written.items())),
            MemoryTree(self.lists),
        )
        loaded = load_fetched(fetched, cache=self.cache)
        assert loaded == load_fetched(fetched)
        self.last = loaded
        revision = Revision(loaded.sha256)
        self.accepted = acceptance.accept(self.accepted, loaded, revision)
        in_force = self.accepted.revision == revision
        self.kept.keep(fetched, loaded, revision, in_force=in_force)
        before, kept = self.files, self.kept.load()
        self.files = {one.document: one.files for one in kept}
        for path in loaded.faulty:
            assert self.files.get(path) == before.get(path)
        recalled = self.kept.accepted(kept, self.recalling)
        anew = self.kept.accepted(kept)
        assert recalled == anew
        if in_force and not loaded.faults and anew is not None:
            assert wanted(anew) == dict(loaded.accounts)
            assert (anew.retired, anew.shared) == (loaded.retired, loaded.shared)

    @rule(device=st.sampled_from(DEVICES))
    def find(self, device: DeviceId) -> None:
        """Look for a device: it is found where the accounts say that it is, on a line that has it."""
        if self.last is None or self.last.faults or not self.last.accounts:
            return
        documents = [Document(name, one.content) for name, one in sorted(self.written.items())]
        found = desired.sightings(documents, MemoryTree(self.lists), device)
        there = {None, *self.last.accounts}  # an approval may name an account that no file has
        assert {(one.role, one.account, one.approval) for one in found if one.account in there} == {
            *_roles(self.last.accounts, device),
            *_ignoring(self.last.accounts, found, device),
        }
        texts = {**{one.path: one.content for one in documents}, **self.lists}
        for one in found:
            line = texts[one.path].split(b"\n")[one.line - 1]
            assert line[one.column - 1 :].lstrip(b"'{ id=\"").startswith(device.encode())


def _ignoring(
    accounts: Mapping[AccountName, Desired], found: Iterable[Sighting], device: DeviceId
) -> set[tuple[Role, AccountName | None, int]]:
    """Return where a device is ignored: an account ignores what it says itself, and what is said for all."""
    said = {one.account for one in found if one.role is Role.IGNORE}
    for name, one in accounts.items():
        assert (device in one.policy.ignore) is bool(said & {name, None})
    return {(Role.IGNORE, name, 0) for name in said}


def wanted(accepted: Accepted) -> dict[AccountName, Desired]:
    """Return what each account wants."""
    return {name: one.desired for name, one in accepted.accounts.items()}


def _roles(
    accounts: Mapping[AccountName, Desired], device: DeviceId
) -> set[tuple[Role, AccountName | None, int]]:
    found: set[tuple[Role, AccountName | None, int]] = set()
    for name, one in accounts.items():
        if device in one.devices:
            found.add((Role.DEVICE, name, 0))
        for number, approval in enumerate(one.approvals):
            if device in approval.devices:
                found.add((Role.APPROVAL, name, number))
    return found


TestEditing = Editing.TestCase
TestEditing.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
