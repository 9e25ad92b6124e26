"""PromptTrainer: TRL's GRPO trainer over rendered prompts, with our names for its values.

Its log entries hold, besides what every trainer logs:

    reward                       mean of the weighted sum of all rewards
    reward_std                   its standard deviation over the sampled answers
    rewards/<name>               mean of one reward, not weighted
    frac_reward_zero_std         share of the prompts whose answers all earned the same: they teach nothing
    completions/mean_length      mean length of the answers in tokens
    completions/clipped_ratio    share of the answers that were cut off at the longest length
    entropy                      mean entropy of the model's choice of a token, in nats
    kl                           mean distance from where the model started, with a KL coefficient above 0
    clip_ratio                   share of the tokens whose update was clipped
    num_tokens                   tokens of prompts and answers so far

A step that learns once more from answers sampled before has no values of rewards and lengths. Evaluations have the
same names behind `eval_`.
"""

from copy import deepcopy
from typing import Any

import torch
from datasets import Dataset
from peft import PeftModel
from torch.utils.data import Sampler
from transformers import PreTrainedModel
from trl import GRPOConfig, GRPOTrainer
from trl.trainer.utils import RepeatSampler

_LOGGED = {
    **{name: name for name in ("reward", "reward_std", "frac_reward_zero_std", "entropy", "kl")},
    **{name: name for name in ("completions/mean_length", "completions/clipped_ratio")},
    "clip_ratio/region_mean": "clip_ratio",
}


class PromptTrainer(GRPOTrainer):
    """Samples answers to prompts that are text already, until one of `end_ids`, and learns from their rewards.

    The model before training is the reference of the KL term: with an adapter the same weights with the adapter off,
    else a frozen copy.
    """

    def __init__(
        self, *, model: PreTrainedModel | PeftModel, args: GRPOConfig, end_ids: set[int], **arguments: Any
    ) -> None:
        beta = args.beta
        reference = deepcopy(model) if beta > 0 and not isinstance(model, PeftModel) else None
        # With a coefficient TRL would copy the adapter, or load the base model a second time, from its name alone.
        args.beta = 0.0
        super().__init__(model=model, args=args, **arguments)
        args.beta = self.beta = beta
        if reference is not None:
            reference.requires_grad_(False)
            self.ref_model = self.accelerator.prepare_model(reference, evaluation_mode=True)
        self.eos_token_ids = sorted({*self.eos_token_ids, *end_ids})
        self.generation_config.eos_token_id = self.eos_token_ids
        self.generation_kwargs["eos_token_id"] = self.eos_token_ids

    def _get_train_sampler(self, dataset: Dataset | None = None) -> Sampler[int]:
        sampler = super()._get_train_sampler(dataset)
        return _ResumableSampler(
            sampler.data_source,
            mini_repeat_count=sampler.mini_repeat_count,
            batch_size=sampler.batch_size,
            repeat_count=sampler.repeat_count,
            shuffle=sampler.shuffle,
            seed=sampler.seed,
        )

    def _tokenize_prompts(self, prompts: list[str]) -> tuple[list[list[int]], None, dict[str, Any]]:
        # The template has written the special tokens; adding them again would double the first one.
        return self.processing_class(text=prompts, add_special_tokens=False)["input_ids"], None, {}

    def _generate_single_turn(self, *args: Any, **kwargs: Any) -> Any:
        # Generation enters an adapted model below the layer that computes in 16 bit; one context around all of it also
        # converts each weight once and not for every token.
        with self.accelerator.autocast():
            return super()._generate_single_turn(*args, **kwargs)

    def _calculate_rewards(
        self, inputs: Any, prompts: list[str], completions: list[str], completion_ids_list: list[list[int]]
    ) -> torch.Tensor:
        # Not every end of turn is a token that decoding leaves out.
        ends = set(self.eos_token_ids)
        written = [ids[:-1] if ids and ids[-1] in ends else ids for ids in completion_ids_list]
        answers = self.processing_class.batch_decode(written, skip_special_tokens=True)
        return super()._calculate_rewards(inputs, prompts, answers, completion_ids_list)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is not None:
            # TRL counts from 0 again, and would reuse a sampled batch for the wrong prompts.
            self._step = self.state.global_step * self.args.gradient_accumulation_steps

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log the values of the module's list, under their names there."""
        mode = "train" if self.model.training else "eval"
        metrics = self._metrics[mode]
        known = _LOGGED | {f"rewards/{name}/mean": f"rewards/{name}" for name in self.reward_func_names}
        kept = {new: metrics[old] for old, new in known.items() if old in metrics}
        if mode == "train":
            # A step that learns from answers sampled before has none of its own.
            kept["num_tokens"] = [float(self.state.num_input_tokens_seen)]
        metrics.clear()
        metrics.update(kept)
        super().log(logs, start_time)

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Write none: a checkpoint is not a published model."""


class _ResumableSampler(RepeatSampler):
    """TRL's order of prompts, which can begin at any epoch: each draws its order after those before it."""

    def set_epoch(self, epoch: int) -> None:
        """Be where a run stands that has gone through `epoch` epochs."""
        self.generator.manual_seed(self.seed)
        for _ in range(epoch):
            torch.randperm(self.num_samples, generator=self.generator)
