"""Opens the storage at a place: SQLite in a folder, or PostgreSQL.

Owns: which database is behind the state. PostgreSQL's driver is imported only where a place names one.
Must not: know what is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.core.clock import Clock
from reconciler.core.errors import StateError
from reconciler.state.coordination import Coordination
from reconciler.state.place import Place
from reconciler.state.port import Storage
from reconciler.state.sqlite.connection import Connect, connect
from reconciler.state.sqlite.folder import FILE
from reconciler.state.sqlite.storage import SqliteStorage

if TYPE_CHECKING:
    from reconciler.state.postgres.storage import PostgresStorage


def opened(place: Place | Path, clock: Clock, connect: Connect = connect) -> Storage:
    """Open a storage for writing, and create it if needed. Raises ``StateError``."""
    there = Place.of(place)
    if there.url is None:
        return SqliteStorage.open(there.folder, clock, connect)
    return _postgres().open(there.url, clock)


def opened_to_read(place: Place | Path, clock: Clock, connect: Connect = connect) -> Storage:
    """Open a storage for reading. One that is missing is empty. Raises ``StateError``."""
    there = Place.of(place)
    if there.url is None:
        return SqliteStorage.read_only(there.folder, clock, connect)
    storage = _postgres().read_only(there.url, clock)
    if not storage.empty:
        return storage
    storage.medium.close()
    return SqliteStorage.in_memory(clock)


def is_there(place: Place | Path, clock: Clock) -> bool:
    """Return whether a place holds a state. Raises ``StateError`` if a database does not answer."""
    there = Place.of(place)
    if there.url is None:
        return (there.folder / FILE).exists()
    storage = _postgres().read_only(there.url, clock)
    with closing(storage.medium):
        return not storage.empty


def name_of(place: Place | Path) -> str:
    """Return what people call a place: a folder, or a server without its password."""
    there = Place.of(place)
    if there.url is None:
        return str(there.folder)
    _postgres()
    from reconciler.state.postgres.connection import Server  # noqa: PLC0415 - see the module

    return Server.of(there.url).name


def shared(place: Place, clock: Clock) -> tuple[Storage, Coordination] | None:
    """Open the state that several replicas share, and what they share beside it; None where it is in a folder."""
    if place.url is None:
        return None
    storage = _postgres().open(place.url, clock)
    from reconciler.state.postgres.coordination import PostgresCoordination  # noqa: PLC0415 - see the module

    return storage, PostgresCoordination.at(place.url)


@contextmanager
def vacant(place: Place, progress: Callable[[str], None]) -> Iterator[None]:
    """Keep replicas away from the PostgreSQL of a place. Raises ``StateError`` if one uses it.

    ``progress`` takes a sentence if that takes long. A state in a folder has its own lock.
    """
    if place.url is None:
        yield
        return
    _postgres()
    from reconciler.state.postgres import vacancy  # noqa: PLC0415 - see the module
    from reconciler.state.postgres.connection import Server  # noqa: PLC0415 - see the module

    with vacancy.vacant(Server.of(place.url), progress):
        yield


def _postgres() -> type[PostgresStorage]:
    """Return the storage in PostgreSQL. Its driver is an extra."""
    try:
        from reconciler.state.postgres.storage import PostgresStorage  # noqa: PLC0415 - see the module
    except ImportError as error:
        raise StateError(
            "PCC_STATE_URL needs the driver of PostgreSQL: install pcc-reconciler[postgres]"
        ) from error
    return PostgresStorage
