"""The provider unsloth: it is imported first and only where it is asked for, and trains what the other one trains.

Tests marked `unsloth` need it in its folder; every one of them trains in a process of its own, because unsloth changes
the libraries that this process has imported.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from pipeline.checks.facts import gather_facts
from pipeline.checks.provider import check_provider, provider_combinations
from pipeline.config import FineTuneJobConfig
from pipeline.errors import InvalidConfig
from pipeline.events import JobFailed, StepLogged
from pipeline.fine_tune_job import FineTuneJob
from pipeline.job_tracker import JobTracker
from pipeline.methods.sft import choose_batching
from pipeline.model_manager import ModelManager
from pipeline.providers.import_order import import_provider, install_command, unsloth_folder, unsloth_problem
from pipeline.run_dir import RunDir
from pipeline.validation import parse_job_config
from tests.pipeline.conftest import MakeConfig
from tests.tiny_gemma import STONES, write_jsonl

MakeJob = Callable[[str, dict[str, Any]], FineTuneJobConfig]
REPOSITORY = Path(__file__).parents[3]
# Where it was installed for these tests: in the home of whoever started them, or in LAPIDARY_HOME.
INSTALLED = unsloth_folder().resolve()
# Python's own way to say that a module cannot be imported, whether it is installed or not.
HIDDEN = "import sys; sys.modules['unsloth'] = sys.modules['unsloth_zoo'] = None\n"
# Runs the jobs of these folders one after the other, as `python -m pipeline run` does with one.
DRIVER = """
import sys
from pathlib import Path
from pipeline.errors import UserError
from pipeline.job_tracker import JobTracker
from pipeline.providers.import_order import import_provider
from pipeline.run_dir import RunDir

run_dirs = [RunDir(Path(path)) for path in sys.argv[1:]]
import_provider(run_dirs[0].read_training_config().model, compiled_code=run_dirs[0].compiled_code)
from pipeline.fine_tune_job import FineTuneJob

for run_dir in run_dirs:
    try:
        with JobTracker(run_dir) as tracker:
            FineTuneJob(run_dir.read_training_config(), run_dir, tracker).run()
    except UserError:
        pass
"""
PAIRS = [
    {
        "prompt": f"How many carats has the {stone}?",
        "chosen": f"It has {index} carats" + " exactly" * (index % 4) + ".",
        "rejected": "I do not know" + " at all" * (index % 3) + ".",
    }
    for index, stone in enumerate(STONES * 3)
]
TEXT_OF_PAIR = {"kind": "template", "template": "{prompt} {chosen}"}
VARIANTS: dict[str, dict[str, Any]] = {
    "rslora": {"tuning": {"variant": "rslora", "alpha": 8}},
    "dropout": {"tuning": {"dropout": 0.2}},
    "chosen_layers": {"tuning": {"target_modules": "q_proj,down_proj"}},
    "embeddings": {"tuning": {"train_embeddings": True}},
    "checkpointing": {"training": {"gradient_checkpointing": True, "gradient_accumulation_steps": 2}},
    "bf16": {"model": {"precision": "bf16"}},
    "cpt": {"method": {"kind": "cpt"}, "dataset": {"mapping": {"format": "text", "text": [TEXT_OF_PAIR]}}},
    "dpo": {"method": {"kind": "dpo"}},
    "orpo": {"method": {"kind": "orpo"}},
    "kto": {"method": {"kind": "kto"}},
}

CONTRADICTIONS: list[tuple[str, dict[str, Any]]] = [
    ("unsloth_method", {"method": {"kind": "reward"}}),
    (
        "unsloth_method",
        {"method": {"kind": "grpo", "rewards": [{"kind": "exact_match", "column": "answer"}]}},
    ),
    ("unsloth_full", {"tuning": {"kind": "full"}}),
    ("unsloth_dora", {"tuning": {"variant": "dora"}}),
    ("unsloth_8bit", {"model": {"quantization": "8bit"}}),
    ("unsloth_attention", {"model": {"attention": "eager"}}),
    ("unsloth_packing", {"training": {"batching": "packed"}}),
]


def child(
    code: str, *arguments: object, cwd: Path = REPOSITORY, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1", **environment},
        stdin=subprocess.DEVNULL,
        timeout=240,
        check=False,
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A LAPIDARY_HOME with unsloth in it."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "unsloth").symlink_to(INSTALLED)
    return str(folder)


@pytest.fixture
def not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "unsloth", None)
    monkeypatch.setitem(sys.modules, "unsloth_zoo", None)


def test_run_without_unsloth_fails_at_once_with_the_install_line(make_config: MakeConfig, tmp_path: Path) -> None:
    run_dir = RunDir(tmp_path / "run")
    run_dir.create(make_config(model={"provider": "unsloth"}))
    code = HIDDEN + (
        "from pipeline.cli import main\n"
        "status = main(['run', sys.argv[1]])\n"
        "assert 'torch' not in sys.modules, 'heavy'\n"
        "sys.exit(status)"
    )
    done = child(code, run_dir.path)
    assert done.returncode == 1, done.stderr
    assert done.stderr.splitlines()[-1] == (
        "model.provider: unsloth and unsloth_zoo cannot be found. Choose the provider huggingface, or run: pip install "
        f"--upgrade --no-deps --target {tmp_path}/lapidary/unsloth unsloth==2026.10.9 unsloth_zoo==2026.10.9"
    )
    failed = run_dir.read_events()[0][-1]
    assert isinstance(failed, JobFailed)
    assert failed.code == "invalid_config"


@pytest.mark.usefixtures("not_installed")
def test_loading_without_unsloth_names_the_install_line(make_config: MakeConfig, tracker: JobTracker) -> None:
    manager = ModelManager(make_config(model={"provider": "unsloth"}), tracker)
    with pytest.raises(InvalidConfig, match=re.escape(install_command(unsloth_folder()))):
        manager.load()


@pytest.mark.usefixtures("not_installed")
def test_preflight_offers_the_other_provider_where_unsloth_is_missing(make_config: MakeConfig, tmp_path: Path) -> None:
    config = make_config(model={"provider": "unsloth"})
    (finding,) = check_provider(config, gather_facts(config, data=None, output_dir=tmp_path))
    assert (finding.code, finding.severity, finding.field) == ("unsloth_missing", "error", "model.provider")
    assert finding.message.endswith(install_command(unsloth_folder()))
    other = make_config(model={"provider": finding.fixes[0].patch["model.provider"]})
    assert check_provider(other, gather_facts(other, data=None, output_dir=tmp_path)) == []


def test_other_provider_changes_nothing(make_config: MakeConfig, tmp_path: Path) -> None:
    before = (set(sys.modules), dict(os.environ))
    import_provider(make_config().model, compiled_code=tmp_path / "code")
    assert (set(sys.modules), dict(os.environ)) == before


def test_unsloth_is_not_for_macs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert "MLX" in str(unsloth_problem())


@pytest.mark.parametrize(("code", "sections"), CONTRADICTIONS)
def test_what_unsloth_would_ignore_is_refused_and_mended(
    make_config: MakeConfig, code: str, sections: dict[str, Any]
) -> None:
    sections = {**sections, "model": {**sections.get("model", {}), "provider": "unsloth"}}
    config = make_config(**sections)
    (finding,) = provider_combinations(config)
    assert (finding.code, finding.severity) == (code, "error")
    document = config.model_dump()
    for path, value in finding.fixes[0].patch.items():
        section, name = path.split(".")
        document[section][name] = value
    assert list(provider_combinations(parse_job_config(document))) == []


def test_unsloth_is_not_left_to_pack(make_config: MakeConfig) -> None:
    attention = "flash_attention_2"
    assert choose_batching(make_config(), attention=attention) == "packed"
    assert choose_batching(make_config(model={"provider": "unsloth"}), attention=attention) == "grouped"


def test_guide_has_the_install_command() -> None:
    command = install_command(Path("/home/me/.lapidary/unsloth")).replace("/home/me", "~")
    assert f"\n{command}\n" in (REPOSITORY / "docs" / "unsloth.md").read_text(encoding="utf-8")


@pytest.mark.usefixtures("not_installed")
def test_unsloth_is_found_in_its_folder_once_it_is_installed(tmp_path: Path) -> None:
    assert unsloth_problem() is not None
    for package in ("unsloth", "unsloth_zoo"):
        (unsloth_folder() / package).mkdir(parents=True)
        (unsloth_folder() / package / "__init__.py").touch()
    assert unsloth_problem() is None


@pytest.fixture(scope="module")
def documents(tiny_gemma: Path, chats: Path, tmp_path_factory: pytest.TempPathFactory) -> MakeJob:
    """Makes the job of a variant for a provider."""
    pairs = write_jsonl(tmp_path_factory.mktemp("pairs") / "pairs.jsonl", PAIRS)

    def make(provider: str, sections: dict[str, Any]) -> FineTuneJobConfig:
        document: dict[str, Any] = {
            "model": {"base_model": str(tiny_gemma), "precision": "fp32"},
            "dataset": {"path": str(pairs if "method" in sections else chats)},
            "training": {"max_steps": 4, "learning_rate": 0.01, "per_device_batch_size": 4, "save_strategy": "no"},
            "evaluation": {"sample_tokens": 4},
        }
        for name, values in sections.items():
            document.setdefault(name, {}).update(values)
        document["model"]["provider"] = provider
        return parse_job_config(document)

    return make


@pytest.fixture(scope="module")
def trained_with_unsloth(documents: MakeJob, home: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, RunDir]:
    """The run folders of all variants, trained by one process."""
    run_dirs = {name: RunDir(tmp_path_factory.mktemp(name) / "run") for name in VARIANTS}
    for name, run_dir in run_dirs.items():
        run_dir.create(documents("unsloth", VARIANTS[name]))
    done = child(DRIVER, *(run_dir.path for run_dir in run_dirs.values()), LAPIDARY_HOME=home, HF_HUB_OFFLINE="1")
    assert done.returncode == 0, done.stderr
    return run_dirs


def trained_here(config: FineTuneJobConfig, folder: Path) -> RunDir:
    """The folder of a run of this process, which does not know unsloth."""
    assert "unsloth" not in sys.modules
    run_dir = RunDir(folder)
    run_dir.create(config)
    with JobTracker(run_dir) as tracker:
        FineTuneJob(config, run_dir, tracker).run()
    return run_dir


def values(run_dir: RunDir) -> list[tuple[float, float]]:
    """The loss and the length of the gradient of each step."""
    events, _ = run_dir.read_events()
    assert not isinstance(events[-1], JobFailed), events[-1]
    return [(event.metrics["loss"], event.metrics["grad_norm"]) for event in events if isinstance(event, StepLogged)]


def described(folder: Path) -> dict[str, Any]:
    config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    config["target_modules"] = sorted(config["target_modules"])
    return config


@pytest.mark.unsloth
@pytest.mark.parametrize("name", VARIANTS)
def test_training_is_that_of_the_other_provider(
    name: str,
    documents: MakeJob,
    trained_with_unsloth: dict[str, RunDir],
    tmp_path: Path,
) -> None:
    theirs = trained_with_unsloth[name]
    ours = trained_here(documents("huggingface", VARIANTS[name]), tmp_path / "run")
    assert len(values(ours)) == 4
    for mine, other in zip(values(ours), values(theirs), strict=True):
        assert other == pytest.approx(mine, rel=1e-5)
    adapters = [load_file(run_dir.artifact("adapter") / "adapter_model.safetensors") for run_dir in (ours, theirs)]
    assert adapters[0].keys() == adapters[1].keys()
    torch.testing.assert_close(adapters[0], adapters[1], rtol=1e-4, atol=1e-5)
    assert described(ours.artifact("adapter")) == described(theirs.artifact("adapter"))


@pytest.mark.unsloth
def test_command_learns_quietly_and_leaves_a_plain_adapter_and_model(
    make_config: MakeConfig, home: str, tmp_path: Path
) -> None:
    sections = {
        "training": {"max_steps": 30, "lr_scheduler": "constant", "save_strategy": "no"},
        "evaluation": {"samples": 0},
        "export": {"merged": True},
    }
    run_dir = RunDir(tmp_path / "run")
    run_dir.create(make_config(**{**sections, "model": {"provider": "unsloth"}}))
    empty = tmp_path / "empty"
    empty.mkdir()
    command = "import sys; from pipeline.cli import main; status = main(['run', sys.argv[1]])"
    done = child(f"{command}; import studio; print(studio.__file__)", run_dir.path, cwd=empty, LAPIDARY_HOME=home)
    assert done.returncode == 0, done.stderr
    # Its own greetings, and its own package of that name, stay out of the way.
    assert done.stdout == f"{REPOSITORY}/studio/__init__.py\n"
    assert list(empty.iterdir()) == []
    losses = [loss for loss, _ in values(run_dir)]
    assert losses[-1] < losses[0] - 0.3
    manifest = run_dir.read_manifest()
    assert manifest is not None
    assert [artifact.kind for artifact in manifest.artifacts] == ["adapter", "merged"]
    assert manifest.versions["unsloth"] == "2026.10.9"

    ours = trained_here(make_config(**sections), tmp_path / "ours")
    kept = json.loads((ours.artifact("merged") / "config.json").read_text(encoding="utf-8"))
    assert json.loads((run_dir.artifact("merged") / "config.json").read_text(encoding="utf-8")) == kept

    base = AutoModelForCausalLM.from_pretrained(make_config().model.base_model)
    adapted = PeftModel.from_pretrained(base, run_dir.artifact("adapter"))
    merged = AutoModelForCausalLM.from_pretrained(run_dir.artifact("merged"))
    ids = torch.arange(10, 50).unsqueeze(0)
    with torch.no_grad():
        torch.testing.assert_close(adapted(ids).logits, merged(ids).logits, rtol=1e-4, atol=1e-4)


@pytest.mark.unsloth
def test_four_bit_weights_are_trained_on(home: str, tmp_path: Path) -> None:
    run_dir = RunDir(tmp_path / "run")
    run_dir.create(
        parse_job_config(
            {
                "model": {
                    "base_model": str(REPOSITORY / "assets" / "demo" / "gemma-nano"),
                    "provider": "unsloth",
                    "quantization": "4bit",
                },
                "dataset": {"path": str(REPOSITORY / "assets" / "demo" / "gem-orders" / "train.jsonl"), "max_rows": 60},
                "training": {"max_steps": 15, "learning_rate": 0.002, "save_strategy": "no"},
                "evaluation": {"samples": 0},
            }
        )
    )
    done = child(DRIVER, run_dir.path, LAPIDARY_HOME=home)
    assert done.returncode == 0, done.stderr
    losses = [loss for loss, _ in values(run_dir)]
    assert losses[-1] < losses[0] / 2


@pytest.mark.unsloth
def test_what_unsloth_cannot_load_is_told(make_config: MakeConfig, tiny_gemma: Path, home: str, tmp_path: Path) -> None:
    incomplete = tmp_path / "incomplete"
    copytree(tiny_gemma, incomplete)
    weights = load_file(incomplete / "model.safetensors")
    del weights["model.norm.weight"]
    save_file(weights, incomplete / "model.safetensors", {"format": "pt"})
    cases = {
        "whole": ({"quantization": "4bit"}, "Unsloth cannot keep this model in 4 bits on this machine"),
        "incomplete": ({"base_model": str(incomplete)}, "lacks weights that its config.json promises"),
    }
    run_dirs = {name: RunDir(tmp_path / "runs" / name) for name in cases}
    for name, (model, _) in cases.items():
        run_dirs[name].create(make_config(model={**model, "provider": "unsloth"}))
    # Its own switch for processors on which bitsandbytes does not work.
    folders = [run_dir.path for run_dir in run_dirs.values()]
    done = child(DRIVER, *folders, LAPIDARY_HOME=home, UNSLOTH_CPU_LOAD_IN_4BIT="0")
    assert done.returncode == 0, done.stderr
    for name, (_, sentence) in cases.items():
        failed = run_dirs[name].read_events()[0][-1]
        assert isinstance(failed, JobFailed)
        assert sentence in failed.message


@pytest.mark.unsloth
def test_unsloth_has_to_come_first(home: str, tmp_path: Path) -> None:
    code = (
        "import transformers, sys\n"
        "from pathlib import Path\n"
        "from pipeline.config import ModelConfig\n"
        "from pipeline.providers.import_order import import_provider\n"
        "import_provider(ModelConfig(base_model='x', provider='unsloth'), compiled_code=Path(sys.argv[1]))"
    )
    done = child(code, tmp_path, LAPIDARY_HOME=home)
    assert done.stderr.splitlines()[-1] == "ImportError: unsloth has to be imported before transformers."
