"""The rows that an estimate is made from: all of a small data set, the longest of a large one, two batches of them."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer

from pipeline.config import FineTuneJobConfig
from pipeline.errors import DataProblem
from pipeline.estimate import run_rows
from pipeline.estimate.run_rows import RunRows, choose_batches, encode_run_rows
from pipeline.model_manager import LoadedModel
from pipeline.row_encoder import TokenizedRow
from tests.pipeline.conftest import MakeConfig


def encoded(config: FineTuneJobConfig, tmp_path: Path) -> RunRows:
    tokenizer: Any = AutoTokenizer.from_pretrained(config.model.base_model)
    no_model: Any = None
    loaded = LoadedModel(
        model=no_model, tokenizer=tokenizer, precision="fp32", device=torch.device("cpu"), context_length=512
    )
    return encode_run_rows(config, loaded, imports=tmp_path / "imports")


def chats(file: Path, words: list[int]) -> Path:
    rows = [{"prompt": "Which stones?", "completion": " ".join(["opal"] * count)} for count in words]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def test_small_data_set_is_read_whole(make_config: MakeConfig, tmp_path: Path) -> None:
    config = make_config(training={"per_device_batch_size": 4})
    found = encoded(config, tmp_path)
    assert len(found.rows) == 40
    assert len(found.heaviest) == len(found.usual) == 4
    assert found.max_length == max(row.length for row in found.rows)
    assert min(row.length for row in found.heaviest) >= max(row.length for row in found.usual)


def test_longest_rows_of_a_large_data_set_are_found(
    make_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_rows, "MOST_ENCODED", 30)
    monkeypatch.setattr(run_rows, "_LONGEST", 5)
    words = [3] * 400
    words[271] = words[33] = 120
    config = make_config(
        dataset={"path": str(chats(tmp_path / "large.jsonl", words))}, training={"per_device_batch_size": 2}
    )
    found = encoded(config, tmp_path)
    assert len(found.rows) <= 30
    assert [row.row for row in sorted(found.heaviest, key=lambda row: row.row)] == [34, 272]
    assert max(row.length for row in found.usual) < 60


def test_rows_are_cut_as_the_run_would_cut_them(make_config: MakeConfig, tmp_path: Path) -> None:
    config = make_config(method={"max_length": 24})
    found = encoded(config, tmp_path)
    assert found.max_length == 24
    assert max(row.length for row in found.rows) == 24


def test_batch_larger_than_the_data_set_is_filled() -> None:
    config: Any = FineTuneJobConfig.model_validate(
        {"model": {"base_model": "m/m"}, "dataset": {"path": "x"}, "training": {"per_device_batch_size": 16}}
    )
    found = choose_batches(config, [TokenizedRow(0, [1, 2, 3], [1, 2, 3])], max_length=3)
    assert len(found.heaviest) == 16


def test_rows_that_the_method_does_not_learn_from_are_refused(make_config: MakeConfig, tmp_path: Path) -> None:
    with pytest.raises(DataProblem, match="DPO learns from a chosen and a rejected answer"):
        encoded(make_config(method={"kind": "dpo"}), tmp_path)
