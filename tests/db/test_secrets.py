"""Rows of stored keys: one a name and owner, seen by that owner only, added to a database that has runs already."""

from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config as AlembicConfig
from sqlalchemy import inspect, text
from sqlalchemy.exc import IntegrityError

from db import secrets
from db.database import Database
from db.jobs import NotFound
from db.models import Secret

MIGRATIONS = Path(__file__).parents[2] / "db" / "migrations"


def save(database: Database, name: str, *, owner: str = "ana", encrypted_value: str = "sealed") -> Secret:
    with database.write() as session:
        return secrets.save_secret(session, name, owner=owner, encrypted_value=encrypted_value, last_four="7890")


def names_of(database: Database, owner: str) -> list[str]:
    with database.read() as session:
        return [secret.name for secret in secrets.list_secrets(session, owner=owner)]


def test_saved_secrets_are_listed_by_name(database: Database) -> None:
    for name in ("WANDB_API_KEY", "HF_TOKEN"):
        save(database, name)
    assert names_of(database, "ana") == ["HF_TOKEN", "WANDB_API_KEY"]


def test_saving_again_replaces_the_value_and_keeps_the_first_date(database: Database) -> None:
    first = save(database, "HF_TOKEN", encrypted_value="old")
    save(database, "HF_TOKEN", encrypted_value="new")
    with database.read() as session:
        (stored,) = secrets.list_secrets(session, owner="ana")
    assert (stored.id, stored.encrypted_value, stored.created_at) == (first.id, "new", first.created_at)
    assert stored.updated_at > first.updated_at


def test_secret_of_one_owner_is_not_there_for_another(database: Database) -> None:
    save(database, "HF_TOKEN", owner="ana", encrypted_value="of ana")
    save(database, "HF_TOKEN", owner="ben", encrypted_value="of ben")
    save(database, "WANDB_API_KEY", owner="ana")
    assert names_of(database, "ben") == ["HF_TOKEN"]
    with database.read() as session:
        found = secrets.find_secret(session, "HF_TOKEN", owner="ben")
        assert secrets.find_secret(session, "WANDB_API_KEY", owner="ben") is None
    assert found is not None
    assert found.encrypted_value == "of ben"


def test_deleting_takes_only_the_owners_secret(database: Database) -> None:
    for owner in ("ana", "ben"):
        save(database, "HF_TOKEN", owner=owner)
    with database.write() as session:
        secrets.delete_secret(session, "HF_TOKEN", owner="ben")
    assert (names_of(database, "ana"), names_of(database, "ben")) == (["HF_TOKEN"], [])
    with pytest.raises(NotFound, match="no stored key of this name"), database.write() as session:
        secrets.delete_secret(session, "HF_TOKEN", owner="ben")


def test_database_refuses_a_second_row_of_the_same_name(database: Database) -> None:
    save(database, "HF_TOKEN")
    with pytest.raises(IntegrityError), database.write() as session:
        session.add(Secret(owner="ana", name="HF_TOKEN", encrypted_value="other", last_four=""))


def test_representation_shows_neither_value_nor_last_characters(database: Database) -> None:
    shown = repr(save(database, "HF_TOKEN", encrypted_value="gAAAAAB-sealed"))
    assert "HF_TOKEN" in shown
    assert "sealed" not in shown
    assert "7890" not in shown


def test_database_without_secrets_gets_the_table_and_keeps_its_rows(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'old.db'}")
    config = AlembicConfig()
    config.set_main_option("script_location", str(MIGRATIONS))
    with database.engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        assert "secret" not in inspect(connection).get_table_names()
        connection.execute(text("INSERT INTO draft VALUES ('d1', 'ana', 2, '{}', '2026-01-01 00:00:00.000000')"))
    database.migrate()
    save(database, "HF_TOKEN")
    with database.read() as session:
        kept = session.connection().execute(text("SELECT id, owner, step FROM draft")).one()
    assert tuple(kept) == ("d1", "ana", 2)
    assert names_of(database, "ana") == ["HF_TOKEN"]
    database.close()
