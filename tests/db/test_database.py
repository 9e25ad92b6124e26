"""Migrations make the tables that the models describe; documents and times survive the round trip."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text
from sqlalchemy.exc import StatementError
from sqlmodel import SQLModel

from db import jobs
from db.database import Database
from db.models import Job
from pipeline.errors import StorageFailed
from pipeline.validation import parse_job_config
from tests.documents import demo_document


def test_migrations_make_what_the_models_describe(database: Database) -> None:
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": False})
        assert compare_metadata(context, SQLModel.metadata) == []


def test_migrating_twice_changes_nothing(database: Database) -> None:
    database.migrate()


def test_database_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'newer.db'}")
    database.migrate()
    with database.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StorageFailed, match="another version of Lapidary"):
        database.migrate()
    database.close()


def test_job_document_survives_the_round_trip(database: Database) -> None:
    config = parse_job_config({**demo_document(), "tuning": {"kind": "full"}})
    with database.write() as session:
        created = jobs.create_job(session, config, owner="ana")
    with database.read() as session:
        stored = jobs.get_job(session, created.job_id)
    assert stored.config == config
    assert abs((datetime.now(UTC) - stored.created_at).total_seconds()) < 60


def test_plain_dictionary_is_no_job_document(database: Database) -> None:
    job = Job(job_id="x", name="x", owner="ana", config={"kind": "train"}, config_hash="x")  # type: ignore[arg-type]
    with pytest.raises(StatementError, match="expected FineTuneJobConfig"), database.write() as session:
        session.add(job)


def test_failed_transaction_leaves_nothing(database: Database) -> None:
    with pytest.raises(ZeroDivisionError), database.write() as session:
        jobs.create_job(session, parse_job_config(demo_document()), owner="ana")
        _ = 1 / 0
    with database.read() as session:
        assert jobs.list_jobs(session, owner="ana") == ([], 0)


def test_password_of_the_database_is_not_told(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'newer.db'}")
    database.migrate()
    with database.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    database.engine.url = database.engine.url.set(username="ana", password="opensesame")
    with pytest.raises(StorageFailed, match="ana") as caught:
        database.migrate()
    assert "opensesame" not in str(caught.value)
    database.close()
