"""The ``git`` program: how it is run, and what is read from repositories with it.

Owns: every call of the program, kept so that nothing from outside steers it and none lasts for ever; commits, trees and
blobs as values; the clone of a repository that is followed; whether a signature is good.
Must not: know accounts or texts, decide what is accepted, or read from a working tree.

What makes a call safe: no value stands where it could be read as an option, and one that begins with a dash is refused;
hooks, file system monitors, replaced objects and remote helpers are off; nobody is asked for a password; the program
runs in a session of its own and is ended with all that it started when its time is over. What people have set up for
git stays in force: credential helpers, ssh's configuration, proxies, rewritten addresses, keyrings.

The clone is a cache. It is bare, shallow at first and without blobs (``--filter=blob:none``); what is needed of a
commit is asked for by name. A server that knows no filters sends more, and all the same works.
"""

from __future__ import annotations

import hashlib
import os
import re
import selectors
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from threading import Lock
from urllib.parse import unquote

from reconciler.core import addresses
from reconciler.core.errors import ReconcilerError, quoted
from reconciler.core.model import Commit

LOCAL_SECONDS = 60.0
"""For one call that stays on this machine."""
ASKING_SECONDS = 30.0
"""For asking a remote what it has."""
FETCHING_SECONDS = 300.0
"""For fetching from a remote; what is fetched is small, so only a first fetch can come near it."""
LARGEST_LISTING = 64 * 1024 * 1024
"""Bytes that a call may print unless a smaller or larger limit is given. Half a million paths are about 50 MB."""
MOST_FILES = 500_000
"""In one folder of a commit and below it. A tree of a few objects can stand for more files than there is memory for."""
LARGEST_PACK = 1024 * 1024 * 1024
"""Bytes of one file that a fetch may write; what is larger is broken off."""
LARGEST_ERROR = 64 * 1024
_WORDS = 600
"""Columns of a name or a subject that are read; fewer are shown."""
_LINE = 64 * 1024
"""Bytes of what is a line or two: names, ids, verdicts."""
_COMMIT = 1024 * 1024
"""Bytes of one commit with all that is written in it."""

TRUSTED = frozenset({"fully", "ultimate"})
"""How far a key has to be trusted; a key among the allowed signers counts as ``fully``."""

NEWEST, FOLLOWED = "refs/pcc/newest", "refs/pcc/followed"
"""Refs of the clone: the last commit that was fetched, and the last one that was followed."""
REMOTE = "followed"
"""The remote's name in the clone. Its address is in no file, because it may hold a password."""

_SHA1_DIGITS = 40
_ID = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_ODD = "git printed something else than was asked for"
_REFS_ONLY = ("not our ref", "unadvertised object", "no such remote ref")
"""How a server says that it gives no objects by name."""
_LIMITED = 'command ulimit -f "$0" 2>/dev/null; exec git "$@"'
"""Runs git with a limit for files that it and what it starts write, from the beginning; a stricter one stays."""
_BLOCK = 512
"""Bytes that a shell counts such limits in."""
_BATCH = 300
"""Object names for one call: few enough to fit into a pipe that nobody reads from yet."""

_SAFE = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.attributesFile=/dev/null",
    "core.bigFileThreshold=16m",  # larger ones are never held in memory as a whole
    "credential.interactive=false",
    "fetch.recurseSubmodules=false",
    "fetch.unpackLimit=1",
    "fetch.writeCommitGraph=false",
    "gc.autoDetach=false",
    "i18n.logOutputEncoding=UTF-8",
    "log.showSignature=false",
    "maintenance.autoDetach=false",
    "submodule.recurse=false",
    "transfer.bundleURI=false",
)
_KEPT = re.compile(
    r"GIT_(ASKPASS|EXEC_PATH|SSH|SSH_.*|SSL_.*|HTTP_.*|PROXY_.*"
    r"|CONFIG_(COUNT|GLOBAL|SYSTEM|NOSYSTEM|KEY_\d+|VALUE_\d+))"
)
"""What of the environment's ``GIT_*`` reaches the program: how to reach and trust a remote, never where to work."""


class GitError(ReconcilerError):
    """A call failed. The message quotes what the program said."""


class GitMissing(GitError):
    """There is no such program."""


class GitTimeout(GitError):
    """A call took too long, or was ended because this process ends."""


class TooLarge(GitError):
    """A call would have written or printed more than it may."""


class Kind(StrEnum):
    """What a name in a tree stands for."""

    FILE = "file"
    FOLDER = "folder"
    LINK = "symbolic link"
    SUBMODULE = "submodule"


@dataclass(frozen=True, slots=True)
class Entry:
    """One name in a tree, and the object it stands for."""

    kind: Kind
    id: str


@dataclass(frozen=True, slots=True)
class Head:
    """Where a working tree begins, and the files of which one changes whenever another commit is checked out in it."""

    top: Path
    moves_with: tuple[str, ...]


class Git:
    """Runs the program. ``environ`` is where it takes its surroundings from, ``given`` more configuration for it.

    ``directory`` is the repository, or nothing where a call is to find it from ``cwd``. ``together``: so many seconds
    are for all calls. They may come from several threads; ``stop`` ends those under way and refuses new ones.
    """

    def __init__(
        self,
        *,
        directory: Path | None = None,
        cwd: Path | None = None,
        given: Sequence[tuple[str, str]] = (),
        environ: Mapping[str, str] | None = None,
        together: float | None = None,
    ) -> None:
        self._until = None if together is None else time.monotonic() + together
        self._environ = _environment(os.environ if environ is None else environ, directory, given)
        self._cwd = cwd or Path("/")
        self._stopped = False
        self._lock = Lock()
        self._running: set[subprocess.Popen[bytes]] = set()

    def __call__(
        self,
        *arguments: str,
        seconds: float = LOCAL_SECONDS,
        online: bool = False,
        asked: Iterable[str] = (),
        most: int = LARGEST_LISTING,
        largest_file: int | None = None,
        no: bool = False,
    ) -> bytes:
        """Return what a call prints. ``asked`` are lines for its standard input, at most ``_BATCH`` object names.

        ``no``: exit code 1 means no, and is no error.
        """
        code, out, said = self._ran(
            arguments, seconds, online=online, asked=asked, most=most, largest_file=largest_file
        )
        if code and not (no and code == 1):
            words = quoted(said.decode(errors="replace").replace("fatal: ", "").replace("error: ", ""))
            too_large = "File too large" in words or "exceeds maximum" in words
            raise (TooLarge if too_large else GitError)(words or f"git {arguments[0]} ended with code {code}")
        return out

    def stop(self) -> None:
        """End what runs, and run nothing more."""
        with self._lock:
            self._stopped = True
            for process in self._running:
                _end(process)

    def _ran(
        self,
        arguments: Sequence[str],
        seconds: float,
        *,
        online: bool = False,
        asked: Iterable[str] = (),
        most: int = LARGEST_LISTING,
        largest_file: int | None = None,
    ) -> tuple[int, bytes, bytes]:
        if self._until is not None:
            seconds = min(seconds, self._until - time.monotonic())
        process = self._begun(arguments, online=online, largest_file=largest_file)
        whole = False
        try:
            out, said = _heard(process, "".join(f"{line}\n" for line in asked).encode(), seconds, most)
            whole = not self._stopped
        finally:
            _reap(process)
            if not whole:  # what git started may have heard the signal and gone on
                _kill_group(process)
            with self._lock:
                self._running.discard(process)
        if self._stopped:
            raise GitTimeout("git was ended, because this program ends")
        return process.returncode, out, said

    def _begun(
        self, arguments: Sequence[str], *, online: bool, largest_file: int | None = None
    ) -> subprocess.Popen[bytes]:
        options = [part for pair in _SAFE for part in ("-c", pair)]
        program = ["git"] if largest_file is None else ["sh", "-c", _LIMITED, str(largest_file // _BLOCK)]
        with self._lock:
            if self._stopped:
                raise GitTimeout("git is not run any more, because this program ends")
            try:
                process = subprocess.Popen(  # noqa: S603 - the program is ours to name, its arguments are checked
                    [*program, *options, *arguments],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    cwd=self._cwd,
                    env=self._environ | {"GIT_ALLOW_PROTOCOL": "file:git:http:https:ssh" if online else "none"},
                    start_new_session=True,
                    restore_signals=False,  # a file that grows too large is to be an error with words, not a signal
                )
            except FileNotFoundError as error:
                if not self._cwd.is_dir():
                    raise GitError(f"{self._cwd}: there is no such folder") from error
                raise GitMissing("the program git is needed, and not on PATH") from error
            except OSError as error:
                raise GitError(f"git cannot be run: {error.strerror}") from error
            self._running.add(process)
        return process


def _environment(
    environ: Mapping[str, str], directory: Path | None, given: Sequence[tuple[str, str]]
) -> dict[str, str]:
    """Return the surroundings of a call: what is set up for the user, without our secrets and other places to work."""
    kept = {
        name: value
        for name, value in environ.items()
        if not name.startswith(("GIT_", "PCC_", "LC_")) or _KEPT.fullmatch(name)
    }
    kept.pop("LANGUAGE", None)
    kept.setdefault("GIT_ASKPASS", "")
    count = kept.get("GIT_CONFIG_COUNT", "0")
    first = int(count) if count.isascii() and count.isdecimal() else 0
    for number, (key, value) in enumerate(given, first):
        kept |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    if directory is not None:
        kept["GIT_DIR"] = str(directory)
    return kept | {
        "GIT_CONFIG_COUNT": str(first + len(given)),
        "GIT_LITERAL_PATHSPECS": "1",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_TERMINAL_PROMPT": "0",
        "LC_ALL": "C",
        "SSH_ASKPASS": "false",  # and without a terminal, ssh is in its batch mode, whoever configured it
        "SSH_ASKPASS_REQUIRE": "never",
    }


def _heard(process: subprocess.Popen[bytes], asked: bytes, seconds: float, most: int) -> tuple[bytes, bytes]:
    """Return what a process prints, within a time and a size.

    Where it has ended and all is read, it is not waited for others that hold its output open, such as a connection that
    ssh keeps for later.
    """
    streams = process.stdin, process.stdout, process.stderr
    stdin, stdout, stderr = (stream for stream in streams if stream is not None)
    with suppress(BrokenPipeError):
        stdin.write(asked)
        stdin.close()
    heard = {stdout.fileno(): bytearray(), stderr.fileno(): bytearray()}
    until = time.monotonic() + seconds
    with selectors.DefaultSelector() as selector:
        for descriptor in heard:
            selector.register(descriptor, selectors.EVENT_READ)
        while selector.get_map():
            ended = process.poll() is not None  # before the look: what it printed last is there by then
            ready = selector.select(0.1)
            if not ready and ended:
                break
            if time.monotonic() > until:
                raise GitTimeout(f"git did not come to its end within {seconds:.0f} s")
            for key, _ in ready:
                if not (piece := os.read(key.fd, 1 << 18)):
                    selector.unregister(key.fd)
                heard[key.fd] += piece
            if len(heard[stdout.fileno()]) > most:
                raise TooLarge(f"git printed more than {most} bytes")
            del heard[stderr.fileno()][LARGEST_ERROR:]
    with suppress(subprocess.TimeoutExpired):
        process.wait(max(0.0, until - time.monotonic()))
    return bytes(heard[stdout.fileno()]), bytes(heard[stderr.fileno()])


def _end(process: subprocess.Popen[bytes], number: int = signal.SIGTERM) -> None:
    """Signal a process and all that it started. Only one that is not yet reaped: its number is still its own."""
    if process.returncode is None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)


def _reap(process: subprocess.Popen[bytes]) -> None:
    """Make sure that a process is over; it may tidy up first."""
    with process:
        if process.poll() is None:
            _end(process)
            with suppress(subprocess.TimeoutExpired):
                process.wait(2)
            _end(process, signal.SIGKILL)


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """End what a process that is over has started. Its number is free only when none of them is left."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def option_free(value: str) -> str:
    """Return a value from outside, or refuse one that could be read as an option."""
    if value.startswith("-") or not value or "\0" in value:
        raise GitError("an address, a ref or a revision cannot be empty or begin with '-'")
    return value


class Repository:
    """What can be read from a repository: commits, and trees and blobs of commits. Never its working tree."""

    def __init__(self, git: Git) -> None:
        self.git = git

    def resolve(self, revision: str) -> str | None:
        """Return the id of the commit that a revision names, or nothing if there is none."""
        name = f"{option_free(revision)}^{{commit}}"
        found = self.git("rev-parse", "--verify", "--quiet", "--end-of-options", name, no=True)
        return _id(found) if found else None

    def commit(self, id_: str) -> Commit:
        """Return who made a commit, when and why; names and words on one line, without control characters."""
        short = f"%<({_WORDS},trunc)"  # a subject may have as many characters as a pack has bytes
        form = f"{short}%an%x00{short}%ae%x00%ct%x00{short}%s"
        printed = self.git("log", "-1", f"--format={form}", "--end-of-options", _checked(id_), most=_LINE)
        name, address, at, subject = (part.strip() for part in _parts(printed.decode(errors="replace"), "\0", 4))
        author = quoted(f"{name} <{address}>" if address else name)
        return Commit(id_, author, quoted(subject), _moment(at))

    def entry(self, commit: str, path: str) -> Entry | None:
        """Return what a path stands for in a commit; the empty path is its root."""
        if not path:
            return Entry(Kind.FOLDER, _id(self.git("rev-parse", "--verify", "--end-of-options", f"{commit}^{{tree}}")))
        listed = self.git("ls-tree", "-z", "--full-tree", _checked(commit), "--", path)
        return dict(_entries(listed)).get(path)

    def files(self, tree: str) -> dict[str, Entry]:
        """Return everything below a tree but folders, by path. Raises ``TooLarge`` where that is too much."""
        found: dict[str, Entry] = {}
        for path, entry in _entries(self.git("ls-tree", "-r", "-z", "--full-tree", _checked(tree))):
            found[path] = entry
            if len(found) > MOST_FILES:
                raise TooLarge(f"the folder has more than {MOST_FILES} files in it and below it")
        return found

    def sizes(self, ids: Iterable[str]) -> dict[str, int]:
        """Return the sizes of blobs in bytes. Raises ``GitError`` where one is not here."""
        found = {}
        for some in _batches(ids):
            *lines, rest = self.git("cat-file", "--batch-check", asked=some).split(b"\n")
            if rest or len(lines) != len(some):
                raise GitError(_ODD)
            for id_, line in zip(some, lines, strict=True):
                kind, size = _told(line, id_)
                found[id_] = size if kind == b"blob" else -1
        return found

    def contents(self, ids: Iterable[str], *, most: int) -> dict[str, bytes | None]:
        """Return the contents of blobs, and nothing in place of those that are larger than ``most`` bytes."""
        sizes = self.sizes(ids)
        found: dict[str, bytes | None] = dict.fromkeys(sizes)
        for some in _batches(id_ for id_, size in sizes.items() if 0 <= size <= most):
            room = sum(sizes[id_] + 100 for id_ in some)
            found.update(_blobs(self.git("cat-file", "--batch", asked=some, most=room), some))
        return found

    def bring(self, tree: str, ids: Iterable[str], *, most: int) -> frozenset[str]:
        """Make sure that these blobs of a tree are here; return those that would not fit into ``most`` bytes."""
        del tree, ids, most
        return frozenset()

    def descends(self, commit: str, ancestor: str) -> bool:
        """Say whether ``ancestor`` is in the history of ``commit``, as far as that is known here."""
        if self.resolve(ancestor) is None:
            return False
        bases = self.git("merge-base", "--all", "--end-of-options", _checked(ancestor), _checked(commit), no=True)
        return ancestor.encode() in bases.split()

    def holds(self, commit: str, revision: str) -> bool | None:
        """Say whether a revision, by its id or the beginning of one, is a commit or in its history.

        Nothing: only more of the history than is here would tell.
        """
        id_ = self.resolve(revision)
        if id_ is not None and (id_ == commit or Repository.descends(self, commit, id_)):
            return True
        return None if self.shallow else False

    @property
    def shallow(self) -> bool:
        """Whether a part of the history is not here, and could be fetched."""
        return False

    def between(self, ancestor: str, commit: str, most: int = 20) -> tuple[str, ...]:
        """Return the commits after an ancestor and before a commit, oldest first: the latest ``most`` of them."""
        asked = ("rev-list", f"--max-count={most + 1}", "--end-of-options", _checked(commit), f"^{_checked(ancestor)}")
        printed = self.git(*asked).decode(errors="replace").split()
        return tuple(one for one in map(_checked, reversed(printed)) if one != commit)


class WorkingTree(Repository):
    """The repository that a folder of this machine is a part of. ``seconds`` are for all that is asked of it."""

    def __init__(self, folder: Path, *, seconds: float | None = None, environ: Mapping[str, str] | None = None) -> None:
        super().__init__(Git(cwd=folder, together=seconds, environ=environ))

    def head(self) -> Head:
        """Return where this repository is, and what shows that another commit is checked out."""
        asked = ("--path-format=absolute", "--show-toplevel", "--git-dir", "--git-common-dir")
        told = os.fsdecode(self.git("rev-parse", *asked, "--symbolic-full-name", "HEAD"))
        top, own, common, name = _parts(told, "\n", 4)
        at = (f"{own}/HEAD", f"{own}/logs/HEAD", f"{common}/{name}", f"{common}/packed-refs")
        return Head(Path(top), at)

    def path_of(self, name: str) -> str:
        """Return where a file of the repository is; a linked working tree has some, as ``index.lock``, of its own."""
        told = self.git("rev-parse", "--path-format=absolute", "--git-path", option_free(name))
        return os.fsdecode(told).removesuffix("\n")

    def left_out(self) -> frozenset[str]:
        """Return the tracked files, relative to the folder, that are not meant to be there (``skip-worktree``)."""
        listed = os.fsdecode(self.git("ls-files", "-z", "-t")).split("\0")
        return frozenset(line[2:] for line in listed if line.startswith("S "))


class Clone(Repository):
    """Our own bare clone of a remote repository, made below ``home`` when it is first needed.

    Each address has a clone of its own, so that two never mix; the one of a former address is removed.
    """

    def __init__(
        self,
        home: Path,
        url: str,
        *,
        environ: Mapping[str, str] | None = None,
        largest_pack: int = LARGEST_PACK,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._largest_pack = largest_pack
        self._in_vain = _InVain(steady)
        self._swept = False
        address, credentials, secret = _without_password(option_free(url))
        remote = [(f"remote.{REMOTE}.url", _address(address)), *credentials]
        environ = {**(os.environ if environ is None else environ), **secret}
        folder = home.absolute() / f"{hashlib.sha256(address.encode()).hexdigest()[:16]}.git"
        self.folder = folder
        self._asking = Git(given=remote, environ=environ)
        super().__init__(Git(directory=folder, given=remote, environ=environ))
        self._source = ""
        self._found: dict[str, str] = {}
        self._whole = False

    def stop(self) -> None:
        """End what is under way, and begin nothing more."""
        self._asking.stop()
        self.git.stop()

    def newest(self, ref: str) -> tuple[str, str] | None:
        """Return the full name of a ref and its newest commit, or nothing if the remote has no such ref.

        A ref that was found before is fetched at once, which is one connection whether there is something new or not.
        Where that fails, the remote is asked what it has.
        """
        self._sweep_once()
        name = self._found.pop(ref, None)
        if name is not None and self.folder.exists() and not self._in_vain:
            try:
                self._fetch(*self._filter, REMOTE, f"+{name}:{NEWEST}", seconds=ASKING_SECONDS)
                id_ = self.resolve(NEWEST)
            except (GitMissing, GitTimeout):
                raise
            except TooLarge as error:
                return self._too_large(ref, error)
            except GitError:
                id_ = None
            if id_ is not None:
                self._found[ref] = name
                return name, id_
        return self.tip(ref)

    def _too_large(self, ref: str, error: TooLarge) -> tuple[str, str] | None:
        """Ask which commit it was that is too large, and remember it."""
        tip = self.tip(ref)
        if tip is not None:
            self._in_vain.remember(tip[1], error)
        return tip

    def tip(self, ref: str) -> tuple[str, str] | None:
        """Ask the remote for a branch, a tag or a ref by its full name; return its full name and its commit.

        A commit's id stands for itself. A branch goes before a tag of the same name. Nothing: there is no such ref.
        """
        if _ID.fullmatch(option_free(ref)):
            return ref, ref
        names = [ref] if ref == "HEAD" or ref.startswith("refs/") else [f"refs/heads/{ref}", f"refs/tags/{ref}"]
        names = [one for name in names for one in (f"{name}^{{}}", name)]  # what an annotated tag points to goes first
        said = self._asking("ls-remote", "--quiet", REMOTE, *names, seconds=ASKING_SECONDS, online=True, most=_COMMIT)
        lines = (line.partition("\t") for line in said.decode(errors="replace").splitlines())
        found = {name: id_ for id_, _, name in lines if _ID.fullmatch(id_)}
        tip = next(((name.removesuffix("^{}"), found[name]) for name in names if name in found), None)
        if tip is not None:
            self._found[ref] = tip[0]
        return tip

    def fetch(self, name: str, id_: str) -> None:
        """Bring a commit here, with its tree: at first it alone, later with the history since what is here."""
        self._source = source = _checked(id_) if _ID.fullmatch(name) else name
        if not (self.folder / "HEAD").exists():
            self._make(id_)
        elif self.resolve(id_) is not None:
            return
        self._in_vain.check(id_)
        try:
            self._fetch_commit(source)
        except (TooLarge, GitTimeout) as error:
            self._in_vain.remember(id_, error)
            raise
        self._in_vain.forget()
        if self.resolve(id_) is None:
            raise GitError(f"the remote did not give the commit {id_}")

    def _fetch_commit(self, source: str) -> None:
        if self.resolve(NEWEST) is None:
            try:
                self._fetch("--depth=1", *self._filter, REMOTE, f"+{source}:{NEWEST}")
            except GitError as error:
                if "shallow" not in str(error):
                    raise
                self._fetch(REMOTE, f"+{source}:{NEWEST}")  # a server of mere files can give everything only
        else:
            self._fetch(*self._filter, REMOTE, f"+{source}:{NEWEST}")

    def followed(self) -> str | None:
        """Return the commit that was last followed."""
        return self.resolve(FOLLOWED)

    def follow(self, id_: str) -> None:
        """Remember a commit as the one that is followed."""
        self.git("update-ref", "--end-of-options", FOLLOWED, _checked(id_))

    def files(self, tree: str) -> dict[str, Entry]:
        """Return everything below a tree but folders, by path; folders that are not here yet are fetched."""
        try:
            return super().files(tree)
        except (GitTimeout, TooLarge):
            raise
        except GitError:
            self._fetch_objects([tree])
            return super().files(tree)

    def entry(self, commit: str, path: str) -> Entry | None:
        """Return what a path stands for in a commit; the empty path is its root."""
        try:
            return super().entry(commit, path)
        except (GitTimeout, TooLarge):
            raise
        except GitError:
            self._fetch_objects([_id(self.git("log", "-1", "--format=%T", "--end-of-options", _checked(commit)))])
            return super().entry(commit, path)

    def bring(self, tree: str, ids: Iterable[str], *, most: int) -> frozenset[str]:
        """Fetch those blobs of a tree that are not here yet; return those that would not fit into ``most`` bytes."""
        asked = ("rev-list", "--objects", "--missing=print", "--no-object-names", _checked(tree))
        missing = {line[1:].decode() for line in self.git(*asked).splitlines() if line.startswith(b"?")}
        wanted = sorted(missing.intersection(ids))
        too_large: set[str] = set()
        for some in _batches(wanted):
            try:
                self._fetch_objects(some, largest_file=2 * most)
            except TooLarge:
                too_large |= {one for one in some if not self._fits(one, most)}
        return frozenset(too_large)

    def begin_anew(self) -> None:
        """Remove what is here: it is a cache, and something in it is damaged."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def descends(self, commit: str, ancestor: str) -> bool:
        """Say whether ``ancestor`` is in the history of ``commit``. Where little of it is here, all of it is fetched.

        History is commits only, so it is small.
        """
        if commit == ancestor or super().descends(commit, ancestor):
            return True
        if not self.shallow:
            return False
        self.deepen()
        return super().descends(commit, ancestor)

    @property
    def shallow(self) -> bool:
        """Whether a part of the history is not here, and could be fetched."""
        return (self.folder / "shallow").exists()

    def deepen(self) -> None:
        """Fetch the whole history: commits only, where the server can filter."""
        if self.shallow and self._source:
            self._fetch("--unshallow", "--filter=tree:0", REMOTE, f"+{self._source}:{NEWEST}")

    @property
    def _filter(self) -> tuple[str, ...]:
        return () if self._whole else ("--filter=blob:none",)

    def _make(self, id_: str) -> None:
        home = self.folder.parent
        try:
            home.mkdir(mode=0o700, parents=True, exist_ok=True)
            for old in home.glob(f"{'[0-9a-f]' * 16}.git"):
                shutil.rmtree(old, ignore_errors=True)
        except OSError as error:
            raise GitError(f"{home}: no clone can be made here: {error.strerror}") from error
        form = "sha1" if len(id_) == _SHA1_DIGITS else "sha256"
        self.git("init", "--bare", "--quiet", "--template=", f"--object-format={form}")

    def _sweep_once(self) -> None:
        """Remove what a process before this one may have left, because it was ended in the middle of a fetch."""
        if not self._swept:
            self._swept = True
            self._sweep()

    def _sweep(self) -> None:
        """Remove what a fetch leaves that was broken off: half a pack may have a gigabyte, and a lock stops the next.

        Nobody else works here: the clone belongs to whoever holds the state's lock, or to one command.
        """
        for pattern in _LEFT_BEHIND:
            for path in self.folder.glob(pattern):
                with suppress(OSError):
                    if path.is_dir():
                        shutil.rmtree(path)
                    else:
                        path.unlink()

    def _fits(self, id_: str, most: int) -> bool:
        try:
            self._fetch_objects([id_], largest_file=most)
        except TooLarge:
            return False
        return True

    def _fetch(self, *arguments: str, seconds: float = FETCHING_SECONDS) -> None:
        """Fetch commits."""
        plain = ("--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules")
        try:
            self.git("fetch", *plain, *arguments, seconds=seconds, online=True, largest_file=self._largest_pack)
        except GitError:
            self._sweep()
            raise

    def _fetch_objects(self, ids: Sequence[str], largest_file: int | None = None) -> None:
        """Fetch objects by name, as git itself would. A server that gives refs only has to give everything."""
        try:
            self.git(
                *("-c", "fetch.negotiationAlgorithm=noop", "fetch", "--quiet", "--no-tags", "--no-write-fetch-head"),
                *("--no-recurse-submodules", "--no-auto-maintenance", "--filter=blob:none", "--stdin", REMOTE),
                seconds=FETCHING_SECONDS,
                online=True,
                asked=ids,
                largest_file=largest_file or self._largest_pack,
            )
        except GitError as error:
            self._sweep()
            self._whole = self._whole or any(words in str(error) for words in _REFS_ONLY)
            raise


class _InVain:
    """A commit that could not be fetched because of its size or its time, so that it is not tried at every look."""

    def __init__(self, steady: Callable[[], float]) -> None:
        self._steady = steady
        self._id, self._why, self._until, self._times = "", "", 0.0, 0

    def __bool__(self) -> bool:
        return bool(self._id)

    def remember(self, id_: str, error: GitError) -> None:
        """Take a commit that was tried in vain; each further time it waits twice as long."""
        first, most = _AGAIN_LARGE if isinstance(error, TooLarge) else _AGAIN_SLOW
        self._times = self._times + 1 if id_ == self._id else 0
        self._id, self._why = id_, str(error)
        self._until = self._steady() + min(most, first * 2 ** min(self._times, 10))

    def forget(self) -> None:
        """Take it that fetching works."""
        self._id, self._times = "", 0

    def check(self, id_: str) -> None:
        """Raise where a commit is not to be tried again yet."""
        left = self._until - self._steady()
        if id_ == self._id and left > 0:
            again = f"the same commit is tried again in {max(1, round(left / 60))} min, another one at once"
            raise TooLarge(f"{self._why}; {again}")


_AGAIN_LARGE, _AGAIN_SLOW = (3600.0, 86400.0), (300.0, 3600.0)
"""Seconds before a commit is tried again that is too large, or took too long: at first, and at most."""
_LEFT_BEHIND = (
    *("objects/pack/tmp_*", "objects/pack/.tmp*", "objects/pack/*.keep", "objects/tmp_*", "objects/incoming-*"),
    *("*.lock", "refs/**/*.lock"),
)


def verdict(repository: Repository, id_: str, allowed_signers: Path | None) -> str:
    """Return what is wrong with the signature of a commit, or nothing if it is good.

    Good is only a valid signature by an SSH key among the allowed signers, or by a PGP key that is fully trusted.
    """
    signers = () if allowed_signers is None else ("-c", f"gpg.ssh.allowedSignersFile={allowed_signers.absolute()}")

    def asked(form: str) -> str:
        told = repository.git(*signers, "log", "-1", f"--format={form}", "--end-of-options", _checked(id_), most=_LINE)
        return told.decode(errors="replace").removesuffix("\n")

    try:
        letter = asked("%G?")
        # git before 2.40 breaks off with "BUG" where the trust in a key is asked for that nobody knows.
        if letter == "G" and asked("%GT") in TRUSTED:
            return ""
        no_list = allowed_signers is not None and not allowed_signers.is_file()
        if (letter == "N" and _has_signature(repository, id_)) or (letter == "U" and no_list):
            letter = "E"
    except (GitMissing, GitTimeout):
        raise
    except GitError:  # the commit itself was read a moment ago, so it is the signature that git cannot judge
        letter = "E"
    return _VERDICTS.get(letter, _VERDICTS["U"])


def _has_signature(repository: Repository, id_: str) -> bool:
    """Say whether a commit carries any signature: git calls one that it cannot check at all none."""
    head, _, _ = repository.git("cat-file", "commit", _checked(id_), most=_COMMIT).partition(b"\n\n")
    return any(line.startswith((b"gpgsig ", b"gpgsig-sha256 ")) for line in head.split(b"\n"))


_VERDICTS = {
    "B": "its signature is bad, or by a key that is revoked",
    "E": "its signature cannot be checked: its key is not in the keyring, there is no list of allowed SSH keys"
    " (PCC_GIT_ALLOWED_SIGNERS), or the program that checks it is missing",
    "N": "it is not signed",
    "R": "its key is revoked",
    "U": "its key is not among those that are trusted",
    "X": "its signature has expired",
    "Y": "its key has expired",
}
"""What git's one letter about a signature means to us; whatever is not a plain yes is a no."""


def blob_id(content: bytes, like: str) -> str:
    """Return the id that a blob with this content has, in a repository whose ids look like ``like``."""
    # SHA-1 is the choice of git; a collision would do no more than let an edited file pass for the committed one.
    made = hashlib.new("sha1", usedforsecurity=False) if len(like) == _SHA1_DIGITS else hashlib.sha256()
    made.update(b"blob %d\0" % len(content))
    made.update(content)
    return made.hexdigest()


_USER, _PASSWORD = "FOLLOWED_USER", "FOLLOWED_PASSWORD"
_HELPER = f'!f() {{ test "$1" = get && printf "username=%s\\npassword=%s\\n" "${_USER}" "${_PASSWORD}"; }}; f'
"""Gives git the password of the address. It is in the environment: arguments are seen by everybody on the machine."""


def _without_password(url: str) -> tuple[str, list[tuple[str, str]], dict[str, str]]:
    """Return an address without user and password, and how git gets them: its configuration, and the environment.

    git would hand the whole address to the program that speaks http, as an argument. They are for this one host. With a
    password nobody else is asked; with a user name alone, the helpers that are set up are asked for the password first.
    """
    address = addresses.split(url)
    if address.scheme not in {"http", "https"} or not (address.user or address.password):
        return url, [], {}
    host = re.split("[/?#]", address.rest, maxsplit=1)[0]
    prefix = f"credential.{address.scheme}://{host}"
    alone = [(f"{prefix}.helper", "")] if address.password is not None else []
    user, password = unquote(address.user), unquote(address.password or "")
    configuration = [(f"{prefix}.username", user), *alone, (f"{prefix}.helper", _HELPER)]
    return address.plain, configuration, {_USER: user, _PASSWORD: password}


def _address(url: str) -> str:
    """Return an address as it is meant wherever git runs; a relative path of this machine is made absolute."""
    scheme_or_host = ":" in option_free(url).partition("/")[0]
    return url if scheme_or_host else os.path.abspath(url)


def _checked(id_: str) -> str:
    if not _ID.fullmatch(id_):
        raise GitError("this is not the id of an object")
    return id_


def _id(printed: bytes) -> str:
    return _checked(printed.decode(errors="replace").strip())


def _parts(printed: str, mark: str, number: int) -> list[str]:
    """Return the parts of what was printed, if there are so many."""
    parts = printed.removesuffix("\n").split(mark)
    if len(parts) != number:
        raise GitError(_ODD)
    return parts


def _moment(seconds: str) -> datetime:
    """Return a commit's time; one that no calendar has, as a forged one can be, is the beginning of all times."""
    try:
        return datetime.fromtimestamp(int(seconds), UTC)
    except (ValueError, OverflowError, OSError):
        return datetime.fromtimestamp(0, UTC)


_FACTS = re.compile(rb"\d{6} [a-z]+ (?:[0-9a-f]{40}|[0-9a-f]{64})")
_OBJECT = re.compile(rb"([0-9a-f]+) ([a-z]+) (\d{1,18})")
_KINDS = {"040000": Kind.FOLDER, "120000": Kind.LINK, "160000": Kind.SUBMODULE}


def _entries(listed: bytes) -> Iterator[tuple[str, Entry]]:
    """Take the output of ``ls-tree -z`` apart. Names are bytes; those that are not UTF-8 stay what they are."""
    if listed and not listed.endswith(b"\0"):
        raise GitError(_ODD)
    at = 0
    while at < len(listed):  # one after the other: all at once they take several times the memory
        end = listed.index(b"\0", at)
        line, at = listed[at:end], end + 1
        facts, _, name = line.partition(b"\t")
        if not name or not _FACTS.fullmatch(facts):
            raise GitError(_ODD)
        mode, _kind, id_ = facts.decode().split(" ")
        yield os.fsdecode(name), Entry(_KINDS.get(mode, Kind.FILE), id_)


def _batches(ids: Iterable[str]) -> Iterator[list[str]]:
    every = sorted(set(ids))
    return (every[at : at + _BATCH] for at in range(0, len(every), _BATCH))


def _told(line: bytes, id_: str) -> tuple[bytes, int]:
    """Return kind and size from the line with which ``cat-file`` answers for an object."""
    if line == f"{id_} missing".encode():
        raise GitError(f"the object {id_} is not here")
    match = _OBJECT.fullmatch(line)
    if match is None or match[1] != id_.encode():
        raise GitError(_ODD)
    return match[2], int(match[3])


def _blobs(printed: bytes, ids: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    """Take the output of ``cat-file --batch`` apart: all that was asked for, in that order, or an error."""
    at = 0
    for id_ in ids:
        begin = printed.find(b"\n", at) + 1
        _kind, size = _told(printed[at : max(begin - 1, at)], id_)
        at = begin + size + 1
        if printed[at - 1 : at] != b"\n":
            raise GitError(_ODD)
        yield id_, printed[begin : at - 1]
    if at != len(printed):
        raise GitError(_ODD)
