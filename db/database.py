"""Database: the engine, its sessions, and the migrations that bring it up to date."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config as AlembicConfig
from alembic.util.exc import CommandError
from sqlalchemy import Connection, Engine, create_engine, event
from sqlmodel import Session

from pipeline.errors import StorageFailed

BUSY_TIMEOUT_MS = 10_000
_MIGRATIONS = Path(__file__).parent / "migrations"


class Database:
    """One database. `url` is an SQLAlchemy URL; the file of an SQLite URL is made when missing."""

    def __init__(self, url: str, *, journal_mode: str = "WAL") -> None:
        self.url = url
        self._sqlite = url.startswith("sqlite")
        self.engine: Engine = create_engine(url)
        if self._sqlite:
            _configure_sqlite(self.engine, journal_mode=journal_mode)

    def migrate(self) -> None:
        """Apply the migrations that are missing.

        Raises:
            StorageFailed: the database was written by a newer version of Lapidary.
        """
        config = AlembicConfig()
        config.set_main_option("script_location", str(_MIGRATIONS))
        try:
            with self.engine.begin() as connection:
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
        except CommandError as error:
            raise StorageFailed(
                f"The database at {self.engine.url!r} was written by another version of Lapidary ({error}). "
                "Install that version, or set LAPIDARY_HOME to another folder."
            ) from error

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session for reading; what it loaded stays usable after it is closed."""
        with Session(self.engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A transaction: committed at the end, rolled back by an exception. On SQLite it holds the write lock from
        its start, so that what it read is still true when it writes."""
        engine = self.engine.execution_options(immediate=True) if self._sqlite else self.engine
        with Session(engine, expire_on_commit=False) as session, session.begin():
            yield session

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


def _configure_sqlite(engine: Engine, *, journal_mode: str) -> None:
    @event.listens_for(engine, "connect")
    def _on_connect(connection: Any, record: object) -> None:
        # Transactions are begun below, by us: the driver's own BEGIN would always be a deferred one.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA journal_mode={journal_mode}")
        cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.execute("PRAGMA synchronous=NORMAL")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _on_begin(connection: Connection) -> None:
        immediate = connection.get_execution_options().get("immediate", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")
