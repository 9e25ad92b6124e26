"""Gathers what preflight's checks look at: what the disk tells, and what the studio alone knows."""

from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from db import jobs
from db.database import Database
from pipeline.checks.facts import Facts, gather_facts
from pipeline.checks.machine import Gpu, keys_in, may_have_other_accelerator
from pipeline.checks.model_facts import KnownModel
from pipeline.config import FineTuneJobConfig
from pipeline.data.inspection import Inspection
from pipeline.errors import DataProblem
from studio.catalog import Catalog
from studio.hub_cache import cache_folder, cached_folder, cached_models
from studio.keys import Keys
from studio.settings import Settings


class FactFinder:
    """Knows the catalogue, the stored keys, the runs, the GPUs, and the environment that runs will have."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        *,
        catalog: Catalog,
        keys: Keys,
        keys_of_runs: Collection[str],
        environment: Mapping[str, str],
        list_gpus: Callable[[], list[Gpu]],
    ) -> None:
        self._settings = settings
        self._database = database
        self._catalog = catalog
        self._keys = keys
        self._keys_of_runs = keys_of_runs
        self._environment = environment
        self._list_gpus = list_gpus

    def gather(self, config: FineTuneJobConfig, *, data: Inspection | DataProblem | None, owner: str) -> Facts:
        """The facts for a run of `owner`; nothing is asked over the network, and no model is loaded."""
        gpus = tuple(self._list_gpus())
        with self._database.read() as session:
            same_name = jobs.count_results(session, config.name, owner=owner)
        return gather_facts(
            config,
            data=data,
            output_dir=self._settings.runs,
            cached_models=cached_models(),
            model_folder=cached_folder(config.model),
            download_dir=cache_folder(),
            known_model=self._known_model(config.model.base_model),
            keys=self._keys_for(owner),
            gpus=gpus if gpus or not may_have_other_accelerator() else None,
            sleeps_after_hours=self._settings.sleeps_after_hours,
            output_is_ephemeral=self._settings.is_ephemeral,
            runs_of_same_name=same_name,
            data_ships=Path(config.dataset.path).is_relative_to(self._settings.assets),
        )

    def _known_model(self, reference: str) -> KnownModel | None:
        model = self._catalog.models.get(reference)
        if model is None:
            return None
        return KnownModel(licence=model.licence, is_gated=model.gated, parameters=int(model.params_b * 1e9))

    def _keys_for(self, owner: str) -> frozenset[str]:
        stored = {secret.name for secret in self._keys.list_secrets(owner=owner) if secret.is_readable}
        return keys_in(self._environment) | stored.intersection(self._keys_of_runs)
