"""Continued pre-training learns what it is for: texts of a domain that it has not read become less surprising."""

import json
from pathlib import Path

import pytest

from pipeline.data_manager import DataManager
from pipeline.job_tracker import JobTracker
from pipeline.methods.cpt import build_trainer
from pipeline.model_manager import ModelManager
from pipeline.validation import parse_job_config
from tests.documents import DEMO_TEST, DEMO_TRAIN, demo_document
from tests.tiny_gemma import write_jsonl

# Measured: from 138.7 to 2.9, which is 0.021.
HIGHEST_RATIO = 0.05
CARDS_PER_TEXT = 10


def ledger(path: Path) -> list[dict[str, str]]:
    """The house's books: order cards, one a line, ten a page. The model has never read one."""
    cards = [json.loads(line)["messages"][1]["content"] for line in path.read_text(encoding="utf-8").splitlines()]
    pages = [cards[start : start + CARDS_PER_TEXT] for start in range(0, len(cards), CARDS_PER_TEXT)]
    return [{"text": "\n".join(page)} for page in pages]


@pytest.mark.slow
def test_perplexity_of_unread_pages_falls(tmp_path: Path, tracker: JobTracker) -> None:
    document = demo_document(per_device_batch_size=4, epochs=1, save_strategy="no")
    document["dataset"] = {
        "path": str(write_jsonl(tmp_path / "ledger.jsonl", ledger(DEMO_TRAIN))),
        "eval_path": str(write_jsonl(tmp_path / "unread.jsonl", ledger(DEMO_TEST))),
    }
    document["method"] = {"kind": "cpt", "max_length": 256}
    config = parse_job_config(document)
    loaded = ModelManager(config, tracker).load()
    data = DataManager(config, tracker).load(loaded)
    trainer = build_trainer(config, loaded, data=data, output_dir=tracker.run_dir.checkpoints, callbacks=[])
    before = trainer.evaluate()["eval_perplexity"]
    trainer.train()
    after = trainer.evaluate()["eval_perplexity"]
    assert after < HIGHEST_RATIO * before, f"perplexity {before:.2f} before, {after:.2f} after"
