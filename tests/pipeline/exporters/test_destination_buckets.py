"""Delivery to S3 and to Google Cloud Storage, with the real client libraries, to stores of the tests' own."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.exporters.destinations.s3_bucket import PART_BYTES
from tests.gcs_server import KEPT_BLOCK_BYTES, GcsServer
from tests.pipeline.exporters.delivery import Child, contents, write_export
from tests.s3_server import S3Server

# Three parts, the last of them shorter.
LARGE_BYTES = 2 * PART_BYTES + 1_000_000


@pytest.fixture
def s3(tmp_path: Path) -> Iterator[S3Server]:
    with S3Server(tmp_path / "store") as server:
        server.make_bucket("gems")
        yield server


@pytest.fixture
def s3_child(s3: S3Server, tmp_path: Path) -> Iterator[Child]:
    with Child(s3.environment, tmp_path / "log") as child:
        yield child


@pytest.fixture
def gcs(tmp_path: Path) -> Iterator[GcsServer]:
    with GcsServer(tmp_path / "store") as server:
        server.buckets["gems"] = {}
        yield server


def environment(gcs: GcsServer, *, is_known: bool = True) -> dict[str, str]:
    """What a client of the store has in its environment."""
    account = gcs.account_file("exports", is_known=is_known)
    return {"STORAGE_EMULATOR_HOST": gcs.http.url, "GOOGLE_APPLICATION_CREDENTIALS": str(account)}


@pytest.fixture
def gcs_child(gcs: GcsServer, tmp_path: Path) -> Iterator[Child]:
    with Child(environment(gcs), tmp_path / "log") as child:
        yield child


def below(prefix: str, folder: Path) -> dict[str, bytes]:
    """What a bucket holds after a delivery of the folder."""
    return {f"{prefix}/{path}": content for path, content in contents(folder).items()}


def test_s3_has_every_file_with_its_checksum_and_the_manifest_last(
    s3: S3Server, s3_child: Child, tmp_path: Path
) -> None:
    source = write_export(tmp_path / "run", large_bytes=LARGE_BYTES)
    done = s3_child.deliver(source, "s3://gems/exports/one")
    assert done.address == "s3://gems/exports/one", done.text
    assert s3.objects("gems") == below("exports/one", source)
    assert len(s3.metadata("gems", "exports/one/merged/model.safetensors")["sha256"]) == 64
    written = [seen.path for seen in s3.http.requests if seen.method in ("PUT", "POST")]
    assert written[-1] == "/gems/exports/one/manifest.json"
    assert done.told == sorted(done.told) and done.told[-1][0] == done.told[-1][1]
    assert len({told[0] for told in done.told}) > 5
    assert (tmp_path / "log").read_text() == ""


def test_second_delivery_to_s3_sends_nothing(s3: S3Server, s3_child: Child, tmp_path: Path) -> None:
    source = write_export(tmp_path / "run")
    s3_child.deliver(source, "s3://gems/exports")
    before = s3.http.bytes_received()
    s3_child.deliver(source, "s3://gems/exports")
    assert s3.http.bytes_received() == before
    (source / "README.md").write_text("another card")
    s3_child.deliver(source, "s3://gems/exports")
    assert s3.http.bytes_received() == before + len("another card")
    assert s3.objects("gems") == below("exports", source)


def test_connection_to_s3_broken_in_a_part_costs_that_part_only(s3: S3Server, s3_child: Child, tmp_path: Path) -> None:
    source = write_export(tmp_path / "run", large_bytes=LARGE_BYTES)
    s3.http.cut_upload_once("partNumber=2", after=4_000_000)
    assert s3_child.deliver(source, "s3://gems/exports").error == ""
    assert s3.objects("gems") == below("exports", source)
    assert s3.http.bytes_received("partNumber=") == LARGE_BYTES + 4_000_000
    assert s3.http.bytes_received("partNumber=1") == PART_BYTES


def test_process_killed_in_an_upload_to_s3_is_gone_on_with_by_the_next(
    s3: S3Server, s3_child: Child, tmp_path: Path
) -> None:
    source = write_export(tmp_path / "run", large_bytes=LARGE_BYTES)
    s3.http.cut_upload_once("partNumber=2", after=4_000_000, stalls=True)
    s3_child.begin(source, "s3://gems/exports")
    deadline = time.monotonic() + 60
    while not any(seen.is_cut for seen in s3.http.requests):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    s3_child.process.send_signal(signal.SIGKILL)
    s3_child.process.wait(timeout=30)
    assert not any("model" in key or "manifest" in key for key in s3.objects("gems"))
    with Child(s3.environment, tmp_path / "log2") as child:
        assert child.deliver(source, "s3://gems/exports").error == ""
    assert s3.objects("gems") == below("exports", source)
    assert s3.http.bytes_received("partNumber=1") == PART_BYTES


def test_unfinished_upload_of_another_file_is_not_mixed_in(s3: S3Server, s3_child: Child, tmp_path: Path) -> None:
    source = write_export(tmp_path / "run", large_bytes=LARGE_BYTES)
    s3.http.cut_upload_once("partNumber=3", after=1000, stalls=True)
    s3_child.begin(source, "s3://gems/exports")
    deadline = time.monotonic() + 60
    while not any(seen.is_cut for seen in s3.http.requests):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    s3_child.process.send_signal(signal.SIGKILL)
    s3_child.process.wait(timeout=30)
    # The first two parts are alike, as with two models on one base; the third is not.
    with (source / "merged" / "model.safetensors").open("r+b") as file:
        file.seek(-10, 2)
        file.write(b"ten bytes.")
    with Child(s3.environment, tmp_path / "log2") as child:
        child.deliver(source, "s3://gems/exports")
        assert s3.objects("gems") == below("exports", source)
        before = s3.http.bytes_received()
        child.deliver(source, "s3://gems/exports")
        assert s3.http.bytes_received() == before


def test_upload_to_s3_whose_last_answer_is_lost_is_not_made_again(
    s3: S3Server, s3_child: Child, tmp_path: Path
) -> None:
    source = write_export(tmp_path / "run", large_bytes=PART_BYTES + 1)
    # The first such request opens the upload, the second one finishes it.
    s3.http.lose_answer_once("model.safetensors", method="POST")
    s3.http.lose_answer_once("model.safetensors", method="POST")
    assert s3_child.deliver(source, "s3://gems/exports").error == ""
    assert s3.objects("gems") == below("exports", source)
    assert s3.http.bytes_received("partNumber=") == PART_BYTES + 1


def test_busy_s3_is_waited_for(s3: S3Server, s3_child: Child, tmp_path: Path) -> None:
    source = write_export(tmp_path / "run")
    s3.http.answer_once("README.md", 503, method="PUT")
    s3.http.answer_once("model.safetensors", 500, method="HEAD")
    assert s3_child.deliver(source, "s3://gems/exports").error == ""
    assert s3.objects("gems") == below("exports", source)


def test_refusals_of_s3_are_sentences(s3: S3Server, s3_child: Child, tmp_path: Path) -> None:
    source = write_export(tmp_path / "run")
    failed = s3_child.deliver(source, "s3://none/exports")
    assert failed.text == "There is no bucket none. Make it, or correct its name, then try again."
    s3.read_only.add("gems")
    assert "do not allow to write there (AccessDenied)" in s3_child.deliver(source, "s3://gems/exports").text
    stranger = {"AWS_ACCESS_KEY_ID": "stranger", "AWS_SECRET_ACCESS_KEY": "sesame"}
    with Child({**s3.environment, **stranger}, tmp_path / "log2") as child:
        failed = child.deliver(source, "s3://gems/exports")
    assert "are not accepted (InvalidAccessKeyId)" in failed.text and "AWS_SECRET_ACCESS_KEY" in failed.text
    assert "sesame" not in failed.text + (tmp_path / "log2").read_text()
    with Child({**s3.environment, "AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, tmp_path / "log3") as child:
        assert "the environment has none" in child.deliver(source, "s3://gems/exports").text
    assert s3.objects("gems") == {}


def test_gcs_has_every_file_with_its_checksum_and_the_manifest_last(
    gcs: GcsServer, gcs_child: Child, tmp_path: Path
) -> None:
    source = write_export(tmp_path / "run")
    done = gcs_child.deliver(source, "gs://gems/exports/one")
    assert done.address == "gs://gems/exports/one", done.text
    assert gcs.objects("gems") == below("exports/one", source)
    assert list(gcs.objects("gems"))[-1] == "exports/one/manifest.json"
    assert len(gcs.buckets["gems"]["exports/one/README.md"].metadata["sha256"]) == 64
    assert done.told == sorted(done.told) and done.told[-1][0] == done.told[-1][1]
    before = gcs.http.bytes_received("upload_id")
    gcs_child.deliver(source, "gs://gems/exports/one")
    assert gcs.http.bytes_received("upload_id") == before
    assert (tmp_path / "log").read_text() == ""


def test_connection_to_gcs_broken_twice_goes_on_from_what_was_kept(
    gcs: GcsServer, gcs_child: Child, tmp_path: Path
) -> None:
    source = write_export(tmp_path / "run", large_bytes=8_000_000)
    gcs.http.cut_upload_once("upload_id", after=3_000_000)
    gcs.http.cut_upload_once("upload_id", after=3_100_000)
    assert gcs_child.deliver(source, "gs://gems/exports").error == ""
    assert gcs.objects("gems") == below("exports", source)
    lost = gcs.http.bytes_received("upload_id") - sum(map(len, contents(source).values()))
    assert 0 < lost < 2 * KEPT_BLOCK_BYTES


def test_busy_gcs_is_waited_for(gcs: GcsServer, gcs_child: Child, tmp_path: Path) -> None:
    source = write_export(tmp_path / "run")
    gcs.http.answer_once("/o", 503, method="POST")
    gcs.http.answer_once("/o", 429, method="PUT", Retry_After="1")
    assert gcs_child.deliver(source, "gs://gems/exports").error == ""
    assert gcs.objects("gems") == below("exports", source)


def test_refusals_of_gcs_are_sentences(gcs: GcsServer, gcs_child: Child, tmp_path: Path) -> None:
    source = write_export(tmp_path / "run")
    failed = gcs_child.deliver(source, "gs://none/exports")
    assert failed.text == "There is no bucket none. Make it, or correct its name, then try again."
    gcs.read_only.add("gems")
    assert "may not write to gs://gems/exports" in gcs_child.deliver(source, "gs://gems/exports").text
    gcs.read_only.clear()
    stranger = {
        "STORAGE_EMULATOR_HOST": gcs.http.url,
        "GOOGLE_APPLICATION_CREDENTIALS": str(gcs.account_file("stranger", is_known=False)),
    }
    with Child(stranger, tmp_path / "log2") as child:
        failed = child.deliver(source, "gs://gems/exports")
    assert "is not accepted. Set GOOGLE_APPLICATION_CREDENTIALS" in failed.text
    assert "PRIVATE KEY" not in failed.text + (tmp_path / "log2").read_text()
    with Child({**stranger, "GOOGLE_APPLICATION_CREDENTIALS": "/nowhere/key.json"}, tmp_path / "log3") as child:
        assert "has none that can be used" in child.deliver(source, "gs://gems/exports").text
    assert gcs.objects("gems") == {}


@pytest.mark.parametrize(
    ("address", "settings"),
    [
        ("s3://gems/exports", {**dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "x")}),
        ("gs://gems/exports", {}),
    ],
)
def test_store_out_of_reach_is_told_within_seconds(address: str, settings: dict[str, str], tmp_path: Path) -> None:
    nowhere = "http://127.0.0.1:9"
    places = {"AWS_ENDPOINT_URL": nowhere, "STORAGE_EMULATOR_HOST": nowhere}
    with Child({**places, **settings}, tmp_path / "log") as child:
        begun = time.monotonic()
        failed = child.deliver(write_export(tmp_path / "run"), address)
    assert failed.error == "StorageFailed" and failed.text.startswith(f"Nothing can be sent to {address}: ")
    assert time.monotonic() - begun < 30
