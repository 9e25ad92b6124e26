"""The rows of a run, written for scripts: in TRL's formats where TRL makes the run's tokens of them, else as tokens."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from pipeline.config import FineTuneJobConfig
from pipeline.data_manager import DataManager, PreparedData
from pipeline.errors import DataProblem, StorageFailed
from pipeline.job_tracker import JobTracker
from pipeline.model_manager import ModelManager
from pipeline.reproduce.run_facts import RunFacts
from pipeline.reproduce.training_rows import write_training_rows
from tests.pipeline.conftest import MakeConfig
from tests.pipeline.methods.preference import pair_rows
from tests.pipeline.reproduce.scripts import repeat
from tests.tiny_gemma import chat_rows, write_jsonl

# Neither known to TRL nor with marks around the answers, and without system turns.
OWN_TEMPLATE = (
    "{{ bos_token }}{% for turn in messages %}{% if turn['role'] == 'system' %}{{ raise_exception('no system turns') }}"
    "{% endif %}<start_of_turn>{{ turn['role'] }}\n{{ turn['content'] }}<end_of_turn>\n"
    "{% endfor %}{% if add_generation_prompt %}<start_of_turn>assistant\n{% endif %}"
)


def loaded_rows(config: FineTuneJobConfig, tracker: JobTracker) -> tuple[PreparedData, RunFacts]:
    """The rows of a run as it loads them, and what it notes of them."""
    loaded = ModelManager(config, tracker).load()
    data = DataManager(config, tracker).load(loaded)
    trained = sum(row.trained_tokens for row in data.train)
    return data, RunFacts("fp32", "sdpa", "cpu", data.max_length, len(data.train), trained, None, False, {})


def written(config: FineTuneJobConfig, tracker: JobTracker, facts: RunFacts) -> tuple[str, list[dict[str, Any]]]:
    target = tracker.run_dir.path / "rows.jsonl"
    form = write_training_rows(config, target, run_dir=tracker.run_dir, facts=facts)
    return form, [json.loads(line) for line in target.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def model_of_its_own(tiny_gemma: Path, tmp_path: Path) -> Path:
    """A model with a chat template that only its own tokenizer has."""
    folder = tmp_path / "own"
    shutil.copytree(tiny_gemma, folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = OWN_TEMPLATE
    tokenizer.save_pretrained(folder)
    return folder


def test_conversations_are_written_as_they_were_trained_on(make_config: MakeConfig, tracker: JobTracker) -> None:
    config = make_config()
    data, facts = loaded_rows(config, tracker)
    form, rows = written(config, tracker, facts)
    source = chat_rows(40)
    assert form == "readable"
    assert 30 < len(data.train) < 40, "some are held out"
    assert rows == [{"messages": source[row.row - 1]["messages"]} for row in data.train]


def test_rows_of_other_columns_become_those_of_trl(
    make_config: MakeConfig, tracker: JobTracker, tmp_path: Path
) -> None:
    path = write_jsonl(
        tmp_path / "rows.jsonl", [{"question": f"{n}+1?", "answer": f"It is {n + 1}."} for n in range(9)]
    )
    config = make_config(dataset={"path": str(path), "eval_share": 0})
    form, rows = written(config, tracker, loaded_rows(config, tracker)[1])
    assert form == "readable"
    asked = {"role": "user", "content": "0+1?"}
    assert rows[0] == {"messages": [asked, {"role": "assistant", "content": "It is 1."}]}


def test_answers_that_only_the_run_finds_are_written_as_tokens(
    make_config: MakeConfig, tracker: JobTracker, model_of_its_own: Path
) -> None:
    config = make_config(model={"base_model": str(model_of_its_own)})
    data, facts = loaded_rows(config, tracker)
    form, rows = written(config, tracker, facts)
    assert form == "token_ids"
    assert rows == [{"input_ids": row.input_ids, "labels": row.labels} for row in data.train]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sft", "dpo", "kto", "orpo", "reward"])
def test_script_takes_rows_of_tokens(
    make_config: MakeConfig, model_of_its_own: Path, tmp_path: Path, kind: str
) -> None:
    """The run puts system turns, which TRL's way fails at, into the turns after them."""
    system = {"role": "system", "content": "You weigh stones."}
    rows = chat_rows(40) if kind == "sft" else pair_rows(24)
    for row in rows:
        row["messages" if kind == "sft" else "prompt"].insert(0, system)
    config = make_config(
        model={"base_model": str(model_of_its_own)},
        dataset={"path": str(write_jsonl(tmp_path / "rows.jsonl", rows)), "eval_share": 0},
        method={"kind": kind},
        training={"max_steps": 5, "per_device_batch_size": 3, "save_strategy": "no"},
    )
    repeated = repeat(config, tmp_path)
    assert repeated.form == "token_ids"
    assert len(repeated.run) == 5
    assert repeated.script == pytest.approx(repeated.run, abs=1e-5)


@pytest.mark.parametrize("kind", ["dpo", "orpo", "kto", "reward"])
def test_pairs_are_written_readably(make_config: MakeConfig, tracker: JobTracker, tmp_path: Path, kind: str) -> None:
    source = pair_rows(12)
    path = write_jsonl(tmp_path / "pairs.jsonl", source)
    config = make_config(dataset={"path": str(path), "eval_share": 0}, method={"kind": kind})
    form, rows = written(config, tracker, loaded_rows(config, tracker)[1])
    assert form == "readable"
    if kind == "kto":
        first = [
            {"completion": source[0][side], "label": good} for side, good in (("chosen", True), ("rejected", False))
        ]
        assert rows[:2] == [{"prompt": source[0]["prompt"], **answer} for answer in first]
    else:
        assert rows == source


def test_tools_are_written_with_their_conversations(
    make_config: MakeConfig, tracker: JobTracker, tmp_path: Path, model_of_its_own: Path
) -> None:
    """The template leaves tools out, and so do the tokens of both."""
    tokenizer = AutoTokenizer.from_pretrained(model_of_its_own)
    marked = OWN_TEMPLATE.replace(
        "{{ turn['content'] }}<end_of_turn>\n",
        "{% generation %}{{ turn['content'] }}<end_of_turn>\n{% endgeneration %}",
    )
    tokenizer.chat_template = "{{ tools | tojson if tools else '' }}" + marked
    tokenizer.save_pretrained(model_of_its_own)
    tools = [{"type": "function", "function": {"name": "weigh", "parameters": {"type": "object", "properties": {}}}}]
    source = [{**row, "tools": tools if number % 2 else None} for number, row in enumerate(chat_rows(8))]
    path = write_jsonl(tmp_path / "rows.jsonl", source)
    config = make_config(
        model={"base_model": str(model_of_its_own)},
        dataset={"path": str(path), "eval_share": 0},
        method={"train_on": "all"},
    )
    form, rows = written(config, tracker, loaded_rows(config, tracker)[1])
    assert form == "readable"
    assert [row["tools"] for row in rows] == [json.dumps(tools) if number % 2 else None for number in range(8)]


def test_data_set_that_has_changed_is_refused(make_config: MakeConfig, tracker: JobTracker, tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "rows.jsonl", chat_rows(12))
    config = make_config(dataset={"path": str(path), "eval_share": 0})
    _, facts = loaded_rows(config, tracker)
    write_jsonl(path, chat_rows(13))
    with pytest.raises(DataProblem, match=r"has changed since the run: it gives 13 rows .*the run had 12 with"):
        written(config, tracker, facts)
    assert not (tracker.run_dir.path / "rows.jsonl").exists()


def test_nothing_else_is_written_into_the_folder_of_the_run(
    make_config: MakeConfig, tracker: JobTracker, tmp_path: Path
) -> None:
    config = make_config(dataset={"path": str(write_jsonl(tmp_path / "rows.jsonl", chat_rows(12)))})
    _, facts = loaded_rows(config, tracker)
    before = sorted(path.relative_to(tracker.run_dir.path) for path in tracker.run_dir.path.rglob("*"))
    written(config, tracker, facts)
    after = sorted(path.relative_to(tracker.run_dir.path) for path in tracker.run_dir.path.rglob("*"))
    assert [path for path in after if path not in before] == [Path("rows.jsonl")]


def test_folder_that_cannot_be_written_is_told(make_config: MakeConfig, tracker: JobTracker, tmp_path: Path) -> None:
    config = make_config()
    _, facts = loaded_rows(config, tracker)
    target = tmp_path / "missing" / "rows.jsonl"
    with pytest.raises(StorageFailed, match=r"rows\.jsonl cannot be written: No such file or directory"):
        write_training_rows(config, target, run_dir=tracker.run_dir, facts=facts)


def test_rows_of_another_limit_are_refused(make_config: MakeConfig, tracker: JobTracker) -> None:
    config = make_config()
    _, facts = loaded_rows(config, tracker)
    with pytest.raises(DataProblem, match="has changed since the run"):
        written(config, tracker, dataclasses.replace(facts, max_length=facts.max_length - 1))
