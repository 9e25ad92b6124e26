"""Build the embedded demo: `python -m assets.demo.build`, about ten minutes on two CPU cores.

The same seeds, package versions and processor give the same files.
"""

import argparse
import logging
from itertools import islice
from pathlib import Path

import torch
from transformers import Gemma3ForCausalLM, GemmaTokenizer, GenerationConfig

from assets.demo.corpus import generate_chats
from assets.demo.pretrain import STEPS, pretrain
from assets.demo.task import Row, make_splits, save_rows
from assets.demo.tokenizer import save_tokenizer, train_tokenizer

MODEL_NAME = "gemma-nano"
TASK_NAME = "gem-orders"
SEED = 2026
# The order of additions, and so the last bits of the weights, depends on the number of threads.
THREADS = 2
TOKENIZER_CHATS = 20_000

logger = logging.getLogger(__name__)


def main() -> None:
    """Write the task, the tokenizer and the checkpoint below the chosen folder."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder to write to")
    parser.add_argument("--steps", type=int, default=STEPS, help="pretraining steps")
    options = parser.parse_args()
    torch.set_num_threads(THREADS)

    train, test = make_splits(SEED)
    save_rows(train, options.out / TASK_NAME / "train.jsonl")
    save_rows(test, options.out / TASK_NAME / "test.jsonl")
    tokenizer = train_tokenizer(collect_texts(train))
    model = pretrain(tokenizer, seed=SEED, steps=options.steps)
    save_checkpoint(model, tokenizer, options.out / MODEL_NAME)
    logger.info("wrote %s", options.out)


def save_checkpoint(model: Gemma3ForCausalLM, tokenizer: GemmaTokenizer, folder: Path) -> None:
    """Write config, generation config, bfloat16 safetensors, tokenizer and chat template."""
    model.generation_config = GenerationConfig(
        bos_token_id=model.config.bos_token_id,
        eos_token_id=model.config.eos_token_id,
        pad_token_id=model.config.pad_token_id,
    )
    model.to(torch.bfloat16).save_pretrained(folder)
    save_tokenizer(tokenizer, folder)


def collect_texts(rows: list[Row]) -> list[str]:
    """Return what the tokenizer has to write briefly: the generated chats and the cards."""
    chats = [*islice(generate_chats(SEED), TOKENIZER_CHATS), *(row["messages"] for row in rows)]
    return [f"{message['role']}\n{message['content']}" for chat in chats for message in chat]


if __name__ == "__main__":
    main()
