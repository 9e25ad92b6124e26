"""REST routes of stored keys: names and last characters come out, values only go in."""

from typing import Annotated, Any

from fastapi import APIRouter, Body
from pydantic import SecretStr

from studio.keys import Keys, StoredSecret
from studio.views import iso


def add_secret_routes(router: APIRouter, keys: Keys, owner_of: Any) -> None:
    """Add the routes to the router of /api."""

    @router.get("/secrets")
    def list_secrets(owner: str = owner_of) -> dict[str, Any]:
        shown = [_secret_view(secret) for secret in keys.list_secrets(owner=owner)]
        return {"secrets": shown, "total": len(shown), "limit": len(shown), "offset": 0}

    @router.put("/secrets/{name}")
    def save_secret(name: str, value: Annotated[SecretStr, Body(embed=True)], owner: str = owner_of) -> dict[str, Any]:
        return _secret_view(keys.save_secret(name, value, owner=owner))

    @router.delete("/secrets/{name}")
    def delete_secret(name: str, owner: str = owner_of) -> dict[str, Any]:
        keys.delete_secret(name, owner=owner)
        return {"name": name, "deleted": True}


def _secret_view(secret: StoredSecret) -> dict[str, Any]:
    return {
        "name": secret.name,
        "last_four": secret.last_four,
        "is_readable": secret.is_readable,
        "created_at": iso(secret.created_at),
        "updated_at": iso(secret.updated_at),
    }
