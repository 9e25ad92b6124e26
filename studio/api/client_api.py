"""The Gradio client's door: `client.predict(..., api_name="/train")` and its siblings."""

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import gradio as gr

from pipeline.errors import UserError
from studio import views
from studio.api.rest import HEALTH
from studio.auth import Authenticator
from studio.export_view import export_view
from studio.preflight_request import preflight_of
from studio.service import Studio

P = ParamSpec("P")
R = TypeVar("R")


def endpoint(function: Callable[P, R]) -> Callable[P, R]:
    """Let a user's error reach the client as its sentence; Gradio masks every other exception."""

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except UserError as error:
            raise gr.Error(str(error), print_exception=False) from error

    return call


def owner_of(authenticator: Authenticator, request: gr.Request) -> str:
    """The caller's identity.

    Raises:
        gr.Error: the caller is a stranger.
    """
    owner = authenticator.identify(request.request)
    if owner is None:
        raise gr.Error("Sign in first: the studio asks for its access token.", print_exception=False)
    return owner


def register_endpoints(studio: Studio, authenticator: Authenticator) -> None:
    """Add the endpoints to the Blocks that is being built."""

    @endpoint
    def train(config: dict[str, Any], request: gr.Request) -> dict[str, Any]:
        """Queue a fine-tuning run.

        Args:
            config: A job document; `python -m pipeline schema` prints its schema.

        Returns:
            The id of the run.
        """
        job = studio.submit(config, owner=owner_of(authenticator, request))
        return {"job_id": job.job_id, "id": job.id}

    @endpoint
    def preflight(config: dict[str, Any], request: gr.Request) -> dict[str, Any]:
        """What is wrong with a run, and what it will need, before it is started.

        Args:
            config: A job document, with `resources` (gpu_type) where it is meant for another machine.

        Returns:
            ok, warnings, errors, the memory and the time of a step, and the findings with their fixes.
        """
        return preflight_of(studio, config, owner=owner_of(authenticator, request))

    @endpoint
    def list_jobs(request: gr.Request) -> dict[str, Any]:
        """The caller's runs, the newest first."""
        found, total = studio.jobs(owner=owner_of(authenticator, request))
        return {"jobs": [views.job_view(job, studio.catalog) for job in found], "total": total}

    @endpoint
    def job_status(job_id: str, request: gr.Request) -> dict[str, Any]:
        """Where a run stands: state, stage, progress, the latest values, and its results.

        Args:
            job_id: The readable id or the UUID.
        """
        job = studio.job(job_id, owner=owner_of(authenticator, request))
        return views.job_detail(job, studio.catalog, studio.artifacts(job))

    @endpoint
    def cancel_job(job_id: str, keep: bool, request: gr.Request) -> dict[str, Any]:
        """Stop a run.

        Args:
            job_id: The readable id or the UUID.
            keep: Stop at the next step and save what was learned, instead of discarding it.
        """
        job = studio.cancel(job_id, owner=owner_of(authenticator, request), keep=keep)
        return views.job_view(job, studio.catalog)

    @endpoint
    def generate(
        job_id: str, prompt: str, side: str, max_new_tokens: int, temperature: float, request: gr.Request
    ) -> str:
        """Answer a prompt with the model of a completed run.

        Args:
            job_id: The readable id or the UUID.
            prompt: What the user says.
            side: "tuned", or "base" for the model before tuning.
            max_new_tokens: The longest answer, in tokens.
            temperature: 0 is greedy.
        """
        job = studio.job(job_id, owner=owner_of(authenticator, request))
        turn = {"role": "user", "content": prompt}
        pieces = studio.answer(job, side=side, messages=[turn], max_new_tokens=max_new_tokens, temperature=temperature)
        return "".join(pieces)

    @endpoint
    def export(job_id: str, settings: dict[str, Any], request: gr.Request) -> dict[str, Any]:
        """Queue an export of a run, or of an adapter from elsewhere.

        Args:
            job_id: The run's readable id or UUID; empty to export the adapter in the folder `source`.
            settings: formats, quantizations, destinations, private, checkpoint; or source and base_model.

        Returns:
            The export, as /exports lists it.
        """
        job = studio.exports.start(job_id or None, settings, owner=owner_of(authenticator, request))
        return export_view(job, studio.artifacts(job), studio.run_dir(job))

    @endpoint
    def list_exports(job_id: str, request: gr.Request) -> dict[str, Any]:
        """The caller's exports, the newest first, with their files and what came of comparing them.

        Args:
            job_id: A run's id for its exports only; empty for all.
        """
        found, total = studio.exports.list(owner=owner_of(authenticator, request), run=job_id or None)
        shown = [export_view(job, studio.artifacts(job), studio.run_dir(job)) for job in found]
        return {"exports": shown, "total": total}

    @endpoint
    def list_datasets(search: str, request: gr.Request) -> dict[str, Any]:
        """The caller's data sets, the newest first.

        Args:
            search: Words in the name, the description or the source; empty for all.
        """
        found, total = studio.registry.datasets(owner=owner_of(authenticator, request), search=search)
        return {"datasets": [views.dataset_view(dataset) for dataset in found], "total": total}

    @endpoint
    def import_dataset(source: dict[str, Any], request: gr.Request) -> dict[str, Any]:
        """Queue the import of a data set.

        Args:
            source: `source` (a path, a Hub id or an address) and, if wanted, name, subset, splits, max_rows, tags.

        Returns:
            The transfer; its dataset_id is set when it is completed.
        """
        return views.transfer_view(studio.registry.import_source(source, owner=owner_of(authenticator, request)))

    @endpoint
    def preview_dataset(dataset_id: str, offset: int, limit: int, request: gr.Request) -> dict[str, Any]:
        """Rows of a data set as stored, and the examples they become.

        Args:
            dataset_id: The data set's id.
            offset: How many rows to pass over.
            limit: How many rows to return, at most 200.
        """
        dataset = studio.registry.dataset(dataset_id, owner=owner_of(authenticator, request))
        return studio.registry.databench.page(dataset.path, offset=max(0, offset), limit=min(max(1, limit), 200))

    @endpoint
    def transfer(transfer_id: str, request: gr.Request) -> dict[str, Any]:
        """How far an import is.

        Args:
            transfer_id: The id that /import_dataset returned.
        """
        return views.transfer_view(studio.registry.transfer(transfer_id, owner=owner_of(authenticator, request)))

    @endpoint
    def list_recipes(search: str, request: gr.Request) -> dict[str, Any]:
        """Starting points of a run, Gemma first. Name one as `recipe_id` in the document that /train takes.

        Args:
            search: Words in the name, the description or the tags; empty for all.
        """
        owner_of(authenticator, request)
        found, total = studio.recipes.search(search=search)
        return {"recipes": [recipe.model_dump(mode="json") for recipe in found], "total": total}

    def health() -> dict[str, Any]:
        """Whether the studio is up."""
        return HEALTH

    gr.api(train, api_name="train")
    gr.api(preflight, api_name="preflight")
    gr.api(list_jobs, api_name="jobs")
    gr.api(job_status, api_name="job_status")
    gr.api(cancel_job, api_name="cancel_job")
    gr.api(generate, api_name="generate", concurrency_limit=1)
    gr.api(export, api_name="export")
    gr.api(list_exports, api_name="exports")
    gr.api(list_datasets, api_name="datasets")
    gr.api(import_dataset, api_name="import_dataset")
    gr.api(preview_dataset, api_name="preview_dataset")
    gr.api(transfer, api_name="transfer")
    gr.api(list_recipes, api_name="recipes")
    gr.api(health, api_name="health")
