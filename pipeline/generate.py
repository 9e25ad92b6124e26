"""Answers conversations with a base model and with what was trained from it, under the same conditions."""

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from peft import PeftConfig, PeftModel, TaskType
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase
from transformers.generation.streamers import BaseStreamer

from pipeline.chat_template import ChatTemplate, UnusableConversation
from pipeline.config import ModelConfig
from pipeline.data.example import Message
from pipeline.errors import DataProblem, ModelUnavailable
from pipeline.model_manager import DTYPES, choose_attention, choose_device, choose_precision
from pipeline.providers import provider_for
from pipeline.providers.model_files import ADAPTER_FILE

# What decoding puts in the place of bytes that are no character (yet).
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
Side = Literal["base", "tuned"]


@dataclass(frozen=True)
class Decoding:
    """How the answer is chosen: greedily at temperature 0, else drawn from the whole distribution with the seed."""

    max_new_tokens: int
    temperature: float = 0.0
    seed: int = 0


@dataclass(frozen=True)
class Answer:
    """A finished answer and what it took."""

    text: str
    token_ids: list[int]
    seconds: float

    @property
    def tokens(self) -> int:
        """How many tokens were written, the end token included."""
        return len(self.token_ids)


class TextGenerator:
    """One base model in memory, with at most one adapter that is switched on for one side and off for the other."""

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
        self.model: PreTrainedModel | PeftModel = model.eval()
        self.tokenizer = tokenizer
        self.context_length: int = model.config.get_text_config().max_position_embeddings
        # A model without a template was trained on plain text and continues it.
        self.template = None if tokenizer.chat_template is None else ChatTemplate(tokenizer)
        self.end_ids = end_token_ids(model, tokenizer, template=self.template)

    def use_adapter(self, path: Path | None) -> None:
        """Put the adapter in the folder `path` in the place of the present one; None takes it off.

        Raises:
            ModelUnavailable: there is no adapter, it does not write text, or it was not made for this base model.
        """
        if isinstance(self.model, PeftModel):
            self.model = self.model.unload()
        if path is None:
            return
        if not (path / ADAPTER_FILE).is_file():
            raise ModelUnavailable(f"There is no adapter in {path}: it has no {ADAPTER_FILE}.")
        try:
            if PeftConfig.from_pretrained(path).task_type == TaskType.SEQ_CLS:
                raise ModelUnavailable(f"The adapter in {path} is a reward model: it rates answers and writes none.")
            self.model = PeftModel.from_pretrained(self.model, path).eval()
        except (OSError, ValueError, RuntimeError, KeyError) as error:
            raise ModelUnavailable(
                f"The adapter in {path} does not fit this base model: {str(error).splitlines()[0]} "
                "Choose the base model that it was trained on."
            ) from error

    def generate(
        self,
        messages: Sequence[Message],
        *,
        side: Side,
        decoding: Decoding,
        on_text: Callable[[str], None] = lambda text: None,
    ) -> Answer:
        """The answer to the conversation; `on_text` gets its text piece by piece while it is written.

        Raises:
            DataProblem: the conversation is longer than the model reads, or its template refuses it.
            ModelUnavailable: the tuned side is asked for and no adapter is loaded.
        """
        if side == "tuned" and not isinstance(self.model, PeftModel):
            raise ModelUnavailable("No adapter is loaded. Choose the result of a run to compare with the base model.")
        prompt = self._prompt_ids(messages)
        room = self.context_length - prompt.shape[1]
        if room < 1:
            raise DataProblem(
                f"The conversation has {prompt.shape[1]} tokens and the model reads {self.context_length}. Shorten it."
            )
        stream = _Stream(self.tokenizer, on_text)
        adapter_off = (
            self.model.disable_adapter() if isinstance(self.model, PeftModel) and side == "base" else nullcontext()
        )
        torch.manual_seed(decoding.seed)
        began = time.perf_counter()
        with adapter_off, torch.inference_mode():
            output = self.model.generate(
                input_ids=prompt,
                attention_mask=torch.ones_like(prompt),
                generation_config=self._generation_config(decoding, room),
                streamer=stream,
            )
        return Answer("".join(stream.pieces), output[0, prompt.shape[1] :].tolist(), time.perf_counter() - began)

    def _prompt_ids(self, messages: Sequence[Message]) -> torch.Tensor:
        if self.template is None:
            text = "\n".join(message.content for message in messages)
            ids = self.tokenizer(text, return_tensors="pt")["input_ids"]
        else:
            try:
                text = self.template.prompt(messages)
            except UnusableConversation as error:
                raise DataProblem(f"The model's chat template refuses this conversation: {error}.") from error
            ids = self.tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"]
        return ids.to(self.model.device)

    def _generation_config(self, decoding: Decoding, room: int) -> GenerationConfig:
        drawn = {"temperature": decoding.temperature, "top_k": 0, "top_p": 1.0} if decoding.temperature > 0 else {}
        return GenerationConfig(
            max_new_tokens=min(decoding.max_new_tokens, room),
            do_sample=decoding.temperature > 0,
            eos_token_id=self.end_ids,
            pad_token_id=self.tokenizer.pad_token_id,
            **drawn,
        )


def end_token_ids(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, *, template: ChatTemplate | None = None
) -> list[int]:
    """Ids at which an answer is over: those the model and its tokenizer name, and the template's ends of turn."""
    configured = model.generation_config.eos_token_id
    ids = set(configured) if isinstance(configured, list) else {configured}
    ids.add(tokenizer.eos_token_id)
    if template is not None:
        ids |= template.end_of_turn_ids()
    return sorted(ids - {None})


def load_for_generation(
    base_model: str,
    adapter_path: Path | None = None,
    *,
    revision: str = "main",
    precision: Literal["auto", "bf16", "fp16", "fp32"] = "auto",
    trust_remote_code: bool = False,
) -> TextGenerator:
    """The base model, in one precision for both sides, with the adapter at `adapter_path` if there is one.

    Raises:
        ModelUnavailable: the model or the adapter cannot be loaded.
    """
    config = ModelConfig(
        base_model=base_model, revision=revision, precision=precision, trust_remote_code=trust_remote_code
    )
    device = choose_device()
    chosen = choose_precision(precision, device=device)
    config = config.model_copy(update={"attention": choose_attention(config, device=device, precision=chosen)})
    provider = provider_for(config.provider)
    tokenizer = provider.load_tokenizer(config)
    generator = TextGenerator(
        provider.load_model(config, task="causal_lm", weight_dtype=DTYPES[chosen], device=device), tokenizer
    )
    generator.use_adapter(adapter_path)
    return generator


class _Stream(BaseStreamer):
    """Hands text on as soon as its last character is complete; characters may be spread over several tokens."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, on_text: Callable[[str], None]) -> None:
        self.tokenizer = tokenizer
        self.on_text = on_text
        self.pieces: list[str] = []
        self._prompt_seen = False
        self._ids: list[int] = []
        # Text before `_sent` is out; decoding starts a little earlier, because a token's text depends on its neighbour.
        self._context, self._sent = 0, 0

    def put(self, value: torch.Tensor) -> None:
        """Take the prompt first, then one token at a time."""
        if not self._prompt_seen:
            self._prompt_seen = True
            return
        self._ids += value.tolist()
        self._hand_on(even_if_broken=False)

    def end(self) -> None:
        """Hand on what is left, complete or not."""
        self._hand_on(even_if_broken=True)

    def _hand_on(self, *, even_if_broken: bool) -> None:
        known = self._decode(self._ids[self._context : self._sent])
        text = self._decode(self._ids[self._context :])
        if len(text) <= len(known) or (text.endswith(REPLACEMENT) and not even_if_broken):
            return
        self.pieces.append(text[len(known) :])
        self.on_text(self.pieces[-1])
        self._context, self._sent = self._sent, len(self._ids)

    def _decode(self, ids: list[int]) -> str:
        return self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
