"""ExportJob: the recipe of an export: merge, convert, quantize, and prove each file before it counts."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import AutoConfig

from pipeline.errors import InvalidConfig, Problem, UserError
from pipeline.export_config import ExportJobConfig
from pipeline.exporters.gguf.convert import convert, quantize
from pipeline.exporters.gguf.modelfile import modelfile
from pipeline.exporters.gguf.runtime import served
from pipeline.exporters.gguf.tools import require_gguf
from pipeline.exporters.merge import merge_adapter
from pipeline.exporters.parity import ParityReport, Speaker, Statements, ask, compare
from pipeline.exporters.source import ExportSource, find_source
from pipeline.exporters.trained_model import TrainedModel
from pipeline.job_tracker import STAGE_PROGRESS, JobTracker
from pipeline.providers.model_source import fetch_model, require_room
from pipeline.run_dir import RunDir

# The run's own questions that are asked, after those that every file is asked.
_QUESTIONS = 8
# Of the base model's bytes: a model in 16 bits, and the room that files of fewer bits take at most.
_WHOLE_SHARE, _QUANTIZED_SHARE = 1.05, 0.6
REPORT_FILE = "parity.json"
_SHARE_OF_MERGING = 0.4


class ExportUnproven(UserError):
    """A file does not say what the trained model says; it is kept, to be looked at."""

    code = "export_unproven"


class ExportJob:
    """One export of one result into one run folder."""

    def __init__(self, config: ExportJobConfig, run_dir: RunDir, tracker: JobTracker) -> None:
        self.config = config
        self.run_dir = run_dir
        self.tracker = tracker
        self.reports: dict[str, ParityReport] = {}

    def run(self) -> None:
        """Make the files, compare each with the trained model, and write the manifest last.

        Raises:
            UserError: with a sentence for the user; anything else is a bug.
        """
        self.tracker.stage("preparing", f"Exporting {self.config.name}")
        if "gguf" in self.config.formats:
            require_gguf()
        source = find_source(self.config)
        if source.whole is not None and "gguf" not in self.config.formats:
            told = "A full fine-tune already is a whole model, saved by the run. Choose gguf to make files of it."
            raise InvalidConfig([Problem("formats", told)])
        base = source.whole or fetch_model(source.base)
        self._require_room(base, source)
        merged = source.whole or self._merge(base, source)
        self.tracker.stage("exporting", "Asking the trained model", progress=_SHARE_OF_MERGING)
        gate = _Gate(base, source)
        if "merged" in self.config.formats and source.whole is None:
            self.reports["merged"] = gate.judge(TrainedModel.read(merged), number_format="bf16")
        if "gguf" in self.config.formats:
            self._make_gguf(merged, gate)
        self._finish(merged, keeps_merged="merged" in self.config.formats or source.whole is not None)

    def _require_room(self, base: Path, source: ExportSource) -> None:
        size = sum(file.stat().st_size for file in base.glob("*.safetensors"))
        needed = 0.0 if source.whole is not None else size * _WHOLE_SHARE
        if "gguf" in self.config.formats:
            small = [kind for kind in self.config.quantizations if kind not in ("bf16", "f16")]
            needed += size * _WHOLE_SHARE * max(1, len(self.config.quantizations) - len(small))
            needed += size * _QUANTIZED_SHARE * len(small)
        require_room(self.run_dir.path, int(needed), name=f"Exporting {self.config.name}")

    def _merge(self, base: Path, source: ExportSource) -> Path:
        folder = self.run_dir.artifact("merged")
        # What a killed attempt left is not to be trusted.
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        told = 0

        def report(done: int, total: int) -> None:
            nonlocal told
            percent = done * 100 // max(1, total)
            if percent > told:
                told = percent
                share = STAGE_PROGRESS["preparing"] + _SHARE_OF_MERGING * percent / 100
                self.tracker.stage("exporting", f"Merging: {percent} %", progress=share)

        merge_adapter(
            base,
            source.adapter or base,
            folder,
            dtype=torch.bfloat16,
            trust_remote_code=source.base.trust_remote_code,
            progress=report,
        )
        return folder

    def _make_gguf(self, merged: Path, gate: "_Gate") -> None:
        folder = self.run_dir.artifact("gguf")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        whole = folder / f"{self.config.name}-bf16.gguf"
        self.tracker.stage("exporting", "Converting to GGUF", progress=0.5)
        convert(merged, whole, dtype="bf16")
        for place, kind in enumerate(self.config.quantizations):
            file = folder / f"{self.config.name}-{kind}.gguf"
            progress = 0.6 + 0.4 * place / len(self.config.quantizations)
            self.tracker.stage("exporting", f"Writing and trying {file.name}", progress=progress)
            if kind == "f16":
                convert(merged, file, dtype="f16")
            elif kind != "bf16":
                quantize(whole, file, kind)
            file.with_suffix(".Modelfile").write_text(modelfile(merged, file.name), encoding="utf-8")
            with served(file) as model:
                self.reports[file.name] = gate.judge(model, number_format=kind)
        if "bf16" not in self.config.quantizations:
            whole.unlink()

    def _finish(self, merged: Path, *, keeps_merged: bool) -> None:
        if not keeps_merged:
            shutil.rmtree(merged)
        failed = []
        for name, report in self.reports.items():
            folder = self.run_dir.artifact("merged" if name == "merged" else "gguf")
            text = report.model_dump_json(indent=2)
            (folder / (REPORT_FILE if name == "merged" else f"{name}.{REPORT_FILE}")).write_text(text, "utf-8")
            failed += [f"{name}: {check.message}" for check in report.checks if not check.passed]
        if failed:
            raise ExportUnproven("\n".join(failed))
        for kind in ("merged", "gguf"):
            if self.run_dir.artifact(kind).exists():
                self.tracker.artifact(kind)
        matched = {f"{name}/matched_answers": report.matched_answers for name, report in self.reports.items()}
        self.tracker.complete(matched, versions={})


class _Gate:
    """What the trained model said, and what files are asked to say the same."""

    def __init__(self, base: Path, source: ExportSource) -> None:
        self._questions: Sequence[str] = source.questions[:_QUESTIONS]
        trust = source.base.trust_remote_code
        self._vocabulary = AutoConfig.from_pretrained(base, trust_remote_code=trust).get_text_config().vocab_size
        trained = TrainedModel.read(base, adapter=source.adapter, trust_remote_code=trust)
        self._expected: Statements = self._asked(trained)

    def judge(self, file: Speaker, *, number_format: str) -> ParityReport:
        """The file against the trained model."""
        return compare(self._asked(file), self._expected, number_format=number_format, questions=self._questions)

    def _asked(self, model: Speaker) -> Statements:
        return ask(model, vocabulary=self._vocabulary, questions=self._questions)
