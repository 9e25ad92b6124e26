"""A model of the Hugging Face Hub in the Hub client's own cache, with the progress of its download."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from huggingface_hub import HfApi, constants, hf_hub_download, snapshot_download, try_to_load_from_cache
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled, RevisionNotFoundError
from huggingface_hub.hf_api import RepoFile
from tqdm import tqdm

from pipeline.config import ModelConfig
from pipeline.data.fetch.progress import Progress
from pipeline.providers.loading_errors import explained
from pipeline.providers.model_files import CONFIG_FILE, ModelFiles, local_files, needed_files
from pipeline.providers.model_source import require_room

# The Hub client's bar for bytes that have reached the disk begins so; the one for bytes on the wire counts them again.
_BYTES_BAR = "Reconstructing"


def fetch_hub_model(repo_id: str, config: ModelConfig, *, revision: str, progress: Progress) -> Path:
    """The folder of the model in the cache. Without a connection, what is there already counts.

    Raises:
        ModelUnavailable: there is no such model, it may not be read, or it cannot be trained; the text says why.
        StorageFailed: the disk is too small.
    """
    with explained(config.model_copy(update={"base_model": repo_id, "revision": revision})):
        try:
            commit, sizes = _listing(repo_id, revision)
        except (HfHubHTTPError, OfflineModeIsEnabled, httpx.TransportError) as error:
            cached = try_to_load_from_cache(repo_id, CONFIG_FILE, revision=revision)
            if not isinstance(cached, str) or isinstance(error, RevisionNotFoundError):
                raise
            folder = Path(cached).parent
            needed_files(local_files(folder, name=repo_id), config)
            return folder

        def read(path: str) -> str:
            return Path(hf_hub_download(repo_id, path, revision=commit)).read_text(encoding="utf-8")

        wanted = needed_files(ModelFiles(repo_id, frozenset(sizes), read), config)
        missing = sum(sizes[path] for path in wanted if not _is_cached(repo_id, path, commit))
        require_room(Path(constants.HF_HUB_CACHE), missing, name=repo_id)
        counter = _Counter(progress, total=missing, what=f"Downloading {repo_id}")
        if missing:
            counter.add(0)
        # By the name of the revision, which the cache then remembers for times without a connection.
        return Path(
            snapshot_download(
                repo_id, revision=revision, allow_patterns=[_literal(path) for path in wanted], tqdm_class=counter.bar()
            )
        )


def _listing(repo_id: str, revision: str) -> tuple[str, dict[str, int]]:
    """The commit and the size of each of its files."""
    api = HfApi()
    commit = str(api.model_info(repo_id, revision=revision).sha)
    entries = api.list_repo_tree(repo_id, revision=commit, recursive=True)
    return commit, {entry.path: entry.size for entry in entries if isinstance(entry, RepoFile)}


def _is_cached(repo_id: str, path: str, commit: str) -> bool:
    return isinstance(try_to_load_from_cache(repo_id, path, revision=commit), str)


def _literal(path: str) -> str:
    """A pattern that matches this path only."""
    return "".join(f"[{sign}]" if sign in "*?[" else sign for sign in path)


class _Counter:
    """Adds up the bytes of all files; they arrive in several threads."""

    def __init__(self, progress: Progress, *, total: int, what: str) -> None:
        self._progress = progress
        self._total = total
        self._what = what
        self._done = 0
        self._lock = threading.Lock()

    def add(self, count: int) -> None:
        with self._lock:
            self._done = min(self._done + count, self._total)
            self._progress(self._done, self._total, self._what)

    def bar(self) -> type[tqdm]:
        """A progress bar class for the Hub client that draws nothing and counts here."""
        add: Callable[[int], None] = self.add

        class Bar(tqdm):
            def __init__(self, *args: Any, **options: Any) -> None:
                self._counts = str(options.get("desc", "")).startswith(_BYTES_BAR)
                super().__init__(*args, **{**options, "disable": True})

            def update(self, n: float | None = 1) -> None:
                if self._counts and n:
                    add(int(n))

        return Bar
