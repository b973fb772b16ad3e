"""What a change of the files adds and removes since a Git revision, as a reviewer sees it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from reconciler import cli
from reconciler.core.model import AccountName, Commit
from reconciler.desired import Document, Loaded, MemoryTree, load
from reconciler.reporting.diff import Comparison, Difference, compare
from reconciler.reporting.formats import validations
from reconciler.reporting.formats.screen import Screen, columns

NOW = datetime(2026, 11, 22, tzinfo=UTC)
COMMIT = Commit("0" * 40, "Kim", "Move a fridge", NOW)


def loaded(text: str) -> Loaded:
    """Read a text."""
    found = load([Document("fleet.toml", text.encode())], MemoryTree({}))
    assert not found.faults
    return found


def difference(before: str, after: str) -> Difference:
    """Return how the only account that differs does."""
    (one,) = compare(loaded(before), loaded(after), NOW)
    return one


def test_equal_texts_do_not_differ() -> None:
    """Another order, other comments and another layout are no change."""
    before = 'version = 1\ndevices = ["aaaa", "bbbb"]\n'
    after = 'version = 1 # one\ndevices = [\n  { id = "bbbb" },\n  "aaaa",\n]\n'
    assert compare(loaded(before), loaded(after), NOW) == ()


def test_devices_that_come_go_and_change_are_told_apart() -> None:
    """Added, removed and edited devices are each listed once, and names go with them."""
    before = (
        'version = 1\ndevices = ["aaaa", "bbbb", { id = "cccc", name = "Fridge" },'
        ' { id = "dddd", name = "Oven" }]\n'
    )
    after = 'version = 1\ndevices = ["aaaa", "eeee", { id = "cccc", name = "Old fridge" }]\n'
    one = difference(before, after)
    assert (one.added, one.removed, one.edited) == (("eeee",), ("bbbb", "dddd"), ("cccc",))
    assert one.names == {"cccc": "Old fridge", "dddd": "Oven"}
    assert (one.keys, one.fate, one.approved) == ((), "", frozenset())


MOVE = """version = 1
[accounts.east]
devices = [{east}]
[accounts.west]
devices = [{west}]
"""


def test_a_move_to_another_account_is_named_as_held_until_it_is_approved() -> None:
    """A removed device that another account wants is told with that account, and what releases it."""
    before = loaded(MOVE.format(east='"aaaa", "bbbb", "cccc"', west='"dddd"'))
    after = MOVE.format(east='"cccc"', west='"dddd", "aaaa"')
    east, west = compare(before, loaded(after), NOW)
    assert (east.removed, dict(east.elsewhere), dict(west.elsewhere)) == (
        ("aaaa", "bbbb"),
        {"aaaa": "west"},
        {},
    )
    shown = validations.comparison_text([Comparison("main", COMMIT, (east, west))])
    assert (
        "2 devices removed, 1 wanted by west and held here by wanted-elsewhere until approved"
        in shown
    )
    assert "- aaaa  wanted by west\n" in shown
    approval = '[[approvals]]\naccount = "east"\ndevices = ["aaaa"]\nexpires = 2099-01-01T00:00:00Z\nreason = "moved"\n'
    east, west = compare(before, loaded(after + approval), NOW)
    shown = validations.comparison_text([Comparison("main", COMMIT, (east, west))])
    assert "held here" not in shown
    assert "- aaaa  wanted by west, approved\n" in shown


def test_a_comparison_fits_a_terminal() -> None:
    """Names come first and ids are short on 80 columns; in a file each device is one line; ids are whole on request."""
    names = ["Room 1201 fridge", "냉장고 " * 20, "x"]
    entries = [f'{{ id = "{n}{"0" * 63}", name = "{name}" }}' for n, name in enumerate(names)]
    before = f'version = 1\ndevices = ["{"a" * 64}"]\n'
    one = difference(before, f"version = 1\ndevices = [{', '.join(entries)}]\n")
    compared = [Comparison("main", COMMIT, (one,))]
    lines = validations.comparison_text(compared, Screen(80, folds=True)).splitlines()
    assert [line for line in lines if columns(line) > 80] == []
    assert "  + Room 1201 fridge" in "\n".join(lines)
    assert "0" * 63 not in validations.comparison_text(compared)
    whole = validations.comparison_text(compared, Screen(full_ids=True))
    assert len(whole.splitlines()) == 2 + 4
    assert f"0{'0' * 63}" in whole


def test_a_device_that_left_one_of_two_accounts_is_wanted_by_the_other() -> None:
    """It need not move in this change: the other account may have listed it before."""
    before, after = (
        MOVE.format(east='"aaaa", "bbbb"', west='"aaaa"'),
        MOVE.format(east='"bbbb"', west='"aaaa"'),
    )
    (east,) = compare(loaded(before), loaded(after), NOW)
    assert dict(east.elsewhere) == {"aaaa": "west"}


def test_approvals_in_force_are_marked() -> None:
    """A removed device is approved only where an approval that has not expired names it."""
    before = 'version = 1\ndevices = ["aaaa", "bbbb", "cccc"]\n'
    approval = '[[approvals]]\ndevices = ["{}"]\nexpires = {}-01-01T00:00:00Z\nreason = "wing B"\n'
    after = (
        'version = 1\ndevices = ["aaaa"]\n'
        + approval.format("bbbb", 2099)
        + approval.format("cccc", 2020)
    )
    one = difference(before, after)
    assert one.removed == ("bbbb", "cccc")
    assert one.approved == {"bbbb"}


def test_an_approval_counts_for_what_is_removed() -> None:
    """An approval also names what stays, and what is added: a reviewer counts neither."""
    before = 'version = 1\ndevices = ["aaaa", "bbbb"]\n'
    approval = '[[approvals]]\ndevices = ["aaaa", "bbbb", "cccc", "dddd"]\n'
    approval += 'expires = 2099-01-01T00:00:00Z\nreason = "wing B"\n'
    until = ", ".join(
        f'{{ id = "{one}", until = 2098-01-01T00:00:00Z }}' for one in ("aaaa", "cccc")
    )
    one = difference(before, f"version = 1\ndevices = [{until}]\n{approval}")
    assert (one.removed, one.added) == (("bbbb",), ("cccc",))
    assert one.approved == {"bbbb"}


def test_keys_of_an_account_are_compared() -> None:
    """A policy that is loosened and a country that changes are shown as lines, before and after."""
    before = 'version = 1\n[accounts.seoul]\ncountry = "KR"\ndevices = []\n'
    after = 'version = 1\npolicy.max_unsubscribe = "50%"\n[accounts.seoul]\ndevices = []\n'
    assert difference(before, after).keys == (
        ('country = "KR"', ""),
        ('policy.max_unsubscribe = "10%"', 'policy.max_unsubscribe = "50%"'),
    )


def test_accounts_that_come_and_go_are_told() -> None:
    """A new account, one that would be abandoned, and one that is retired are each named as such."""
    before = 'version = 1\n[accounts.a]\ndevices = ["aaaa"]\n[accounts.b]\ndevices = ["bbbb"]\n'
    after = 'version = 1\nretired_accounts = ["b"]\n[accounts.c]\ndevices = ["cccc"]\n'
    found = {one.account: one for one in compare(loaded(before), loaded(after), NOW)}
    assert {name: one.fate.partition(":")[0] for name, one in found.items()} == {
        AccountName("a"): "not in the files any more",
        AccountName("b"): "retired",
        AccountName("c"): "new",
    }
    assert found[AccountName("a")].removed == ("aaaa",)
    assert found[AccountName("c")].added == ("cccc",)


# ---------------------------------------------------------------------------------------------------------------------
# The command, on real repositories

Validate = Callable[..., tuple[int, str, str]]


@pytest.fixture
def validate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Validate:
    """Give ``validate fleet/desired.toml``, in a repository whose first commit wants two devices."""
    monkeypatch.chdir(tmp_path)
    git("init", "--quiet", "--initial-branch=main", ".")
    write("fleet/desired.toml", 'version = 1\ndevice_files = ["devices/*.txt"]\n')
    write("fleet/devices/all.txt", "aaaa1111  # Room 1\nbbbb2222\n")
    commit("Want two devices")

    def run(*arguments: str) -> tuple[int, str, str]:
        code = cli.run(["validate", "fleet/desired.toml", *arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def git(*arguments: str) -> None:
    """Run git as somebody."""
    who = {
        f"GIT_{role}_{what}": "kim"
        for role in ("AUTHOR", "COMMITTER")
        for what in ("NAME", "EMAIL")
    }
    subprocess.run(["git", *arguments], check=True, env={**os.environ, **who}, capture_output=True)  # noqa: S603, S607 - git


def write(path: str, content: str) -> None:
    """Write a file below the present folder."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(content)


def commit(subject: str) -> None:
    """Commit everything."""
    git("add", "--all")
    git("commit", "--quiet", "--allow-empty", "-m", subject)


@pytest.mark.system
def test_devices_are_compared_with_a_revision(validate: Validate) -> None:
    """Device files of then and now are read, each in its own version; names of branches and commits will do."""
    write("fleet/devices/all.txt", "bbbb2222\ncccc3333  # Room 3\n")
    for revision in ("HEAD", "main", "HEAD~0"):
        code, out, err = validate("--against", revision)
        assert (code, err) == (0, "")
        assert "account default: 1 device added, 1 device removed\n" in out
        assert "\n  + Room 3  cccc3333\n" in out
        assert "\n  - Room 1  aaaa1111\n" in out
    commit("Room 3 instead of room 1")
    assert "wants the same as HEAD (" in validate("--against", "HEAD")[1]
    assert "+ Room 3  cccc3333" in validate("--against", "HEAD~1")[1]


@pytest.mark.system
def test_a_comparison_has_every_form(validate: Validate) -> None:
    """JSON holds every device, Markdown is a table, and GitHub gets one line on the file that changed."""
    write("fleet/devices/all.txt", "".join(f"{number:08d}\n" for number in range(120)))
    code, out, _ = validate("--against", "HEAD", "--output", "json")
    (account,) = json.loads(out)["against"][0]["accounts"]
    assert (code, len(account["added"]), account["removed"]) == (0, 120, ["aaaa1111", "bbbb2222"])
    code, out, _ = validate("--against", "HEAD", "--output", "markdown")
    assert "| + | `00000000` |" in out
    assert "and 70 more" in out
    code, out, _ = validate("--against", "HEAD", "--output", "github")
    assert out.startswith(
        "::notice file=fleet/desired.toml,line=1,col=1::account default: 120 devices added"
    )
    assert out.count("\n") == 1


@pytest.mark.system
def test_names_cannot_forge_an_annotation(validate: Validate) -> None:
    """Neither a commit's subject nor a device's name can begin a command of its own."""
    write("fleet/devices/all.txt", "aaaa1111  # ::error file=x::forged\n")
    commit("Add wing B\n\n::error::forged%0A::error::forged")
    write("fleet/devices/all.txt", "dddd4444\n")
    for form in ("text", "github"):
        _, out, _ = validate("--against", "HEAD", "--output", form)
        assert not [line for line in out.splitlines() if line.startswith("::error")]


@pytest.mark.system
def test_what_cannot_be_compared_is_said(validate: Validate) -> None:
    """An unknown revision, one like an option, and a text that was not valid then are told; faults go before all."""
    assert validate("--against", "nowhere")[0] == 1
    code, _, err = validate("--against=--output=/tmp/x")
    assert (code, "cannot be empty or begin with '-'" in err) == (1, True)
    write("fleet/desired.toml", "version = 1\ndevices = 7\n")
    commit("Break it")
    code, out, err = validate("--against", "HEAD~1")
    assert (code, "compared" in out + err) == (1, False)
    write("fleet/desired.toml", 'version = 1\ndevices = ["aaaa1111"]\n')
    code, out, err = validate("--against", "HEAD")
    assert (code, err) == (0, "")
    assert "the files were not valid then" in out


@pytest.mark.system
def test_a_file_that_is_new_adds_everything(validate: Validate) -> None:
    """Where the revision has no such text, every device of today's is added."""
    git("mv", "fleet", "elsewhere")
    git("commit", "--quiet", "-m", "Move away")
    git("mv", "elsewhere", "fleet")
    assert "account default: new, 2 devices added\n" in validate("--against", "HEAD")[1]


@pytest.mark.system
def test_a_folder_without_a_repository_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Outside any repository there is nothing to compare with."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    write("d.toml", 'version = 1\ndevices = ["aaaa1111"]\n')
    assert cli.run(["validate", "d.toml", "--against", "HEAD"]) == 1
    assert "cannot be compared" in capsys.readouterr().err


def test_what_a_change_does_to_protected_devices_is_named() -> None:
    """A removed one is held until approved, false releases one, and one that lost the key is still protected."""
    entry = '{{ id = "{0}", protected = {1} }}'.format
    before = loaded(
        f"version = 1\ndevices = [{', '.join(entry(one * 4, 'true') for one in 'abcde')}]\n"
    )
    after = (
        f'version = 1\ndevices = [{entry("bbbb", "false")}, {{ id = "cccc" }}, {entry("eeee", "true")}]\n'
        '[[approvals]]\ndevices = ["dddd"]\nexpires = 2099-01-01T00:00:00Z\nreason = "sold"\n'
    )
    (one,) = compare(before, loaded(after), NOW)
    shown = validations.comparison_text([Comparison("main", COMMIT, (one,))])
    assert (
        "account default: 2 devices removed, 1 of them without an approval, "
        "1 protected and held until approved, 2 entries edited, 1 device no longer protected, "
        "1 still protected, without the key"
    ) in shown.replace("\n  ", " ")
    for row in (
        "- aaaa  protected\n",
        "- dddd  protected, approved\n",
        "~ bbbb  no longer protected\n",
        "~ cccc  still protected: only protected = false ends that\n",
    ):
        assert row in shown
    (account,) = json.loads(
        validations.findings_json([], [], [], [Comparison("main", COMMIT, (one,))])
    )["against"][0]["accounts"]
    assert (account["protected"], account["unprotected"]) == (["aaaa", "dddd"], ["bbbb"])
