"""The databench process: looks at data sets for the pages, one JSON object a line in and out. It never loads weights.

in   {"id", "op": "inspect", "dataset": {…}, "seed"}             what a run would find in its data set
     {"id", "op": "describe", "folder"}                          columns and first rows, recognised or not
     {"id", "op": "page", "folder", "mapping", "offset", "limit", "split"}   rows and the examples they become
     {"id", "op": "tokens", "dataset": {…}, "row", "base_model", …}          one row as tokens
     {"id", "op": "lengths", "dataset": {…}, "base_model", …}                every row's length in tokens
     {"id", "op": "remap", "folder", "mapping"}                  another mapping, and the integrity report under it
     {"id", "op": "clean", "folder", "target", "drop": […]}      a copy without the rows of some findings
     {"id", "op": "review_…" or "merge_rows", "review", …}       generated rows: see pipeline.augment.desk
out  {"id", "event": "progress", "share": 0–1, "message"}*   then   {"id", "event": "done", …}
     or {"id", "event": "error", "code", "message"}
"""

from collections.abc import Callable
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, TypeAdapter

from pipeline.augment import desk
from pipeline.config import ModelConfig
from pipeline.data.mapping import Mapping, Recognition
from pipeline.data.row_store import FLAGS_FILE, REPORT_FILE, SUMMARY_FILE, RowStore, write_document
from pipeline.data_config import DatasetConfig
from pipeline.errors import DataProblem
from pipeline.line_server import LineServer, QuitRequest, Send, serve_standard_streams

_SHOWN_CHARACTERS = 4000


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid")
    id: str | int


class InspectRequest(_Request):
    """What a run would find."""

    op: Literal["inspect"]
    dataset: DatasetConfig
    imports: Path
    seed: int = 0


class DescribeRequest(_Request):
    """Columns and first rows."""

    op: Literal["describe"]
    source: str
    imports: Path


class DescribeHubRequest(_Request):
    """Subsets and splits of a Hub data set. The token comes through the pipe, which only this process reads."""

    op: Literal["describe_hub"]
    repository: str
    revision: str = "main"
    token: SecretStr | None = None


class PageRequest(_Request):
    """Some rows, as stored and as examples."""

    op: Literal["page"]
    folder: Path
    mapping: Mapping | None = None
    offset: int = Field(0, ge=0)
    limit: int = Field(20, ge=1, le=200)


class TokensRequest(_Request):
    """One row, by its number, as tokens."""

    op: Literal["tokens"]
    folder: Path
    mapping: Mapping
    row: int = Field(ge=1)
    base_model: str
    revision: str = "main"
    trust_remote_code: bool = False
    train_on: Literal["assistant", "all"] = "assistant"
    max_length: int | None = None


class LengthsRequest(_Request):
    """The length of every row in tokens."""

    op: Literal["lengths"]
    folder: Path
    mapping: Mapping
    base_model: str
    revision: str = "main"
    trust_remote_code: bool = False
    train_on: Literal["assistant", "all"] = "assistant"
    max_length: int | None = None


class RemapRequest(_Request):
    """Another mapping, kept with the data set."""

    op: Literal["remap"]
    folder: Path
    mapping: Mapping


class CleanRequest(_Request):
    """A copy without some rows."""

    op: Literal["clean"]
    folder: Path
    target: Path = Field(description="The copy without its ending, which follows from what the data set holds.")
    drop: tuple[str, ...]


Request = Annotated[
    InspectRequest
    | DescribeRequest
    | DescribeHubRequest
    | PageRequest
    | TokensRequest
    | LengthsRequest
    | RemapRequest
    | CleanRequest
    | desk.ReviewRequest
    | QuitRequest,
    Field(discriminator="op"),
]
_REQUEST: TypeAdapter[Any] = TypeAdapter(Request)


class Databench:
    """Answers requests; keeps the last tokenizer."""

    def __init__(self) -> None:
        self._last: Any = None

    def answer(self, request: Any, send: Send) -> dict[str, Any]:
        """The content of the last message. Raises UserError."""

        def progress(share: float, message: str) -> None:
            send({"event": "progress", "share": round(share, 3), "message": message})

        match request:
            case InspectRequest():
                from pipeline.data.inspection import inspect_data

                found = inspect_data(request.dataset, imports=request.imports, seed=request.seed)
                return {"inspection": found.model_dump(mode="json")}
            case DescribeRequest():
                from pipeline.data.inspection import empty_inspection
                from pipeline.data.open_data import open_data

                return {"description": empty_inspection(open_data(request.source, imports=request.imports))}
            case DescribeHubRequest():
                from pipeline.data.fetch.hub import describe_hub_dataset

                token = None if request.token is None else request.token.get_secret_value()
                hub = describe_hub_dataset(request.repository, revision=request.revision, token=token)
                return {"found": asdict(hub)}
            case PageRequest():
                return _page(request)
            case TokensRequest():
                return self._tokens(request)
            case LengthsRequest():
                from pipeline.data.integrity.token_lengths import check_tokens

                store = RowStore(request.folder)
                tokenizer, processor = self._load_tokenizer(request, store)
                report = check_tokens(
                    store,
                    request.mapping,
                    tokenizer=tokenizer,
                    processor=processor,
                    max_length=request.max_length,
                    train_on=request.train_on,
                    progress=progress,
                )
                return {"report": report.model_dump(mode="json")}
            case RemapRequest():
                return _remap(request, progress)
            case desk.ReviewRowsRequest() | desk.DecideRequest() | desk.EditRequest() | desk.MergeRequest():
                return desk.answer_review(request, progress)
            case _:
                from pipeline.data.integrity.clean import copy_suffix, write_cleaned_copy

                store = RowStore(request.folder)
                target = request.target.with_suffix(copy_suffix(store))
                copied = write_cleaned_copy(store, _mapping_of(store), target=target, drop=request.drop)
                return {"file": str(target), "rows": copied.rows, "dropped": copied.dropped}

    def _tokens(self, request: TokensRequest) -> dict[str, Any]:
        from pipeline.data.build_example import build_example
        from pipeline.data.example import UnusableRow
        from pipeline.data.token_view import view_tokens

        store = RowStore(request.folder)
        try:
            stored = store.row(store.index_of(request.row))
            example = build_example(stored.number, stored.row, request.mapping, columns=store.summary.columns)
        except ValueError as error:
            raise DataProblem(f"{store.summary.name} has no row {request.row:,}.") from error
        except UnusableRow as error:
            raise DataProblem(f"Row {request.row:,} cannot be used: {error}.") from error
        tokenizer, processor = self._load_tokenizer(request, store)
        sequences = view_tokens(
            example,
            tokenizer,
            train_on=request.train_on,
            max_length=request.max_length,
            processor=processor,
            folder=store.folder,
        )
        return {"row": request.row, "sequences": sequences}

    def _load_tokenizer(self, request: TokensRequest | LengthsRequest, store: RowStore) -> tuple[Any, Any]:
        from pipeline.data.last_tokenizer import LastTokenizer

        self._last = LastTokenizer() if self._last is None else self._last
        config = ModelConfig(
            base_model=request.base_model, revision=request.revision, trust_remote_code=request.trust_remote_code
        )
        return self._last.load(config, store)


def _page(request: PageRequest) -> dict[str, Any]:
    from pipeline.data.build_example import build_example
    from pipeline.data.example import UnusableRow

    store = RowStore(request.folder)
    mapping = request.mapping or (store.summary.recognition.mapping if store.summary.recognition else None)
    shown: list[dict[str, Any]] = []
    for index in range(request.offset, min(request.offset + request.limit, len(store))):
        item = store.row(index)
        entry: dict[str, Any] = {"row": item.number, "split": item.split, "values": _cut(item.row)}
        if mapping is not None:
            try:
                entry["example"] = _cut(
                    asdict(build_example(item.number, item.row, mapping, columns=store.summary.columns))
                )
            except UnusableRow as error:
                entry["problem"] = str(error)
        shown.append(entry)
    return {"rows": shown, "total": len(store), "columns": store.summary.columns}


def _remap(request: RemapRequest, progress: Callable[[float, str], None]) -> dict[str, Any]:
    from pipeline.data.build_example import build_example
    from pipeline.data.example import UnusableRow
    from pipeline.data.integrity.check import check_integrity
    from pipeline.data.validate_mapping import validate_mapping

    store = RowStore(request.folder)
    problems = validate_mapping(request.mapping, store.summary.columns)
    if problems:
        raise DataProblem(" ".join(problem.message for problem in problems))
    reason = ""
    for item in islice(store.rows(), 100):
        try:
            build_example(item.number, item.row, request.mapping, columns=store.summary.columns)
            break
        except UnusableRow as error:
            reason = f" Row {item.number}: {error}."
    else:
        raise DataProblem(f"No row can be used with these columns.{reason}")
    report = check_integrity(store, request.mapping, flags=store.folder / FLAGS_FILE, progress=progress)
    recognition = Recognition(
        shape="custom", mapping=request.mapping, confidence=1.0, reasons=("The columns were named.",)
    )
    write_document(store.folder / REPORT_FILE, report)
    write_document(store.folder / SUMMARY_FILE, store.summary.model_copy(update={"recognition": recognition}))
    return {"usable_rows": report.usable_rows, "passed": report.passed}


def _mapping_of(store: RowStore) -> Mapping:
    if store.summary.recognition is None:
        raise DataProblem(f"The columns of {store.summary.name} were not recognised. Say which column is what first.")
    return store.summary.recognition.mapping


def _cut(value: Any) -> Any:
    """The value with long texts shortened, for a page."""
    match value:
        case str() if len(value) > _SHOWN_CHARACTERS:
            return f"{value[:_SHOWN_CHARACTERS]}…"
        case dict():
            return {key: _cut(inner) for key, inner in value.items()}
        case list() | tuple():
            return [_cut(inner) for inner in value]
        case _:
            return value


def serve() -> int:
    """Answer standard input on standard output."""
    return serve_standard_streams(lambda send: LineServer(send, _REQUEST, Databench().answer))
