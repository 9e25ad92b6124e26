"""Group relative policy optimisation: our configuration as TRL's, and rewards for sampled answers."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset
from transformers import TrainerCallback
from trl import GRPOConfig

from pipeline.chat_template import ChatTemplate
from pipeline.config import FineTuneJobConfig
from pipeline.data_manager import PreparedData
from pipeline.errors import DataProblem, InvalidConfig, Problem
from pipeline.methods.arguments import shared_arguments
from pipeline.methods.grpo_rows import PromptEncoder, PromptRow
from pipeline.methods.grpo_trainer import PromptTrainer
from pipeline.model_manager import LoadedModel
from pipeline.rewards.prompts import column_names, columns_of
from pipeline.rewards.scorer import Scorer, build_scorers


def encoder(config: FineTuneJobConfig, loaded: LoadedModel) -> PromptEncoder:
    """What turns examples into prompts with the columns that their rewards need."""
    return PromptEncoder(config, loaded)


def build_trainer(
    config: FineTuneJobConfig,
    loaded: LoadedModel,
    *,
    data: PreparedData,
    output_dir: Path,
    callbacks: Sequence[TrainerCallback],
) -> PromptTrainer:
    """The trainer for this configuration, which writes its checkpoints below `output_dir`.

    Raises:
        InvalidConfig: a step does not hold whole groups of answers.
        DataProblem: there are fewer prompts than one step takes.
        RewardFailed: a reward cannot be used.
    """
    _check_groups(config, prompts=len(data.train))
    prompts: list[PromptRow] = [*data.train, *data.evaluation]
    scorers = build_scorers(config.method.rewards)
    return PromptTrainer(
        model=loaded.model,
        args=training_arguments(config, loaded, output_dir=output_dir, evaluate=bool(data.evaluation)),
        end_ids=ChatTemplate(loaded.tokenizer).end_of_turn_ids(),
        reward_funcs=[_reward_function(scorer, prompts) for scorer in scorers],
        train_dataset=_dataset(data.train, first=0),
        eval_dataset=_dataset(data.evaluation, first=len(data.train)) if data.evaluation else None,
        processing_class=loaded.tokenizer,
        callbacks=list(callbacks),
    )


def training_arguments(
    config: FineTuneJobConfig, loaded: LoadedModel, *, output_dir: Path, evaluate: bool
) -> GRPOConfig:
    """TRL's configuration with every field of ours in it."""
    method = config.method
    shared = shared_arguments(config, loaded, output_dir=output_dir, evaluate=evaluate)
    return GRPOConfig(
        **shared
        | {
            # Each batch of an evaluation holds all answers to its prompts.
            "per_device_eval_batch_size": max(1, config.training.per_device_batch_size // method.num_generations)
            * method.num_generations,
        },
        num_generations=method.num_generations,
        max_completion_length=method.max_completion_length,
        temperature=method.temperature,
        top_p=method.top_p,
        beta=method.kl_coefficient,
        loss_type=method.policy_loss,
        scale_rewards=method.scale_rewards,
        num_iterations=method.num_iterations,
        reward_weights=[reward.weight for reward in method.rewards],
    )


def _check_groups(config: FineTuneJobConfig, *, prompts: int) -> None:
    answers, group = config.training.rows_per_step, config.method.num_generations
    if answers % group:
        raise InvalidConfig(
            [
                Problem(
                    "method.num_generations",
                    f"a step holds {answers} answers (batch size × accumulation), which are no whole groups of "
                    f"{group}. Make them a multiple of {group}.",
                )
            ]
        )
    if prompts < answers // group:
        raise DataProblem(
            f"A step takes {answers // group} prompts, and there are {prompts}. Lower training.per_device_batch_size "
            "or training.gradient_accumulation_steps, or give more rows."
        )


def _dataset(rows: Sequence[PromptRow], *, first: int) -> Dataset:
    """Prompts with their places. The columns stay outside, as they are: a table would make them all of one type."""
    return Dataset.from_dict({"prompt": [row.rendered for row in rows], "place": list(range(first, first + len(rows)))})


def _reward_function(scorer: Scorer, rows: Sequence[PromptRow]) -> Callable[..., list[float]]:
    """The reward as TRL calls it: under its name, with the places of the prompts."""
    names = column_names([row.prompt for row in rows])

    def score(*, completions: list[str], place: list[int], **_others: Any) -> list[float]:
        prompts = [rows[number].prompt for number in place]
        return scorer.score([prompt.text for prompt in prompts], completions, columns_of(prompts, names=names))

    score.__name__ = scorer.name
    return score
