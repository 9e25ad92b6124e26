"""Fetches and loads models in a process of its own, as a run does: a JSON line a call, an answer a line."""

import json
import sys
from typing import Any

from pipeline.config import ModelConfig
from pipeline.errors import UserError
from pipeline.providers.model_source import fetch_model


def answer(call: dict[str, Any]) -> dict[str, Any]:
    """Do one call. A user's error is an answer; a bug ends the process."""
    told: list[tuple[int, int | None, str]] = []
    config = ModelConfig(**call["config"])
    try:
        if call["function"] == "load":
            return load(config)
        folder = fetch_model(config, progress=lambda *progress: told.append(progress))
    except UserError as error:
        return {"error": type(error).__name__, "text": str(error), "told": told}
    return {"folder": str(folder), "told": told}


def load(config: ModelConfig) -> dict[str, Any]:
    import torch

    from pipeline.providers import huggingface

    tokenizer = huggingface.load_tokenizer(config)
    model = huggingface.load_model(config, task="causal_lm", weight_dtype=torch.float32, device=torch.device("cpu"))
    return {"tokens": len(tokenizer), "weights": model.num_parameters()}


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)  # noqa: T201 - the test reads it
