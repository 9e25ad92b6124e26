"""Has the model answer the same held-out prompts before training and at each evaluation."""

import logging
from collections.abc import Sequence
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from pipeline.config import FineTuneJobConfig
from pipeline.data_manager import PreparedData
from pipeline.evaluation.answering import Answerer
from pipeline.evaluation.held_out import end_ids_for, held_out_prompts
from pipeline.evaluation.prompts import HeldOutPrompt
from pipeline.events import Sample, SamplesAnswered
from pipeline.job_tracker import JobTracker
from pipeline.model_manager import LoadedModel

logger = logging.getLogger(__name__)

# An answer takes far less memory than a row that is trained on, so batches may be larger than in training.
BATCH_SIZE = 8
# Longer texts are cut in the middle: an event is no place for a book.
SHOWN_CHARACTERS = 4000


class SampleCallback(TrainerCallback):
    """Records a SamplesAnswered event at each evaluation. A failure is a warning, and there are no more samples."""

    def __init__(
        self, tracker: JobTracker, answerer: Answerer, prompts: Sequence[HeldOutPrompt], *, max_new_tokens: int
    ) -> None:
        self.tracker = tracker
        self.answerer = answerer
        self.prompts = list(prompts)
        self.max_new_tokens = max_new_tokens

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """What the model says before it has learned anything; a resumed run has told that already."""
        if state.global_step == 0:
            self._record(step=0)

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """What it says now."""
        self._record(step=state.global_step)

    def _record(self, *, step: int) -> None:
        if not self.prompts:
            return
        try:
            samples = self._answers()
        except Exception as error:
            logger.exception("sample answers failed")
            self.prompts = []
            message = f"The model could not answer the sample prompts, so there are no more of them: {error}"
            self.tracker.warn("samples_failed", message)
            return
        self.tracker.record(SamplesAnswered(step=step, samples=samples))

    def _answers(self) -> list[Sample]:
        samples = []
        for start in range(0, len(self.prompts), BATCH_SIZE):
            batch = self.prompts[start : start + BATCH_SIZE]
            answers = self.answerer.answer(batch, max_new_tokens=self.max_new_tokens)
            samples += [
                Sample(
                    row=prompt.row,
                    prompt=shortened(prompt.shown),
                    reference=None if prompt.reference is None else shortened(prompt.reference),
                    answer=shortened(answer.text),
                    finished=answer.finished,
                )
                for prompt, answer in zip(batch, answers, strict=True)
            ]
        return samples


def sample_callbacks(
    config: FineTuneJobConfig, tracker: JobTracker, *, loaded: LoadedModel, data: PreparedData
) -> list[SampleCallback]:
    """The callback that answers the configured number of prompts; none where there is nothing to answer or nobody who
    could: no held-out rows, no evaluations, or a model that scores instead of writing.

    To be made before the trainer, which changes the model's end tokens.

    Raises:
        ModelUnavailable: the model's chat template is needed and cannot be used.
    """
    evaluation = config.evaluation
    if config.training.eval_strategy == "no" or config.method.kind == "reward" or not evaluation.samples:
        return []
    max_new_tokens = min(evaluation.sample_tokens, loaded.context_length // 2)
    longest = loaded.context_length - max_new_tokens
    prompts = held_out_prompts(
        data.held_out, loaded, count=evaluation.samples, keep=lambda prompt: len(prompt.ids) <= longest
    )
    if not prompts:
        return []
    answerer = Answerer(
        loaded.base, loaded.processing, precision=loaded.precision, end_ids=end_ids_for(prompts, loaded)
    )
    return [SampleCallback(tracker, answerer, prompts, max_new_tokens=max_new_tokens)]


def shortened(text: str) -> str:
    """The text, its middle left out where it is long."""
    if len(text) <= SHOWN_CHARACTERS:
        return text
    half = SHOWN_CHARACTERS // 2
    return f"{text[:half]} […] {text[-half:]}"
