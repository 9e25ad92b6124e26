"""FineTuneJob: the recipe of a fine-tuning run."""

import sys
from importlib.metadata import version

from pipeline.checks.combinations import refuse_contradictions
from pipeline.config import FineTuneJobConfig
from pipeline.data_manager import DataManager, PreparedData
from pipeline.evaluation.scoring import score_answers
from pipeline.job_tracker import JobTracker
from pipeline.model_manager import LoadedModel, ModelManager
from pipeline.rewards.trial import check_rewards
from pipeline.run_dir import RunDir
from pipeline.run_meter import RunMeter
from pipeline.trainer import ModelTrainer

RECORDED_PACKAGES = ("torch", "transformers", "trl", "peft", "accelerate", "datasets")
RECORDED_IF_USED = ("unsloth", "unsloth_zoo")


class FineTuneJob:
    """One run of one configuration in one run folder."""

    def __init__(self, config: FineTuneJobConfig, run_dir: RunDir, tracker: JobTracker) -> None:
        self.config = config
        self.run_dir = run_dir
        self.tracker = tracker

    def run(self) -> None:
        """Load, train, save, score, and write the manifest last.

        Raises:
            UserError: with a sentence for the user; anything else is a bug.
        """
        refuse_contradictions(self.config)
        self.tracker.stage("preparing", f"Starting {self.config.name}")
        meter = RunMeter()
        loaded, data = load_all(self.config, self.tracker)
        trainer = ModelTrainer(self.config, self.tracker, loaded=loaded, data=data)
        outcome = trainer.train(meter)
        trainer.save()
        step = int(outcome.metrics["steps"])
        scores = score_answers(self.config, self.tracker, loaded=loaded, data=data, step=step)
        if self.config.export.merged:
            trainer.save_merged()
        metrics = {**outcome.metrics, **scores}
        self.tracker.complete(
            metrics, versions=package_versions(), stop_reason=outcome.stop_reason, measured=outcome.measured
        )


def load_all(config: FineTuneJobConfig, tracker: JobTracker) -> tuple[LoadedModel, PreparedData]:
    """The model and the rows, ready to train. Raises UserError."""
    manager = DataManager(config, tracker)
    examples = manager.read()
    check_rewards(config, examples.train, tracker)
    loaded = ModelManager(config, tracker).load(sees_images=examples.have_images)
    return loaded, manager.encode(examples, loaded)


def package_versions() -> dict[str, str]:
    """What the run was made with."""
    python = ".".join(map(str, sys.version_info[:3]))
    names = (*RECORDED_PACKAGES, *(name for name in RECORDED_IF_USED if name in sys.modules))
    return {"python": python, **{name: version(name) for name in names}}
