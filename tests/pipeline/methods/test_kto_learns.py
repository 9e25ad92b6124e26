"""KTO learns what it is for: on held-out notes, right order cards gain more than corrupted ones."""

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from pipeline.fine_tune_job import FineTuneJob
from pipeline.job_tracker import JobTracker
from pipeline.validation import parse_job_config
from tests.documents import DEMO_MODEL, DEMO_TEST, DEMO_TRAIN, demo_document
from tests.tiny_gemma import write_jsonl

# Measured: all of them with seed 1, 99 % with seed 2.
ENOUGH = 0.95


def notes_and_cards(path: Path) -> list[tuple[str, str]]:
    rows = [json.loads(line)["messages"] for line in path.read_text(encoding="utf-8").splitlines()]
    return [(note["content"], card["content"]) for note, card in rows]


def corrupt(card: str, rng: Random) -> str:
    """The card with one fault of form: a field is missing or stands elsewhere, or it is no JSON."""
    fields: dict[str, Any] = json.loads(card)
    name = rng.choice(sorted(fields))
    value = fields.pop(name)
    match rng.randrange(4):
        case 0:
            return _as_card(fields)
        case 1:
            places = [place for place in range(len(fields) + 1) if place != list(json.loads(card)).index(name)]
            items = list(fields.items())
            items.insert(rng.choice(places), (name, value))
            return _as_card(dict(items))
        case 2:
            return card.replace('"', rng.choice(["'", ""]))
        case _:
            return card[: rng.randrange(len(card) // 2, len(card))]


def _as_card(fields: dict[str, Any]) -> str:
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":"))


def implied_rewards(adapter: Path, questions: list[tuple[str, str]], *, beta: float) -> torch.Tensor:
    """For each note and card, how much likelier the adapter makes the card, times beta."""
    tokenizer = AutoTokenizer.from_pretrained(DEMO_MODEL)
    base = AutoModelForCausalLM.from_pretrained(DEMO_MODEL, dtype=torch.float32)
    model = PeftModel.from_pretrained(base, adapter).eval()
    rewards = []
    for note, card in questions:
        prompt = [{"role": "user", "content": note}]
        whole = tokenizer.apply_chat_template([*prompt, {"role": "assistant", "content": card}], return_tensors="pt")
        begin = len(tokenizer.apply_chat_template(prompt, add_generation_prompt=True)["input_ids"])
        ids = whole["input_ids"]
        with torch.no_grad():
            tuned = model(ids).logits
            with model.disable_adapter():
                before = model(ids).logits
        chosen = [logits[:, :-1].log_softmax(-1).gather(-1, ids[:, 1:, None]) for logits in (tuned, before)]
        rewards.append(beta * (chosen[0] - chosen[1])[:, begin - 1 :].sum())
    return torch.stack(rewards)


@pytest.mark.slow
def test_held_out_right_cards_gain_more_than_corrupted_ones(tmp_path: Path, tracker: JobTracker) -> None:
    rng = Random(0)
    train, test = notes_and_cards(DEMO_TRAIN), notes_and_cards(DEMO_TEST)
    rows = [
        {"prompt": note, "completion": card if good else corrupt(card, rng), "label": good}
        for index, (note, card) in enumerate(train)
        for good in [index % 2 == 0]
    ]
    document = demo_document(learning_rate=0.001, epochs=2, seed=1)
    document["dataset"] = {"path": str(write_jsonl(tmp_path / "rows.jsonl", rows)), "eval_share": 0}
    document["method"] = {"kind": "kto"}
    config = parse_job_config(document)
    FineTuneJob(config, tracker.run_dir, tracker).run()
    pairs = [(note, text) for note, card in test for text in (card, corrupt(card, rng))]
    rewards = implied_rewards(tracker.run_dir.artifact("adapter"), pairs, beta=config.method.beta).view(-1, 2)
    right = (rewards[:, 0] > rewards[:, 1]).float().mean().item()
    assert right >= ENOUGH, f"{right:.0%} of the right cards gained more than their corrupted ones"
