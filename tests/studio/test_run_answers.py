"""The answers of a run, as its page shows them."""

from pathlib import Path

from pipeline.events import Sample, SamplesAnswered, ScoredRow, ScoresComputed
from pipeline.run_dir import RunDir
from studio.run_answers import answers_of


def sample(answer: str) -> Sample:
    return Sample(row=3, prompt="How heavy?", reference="Two carats", answer=answer)


def test_run_without_answers_has_none(tmp_path: Path) -> None:
    assert answers_of(RunDir(tmp_path)) == {"samples": [], "scores": None}


def test_answers_come_by_step_and_a_repeated_step_counts_once(tmp_path: Path) -> None:
    run_dir = RunDir(tmp_path)
    for step, answer in ((0, "nothing"), (10, "One"), (20, "Two"), (10, "one again")):
        run_dir.append(SamplesAnswered(step=step, samples=[sample(answer)]))
    scored = ScoredRow(row=3, prompt="How heavy?", reference="Two carats", base="nothing", tuned="Two carats")
    run_dir.append(
        ScoresComputed(step=20, rows=1, base={"exact_match": 0.0}, tuned={"exact_match": 100.0}, examples=[scored])
    )
    found = answers_of(run_dir)
    assert [item["step"] for item in found["samples"]] == [0, 10, 20]
    assert found["samples"][1]["samples"][0]["answer"] == "one again"
    assert (found["scores"]["base"], found["scores"]["tuned"]) == ({"exact_match": 0.0}, {"exact_match": 100.0})
    assert found["scores"]["examples"][0]["tuned"] == "Two carats"
