"""Rules of thumb about learning: epochs, rows an update, rank, length, held-out rows, each with its reason."""

import math
from dataclasses import dataclass

from pipeline.data.integrity.lengths import UNCUT_LENGTH, length_limit
from pipeline.method_config import METHOD_NAMES, MethodKind


@dataclass(frozen=True)
class EpochRule:
    """The usual epochs; more where fewer than `least` rows would be seen in all, fewer where more than `most` would."""

    usual: int
    least: int
    most: int
    longest: int


# 3 epochs are usual for example answers (Alpaca: 52,000 rows); LIMA trained a thousand rows for 15 (arXiv:2305.11206);
# OpenAI's cookbook for chat models takes fewer than 3 where more than 25,000 rows would be seen.
_EXAMPLES = EpochRule(usual=3, least=3_000, most=25_000, longest=10)
# Text seen four times teaches nearly as much as new text, and little beyond that (arXiv:2305.16264).
_TEXTS = EpochRule(usual=4, least=0, most=25_000, longest=4)
# Comparisons are learned by heart sooner: InstructGPT's reward model overfitted after one epoch (arXiv:2203.02155),
# and Tülu 3 ran DPO for one (arXiv:2411.15124). GRPO samples new answers to the same prompts.
_COMPARISONS = EpochRule(usual=1, least=3_000, most=10**12, longest=3)
EPOCH_RULES: dict[MethodKind, EpochRule] = {
    "sft": _EXAMPLES,
    "cpt": _TEXTS,
    "dpo": _COMPARISONS,
    "orpo": _COMPARISONS,
    "kto": _COMPARISONS,
    "reward": _COMPARISONS,
    "grpo": _COMPARISONS,
}

# LIMA's rows an update; LoRA learns worse with large batches ("LoRA Without Regret", Thinking Machines 2025).
_ROWS_A_STEP_MOST, _ROWS_A_STEP_LEAST = 32, 4
_UPDATES_AN_EPOCH = 50

# Rows below which each rank is enough; what is beyond them takes the last.
_RANKS = ((1_000, 8), (10_000, 16), (100_000, 32))
_HIGHEST_RANK = 64
# Matrices of smaller models are narrower, so the same rank holds less.
_NARROW = 1e9
# A reward tells about one bit an answer, which any rank holds ("LoRA Without Regret").
_REWARD_RANK = 16

# Held-out rows cost time at each evaluation; a few dozen tell a large difference only.
_HELD_OUT_SHARE, _HELD_OUT_LEAST, _HELD_OUT_MOST, _HELD_OUT_CEILING = 0.05, 20, 1_000, 0.2
# GRPO samples answers to each of them.
_HELD_OUT_MOST_SAMPLED = 100

# What a document takes at least.
_SHORTEST_LIMIT = 8

_LOOKS = 5
_LONG_EPOCH_STEPS = 500
_FEWEST_STEPS_BETWEEN = 10
_SHORT_RUN_STEPS = 100


def epochs_for(rows: int, method: MethodKind) -> tuple[int, str]:
    """How often each of `rows` training rows is seen, and why."""
    rule = EPOCH_RULES[method]
    if rows * rule.usual < rule.least:
        epochs = min(rule.longest, math.ceil(rule.least / rows))
        return epochs, f"{rows:,} training rows are few, so each is seen more often than usual, which is {rule.usual}×."
    if rows * rule.usual > rule.most:
        epochs = max(1, rule.most // rows)
        return epochs, f"{rows:,} training rows are many: beyond {rule.most:,} seen in all, little is gained."
    return rule.usual, f"The usual number for {METHOD_NAMES[method]}, and right for {rows:,} training rows."


def rows_per_step(rows: int) -> tuple[int, str]:
    """Rows of one update, a power of two, and why."""
    wanted = min(max(rows // _UPDATES_AN_EPOCH, _ROWS_A_STEP_LEAST), _ROWS_A_STEP_MOST)
    chosen = 1 << (wanted.bit_length() - 1)
    if chosen == _ROWS_A_STEP_MOST:
        return chosen, "adapters learn worse from larger batches"
    return chosen, f"more would leave fewer than {_UPDATES_AN_EPOCH} updates an epoch"


def rank_for(rows: int, method: MethodKind, *, parameters: float | None) -> tuple[int, str]:
    """The adapter's rank, and why."""
    if method == "grpo":
        return _REWARD_RANK, "A reward tells little more than right or wrong, which a small adapter holds."
    rank = next((rank for limit, rank in _RANKS if rows < limit), _HIGHEST_RANK)
    if parameters is not None and parameters < _NARROW:
        rank = min(2 * rank, _HIGHEST_RANK)
        return rank, f"{rows:,} rows hold this much to learn; doubled, because a small model's matrices are narrow."
    return rank, f"An adapter of this rank has room for what {rows:,} rows teach."


def held_out_rows(rows: int, method: MethodKind) -> tuple[int, str]:
    """Rows to hold out of `rows`, and why.

    One in twenty, at least 20 and at most 1,000 (100 with GRPO), and never more than one in five.
    """
    most = _HELD_OUT_MOST_SAMPLED if method == "grpo" else _HELD_OUT_MOST
    wanted = min(max(round(rows * _HELD_OUT_SHARE), _HELD_OUT_LEAST), most)
    held_out = min(wanted, math.floor(rows * _HELD_OUT_CEILING))
    if held_out == 0:
        return 0, f"{rows:,} rows are too few to keep any apart."
    return held_out, f"{held_out:,} of {rows:,} rows are kept apart to tell whether the model gets better."


def warmup_for(steps: int) -> tuple[float, str]:
    """The share of the steps in which the rate rises, and why."""
    if steps < _SHORT_RUN_STEPS:
        return 0.1, f"The run has {steps:,} steps; 3 % of them would be over at once."
    return 0.03, f"3 % of {steps:,} steps are enough for the optimiser to find its scale."


def steps_between_looks(steps: int, *, per_epoch: int, epochs: float) -> int | None:
    """Steps between two evaluations, so that there are about five in the run; None: once an epoch is enough.

    Rounded down to one digit, so that they fall on numbers that people read.
    """
    if steps < 2 * _FEWEST_STEPS_BETWEEN or (epochs >= _LOOKS - 2 and per_epoch <= _LONG_EPOCH_STEPS):
        return None
    between = max(_FEWEST_STEPS_BETWEEN, steps // _LOOKS)
    digit = 10 ** (len(str(between)) - 1)
    return int(between // digit * digit)


def length_for(*, longest: int, p95: int, context: int | None) -> tuple[int, str]:
    """Where rows are cut in tokens, as a run would choose, and why."""
    limit = max(_SHORTEST_LIMIT, length_limit(longest=longest, p95=p95))
    if context is not None and context < limit:
        return context, f"The longest row has {longest:,} tokens, and the model reads {context:,} at once."
    if longest <= UNCUT_LENGTH:
        return limit, f"The longest row has {longest:,} tokens, so nothing is cut."
    return limit, f"95 of 100 rows are no longer; the longest has {longest:,} tokens."
