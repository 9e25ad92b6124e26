"""The embedded demo: its files are what the script writes, the base fails its task, and one default run learns it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from assets.demo.build import SEED, collect_texts
from assets.demo.task import make_splits, save_rows
from assets.demo.tokenizer import save_tokenizer, train_tokenizer
from pipeline.data.example import Message
from pipeline.generate import Decoding, load_for_generation
from pipeline.run_dir import RunDir
from studio.catalog import Catalog
from tests.documents import ASSETS, DEMO_MODEL, DEMO_TEST, DEMO_TRAIN, demo_document

REPOSITORY = Path(__file__).parents[1]
MAX_CHECKPOINT_BYTES = 8 * 1024**2
ROWS = [json.loads(line)["messages"] for line in DEMO_TEST.read_text(encoding="utf-8").splitlines()]


def test_rows_and_tokenizer_are_what_the_script_writes(tmp_path: Path) -> None:
    train, test = make_splits(SEED)
    save_rows(train, tmp_path / "train.jsonl")
    save_rows(test, tmp_path / "test.jsonl")
    assert (tmp_path / "train.jsonl").read_bytes() == DEMO_TRAIN.read_bytes()
    assert (tmp_path / "test.jsonl").read_bytes() == DEMO_TEST.read_bytes()
    save_tokenizer(train_tokenizer(collect_texts(train)), tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        assert (tmp_path / name).read_text(encoding="utf-8") == (DEMO_MODEL / name).read_text(encoding="utf-8"), name


def test_held_out_prompts_are_not_trained_on() -> None:
    trained = {json.loads(line)["messages"][0]["content"] for line in DEMO_TRAIN.read_text("utf-8").splitlines()}
    assert not trained & {messages[0]["content"] for messages in ROWS}


def test_checkpoint_is_small_and_speaks_gemmas_turns() -> None:
    assert sum(file.stat().st_size for file in DEMO_MODEL.glob("*.safetensors")) <= MAX_CHECKPOINT_BYTES
    tokenizer = AutoTokenizer.from_pretrained(DEMO_MODEL)
    text = tokenizer.apply_chat_template([{"role": "user", "content": "Hi"}], tokenize=False)
    assert text == "<bos><start_of_turn>user\nHi<end_of_turn>\n"


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_one_run_with_the_wizards_defaults_learns_the_task(tmp_path: Path, seed: int) -> None:
    run = RunDir(tmp_path / "run")
    document = demo_document(seed=seed)
    _apply(document, Catalog(ASSETS).recommended(str(DEMO_MODEL)))
    (tmp_path / "job.yaml").write_text(json.dumps(document))
    command = [sys.executable, "-m", "pipeline", "train", "--config", tmp_path / "job.yaml", "--output-dir", run.path]
    subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True)
    generator = load_for_generation(str(DEMO_MODEL), run.artifact("adapter"))
    for side, right in (("base", range(21)), ("tuned", range(90, 101))):
        answers = [
            generator.generate([Message("user", row[0]["content"])], side=side, decoding=Decoding(96)).text.strip()
            for row in ROWS
        ]
        exact = sum(answer == row[1]["content"] for answer, row in zip(answers, ROWS, strict=True))
        assert exact * 100 // len(ROWS) in right, f"{side}: {exact} of {len(ROWS)}"


def _apply(document: dict[str, Any], patch: dict[str, Any]) -> None:
    for path, value in patch.items():
        section, name = path.split(".")
        document.setdefault(section, {})[name] = value
