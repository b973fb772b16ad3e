"""Rules and their lock in the desired-state file: what they say, and what is wrong with them."""

from __future__ import annotations

from datetime import timedelta
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lock_files import READ, lock_file
from reconciler.core.model import AccountName, Device, DeviceId, DeviceType
from reconciler.core.rules import LockHead, LockLine, Registered, Rule, fingerprint
from reconciler.desired import Document, Loaded, MemoryTree, load, locks, patterns, sightings

SEOUL = AccountName("seoul")
WASHERS = Rule("washers", frozenset({"washer"}))
HEAD = "version = 1\n[accounts.seoul]\nlocked = 'seoul.lock.txt'\n"
RULES = "[[accounts.seoul.rules]]\nname = 'washers'\ntype = ['washer']\n"
LOCK = lock_file("seoul", WASHERS, a1="Room 1", b2="Room 2")


def read(text: str, lock: str | None = LOCK, *, resolving: bool = False) -> Loaded:
    """Load one file with its lock."""
    files = {} if lock is None else {"seoul.lock.txt": lock.encode()}
    tree = MemoryTree(MappingProxyType({**files, "more.txt": b"c3\n"}))
    return load([Document("a.toml", text.encode())], tree, resolving=resolving)


def faults(text: str, lock: str | None = LOCK) -> list[str]:
    """Return the faults of a file as people see them."""
    return [str(fault) for fault in read(text, lock).faults]


def test_a_lock_is_a_device_file_and_its_words_are_names_and_types() -> None:
    """The devices of the lock are wanted, each with LG's alias as its name and with its type."""
    desired = read(HEAD + RULES).accounts[SEOUL]
    assert desired.devices == {"a1", "b2"}
    assert desired.described[DeviceId("a1")] == Device(DeviceId("a1"), "Room 1", DeviceType.WASHER)
    assert desired.ruled is not None
    assert desired.ruled.rules == (WASHERS,)
    assert desired.ruled.path == "seoul.lock.txt"
    assert desired.ruled.head == LockHead("seoul", fingerprint([WASHERS]), 12, READ)


def test_all_that_a_rule_can_say() -> None:
    """Each condition of a rule is read, a type in either spelling."""
    rule = "[[accounts.seoul.rules]]\nname = 'laundry'\ntype = ['DEVICE_WASHER', 'dish_washer']\n"
    rule += "alias = ' Room * '\nmodel = 'F2?[ab]'\nexcept = ['x', 'y']\n"
    every = "[[accounts.seoul.rules]]\nname = 'all'\nevery = true\n"
    loaded = read(HEAD + rule + every, resolving=True)
    ruled = loaded.accounts[SEOUL].ruled
    assert ruled is not None
    assert ruled.rules == (
        Rule(
            "laundry",
            frozenset({"washer", "dish_washer"}),
            "Room *",
            "F2?[ab]",
            frozenset({DeviceId("x"), DeviceId("y")}),
        ),
        Rule("all"),
    )


RUN = "run pcc-reconciler resolve"
FAULTS = {
    HEAD: [
        "a.toml:3:1: a lock is what rules resolve to, and there are none: add one, or name the file in device_files"
    ],
    "version = 1\n[accounts.seoul]\ndevices = []\n" + RULES: [
        'a.toml:5:8: rules need a file to resolve to: write locked = "locks/seoul.txt" before them'
    ],
    HEAD + RULES.replace("type = ['washer']", ""): [
        "a.toml:5:8: a rule needs type, alias or model; for all devices of the account, write every = true"
    ],
    HEAD + RULES.replace("type = ['washer']", "except = ['a1']"): [
        "a.toml:5:8: a rule needs type, alias or model; for all devices of the account, write every = true"
    ],
    HEAD + RULES + "every = true\n": [
        "a.toml:5:8: every = true takes every device: leave out type, alias and model, or every"
    ],
    HEAD + RULES + RULES: [
        "a.toml:8:8: two rules of an account have this name; the other is at a.toml:5:8"
    ],
    HEAD + RULES.replace("['washer']", "[]"): ["a.toml:6:8: must not be empty"],
    HEAD + RULES.replace("'washer'", "'fridge'"): [
        "a.toml:6:9: the type must be washer, refrigerator, dish_washer or oven; did you mean 'refrigerator'?"
    ],
    HEAD + RULES.replace("name = 'washers'", ""): ["a.toml:4:1: name is missing"],
    HEAD + RULES.replace("'washers'", "'Wash | ers'"): [
        "a.toml:5:8: a rule's name is 1 to 63 of a-z, 0-9 and -, and begins with a letter or digit"
    ],
    HEAD + RULES + "alia = 'x'\n": ["a.toml:7:1: unknown key 'alia'; did you mean 'alias'?"],
    HEAD + RULES + "alias = ' '\n": [
        "a.toml:7:9: a pattern is one line of at most 256 printable characters, like Room *"
    ],
    HEAD + RULES + "model = 1\n": ["a.toml:7:9: must be text in quotes"],
    HEAD + RULES + "except = ['a/b']\n": [
        (
            "a.toml:7:11: an id is 1 to 256 printable characters without white space and without / ? # % \\, "
            "and not . or .."
        )
    ],
    HEAD.replace("seoul.lock", "*") + RULES: [
        "a.toml:3:10: names one file, so it has no *, ? or ["
    ],
    HEAD.replace("seoul.lock.txt", "b.toml") + RULES: [
        "a.toml:3:10: names a device file, like locks/all.txt, and no .toml file"
    ],
    HEAD.replace("seoul.lock", "../x") + RULES: [
        "a.toml:3:10: device files stay inside the folder of this file: no leading /, no .. and no \\"
    ],
    HEAD + RULES.replace("'washer'", "'oven'"): [
        f"seoul.lock.txt:1:1: the rules of account seoul are others than when this lock was written: {RUN}"
    ],
    HEAD + "devices = ['b2']\n" + RULES: [
        f"seoul.lock.txt:3:1: this device is listed beside the rules, too: {RUN}; it is listed at a.toml:4:12"
    ],
}


@pytest.mark.parametrize("text", FAULTS, ids=range(len(FAULTS)))
def test_what_is_wrong_with_rules(text: str) -> None:
    """Each fault says in plain words what is wrong, at its place, once."""
    told = [one for one in faults(text) if RUN not in one or RUN in FAULTS[text][0]]
    assert told == FAULTS[text]


def test_rules_are_limited_in_number() -> None:
    """An account has at most a hundred rules."""
    rules = "".join(RULES.replace("washers", f"r{number}") for number in range(101))
    assert "a.toml:305:8: an account has at most 100 rules" in faults(HEAD + rules)


STALE = {
    "": "seoul.lock.txt:1:1: the file is empty: if it is meant to list no device, write a comment into it, such as "
    "# none",
    "a1\n": f"seoul.lock.txt:1:1: this lock does not begin with the line of resolve: {RUN}",
    LOCK.replace("seoul", "busan"): (
        f"seoul.lock.txt:1:1: this lock was written for another account: {RUN}"
    ),
    LOCK.replace("T09:00", "T25:00"): (
        f"seoul.lock.txt:1:1: this lock does not begin with the line of resolve: {RUN}"
    ),
    LOCK[:-1]: "seoul.lock.txt:3:37: the file does not end with a newline, so it may be cut",
}


@pytest.mark.parametrize("lock", STALE, ids=range(len(STALE)))
def test_what_is_wrong_with_a_lock(lock: str) -> None:
    """A lock that does not fit is a fault that names resolve; one that is no device file is a fault of its own."""
    assert faults(HEAD + RULES, lock) == [STALE[lock]]
    assert bool(read(HEAD + RULES, lock, resolving=True).faults) is (RUN not in STALE[lock])


def test_a_missing_lock_is_a_fault_but_not_for_resolve() -> None:
    """Without its lock a file is refused, and resolve reads it all the same."""
    assert faults(HEAD + RULES, None) == [f"a.toml:3:10: there is no such file yet: {RUN}"]
    desired = read(HEAD + RULES, None, resolving=True).accounts[SEOUL]
    assert desired.ruled is not None
    assert (desired.ruled.path, desired.ruled.head) == ("seoul.lock.txt", None)


def test_two_accounts_cannot_share_a_lock() -> None:
    """One lock for two accounts is a fault that resolve does not end."""
    text = HEAD + RULES + HEAD.split("\n", 1)[1].replace("seoul]", "busan]")
    text += RULES.replace("seoul", "busan")
    assert (
        "a.toml:8:10: two accounts cannot have one lock; it is also that of the account at a.toml:2:11"
        in [str(fault) for fault in read(text, resolving=True).faults]
    )


def test_two_accounts_of_two_files_cannot_share_a_lock() -> None:
    """However the one lock is written in each."""
    texts = [HEAD + RULES, (HEAD + RULES).replace("accounts.seoul", "accounts.busan")]
    texts[1] = texts[1].replace("'seoul.lock.txt'", "'./seoul.lock.txt'")
    documents = [Document(f"{number}.toml", text.encode()) for number, text in enumerate(texts)]
    loaded = load(documents, MemoryTree({"seoul.lock.txt": LOCK.encode()}), resolving=True)
    assert [str(one) for one in loaded.faults] == [
        "1.toml:3:10: two accounts cannot have one lock; it is also that of the account at 0.toml:2:11"
    ]


def test_a_pattern_that_matches_the_lock_does_not_count_it_twice() -> None:
    """The lock may be in a folder whose files the account names."""
    text = HEAD + "device_files = ['*.txt']\n" + RULES
    loaded = read(text)
    assert loaded.faults == ()
    assert loaded.accounts[SEOUL].devices == {"a1", "b2", "c3"}


WRITTEN_LOCKS = [
    ("a.toml", "seoul.lock.txt", "seoul.lock.txt"),
    ("a.toml", "./seoul.lock.txt", "seoul.lock.txt"),
    ("a.toml", "locks//seoul.txt", "locks/seoul.txt"),
    ("sites/a.toml", "seoul.lock.txt", "sites/seoul.lock.txt"),
    ("sites/kr/a.toml", "./locks/seoul.txt", "sites/kr/locks/seoul.txt"),
]
"""A document, the lock as it is written there, and the file that is meant."""


@pytest.mark.parametrize(("document", "written", "path"), WRITTEN_LOCKS)
@pytest.mark.parametrize("pattern", ["", "*.txt", "**/*.txt", "locks/*.txt", "the lock"])
def test_a_lock_is_one_file_however_it_is_written_and_matched(
    document: str, written: str, path: str, pattern: str
) -> None:
    """Its place is beside its document, and a pattern that matches it, too, makes no device of it a second one."""
    folder = path.removesuffix(written.removeprefix("./").replace("//", "/"))
    beside = {f"{folder}more.txt": b"c3\n", f"{folder}locks/others.txt": b"d4\n"}
    named = written if pattern == "the lock" else pattern
    text = HEAD.replace("seoul.lock.txt", written)
    text += f"device_files = ['{named}', '*re.txt']\n{RULES}" if named else RULES
    loaded = load([Document(document, text.encode())], MemoryTree({**beside, path: LOCK.encode()}))
    assert loaded.faults == ()
    ruled = loaded.accounts[SEOUL].ruled
    assert ruled is not None
    assert ruled.path == path
    assert ruled.locked == {"a1", "b2"}
    listed = loaded.accounts[SEOUL].devices - ruled.locked
    assert listed == ruled.listed
    assert (
        listed
        == {
            "": set(),
            "*.txt": {"c3"},
            "**/*.txt": {"c3", "d4"},
            "locks/*.txt": {"c3", "d4"},
            "the lock": {"c3"},
        }[pattern]
    )
    assert path in loaded.named[document]


def test_locks_of_one_name_in_two_folders_are_two_locks() -> None:
    """Each document has the one beside it."""
    files = {"kr/lock.txt": LOCK, "jp/lock.txt": lock_file("tokyo", WASHERS, c3="Room 3")}
    text = (HEAD + RULES).replace("seoul.lock", "lock")
    documents = [
        Document("kr/a.toml", text.encode()),
        Document("jp/a.toml", text.replace("accounts.seoul", "accounts.tokyo").encode()),
    ]
    loaded = load(documents, MemoryTree({path: one.encode() for path, one in files.items()}))
    assert loaded.faults == ()
    wanted = {name: sorted(desired.devices) for name, desired in loaded.accounts.items()}
    assert wanted == {"seoul": ["a1", "b2"], "tokyo": ["c3"]}


def test_a_lock_that_was_accepted_before_stays_accepted() -> None:
    """A file in force is not refused after a restart, whatever its lock says."""
    tree = MemoryTree({"seoul.lock.txt": b"a1\n"})
    loaded = load([Document("a.toml", (HEAD + RULES).encode())], tree, kept=True)
    assert loaded.faults == ()
    assert loaded.accounts[SEOUL].devices == {"a1"}


def test_a_lock_is_among_the_files_that_a_file_names() -> None:
    """What follows files knows the lock, and a device is found at its line."""
    text = (HEAD + RULES).encode()
    assert patterns(text) == {"seoul.lock.txt"}
    loaded = read(HEAD + RULES)
    assert loaded.named["a.toml"] == {"seoul.lock.txt"}
    tree = MemoryTree({"seoul.lock.txt": LOCK.encode()})
    (seen,) = sightings([Document("a.toml", text)], tree, DeviceId("b2"))
    assert (seen.path, seen.line, seen.column) == ("seoul.lock.txt", 3, 1)


# ---------------------------------------------------------------------------------------------------------------------
# The lock file itself

between = st.sampled_from([" | ", "|", " | rule ", "#", "Room 7"])
aliases = st.none() | st.text(max_size=300) | st.lists(between, max_size=4).map("".join)
lines = st.dictionaries(
    st.sampled_from([DeviceId(name) for name in ("a", "b", "ü-한", "0" * 64)]),
    st.builds(
        LockLine,
        aliases,
        st.sampled_from(["", "washer", "OVEN|", "kimchi_refrigerator"]),
        st.sampled_from(["", "laundry", "a" * 63]),
    ),
)


@given(lines, st.integers(0, 10**9 - 1), st.integers(0, 10**9))
def test_a_lock_reads_back_as_it_was_written(
    written: dict[DeviceId, LockLine], registry: int, seconds: int
) -> None:
    """Whatever LG calls its devices, a lock is a device file without fault, and is written again byte for byte."""
    when = READ + timedelta(seconds=seconds)
    text = locks.dump(SEOUL, fingerprint([WASHERS]), registry, when, written)
    assert locks.head(text.encode()) == LockHead("seoul", fingerprint([WASHERS]), registry, when)
    loaded = read(HEAD + RULES, text)
    assert loaded.faults == ()
    desired = loaded.accounts[SEOUL]
    assert desired.devices == written.keys()
    assert desired.ruled is not None
    again = locks.lines(desired.ruled.locked, loaded.files["seoul.lock.txt"])
    assert locks.dump(SEOUL, fingerprint([WASHERS]), registry, when, again) == text


def test_the_head_is_the_documented_line() -> None:
    """The head names account, fingerprint, size of the registry and time, as the page shows."""
    said = {DeviceId("7121"): LockLine("Room 1203 washer", "washer", "laundry")}
    text = locks.dump(AccountName("seoul-hotel"), "9c" * 32, 412, READ, said)
    assert text == (
        f"# written by pcc-reconciler resolve; account seoul-hotel; rules sha256:{'9c' * 32}; "
        "registry of 412 devices, read 2026-11-30T09:00:00Z\n"
        "7121  # Room 1203 washer | washer | rule laundry\n"
    )
    assert Registered(DeviceId("7121"), "DEVICE_WASHER").kind == "washer"
