"""Rows and a tokenizer for tracing a run whose own are not at hand: only their sizes matter."""

from collections.abc import Sequence
from typing import Any

from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from pipeline.method_config import MethodKind
from pipeline.preference_rows import PreferenceRow
from pipeline.row_encoder import IGNORED, TokenizedRow

# Any token but the special ones.
_TOKEN = 2
_TEMPLATE = "{% for message in messages %}{{ message['content'] }} <eos> {% endfor %}"


def stand_in_tokenizer() -> PreTrainedTokenizerBase:
    """A tokenizer that knows how to pad."""
    words = {"<pad>": 0, "<eos>": 1, "a": _TOKEN}
    model = Tokenizer(WordLevel(words, unk_token="a"))  # noqa: S106 - a word
    model.pre_tokenizer = WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=model, pad_token="<pad>", eos_token="<eos>")  # noqa: S106
    tokenizer.chat_template = _TEMPLATE
    return tokenizer


def stand_in_rows(kind: MethodKind, count: int, *, prompt: int, answer: int) -> Sequence[Any]:
    """`count` encoded rows as the method takes them, with so many tokens in the prompt and in each answer."""
    return [_row(kind, number, [_TOKEN] * prompt, [_TOKEN] * answer) for number in range(count)]


def _row(kind: MethodKind, number: int, prompt: list[int], answer: list[int]) -> Any:
    match kind:
        case "sft":
            return TokenizedRow(number, prompt + answer, [IGNORED] * len(prompt) + answer)
        case "cpt":
            return TokenizedRow(number, prompt + answer, prompt + answer)
        case "dpo" | "orpo":
            return PreferenceRow(number, prompt, answer, answer)
        case "kto":
            from pipeline.unpaired_rows import UnpairedRow

            return UnpairedRow(number, prompt, answer, number % 2 == 0)
        case "reward":
            from pipeline.methods.reward import ScoredPair

            return ScoredPair(number, prompt, answer, answer)
        case "grpo":
            from pipeline.methods.grpo_rows import PromptRow
            from pipeline.rewards.prompts import RewardedPrompt

            words = " ".join(["a"] * len(prompt))
            return PromptRow(RewardedPrompt(number, (), words, {}), words, len(prompt), len(answer))
