"""A migrated database in a temporary file."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from db.database import Database


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path / 'test.db'}")
    database.migrate()
    yield database
    database.close()
