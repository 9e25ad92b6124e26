"""Drafts of the wizard."""

from typing import Any

from sqlmodel import Session

from db.columns import utc_now
from db.jobs import NotFound
from db.models import Draft


def save_draft(session: Session, draft_id: str, *, owner: str, step: int, values: dict[str, Any]) -> Draft:
    """Store the raw values of a half-filled wizard; a new id makes a new draft.

    Raises:
        NotFound: the draft belongs to somebody else.
    """
    draft = session.get(Draft, draft_id) if draft_id else None
    if draft is None:
        draft = Draft(owner=owner)
    elif draft.owner != owner:
        raise NotFound("This draft belongs to somebody else.")
    draft.step, draft.values, draft.updated_at = step, values, utc_now()
    session.add(draft)
    return draft


def get_draft(session: Session, draft_id: str, *, owner: str) -> Draft | None:
    """The draft, if it exists and belongs to `owner`."""
    draft = session.get(Draft, draft_id) if draft_id else None
    return draft if draft is not None and draft.owner == owner else None


def delete_draft(session: Session, draft_id: str, *, owner: str) -> None:
    """Forget a draft."""
    if draft := get_draft(session, draft_id, owner=owner):
        session.delete(draft)
