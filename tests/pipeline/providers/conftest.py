"""A small model that has learned something, so that a change of its weights shows in what it expects."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from torch.nn.functional import cross_entropy
from transformers import Gemma3ForCausalLM

from pipeline.config import LoraConfig, ModelConfig
from pipeline.providers import huggingface
from tests.tiny_gemma import build_tokenizer, chat_rows, text_config

CPU = torch.device("cpu")
WIDTH = 256
ROW_TOKENS = 48
LEARNING_STEPS = 12


@dataclass(frozen=True)
class Learned:
    """The folder of the model, and the token ids of what it learned from: (rows, tokens), padded with 0."""

    folder: Path
    ids: torch.Tensor

    @property
    def labels(self) -> torch.Tensor:
        return self.ids.masked_fill(self.ids == 0, -100)

    def config(self, **fields: Any) -> ModelConfig:
        return ModelConfig(base_model=str(self.folder), **fields)

    def load(self, dtype: torch.dtype, **fields: Any) -> Any:
        return huggingface.load_model(self.config(**fields), task="causal_lm", weight_dtype=dtype, device=CPU)

    def token_log_probabilities(self, model: torch.nn.Module, dtype: torch.dtype) -> torch.Tensor:
        """What the model expects of each token of the first rows: (tokens,)."""
        ids = self.ids[:4]
        model.eval()
        with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
            logits = model(input_ids=ids).logits.float()
        losses = cross_entropy(logits[:, :-1].transpose(1, 2), ids[:, 1:], reduction="none")
        return -losses[ids[:, 1:] != 0]


@pytest.fixture(scope="session")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Learned:
    """A Gemma 3 of a million weights after a few steps on conversations."""
    folder = tmp_path_factory.mktemp("learned")
    tokenizer = build_tokenizer()
    config = text_config(tokenizer)
    config.hidden_size, config.intermediate_size, config.head_dim = WIDTH, 2 * WIDTH, 32
    encoded = [tokenizer.apply_chat_template(row["messages"], return_dict=True)["input_ids"] for row in chat_rows(40)]
    rows = [torch.tensor(row[:ROW_TOKENS]) for row in encoded]
    result = Learned(folder, torch.nn.utils.rnn.pad_sequence(rows, batch_first=True))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Gemma3ForCausalLM(config)
    take_steps(model, result.ids, result.labels, steps=LEARNING_STEPS, learning_rate=1e-3)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return result


def train_adapter(learned: Learned, base: Any, *, dtype: torch.dtype, **fields: Any) -> tuple[PeftModel, list[float]]:
    """The model with an adapter that has learned for a few steps, and the losses."""
    torch.manual_seed(0)
    adapted = huggingface.attach_lora(base, LoraConfig(rank=8, alpha=8, **fields), task="causal_lm")
    losses = take_steps(adapted, learned.ids[:16], learned.labels[:16], steps=12, learning_rate=3e-3, dtype=dtype)
    return adapted, losses


def take_steps(
    model: torch.nn.Module,
    ids: torch.Tensor,
    labels: torch.Tensor,
    *,
    steps: int,
    learning_rate: float,
    dtype: torch.dtype = torch.float32,
) -> list[float]:
    """Train what is trainable, eight rows at a step, and return the losses."""
    weights = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=learning_rate)
    model.train()
    losses = []
    for step in range(steps):
        rows = [(8 * step + offset) % len(ids) for offset in range(8)]
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
            loss = model(input_ids=ids[rows], labels=labels[rows]).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses
