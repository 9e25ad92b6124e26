"""What of the job document leaves the machine."""

import pytest

from pipeline.trackers.document import shown_settings
from pipeline.validation import parse_job_config


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/home/ana/gems/stones.jsonl", "stones.jsonl"),
        ("~/gems", "gems"),
        ("../gems/stones.jsonl", "stones.jsonl"),
        ("acme/stones", "acme/stones"),
        ("https://ana:pass@example.org/a/stones.csv?signature=abc#top", "https://example.org/a/stones.csv"),
        ("s3://bucket/stones.parquet", "s3://bucket/stones.parquet"),
    ],
)
def test_path_and_address_are_shown_without_what_is_private(path: str, shown: str) -> None:
    document = {"model": {"base_model": "acme/stone"}, "dataset": {"path": path}}
    assert shown_settings(parse_job_config(document))["dataset"]["path"] == shown


def test_settings_keep_their_values_and_tracking_is_left_out() -> None:
    config = parse_job_config({"model": {"base_model": "acme/stone"}, "dataset": {"path": "acme/stones"}})
    assert shown_settings(config) == config.model_dump(mode="json", exclude={"tracking"})
