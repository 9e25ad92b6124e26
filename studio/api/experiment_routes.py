"""The REST door to what is asked before a run: its preflight, and what makes it fit."""

from typing import Annotated, Any

from fastapi import APIRouter, Body

from studio.preflight_request import preflight_of
from studio.service import Studio


def add_experiment_routes(router: APIRouter, studio: Studio, owner_of: Any) -> None:
    """`/experiments/preflight` and `/experiments/fit`."""

    @router.post("/experiments/preflight")
    def preflight(body: Annotated[dict[str, Any], Body()], owner: str = owner_of) -> dict[str, Any]:
        """Findings and estimate of a job document, for this machine or for the GPU that `resources` names."""
        return preflight_of(studio, body, owner=owner)

    @router.post("/experiments/fit")
    def fit(body: Annotated[dict[str, Any], Body()], owner: str = owner_of) -> dict[str, Any]:
        """What makes a job document fit this machine: a patch, and each configuration that was tried."""
        found = studio.fit(body, owner=owner)
        return {"fit": None if found is None else found.model_dump(mode="json")}
