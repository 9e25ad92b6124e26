"""ExportJob: the recipe of an export: make the files of each format, prove them, describe them, send them."""

import hashlib
import json
import shutil
from collections.abc import Mapping
from importlib.metadata import version

from pipeline.errors import UserError
from pipeline.events import ArtifactKind, ExportDelivered
from pipeline.export_config import ExportJobConfig
from pipeline.exporters.bundle import MANIFEST, hub_name, manifest_text, read_reports, report_file
from pipeline.exporters.card_files import CardFile
from pipeline.exporters.destinations import DeliveredFile, deliver
from pipeline.exporters.destinations.address import parse_destination
from pipeline.exporters.export_steps import ExportSteps
from pipeline.exporters.exported_files import exported_files
from pipeline.exporters.formats import Exporter, exporter_of
from pipeline.exporters.gate import Gate
from pipeline.exporters.layout import places
from pipeline.exporters.model_card import write_model_card
from pipeline.exporters.order import ExportOrder, Report, in_percent
from pipeline.exporters.parity import ParityReport
from pipeline.exporters.source import find_source
from pipeline.job_tracker import JobTracker
from pipeline.providers.model_source import fetch_model, require_room
from pipeline.run_dir import ManifestFile, RunDir

# The merged model first: others are made of it.
_ORDER = ("adapter", "merged", "gguf", "gguf_adapter", "onnx")
# What formats are made already, and of what settings.
_MADE = "made.json"
_PACKAGES = ("torch", "transformers", "peft", "safetensors")


class ExportUnproven(UserError):
    """A file does not say what the trained model says; it is kept, to be looked at."""

    code = "export_unproven"


class NotDelivered(UserError):
    """The files are made and proven, and did not arrive at one of their destinations."""

    code = "not_delivered"


class ExportJob:
    """One export of one result into one run folder."""

    def __init__(self, config: ExportJobConfig, run_dir: RunDir, tracker: JobTracker) -> None:
        self.config = config
        self.run_dir = run_dir
        self.tracker = tracker
        self.formats = [name for name in _ORDER if name in config.formats]
        steps = [*self.formats, "card", *("delivery" for _ in config.destinations)]
        self.steps = ExportSteps(tracker, steps, quantizations=len(config.quantizations))
        self.reports: dict[str, ParityReport] = {}

    def run(self) -> None:
        """Make the files, compare each with the trained model, and write the manifest last. What an earlier attempt
        has proven is not made again.

        Raises:
            UserError: with a sentence for the user; anything else is a bug.
        """
        self.tracker.stage("preparing", f"Exporting {self.config.name}")
        self.run_dir.manifest_file.unlink(missing_ok=True)
        exporters = {name: exporter_of(name) for name in self.formats}
        for exporter in exporters.values():
            exporter.require()
        source = find_source(self.config)
        base = source.whole if source.whole is not None else fetch_model(source.base)
        work = self.run_dir.path / "work"
        shutil.rmtree(work, ignore_errors=True)
        order = ExportOrder(self.config.name, source, base, work, self.config.quantizations)
        done = {name: self._proven_before(name) for name in exporters}
        self._require_room(order, {name: exporters[name] for name in exporters if not done[name]})
        gate = Gate(base, source)
        for name, exporter in exporters.items():
            report = self.steps.begin()
            if not done[name]:
                self._make(name, exporter, order=order, gate=gate, report=report)
            self._keep(name, order)
        shutil.rmtree(work, ignore_errors=True)
        self._refuse_what_differs()
        self._describe(order)
        self._deliver()
        self._complete()

    def _proven_before(self, name: str) -> bool:
        reports = read_reports(self.run_dir, name)
        same = self._made().get(name) == self._fingerprint()
        return same and bool(reports) and all(report.passed for report in reports.values())

    def _require_room(self, order: ExportOrder, exporters: Mapping[str, Exporter]) -> None:
        kinds = self.config.quantizations
        sizes = [exporter.needed_bytes(order.size_bytes, kinds) for exporter in exporters.values()]
        require_room(self.run_dir.path, sum(sizes), name=f"Exporting {self.config.name}")

    def _make(self, name: str, exporter: Exporter, *, order: ExportOrder, gate: Gate, report: Report) -> None:
        folder = self.run_dir.path / name
        partial = folder.with_name(f"{name}.partial")
        for left in (folder, partial):
            shutil.rmtree(left, ignore_errors=True)
        partial.mkdir()
        for candidate in exporter.make(order, partial, gate=gate, report=report):
            report(f"Comparing {candidate.name} with the trained model")
            with candidate.opened() as speaker:
                judged = gate.judge(speaker, number_format=candidate.number_format)
                judged.checks.extend(candidate.further(speaker))
            text = judged.model_dump_json(indent=2)
            (partial / report_file(name, candidate.name)).write_text(text, encoding="utf-8")
        partial.rename(folder)
        made = {**self._made(), name: self._fingerprint()}
        self.run_dir.write_text(_MADE, json.dumps(made))

    def _keep(self, name: str, order: ExportOrder) -> None:
        self.reports |= read_reports(self.run_dir, name)
        if name == "merged":
            order.use_whole(self.run_dir.path / name)
        kind: ArtifactKind = name  # type: ignore[assignment] - formats are kinds of results
        self.tracker.artifact(kind)

    def _refuse_what_differs(self) -> None:
        failed = [
            f"{name}: {check.message}"
            for name, report in self.reports.items()
            for check in report.checks
            if not check.passed
        ]
        if failed:
            raise ExportUnproven("\n".join(failed))

    def _describe(self, order: ExportOrder) -> None:
        report = self.steps.begin()
        report("Writing the model card", 0.0)
        card = self.run_dir.artifact("card")
        shutil.rmtree(card, ignore_errors=True)
        card.mkdir()
        hub = next((place for place in map(parse_destination, self.config.destinations) if place.scheme == "hf"), None)
        write_model_card(
            card,
            name=self.config.name,
            source=order.source,
            base_folder=order.base,
            bundle=[
                CardFile(file.path, file.format, file.number_format, file.size_bytes, self.reports.get(file.name))
                for file in exported_files(self.tracker.artifacts, at_destination=True)
            ],
            repo=None if hub is None else f"{hub.container}/{hub.path}",
        )
        self.tracker.artifact("card")
        files = places(self.tracker.artifacts)
        text = manifest_text(
            self.config.name,
            files,
            self.reports,
            base_model=hub_name(order.source.base.base_model),
            formats=self.formats,
        )
        self.run_dir.write_text(MANIFEST, text)

    def _deliver(self) -> None:
        files = {place: self._delivered(file) for place, file in places(self.tracker.artifacts).items()}
        manifest = self.run_dir.describe_file(self.run_dir.path / MANIFEST)
        files[MANIFEST] = self._delivered(manifest)
        failures = []
        for text in self.config.destinations:
            report, destination = self.steps.begin(), parse_destination(text)
            try:
                address = deliver(
                    files,
                    destination,
                    private=self.config.private,
                    commit_message=f"Export {self.config.name}",
                    progress=in_percent(report, f"Sending to {destination}"),
                )
            except UserError as error:
                told = str(error)
                failures.append(told if str(destination) in told else f"{destination}: {told}")
            else:
                self.tracker.record(ExportDelivered(destination=str(destination), address=address))
        if failures:
            raise NotDelivered("The files are made and proven, and stay here.\n" + "\n".join(failures))

    def _delivered(self, file: ManifestFile) -> DeliveredFile:
        return DeliveredFile(self.run_dir.path / file.path, file.size_bytes, file.sha256)

    def _complete(self) -> None:
        matched = {f"{name}/matched_answers": report.matched_answers for name, report in self.reports.items()}
        self.tracker.complete(matched, versions={name: version(name) for name in _PACKAGES})

    def _made(self) -> dict[str, str]:
        file = self.run_dir.path / _MADE
        return dict(json.loads(file.read_text("utf-8"))) if file.exists() else {}

    def _fingerprint(self) -> str:
        """Of all settings that the files depend on."""
        document = self.config.model_dump_json(exclude={"formats", "destinations", "private"})
        return hashlib.sha256(document.encode()).hexdigest()
