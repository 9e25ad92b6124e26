"""What an address of a destination names, and which addresses are refused with which sentence."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.exporters.destinations.address import Destination, parse_destination


@pytest.mark.parametrize(
    ("text", "expected", "normal"),
    [
        ("/data/exports/", Destination("file", "", "/data/exports"), "file:///data/exports"),
        (" file:///data/my%20exports ", Destination("file", "", "/data/my exports"), "file:///data/my%20exports"),
        ("file://localhost/data", Destination("file", "", "/data"), "file:///data"),
        ("gs://gems/models//one/", Destination("gs", "gems", "models/one"), "gs://gems/models/one"),
        ("S3://gems", Destination("s3", "gems", ""), "s3://gems"),
        ("s3://gems.of-mine/a%20b", Destination("s3", "gems.of-mine", "a%20b"), "s3://gems.of-mine/a%20b"),
        ("hf://me/my-model_1.0", Destination("hf", "me", "my-model_1.0"), "hf://me/my-model_1.0"),
    ],
)
def test_address_names_its_destination(text: str, expected: Destination, normal: str) -> None:
    assert parse_destination(text) == expected
    assert str(expected) == normal


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is no destination"),
        ("exports", "is no destination"),
        ("https://huggingface.co/me/model", "Nothing can be delivered to https://"),
        ("/", "names no folder"),
        ("/data/../etc", r"has \.\. in it"),
        ("file://server/data", "a folder of this machine"),
        ("file:///data/%2e%2e/etc", r"has \.\. in it"),
        ("file:///data/%00", "cannot be seen"),
        ("/data/\x1b[0m", "cannot be seen"),
        ("s3://", "not the name of a bucket"),
        ("s3://My_Bucket/x", "not the name of a bucket"),
        ("gs://gems/a/../b", "which buckets do not know"),
        (f"gs://gems/{'a' * 701}", "longer than 700 bytes"),
        ("hf://model", "Write it as hf://namespace/name"),
        ("hf://datasets/me/rows", "Write it as hf://namespace/name"),
        ("hf://me/-model", "not a name that the Hugging Face Hub allows"),
        ("hf://me/a..b", "not a name that the Hugging Face Hub allows"),
        ("hf://me/model.git", "not a name that the Hugging Face Hub allows"),
        (f"hf://me/{'a' * 94}", "not a name that the Hugging Face Hub allows"),
    ],
)
def test_wrong_address_is_refused_with_its_reason(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_destination(text)


@pytest.mark.parametrize("text", ["s3://key:sesame@gems/x", "gs://gems/x?token=sesame", "hf://me:sesame@hf.co/x"])
def test_secret_in_an_address_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(ValueError, match="no user, key or query") as refused:
        parse_destination(text)
    assert "sesame" not in str(refused.value)


@given(st.text())
def test_any_folder_is_read_back_from_its_normal_form(name: str) -> None:
    try:
        destination = parse_destination(f"/data/{name}")
    except ValueError:
        return
    assert parse_destination(str(destination)) == destination
    assert ".." not in destination.path.split("/")
