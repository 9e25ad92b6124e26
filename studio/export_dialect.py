"""Exports as the clients of the first releases ask for them: one format, places by their names, a token in the body."""

from collections.abc import Mapping
from typing import Any

from pipeline.errors import InvalidConfig, Problem

_PLACES = ("gcs", "hfhub", "hf_hub", "s3", "local")
_HUB = ("hfhub", "hf_hub")
_SCHEMES = {"gcs": "gs", "s3": "s3"}
_KNOWN = ("job_id", "export_type", "destination", "hf_token", "hf_repo_id", "quantization")


def export_settings(body: Mapping[str, Any], *, job_id: str, buckets: Mapping[str, str | None]) -> dict[str, Any]:
    """The settings of `Exports.start` that a body with `export_type`, `destination` and `hf_repo_id` stands for.

    `buckets` are the names of those for `gcs` and `s3`; without one, `gcs` is the studio's own disk.

    Raises:
        InvalidConfig: a value is missing, unknown or contradicts another; all problems are listed.
    """
    problems = [
        Problem(name, f"is no setting of an export. There are {', '.join(_KNOWN)}.")
        for name in body
        if name not in _KNOWN
    ]
    settings: dict[str, Any] = {}
    if "export_type" not in body:
        problems.append(Problem("export_type", "is missing. It is adapter, merged or gguf."))
    else:
        settings["formats"] = [body["export_type"]]
    if body.get("quantization") is not None:
        settings["quantizations"] = [body["quantization"]]
    named = body.get("destination", [])
    destinations = []
    for name in [named] if isinstance(named, str) else list(named):
        if name in _HUB:
            if not body.get("hf_repo_id"):
                problems.append(Problem("hf_repo_id", f"is required when the destination is {name}."))
            else:
                destinations.append(f"hf://{body['hf_repo_id']}")
        elif name in _SCHEMES:
            bucket = buckets.get(name)
            if bucket is not None:
                destinations.append(f"{_SCHEMES[name]}://{bucket}/exports/{job_id}")
            elif name == "s3":
                told = "s3 names no bucket. Set S3_EXPORT_BUCKET_NAME for the studio, or use POST /api/exports."
                problems.append(Problem("destination", told))
        elif name not in _PLACES:
            problems.append(Problem("destination", f"{name!r} is none of {', '.join(_PLACES)}."))
    if problems:
        raise InvalidConfig(problems)
    return {**settings, "destinations": destinations}
