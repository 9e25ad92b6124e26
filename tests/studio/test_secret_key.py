"""The key that encrypts: made once and private, given by a variable, lost, damaged, exchanged."""

import logging
import threading
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import InvalidConfig, StorageFailed
from studio.secret_key import CannotDecrypt, SecretKey

VALUE = "hf_abcdefghijklmnop1234"
IN_MEMORY = SecretKey(Path("/nowhere/secret.key"), given=Fernet.generate_key().decode())


def seal(key: SecretKey) -> str:
    return key.encrypt(VALUE, owner="ana", name="HF_TOKEN")


def unseal(key: SecretKey, encrypted_value: str) -> str:
    return key.decrypt(encrypted_value, owner="ana", name="HF_TOKEN")


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_comes_back_as_it_was(value: str) -> None:
    encrypted = IN_MEMORY.encrypt(value, owner="ana", name="HF_TOKEN")
    assert unseal(IN_MEMORY, encrypted) == value


@given(st.text())
def test_text_that_was_never_encrypted_is_refused(encrypted_value: str) -> None:
    with pytest.raises(CannotDecrypt, match="not encrypted with the key in the variable LAPIDARY_SECRET_KEY"):
        unseal(IN_MEMORY, encrypted_value.encode(errors="replace").decode())


def test_encrypted_value_does_not_hold_the_value() -> None:
    assert VALUE not in seal(IN_MEMORY)
    assert seal(IN_MEMORY) != seal(IN_MEMORY)


def test_file_is_made_once_with_the_first_value_and_only_its_user_can_open_it(tmp_path: Path) -> None:
    key = SecretKey.from_environment({}, home=tmp_path)
    assert not key.path.exists()
    encrypted = seal(key)
    made = key.path.read_bytes()
    assert key.path.stat().st_mode & 0o777 == 0o600
    seal(key)
    assert key.path.read_bytes() == made
    assert unseal(SecretKey.from_environment({}, home=tmp_path), encrypted) == VALUE


def test_threads_that_save_at_once_share_one_file(tmp_path: Path) -> None:
    key = SecretKey.from_environment({}, home=tmp_path)
    start, sealed = threading.Barrier(8), []

    def save() -> None:
        start.wait()
        sealed.append(seal(key))

    threads = [threading.Thread(target=save) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [unseal(key, encrypted) for encrypted in sealed] == [VALUE] * 8


def test_file_that_others_can_read_is_made_private(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    seal(SecretKey.from_environment({}, home=tmp_path))
    path = tmp_path / "secret.key"
    path.chmod(0o644)
    with caplog.at_level(logging.WARNING):
        SecretKey.from_environment({}, home=tmp_path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert "Other users could read" in caplog.text
    assert path.read_text().strip() not in caplog.text


def test_variable_wins_and_no_file_is_made(tmp_path: Path) -> None:
    key = SecretKey.from_environment({"LAPIDARY_SECRET_KEY": Fernet.generate_key().decode()}, home=tmp_path)
    assert unseal(key, seal(key)) == VALUE
    assert list(tmp_path.iterdir()) == []
    assert key.place == "the variable LAPIDARY_SECRET_KEY"


def test_second_key_of_the_variable_still_reads(tmp_path: Path) -> None:
    old, new = (Fernet.generate_key().decode() for _ in range(2))
    encrypted = seal(SecretKey.from_environment({"LAPIDARY_SECRET_KEY": old}, home=tmp_path))
    both = SecretKey.from_environment({"LAPIDARY_SECRET_KEY": f"{new}, {old}"}, home=tmp_path)
    assert unseal(both, encrypted) == VALUE
    with pytest.raises(CannotDecrypt):
        unseal(SecretKey.from_environment({"LAPIDARY_SECRET_KEY": old}, home=tmp_path), seal(both))


@pytest.mark.parametrize("given_key", ["", "correct horse battery staple", "c2hvcnQ=", f"{'A' * 43}=,"])
def test_variable_that_is_no_key_is_a_sentence_without_it(given_key: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match="LAPIDARY_SECRET_KEY: This is not a key, .* Make one with") as caught:
        SecretKey.from_environment({"LAPIDARY_SECRET_KEY": given_key}, home=tmp_path)
    assert given_key == "" or given_key not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (lambda path: path.unlink(), "secret.key, with which it was encrypted, is gone"),
        (lambda path: path.write_bytes(Fernet.generate_key()), "was not encrypted with the key in the file"),
        (lambda path: path.write_text("half a k"), "secret.key holds no key to decrypt with"),
        (lambda path: path.write_bytes(b"\xff\x00"), "secret.key holds no key to decrypt with"),
        (lambda path: (path.unlink(), path.mkdir()), "secret.key cannot be opened"),
    ],
)
def test_harm_to_the_file_is_told_and_noticed_at_once(harm: object, reason: str, tmp_path: Path) -> None:
    key = SecretKey.from_environment({}, home=tmp_path)
    encrypted = seal(key)
    harm(key.path)  # type: ignore[operator]
    with pytest.raises(CannotDecrypt, match=reason):
        unseal(key, encrypted)


def test_damaged_file_is_not_overwritten_by_saving(tmp_path: Path) -> None:
    key = SecretKey.from_environment({}, home=tmp_path)
    key.path.write_text("half a k")
    with pytest.raises(StorageFailed, match="holds no key .* Restore that file from a copy, or delete it") as caught:
        seal(key)
    assert key.path.read_text() == "half a k"
    assert "half a k" not in str(caught.value)


def test_folder_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(StorageFailed, match="could not be made: No such file or directory"):
        seal(SecretKey.from_environment({}, home=tmp_path / "gone"))


@pytest.mark.parametrize(("owner", "name"), [("ben", "HF_TOKEN"), ("ana", "WANDB_API_KEY")])
def test_value_cannot_be_read_for_another_owner_or_name(owner: str, name: str) -> None:
    with pytest.raises(CannotDecrypt, match="stored under another name or for somebody else"):
        IN_MEMORY.decrypt(seal(IN_MEMORY), owner=owner, name=name)
