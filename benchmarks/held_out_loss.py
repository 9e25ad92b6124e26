"""The judge of the throughput benchmark: mean cross-entropy of held-out answers, by transformers' own forward pass."""

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from pipeline.data.examples import read_examples
from pipeline.data.open_data import open_data
from pipeline.data_config import DatasetConfig
from pipeline.row_encoder import RowEncoder


def main(model_path: str, data_path: str, adapters: list[str]) -> None:
    """Print one JSON list: the loss with each adapter, in nats a token; a dash stands for none."""
    tokenizer = AutoTokenizer.from_pretrained(model_path)
    with TemporaryDirectory() as imports:
        store = open_data(data_path, imports=Path(imports))
        examples = read_examples(store, DatasetConfig(path=data_path)).examples
    rows = RowEncoder(tokenizer, train_on="assistant").encode(examples, on_dropped=print)
    losses = []
    for adapter in adapters:
        model = AutoModelForCausalLM.from_pretrained(model_path, dtype=torch.bfloat16)
        if adapter != "-":
            model = PeftModel.from_pretrained(model, adapter)
        summed, tokens = 0.0, 0
        with torch.inference_mode():
            for row in rows:
                labels = torch.tensor(row.labels)[1:]
                logits = model(input_ids=torch.tensor([row.input_ids]), use_cache=False).logits[0, :-1].float()
                summed += torch.nn.functional.cross_entropy(logits, labels, reduction="sum").item()
                tokens += row.trained_tokens
        losses.append(summed / tokens)
    print(json.dumps(losses))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
