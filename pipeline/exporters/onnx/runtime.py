"""Runs an ONNX graph with onnxruntime and asks it what the parity gate asks: OnnxModel."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from transformers import AutoTokenizer, GenerationConfig

from pipeline.exporters.onnx.convert import GRAPH_FILE, OnnxFailed, require_onnx
from pipeline.exporters.parity import Answer

_ERRORS_ONLY = 3


class OnnxModel:
    """The graph of a folder on the processor, with its tokenizer.

    Raises:
        OnnxNotInstalled: there is no runtime.
        OnnxFailed: the graph cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        require_onnx()
        import onnxruntime
        from onnxruntime.capi import onnxruntime_pybind11_state as errors

        settings = onnxruntime.SessionOptions()
        settings.log_severity_level = _ERRORS_ONLY
        try:
            self._session = onnxruntime.InferenceSession(
                str(folder / GRAPH_FILE), settings, providers=["CPUExecutionProvider"]
            )
        # Its errors have no class of their own above them.
        except (errors.InvalidProtobuf, errors.InvalidGraph, errors.NoSuchFile, errors.Fail) as error:
            raise OnnxFailed(f"onnxruntime cannot read {GRAPH_FILE}: {error}") from error
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        ends = GenerationConfig.from_pretrained(folder).eos_token_id
        self._ends = set(ends if isinstance(ends, list) else [ends])

    def token_ids(self, text: str, *, add_special: bool) -> list[int]:
        """The ids of the text, with special tokens read as such."""
        return [int(token) for token in self.tokenizer(text, add_special_tokens=add_special).input_ids]

    def prompt_ids(self, messages: Sequence[Mapping[str, str]]) -> list[int]:
        """The ids of the conversation under the tokenizer's template, up to where the assistant answers."""
        ids = self.tokenizer.apply_chat_template(list(messages), add_generation_prompt=True, return_dict=True)
        return [int(token) for token in ids["input_ids"]]

    def log_probabilities(self, tokens: Sequence[int], *, vocabulary: int) -> torch.Tensor:
        """Of every token of the vocabulary as the next one: (vocabulary,), in fp64."""
        return torch.log_softmax(torch.from_numpy(self._logits([list(tokens)])[0, -1, :vocabulary]).double(), dim=-1)

    def answer(self, tokens: Sequence[int], *, limit: int) -> Answer:
        """The greedy continuation of the prompt, at most `limit` tokens; the whole text is read again for each."""
        made: list[int] = []
        while len(made) < limit and not self._ends & set(made[-1:]):
            made.append(int(self._logits([[*tokens, *made]])[0, -1].argmax()))
        ended = bool(self._ends & set(made[-1:]))
        return Answer(self.tokenizer.decode(made, skip_special_tokens=True), made, ended)

    def _logits(self, rows: Sequence[Sequence[int]]) -> np.ndarray:
        """Of texts of one length: (texts, tokens, vocabulary)."""
        ids = np.array(rows, dtype=np.int64)
        (logits,) = self._session.run(["logits"], {"input_ids": ids, "attention_mask": np.ones_like(ids)})
        return np.asarray(logits)
