"""Databench: the child process that looks at data sets for the pages, so that no file can take the studio down."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pipeline.data.inspection import Inspection
from pipeline.data.mapping import Mapping as ColumnMapping
from pipeline.data_config import DatasetConfig
from pipeline.errors import DataProblem
from studio.line_client import LineClient, RequestFailed

IDLE_SECONDS = 900.0
_REMEMBERED = 64
Progress = Callable[[float, str], None]


class Databench:
    """Asks `python -m pipeline databench`; remembers what it found while the files stay as they are."""

    def __init__(self, environment: Mapping[str, str], *, imports: Path, idle_seconds: float = IDLE_SECONDS) -> None:
        self._client = LineClient("databench", environment, idle_seconds=idle_seconds)
        self._imports = imports
        self._found: OrderedDict[tuple[Any, ...], Inspection | DataProblem] = OrderedDict()
        self._lock = threading.Lock()
        self.close_if_idle = self._client.close_if_idle
        self.close = self._client.close

    def inspect(self, config: DatasetConfig, *, seed: int = 0) -> Inspection:
        """What a run would find in its data set.

        Raises:
            DataProblem: the rows cannot be used; RequestFailed where the process died.
        """
        key = (config.model_dump_json(), seed, *data_stamps(config))
        with self._lock:
            known = self._found.get(key)
        if known is None:
            try:
                request = {"op": "inspect", "dataset": config.model_dump(mode="json"), "seed": seed}
                known = Inspection.model_validate(self._ask({**request, "imports": str(self._imports)})["inspection"])
            except DataProblem as problem:
                known = problem
            with self._lock:
                self._found[key] = known
                while len(self._found) > _REMEMBERED:
                    self._found.popitem(last=False)
        if isinstance(known, DataProblem):
            raise known
        return known

    def describe(self, source: str) -> dict[str, Any]:
        """Columns and first rows of a data set, recognised or not. Raises DataProblem."""
        request = {"op": "describe", "source": source, "imports": str(self._imports)}
        found: dict[str, Any] = self._ask(request)["description"]
        return found

    def describe_hub(self, repository: str, *, token: str | None) -> dict[str, Any]:
        """Subsets, splits and size of a Hub data set. Raises DataProblem, RequestFailed."""
        found: dict[str, Any] = self._ask({"op": "describe_hub", "repository": repository, "token": token})["found"]
        return found

    def page(self, folder: str, *, mapping: ColumnMapping | None = None, offset: int, limit: int) -> dict[str, Any]:
        """Some rows, as stored and as the examples they become. Raises DataProblem."""
        shown = None if mapping is None else mapping.model_dump(mode="json")
        return self._ask({"op": "page", "folder": folder, "mapping": shown, "offset": offset, "limit": limit})

    def tokens(self, folder: str, mapping: ColumnMapping, *, row: int, **options: Any) -> list[dict[str, Any]]:
        """One row as tokens; `options` name the model and how it is trained. Raises DataProblem, RequestFailed."""
        request = {"op": "tokens", "folder": folder, "mapping": mapping.model_dump(mode="json"), "row": row}
        sequences: list[dict[str, Any]] = self._ask({**request, **options})["sequences"]
        return sequences

    def lengths(self, folder: str, mapping: ColumnMapping, *, progress: Progress, **options: Any) -> dict[str, Any]:
        """Every row's length in tokens, as a report. Raises DataProblem, RequestFailed."""
        request = {"op": "lengths", "folder": folder, "mapping": mapping.model_dump(mode="json"), **options}
        report: dict[str, Any] = self._ask(request, progress)["report"]
        return report

    def remap(self, folder: str, mapping: ColumnMapping, *, progress: Progress) -> dict[str, Any]:
        """Keep another mapping with a data set and check it anew. Raises DataProblem."""
        return self._ask({"op": "remap", "folder": folder, "mapping": mapping.model_dump(mode="json")}, progress)

    def clean(self, folder: str, *, target: Path, drop: list[str]) -> dict[str, Any]:
        """Write a copy without the rows of some findings. Raises DataProblem."""
        return self._ask({"op": "clean", "folder": folder, "target": str(target), "drop": drop})

    def review(self, op: str, review: Path, **request: Any) -> dict[str, Any]:
        """Ask about generated rows; `pipeline.augment.desk` lists what can be asked. Raises DataProblem."""
        return self._ask({"op": op, "review": str(review), **request})

    def _ask(self, request: dict[str, Any], progress: Progress | None = None) -> dict[str, Any]:
        last: dict[str, Any] = {}
        try:
            for last in self._client.ask(request):
                if progress is not None and last["event"] == "progress":
                    progress(last["share"], last["message"])
        except RequestFailed as error:
            if error.code == DataProblem.code:
                problem = DataProblem(str(error))
                problem.field = error.field
                raise problem from error
            raise
        return last


def data_stamps(config: DatasetConfig) -> tuple[Any, ...]:
    """What changes when a file or an imported folder does."""
    found = []
    for source in (config.path, config.eval_path):
        path = None if source is None else Path(source).expanduser()
        if path is not None and path.exists():
            watched = path / "dataset.json" if (path / "dataset.json").exists() else path
            state = watched.stat()
            found.append((state.st_size, state.st_mtime_ns))
    return tuple(found)
