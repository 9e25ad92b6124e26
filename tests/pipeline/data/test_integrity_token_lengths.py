"""Lengths in tokens, and what a tokenizer makes of the rows."""

from pathlib import Path
from typing import Any, Literal

import pytest
from transformers import PreTrainedTokenizerBase

from pipeline.data.example import Example, Message
from pipeline.data.integrity.report import IntegrityFinding, TokenReport
from pipeline.data.integrity.token_lengths import check_tokens
from pipeline.data.mapping import Mapping
from pipeline.errors import DataProblem
from pipeline.row_encoder import RowEncoder
from tests.pipeline.data.integrity_stores import CHAT, PAIR, PREFERENCE, PROMPTS, TEXT, check, make_store


def tokens_of(
    folder: Path,
    rows: list[dict[str, Any]],
    mapping: Mapping,
    tokenizer: PreTrainedTokenizerBase,
    *,
    max_length: int | None = None,
    train_on: Literal["assistant", "all"] = "assistant",
) -> TokenReport:
    store = make_store(folder, rows, mapping)
    return check_tokens(
        store,
        mapping,
        tokenizer=tokenizer,
        max_length=max_length,
        train_on=train_on,
        progress=lambda share, message: None,
    )


def codes(report: TokenReport) -> set[str]:
    return {finding.code for finding in report.findings}


def finding(report: TokenReport, code: str) -> IntegrityFinding:
    (found,) = [finding for finding in report.findings if finding.code == code]
    return found


def test_lengths_are_those_of_training(tmp_path: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    rows = [{"question": "How many?", "answer": "Two. " * count} for count in (1, 5, 9)]
    report = tokens_of(tmp_path / "data", rows, PAIR, tokenizer)
    examples = [
        Example(number, messages=(Message("user", row["question"]), Message("assistant", row["answer"])))
        for number, row in enumerate(rows)
    ]
    encoded = RowEncoder(tokenizer, train_on="assistant").encode(examples, on_dropped=lambda dropped: None)
    assert report.tokens == sum(len(row.input_ids) for row in encoded)
    assert report.trained_tokens == sum(row.trained_tokens for row in encoded)
    assert report.histogram.percentiles["max"] == max(len(row.input_ids) for row in encoded)
    assert report.histogram.unit == "tokens"
    assert report.rows == 3
    assert report.findings == []
    assert (report.max_length, report.max_length_from) == (report.histogram.percentiles["max"], "data")


def test_rows_over_the_limit_and_answers_behind_it_are_counted(
    tmp_path: Path, tokenizer: PreTrainedTokenizerBase
) -> None:
    rows = [
        {"question": "How many?", "answer": "Two."},
        {"question": "How many?", "answer": "Two. " * 40},
        {"question": "How many? " * 40, "answer": "Two."},
    ]
    report = tokens_of(tmp_path / "data", rows, PAIR, tokenizer, max_length=60)
    assert codes(report) == {"truncated_rows", "answers_after_limit"}
    truncated = finding(report, "truncated_rows")
    assert (truncated.count, truncated.rows) == (2, [2, 3])
    assert "The limit is 60 tokens" in truncated.message
    assert finding(report, "answers_after_limit").rows == [3]
    assert (report.truncated_rows, report.untrained_rows) == (2, 1)
    assert report.truncated_share == pytest.approx(2 / 3)
    assert (report.histogram.cutoff, report.histogram.over_cutoff) == (60, 2)
    assert report.max_length_from == "setting"


def test_rows_within_the_limit_are_not_reported(tmp_path: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    rows = [{"question": "How many?", "answer": "Two."}] * 3
    report = tokens_of(tmp_path / "data", rows, PAIR, tokenizer, max_length=60)
    assert (report.findings, report.truncated_rows, report.untrained_rows) == ([], 0, 0)


def test_row_of_one_token_trains_nothing(tmp_path: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    tokenizer.eos_token = None
    tokenizer.bos_token = None
    tokenizer.add_bos_token = False
    report = tokens_of(tmp_path / "data", [{"text": "x"}, {"text": "the ruby has carats"}], TEXT, tokenizer)
    assert finding(report, "rows_without_trained_token").rows == [1]
    assert finding(report, "rows_without_trained_token").severity == "error"


def test_row_that_the_template_refuses_is_listed(tmp_path: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    tool = {
        "messages": [
            {"role": "user", "content": "?"},
            {"role": "assistant", "content": "find()"},
            {"role": "tool", "content": "2"},
            {"role": "assistant", "content": "Two."},
        ]
    }
    plain = {"messages": [{"role": "user", "content": "?"}, {"role": "assistant", "content": "Two."}]}
    report = tokens_of(tmp_path / "data", [plain, tool, plain], CHAT, tokenizer)
    assert finding(report, "unrenderable_rows").rows == [2]
    assert report.rows == 2


def test_second_beginning_of_text_is_found(tmp_path: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    tokenizer.chat_template = tokenizer.chat_template.replace("{{ bos_token }}", "{{ bos_token }}{{ bos_token }}")
    report = tokens_of(tmp_path / "data", [{"question": "?", "answer": "Two."}], PAIR, tokenizer)
    assert "double_beginning" in codes(report)


def test_system_turn_of_a_template_without_one_is_remarked(tmp_path: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    tokenizer.chat_template = (
        "{% for message in messages %}{% if message.role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
        "<start_of_turn>{{ message.role }}\n{{ message.content }}<end_of_turn>\n{% endfor %}"
        "{% if add_generation_prompt %}<start_of_turn>assistant\n{% endif %}"
    )
    turns = [{"role": "user", "content": "?"}, {"role": "assistant", "content": "Two."}]
    rows = [{"messages": [{"role": "system", "content": "Be kind."}, *turns]}, {"messages": turns}]
    report = tokens_of(tmp_path / "data", rows, CHAT, tokenizer)
    found = finding(report, "system_turns_folded")
    assert (found.severity, found.rows) == ("info", [1])


def test_padding_with_the_end_token_is_warned_of(tmp_path: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    tokenizer.pad_token = tokenizer.eos_token
    report = tokens_of(tmp_path / "data", [{"question": "?", "answer": "Two."}], PAIR, tokenizer)
    assert codes(report) == {"pad_is_end"}


def test_template_without_an_end_of_turn_is_warned_of(tmp_path: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    tokenizer.chat_template = (
        "{% for message in messages %}{{ message.role }}: {{ message.content }} (over)\n{% endfor %}"
        "{% if add_generation_prompt %}assistant: {% endif %}"
    )
    rows = [{"question": "?", "answer": "Two."}]
    assert codes(tokens_of(tmp_path / "data", rows, PAIR, tokenizer)) == {"no_end_of_turn"}


def test_preference_is_as_long_as_its_longer_side(tmp_path: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    rows = [{"prompt": "How many?", "chosen": "Two.", "rejected": "Two. " * 30}]
    report = tokens_of(tmp_path / "data", rows, PREFERENCE, tokenizer)
    longer = tokens_of(tmp_path / "other", [{"question": "How many?", "answer": "Two. " * 30}], PAIR, tokenizer)
    assert report.histogram.percentiles["max"] == longer.histogram.percentiles["max"]
    assert report.rows == 1


def test_prompts_alone_are_measured_and_nothing_of_them_is_trained(
    tmp_path: Path, tokenizer: PreTrainedTokenizerBase
) -> None:
    report = tokens_of(tmp_path / "data", [{"prompt": "How many?"}, {"prompt": "Why? " * 30}], PROMPTS, tokenizer)
    assert (report.rows, report.trained_tokens, report.untrained_rows, report.findings) == (2, 0, 0, [])
    assert report.histogram.percentiles["max"] > 30


def test_data_set_without_a_usable_row_is_refused(tmp_path: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    with pytest.raises(DataProblem, match="No row of gems can be tokenised"):
        tokens_of(tmp_path / "data", [{"question": "?", "answer": ""}], PAIR, tokenizer)


def test_report_takes_over_what_the_tokenizer_adds(tmp_path: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    rows = [{"question": f"How many {number}?", "answer": "Two. " * number} for number in range(1, 9)]
    store = make_store(tmp_path / "data", rows, PAIR)
    report = check(store)
    options: dict[str, Any] = {"tokenizer": tokenizer, "train_on": "assistant", "progress": lambda share, message: None}
    short = report.with_tokens(check_tokens(store, PAIR, max_length=30, **options))
    assert "truncated_rows" in {finding.code for finding in short.findings}
    assert short.checked_with == tokenizer.name_or_path
    assert short.token_histogram is not None
    assert short.token_histogram.cutoff == 30
    whole = short.with_tokens(check_tokens(store, PAIR, max_length=None, **options))
    assert whole.findings == report.findings
    nothing_left = report.with_tokens(check_tokens(store, PAIR, max_length=3, **options))
    assert report.passed
    assert not nothing_left.passed
    assert nothing_left.findings[0].severity == "error"
