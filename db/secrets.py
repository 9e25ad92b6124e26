"""Stored keys: their rows, with values that were encrypted before they came here."""

from collections.abc import Sequence

from sqlmodel import Session, col, select

from db.columns import utc_now
from db.jobs import NotFound
from db.models import Secret


def save_secret(session: Session, name: str, *, owner: str, encrypted_value: str, last_four: str) -> Secret:
    """Store a key of `owner`; one of the same name is replaced and keeps the time it was first saved."""
    secret = find_secret(session, name, owner=owner)
    if secret is None:
        secret = Secret(owner=owner, name=name, encrypted_value=encrypted_value, last_four=last_four)
    else:
        secret.encrypted_value, secret.last_four, secret.updated_at = encrypted_value, last_four, utc_now()
    session.add(secret)
    return secret


def find_secret(session: Session, name: str, *, owner: str) -> Secret | None:
    """The key of `owner` with this name, if it is stored."""
    return session.exec(select(Secret).where(Secret.owner == owner, Secret.name == name)).first()


def list_secrets(session: Session, *, owner: str) -> Sequence[Secret]:
    """Keys of `owner` by name."""
    return session.exec(select(Secret).where(Secret.owner == owner).order_by(col(Secret.name))).all()


def delete_secret(session: Session, name: str, *, owner: str) -> None:
    """Forget a key of `owner`.

    Raises:
        NotFound: `owner` has none of this name.
    """
    secret = find_secret(session, name, owner=owner)
    if secret is None:
        # The name is not repeated: a value that was typed in its place would be told.
        raise NotFound("There is no stored key of this name. The Settings page lists those there are.")
    session.delete(secret)
