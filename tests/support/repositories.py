"""Real Git repositories for tests: a bare one that is pushed to, ways to serve it, and keys to sign with.

Whoever pushes is simulated by a working tree beside the bare repository. Everything is on this machine.
"""

from __future__ import annotations

import base64
import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any

from scenarios import free_port, write

AUTHOR = "Kim Minji <kim@example.com>"


def git(folder: Path, *arguments: str, given: bytes = b"", **environ: str) -> str:
    """Run git as a person would, and return what it prints."""
    done = subprocess.run(  # noqa: S603 - arguments are those of a test
        ["git", *arguments],  # noqa: S607 - the one on PATH
        cwd=folder,
        env={**os.environ, "GIT_CONFIG_NOSYSTEM": "1", **environ},
        input=given,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, f"git {arguments}: {done.stderr.decode(errors='replace')}"
    return done.stdout.decode(errors="replace").strip()


class Remote:
    """A bare repository and the working tree of somebody who pushes to it."""

    def __init__(self, folder: Path, *, form: str = "sha1") -> None:
        self.bare = folder / "remote.git"
        self.work = folder / "work"
        folder.mkdir(parents=True, exist_ok=True)
        git(
            folder,
            "init",
            "--quiet",
            "--bare",
            "--initial-branch=main",
            f"--object-format={form}",
            str(self.bare),
        )
        git(self.bare, "config", "uploadpack.allowFilter", "true")
        git(self.bare, "config", "receive.denyDeleteCurrent", "ignore")
        git(
            folder,
            "init",
            "--quiet",
            "--initial-branch=main",
            f"--object-format={form}",
            str(self.work),
        )
        git(self.work, "remote", "add", "origin", str(self.bare))

    @property
    def url(self) -> str:
        """Return the address by which this machine's files are fetched."""
        return f"file://{self.bare}"

    @property
    def head(self) -> str:
        """Return the commit that the working tree is at."""
        return git(self.work, "rev-parse", "HEAD")

    def commit(
        self,
        files: Mapping[str, str | None],
        subject: str = "Change the devices",
        *,
        author: str = AUTHOR,
        sign: Sequence[str] = (),
        amend: bool = False,
    ) -> str:
        """Commit these files, where nothing means removed, and return the commit. ``sign`` is configuration for it."""
        for name, content in files.items():
            path = self.work / name
            if content is None:
                path.unlink()
            else:
                write(path, content)
        return self.commit_all(subject, author=author, sign=sign, amend=amend)

    def commit_all(
        self,
        subject: str = "Change",
        *,
        author: str = AUTHOR,
        sign: Sequence[str] = (),
        amend: bool = False,
    ) -> str:
        """Commit the working tree as it is."""
        name, _, address = author.rpartition(" <")
        person = {"NAME": name, "EMAIL": address.rstrip(">")}
        environ = {
            f"GIT_{role}_{key}": value
            for role in ("AUTHOR", "COMMITTER")
            for key, value in person.items()
        }
        git(self.work, "add", "--all")
        options = [*(("-S",) if sign else ("--no-gpg-sign",)), *(("--amend",) if amend else ())]
        config = [part for pair in sign for part in ("-c", pair)]
        git(
            self.work,
            *config,
            "commit",
            "--quiet",
            "--allow-empty",
            *options,
            "-m",
            subject,
            given=b"",
            **environ,
        )
        return self.head

    def push(self, *what: str) -> None:
        """Push, with force."""
        git(self.work, "push", "--quiet", "--force", "origin", *(what or ("HEAD:main",)))

    def publish(
        self, files: Mapping[str, str | None], subject: str = "Change the devices", **how: Any
    ) -> str:
        """Commit and push, and return the commit."""
        made = self.commit(files, subject, **how)
        self.push()
        return made

    def reset(self, commit: str) -> None:
        """Go back, or to another history, and push that with force."""
        git(self.work, "reset", "--quiet", "--hard", commit)
        self.push()

    def large_file(self, path: str, megabytes: int) -> str:
        """Commit a file of so many megabytes of zeros, which is small on its way, without ever having it here."""
        ref = "refs/heads/main"
        head = (
            f"blob\nmark :1\ndata {megabytes << 20}\n".encode(),
            bytes(megabytes << 20),
            f"\ncommit {ref}\ncommitter Kim <kim@example.com> 1700000000 +0000\ndata 5\nlarge\n".encode(),
            f"from {ref}^0\nM 100644 :1 {path}\n\n".encode(),
        )
        git(
            self.bare,
            "-c",
            "core.bigFileThreshold=1m",
            "fast-import",
            "--quiet",
            "--force",
            given=b"".join(head),
        )
        return git(self.bare, "rev-parse", ref)


@dataclass
class GitServer:
    """Serves repositories over http on loopback with ``git http-backend``. Change ``down`` and ``password`` at will.

    While ``open`` is not set requests wait for their answer.
    """

    root: Path
    port: int = 0
    down: bool = False
    user: str = "reader"
    password: str = ""
    requests: list[str] = field(default_factory=list)
    protocol: bool = True
    open: Event = field(default_factory=Event)

    def __post_init__(self) -> None:
        self.open.set()

    @property
    def url(self) -> str:
        """Return the address of the repository."""
        return f"http://127.0.0.1:{self.port}/remote.git"

    def asked(self, service: str = "git-upload-pack") -> int:
        """Return how often the remote was asked what it has."""
        return sum(one == f"GET /remote.git/info/refs?service={service}" for one in self.requests)


@contextmanager
def http_server(root: Path) -> Iterator[GitServer]:
    """Give a running server of the repositories in a folder."""
    told = GitServer(root)

    class Handler(BaseHTTPRequestHandler):
        """Hands each request to git's own program for the web, as Apache would."""

        def do_GET(self) -> None:
            """Answer."""
            self._answer()

        def do_POST(self) -> None:
            """Answer."""
            self._answer()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def _answer(self) -> None:
            told.requests.append(f"{self.command} {self.path}")
            told.open.wait(60)
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            wanted = "Basic " + base64.b64encode(f"{told.user}:{told.password}".encode()).decode()
            if told.down:
                self.send_error(503)
            elif (told.password or told.user != "reader") and self.headers.get(
                "authorization"
            ) != wanted:
                self.send_response(401)
                self.send_header("www-authenticate", 'Basic realm="git"')
                self.send_header("content-length", "0")
                self.end_headers()
            else:
                self._hand_over(body)

        def _hand_over(self, body: bytes) -> None:
            path, _, query = self.path.partition("?")
            environ = {
                "GIT_HTTP_EXPORT_ALL": "1",
                "GIT_PROJECT_ROOT": str(told.root),
                "PATH_INFO": path,
                "QUERY_STRING": query,
                "REQUEST_METHOD": self.command,
                "CONTENT_TYPE": self.headers.get("content-type", ""),
                "HTTP_CONTENT_ENCODING": self.headers.get("content-encoding", ""),
                "GIT_PROTOCOL": self.headers.get("git-protocol", "") if told.protocol else "",
                "CONTENT_LENGTH": str(len(body)),
            }
            done = subprocess.run(
                ["git", "http-backend"],  # noqa: S607 - the one on PATH
                env={**os.environ, **environ},
                input=body,
                capture_output=True,
                check=False,
            )
            head, _, content = done.stdout.partition(b"\r\n\r\n")
            headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if line)
            self.send_response(int(headers.pop("Status", "200 OK").split()[0]))
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        told.port = server.server_address[1]
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield told
        finally:
            server.shutdown()
            thread.join()


@dataclass(frozen=True)
class SshServer:
    """An ssh server on loopback that lets in whoever has the key, and the command that git has to use."""

    port: int
    command: str

    def url(self, remote: Remote) -> str:
        """Return the address of a repository."""
        return f"ssh://{pwd.getpwuid(os.getuid()).pw_name}@127.0.0.1:{self.port}{remote.bare}"


@contextmanager
def ssh_server(folder: Path) -> Iterator[SshServer]:
    """Give a running server with keys and a configuration of its own."""
    folder.mkdir(parents=True)
    for name in ("host", "user"):
        ssh_key(folder / name)
    port = free_port()
    shutil.copy(folder / "user.pub", folder / "authorized")
    write(folder / "known", f"[127.0.0.1]:{port} {(folder / 'host.pub').read_text()}")
    lines = (
        f"Port {port}",
        "ListenAddress 127.0.0.1",
        f"HostKey {folder / 'host'}",
        f"AuthorizedKeysFile {folder / 'authorized'}",
        f"PidFile {folder / 'pid'}",
        "PasswordAuthentication no",
        "StrictModes no",
        "UsePAM no",
        "AcceptEnv GIT_PROTOCOL",
    )
    write(folder / "sshd_config", "\n".join([*lines, ""]))
    sshd = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    assert sshd is not None, "this test needs sshd (Debian, Ubuntu: openssh-server)"
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # where it insists on separating privileges
    server = subprocess.Popen(  # noqa: S603 - a program of the system
        [sshd, "-D", "-e", "-f", str(folder / "sshd_config")], stderr=subprocess.PIPE
    )
    try:
        assert server.stderr is not None
        assert b"listening" in server.stderr.readline()
        options = f"-F none -i {folder / 'user'} -o UserKnownHostsFile={folder / 'known'} -o IdentitiesOnly=yes"
        yield SshServer(port, f"ssh {options}")
    finally:
        server.terminate()
        server.communicate()


def ssh_key(path: Path) -> Path:
    """Make an SSH key without a passphrase."""
    subprocess.run(  # noqa: S603 - a program of the system
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", path.name, "-f", str(path)],  # noqa: S607 - a program of the system
        check=True,
    )
    return path


def signed_by(key: Path) -> tuple[str, ...]:
    """Return git's configuration for signing with an SSH key."""
    return "gpg.format=ssh", f"user.signingKey={key}"


def allow(signers: Path, *keys: Path) -> Path:
    """Write the file of allowed signers."""
    lines = [f"kim@example.com {key.with_suffix('.pub').read_text()}" for key in keys]
    write(signers, "".join(lines))
    return signers


@dataclass(frozen=True)
class PgpKey:
    """One key in a keyring."""

    home: Path
    id: str

    @property
    def sign(self) -> tuple[str, ...]:
        """Return git's configuration for signing with it."""
        return "gpg.format=openpgp", f"user.signingKey={self.id}"


class Keyring:
    """A PGP keyring in a folder of its own; its agent ends with it."""

    def __init__(self, home: Path) -> None:
        home.mkdir(mode=0o700, parents=True)
        self.home = home

    def make(self, name: str, trust: int = 2, *, vouched: PgpKey | None = None) -> PgpKey:
        """Make a key. ``trust`` in it as one that vouches: 6 ultimate, 5 full, 4 marginal, 2 none."""
        self._gpg(
            "--quick-generate-key", f"{name} <{name}@example.com>", "ed25519", "sign", "never"
        )
        listed = self._gpg("--list-keys", "--with-colons", name).decode()
        key = next(line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr"))
        self._gpg("--import-ownertrust", given=f"{key}:{trust}:\n".encode())
        if vouched is not None:
            self._gpg("--default-key", vouched.id, "--quick-sign-key", key)
        return PgpKey(self.home, key)

    def revoke(self, key: PgpKey) -> None:
        """Revoke a key with the certificate that was made with it."""
        made = (self.home / "openpgp-revocs.d" / f"{key.id}.rev").read_text()
        self._gpg("--import", given=made.replace(":-----BEGIN", "-----BEGIN").encode())

    def close(self) -> None:
        """End the agent."""
        subprocess.run(["gpgconf", "--homedir", str(self.home), "--kill", "all"], check=True)  # noqa: S603, S607 - a program of the system

    def _gpg(self, *arguments: str, given: bytes = b"") -> bytes:
        options = ("--homedir", str(self.home), "--batch", "--quiet", "--yes", "--passphrase", "")
        done = subprocess.run(  # noqa: S603 - a program of the system
            ["gpg", *options, *arguments],  # noqa: S607 - a program of the system
            input=given,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout
