"""HubRepository: one commit of a data set on the Hub, with its list of files and its README's header."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import yaml

from pipeline.data.fetch.http_file import http_file
from pipeline.data.fetch.hub_errors import explained, refusal_of
from pipeline.data.fetch.remote_file import RemoteFile
from pipeline.data.fetch.retry import ask
from pipeline.errors import DataProblem

if TYPE_CHECKING:
    import httpx
    from huggingface_hub.hf_api import DatasetInfo, RepoFile

# The Hub sends no larger file over plain HTTP.
LARGEST_FILE_BYTES = 50 * 10**9
_HEADER_FILES = ("README.md", ".huggingface.yaml")
_HEADER_LIMIT_BYTES = 16 << 20
_LISTING_TIMEOUT_SECONDS = 30.0
_PROGRAM = "lapidary"


@dataclass(frozen=True)
class HubRepository:
    """A data set at `commit`, which `revision` names; `tree` has its files by their paths."""

    info: "DatasetInfo"
    revision: str
    tree: "Mapping[str, RepoFile]"
    client: "httpx.Client"
    headers: dict[str, str]
    has_token: bool

    @property
    def id(self) -> str:
        """The name that it has now; it may have been asked for by an older one."""
        return self.info.id

    @property
    def commit(self) -> str:
        """The commit that everything is read at."""
        return str(self.info.sha)

    def remote(self, path: str) -> RemoteFile:
        """One of its files.

        Raises:
            DataProblem: it is too large to be sent.
        """
        from huggingface_hub import hf_hub_url

        file = self.tree[path]
        if file.size > LARGEST_FILE_BYTES:
            raise DataProblem(
                f"{path} of {self.id} has {file.size / 10**9:,.0f} GB; files of more than "
                f"{LARGEST_FILE_BYTES / 10**9:.0f} GB are not sent whole. Choose another subset or split."
            )
        return http_file(
            self.client,
            hf_hub_url(self.id, path, repo_type="dataset", revision=self.commit),
            name=path,
            refuse=partial(refusal_of, repo_id=self.id, revision=self.revision, has_token=self.has_token),
            headers=self.headers,
            size=file.size,
            tag=file.blob_id,
            checksum=f"git:{file.blob_id}" if file.lfs is None else f"sha256:{file.lfs.sha256}",
        )

    def read_header(self) -> dict[str, Any]:
        """The README's header, and what a file of settings beside it puts in its place.

        Raises:
            DataProblem: one of them is not YAML.
        """
        header: dict[str, Any] = {}
        for path in _HEADER_FILES:
            if path in self.tree:
                text = ask(partial(self._read_text, path), what=f"{path} of {self.id}")
                header.update(_parse(_yaml_of(text) if path.endswith(".md") else text, f"{path} of {self.id}"))
        return header

    def _read_text(self, path: str) -> str:
        content = bytearray()
        with self.remote(path).open(0, None) as body:
            for chunk in body.chunks:
                content += chunk
                if len(content) > _HEADER_LIMIT_BYTES:
                    raise DataProblem(f"{path} of {self.id} is longer than any README. The data set cannot be read.")
        return content.decode("utf-8-sig", errors="replace").replace("\r\n", "\n")


@contextmanager
def open_repository(repo_id: str, *, revision: str, token: str | None) -> Iterator[HubRepository]:
    """Ask the Hub for a data set. Without a token, that of the environment counts.

    Raises:
        DataProblem: the Hub has no such data set or revision, or does not give it to this token.
        StorageFailed: the Hub cannot be reached, or may not be asked.
    """
    import httpx
    from huggingface_hub import HfApi, constants, get_token
    from huggingface_hub.hf_api import DatasetInfo, RepoFile
    from huggingface_hub.utils import build_hf_headers, paginate  # type: ignore[attr-defined]

    token = get_token() if token is None else token
    headers = build_hf_headers(token=False if token is None else token, library_name=_PROGRAM)

    def question() -> tuple[DatasetInfo, dict[str, RepoFile]]:
        with explained(repo_id, revision=revision, has_token=token is not None):
            info = HfApi(token=False if token is None else token, library_name=_PROGRAM).dataset_info(
                repo_id, revision=revision, expand=["sha", "gated", "private"], timeout=_LISTING_TIMEOUT_SECONDS
            )
            # Not `list_repo_tree`, which waits for an answer without end.
            address = f"{constants.ENDPOINT}/api/datasets/{info.id}/tree/{info.sha}"
            entries = paginate(address, params={"recursive": True}, headers=headers, timeout=_LISTING_TIMEOUT_SECONDS)
            files = [RepoFile(**entry) for entry in entries if entry["type"] == "file"]  # type: ignore[no-untyped-call]
            return info, {file.path: file for file in files}

    info, tree = ask(question, what=repo_id)
    timeout = httpx.Timeout(constants.HF_HUB_DOWNLOAD_TIMEOUT, pool=None)
    with httpx.Client(follow_redirects=True, timeout=timeout) as client:
        yield HubRepository(info, revision, tree, client, headers, has_token=token is not None)


def _yaml_of(readme: str) -> str:
    """What stands between the first line, where it is `---`, and the next such line."""
    lines = readme.lstrip("\n").split("\n")
    if lines[0].rstrip() != "---":
        return ""
    rest = [line.rstrip() for line in lines[1:]]
    return "\n".join(lines[1 : 1 + rest.index("---")]) if "---" in rest else ""


def _parse(text: str, name: str) -> dict[str, Any]:
    try:
        header = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - both are safe
    except yaml.YAMLError as error:
        line = getattr(getattr(error, "problem_mark", None), "line", 0) + 1
        raise DataProblem(f"The header of {name} is not YAML (line {line}). Its author has to correct it.") from error
    if header is None:
        return {}
    if not isinstance(header, dict):
        raise DataProblem(f"The header of {name} is a {type(header).__name__}. Its author has to correct it.")
    return header
