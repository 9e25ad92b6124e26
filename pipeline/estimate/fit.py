"""Fit it for me: the best configuration that fits a device and keeps the rows of a step, and what each step cost."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from pipeline.config import FineTuneJobConfig
from pipeline.estimates import DeviceEstimate, Fit, FitStep
from pipeline.method_config import GrpoConfig
from pipeline.validation import parse_job_config

# KTO reads each answer after another prompt of its batch.
_FEWEST_ROWS = {"kto": 2}
_CHECKPOINTING = {"training.gradient_checkpointing": True}
_FOUR_BITS = {"model.quantization": "4bit"}

Estimator = Callable[[FineTuneJobConfig], DeviceEstimate]
ShorterLengths = Callable[[], Sequence[tuple[int, float]]]
"""Lengths to cut rows at, the longest first, each with the share of rows that it cuts."""


def fit(config: FineTuneJobConfig, estimate: Estimator, *, shorter: ShorterLengths) -> Fit:
    """Search for the configuration that fits and changes least: first what changes nothing of what is learned
    (smaller batches added up, checkpointing), of those the fastest; then 4 bits; then shorter rows. Where none of them
    fits for sure, one that fits perhaps.

    Returns:
        the patch, empty where the configuration fits as it is, None where nothing was found; every configuration that
        was estimated, in order
    """
    steps: list[FitStep] = []

    def attempt(patch: dict[str, Any], label: str) -> FitStep:
        found = estimate(_patched(config, patch))
        seconds = None if found.time is None else found.time.step_seconds
        step = FitStep(label=label, patch=patch, total=found.memory.total, step_seconds=seconds, verdict=found.verdict)
        steps.append(step)
        return step

    first = attempt({}, "As it is")
    if first.verdict == "fits":
        return Fit(patch={}, label=first.label, steps=steps)
    for stage in _stages(config, shorter):
        fitting = [best for base, words in stage if (best := _largest_batch(config, base, words, attempt)) is not None]
        if fitting:
            best = min(fitting, key=lambda step: step.step_seconds or 0.0)
            return Fit(patch=best.patch, label=best.label, steps=steps)
    for step in steps:
        if step.verdict == "tight":
            # The first of them changes least.
            return Fit(patch=step.patch, label=step.label, steps=steps)
    return Fit(patch=None, label="Nothing that was tried fits", steps=steps)


def _stages(config: FineTuneJobConfig, shorter: ShorterLengths) -> Iterator[list[tuple[dict[str, Any], list[str]]]]:
    checkpointed = config.training.gradient_checkpointing
    recompute = [] if checkpointed else ["checkpointing"]
    same: list[tuple[dict[str, Any], list[str]]] = [({}, [])]
    if not checkpointed:
        same.append((_CHECKPOINTING, recompute))
    yield same
    most, words = {**_CHECKPOINTING} if not checkpointed else {}, recompute
    if config.tuning.kind == "lora" and config.model.quantization == "none":
        most, words = {**most, **_FOUR_BITS}, [*words, "4 bits"]
        yield [(most, words)]
    if isinstance(config.method, GrpoConfig):
        return
    for length, share in shorter():
        cut = f"rows of at most {length:,} tokens, which cuts {share:.0%} of them"
        yield [({**most, "method.max_length": length}, [*words, cut])]


def _largest_batch(
    config: FineTuneJobConfig,
    base: dict[str, Any],
    words: list[str],
    attempt: Callable[[dict[str, Any], str], FitStep],
) -> FitStep | None:
    """The largest batch that fits with the settings of `base`; memory rises with the batch, so halves are enough."""
    sizes = _batch_sizes(config)
    if not base:
        # As it is, it does not fit.
        sizes = [size for size in sizes if size < config.training.per_device_batch_size]
    low, high, best = 0, len(sizes), None
    while low < high:
        middle = (low + high) // 2 if best is not None or low else 0
        size = sizes[middle]
        step = attempt({**base, **_batch(config, size)}, _label(config, size, words))
        if step.verdict == "fits":
            best, low = step, middle + 1
        else:
            high = middle
    return best


def _batch_sizes(config: FineTuneJobConfig) -> list[int]:
    """Rows at once that divide the rows of a step, ascending."""
    rows, least = config.training.rows_per_step, _FEWEST_ROWS.get(config.method.kind, 1)
    most = config.training.per_device_batch_size
    return [size for size in range(least, most + 1) if rows % size == 0]


def _batch(config: FineTuneJobConfig, size: int) -> dict[str, Any]:
    if size == config.training.per_device_batch_size:
        return {}
    return {
        "training.per_device_batch_size": size,
        "training.gradient_accumulation_steps": config.training.rows_per_step // size,
    }


def _label(config: FineTuneJobConfig, size: int, words: list[str]) -> str:
    batch = (
        []
        if size == config.training.per_device_batch_size
        else [f"batches of {size}, {config.training.rows_per_step // size} added up"]
    )
    label = ", ".join([*batch, *words])
    return label[:1].upper() + label[1:]


def _patched(config: FineTuneJobConfig, patch: dict[str, Any]) -> FineTuneJobConfig:
    """The configuration with dotted fields replaced; its contradictions would raise InvalidConfig."""
    document = config.model_dump(mode="json")
    for field, value in patch.items():
        section, name = field.split(".")
        document[section][name] = value
    return parse_job_config(document)
