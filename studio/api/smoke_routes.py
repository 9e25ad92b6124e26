"""The REST door to the trial of a run: its longest batch, once, before it is started."""

from typing import Annotated, Any

from fastapi import APIRouter, Body

from studio.service import Studio


def add_smoke_routes(router: APIRouter, studio: Studio, owner_of: Any) -> None:
    """Every route below `/experiments/smoke`."""

    @router.post("/experiments/smoke")
    def smoke(body: Annotated[dict[str, Any], Body()], owner: str = owner_of) -> dict[str, Any]:
        """What was measured and found; the answer comes when the trial is done. 409 where the device is taken."""
        checked = studio.require_startable(body, owner=owner)
        report = studio.trials.run(checked.config, owner=owner)
        return {**report.model_dump(mode="json"), "passed": report.passed}

    @router.post("/experiments/smoke/cancel")
    def cancel(owner: str = owner_of) -> dict[str, bool]:
        """End the caller's trial, whose own answer is then a 409."""
        return {"cancelled": studio.trials.cancel(owner=owner)}
