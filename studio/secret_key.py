"""The key that stored keys are encrypted with: given by LAPIDARY_SECRET_KEY, or made once and kept in a file."""

import logging
import os
import threading
from collections.abc import Mapping
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from pipeline.errors import InvalidConfig, Problem, StorageFailed

logger = logging.getLogger(__name__)
KEY_VARIABLE = "LAPIDARY_SECRET_KEY"
KEY_FILE = "secret.key"
_ONLY_OWNER = 0o600
_MAKE_A_KEY = 'python -c "from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())"'


class CannotDecrypt(Exception):
    """A stored value cannot be read; the text is the reason, to be put into a sentence."""


class SecretKey:
    """Encrypts and decrypts with Fernet (AES-128-CBC and HMAC-SHA256).

    `given` holds one or more keys, separated by commas: the first encrypts, each of them decrypts. Without it the key
    is in the file `path`, which is made when something is encrypted for the first time.
    """

    def __init__(self, path: Path, *, given: str | None = None) -> None:
        self.path = path
        self._given = None if given is None else _parse(given)
        self._making = threading.Lock()

    @classmethod
    def from_environment(cls, environ: Mapping[str, str], *, home: Path) -> "SecretKey":
        """The key of the studio in `home`. Raises InvalidConfig when LAPIDARY_SECRET_KEY is not a key."""
        key = cls(home / KEY_FILE, given=environ.get(KEY_VARIABLE))
        if key._given is None and key.path.exists():
            _keep_private(key.path)
        return key

    @property
    def place(self) -> str:
        """Where the key is, for people."""
        return f"the file {self.path}" if self._given is None else f"the variable {KEY_VARIABLE}"

    def encrypt(self, value: str, *, owner: str, name: str) -> str:
        """`value` encrypted, readable again only for the same `owner` and `name`.

        Raises:
            StorageFailed: the key's file cannot be made or holds no key.
        """
        try:
            with self._making:
                if self._given is None and not self.path.exists():
                    _make_file(self.path)
                cipher = self._cipher()
        except OSError as error:
            raise StorageFailed(
                f"The key cannot be stored, because {self.path} could not be made: {error.strerror}. "
                "Free some space, or let the user who runs the studio write there, and save it again."
            ) from error
        except CannotDecrypt as error:
            raise StorageFailed(
                f"The key cannot be stored: {error}. Restore that file from a copy, or delete it, and save it again."
            ) from error
        return cipher.encrypt(_bound_to(owner, name) + value.encode()).decode("ascii")

    def decrypt(self, encrypted_value: str, *, owner: str, name: str) -> str:
        """What was encrypted for `owner` and `name`.

        Raises:
            CannotDecrypt: the key is lost or another one, or the value was changed or is somebody else's.
        """
        cipher = self._cipher()
        try:
            plain = cipher.decrypt(encrypted_value.encode())
        except InvalidToken as error:
            raise CannotDecrypt(f"it was not encrypted with the key in {self.place}") from error
        prefix = _bound_to(owner, name)
        if not plain.startswith(prefix):
            raise CannotDecrypt("it was stored under another name or for somebody else")
        return plain[len(prefix) :].decode()

    def _cipher(self) -> MultiFernet:
        # The file is read each time: a key kept in memory would hide its loss until the next start.
        if self._given is not None:
            return self._given
        try:
            return MultiFernet([Fernet(self.path.read_bytes().strip())])
        except FileNotFoundError as error:
            raise CannotDecrypt(f"{self.place}, with which it was encrypted, is gone") from error
        except OSError as error:
            raise CannotDecrypt(f"{self.place} cannot be opened ({error.strerror})") from error
        except ValueError:
            # Without its cause, which may repeat what the file holds.
            raise CannotDecrypt(f"{self.place} holds no key to decrypt with") from None


def _parse(given: str) -> MultiFernet:
    try:
        return MultiFernet([Fernet(part.strip()) for part in given.split(",")])
    except ValueError:
        message = f"This is not a key, or a list of keys with commas. Make one with: {_MAKE_A_KEY}"
        raise InvalidConfig([Problem(KEY_VARIABLE, message)]) from None


def _make_file(path: Path) -> None:
    """Write a fresh key to a file that did not exist and that nobody else can ever open."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _ONLY_OWNER)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(Fernet.generate_key() + b"\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        path.unlink()
        raise


def _keep_private(path: Path) -> None:
    if path.stat().st_mode & 0o077:
        try:
            path.chmod(_ONLY_OWNER)
            logger.warning("Other users could read %s, for example after it was copied; now only you can.", path)
        except OSError as error:
            logger.warning("Other users can read %s, and that cannot be changed: %s.", path, error.strerror)


def _bound_to(owner: str, name: str) -> bytes:
    # A row's value that is copied to another owner's row must not become readable there.
    return f"{owner}\0{name}\0".encode()
