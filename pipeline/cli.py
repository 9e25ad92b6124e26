"""The commands of `python -m pipeline`: what people ask for, from preflight to generate, and the studio's children."""

import argparse
import errno
import json
import logging
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from pipeline.checks.combinations import refuse_contradictions
from pipeline.cli_parser import command_parser
from pipeline.config import AnyJobConfig, FineTuneJobConfig
from pipeline.config_flags import document_with_flags
from pipeline.config_reference import config_reference
from pipeline.data_config import AugmentJobConfig, ImportJobConfig
from pipeline.errors import InvalidConfig, Problem, UserError
from pipeline.events import Event
from pipeline.export_config import ExportJobConfig
from pipeline.job_tracker import DISK_FULL, JobTracker, Listener
from pipeline.progress_bar import ProgressBar
from pipeline.providers.import_order import import_provider
from pipeline.providers.native_code import refuse_downloaded_kernels
from pipeline.run_dir import RunDir
from pipeline.trackers.processes import TrackerProcesses
from pipeline.validation import parse_export_config, parse_job_config

EXIT_FAILED = 1
EXIT_BAD_VALUES = 2
# On a full disk nothing else may reach the parent: neither the event nor the log.
EXIT_DISK_FULL = errno.ENOSPC
# Arguments that are no part of the job document.
OWN_ARGUMENTS = ("command", "config", "output_dir", "run_dir", "gpu", "json")


def main(arguments: Sequence[str]) -> int:
    """Run one command and return the exit status: 0 done, 1 failed, 2 bad values."""
    parsed = command_parser().parse_args(arguments)
    refuse_downloaded_kernels()
    match parsed.command:
        case "schema":
            schema = json.dumps(FineTuneJobConfig.model_json_schema(), indent=2) + "\n"
            sys.stdout.write(config_reference() if parsed.markdown else schema)
            return 0
        case "train":
            return _train(parsed)
        case "preflight":
            return _preflight(parsed)
        case "smoke":
            return _smoke(parsed)
        case "run":
            _log_to_stderr(logging.INFO)
            # A bar redrawn a hundred times is no help in a log file.
            os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
            return _run(RunDir(parsed.run_dir.resolve()), listener=None)
        case "generate":
            return _generate(parsed)
        case "export":
            return _export(parsed)
        case "reproduce":
            _prepare_environment()
            from pipeline.reproduce_command import reproduce

            return reproduce(RunDir(parsed.run_dir.resolve()), parsed.output_dir)
        case "inspect":
            from pipeline.inspect_command import inspect_source

            return inspect_source(parsed.source, model=parsed.model, as_json=parsed.json, split=parsed.split)
        case "databench":
            from pipeline.databench import serve as serve_databench

            return serve_databench()
        case "estimator":
            from pipeline.estimator import serve as serve_estimator

            return serve_estimator()
        case "smokebench":
            _prepare_environment()
            from pipeline.smokebench import serve as serve_smokebench

            return serve_smokebench()
        case _:
            from pipeline.workbench import serve

            return serve()


def _train(parsed: argparse.Namespace) -> int:
    try:
        config = _given_config(parsed)
        refuse_contradictions(config)
    except InvalidConfig as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_BAD_VALUES
    status, run_dir = _run_here(config, parsed.output_dir)
    if status == 0:
        kind = "adapter" if config.tuning.kind == "lora" else "model"
        sys.stderr.write(f"The {kind} is in {run_dir.artifact(kind)}\n")
    if status == 0 and config.export.formats:
        chosen = config.export.model_dump(exclude={"merged"})
        export = parse_export_config({"name": config.name, "source": str(run_dir.path), **chosen})
        return _export_here(export, run_dir.path / "export")
    return status


def _preflight(parsed: argparse.Namespace) -> int:
    _log_to_stderr(logging.ERROR)
    _prepare_environment()
    try:
        config = _given_config(parsed)
        from pipeline.preflight_command import run_preflight

        return run_preflight(config, home=_home(), gpu_types=parsed.gpu, as_json=parsed.json)
    except InvalidConfig as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_BAD_VALUES


def _smoke(parsed: argparse.Namespace) -> int:
    try:
        config = _given_config(parsed)
    except InvalidConfig as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_BAD_VALUES
    _log_to_stderr(logging.WARNING)
    _prepare_environment()
    from pipeline.smoke_command import smoke

    return smoke(config, as_json=parsed.json)


def _export(parsed: argparse.Namespace) -> int:
    try:
        config = parse_export_config(
            {
                "name": parsed.name,
                "source": str(parsed.source.resolve()),
                "base_model": parsed.base_model,
                "formats": parsed.format,
                "quantizations": parsed.quantization,
                "destinations": parsed.to,
                "private": not parsed.public,
            }
        )
    except InvalidConfig as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_BAD_VALUES
    return _export_here(config, parsed.output_dir)


def _export_here(config: ExportJobConfig, folder: Path | None) -> int:
    status, run_dir = _run_here(config, folder)
    if status == 0:
        sys.stderr.write(f"The files are in {run_dir.path}\n")
    return status


def _run_here(config: AnyJobConfig, folder: Path | None) -> tuple[int, RunDir]:
    """Work off a job in this process, with its progress drawn on the terminal."""
    run_dir = RunDir((_default_folder(config.name) if folder is None else folder).resolve())
    run_dir.create(config)
    _log_to_stderr(logging.WARNING)
    with ProgressBar() as bar:
        return _run(run_dir, listener=bar.show), run_dir


def _given_config(parsed: argparse.Namespace) -> FineTuneJobConfig:
    given = {name: value for name, value in vars(parsed).items() if name not in OWN_ARGUMENTS}
    return parse_job_config(document_with_flags(_read_yaml(parsed.config), given))


def _generate(parsed: argparse.Namespace) -> int:
    _log_to_stderr(logging.WARNING)
    _prepare_environment()
    try:
        from pipeline.answer_command import answer
        from pipeline.generate import Decoding

        decoding = Decoding(max_new_tokens=parsed.max_new_tokens, temperature=parsed.temperature)
        answer(RunDir(parsed.run_dir.resolve()), parsed.prompt, side=parsed.side, decoding=decoding)
    except UserError as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_FAILED
    return 0


def _run(run_dir: RunDir, *, listener: Listener | None) -> int:
    _prepare_environment()
    try:
        with (
            TrackerProcesses(run_dir, os.environ) as trackers,
            JobTracker(run_dir, _each(listener, trackers.hear)) as tracker,
        ):
            match run_dir.read_config():
                case FineTuneJobConfig() as config:
                    import_provider(config.model, compiled_code=run_dir.compiled_code)
                    from pipeline.fine_tune_job import FineTuneJob

                    trackers.start(config, tracker)
                    FineTuneJob(config, run_dir, tracker).run()
                case ImportJobConfig() as config:
                    from pipeline.import_job import ImportJob

                    ImportJob(config, run_dir, tracker).run()
                case AugmentJobConfig() as config:
                    from pipeline.augment_job import AugmentJob

                    AugmentJob(config, run_dir, tracker).run()
                case ExportJobConfig() as config:
                    from pipeline.export_job import ExportJob

                    ExportJob(config, run_dir, tracker).run()
    except UserError as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_FAILED
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        sys.stderr.write(f"{DISK_FULL}\n")
        return EXIT_DISK_FULL
    return 0


def _each(*listeners: Listener | None) -> Listener:
    def listen(event: Event) -> None:
        for listener in listeners:
            if listener is not None:
                listener(event)

    return listen


def _prepare_environment() -> None:
    """Settings that libraries read when they are imported."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    # Tokenising is done before the first worker process could fork.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")


def _read_yaml(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidConfig([Problem("", f"{path} cannot be read: {error.strerror}.")]) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InvalidConfig([Problem("", f"{path} is not YAML: {error}")]) from error
    if not isinstance(document, dict):
        raise InvalidConfig([Problem("", f"{path} holds no settings. Write them as `section:` and `  field: value`.")])
    return document


def _default_folder(name: str) -> Path:
    return _home() / "runs" / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"


def _home() -> Path:
    return Path(os.environ.get("LAPIDARY_HOME", "~/.lapidary")).expanduser()


def _log_to_stderr(level: int) -> None:
    logging.basicConfig(level=level, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
