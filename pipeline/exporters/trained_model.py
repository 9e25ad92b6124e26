"""The trained model as what its files are compared with: the adapter on its base, or any folder of a model."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from pipeline.exporters.parity import Answer


class TrainedModel:
    """A model on the processor, with its tokenizer."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model = model.eval()
        self.tokenizer = tokenizer
        ends = model.generation_config.eos_token_id
        self._ends = set(ends if isinstance(ends, list) else [ends])

    @classmethod
    def read(
        cls,
        base: Path,
        *,
        adapter: Path | None = None,
        dtype: torch.dtype = torch.float32,
        trust_remote_code: bool = False,
    ) -> "TrainedModel":
        """The model in `base` with the adapter, in `dtype`; its tokenizer has the adapter's template."""
        source = {"trust_remote_code": trust_remote_code}
        model = AutoModelForCausalLM.from_pretrained(base, dtype=dtype, **source)
        tokenizer = AutoTokenizer.from_pretrained(base, **source)
        if adapter is not None:
            model = PeftModel.from_pretrained(model, adapter)
            template = adapter / "chat_template.jinja"
            if template.exists():
                tokenizer.chat_template = template.read_text("utf-8")
        return cls(model, tokenizer)

    def token_ids(self, text: str, *, add_special: bool) -> list[int]:
        """The ids of the text, with special tokens read as such."""
        return [int(token) for token in self.tokenizer(text, add_special_tokens=add_special).input_ids]

    def prompt_ids(self, messages: Sequence[Mapping[str, str]]) -> list[int]:
        """The ids of the conversation under the tokenizer's template, up to where the assistant answers."""
        ids = self.tokenizer.apply_chat_template(list(messages), add_generation_prompt=True, return_dict=True)
        return [int(token) for token in ids["input_ids"]]

    def log_probabilities(self, tokens: Sequence[int], *, vocabulary: int) -> torch.Tensor:
        """Of every token of the vocabulary as the next one: (vocabulary,), in fp64."""
        with torch.no_grad():
            logits = self.model(input_ids=torch.tensor([list(tokens)])).logits[0, -1, :vocabulary]
        return torch.log_softmax(logits.double(), dim=-1)

    def answer(self, tokens: Sequence[int], *, limit: int) -> Answer:
        """The greedy continuation of the prompt, at most `limit` tokens."""
        ids = torch.tensor([list(tokens)])
        with torch.no_grad():
            made = self.model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=limit,
                do_sample=False,
                pad_token_id=min(self._ends),
            )[0, len(tokens) :].tolist()
        ended = bool(made) and made[-1] in self._ends
        return Answer(self.tokenizer.decode(made, skip_special_tokens=True), made, ended)
