"""Runs the ``git`` program: the one place of this program that starts another.

Owns: its arguments and environment, so that nothing from outside steers it; its limits of time and size; how it ends.
Must not: know what a call is for.

What makes a call safe: no value is where it could be read as an option, and one that begins with a dash is refused;
hooks, file system monitors, replaced objects and remote helpers are off; nobody is asked for a password; the program
runs in a session of its own and is ended with all that it started when its time is over. What people have set up for
git stays in force: credential helpers, ssh's configuration, proxies, rewritten addresses, keyrings.
"""

from __future__ import annotations

import os
import re
import selectors
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock

from reconciler.core.errors import ReconcilerError, quoted

LOCAL_SECONDS = 60.0
"""For one call that stays on this machine."""
LARGEST_LISTING = 64 * 1024 * 1024
"""Bytes that a call may print unless a smaller or larger limit is given. Half a million paths are about 50 MB."""
LARGEST_ERROR = 64 * 1024
MOST_LINES = 300
"""Lines for the standard input of one call: few enough to fit into a pipe that nobody reads from yet."""

_WITH_FILE_LIMIT = 'command ulimit -f "$0" 2>/dev/null; exec git "$@"'
"""Runs git with a limit for files that it and what it starts write, from the beginning; a stricter one stays."""
_BLOCK = 512
"""Bytes that a shell counts such limits in."""

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
_PASSED_ON = re.compile(
    r"GIT_(ASKPASS|EXEC_PATH|SSH|SSH_.*|SSL_.*|HTTP_.*|PROXY_.*"
    r"|CONFIG_(COUNT|GLOBAL|SYSTEM|NOSYSTEM|KEY_\d+|VALUE_\d+))"
)
"""What of the environment's ``GIT_*`` reaches the program: how to reach and trust a remote, never where to work."""


class GitError(ReconcilerError):
    """A call failed. The message quotes what the program printed."""


class GitMissing(GitError):
    """There is no such program."""


class GitTimeout(GitError):
    """A call took too long, or was ended because this process ends."""


class TooLarge(GitError):
    """A call would have written or printed more than it may."""


class Git:
    """Runs the program. ``environ`` is the environment it takes its own from, ``given`` more configuration for it.

    ``directory`` is the repository, or ``None`` where a call is to find it from ``cwd``. ``together``: the seconds for
    all calls. They may come from several threads; ``stop`` ends those under way and refuses new ones.
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
        lines: Iterable[str] = (),
        most: int = LARGEST_LISTING,
        largest_file: int | None = None,
        no: bool = False,
    ) -> bytes:
        """Return what a call prints. ``lines`` are for its standard input: ``MOST_LINES`` or fewer.

        ``no``: exit code 1 means no, and is no error.
        """
        if self._until is not None:
            seconds = min(seconds, self._until - time.monotonic())
        process = self._start(arguments, online=online, largest_file=largest_file)
        complete = False
        try:
            printed, errors = read_output(
                process, "".join(f"{line}\n" for line in lines).encode(), seconds, most
            )
            complete = not self._stopped
        finally:
            _reap(process)
            if not complete:  # what git started may have ignored the signal
                _kill_group(process)
            with self._lock:
                self._running.discard(process)
        if self._stopped:
            raise GitTimeout("git was ended, because this program ends")
        code = process.returncode
        if code and not (no and code == 1):
            raise _failure(errors, f"git {arguments[0]} ended with code {code}")
        return printed

    def stop(self) -> None:
        """End what runs, and run nothing more."""
        with self._lock:
            self._stopped = True
            for process in self._running:
                _end(process)

    def _start(
        self, arguments: Sequence[str], *, online: bool, largest_file: int | None
    ) -> subprocess.Popen[bytes]:
        program = (
            ["git"]
            if largest_file is None
            else ["sh", "-c", _WITH_FILE_LIMIT, str(largest_file // _BLOCK)]
        )
        for setting in _SAFE:
            program += ["-c", setting]
        protocols = "file:git:http:https:ssh" if online else "none"
        with self._lock:
            if self._stopped:
                raise GitTimeout("git is not run any more, because this program ends")
            try:
                process = subprocess.Popen(  # noqa: S603 - the program is ours to name, its arguments are checked
                    [*program, *arguments],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    cwd=self._cwd,
                    env=self._environ | {"GIT_ALLOW_PROTOCOL": protocols},
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


def _failure(errors: bytes, otherwise: str) -> GitError:
    """Return the error of a call that failed: in the words of git, if there are any."""
    words = quoted(errors.decode(errors="replace").replace("fatal: ", "").replace("error: ", ""))
    if "File too large" in words or "exceeds maximum" in words:
        return TooLarge(words)
    return GitError(words or otherwise)


def _environment(
    environ: Mapping[str, str], directory: Path | None, given: Sequence[tuple[str, str]]
) -> dict[str, str]:
    """Return the environment of a call: what is set up for the user, without our secrets and other places to work."""
    passed = {name: value for name, value in environ.items() if _is_passed_on(name)}
    passed.pop("LANGUAGE", None)
    passed.setdefault("GIT_ASKPASS", "")
    count = passed.get("GIT_CONFIG_COUNT", "0")
    first = int(count) if count.isascii() and count.isdecimal() else 0
    for number, (key, value) in enumerate(given, first):
        passed[f"GIT_CONFIG_KEY_{number}"] = key
        passed[f"GIT_CONFIG_VALUE_{number}"] = value
    if directory is not None:
        passed["GIT_DIR"] = str(directory)
    return (
        passed
        | {
            "GIT_CONFIG_COUNT": str(first + len(given)),
            "GIT_LITERAL_PATHSPECS": "1",
            "GIT_NO_LAZY_FETCH": "1",
            "GIT_NO_REPLACE_OBJECTS": "1",
            "GIT_OPTIONAL_LOCKS": "0",
            "GIT_TERMINAL_PROMPT": "0",
            "LC_ALL": "C",
            "SSH_ASKPASS": "false",  # and without a terminal, ssh is in its batch mode, whatever its configuration
            "SSH_ASKPASS_REQUIRE": "never",
        }
    )


def _is_passed_on(name: str) -> bool:
    """Return whether git gets to see a variable of our environment."""
    return not name.startswith(("GIT_", "PCC_", "LC_")) or _PASSED_ON.fullmatch(name) is not None


def read_output(
    process: subprocess.Popen[bytes], given: bytes, seconds: float, most: int
) -> tuple[bytes, bytes]:
    """Return what a process prints to its output and as errors, within a time and a size.

    Where it has ended and all is read, others that hold its output open are not waited for, such as a connection that
    ssh keeps for later.
    """
    stdin, stdout, stderr = process.stdin, process.stdout, process.stderr
    if stdin is None or stdout is None or stderr is None:
        raise ValueError("all three streams of the process have to be pipes")
    with suppress(BrokenPipeError):
        stdin.write(given)
        stdin.close()
    printed, errors = bytearray(), bytearray()
    into = {stdout.fileno(): printed, stderr.fileno(): errors}
    until = time.monotonic() + seconds
    with selectors.DefaultSelector() as selector:
        for descriptor in into:
            selector.register(descriptor, selectors.EVENT_READ)
        while selector.get_map():
            ended = (
                process.poll() is not None
            )  # before the look: what it printed last is there by then
            ready = selector.select(0.1)
            if not ready and ended:
                break
            if time.monotonic() > until:
                raise GitTimeout(f"git did not end within {seconds:.0f} s")
            for key, _ in ready:
                piece = os.read(key.fd, 1 << 18)
                if not piece:
                    selector.unregister(key.fd)
                into[key.fd].extend(piece)
            if len(printed) > most:
                raise TooLarge(f"git printed more than {most} bytes")
            del errors[LARGEST_ERROR:]
    with suppress(subprocess.TimeoutExpired):
        process.wait(max(0.0, until - time.monotonic()))
    return bytes(printed), bytes(errors)


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
