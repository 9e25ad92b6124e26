"""Every field of every method, and every field of training with each method, changes the trainer that is built."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import FineTuneJobConfig
from pipeline.config_fields import config_fields
from pipeline.data_manager import DataManager
from pipeline.job_tracker import JobTracker
from pipeline.method_config import FORMATS, MethodKind
from pipeline.methods import method_for
from pipeline.model_manager import ModelManager
from tests.pipeline.conftest import MakeConfig
from tests.tiny_gemma import STONES, write_jsonl

REWARD = {"kind": "length", "maximum": 12}
Look = Callable[[Any], Any]


def row_of(kind: MethodKind, index: int) -> dict[str, Any]:
    stone = STONES[index % len(STONES)]
    prompt, good = f"How many carats has the {stone}?", f"The {stone} has {index % 7} carats."
    match FORMATS[kind][0]:
        case "messages":
            turns = [{"role": "user", "content": prompt}, {"role": "assistant", "content": good}]
            return {"messages": turns}
        case "text":
            return {"text": f"{prompt} {good}"}
        case "preference":
            return {"prompt": prompt, "chosen": good, "rejected": "No idea."}
        case "unpaired_preference":
            return {"prompt": prompt, "completion": good if index % 2 else "No idea.", "label": bool(index % 2)}
        case _:
            return {"prompt": prompt}


def argument(name: str) -> Look:
    return lambda trainer: getattr(trainer.args, name)


# field: (another value, where it shows, what shows there)
TRAINING: dict[str, tuple[Any, Look, Any]] = {
    "epochs": (7.0, argument("num_train_epochs"), 7.0),
    "max_steps": (9, argument("max_steps"), 9),
    "learning_rate": (0.5, argument("learning_rate"), 0.5),
    "per_device_batch_size": (6, argument("per_device_train_batch_size"), 6),
    "gradient_accumulation_steps": (3, argument("gradient_accumulation_steps"), 3),
    "lr_scheduler": ("linear", argument("lr_scheduler_type"), "linear"),
    "warmup_ratio": (0.4, argument("warmup_steps"), 0.4),
    "weight_decay": (0.7, argument("weight_decay"), 0.7),
    "max_grad_norm": (2.5, argument("max_grad_norm"), 2.5),
    "optimizer": ("adafactor", argument("optim"), "adafactor"),
    "gradient_checkpointing": (True, argument("gradient_checkpointing"), True),
    "logging_steps": (6, argument("logging_steps"), 6),
    "eval_strategy": ("steps", argument("eval_strategy"), "steps"),
    "eval_steps": (13, argument("eval_steps"), 13),
    "save_strategy": ("steps", argument("save_strategy"), "steps"),
    "save_steps": (26, argument("save_steps"), 26),
    "save_total_limit": (4, argument("save_total_limit"), 4),
    "seed": (3, argument("seed"), 3),
}
METHODS: dict[MethodKind, dict[str, tuple[Any, Look, Any]]] = {
    "sft": {
        "train_on": ("all", lambda trainer: trainer.train_dataset[0]["labels"][0] >= 0, True),
        "max_length": (20, lambda trainer: max(map(len, trainer.train_dataset["input_ids"])), 20),
    },
    "cpt": {"max_length": (9, lambda trainer: max(map(len, trainer.train_dataset["input_ids"])), 9)},
    "dpo": {
        "beta": (0.7, argument("beta"), 0.7),
        "loss_type": ("hinge", argument("loss_type"), ["hinge"]),
        "label_smoothing": (0.2, argument("label_smoothing"), 0.2),
        "max_length": (40, argument("max_length"), 40),
    },
    "orpo": {"beta": (0.7, argument("beta"), 0.7), "max_length": (40, argument("max_length"), 40)},
    "kto": {
        "beta": (0.7, argument("beta"), 0.7),
        "desirable_weight": (2.5, argument("desirable_weight"), 2.5),
        "undesirable_weight": (0.4, argument("undesirable_weight"), 0.4),
        "max_length": (40, argument("max_length"), 40),
    },
    "reward": {
        "center_rewards_coefficient": (0.02, argument("center_rewards_coefficient"), 0.02),
        "max_length": (40, argument("max_length"), 40),
    },
    "grpo": {
        "rewards": ([{**REWARD, "weight": 3.0}], argument("reward_weights"), [3.0]),
        "num_generations": (3, argument("num_generations"), 3),
        "max_completion_length": (7, argument("max_completion_length"), 7),
        "temperature": (0.7, argument("temperature"), 0.7),
        "top_p": (0.5, argument("top_p"), 0.5),
        "kl_coefficient": (0.3, argument("beta"), 0.3),
        "policy_loss": ("bnpo", argument("loss_type"), "bnpo"),
        "scale_rewards": ("none", argument("scale_rewards"), "none"),
        "num_iterations": (2, argument("num_iterations"), 2),
    },
}
# The lengths of rows decide on batches; tests of each method look at them.
ELSEWHERE = {"training.batching", "method.kind"}


@pytest.fixture
def make(make_config: MakeConfig, tmp_path: Path) -> Callable[..., FineTuneJobConfig]:
    """A run of a method on 24 rows of its own format."""

    def of(kind: MethodKind, **sections: dict[str, Any]) -> FineTuneJobConfig:
        path = write_jsonl(tmp_path / f"{kind}.jsonl", [row_of(kind, index) for index in range(24)])
        rewards = {"rewards": [REWARD], "max_completion_length": 32} if kind == "grpo" else {}
        document: dict[str, Any] = {
            "dataset": {"path": str(path), "eval_rows": 4, "group_near_duplicates": False},
            "method": {"kind": kind, **rewards, **sections.pop("method", {})},
            "training": {"max_steps": None, "per_device_batch_size": 8, **sections.pop("training", {})},
        }
        return make_config(**document, **sections)

    return of


def build(config: FineTuneJobConfig, tracker: JobTracker) -> Any:
    loaded = ModelManager(config, tracker).load()
    data = DataManager(config, tracker).load(loaded)
    method = method_for(config.method.kind)
    return method.build_trainer(config, loaded, data=data, output_dir=tracker.run_dir.checkpoints, callbacks=[])


def test_every_field_is_looked_at() -> None:
    fields = [field for field in config_fields() if field.section in ("method", "training")]
    walked = {f"training.{name}" for name in TRAINING} | {f"method.{name}" for of in METHODS.values() for name in of}
    assert {field.path for field in fields} == walked | ELSEWHERE
    for field in fields:
        for kind in field.variant[1] if field.variant is not None else ():
            assert field.path.removeprefix("method.") in METHODS[kind], f"{field.path} with {kind}"  # type: ignore[index]


@pytest.mark.parametrize("kind", METHODS)
def test_fields_of_training_reach_each_method(
    kind: MethodKind, make: Callable[..., FineTuneJobConfig], tracker: JobTracker
) -> None:
    before = build(make(kind), tracker)
    training = {name: value for name, (value, _, _) in TRAINING.items()}
    generations = {"method": {"num_generations": 6}} if kind == "grpo" else {}
    after = build(make(kind, training=training, **generations), tracker)
    for name, (_, look, expected) in TRAINING.items():
        assert look(after) == expected != look(before), name
    assert (after.args.data_seed, before.args.load_best_model_at_end) == (3, False)
    # The best weights can only be kept where a checkpoint stands beside each evaluation.
    best = build(make(kind, evaluation={"keep_best": True}, training={"save_strategy": "epoch"}), tracker)
    assert (best.args.load_best_model_at_end, best.args.save_strategy) == (True, "epoch")


@pytest.mark.parametrize(("kind", "field"), [(kind, field) for kind, fields in METHODS.items() for field in fields])
def test_field_of_a_method_reaches_its_trainer(
    kind: MethodKind, field: str, make: Callable[..., FineTuneJobConfig], tracker: JobTracker
) -> None:
    value, look, expected = METHODS[kind][field]
    batch = {"training": {"per_device_batch_size": 6}} if field == "num_generations" else {}
    assert look(build(make(kind, method={field: value}, **batch), tracker)) == expected
    assert look(build(make(kind), tracker)) != expected
