"""Fetching data sets from a Hub, in a child process that speaks to it over real sockets."""

import io
import json
import os
import signal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.file_server import FileServer
from tests.hub_server import HubServer
from tests.pipeline.data.fetch.conftest import Child, Site

README = b"""---
license: apache-2.0
configs:
- config_name: small
  data_files:
  - split: train
    path: small/train-*
  - split: test
    path: small/test-*
- config_name: large
  default: true
  data_files:
  - split: train
    path:
    - large/a.parquet
    - large/b.parquet
dataset_info:
- config_name: small
  splits:
  - name: train
    num_bytes: 10
    num_examples: 3
  - name: test
    num_bytes: 10
    num_examples: 2
---
# Two subsets
"""


def parquet(rows: int, *, width: int = 1, row_group_size: int | None = None) -> bytes:
    sink = io.BytesIO()
    texts = [f"row {number} " + os.urandom(width).hex() for number in range(rows)]
    pq.write_table(pa.table({"text": texts, "n": range(rows)}), sink, row_group_size=row_group_size)
    return sink.getvalue()


def lines(rows: int, *, width: int = 8) -> bytes:
    return b"".join(json.dumps({"n": n, "text": os.urandom(width).hex()}).encode() + b"\n" for n in range(rows))


@pytest.fixture(scope="module")
def two_subsets(hub: HubServer) -> dict[str, bytes]:
    files = {
        "README.md": README,
        "small/train-00000-of-00001.parquet": parquet(3),
        "small/test-00000-of-00001.parquet": parquet(2),
        "large/a.parquet": parquet(40),
        "large/b.parquet": parquet(41),
        "large/unlisted.parquet": parquet(1),
    }
    hub.add_dataset("gems/two", files, lfs=[path for path in files if path.endswith(".parquet")])
    return files


def test_default_subset_arrives_whole_with_its_split(
    child: Child, hub: HubServer, two_subsets: dict[str, bytes], tmp_path: Path
) -> None:
    fetched = child.fetch("gems/two", tmp_path)
    assert fetched.contents == {
        ("train", "large/a.parquet"): two_subsets["large/a.parquet"],
        ("train", "large/b.parquet"): two_subsets["large/b.parquet"],
    }
    assert fetched.source == "gems/two"
    assert fetched.revision is not None and len(fetched.revision) == 40
    assert all(path.is_relative_to(tmp_path) for path, _, _ in fetched.files)


def test_named_subset_arrives_with_all_its_splits(child: Child, two_subsets: dict[str, bytes], tmp_path: Path) -> None:
    fetched = child.fetch("gems/two", tmp_path, subset="small")
    assert fetched.contents == {
        ("train", "small/train-00000-of-00001.parquet"): two_subsets["small/train-00000-of-00001.parquet"],
        ("test", "small/test-00000-of-00001.parquet"): two_subsets["small/test-00000-of-00001.parquet"],
    }


def test_named_split_arrives_alone(child: Child, two_subsets: dict[str, bytes], tmp_path: Path) -> None:
    fetched = child.fetch("gems/two", tmp_path, subset="small", splits=["test"])
    assert list(fetched.contents) == [("test", "small/test-00000-of-00001.parquet")]


@pytest.mark.parametrize(
    ("page", "split"),
    [
        ("datasets/gems/two/viewer/small/test", "test"),
        ("datasets/gems/two/blob/main/small/test-00000-of-00001.parquet", "test"),
    ],
)
def test_address_of_a_page_says_what_to_fetch(
    child: Child, hub: HubServer, two_subsets: dict[str, bytes], tmp_path: Path, page: str, split: str
) -> None:
    fetched = child.fetch(f"{hub.url}/{page}", tmp_path)
    assert fetched.contents == {
        (split, "small/test-00000-of-00001.parquet"): two_subsets["small/test-00000-of-00001.parquet"]
    }


def test_unknown_subset_is_answered_with_those_that_there_are(
    child: Child, two_subsets: dict[str, bytes], tmp_path: Path
) -> None:
    failed = child.fetch("gems/two", tmp_path, subset="medium")
    assert failed.error == "DataProblem"
    assert failed.text == "gems/two has no subset 'medium'. Choose one of small, large."


def test_unknown_split_is_answered_with_those_that_there_are(
    child: Child, two_subsets: dict[str, bytes], tmp_path: Path
) -> None:
    failed = child.fetch("gems/two", tmp_path, subset="small", splits=["dev"])
    assert failed.text == "gems/two has no split 'dev'. Choose from train, test."


def test_several_subsets_without_a_default_have_to_be_chosen_from(child: Child, hub: HubServer, tmp_path: Path) -> None:
    configs = b"---\nconfigs:\n- config_name: en\n  data_dir: en\n- config_name: de\n  data_dir: de\n---\n"
    hub.add_dataset("gems/tongues", {"README.md": configs, "en/x.jsonl": lines(1), "de/x.jsonl": lines(1)})
    failed = child.fetch("gems/tongues", tmp_path)
    assert failed.text == "gems/tongues has several subsets. Choose one of en, de."
    assert list(child.fetch("gems/tongues", tmp_path, subset="de").contents) == [("train", "de/x.jsonl")]


def test_description_lists_subsets_splits_rows_and_size(child: Child, two_subsets: dict[str, bytes]) -> None:
    described = child.describe("gems/two")["described"]
    assert described["subsets"] == {"small": {"train": 3, "test": 2}, "large": {"train": None}}
    assert described["default_subset"] == "large"
    assert described["licence"] == "apache-2.0"
    assert (described["gated"], described["private"]) == (False, False)
    unlisted = ("README.md", "large/unlisted.parquet")
    assert described["size_bytes"] == sum(len(content) for path, content in two_subsets.items() if path not in unlisted)


def test_description_is_found_under_the_address_of_a_page(
    child: Child, hub: HubServer, two_subsets: dict[str, bytes]
) -> None:
    described = child.describe(f"{hub.url}/datasets/gems/two/tree/main/small")["described"]
    assert (described["id"], list(described["subsets"])) == ("gems/two", ["small", "large"])


def test_splits_without_a_readme_follow_from_file_names(child: Child, hub: HubServer, tmp_path: Path) -> None:
    files = {"train.jsonl": lines(5), "validation.jsonl": lines(2), "test.jsonl": lines(1), "LICENSE": b"free"}
    hub.add_dataset("gems/plain", files)
    fetched = child.fetch("gems/plain", tmp_path)
    assert fetched.contents == {
        ("train", "train.jsonl"): files["train.jsonl"],
        ("validation", "validation.jsonl"): files["validation.jsonl"],
        ("test", "test.jsonl"): files["test.jsonl"],
    }


def test_image_folders_arrive_as_one_folder_a_split(child: Child, hub: HubServer, tmp_path: Path) -> None:
    files = {
        "train/metadata.csv": b"file_name,text\n1.png,ruby\n",
        "train/1.png": b"\x89PNG one",
        "train/deep/2.png": b"\x89PNG two",
        "test/metadata.csv": b"file_name,text\n3.png,opal\n",
        "test/3.png": b"\x89PNG three",
    }
    hub.add_dataset("gems/pictures", files)
    fetched = child.fetch("gems/pictures", tmp_path)
    assert [(name, split) for _, name, split in fetched.files] == [("train", "train"), ("test", "test")]
    folders = {split: path for path, _, split in fetched.files}
    assert (folders["train"] / "train" / "deep" / "2.png").read_bytes() == b"\x89PNG two"
    assert sorted(path.name for path in folders["test"].rglob("*.*")) == ["3.png", "metadata.csv"]


def test_progress_never_goes_back_and_ends_at_the_total(
    child: Child, two_subsets: dict[str, bytes], tmp_path: Path
) -> None:
    told = child.fetch("gems/two", tmp_path).told
    total = len(two_subsets["large/a.parquet"]) + len(two_subsets["large/b.parquet"])
    done = [count for count, _, _ in told]
    assert done == sorted(done)
    assert told[-1][:2] == (total, total)
    assert told[-1][2] in ("Downloading large/a.parquet", "Downloading large/b.parquet")


def test_private_data_set_needs_a_token_that_may_read_it(child: Child, hub: HubServer, tmp_path: Path) -> None:
    hub.add_dataset("gems/secret", {"train.jsonl": lines(2)}, private=True)
    hub.add_token("hf_owner", reads=["gems/secret"])
    hub.add_token("hf_other")
    without = child.fetch("gems/secret", tmp_path)
    assert without.text == (
        "The Hugging Face Hub has no public data set gems/secret. Check the spelling; if it is private, give a Hugging "
        "Face token that may read it."
    )
    assert (
        "has no data set gems/secret that the token may read"
        in child.fetch("gems/secret", tmp_path, token="hf_other").text
    )
    assert list(child.fetch("gems/secret", tmp_path, token="hf_owner").contents) == [("train", "train.jsonl")]
    assert child.describe("gems/secret", token="hf_owner")["described"]["private"] is True


def test_token_does_not_leave_the_hub_for_the_storage(child: Child, hub: HubServer, tmp_path: Path) -> None:
    hub.add_dataset("gems/vault", {"train.parquet": parquet(5)}, private=True, lfs=["train.parquet"])
    hub.add_token("hf_vault", reads=["gems/vault"])
    assert len(child.fetch("gems/vault", tmp_path, token="hf_vault").files) == 1
    stored = [
        seen for seen in hub.requests if seen.path.startswith("/storage/") and seen.path.endswith("/train.parquet")
    ]
    resolved = [seen for seen in hub.requests if "/gems/vault/resolve/" in seen.path]
    assert stored and all("authorization" not in seen.headers for seen in stored)
    assert resolved and all(seen.headers["authorization"] == "Bearer hf_vault" for seen in resolved)


def test_gated_data_set_names_the_page_where_access_is_asked_for(child: Child, hub: HubServer, tmp_path: Path) -> None:
    hub.add_dataset("gems/gated", {"README.md": b"# Gated", "train.jsonl": lines(1)}, gated="manual")
    hub.add_token("hf_admitted", reads=["gems/gated"])
    hub.add_token("hf_stranger")
    page = f"{hub.url}/datasets/gems/gated"
    assert child.fetch("gems/gated", tmp_path).text == (
        f"gems/gated is gated. Ask for access at {page}, then give a Hugging Face token of that account."
    )
    assert child.fetch("gems/gated", tmp_path, token="hf_stranger").text == (
        f"gems/gated is gated, and the account of the token has no access to it yet. Ask for access at {page}."
    )
    assert list(child.fetch("gems/gated", tmp_path, token="hf_admitted").contents) == [("train", "train.jsonl")]
    assert child.describe("gems/gated", token="hf_admitted")["described"]["gated"] is True


def test_wrong_token_is_told_apart_from_a_missing_data_set(child: Child, hub: HubServer, tmp_path: Path) -> None:
    hub.add_dataset("gems/open", {"train.jsonl": lines(1)})
    failed = child.fetch("gems/open", tmp_path, token="hf_mistyped")
    assert failed.text.startswith("The Hugging Face Hub does not know the token: it is mistyped, or no longer valid.")
    assert "hf_mistyped" not in failed.text


def test_unknown_revision_is_named(child: Child, hub: HubServer, tmp_path: Path) -> None:
    hub.add_dataset("gems/open", {"train.jsonl": lines(1)})
    assert "has no revision 'v9'" in child.fetch("gems/open", tmp_path, revision="v9").text


def test_branch_is_read_at_its_own_commit(child: Child, hub: HubServer, tmp_path: Path) -> None:
    hub.add_dataset("gems/branched", {"train.jsonl": b'{"a": 1}\n'})
    commit = hub.add_dataset("gems/branched", {"train.jsonl": b'{"a": 2}\n'}, revision="next/try")
    fetched = child.fetch("gems/branched", tmp_path, revision="next/try")
    assert fetched.contents == {("train", "train.jsonl"): b'{"a": 2}\n'}
    assert fetched.revision == commit


def test_moved_data_set_is_found_under_its_old_name(child: Child, hub: HubServer, tmp_path: Path) -> None:
    hub.add_dataset("gems/moved", {"train.jsonl": lines(2)})
    hub.add_alias("oldname", "gems/moved")
    fetched = child.fetch("oldname", tmp_path)
    assert fetched.source == "gems/moved"
    assert list(fetched.contents) == [("train", "train.jsonl")]


def test_data_set_with_a_program_of_its_own_is_refused(child: Child, hub: HubServer, tmp_path: Path) -> None:
    hub.add_dataset("gems/scripted", {"scripted.py": b"print('hello')", "data.jsonl": lines(1)})
    hub.add_dataset(
        "gems/scripted",
        {"en/train/0000.parquet": parquet(2), "de/train/0000.parquet": parquet(1)},
        revision="refs/convert/parquet",
    )
    assert child.fetch("gems/scripted", tmp_path).text == (
        "gems/scripted is read by a program of its own (scripted.py), which is not run here. Try the revision "
        "refs/convert/parquet, where the Hub keeps plain copies of many such data sets."
    )
    converted = child.fetch("gems/scripted", tmp_path, revision="refs/convert/parquet", subset="de")
    assert list(converted.contents) == [("train", "de/train/0000.parquet")]


def test_data_set_without_rows_says_what_it_holds(child: Child, hub: HubServer, tmp_path: Path) -> None:
    hub.add_dataset("gems/tapes", {"README.md": b"# Tapes", "a.tar": b"tar", "b.flac": b"flac"})
    assert child.fetch("gems/tapes", tmp_path).text == (
        "gems/tapes has no files that can be read as rows. It holds .flac, .tar files. Choose a data set with Parquet, "
        "JSON, CSV or text files, or with images."
    )


def test_readme_may_not_reach_outside_of_its_repository(child: Child, hub: HubServer, tmp_path: Path) -> None:
    for pattern in ("/etc/*.txt", "../other/*.jsonl", "http://127.0.0.1:1/x.jsonl"):
        readme = f"---\nconfigs:\n- config_name: default\n  data_files: '{pattern}'\n---\n".encode()
        hub.add_dataset("gems/sly", {"README.md": readme, "train.jsonl": lines(1)})
        failed = child.fetch("gems/sly", tmp_path)
        assert f"names files outside of the repository ({pattern})" in failed.text


def test_file_names_may_not_lead_out_of_the_folder(child: Child, hub: HubServer, tmp_path: Path) -> None:
    hub.add_dataset("gems/escape", {"data/../../../evil.jsonl": lines(1)})
    failed = child.fetch("gems/escape", tmp_path / "inner")
    assert "is not a safe name" in failed.text
    assert list(tmp_path.rglob("evil.jsonl")) == []


def test_malformed_readme_is_named(child: Child, hub: HubServer, tmp_path: Path) -> None:
    hub.add_dataset("gems/broken", {"README.md": b"---\nlicense: [mit\nconfigs: 3\n---\n", "train.jsonl": lines(1)})
    failed = child.fetch("gems/broken", tmp_path)
    assert failed.text == ("The header of README.md of gems/broken is not YAML (line 2). Its author has to correct it.")


def test_long_listings_come_in_pages(child: Child, hub: HubServer, tmp_path: Path) -> None:
    hub.add_dataset("gems/many", {f"data/train-{n:05d}-of-00012.jsonl": lines(1) for n in range(12)})
    hub.page_size = 5
    try:
        assert len(child.fetch("gems/many", tmp_path).files) == 12
    finally:
        hub.page_size = 1000


def test_cut_connection_is_gone_on_from_where_it_broke(child: Child, hub: HubServer, tmp_path: Path) -> None:
    content = lines(20_000, width=32)
    hub.add_dataset("gems/cut", {"train.jsonl": content})
    hub.http.cut_once("/gems/cut/resolve/" + _commit(hub, child, "gems/cut") + "/train.jsonl", after=700_000)
    fetched = child.fetch("gems/cut", tmp_path)
    assert fetched.contents == {("train", "train.jsonl"): content}
    first, second = [seen for seen in hub.http.downloads("/train.jsonl") if "/gems/cut/" in seen.path]
    assert "range" not in first.headers
    assert second.headers["range"] == f"bytes={first.bytes_sent}-"
    assert second.bytes_sent == len(content) - first.bytes_sent
    done = [count for count, _, _ in fetched.told]
    assert done == sorted(done) and done[-1] == len(content)


def test_killed_fetch_is_gone_on_from_by_the_next_process(hub: HubServer, tmp_path: Path) -> None:
    content = lines(20_000, width=32)
    commit = hub.add_dataset("gems/killed", {"train.jsonl": content, "test.jsonl": b'{"a": 1}\n'})
    environment = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf")}
    path = f"/gems/killed/resolve/{commit}/train.jsonl"
    hub.http.stall_once(path, after=600_000)
    with Child(environment) as first:
        first.begin("gems/killed", tmp_path / "into")
        while first.next_line()["told"][0] < 600_000:
            pass
        first.process.send_signal(signal.SIGTERM)
        assert first.process.wait(timeout=30) == -signal.SIGTERM
    with Child(environment) as second:
        fetched = second.fetch("gems/killed", tmp_path / "into")
    assert fetched.contents[("train", "train.jsonl")] == content
    assert hub.http.downloads(path)[-1].headers["range"] == "bytes=600000-"
    assert [count for count, total, _ in fetched.told if total is not None][0] >= 600_000


def test_finished_files_are_not_fetched_again(child: Child, hub: HubServer, tmp_path: Path) -> None:
    hub.add_dataset("gems/twice", {"train.jsonl": lines(3)})
    first = child.fetch("gems/twice", tmp_path)
    again = child.fetch("gems/twice", tmp_path)
    assert again.contents == first.contents
    assert len([seen for seen in hub.http.downloads("/train.jsonl") if "/gems/twice/" in seen.path]) == 1


def test_new_commit_is_not_mixed_with_an_older_one(child: Child, hub: HubServer, tmp_path: Path) -> None:
    hub.add_dataset("gems/newer", {"train.jsonl": b'{"a": 1}\n'})
    child.fetch("gems/newer", tmp_path)
    hub.add_dataset("gems/newer", {"train.jsonl": b'{"a": 2}\n'})
    assert child.fetch("gems/newer", tmp_path).contents == {("train", "train.jsonl"): b'{"a": 2}\n'}


@pytest.mark.parametrize("path", ["/api/datasets/gems/busy/revision/main", "/train.jsonl"])
def test_busy_hub_is_asked_again(child: Child, hub: HubServer, tmp_path: Path, path: str) -> None:
    hub.add_dataset("gems/busy", {"train.jsonl": b'{"a": 1}\n'})
    hub.http.answer_once(path, 503)
    assert child.fetch("gems/busy", tmp_path).contents == {("train", "train.jsonl"): b'{"a": 1}\n'}


def test_rate_limit_is_waited_for_as_long_as_the_hub_asks(child: Child, hub: HubServer, tmp_path: Path) -> None:
    hub.add_dataset("gems/limited", {"train.jsonl": b'{"a": 1}\n'})
    hub.http.answer_once("/train.jsonl", 429, Retry_After="0")
    fetched = child.fetch("gems/limited", tmp_path)
    assert fetched.contents == {("train", "train.jsonl"): b'{"a": 1}\n'}
    assert "Waiting 0 s: 127.0.0.1 answered 429 (Too Many Requests)" in [what for _, _, what in fetched.told]


def test_too_long_a_rate_limit_ends_the_fetch_with_the_time_to_come_back(
    child: Child, hub: HubServer, tmp_path: Path
) -> None:
    hub.add_dataset("gems/limited", {"train.jsonl": lines(1)})
    hub.http.answer_once("/train.jsonl", 429, Retry_After="3600")
    failed = child.fetch("gems/limited", tmp_path)
    assert failed.error == "StorageFailed"
    assert "asks to wait 60 minutes" in failed.text


def test_damaged_content_is_noticed(child: Child, hub: HubServer, tmp_path: Path) -> None:
    commit = hub.add_dataset("gems/damaged", {"train.jsonl": b'{"a": 1}\n'})
    stored = next(path for path in hub.folder.rglob(f"{commit}/*") if path.is_file())
    stored.write_bytes(b'{"a": 7}\n')
    failed = child.fetch("gems/damaged", tmp_path)
    assert failed.text == ("train.jsonl arrived damaged: its checksum is not the one that was announced. Try again.")
    stored.write_bytes(b'{"a": 1}\n')
    assert child.fetch("gems/damaged", tmp_path).contents == {("train", "train.jsonl"): b'{"a": 1}\n'}


def test_full_disk_is_told_before_anything_is_fetched(child: Child, hub: HubServer, tmp_path: Path) -> None:
    free = os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize
    files = {f"data/train-{n:05d}-of-99999.jsonl": b"{}\n" for n in range(free // (40 * 10**9) + 2)}
    hub.add_dataset("gems/vast", files, sizes=dict.fromkeys(files, 40 * 10**9))
    failed = child.fetch("gems/vast", tmp_path / "into")
    assert failed.error == "StorageFailed"
    assert failed.text.startswith("The disk is too full: the data set needs ")
    assert hub.http.downloads("-of-99999.jsonl") == []


def test_larger_file_than_the_hub_sends_is_refused(child: Child, hub: HubServer, tmp_path: Path) -> None:
    hub.add_dataset("gems/huge", {"train.parquet": b"x"}, sizes={"train.parquet": 61 * 10**9})
    assert "train.parquet of gems/huge has 61 GB" in child.fetch("gems/huge", tmp_path).text


def test_unreachable_hub_is_told_within_seconds(tmp_path: Path) -> None:
    with Child({"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path / "hf")}) as child:
        failed = child.fetch("gems/two", tmp_path)
    assert failed.error == "StorageFailed"
    assert failed.text.startswith("gems/two cannot be fetched: 127.0.0.1 cannot be reached: ")
    assert failed.text.endswith("Check the network and try again; what has arrived is kept.")


def test_what_is_not_a_hub_is_told_apart(tmp_path: Path, site: Site, web: FileServer) -> None:
    page = tmp_path / "sign-in.html"
    page.write_text("<html>Please sign in to this network</html>")
    site.files["/api/datasets/gems/two/revision/main"] = page
    with Child({"HF_ENDPOINT": web.url, "HF_HOME": str(tmp_path / "hf")}) as child:
        failed = child.fetch("gems/two", tmp_path)
    assert failed.text == (
        f"What answers at {web.url} is not the Hugging Face Hub. Check HF_ENDPOINT, and whether the network asks to "
        "sign in first."
    )


def test_offline_mode_is_named(hub: HubServer, tmp_path: Path) -> None:
    with Child({"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "1"}) as child:
        assert "HF_HUB_OFFLINE forbids to ask it" in child.fetch("gems/two", tmp_path).text


def test_token_of_the_environment_counts_and_slow_answers_are_given_up(hub: HubServer, tmp_path: Path) -> None:
    content = lines(3000, width=32)
    hub.add_dataset("gems/mine", {"train.jsonl": content}, private=True)
    hub.add_token("hf_environment", reads=["gems/mine"])
    commit = hub.add_dataset("gems/mine", {"train.jsonl": content}, private=True)
    path = f"/gems/mine/resolve/{commit}/train.jsonl"
    hub.http.stall_once(path, after=100_000)
    environment = {"HF_TOKEN": "hf_environment", "HF_HUB_DOWNLOAD_TIMEOUT": "1"}
    with Child({"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf"), **environment}) as child:
        fetched = child.fetch("gems/mine", tmp_path / "into")
    assert fetched.contents == {("train", "train.jsonl"): content}
    assert "Waiting 0.5 s: 127.0.0.1 did not answer in time" in [what for _, _, what in fetched.told]
    assert hub.http.downloads(path)[-1].headers["range"] == "bytes=100000-"


def _commit(hub: HubServer, child: Child, repo_id: str) -> str:
    revision = child.describe(repo_id)["described"]["revision"]
    assert isinstance(revision, str)
    return revision
