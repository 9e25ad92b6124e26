"""Tries every reward on four rows before a run, so that a wrong one costs seconds and not the run."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from pipeline.config import FineTuneJobConfig
from pipeline.data.example import Example
from pipeline.errors import InvalidConfig, Problem, RewardFailed
from pipeline.job_tracker import JobTracker
from pipeline.method_config import GrpoConfig
from pipeline.reward_config import Reward, reward_names
from pipeline.rewards.prompts import (
    ANSWER,
    RewardedPrompt,
    column_names,
    columns_of,
    needed_column,
    rewarded_prompt,
    row_problem,
)
from pipeline.rewards.reference import missing_column, reference_texts
from pipeline.rewards.scorer import build_scorer

TRIED_ROWS = 4
FIELD = "method.rewards"


@dataclass(frozen=True)
class RewardTrial:
    """What a reward gave: for the row's own answer where it has one (else None), and for an empty answer."""

    name: str
    rows: tuple[int, ...]
    own_answers: tuple[float | None, ...]
    empty_answers: tuple[float, ...]

    @property
    def prefers_own_answers(self) -> bool:
        """Whether some row's own answer earns more than an empty one, or no row has one."""
        pairs = [
            (own, empty) for own, empty in zip(self.own_answers, self.empty_answers, strict=True) if own is not None
        ]
        return not pairs or any(own > empty for own, empty in pairs)


def check_rewards(config: FineTuneJobConfig, examples: Sequence[Example], tracker: JobTracker) -> None:
    """Try the rewards of a GRPO run on its rows, and warn of one that does not prefer an answer to none.

    Raises:
        InvalidConfig: a reward cannot be used.
    """
    if not isinstance(config.method, GrpoConfig):
        return
    tracker.stage("preparing", f"Trying the rewards on {TRIED_ROWS} rows")
    for trial in try_rewards(config.method.rewards, examples):
        if not trial.prefers_own_answers:
            tracker.warn(
                "reward_without_preference",
                f"The reward {trial.name} gives an empty answer as much as the data set's own answers "
                f"({trial.empty_answers[0]:g} in row {trial.rows[0]}). Check that it rewards what you want.",
            )


def try_rewards(rewards: Sequence[Reward], examples: Sequence[Example]) -> list[RewardTrial]:
    """The scores of each reward on the first four rows that it can score, each with its own answer and an empty one.

    Raises:
        InvalidConfig: with a sentence for every reward that cannot be used, which names it.
    """
    prompts = [rewarded_prompt(example) for example in examples]
    trials, problems = [], []
    for name, reward in zip(reward_names(rewards), rewards, strict=True):
        try:
            trials.append(_try(name, reward, prompts))
        except RewardFailed as error:
            problems.append(Problem(FIELD, str(error)))
    if problems:
        raise InvalidConfig(problems)
    return trials


def _try(name: str, reward: Reward, prompts: Sequence[RewardedPrompt]) -> RewardTrial:
    scorer = build_scorer(name, reward)
    tried = _rows_to_try(name, reward, prompts)
    own = [_own_answer(reward, prompt) for prompt in tried]
    answered = [(prompt, answer) for prompt, answer in zip(tried, own, strict=True) if answer is not None]
    asked = [*answered, *((prompt, "") for prompt in tried)]
    scores = scorer.score(
        [prompt.text for prompt, _ in asked],
        [answer for _, answer in asked],
        columns_of([prompt for prompt, _ in asked], names=column_names(prompts)),
    )
    of_own = iter(scores[: len(answered)])
    return RewardTrial(
        name,
        rows=tuple(prompt.row for prompt in tried),
        own_answers=tuple(None if answer is None else next(of_own) for answer in own),
        empty_answers=tuple(scores[len(answered) :]),
    )


def _rows_to_try(name: str, reward: Reward, prompts: Sequence[RewardedPrompt]) -> list[RewardedPrompt]:
    column, known = needed_column(reward), column_names(prompts)
    if column is not None and column not in known:
        raise RewardFailed(
            f"The reward {name} cannot be computed: {missing_column(column, dict.fromkeys(known))} Choose one of them."
        )
    usable = (prompt for prompt in prompts if row_problem(name, reward, prompt) is None)
    tried = list(islice(usable, TRIED_ROWS))
    if not tried and prompts:
        raise RewardFailed(f"No row can be rewarded. Row {prompts[0].row}: {row_problem(name, reward, prompts[0])}.")
    return tried


def _own_answer(reward: Reward, prompt: RewardedPrompt) -> str | None:
    column = needed_column(reward)
    texts = reference_texts(prompt.columns.get(ANSWER if column is None else column))
    return texts[0] if texts else None
