"""The REST door to what repeats a run: YAML, a command, and a script on TRL with its rows."""

from typing import Any

from fastapi import APIRouter
from starlette.background import BackgroundTask
from starlette.responses import FileResponse

from studio.service import Studio


def add_reproduce_routes(router: APIRouter, studio: Studio, owner_of: Any) -> None:
    """Every route below `/jobs/{id}/reproduce`."""

    @router.get("/jobs/{identifier}/reproduce")
    def reproduce(identifier: str, owner: str = owner_of) -> dict[str, Any]:
        """`yaml`, `command` and `script`; where there is no script, `no_script` says why."""
        job = studio.job(identifier, owner=owner)
        return studio.reproduction.texts(job, studio.run_dir(job))

    @router.get("/jobs/{identifier}/reproduce/download", response_model=None)
    def download(identifier: str, owner: str = owner_of) -> FileResponse:
        """A zip of these, with the rows that the script reads."""
        job = studio.job(identifier, owner=owner)
        file = studio.reproduction.pack(job, studio.run_dir(job))
        name = f"{job.name}-reproduce.zip"
        return FileResponse(file, media_type="application/zip", filename=name, background=BackgroundTask(file.unlink))
