"""Writes the rows that a run trained on, for scripts: as TRL takes them where it makes the same tokens of them."""

import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, cast

import torch
from transformers import AutoConfig

from pipeline.chat_template import UnusableConversation, text_turn
from pipeline.config import FineTuneJobConfig
from pipeline.data.example import Example, Message
from pipeline.data_manager import DataManager, PreparedData
from pipeline.errors import DataProblem, StorageFailed
from pipeline.job_tracker import JobTracker
from pipeline.methods.cpt import Document
from pipeline.methods.reward import ScoredPair
from pipeline.model_manager import LoadedModel
from pipeline.preference_rows import PreferenceRow
from pipeline.providers import provider_for
from pipeline.providers.model_source import located
from pipeline.reproduce.refusals import no_images, refuse_unscriptable
from pipeline.reproduce.run_facts import RunFacts
from pipeline.reproduce.trl_tokens import makes_same_tokens
from pipeline.row_encoder import TokenizedRow
from pipeline.run_dir import RunDir
from pipeline.unpaired_rows import UnpairedRow

RowsForm = Literal["readable", "token_ids"]
Rows = list[dict[str, Any]]


def write_training_rows(config: FineTuneJobConfig, target: Path, *, run_dir: RunDir, facts: RunFacts) -> RowsForm:
    """Write the training rows of the run in `run_dir`, in their order, as JSON lines, and say what they are.

    Readable rows are conversations, texts or answers in TRL's own format; TRL's own code has made the run's tokens of
    them here. Where it makes others, or the run read long texts in pieces, the rows are token ids.

    Raises:
        InvalidConfig: no script can repeat the run.
        DataProblem: the data set cannot be read, or is no longer the one that was trained on.
        ModelUnavailable: the base model's tokenizer cannot be loaded.
        StorageFailed: the file cannot be written.
    """
    refuse_unscriptable(config)
    loaded = _tokenizer_alone(config)
    examples, prepared = _prepare(config, loaded, run_dir=run_dir)
    _require_same_data(prepared, facts)
    readable = _readable(prepared.train, examples, has_template=loaded.tokenizer.chat_template is not None)
    is_same = readable is not None and makes_same_tokens(
        config, readable, prepared.train, tokenizer=loaded.tokenizer, max_length=prepared.max_length
    )
    _write(target, readable if is_same and readable is not None else [_token_ids(row) for row in prepared.train])
    return "readable" if is_same else "token_ids"


def _tokenizer_alone(config: FineTuneJobConfig) -> LoadedModel:
    """What encoding asks of a loaded model: all but the model."""
    source = located(config.model)
    model_config = AutoConfig.from_pretrained(
        source.base_model, revision=source.revision, trust_remote_code=source.trust_remote_code
    )
    return LoadedModel(
        model=cast(Any, None),
        tokenizer=provider_for(config.model.provider).load_tokenizer(config.model),
        precision="fp32",
        device=torch.device("cpu"),
        context_length=model_config.get_text_config().max_position_embeddings,
    )


def _prepare(config: FineTuneJobConfig, loaded: LoadedModel, *, run_dir: RunDir) -> tuple[list[Example], PreparedData]:
    """The examples trained on and their rows, made as the run made them, without a trace in its folder."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        imports = run_dir.path / "imports"
        if imports.is_dir():
            # What the run imported is there, even where the source has gone.
            (folder / "imports").symlink_to(imports.resolve(), target_is_directory=True)
        manager = DataManager(config, JobTracker(RunDir(folder)))
        examples = manager.read()
        if examples.have_images:
            raise no_images()
        return examples.train, manager.encode(examples, loaded)


def _require_same_data(prepared: PreparedData, facts: RunFacts) -> None:
    trained = sum(row.trained_tokens for row in prepared.train)
    seen = (len(prepared.train), trained, prepared.max_length)
    if seen != (facts.train_rows, facts.trained_tokens, facts.max_length):
        raise DataProblem(
            f"The data set has changed since the run: it gives {seen[0]:,} rows with {seen[1]:,} trained tokens, and "
            f"the run had {facts.train_rows:,} with {facts.trained_tokens:,}. Bring back the data set of the run."
        )


def _readable(rows: Sequence[Any], examples: Sequence[Example], *, has_template: bool) -> Rows | None:
    """The rows in TRL's formats; None where there is none for them."""
    by_number = {example.row: example for example in examples}
    numbers = [row.row for row in rows]
    if isinstance(rows[0], Document) and len(set(numbers)) < len(numbers):
        # Pieces of texts.
        return None
    try:
        written = [_readable_row(row, by_number[row.row], has_template=has_template) for row in rows]
    except UnusableConversation:
        return None
    if any("tools" in row for row in written):
        # The first row names the columns of all.
        return [{**row, "tools": row.get("tools")} for row in written]
    return written


def _readable_row(row: Any, example: Example, *, has_template: bool) -> dict[str, Any]:
    def side(turns: Sequence[Message] | None) -> Any:
        if turns is None:
            return None
        return [text_turn(turn) for turn in turns] if has_template else turns[0].content

    # As text, because a table would give all tools the fields of all others.
    tools = {"tools": json.dumps(example.tools)} if example.tools else {}
    prompt = side(example.messages)
    match row:
        case PreferenceRow():
            return {"prompt": prompt, "chosen": side(example.chosen), "rejected": side(example.rejected), **tools}
        case UnpairedRow():
            answer = example.chosen if row.good or example.rejected is None else example.rejected
            return {"prompt": prompt, "completion": side(answer), "label": row.good, **tools}
        case _ if example.messages is None:
            return {"text": example.text}
        case _:
            return {"messages": prompt, **tools}


def _token_ids(row: Any) -> dict[str, Any]:
    match row:
        case TokenizedRow():
            return {"input_ids": row.input_ids, "labels": row.labels}
        case UnpairedRow():
            return {"prompt_ids": row.prompt_ids, "completion_ids": row.answer_ids, "label": row.good}
        case ScoredPair():
            # A reward model reads each answer with its prompt as one.
            return {f"{side}_ids": row.prompt_ids + getattr(row, f"{side}_ids") for side in ("chosen", "rejected")}
        case _:
            return {"prompt_ids": row.prompt_ids, "chosen_ids": row.chosen_ids, "rejected_ids": row.rejected_ids}


def _write(target: Path, rows: Rows) -> None:
    partial = target.with_name(f"{target.name}.partial")
    try:
        with partial.open("w", encoding="utf-8") as file:
            file.writelines(_lines(rows))
            file.flush()
            os.fsync(file.fileno())
        partial.replace(target)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise StorageFailed(
            f"{target} cannot be written: {error.strerror}. Free some space or check the permissions."
        ) from error


def _lines(rows: Rows) -> Iterator[str]:
    return (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
