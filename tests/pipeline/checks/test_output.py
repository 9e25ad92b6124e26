"""Results can be written, stay, and are not mistaken for others."""

from pathlib import Path

import pytest

from pipeline.checks.facts import gather_facts
from pipeline.checks.output import check_output_folder
from pipeline.validation import parse_job_config
from tests.documents import demo_document
from tests.pipeline.checks.preflight import findings_for


def test_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    config = parse_job_config(demo_document())
    facts = gather_facts(config, data=None, output_dir=tmp_path / "file" / "runs")
    (finding,) = check_output_folder(config, facts)
    assert (finding.code, finding.severity) == ("output_not_writable", "error")
    assert f"Nothing can be written to {tmp_path / 'file' / 'runs'}" in finding.message
    assert check_output_folder(config, gather_facts(config, data=None, output_dir=tmp_path / "runs")) == []


def test_results_that_a_restart_takes_are_a_warning(tmp_path: Path) -> None:
    finding = findings_for(demo_document(), tmp_path, output_is_ephemeral=True)["output_is_lost"]
    assert (finding.severity, "Attach storage at /data" in finding.message) == ("warning", True)


@pytest.mark.parametrize(("others", "words"), [(1, "There is a run called demo"), (2, "There are 2 runs called demo")])
def test_name_of_an_earlier_result_is_told(tmp_path: Path, others: int, words: str) -> None:
    finding = findings_for(demo_document(), tmp_path, runs_of_same_name=others)["name_taken"]
    assert (finding.severity, words in finding.message) == ("info", True)
    assert findings_for(demo_document(), tmp_path, runs_of_same_name=0) == {}
