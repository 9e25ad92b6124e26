"""Suggested values for a job document that may be half written: gathers the facts, and puts the values in."""

import re
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from pipeline.checks.facts import Facts
from pipeline.config import FineTuneJobConfig
from pipeline.config_base import Config, OptionalText
from pipeline.data.inspection import Inspection
from pipeline.errors import DataProblem, InvalidConfig, UserError
from pipeline.hardware_specs import gpu_spec
from pipeline.memory_rules import Accelerator
from pipeline.method_config import GrpoConfig
from pipeline.smart_defaults import smart_defaults
from pipeline.suggestions import BaseModelFacts, Goal, RowFacts, SuggestedValue
from pipeline.validation import problems_of
from studio.service import Studio

# Stands for a model or a data set that is not chosen yet: a Hub id that is never looked for.
NOT_CHOSEN = "not-chosen/yet"
_REQUIRED = (("model", "base_model"), ("dataset", "path"))
# Counting the tokens of so many rows takes a few seconds.
_COUNTED_ROWS = 20_000
_SIZE_IN_NAME = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?)(b|m)(?![a-z0-9])", re.IGNORECASE)


class Resources(Config):
    """The machine that a run is meant for. A run uses one GPU."""

    gpu_type: OptionalText = Field(None, description="Such as t4, l4, a100-80gb or rtx-4090. Empty: this machine's.")
    gpus: int = Field(1, ge=0, le=64, description="GPUs there are. 0: none, the run is on the processor.")
    strategy: Literal["ddp", "fsdp"] = Field("ddp", description="How several GPUs would share a run.")


class _Body(Config):
    resources: Resources = Resources()


@dataclass(frozen=True)
class Suggested:
    """Suggested values, and the document with them in place of what it had."""

    values: list[SuggestedValue]
    document: dict[str, Any]


def suggest_values(studio: Studio, data: Mapping[str, Any], *, owner: str) -> Suggested:
    """Suggest settings for a document without a model or a data set, or with both, and `resources` if wanted.

    Raises:
        InvalidConfig, NotFound: what is written is wrong.
        DataProblem: the data set cannot be used.
    """
    given = {name: value for name, value in data.items() if name != "resources"}
    gpu = _gpu(studio, {name: value for name, value in data.items() if name == "resources"})
    document = deepcopy(dict(studio.recipes.document(given)))
    checked = studio.preflight(_with_stand_ins(document), owner=owner)
    if isinstance(checked.facts.data, DataProblem):
        raise checked.facts.data
    values = smart_defaults(
        _model(studio, checked.config, checked.facts),
        _rows(studio, checked.config, checked.facts),
        gpu,
        _goal(checked.config),
    )
    for value in values:
        section, name = value.field.split(".")
        document[section] = {**document.get(section, {}), name: value.value}
    return Suggested(values, document)


def _with_stand_ins(document: Mapping[str, Any]) -> dict[str, Any]:
    filled = dict(document)
    for section, name in _REQUIRED:
        values = filled.get(section, {})
        if isinstance(values, Mapping) and values.get(name) in (None, ""):
            filled[section] = {**values, name: NOT_CHOSEN}
    return filled


def _gpu(studio: Studio, named: Mapping[str, Any]) -> Accelerator | None:
    try:
        wanted = _Body.model_validate(named).resources
    except ValidationError as error:
        raise InvalidConfig(problems_of(error, model=_Body)) from error
    if wanted.gpus == 0:
        return None
    if wanted.gpu_type is not None:
        return gpu_spec(wanted.gpu_type)
    if not studio.scheduler.gpus:
        return None
    # A run may be given any of them.
    return min(studio.scheduler.gpus, key=lambda gpu: gpu.memory_total)


def _goal(config: FineTuneJobConfig) -> Goal:
    answers = {"num_generations": config.method.num_generations} if isinstance(config.method, GrpoConfig) else {}
    return Goal(config.method.kind, config.tuning.kind, max_steps=config.training.max_steps, **answers)


def _model(studio: Studio, config: FineTuneJobConfig, facts: Facts) -> BaseModelFacts | None:
    reference = config.model.base_model
    if reference == NOT_CHOSEN:
        return None
    known = studio.catalog.models.get(reference)
    here = None if facts.model is None else facts.model.context_length
    kind = "" if facts.model is None else str(facts.model.config.get("model_type", ""))
    return BaseModelFacts(
        name=studio.catalog.display_name(reference),
        parameters=known.params_b * 1e9 if known is not None else _parameters(reference, facts),
        context_length=here if known is None else known.context_length,
        is_gemma="gemma" in f"{kind} {reference}".lower(),
        recommended=studio.catalog.recommended(reference),
    )


def _parameters(reference: str, facts: Facts) -> float | None:
    """Weights of a model that the catalogue does not know: by its files, else by its name."""
    if facts.model is not None and facts.model.weights_bytes:
        written = str(facts.model.config.get("dtype", facts.model.config.get("torch_dtype", "bfloat16")))
        return facts.model.weights_bytes / (4 if written == "float32" else 2)
    size = _SIZE_IN_NAME.search(Path(reference).name)
    return None if size is None else float(size[1]) * (1e9 if size[2].lower() == "b" else 1e6)


def _rows(studio: Studio, config: FineTuneJobConfig, facts: Facts) -> RowFacts | None:
    data = facts.data
    if not isinstance(data, Inspection):
        return None
    lengths = _lengths(studio, config, facts, data)
    # A share of the rows; what the user or the source chose otherwise stays.
    drawn = data.eval_source in ("drawn with the seed", "none") and config.dataset.eval_rows is None
    return RowFacts(
        rows=data.train_rows + data.eval_rows,
        held_out=data.eval_rows,
        is_drawn=drawn,
        have_answers=data.format in ("messages", "prompt_completion"),
        longest=lengths.get("max"),
        p95=lengths.get("p95"),
    )


def _lengths(studio: Studio, config: FineTuneJobConfig, facts: Facts, data: Inspection) -> dict[str, int]:
    """Lengths in tokens, where the model's tokenizer is on this machine and there are not too many rows."""
    here = facts.model is not None or config.model.base_model in facts.cached_models
    if not here or config.model.trust_remote_code or data.usable_rows > _COUNTED_ROWS or data.modality != "text":
        return {}
    try:
        report = studio.registry.databench.lengths(
            data.folder,
            data.mapping,
            progress=lambda share, what: None,
            base_model=config.model.base_model,
            revision=config.model.revision,
            train_on="assistant",
            max_length=None,
        )
    except UserError:
        # Without lengths the run chooses the limit itself, from the same rule.
        return {}
    found: dict[str, int] = report["histogram"]["percentiles"]
    return found
