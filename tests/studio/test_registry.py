"""The registry: imports by real children, versions, compatibility, deletion, and whose data is whose."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from db.jobs import NotFound
from db.states import RESTING, InvalidTransition, JobState
from pipeline.data.mapping import ColumnPart, Mapping
from pipeline.data_config import DatasetConfig
from pipeline.errors import DataProblem, InvalidConfig, StorageFailed
from studio.datasets import ModelTraits, compatibility, model_traits
from studio.registry import Forbidden, InUse
from studio.service import Studio
from tests.documents import DEMO_MODEL, demo_document
from tests.services import import_file, open_studio, tick_until

MODEL = ModelTraits("Small", sees_images=False, knows_chats=True)


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    with open_studio(tmp_path / "home") as studio:
        yield studio


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def questions(count: int) -> list[dict[str, Any]]:
    return [{"question": f"How many carats has stone {n}?", "answer": f"It has {n} carats."} for n in range(count)]


def test_import_makes_an_entry_with_its_report(studio: Studio, tmp_path: Path) -> None:
    rows = [*questions(60), {"question": "And this one?", "answer": ""}]
    dataset = import_file(studio, write_rows(tmp_path / "stones.jsonl", rows), tags=["gems"])
    assert (dataset.name, dataset.version, dataset.format) == ("stones", 1, "prompt_completion")
    assert (dataset.num_samples, dataset.usable_samples, dataset.tags) == (61, 60, ["gems"])
    assert dataset.integrity_checked
    codes = {finding["code"] for finding in dataset.integrity_report["findings"]}
    assert "unusable_rows" in codes


def test_same_rows_again_are_the_same_entry_and_other_rows_a_version(studio: Studio, tmp_path: Path) -> None:
    file = write_rows(tmp_path / "stones.jsonl", questions(5))
    first, again = import_file(studio, file), import_file(studio, file)
    assert again.id == first.id
    second = import_file(studio, write_rows(tmp_path / "stones.jsonl", questions(6)))
    assert (second.name, second.version, second.id != first.id) == ("stones", 2, True)


def test_search_looks_at_names_descriptions_and_tags(studio: Studio, tmp_path: Path) -> None:
    import_file(studio, write_rows(tmp_path / "stones.jsonl", questions(3)), description="About 100 % gems")
    import_file(studio, write_rows(tmp_path / "other.jsonl", questions(4)), tags=["new"])
    found = {words: studio.registry.datasets(owner="ana", search=words)[1] for words in ("STONES", "100 %", "%", "_")}
    assert found == {"STONES": 1, "100 %": 1, "%": 1, "_": 0}
    assert [data.name for data in studio.registry.datasets(owner="ana", tag="new")[0]] == ["other"]


def test_upload_is_moved_in_and_removed_after_it_was_read(studio: Studio, tmp_path: Path) -> None:
    file = write_rows(tmp_path / "gradio-copy", questions(3))
    job = studio.registry.import_upload(file, name="../../etc/rows.jsonl", owner="ana")
    assert not file.exists()
    assert Path(job.config.source).is_relative_to(studio.settings.uploads / "ana")
    ended = tick_until(studio, job, *RESTING)
    assert studio.registry.dataset(ended.facts["dataset_id"], owner="ana").source == "rows.jsonl"
    assert list((studio.settings.uploads / "ana").iterdir()) == []


def test_upload_to_a_full_disk_is_a_sentence(studio: Studio, tmp_path: Path) -> None:
    file = write_rows(tmp_path / "rows.jsonl", questions(3))
    (studio.settings.uploads / "ana").write_text("a file is in the way", encoding="utf-8")
    with pytest.raises(StorageFailed, match="rows.jsonl could not be stored: .*Free some space"):
        studio.registry.import_upload(file, name="rows.jsonl", owner="ana")


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ('{"prompt": "A?", "completion": "B"}\n{"prompt": "C?", "completion": "D"}', 2),
        ('[{"prompt": "A?", "completion": "B"}]', 1),
        ("question,answer\n1+1?,2\n2+2?,4\n3+3?,6\n", 3),
    ],
)
def test_pasted_rows_are_told_by_their_beginning(studio: Studio, text: str, rows: int) -> None:
    job = studio.registry.import_text(text, name="pasted", owner="ana")
    ended = tick_until(studio, job, *RESTING)
    assert studio.registry.dataset(ended.facts["dataset_id"], owner="ana").num_samples == rows


def test_failed_import_says_why_and_is_tried_again(studio: Studio, tmp_path: Path) -> None:
    file = tmp_path / "late.jsonl"
    job = studio.registry.import_source({"source": str(file)}, owner="ana")
    failed = tick_until(studio, job, *RESTING)
    assert failed.state in (JobState.FAILED, JobState.INTERRUPTED)
    assert "There is no file at" in (failed.error_message or "")
    write_rows(file, questions(3))
    studio.registry.retry(job.id, owner="ana")
    ended = tick_until(studio, job, *RESTING)
    assert (ended.state, ended.attempt, ended.error_message) == (JobState.COMPLETED, 2, None)
    with pytest.raises(InvalidTransition):
        studio.registry.retry(job.id, owner="ana")


def test_import_does_not_wait_for_a_run(studio: Studio, tmp_path: Path) -> None:
    run = studio.submit(demo_document(max_steps=400), owner="ana")
    tick_until(studio, run, JobState.STARTING, JobState.RUNNING)
    import_file(studio, write_rows(tmp_path / "stones.jsonl", questions(3)))
    assert studio.job(run.id, owner="ana").state in (JobState.STARTING, JobState.RUNNING)
    studio.cancel(run.id, owner="ana")
    tick_until(studio, run, JobState.CANCELLED)


def test_columns_named_by_hand_are_kept_and_checked(studio: Studio, tmp_path: Path) -> None:
    rows = [{"id": n, "frage": f"Wie viel Karat hat Stein {n}?", "antwort": f"{n} Karat."} for n in range(20)]
    dataset = import_file(studio, write_rows(tmp_path / "faq.jsonl", rows))
    mapping = Mapping(
        format="prompt_completion", prompt=(ColumnPart(column="frage"),), completion=(ColumnPart(column="antwort"),)
    )
    told: list[str] = []
    mapped = studio.registry.remap(dataset.id, mapping, owner="ana", progress=lambda share, what: told.append(what))
    assert (mapped.shape, mapped.format, mapped.usable_samples, mapped.id) == (
        "custom",
        "prompt_completion",
        20,
        dataset.id,
    )
    found = studio.registry.inspect(DatasetConfig(path=mapped.path), owner="ana")
    assert found.samples[0]["messages"][1]["content"] == "0 Karat."
    wrong = Mapping(format="text", text=(ColumnPart(column="fragee"),))
    with pytest.raises(DataProblem, match="frage"):
        studio.registry.remap(dataset.id, wrong, owner="ana", progress=lambda share, what: None)


def test_preflight_repeats_what_the_check_of_the_rows_found(studio: Studio, tmp_path: Path) -> None:
    dataset = import_file(studio, write_rows(tmp_path / "stones.jsonl", [*questions(60), *questions(3)]))
    found = studio.preflight({**demo_document(), "dataset": {"path": dataset.id}}, owner="ana").findings
    repeated = next(finding for finding in found if finding.code == "duplicate_rows")
    assert (repeated.severity, repeated.field) == ("warning", "dataset.path")
    assert repeated.message.endswith("Rows 61, 62, 63.")


def test_deletion_names_the_runs_that_used_it(studio: Studio, tmp_path: Path) -> None:
    dataset = import_file(studio, write_rows(tmp_path / "stones.jsonl", questions(30)))
    run = studio.submit({**demo_document(), "dataset": {"path": dataset.id}}, owner="ana")
    assert run.training.dataset.path == dataset.path
    with pytest.raises(InUse, match="stones is read by demo"):
        studio.registry.delete(dataset.id, owner="ana")
    studio.cancel(run.id, owner="ana")
    assert [job.id for job in studio.registry.delete(dataset.id, owner="ana")] == [run.id]
    assert not Path(dataset.path).exists()
    with pytest.raises(NotFound):
        studio.registry.dataset(dataset.id, owner="ana")


def test_somebody_elses_data_is_forbidden(studio: Studio, tmp_path: Path) -> None:
    dataset = import_file(studio, write_rows(tmp_path / "stones.jsonl", questions(3)))
    for attempt in (
        lambda: studio.registry.dataset(dataset.id, owner="ben"),
        lambda: studio.registry.delete(dataset.id, owner="ben"),
        lambda: studio.registry.transfer(dataset.job or "", owner="ben"),
    ):
        with pytest.raises(Forbidden):
            attempt()
    assert studio.registry.datasets(owner="ben")[1] == 0
    with pytest.raises(InvalidConfig, match="is not a data set of yours"):
        studio.preflight({**demo_document(), "dataset": {"path": dataset.path}}, owner="ben")


def test_demo_is_imported_once_and_cannot_be_deleted(studio: Studio) -> None:
    for _ in range(2):
        studio.registry.ensure_demo()
    waiting, count = studio.registry.transfers(owner="studio")
    assert count == 1
    tick_until(studio, waiting[0], JobState.COMPLETED)
    studio.registry.ensure_demo()
    (demo,), _ = studio.registry.datasets(owner="ana")
    assert (demo.splits, demo.integrity_passed) == ({"test": 100, "train": 800}, True)
    with pytest.raises(Forbidden, match="ships with the studio"):
        studio.registry.delete(demo.id, owner="ana")


def test_cleaned_copy_leaves_the_duplicates_out(studio: Studio, tmp_path: Path) -> None:
    rows = [*questions(20), *questions(5)]
    dataset = import_file(studio, write_rows(tmp_path / "stones.jsonl", rows))
    copy = studio.registry.cleaned_copy(dataset.id, owner="ana", drop=["duplicate_rows"])
    assert [json.loads(line) for line in copy.read_text(encoding="utf-8").splitlines()] == questions(20)


def test_row_is_shown_token_by_token(studio: Studio, tmp_path: Path) -> None:
    dataset = import_file(studio, write_rows(tmp_path / "stones.jsonl", questions(3)))
    (sequence,) = studio.registry.tokens(
        dataset, row=2, base_model=str(DEMO_MODEL), train_on="assistant", max_length=None, owner="ana"
    )
    tokens = sequence["tokens"]
    trained = "".join(token["text"] for token in tokens if token["state"] == "trained")
    assert trained.startswith("It has 1 carats.<end_of_turn>")
    assert "".join(token["text"] for token in tokens).startswith("<bos><start_of_turn>user\nHow many carats has")
    assert tokens[0]["special"]
    assert sequence["counts"]["all"] == len(tokens)


def test_tokens_past_the_limit_are_cut_off(studio: Studio, tmp_path: Path) -> None:
    dataset = import_file(studio, write_rows(tmp_path / "stones.jsonl", questions(3)))
    (sequence,) = studio.registry.tokens(
        dataset, row=1, base_model=str(DEMO_MODEL), train_on="all", max_length=8, owner="ana"
    )
    assert [token["state"] for token in sequence["tokens"]].index("truncated") == 8
    with pytest.raises(DataProblem, match="has no row 9"):
        studio.registry.tokens(dataset, row=9, base_model=str(DEMO_MODEL), train_on="all", max_length=None, owner="ana")


def test_model_that_does_not_suit_is_told(studio: Studio, tmp_path: Path) -> None:
    dataset = import_file(studio, write_rows(tmp_path / "stones.jsonl", questions(60)))
    assert compatibility(dataset, model_traits(str(DEMO_MODEL), studio.catalog))["compatible"]
    no_chats = compatibility(dataset, ModelTraits("Base", sees_images=False, knows_chats=False))
    assert (no_chats["compatible"], "no chat template" in no_chats["errors"][0]) == (False, True)
    dataset.modality = "multimodal"
    assert "has images" in compatibility(dataset, MODEL)["errors"][0]
