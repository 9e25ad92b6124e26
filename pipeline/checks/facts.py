"""Facts: what the checks know about the world, gathered once, without loading a model."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from pipeline.checks.machine import Gpu, available_memory, cpu_has_bf16
from pipeline.checks.model_facts import KnownModel, ModelFacts, model_facts
from pipeline.config import FineTuneJobConfig
from pipeline.data.inspection import Inspection
from pipeline.errors import DataProblem
from pipeline.estimates import Estimate, Fit


@dataclass(frozen=True)
class Facts:
    """Everything the checks may look at. `data` is the problem where the rows cannot be used, and None where they have
    to be fetched first.

    None stands for what nobody has looked at, of which the checks then say nothing: `gpus` (empty where there is none),
    `keys` (names of the keys that the run will have), `free_memory_bytes`, `cpu_has_bf16`,
    `estimate` (else perhaps the problem why there is none), `fit` (what would make the run fit), and
    `sleeps_after_hours`, where the machine is stopped after so many hours without a visit.
    """

    model: ModelFacts | None
    data: Inspection | DataProblem | None
    free_disk_bytes: int
    cached_models: frozenset[str]
    known_model: KnownModel | None = None
    keys: frozenset[str] | None = None
    gpus: tuple[Gpu, ...] | None = None
    free_memory_bytes: int | None = None
    cpu_has_bf16: bool | None = None
    estimate: Estimate | None = None
    estimate_problem: str | None = None
    fit: Fit | None = None
    sleeps_after_hours: int | None = None
    output_dir: Path = Path()
    output_is_writable: bool = True
    output_is_ephemeral: bool = False
    download_dir: Path | None = None
    free_download_bytes: int = 0
    download_shares_disk: bool = False
    runs_of_same_name: int = 0
    data_ships: bool = False

    @property
    def train_rows(self) -> int:
        """Rows that would be trained on; 0 where they are not known."""
        return self.data.train_rows if isinstance(self.data, Inspection) else 0

    @property
    def eval_rows(self) -> int:
        """Rows that would be held out; 0 where they are not known."""
        return self.data.eval_rows if isinstance(self.data, Inspection) else 0

    @property
    def run_seconds(self) -> float | None:
        """How long the run takes on the quickest of its devices; None where nobody knows."""
        devices = [] if self.estimate is None else self.estimate.devices
        return min((device.time.total_seconds for device in devices if device.time is not None), default=None)

    @property
    def on_cpu(self) -> bool:
        """Whether the run is known to have no GPU."""
        return self.gpus == ()


def gather_facts(
    config: FineTuneJobConfig,
    *,
    data: Inspection | DataProblem | None,
    output_dir: Path,
    cached_models: frozenset[str] = frozenset(),
    model_folder: Path | None = None,
    download_dir: Path | None = None,
    known_model: KnownModel | None = None,
    keys: frozenset[str] | None = None,
    gpus: tuple[Gpu, ...] | None = None,
    sleeps_after_hours: int | None = None,
    output_is_ephemeral: bool = False,
    runs_of_same_name: int = 0,
    data_ships: bool = False,
) -> Facts:
    """Look at the disk, the machine and the model of `config`.

    `output_dir` is where the run folder will be made. The rest is what the caller alone can know: the Hub models that
    are here and the folder of this one in the Hub's cache, the folder that downloads go to, what a catalogue tells of
    the model, names of the keys that the run will have, the GPUs, when the
    machine is stopped because nobody visits it, whether the output folder is lost at a restart, how many results of
    this name there are, and whether the rows came with the program, whose tests have checked them.
    """
    place = _existing(output_dir)
    cache = None if download_dir is None else _existing(download_dir)
    return Facts(
        model=model_facts(config.model, cached=model_folder),
        data=data,
        free_disk_bytes=shutil.disk_usage(place).free,
        cached_models=cached_models,
        known_model=known_model,
        keys=keys,
        gpus=gpus,
        free_memory_bytes=available_memory(),
        cpu_has_bf16=cpu_has_bf16(),
        sleeps_after_hours=sleeps_after_hours,
        output_dir=output_dir,
        output_is_writable=place.is_dir() and os.access(place, os.W_OK | os.X_OK),
        output_is_ephemeral=output_is_ephemeral,
        download_dir=download_dir,
        free_download_bytes=0 if cache is None else shutil.disk_usage(cache).free,
        download_shares_disk=cache is not None and cache.stat().st_dev == place.stat().st_dev,
        runs_of_same_name=runs_of_same_name,
        data_ships=data_ships,
    )


def _existing(path: Path) -> Path:
    return next(parent for parent in (path, *path.parents) if parent.exists())
