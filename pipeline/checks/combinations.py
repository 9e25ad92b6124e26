"""Checks of settings against each other. They need no facts, so a run refuses what they forbid before it loads."""

from collections.abc import Callable, Iterator

from pipeline.checks.facts import Facts
from pipeline.checks.finding import Finding, Fix, error, info, warning
from pipeline.checks.provider import provider_combinations
from pipeline.config import FineTuneJobConfig
from pipeline.errors import InvalidConfig, Problem
from pipeline.method_config import METHOD_NAMES, DpoConfig, GrpoConfig

_PACKABLE = ("sft", "cpt")


def check_combinations(config: FineTuneJobConfig, facts: Facts) -> list[Finding]:
    """Settings that contradict each other."""
    return combination_findings(config)


def combination_findings(config: FineTuneJobConfig) -> list[Finding]:
    """What is wrong with the document as it stands, whatever machine and data it meets."""
    return [finding for check in _COMBINATIONS for finding in check(config)]


def refuse_contradictions(config: FineTuneJobConfig) -> None:
    """Raise InvalidConfig with every pair of settings that cannot go together."""
    problems = [
        Problem(finding.field, finding.message)
        for finding in combination_findings(config)
        if finding.severity == "error"
    ]
    if problems:
        raise InvalidConfig(problems)


def _packing(config: FineTuneJobConfig) -> Iterator[Finding]:
    if config.training.batching != "packed":
        return
    if config.method.kind not in _PACKABLE:
        yield error(
            "packing_other_method",
            "training.batching",
            f"Packing joins rows into one sequence, and {METHOD_NAMES[config.method.kind]} compares whole answers. "
            "Use auto.",
            Fix(label="Choose batches automatically", patch={"training.batching": "auto"}),
        )
    elif config.model.attention in ("sdpa", "eager"):
        message = (
            f"With {config.model.attention} attention the rows of a packed sequence are kept apart by a mask, and its "
            "cost grows with the square of the packed length. Use auto, which packs only with FlashAttention 2."
        )
        fix = Fix(label="Choose batches automatically", patch={"training.batching": "auto"})
        yield warning("packing_slow", "training.batching", message, fix)


def _batching(config: FineTuneJobConfig) -> Iterator[Finding]:
    batching = config.training.batching
    if config.method.kind == "grpo" and batching in ("grouped", "random"):
        message = f"GRPO draws its prompts at random, so {batching} changes nothing. Auto says the same."
        fix = Fix(label="Choose batches automatically", patch={"training.batching": "auto"})
        yield info("batching_without_effect", "training.batching", message, fix)


def _generations(config: FineTuneJobConfig) -> Iterator[Finding]:
    method, rows = config.method, config.training.rows_per_step
    if not isinstance(method, GrpoConfig) or rows % method.num_generations == 0:
        return
    # The fewest batches to add up that make whole groups.
    accumulation = config.training.gradient_accumulation_steps
    while (config.training.per_device_batch_size * accumulation) % method.num_generations:
        accumulation += 1
    yield error(
        "generations_do_not_divide",
        "method.num_generations",
        f"A step holds {rows} answers, which are no whole groups of {method.num_generations}. Add up {accumulation} "
        "batches, or change the number of generations.",
        Fix(label=f"Add up {accumulation} batches", patch={"training.gradient_accumulation_steps": accumulation}),
    )


def _company(config: FineTuneJobConfig) -> Iterator[Finding]:
    if config.method.kind == "kto" and config.training.per_device_batch_size < 2:
        yield error(
            "batch_of_one_answer",
            "training.per_device_batch_size",
            "KTO reads each answer after another prompt of its batch too, and this batch has one row. Use 2 or more.",
            Fix(label="Two rows a batch", patch={"training.per_device_batch_size": 2}),
        )


def _smoothing(config: FineTuneJobConfig) -> Iterator[Finding]:
    method = config.method
    if not isinstance(method, DpoConfig):
        return
    if method.label_smoothing > 0 and method.loss_type != "robust":
        yield error(
            "smoothing_without_effect",
            "method.label_smoothing",
            f"The loss type {method.loss_type} does not use label smoothing. Set it to 0, or use robust.",
            Fix(label="No smoothing", patch={"method.label_smoothing": 0.0}),
        )
    if method.label_smoothing == 0 and method.loss_type == "robust":
        yield error(
            "robust_without_smoothing",
            "method.label_smoothing",
            "The robust loss corrects for the share of pairs that are the wrong way round, and that share is 0. Give "
            "it, such as 0.1, or use sigmoid.",
            Fix(label="Use sigmoid", patch={"method.loss_type": "sigmoid"}),
        )


def _dropout(config: FineTuneJobConfig) -> Iterator[Finding]:
    if config.model.provider == "unsloth" and config.tuning.kind == "lora" and config.tuning.dropout > 0:
        message = (
            "Unsloth's fast kernels work without dropout only; with it the slow path is taken. Set tuning.dropout to 0."
        )
        fix = Fix(label="No dropout", patch={"tuning.dropout": 0.0})
        yield warning("dropout_slow", "tuning.dropout", message, fix)


def _evaluation(config: FineTuneJobConfig) -> Iterator[Finding]:
    evaluation = config.evaluation
    if config.training.eval_strategy == "no":
        fix = Fix(label="Evaluate each epoch", patch={"training.eval_strategy": "epoch"})
        never = "training.eval_strategy is no, so there is none. Evaluate each epoch."
        if evaluation.keep_best:
            message = f"The weights of the best evaluation are to be kept, and {never}"
            yield error("no_best_evaluation", "evaluation.keep_best", message, fix)
        if evaluation.early_stopping is not None:
            message = f"The run is to stop after evaluations without a better one, and {never}"
            yield error("no_evaluation_to_stop_by", "evaluation.early_stopping", message, fix)
    if evaluation.score_rows > 0 and config.method.kind == "reward":
        message = "A reward model writes no answers that could be scored; its evaluations tell how often it is right."
        fix = Fix(label="Score no answers", patch={"evaluation.score_rows": 0})
        yield error("reward_model_answers", "evaluation.score_rows", f"{message} Set it to 0.", fix)


_COMBINATIONS: tuple[Callable[[FineTuneJobConfig], Iterator[Finding]], ...] = (
    _packing,
    _batching,
    _generations,
    _company,
    _smoothing,
    _dropout,
    _evaluation,
    provider_combinations,
)
