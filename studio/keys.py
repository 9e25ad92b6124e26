"""Keys of services: stored encrypted, shown by name, and handed only to a process that needs them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from pydantic import SecretStr

from db import secrets
from db.database import Database
from db.models import Secret
from pipeline.errors import InvalidConfig, UserError
from studio.key_rules import check_key, last_four
from studio.secret_key import KEY_VARIABLE, CannotDecrypt, SecretKey

_STUDIO_ONLY = (KEY_VARIABLE, "LAPIDARY_TOKEN", "DATABASE_URL")


class SecretUnreadable(UserError):
    """A key is stored, but can no longer be decrypted."""

    code = "secret_unreadable"


@dataclass(frozen=True)
class StoredSecret:
    """What may be shown of a key. `last_four` is empty where it would tell too much; a key that is not `is_readable`
    has to be saved again."""

    name: str
    last_four: str
    is_readable: bool
    created_at: datetime
    updated_at: datetime


class Keys:
    """The keys of every owner. No verb but `environment_for` returns a value."""

    def __init__(self, database: Database, secret_key: SecretKey) -> None:
        self._database = database
        self._secret_key = secret_key

    @property
    def place(self) -> str:
        """Where the key is that encrypts the others, for people."""
        return self._secret_key.place

    def save_secret(self, name: str, value: SecretStr, *, owner: str) -> StoredSecret:
        """Store a key, or replace the one of the same name.

        Raises:
            InvalidConfig: the name or the value cannot be a key's; all problems are listed.
            StorageFailed: there is no key to encrypt with, and none could be made.
        """
        plain = value.get_secret_value()
        if problems := check_key(name, plain):
            raise InvalidConfig(problems)
        encrypted_value = self._secret_key.encrypt(plain, owner=owner, name=name)
        with self._database.write() as session:
            secret = secrets.save_secret(
                session, name, owner=owner, encrypted_value=encrypted_value, last_four=last_four(plain)
            )
        return self._shown(secret)

    def list_secrets(self, *, owner: str) -> list[StoredSecret]:
        """The keys of `owner` by name."""
        with self._database.read() as session:
            return [self._shown(secret) for secret in secrets.list_secrets(session, owner=owner)]

    def delete_secret(self, name: str, *, owner: str) -> None:
        """Forget a key. Raises NotFound."""
        with self._database.write() as session:
            secrets.delete_secret(session, name, owner=owner)

    def environment_for(self, names: Iterable[str], *, owner: str) -> dict[str, str]:
        """The variables for the environment of a process of `owner`: those of `names` that are stored. What is not
        stored is left out, so that a variable of the studio's own environment stays in force.

        Raises:
            SecretUnreadable: one of them can no longer be decrypted.
        """
        with self._database.read() as session:
            found = [secrets.find_secret(session, name, owner=owner) for name in sorted(set(names))]
        return {secret.name: self._value(secret) for secret in found if secret is not None}

    def _value(self, secret: Secret) -> str:
        try:
            return self._secret_key.decrypt(secret.encrypted_value, owner=secret.owner, name=secret.name)
        except CannotDecrypt as error:
            raise SecretUnreadable(f"The stored key {secret.name} cannot be read: {error}. Save it again.") from error

    def _shown(self, secret: Secret) -> StoredSecret:
        try:
            self._value(secret)
            is_readable = True
        except SecretUnreadable:
            is_readable = False
        return StoredSecret(secret.name, secret.last_four, is_readable, secret.created_at, secret.updated_at)


def without_studio_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    """The studio's environment as its children may see it: without what only the studio needs to know."""
    return {name: value for name, value in environment.items() if name not in _STUDIO_ONLY}
