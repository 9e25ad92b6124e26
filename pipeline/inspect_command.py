"""`python -m pipeline inspect`: what a data set holds, as a run would read it: the page's dataset step in a shell."""

import json
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pipeline.config import ModelConfig
from pipeline.data.build_example import build_example
from pipeline.data.example import UnusableRow
from pipeline.data.inspection import Inspection, inspect_data
from pipeline.data.integrity.check import check_integrity
from pipeline.data.integrity.report import IntegrityReport
from pipeline.data.row_store import RowStore
from pipeline.data_config import DatasetConfig
from pipeline.errors import DataProblem, UserError

EXIT_FAILED = 1
_SEVERITY = {"error": "✗", "warning": "!", "info": "·"}
# On a terminal: trained tokens underlined in blue, cut-off ones struck through.
_TRAINED, _TRUNCATED, _RESET = "\x1b[34;4m", "\x1b[2;9m", "\x1b[0m"


def inspect_source(source: str, *, model: str | None, as_json: bool, split: str | None) -> int:
    """Write format, confidence, mapping, rows, findings, and the first row as it is learned from; return the status."""
    try:
        with TemporaryDirectory(prefix="lapidary-") as folder:
            found = inspect_data(DatasetConfig(path=source, train_split=split), imports=Path(folder))
            store = RowStore(Path(found.folder))
            report = check_integrity(store, found.mapping, flags=None, progress=_progress)
            sequences = [] if model is None else _first_row(store, found, ModelConfig(base_model=model))
    except UserError as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_FAILED
    if as_json:
        document = found.model_dump(mode="json", exclude={"folder"})
        document |= {"report": report.model_dump(mode="json"), "first_row": sequences}
        sys.stdout.write(json.dumps(document, ensure_ascii=False, indent=2) + "\n")
    else:
        sys.stdout.write(_text(found, report, sequences, colour=sys.stdout.isatty() and "NO_COLOR" not in os.environ))
    return 0


def _first_row(store: RowStore, found: Inspection, config: ModelConfig) -> list[dict[str, Any]]:
    from pipeline.data.last_tokenizer import LastTokenizer
    from pipeline.data.token_view import view_tokens

    for stored in store.rows():
        try:
            example = build_example(stored.number, stored.row, found.mapping, columns=store.summary.columns)
        except UnusableRow:
            continue
        tokenizer, processor = LastTokenizer().load(config, store)
        return view_tokens(
            example, tokenizer, train_on="assistant", max_length=None, processor=processor, folder=store.folder
        )
    raise DataProblem(f"No row of {found.name} can be used.")


def _text(found: Inspection, report: IntegrityReport, sequences: list[dict[str, Any]], *, colour: bool) -> str:
    splits = ", ".join(f"{name} {rows:,}" for name, rows in found.splits.items())
    mapping = json.dumps(found.mapping.model_dump(mode="json", exclude_defaults=True), ensure_ascii=False)
    lines = [
        f"{found.name}",
        f"  format      {found.format} ({found.shape}), {found.confidence:.0%} sure",
        *(f"              {reason}" for reason in found.reasons),
        f"  mapping     {mapping}",
        f"  rows        {found.usable_rows:,} of {found.rows:,} usable; {splits}",
        f"  split       {found.train_rows:,} to train on, {found.eval_rows:,} held out ({found.eval_source})",
        "  findings    " + ("none" if not report.findings else ""),
    ]
    for finding in report.findings:
        rows = f" (rows {', '.join(map(str, finding.rows[:8]))})" if finding.rows else ""
        lines.append(f"    {_SEVERITY[finding.severity]} {finding.code}: {finding.message}{rows}")
    for sequence in sequences:
        counts = sequence["counts"]
        lines.append(f"  {sequence['title']}: {counts['all']} tokens, {counts['trained']} trained on")
        lines += ["    " + line for line in _rendered(sequence["tokens"], colour=colour).splitlines()]
    return "\n".join(lines) + "\n"


def _rendered(tokens: list[dict[str, Any]], *, colour: bool) -> str:
    """The row with its loss mask: coloured on a terminal, in ⟦ ⟧ elsewhere."""
    marks = {"trained": (_TRAINED, _RESET), "truncated": (_TRUNCATED, _RESET)} if colour else {"trained": ("⟦", "⟧")}
    pieces, state = [], "context"
    for token in tokens:
        if token["state"] != state:
            pieces += [marks.get(state, ("", ""))[1], marks.get(token["state"], ("", ""))[0]]
            state = token["state"]
        pieces.append(token["text"])
    return "".join([*pieces, marks.get(state, ("", ""))[1]])


def _progress(share: float, message: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{message} {share:.0%}" if share < 1 else "\r\x1b[K")
