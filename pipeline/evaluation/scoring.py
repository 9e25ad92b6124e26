"""Scores the base and the tuned model on the same held-out rows, after the result is saved."""

import gc
import logging
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

import torch
from peft import PeftModel
from transformers import PreTrainedModel

from pipeline.config import FineTuneJobConfig
from pipeline.data_manager import PreparedData
from pipeline.evaluation.answering import Answerer
from pipeline.evaluation.held_out import end_ids_for, held_out_prompts
from pipeline.evaluation.metrics import compute
from pipeline.evaluation.metrics.choice import suitable_metrics
from pipeline.evaluation.prompts import HeldOutPrompt
from pipeline.evaluation.samples import shortened
from pipeline.events import ScoredRow, ScoresComputed
from pipeline.job_tracker import STAGE_PROGRESS, JobTracker
from pipeline.model_manager import DTYPES, LoadedModel
from pipeline.providers import provider_for

logger = logging.getLogger(__name__)

Side = Literal["tuned", "base"]

BATCH_SIZE = 16
SHOWN_ROWS = 50
_SHOWN_UPDATES = 50


class ScoringStopped(Exception):
    """Somebody asked the run to stop."""


def score_answers(
    config: FineTuneJobConfig, tracker: JobTracker, *, loaded: LoadedModel, data: PreparedData, step: int
) -> dict[str, float]:
    """Have both models answer, record a ScoresComputed event, write scores.json, and return the scores by name.

    The result is safe already, so a failure is only a warning; so is a stop, which is looked for between batches.
    """
    if config.evaluation.score_rows == 0:
        return {}
    tracker.stage("evaluating", "Scoring answers to held-out rows")
    try:
        prompts = _prompts_with_references(config, loaded, data)
        if not prompts:
            message = "No answers were scored: no held-out row has a right answer that fits into the model's context."
            tracker.warn("nothing_to_score", message)
            return {}
        answers = _Scoring(config, tracker, loaded=loaded, prompts=prompts).answers()
        scores = _scores(config, prompts, answers, step=step)
        tracker.run_dir.write_scores(scores)
    except ScoringStopped:
        tracker.warn("scoring_stopped", "The run was stopped before all answers were scored, so there are no scores.")
        return {}
    except Exception as error:
        logger.exception("scoring failed")
        tracker.warn("scoring_failed", f"The result is saved, but scoring its answers failed: {error}")
        return {}
    tracker.record(scores.model_copy(update={"examples": [_shortened(row) for row in scores.examples]}))
    return scores.metrics


class _Scoring:
    """Both sides' answers, under the same conditions: the same batches, limits, precision and greedy decoding."""

    def __init__(
        self, config: FineTuneJobConfig, tracker: JobTracker, *, loaded: LoadedModel, prompts: Sequence[HeldOutPrompt]
    ) -> None:
        self.config = config
        self.tracker = tracker
        self.loaded = loaded
        self.prompts = prompts
        self.end_ids = end_ids_for(prompts, loaded)
        # Answers of similar length share a batch, so that none waits long for the others.
        order = sorted(range(len(prompts)), key=lambda place: prompts[place].reference_tokens)
        self.batches = [order[start : start + BATCH_SIZE] for start in range(0, len(order), BATCH_SIZE)]
        self.done = 0

    def answers(self) -> dict[Side, list[str]]:
        """The answers of each side in the order of the prompts. Raises ScoringStopped."""
        tuned = self._side(self.loaded.base)
        with base_model(self.config, self.loaded) as model:
            return {"tuned": tuned, "base": self._side(model)}

    def _side(self, model: PreTrainedModel) -> list[str]:
        answerer = Answerer(model, self.loaded.processing, precision=self.loaded.precision, end_ids=self.end_ids)
        texts = [""] * len(self.prompts)
        for batch in self.batches:
            if self.tracker.run_dir.stop_requested():
                raise ScoringStopped
            prompts = [self.prompts[place] for place in batch]
            limit = _max_new_tokens(prompts, self.loaded.context_length)
            answers = answerer.answer(prompts, max_new_tokens=limit)
            for place, answer in zip(batch, answers, strict=True):
                texts[place] = answer.text
            self._tell(len(batch))
        return texts

    def _tell(self, answered: int) -> None:
        total = 2 * len(self.prompts)
        before, self.done = self.done, self.done + answered
        if before * _SHOWN_UPDATES // total == self.done * _SHOWN_UPDATES // total:
            return
        start, end = STAGE_PROGRESS["evaluating"], STAGE_PROGRESS["exporting"]
        message = f"Scoring answers to held-out rows: {self.done:,} of {total:,}"
        self.tracker.stage("evaluating", message, progress=start + (end - start) * self.done / total)


@contextmanager
def base_model(config: FineTuneJobConfig, loaded: LoadedModel) -> Iterator[PreTrainedModel]:
    """The model as it was before training: with its adapter off, or loaded once more after a full fine-tune.

    Two models in the precision of the result take less memory than one had taken with its gradients and the state of
    its optimiser, which are let go of before.
    """
    if isinstance(loaded.model, PeftModel):
        with loaded.model.disable_adapter():
            yield loaded.base
        return
    loaded.model.zero_grad(set_to_none=True)
    gc.collect()
    if loaded.device.type == "cuda":
        torch.cuda.empty_cache()
    yield provider_for(config.model.provider).load_model(
        config.model.model_copy(update={"attention": loaded.attention}),
        task="causal_lm" if loaded.processor is None else "image_text_to_text",
        weight_dtype=DTYPES[loaded.precision],
        device=loaded.device,
    )


def _prompts_with_references(config: FineTuneJobConfig, loaded: LoadedModel, data: PreparedData) -> list[HeldOutPrompt]:
    """The first prompts whose right answer fits behind them; what follows in a plain text is no right answer."""

    def can_be_scored(prompt: HeldOutPrompt) -> bool:
        if prompt.is_continuation or not prompt.reference:
            return False
        return len(prompt.ids) + prompt.reference_tokens <= loaded.context_length

    return held_out_prompts(data.held_out, loaded, count=config.evaluation.score_rows, keep=can_be_scored)


def _max_new_tokens(prompts: Sequence[HeldOutPrompt], context_length: int) -> int:
    """Half as much again as the longest right answer, and a little more: who writes on has missed the point."""
    wanted = math.ceil(1.5 * max(prompt.reference_tokens for prompt in prompts)) + 16
    return min(wanted, context_length - max(len(prompt.ids) for prompt in prompts))


def _scores(
    config: FineTuneJobConfig, prompts: Sequence[HeldOutPrompt], answers: dict[Side, list[str]], *, step: int
) -> ScoresComputed:
    references = [prompt.reference or "" for prompt in prompts]
    names = config.evaluation.metric_names or suitable_metrics(references)
    rows = zip(prompts, references, answers["base"], answers["tuned"], strict=True)
    return ScoresComputed(
        step=step,
        rows=len(prompts),
        base=compute(names, answers["base"], references),
        tuned=compute(names, answers["tuned"], references),
        examples=[
            ScoredRow(row=prompt.row, prompt=prompt.shown, reference=reference, base=base, tuned=tuned)
            for prompt, reference, base, tuned in list(rows)[:SHOWN_ROWS]
        ],
    )


def _shortened(row: ScoredRow) -> ScoredRow:
    texts = {name: shortened(value) for name, value in row.model_dump().items() if name != "row"}
    return ScoredRow(row=row.row, **texts)
