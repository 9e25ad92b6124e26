"""The script of a run, in a process without Lapidary, has the losses of the run; what it cannot repeat is refused."""

import ast
import random
from pathlib import Path
from typing import Any

import pytest
from torch.utils.data import Sampler

from pipeline.errors import InvalidConfig
from pipeline.length_groups import LengthGroupedSampler
from pipeline.methods.arguments import shared_arguments
from pipeline.model_manager import LoadedModel
from pipeline.reproduce.run_facts import RunFacts
from pipeline.reproduce.script_arguments import training_arguments
from pipeline.reproduce.script_code import LENGTH_GROUPS
from pipeline.reproduce.trl_script import as_trl_script
from pipeline.validation import parse_job_config
from tests.pipeline.conftest import MakeConfig
from tests.pipeline.exporters.families import FAMILIES, build_family
from tests.pipeline.methods.preference import pair_rows
from tests.pipeline.reproduce.scripts import Repeated, repeat
from tests.tiny_gemma import build_tiny_multimodal, chat_rows, write_jsonl

STEPS = 8
TRAINING = {"max_steps": STEPS, "per_device_batch_size": 4, "save_strategy": "no", "eval_strategy": "no"}
# Any user's text may come to stand in a script.
HOSTILE = "'''\"\"\"\\\n'); raise SystemExit('injected')  # \u202e\u2028é"
ADAPTER = {
    "task_type": "CAUSAL_LM",
    "r": 16,
    "lora_alpha": 32,
    "lora_dropout": 0.0,
    "target_modules": [HOSTILE, "q_proj"],
}


def facts(**values: Any) -> RunFacts:
    known = {
        "precision": "fp32",
        "attention": "sdpa",
        "device": "cpu",
        "max_length": 64,
        "train_rows": 40,
        "trained_tokens": 400,
        "adapter": ADAPTER,
        "sees_images": False,
        "versions": {"torch": "2.13.0+cpu", "trl": "1.14.2"},
    }
    return RunFacts(**{**known, **values})


def assert_same_losses(repeated: Repeated, *, within: float = 1e-5) -> None:
    assert len(repeated.run) == STEPS
    assert repeated.script == pytest.approx(repeated.run, abs=within)
    # The first two losses of DPO are the same: nothing is learned at the first rate, which is 0.
    assert len(set(repeated.run.values())) >= STEPS - 1


def test_script_has_the_losses_of_the_run(make_config: MakeConfig, tmp_path: Path) -> None:
    """Groups of similar length, three batches a step, and an evaluation in between that the script leaves out."""
    training = {**TRAINING, "gradient_accumulation_steps": 3, "eval_strategy": "steps", "eval_steps": 4}
    repeated = repeat(make_config(training=training), tmp_path)
    assert repeated.form == "readable"
    assert_same_losses(repeated)
    assert 60 < len(repeated.source.splitlines()) < 150
    assert (repeated.folder / "adapter_model.safetensors").is_file()


@pytest.mark.slow
@pytest.mark.parametrize(
    "sections",
    [
        {"training": {"batching": "random", "gradient_checkpointing": True, "lr_scheduler": "linear"}},
        {"training": {"max_steps": None, "epochs": 0.8, "optimizer": "adamw_torch", "weight_decay": 0.2, "seed": 7}},
        {"training": {"batching": "packed", "per_device_batch_size": 1}, "method": {"max_length": 120}},
        {"method": {"max_length": 40}, "training": {"warmup_ratio": 0.5, "max_grad_norm": 0.1}},
        {"method": {"train_on": "all"}},
        {"tuning": {"variant": "rslora", "rank": 4, "alpha": 8, "target_modules": "q_proj,layers.0.mlp.up_proj"}},
        {"tuning": {"variant": "dora", "dropout": 0.2}},
        {"tuning": {"train_embeddings": True}},
        {"tuning": {"kind": "full"}, "training": {"learning_rate": 0.003}},
        {"tuning": {"kind": "full", "train_embeddings": True}, "training": {"learning_rate": 0.003}},
        {"model": {"attention": "eager"}, "dataset": {"max_rows": 30}},
    ],
    ids=str,
)
def test_settings_of_a_run_are_in_its_script(make_config: MakeConfig, tmp_path: Path, sections: dict[str, Any]) -> None:
    training = {**TRAINING, **sections.pop("training", {})}
    assert_same_losses(repeat(make_config(training=training, **sections), tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("method", ["sft", "dpo", "kto"])
def test_quantized_run_is_repeated(make_config: MakeConfig, tmp_path: Path, method: str) -> None:
    path = write_jsonl(tmp_path / "rows.jsonl", chat_rows(40) if method == "sft" else pair_rows(24))
    config = make_config(
        model={"quantization": "4bit"},
        dataset={"path": str(path), "eval_share": 0},
        method={"kind": method},
        training=TRAINING,
    )
    assert_same_losses(repeat(config, tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_families_are_repeated(make_config: MakeConfig, tmp_path: Path, family: str) -> None:
    base = build_family(family, tmp_path / "model")
    training = {**TRAINING, "gradient_accumulation_steps": 2}
    assert_same_losses(repeat(make_config(model={"base_model": str(base)}, training=training), tmp_path))


@pytest.mark.slow
def test_model_that_also_sees_is_repeated_on_text(make_config: MakeConfig, tmp_path: Path) -> None:
    base = build_tiny_multimodal(tmp_path / "model")
    repeated = repeat(make_config(model={"base_model": str(base)}, training=TRAINING), tmp_path)
    assert "vision" not in repeated.source
    assert_same_losses(repeated)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["lora", "full"])
@pytest.mark.parametrize(
    ("method", "training"),
    [
        ({"kind": "dpo"}, {"gradient_accumulation_steps": 2}),
        ({"kind": "dpo", "loss_type": "robust", "label_smoothing": 0.2, "beta": 0.3}, {"batching": "random"}),
        ({"kind": "orpo", "beta": 0.4}, {"gradient_accumulation_steps": 2}),
        ({"kind": "kto", "desirable_weight": 1.3, "beta": 0.3}, {"gradient_accumulation_steps": 2}),
        ({"kind": "kto", "undesirable_weight": 0.6, "max_length": 40}, {"batching": "grouped"}),
        ({"kind": "reward", "center_rewards_coefficient": 0.1}, {"gradient_accumulation_steps": 2}),
        ({"kind": "dpo", "max_length": 40}, {}),
        ({"kind": "orpo", "max_length": 40}, {}),
        ({"kind": "reward", "max_length": 52}, {"per_device_batch_size": 3}),
    ],
    ids=str,
)
def test_preference_methods_are_repeated(
    make_config: MakeConfig, tmp_path: Path, method: dict[str, Any], training: dict[str, Any], kind: str
) -> None:
    path = write_jsonl(tmp_path / "pairs.jsonl", pair_rows(24))
    rate = 0.003 if kind == "full" else 0.01
    config = make_config(
        dataset={"path": str(path), "eval_share": 0},
        method=method,
        tuning={"kind": kind},
        training={**TRAINING, "learning_rate": rate, **training},
    )
    assert_same_losses(repeat(config, tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "precision", "within"),
    [
        ("dpo", "fp32", 1e-5),
        ("kto", "fp32", 1e-5),
        ("orpo", "fp32", 1e-5),
        ("reward", "bf16", 1e-5),
        ("dpo", "bf16", 1e-3),
    ],
)
def test_dropout_of_the_adapter_is_repeated(
    make_config: MakeConfig, tmp_path: Path, method: str, precision: str, within: float
) -> None:
    path = write_jsonl(tmp_path / "pairs.jsonl", pair_rows(24))
    config = make_config(
        dataset={"path": str(path), "eval_share": 0},
        method={"kind": method},
        tuning={"dropout": 0.3},
        training=TRAINING,
        model={"precision": precision},
    )
    assert_same_losses(repeat(config, tmp_path), within=within)


@pytest.mark.slow
@pytest.mark.parametrize("tuning", [{}, {"train_embeddings": True}, {"kind": "full"}], ids=str)
def test_losses_in_16_bits_agree_to_three_digits(
    make_config: MakeConfig, tmp_path: Path, tuning: dict[str, Any]
) -> None:
    """The rounding of gradients differs, at a learning rate a hundred times the usual one."""
    rate = 0.003 if "kind" in tuning else 0.01
    config = make_config(model={"precision": "bf16"}, tuning=tuning, training={**TRAINING, "learning_rate": rate})
    repeated = repeat(config, tmp_path)
    assert_same_losses(repeated, within=5e-3)
    assert "three digits" in repeated.source


@pytest.mark.slow
@pytest.mark.parametrize("max_length", [None, 24])
def test_texts_are_repeated_whole_and_in_pieces(
    make_config: MakeConfig, tmp_path: Path, max_length: int | None
) -> None:
    texts = [{"text": "\n".join(turn["content"] for turn in row["messages"])} for row in chat_rows(40)]
    path = write_jsonl(tmp_path / "texts.jsonl", texts)
    config = make_config(
        dataset={"path": str(path)}, method={"kind": "cpt", "max_length": max_length}, training=TRAINING
    )
    repeated = repeat(config, tmp_path)
    assert repeated.form == ("readable" if max_length is None else "token_ids")
    assert_same_losses(repeated)


def test_length_groups_are_those_of_the_pipeline() -> None:
    known: dict[str, Any] = {"Sampler": Sampler, "random": random, "SEED": 11}
    exec(LENGTH_GROUPS, known)  # noqa: S102 - the subject of the test
    chooser = random.Random(3)
    lengths = [chooser.randint(1, 400) for _ in range(1003)]
    theirs, ours = known["LengthGroups"](lengths, 4), LengthGroupedSampler(lengths, batch_size=4, seed=11)
    for epoch in (0, 1, 5):
        theirs.set_epoch(epoch)
        ours.set_epoch(epoch)
        assert list(theirs) == list(ours)
    assert len(theirs) == len(ours)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_arguments_are_those_of_the_pipeline(make_config: MakeConfig, precision: str, tmp_path: Path) -> None:
    import torch

    training = {"gradient_checkpointing": True, "warmup_ratio": 0.1, "max_grad_norm": 2.0, "logging_steps": 3}
    config = make_config(training=training)
    loaded = LoadedModel(None, None, precision, torch.device("cpu"), 64)
    known = shared_arguments(config, loaded, output_dir=tmp_path, evaluate=False)
    written = training_arguments(config, facts(precision=precision))
    shared = set(known) & set(written) - {"save_strategy"}
    assert len(shared) > 15
    assert {name: written[name] for name in shared} == {name: known[name] for name in shared}


def test_text_of_a_user_stays_within_its_literal() -> None:
    document = {
        "model": {"base_model": "./" + HOSTILE},
        "dataset": {"path": HOSTILE},
        "tuning": {"target_modules": HOSTILE},
    }
    tree = ast.parse(as_trl_script(parse_job_config(document), facts(attention=HOSTILE)))
    assigned = {ast.unparse(node.targets[0]): node.value for node in tree.body if isinstance(node, ast.Assign)}
    assert ast.literal_eval(assigned["BASE_MODEL"]) == str(Path("./" + HOSTILE))
    targets = next(word.value for word in assigned["adapter"].keywords if word.arg == "target_modules")
    assert ast.literal_eval(targets) == sorted(ADAPTER["target_modules"])
    calls = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    assert "SystemExit" not in calls


def test_hub_model_is_named_by_id_and_revision() -> None:
    document = {"model": {"base_model": "hf://acme/stone@v2"}, "dataset": {"path": "rows.jsonl"}}
    source = as_trl_script(parse_job_config(document), facts())
    assert 'BASE_MODEL = "acme/stone"\nREVISION = "v2"\n' in source
    assert "pip install torch==2.13.0 trl==1.14.2" in source


@pytest.mark.parametrize(
    ("sections", "known", "reason"),
    [
        ({"model": {"provider": "unsloth"}}, {}, "model.provider: .*Unsloth replaces parts"),
        ({"model": {"base_model": "s3://bucket/model"}}, {}, "model.base_model: .*from a bucket. Copy the model"),
        (
            {"method": {"kind": "grpo", "rewards": [{"kind": "length", "maximum": 9}]}},
            {},
            "method.kind: .*its rewards are computed by Lapidary",
        ),
        ({}, {"sees_images": True}, "dataset.path: .*its rows have images"),
    ],
)
def test_what_a_script_cannot_repeat_is_refused(sections: dict[str, Any], known: dict[str, Any], reason: str) -> None:
    document: dict[str, Any] = {"model": {"base_model": "acme/stone"}, "dataset": {"path": "rows.jsonl"}}
    for name, values in sections.items():
        document[name] = {**document.get(name, {}), **values}
    with pytest.raises(InvalidConfig, match=reason):
        as_trl_script(parse_job_config(document), facts(**known))
