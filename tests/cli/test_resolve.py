"""``resolve``: what it writes by LG's answers, and when it writes nothing."""

from __future__ import annotations

import json
import stat
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from prompts import Shell
from reconciler.desired import locks
from reconciler.simulator import Match, Platform, Route, Rule
from reconciler.simulator import faults as fault
from reconciler.simulator.world import Device as Appliance
from served import served

LOCK = Path("locks/default.txt")
RULES = '[[accounts.default.rules]]\nname = "washers"\ntype = ["washer"]\n'
HEAD = 'version = 1\n[accounts.default]\nlocked = "locks/default.txt"\n'


@pytest.fixture(autouse=True)
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder of the test's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str]) -> Shell:
    """Give a prompt."""
    return Shell(capsys)


@pytest.fixture
def platform(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Platform]:
    """Give a user with twelve washers and an oven, and settings that lead there."""
    platform = Platform()
    user = platform.world.add_user("default")
    appliances = [
        Appliance(f"w{number:02}", "DEVICE_WASHER", f"Room {number}", model="F2X")
        for number in range(12)
    ]
    platform.world.add_devices(user, [*appliances, Appliance("o1", "DEVICE_OVEN", "Kitchen")])
    for url in served(platform):
        settings = {
            "PCC_BASE_URL": url,
            "PCC_COUNTRY": "KR",
            "PCC_SERVICE_ID": platform.world.service.id,
            "PCC_SERVICE_KEY": platform.world.service.key,
            "PCC_ACCESS_TOKEN": platform.issue_token("default"),
            "PCC_STATE_DIR": str(tmp_path / "state"),
        }
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        yield platform


def wants(rules: str = RULES, more: str = "") -> None:
    """Write the desired-state file."""
    Path("desired-state.toml").write_text(HEAD + more + rules)


def goes_wrong(platform: Platform, effect: fault.Effect) -> None:
    """Let LG's registry be something else."""
    platform.set_faults(Rule(effect, match=Match(route=Route.DEVICES)))


def test_resolve_writes_what_the_rules_take(shell: Shell, platform: Platform) -> None:
    """The lock has the washers with their names, costs one GET, and makes the file valid; the folder is made."""
    wants()
    refused = shell("validate")
    assert (refused.code, "run pcc-reconciler resolve" in refused.err) == (1, True)
    ended = shell("resolve")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith(
        "account default: locks/default.txt, 12 devices: 12 added, 0 removed\n  + w00  Room 0\n"
    )
    written = LOCK.read_text()
    head = locks.head(written.encode())
    assert head is not None
    assert (head.account, head.registry) == ("default", 13)
    assert written.splitlines()[1] == "w00  # Room 0 | washer | rule washers"
    assert len(written.splitlines()) == 13
    assert shell("validate").code == 0
    assert [(one.method, one.path) for one in platform.requests] == [("GET", "/devices")]


def test_a_second_resolve_leaves_the_file_as_it_is(shell: Shell, platform: Platform) -> None:
    """Where lines and rules fit, not a byte changes, in whatever order LG lists."""
    wants()
    shell("resolve")
    before, user = LOCK.read_bytes(), platform.world.user("default")
    for _again in range(2):
        appliances = list(user.devices.values())
        user.devices.clear()
        user.devices.update({one.id: one for one in reversed(appliances)})
        ended = shell("resolve")
        assert ended.out == "account default: locks/default.txt is up to date, 12 devices\n"
        assert LOCK.read_bytes() == before
    assert shell("resolve", "--check").code == 0


def test_check_exits_2_and_writes_nothing(shell: Shell, platform: Platform) -> None:
    """CI learns that a lock is missing, stale or lacks a device, and the file stays as it is."""
    wants()
    assert shell("resolve", "--check").code == 2
    assert not LOCK.exists()
    shell("resolve")
    before = LOCK.read_bytes()
    platform.world.add_devices(
        platform.world.user("default"), [Appliance("w99", "DEVICE_WASHER", "Room 99")]
    )
    ended = shell("resolve", "--check")
    assert (ended.code, "  + w99  Room 99\n" in ended.out) == (2, True)
    assert LOCK.read_bytes() == before
    wants(RULES.replace("washer", "oven", 2).replace("ovens", "washers"))
    assert shell("resolve", "--check").code == 2


def test_what_lg_lost_stays_until_prune(shell: Shell, platform: Platform) -> None:
    """A washer that LG lists no more stays in the lock, which is not written again; --prune takes it out."""
    wants()
    shell("resolve")
    before = LOCK.read_bytes()
    platform.world.remove_devices(platform.world.user("default"), ["w03"], 0.0)
    ended = shell("resolve")
    assert (ended.code, LOCK.read_bytes()) == (0, before)
    assert "1 device stays that LG's registry lacks or no rule takes now" in ended.out
    pruned = shell("resolve", "--prune")
    assert (pruned.code, "  - w03  Room 3\n" in pruned.out) == (0, True)
    assert "w03" not in LOCK.read_text()
    assert shell("validate").code == 0


@pytest.mark.parametrize(
    ("effect", "why"),
    [
        (fault.Html(502), "LG's registry cannot be read"),
        (fault.Error("1314"), "LG's registry cannot be read"),
        (fault.Mangle("no-id"), "LG's registry cannot be read"),
        (fault.Raw("[]"), "LG's registry cannot be read"),
        (fault.Response("[]"), "LG's registry is empty, so it is not believed"),
        (fault.Response("null"), "LG's registry is empty, so it is not believed"),
        (fault.Short(keep=0.4), "fewer than half of the 13"),
    ],
    ids=str,
)
@pytest.mark.parametrize("prune", [False, True])
def test_a_registry_that_is_not_believed_changes_nothing(
    shell: Shell, platform: Platform, effect: fault.Effect, why: str, *, prune: bool
) -> None:
    """Where the registry fails, is malformed, empty or half, resolve exits 1 and writes nothing, pruning or not."""
    wants()
    shell("resolve")
    before = LOCK.read_bytes()
    wants(RULES.replace('"washer"', '"washer", "oven"'))
    goes_wrong(platform, effect)
    ended = shell("resolve", *(["--prune"] if prune else []))
    assert (ended.code, ended.out) == (1, "")
    assert "account default: " in ended.err
    assert why in ended.err
    assert LOCK.read_bytes() == before


def test_one_account_that_fails_keeps_all_locks_as_they_are(
    shell: Shell, platform: Platform
) -> None:
    """Half of a change is not proposed: without the registry of one account no lock is written."""
    other = HEAD.split("\n", 1)[1].replace("default", "busan") + RULES.replace("default", "busan")
    wants(RULES + other)
    ended = shell("resolve")
    assert ended.code == 1
    assert "account busan: " in ended.err
    assert not LOCK.exists()
    assert shell("resolve", "--account", "default").code == 0
    assert LOCK.exists()
    assert platform.requests


def test_other_faults_are_reported_and_nothing_is_asked(shell: Shell, platform: Platform) -> None:
    """Only a missing or stale lock is what resolve is for; any other fault ends it before LG is asked."""
    wants(more='country = "Korea"\n')
    ended = shell("resolve")
    assert ended.code == 1
    assert "desired-state.toml:4:11: a country is two capital letters" in ended.err
    assert "run pcc-reconciler resolve" not in ended.err
    assert not platform.requests


def test_an_account_without_rules_has_nothing_to_resolve(shell: Shell, platform: Platform) -> None:
    """Nobody is asked where no account has rules, and naming such an account is an error."""
    Path("desired-state.toml").write_text("version = 1\ndevices = []\n")
    ended = shell("resolve")
    assert (ended.code, ended.out) == (0, "")
    assert "no account has rules" in ended.err
    ended = shell("resolve", "--account", "default")
    assert (ended.code, "account default has no rules" in ended.err) == (1, True)
    assert not platform.requests


def test_a_device_that_is_approved_to_go_is_not_taken_back(
    shell: Shell, platform: Platform
) -> None:
    """A lock that would contradict an approval is not written; the fault says where."""
    wants(
        RULES
        + '[[approvals]]\naccount = "default"\ndevices = ["w03"]\nexpires = 2030-01-01T00:00:00Z\nreason = "sold"\n'
    )
    ended = shell("resolve")
    assert ended.code == 1
    assert "this device is approved to go and also wanted" in ended.err
    assert not LOCK.exists()
    assert platform.requests


def test_what_is_listed_or_ignored_stays_out_of_the_lock(shell: Shell, platform: Platform) -> None:
    """A device has one place in the file, and what is ignored has none; a lock that says otherwise is stale."""
    wants()
    shell("resolve")
    wants(more='devices = ["w01"]\npolicy.ignore = ["w02"]\n')
    assert "this device is listed beside the rules, too" in shell("validate").err
    assert shell("resolve").code == 0
    assert "w01" not in LOCK.read_text()
    assert "w02" in LOCK.read_text()  # it was there already, and the policy wins
    assert shell("validate").code == 0
    LOCK.unlink()
    shell("resolve")
    assert "w02" not in LOCK.read_text()
    assert platform.requests


def test_the_lock_keeps_its_mode_and_no_other_file_is_left(
    shell: Shell, platform: Platform
) -> None:
    """A lock is replaced whole, with the permissions that it had."""
    wants()
    shell("resolve")
    LOCK.chmod(0o640)
    wants(RULES.replace('"washer"', '"washer", "oven"'))
    assert shell("resolve").code == 0
    assert "o1  # Kitchen | oven | rule washers" in LOCK.read_text()
    assert stat.S_IMODE(LOCK.stat().st_mode) == 0o640
    assert [one.name for one in LOCK.parent.iterdir()] == ["default.txt"]
    assert platform.requests


def test_a_lock_behind_a_link_to_elsewhere_is_not_written(
    shell: Shell, platform: Platform, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A folder that leads out of that of the file is not written to."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    Path("locks").symlink_to(elsewhere)
    wants()
    ended = shell("resolve")
    assert (ended.code, "leads out of the folder" in ended.err) == (1, True)
    assert not [*elsewhere.iterdir()]
    assert platform.requests


def test_a_path_names_the_files_and_need_not_be_the_setting(
    shell: Shell, platform: Platform, tmp_path: Path
) -> None:
    """With a path resolve works on those files, also where a repository is followed."""
    home = tmp_path / "repository"
    home.mkdir()
    (home / "a.toml").write_text(HEAD + RULES)
    assert shell("resolve", str(home)).code == 0
    assert (home / LOCK).exists()
    assert shell("resolve", "nowhere").code == 64
    assert json.dumps([one.path for one in platform.requests]) == '["/devices"]'


def test_resolve_works_on_the_working_tree_also_where_a_repository_is_followed(
    shell: Shell, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With PCC_GIT_URL the files are those of this folder: the command never writes to Git."""
    monkeypatch.setenv("PCC_GIT_URL", "https://git.invalid/fleet.git")
    wants()
    assert shell("resolve").code == 0
    assert shell("validate", "desired-state.toml").code == 0
    assert len(platform.requests) == 1


def test_each_file_of_a_folder_has_its_own_locks(
    shell: Shell, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder of files is resolved as a whole, and the lock is beside the file that names it."""
    Path("fleet").mkdir()
    monkeypatch.setenv("PCC_DESIRED_STATE", "fleet")
    Path("fleet/policy.toml").write_text("version = 1\npolicy.max_unsubscribe = 3\n")
    Path("fleet/a.toml").write_text(HEAD + RULES)
    ended = shell("resolve")
    assert (ended.code, ended.err) == (0, "")
    assert len(Path("fleet/locks/default.txt").read_text().splitlines()) == 13
    assert shell("validate").code == 0
    assert len(platform.requests) == 1


# --- What a running daemon read --------------------------------------------------------------------------------------

READ = "2026-11-30T10:00:00Z"


@dataclass(frozen=True)
class Reader:
    """A daemon, where it is, and the washers that it read of LG's registry of any account."""

    url: str
    known: list[str]


@pytest.fixture
def daemon() -> Iterator[Reader]:
    """Give a daemon that read twelve washers; nothing that is set leads to LG."""
    known = [f"w{number:02}" for number in range(12)]

    class Handler(BaseHTTPRequestHandler):
        """Answers ``GET /api/v1/registry`` as the daemon does."""

        def do_GET(self) -> None:
            """Answer for one account."""
            account = parse_qs(urlsplit(self.path).query)["account"][0]
            made = {"type": "washer", "model": "F2X"}
            devices = [{"id": one, "alias": f"Room {int(one[1:])}", **made} for one in known]
            found = {"account": account, "read": READ, "trouble": "", "replica": None}
            body = json.dumps({"accounts": [{**found, "devices": devices}]}).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_words: object) -> None:
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Reader(f"http://127.0.0.1:{server.server_port}", known)
        server.shutdown()


def asks(shell: Shell, daemon: Reader, *options: str) -> tuple[int, str]:
    """Let a running daemon be asked; return the exit code, and what was printed."""
    ended = shell("resolve", *options, "--server", daemon.url)
    assert ended.err == ""
    return ended.code, ended.out


def test_each_option_means_the_same_where_the_daemon_is_asked(shell: Shell, daemon: Reader) -> None:
    """--check writes nothing, and only --prune takes out what LG lost, also by the registry that a daemon read."""
    wants()
    assert asks(shell, daemon, "--check")[0] == 2
    assert not LOCK.exists()
    assert asks(shell, daemon)[0] == 0
    before = LOCK.read_bytes()
    assert before.decode().splitlines()[1] == "w00  # Room 0 | washer | rule washers"
    daemon.known.remove("w03")
    code, out = asks(shell, daemon)
    assert (code, LOCK.read_bytes()) == (0, before)
    assert "1 device stays that LG's registry lacks or no rule takes now: see --prune" in out
    code, out = asks(shell, daemon, "--prune", "--check")
    assert (code, "  - w03  Room 3\n" in out, LOCK.read_bytes()) == (2, True, before)
    assert asks(shell, daemon, "--prune") == (0, out)
    assert "w03" not in LOCK.read_text()
    assert asks(shell, daemon, "--prune", "--check")[0] == 0


def test_only_the_accounts_that_are_named_get_locks(shell: Shell, daemon: Reader) -> None:
    """--account leaves the locks of the others alone, and --check looks at each that is named."""
    rules = "".join(
        f'[accounts.{one}]\nlocked = "{one}.txt"\n[[accounts.{one}.rules]]\nname = "r"\ntype = ["washer"]\n'
        for one in ("east", "north", "west")
    )
    Path("desired-state.toml").write_text("version = 1\n[policy]\n" + rules)
    del daemon.known[3:]
    assert asks(shell, daemon, "--account", "west")[0] == 0
    assert sorted(str(one) for one in Path().glob("*.txt")) == ["west.txt"]
    assert [asks(shell, daemon, "--check", "--account", one)[0] for one in ("west", "east")] == [
        0,
        2,
    ]
    assert asks(shell, daemon, "--check", "--account", "west", "--account", "east")[0] == 2
    assert sorted(str(one) for one in Path().glob("*.txt")) == ["west.txt"]
