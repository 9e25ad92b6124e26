"""Pretraining of the nano checkpoint: a Gemma 3 of 3.6 M parameters, trained from nothing on the generated chats."""

import logging
import math
from collections.abc import Iterator
from itertools import islice
from time import perf_counter
from typing import Any

import torch
from torch.nn import functional
from transformers import Gemma3ForCausalLM, Gemma3TextConfig, GemmaTokenizer
from trl import chat_template_utils

from assets.demo.corpus import Chat, generate_chats
from assets.demo.tokenizer import END_OF_TURN

logger = logging.getLogger(__name__)

STEPS = 900
BATCH_SIZE = 32
MATRIX_LEARNING_RATE = 6e-3
OTHER_LEARNING_RATE = 3e-3
WARM_UP_STEPS = 30
# The rate stays at its top for the first half and then falls in a line to nothing.
DECAY_SHARE = 0.5
# What a note says next is random and hardly worth learning; what the answer copies is the point.
PROMPT_WEIGHT = 0.1
# Rows of like length share a batch, and lengths are few, because a CPU keeps buffers for every shape it has met.
BATCHES_PER_SORT = 32
LENGTH_MULTIPLE = 8

Batch = tuple[torch.Tensor, torch.Tensor]


def configure_model(tokenizer: GemmaTokenizer) -> Gemma3TextConfig:
    """Return the architecture: row sizes divide by 256 and the sixth layer attends fully, as GGUF needs."""
    return Gemma3TextConfig(
        vocab_size=len(tokenizer),
        hidden_size=256,
        intermediate_size=512,
        num_hidden_layers=6,
        num_attention_heads=4,
        num_key_value_heads=1,
        head_dim=64,
        query_pre_attn_scalar=64,
        sliding_window=512,
        max_position_embeddings=2048,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=[tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids(END_OF_TURN)],
    )


def pretrain(tokenizer: GemmaTokenizer, *, seed: int, steps: int = STEPS) -> Gemma3ForCausalLM:
    """Train the model for a fixed number of steps and return it in float32."""
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True)
    # Eager attention takes two thirds of the time of sdpa for rows this short on a CPU.
    model = Gemma3ForCausalLM._from_config(configure_model(tokenizer), attn_implementation="eager").train()
    optimizers = _make_optimizers(model)
    schedules = [
        torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _scale_rate(step, steps)) for optimizer in optimizers
    ]
    start = perf_counter()
    for step, (ids, weights) in enumerate(islice(_make_batches(tokenizer, seed), steps), start=1):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = model(input_ids=ids, use_cache=False).logits
        loss = _weigh_loss(logits.float(), ids, weights)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer, schedule in zip(optimizers, schedules, strict=True):
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
        if step % 50 == 0 or step == steps:
            logger.info("step %d of %d: loss %.3f, %.0f s", step, steps, loss.item(), perf_counter() - start)
    return model.eval()


def _make_optimizers(model: Gemma3ForCausalLM) -> list[torch.optim.Optimizer]:
    """Return Muon for the layers' matrices, with which copying emerges in half the steps, and Adam for the rest."""
    matrices, others = [], []
    for name, parameter in model.named_parameters():
        (matrices if parameter.ndim == 2 and "embed_tokens" not in name else others).append(parameter)
    return [
        torch.optim.Muon(matrices, lr=MATRIX_LEARNING_RATE, weight_decay=0.0, adjust_lr_fn="match_rms_adamw"),
        torch.optim.Adam(others, lr=OTHER_LEARNING_RATE, betas=(0.9, 0.98)),
    ]


def _scale_rate(step: int, steps: int) -> float:
    return min(1.0, (step + 1) / WARM_UP_STEPS, (steps - step) / (DECAY_SHARE * steps))


def _make_batches(tokenizer: GemmaTokenizer, seed: int) -> Iterator[Batch]:
    """Yield token ids and loss weights, both of shape (batch, length), padded on the right."""
    chats = generate_chats(seed)
    shuffle = torch.Generator().manual_seed(seed)
    while True:
        rows = [_encode(tokenizer, chat) for chat in islice(chats, BATCH_SIZE * BATCHES_PER_SORT)]
        rows.sort(key=lambda row: len(row[0]))
        for index in torch.randperm(BATCHES_PER_SORT, generator=shuffle).tolist():
            yield _pad(rows[index * BATCH_SIZE : (index + 1) * BATCH_SIZE], tokenizer.pad_token_id)


def _encode(tokenizer: GemmaTokenizer, chat: Chat) -> tuple[list[int], list[float]]:
    encoded: dict[str, Any] = tokenizer.apply_chat_template(
        chat,
        chat_template=chat_template_utils.gemma3_training_chat_template,
        return_dict=True,
        return_assistant_tokens_mask=True,
    )
    weights = [1.0 if answered else PROMPT_WEIGHT for answered in encoded["assistant_masks"]]
    return encoded["input_ids"], weights


def _pad(rows: list[tuple[list[int], list[float]]], pad_id: int) -> Batch:
    length = LENGTH_MULTIPLE * math.ceil(max(len(ids) for ids, _ in rows) / LENGTH_MULTIPLE)
    ids = torch.tensor([ids + [pad_id] * (length - len(ids)) for ids, _ in rows])
    weights = torch.tensor([weights + [0.0] * (length - len(weights)) for _, weights in rows])
    return ids, weights


def _weigh_loss(logits: torch.Tensor, ids: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    losses = functional.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten(), reduction="none")
    shifted = weights[:, 1:].flatten()
    return (losses * shifted).sum() / shifted.sum()
