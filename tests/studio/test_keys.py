"""Stored keys: saved, listed, replaced, deleted, handed to a process; isolated by owner, and never told."""

import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from pydantic import SecretStr
from sqlalchemy import update
from sqlmodel import col, select

from db.database import Database
from db.jobs import NotFound
from db.models import Secret
from pipeline.errors import InvalidConfig
from studio.keys import Keys, SecretUnreadable, without_studio_secrets
from studio.secret_key import SecretKey

VALUE = "hf_abcdefghijklmnop1234"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path / 'test.db'}")
    database.migrate()
    yield database
    database.close()


@pytest.fixture
def keys(database: Database, tmp_path: Path) -> Keys:
    return Keys(database, SecretKey.from_environment({}, home=tmp_path))


def save(keys: Keys, name: str = "HF_TOKEN", value: str = VALUE, owner: str = "ana") -> None:
    keys.save_secret(name, SecretStr(value), owner=owner)


def test_saved_key_reaches_the_environment_of_a_process(keys: Keys) -> None:
    save(keys)
    environment = keys.environment_for(["HF_TOKEN"], owner="ana")
    code = "import os; print(os.environ['HF_TOKEN'])"
    child = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert child.stdout.strip() == VALUE


def test_environment_holds_only_what_was_asked_for_and_is_stored(keys: Keys) -> None:
    save(keys)
    save(keys, "WANDB_API_KEY", "w" * 40)
    assert keys.environment_for(["HF_TOKEN", "OPENAI_API_KEY", "HF_TOKEN"], owner="ana") == {"HF_TOKEN": VALUE}
    assert keys.environment_for([], owner="ana") == {}


def test_list_shows_names_dates_and_last_characters(keys: Keys) -> None:
    save(keys, "WANDB_API_KEY", "short")
    save(keys)
    shown = keys.list_secrets(owner="ana")
    assert [(secret.name, secret.last_four, secret.is_readable) for secret in shown] == [
        ("HF_TOKEN", "1234", True),
        ("WANDB_API_KEY", "", True),
    ]
    assert VALUE not in repr(shown)


def test_saving_again_replaces_the_value(keys: Keys) -> None:
    save(keys)
    save(keys, value="hf_the_new_value_zyxw9876")
    (shown,) = keys.list_secrets(owner="ana")
    assert shown.last_four == "9876"
    assert shown.updated_at > shown.created_at
    assert keys.environment_for(["HF_TOKEN"], owner="ana") == {"HF_TOKEN": "hf_the_new_value_zyxw9876"}


def test_deleted_key_is_gone(keys: Keys) -> None:
    save(keys)
    keys.delete_secret("HF_TOKEN", owner="ana")
    assert keys.list_secrets(owner="ana") == []
    assert keys.environment_for(["HF_TOKEN"], owner="ana") == {}
    with pytest.raises(NotFound, match="no stored key of this name"):
        keys.delete_secret("HF_TOKEN", owner="ana")


def test_owners_neither_see_nor_use_nor_change_each_others_keys(keys: Keys) -> None:
    save(keys, owner="ana")
    save(keys, "WANDB_API_KEY", "w" * 40, owner="ana")
    save(keys, value="hf_of_ben_qrstuvwxyz5678", owner="ben")
    assert [(secret.name, secret.last_four) for secret in keys.list_secrets(owner="ben")] == [("HF_TOKEN", "5678")]
    assert keys.environment_for(["HF_TOKEN", "WANDB_API_KEY"], owner="ben") == {"HF_TOKEN": "hf_of_ben_qrstuvwxyz5678"}
    with pytest.raises(NotFound):
        keys.delete_secret("WANDB_API_KEY", owner="ben")
    keys.delete_secret("HF_TOKEN", owner="ben")
    assert keys.environment_for(["HF_TOKEN"], owner="ana") == {"HF_TOKEN": VALUE}


def test_value_copied_to_another_owners_row_is_not_readable_there(keys: Keys, database: Database) -> None:
    save(keys, owner="ana")
    save(keys, value="hf_of_ben_qrstuvwxyz5678", owner="ben")
    with database.read() as session:
        stolen = session.exec(select(Secret.encrypted_value).where(Secret.owner == "ana")).one()
    with database.write() as session:
        session.exec(update(Secret).where(col(Secret.owner) == "ben").values(encrypted_value=stolen))
    with pytest.raises(SecretUnreadable, match="stored under another name or for somebody else. Save it again."):
        keys.environment_for(["HF_TOKEN"], owner="ben")


def test_lost_key_file_is_a_sentence_and_saving_again_mends_it(keys: Keys, tmp_path: Path) -> None:
    save(keys)
    (tmp_path / "secret.key").unlink()
    assert [secret.is_readable for secret in keys.list_secrets(owner="ana")] == [False]
    with pytest.raises(SecretUnreadable) as caught:
        keys.environment_for(["HF_TOKEN"], owner="ana")
    assert str(caught.value) == (
        f"The stored key HF_TOKEN cannot be read: the file {tmp_path}/secret.key, with which it was encrypted, "
        "is gone. Save it again."
    )
    save(keys)
    assert keys.environment_for(["HF_TOKEN"], owner="ana") == {"HF_TOKEN": VALUE}


def test_another_key_in_the_variable_is_a_sentence(keys: Keys, database: Database, tmp_path: Path) -> None:
    save(keys)
    other = SecretKey.from_environment({"LAPIDARY_SECRET_KEY": Fernet.generate_key().decode()}, home=tmp_path)
    sentence = (
        "The stored key HF_TOKEN cannot be read: it was not encrypted with the key in the variable "
        "LAPIDARY_SECRET_KEY. Save it again."
    )
    with pytest.raises(SecretUnreadable, match=sentence):
        Keys(database, other).environment_for(["HF_TOKEN"], owner="ana")


def test_unreadable_key_does_not_stand_in_the_way_of_others(keys: Keys, tmp_path: Path) -> None:
    save(keys)
    (tmp_path / "secret.key").unlink()
    save(keys, "WANDB_API_KEY", "w" * 40)
    assert [(secret.name, secret.is_readable) for secret in keys.list_secrets(owner="ana")] == [
        ("HF_TOKEN", False),
        ("WANDB_API_KEY", True),
    ]
    assert keys.environment_for(["WANDB_API_KEY"], owner="ana") == {"WANDB_API_KEY": "w" * 40}


def test_refused_key_is_not_stored_and_not_repeated(keys: Keys) -> None:
    with pytest.raises(InvalidConfig) as caught:
        save(keys, "LD_PRELOAD", f"{VALUE}\n")
    assert [problem.field for problem in caught.value.problems] == ["name", "value"]
    assert VALUE not in str(caught.value)
    assert keys.list_secrets(owner="ana") == []


def test_value_is_in_no_file_of_the_studio_and_in_no_log(
    keys: Keys, database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        save(keys)
        keys.list_secrets(owner="ana")
        keys.environment_for(["HF_TOKEN"], owner="ana")
    database.close()
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"test.db", "secret.key"} <= {path.name for path in written}
    assert [path.name for path in written if VALUE.encode() in path.read_bytes()] == []
    assert VALUE not in caplog.text


def test_children_do_not_inherit_what_only_the_studio_needs() -> None:
    environment = {
        "HF_TOKEN": VALUE,
        "PATH": "/bin",
        "LAPIDARY_SECRET_KEY": "k",
        "LAPIDARY_TOKEN": "t",
        "DATABASE_URL": "postgresql://ana:password@db/studio",
    }
    assert without_studio_secrets(environment) == {"HF_TOKEN": VALUE, "PATH": "/bin"}
