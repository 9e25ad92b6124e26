"""The model card tells what the run and the export know, in words that nobody's text can break, and no more."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard
from markdown_it import MarkdownIt
from PIL import Image

from pipeline.config import ModelConfig
from pipeline.data_config import ImportJobConfig
from pipeline.events import EvaluationFinished
from pipeline.export_config import ExportJobConfig
from pipeline.exporters.card_files import CardFile
from pipeline.exporters.model_card import write_model_card
from pipeline.exporters.parity import ParityCheck, ParityReport
from pipeline.exporters.source import ExportSource, find_source
from pipeline.import_job import ImportJob
from pipeline.job_tracker import JobTracker
from pipeline.run_dir import RunDir
from tests.documents import ASSETS, DEMO_MODEL, DEMO_TEST, DEMO_TRAIN
from tests.hub_server import HubServer

SECRET = "hf_thisIsNobodysToken"
NASTY = "ro|ws `x` <script>alert(1)</script> [a](javascript:b) **c** <!--\n---\nlicense: mit\n# d \"e\" 'f' https://evil.example"
MERGED = CardFile(".", "merged", "bf16", 7_200_000)
ADAPTER = CardFile(".", "adapter", "bf16", 1_534_496)


def train(folder: Path, **sections: Any) -> Path:
    """A real run of the demo, of six steps."""
    rows = DEMO_TRAIN.read_text("utf-8").splitlines()[:64]
    (folder / "orders.jsonl").write_text("\n".join(rows), encoding="utf-8")
    document = {
        "name": "gem-clerk",
        "model": {"base_model": str(DEMO_MODEL)},
        "dataset": {"path": str(folder / "orders.jsonl"), "eval_path": str(DEMO_TEST), "eval_rows": 12},
        "evaluation": {"samples": 0},
        **sections,
    }
    training = {"max_steps": 6, "learning_rate": 3e-3, "weight_decay": 0.02, "per_device_batch_size": 4}
    document["training"] = {**training, "eval_strategy": "steps", "eval_steps": 3, **sections.get("training", {})}
    (folder / "job.json").write_text(json.dumps(document), encoding="utf-8")
    command = [sys.executable, "-m", "pipeline", "train", "--config", folder / "job.json", "--output-dir"]
    environment = {**os.environ, "HF_TOKEN": SECRET, "HF_HUB_OFFLINE": "1"}
    subprocess.run([*command, folder / "run"], env=environment, check=True, capture_output=True)
    return folder / "run"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with an adapter, evaluations, scores, and checkpoints at steps 3 and 6."""
    saving = {"save_strategy": "steps", "save_steps": 3}
    return train(tmp_path_factory.mktemp("demo"), evaluation={"samples": 0, "score_rows": 4}, training=saving)


def changed(run: Path, folder: Path, **sections: dict[str, Any]) -> Path:
    """A copy of the run whose job document says something else."""
    shutil.copytree(run, folder)
    document = json.loads((folder / "config.json").read_text("utf-8"))
    for name, values in sections.items():
        document[name] |= values
    (folder / "config.json").write_text(json.dumps(document), encoding="utf-8")
    return folder


def report(difference: float, *, same_ids: bool = True) -> ParityReport:
    checks = [ParityCheck(name=name, passed=same_ids, message="told") for name in ("token_ids", "template")]
    return ParityReport(
        checks=checks, difference=difference, largest_difference=4 * difference, divergence=0.0, matched_answers=0.875
    )


def write(folder: Path, source: Path | ExportSource, *bundle: CardFile, **options: Any) -> str:
    """The card's text, as it is written to `folder`."""
    folder.mkdir(exist_ok=True)
    found = find_source(ExportJobConfig(source=str(source))) if isinstance(source, Path) else source
    settings = {"name": "gem-clerk", "base_folder": DEMO_MODEL, "is_public": lambda name: False, **options}
    written = write_model_card(folder, source=found, bundle=bundle, **settings)
    assert sorted(written) == sorted(folder.iterdir())
    return (folder / "README.md").read_text("utf-8")


def cells(text: str) -> dict[str, list[str]]:
    """The rows of all tables by their first cell."""
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return {line[0]: line[1:] for line in lines}


def header(text: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(text.split("---\n")[1])
    return found


def test_card_has_the_figures_of_the_run(run: Path, tmp_path: Path) -> None:
    text = write(tmp_path / "card", run, MERGED)
    rows, result = cells(text), json.loads((run / "result.json").read_text("utf-8"))
    scores = json.loads((run / "scores.json").read_text("utf-8"))
    stored = {
        summary["name"]: summary["checksum"]
        for summary in (json.loads(file.read_text("utf-8")) for file in run.glob("imports/*/dataset.json"))
    }
    assert "trained by supervised fine-tuning (LoRA of rank 16) on 64 rows of orders.jsonl." in text
    assert rows["Loss"] == [f"{result['metrics']['loss']:.4g}"]
    assert rows["Loss, held out"] == [f"{result['metrics']['eval_loss']:.4g}"]
    assert rows["Optimiser steps"] == ["6"]
    assert rows["Fingerprint (SHA-256 of the rows)"] == [f"`{stored['orders.jsonl']}`"]
    assert rows["Fingerprint of the held-out data"] == [f"`{stored['test.jsonl']}`"]
    assert (rows["Rows trained on"], rows["Rows held out"]) == (["64"], ["100"])
    assert (rows["Learning rate"], rows["Weight decay"], rows["Rank"]) == (["0.003"], ["0.02"], ["16"])
    assert rows["exact match"] == [f"{scores[side]['exact_match']:.1f}" for side in ("base", "tuned")]
    assert rows["torch"] == [result["versions"]["torch"]] * 2
    assert f"{scores['rows']} held-out rows" in text
    assert "Made with Lapidary." in text
    with Image.open(tmp_path / "card" / "loss.png") as picture:
        assert picture.size == (1600, 800)


def test_card_shows_what_came_of_comparing_each_file(run: Path, tmp_path: Path) -> None:
    files = [
        CardFile("gem-clerk-q8_0.gguf", "gguf", "q8_0", 4_096_000, report(0.02)),
        CardFile("gem-clerk-q2_k.gguf", "gguf", "q2_k", 999, report(0.5, same_ids=False)),
    ]
    rows = cells(write(tmp_path / "card", run, MERGED, *files, repo="ravi/gem-clerk"))
    assert rows["gem-clerk-q8_0.gguf"] == ["q8_0", "4.10 MB", "same", "0.0200 (0.0800)", "88%", "proven"]
    assert rows["gem-clerk-q2_k.gguf"][1:3] == ["999 bytes", "**different**"]
    assert rows["gem-clerk-q2_k.gguf"][-1] == "**differs**"


def test_card_names_no_place_of_the_machine_and_no_secret(run: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("HF_TOKEN", SECRET)
    signed = f"https://ravi:{SECRET}@data.example/private/orders.jsonl?X-Amz-Signature={SECRET}"
    for number, source in enumerate([run, changed(run, tmp_path / "signed", dataset={"path": signed})]):
        text = write(tmp_path / f"card{number}", source, MERGED, repo="ravi/gem-clerk")
        for private in (SECRET, str(run.parent), str(ASSETS.parent), str(tmp_path), str(Path.home()), "data.example"):
            assert private not in text
        assert "rows of orders.jsonl." in text


def test_header_is_what_the_hub_reads(run: Path, tmp_path: Path) -> None:
    hub_base = changed(run, tmp_path / "run", model={"base_model": "google/gemma-3-1b-it"})
    whole = CardFile("gem-clerk-q8_0.gguf", "gguf", "q8_0", 4_096_000, report(0.02))
    write(tmp_path / "card", hub_base, MERGED, whole, repo="ravi/gem-clerk")
    data = ModelCard.load(tmp_path / "card" / "README.md").data.to_dict()
    assert data["base_model"] == "google/gemma-3-1b-it"
    assert (data["base_model_relation"], data["library_name"]) == ("finetune", "transformers")
    assert (data["pipeline_tag"], data["license"]) == ("text-generation", "gemma")
    assert data["tags"] == ["lapidary", "gguf", "sft", "lora"]
    adapter = header(write(tmp_path / "adapter", hub_base, ADAPTER))
    assert (adapter["base_model_relation"], adapter["library_name"]) == ("adapter", "peft")
    local = header(write(tmp_path / "local", run, MERGED))
    assert "base_model" not in local and "datasets" not in local and "language" not in local


def test_nasty_names_stay_text(run: Path, tmp_path: Path) -> None:
    source = changed(run, tmp_path / "run", tuning={"target_modules": NASTY}, model={"base_model": NASTY})
    for file in source.glob("imports/*/dataset.json"):
        summary = json.loads(file.read_text("utf-8"))
        if summary["name"] == "orders.jsonl":
            (tmp_path / "data").mkdir()
            (tmp_path / "data" / "dataset.json").write_text(json.dumps({**summary, "name": NASTY}), "utf-8")
    document = json.loads((source / "config.json").read_text("utf-8"))
    document["dataset"]["path"] = str(tmp_path / "data")
    (source / "config.json").write_text(json.dumps(document), encoding="utf-8")
    text = write(tmp_path / "card", source, MERGED, ADAPTER)
    assert set(header(text)) == {"license", "library_name", "pipeline_tag", "tags"}
    assert ModelCard.load(tmp_path / "card" / "README.md").data.to_dict()["license"] == "apache-2.0"
    body = text.split("---\n", 2)[2]
    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(body)
    inline = [child for token in tokens for child in token.children or []]
    assert not [token for token in [*tokens, *inline] if token.type.startswith("html")]
    assert not [child for child in inline if child.type == "link_open"]
    shown = ["".join(child.content for child in token.children) for token in tokens if token.type == "inline"]
    row = next(place for place, content in enumerate(shown) if content == "Target modules")
    assert shown[row + 1].startswith(
        "ro|ws `x` <script>alert(1)</script> [a](javascript:b) **c** <!-- --- license: mit"
    )
    assert next(line for line in text.splitlines() if line.startswith("| Name |")).count(" | ") == 1


def test_checkpoint_has_the_figures_of_its_step(run: Path, tmp_path: Path) -> None:
    text = write(tmp_path / "card", run / "checkpoints" / "checkpoint-3", ADAPTER)
    lines = (run / "events.jsonl").read_text("utf-8").splitlines()
    at_three = [event for event in map(json.loads, lines) if event.get("step") == 3]
    rows = cells(text)
    assert "saved after 3 steps; the run went on to 6" in text
    assert rows["Optimiser steps"] == ["3 of 6"]
    for kind, name, label in (("step_logged", "loss", "Loss"), ("evaluation_finished", "eval_loss", "Loss, held out")):
        value = next(event["metrics"][name] for event in at_three if event["type"] == kind)
        assert rows[label] == [f"{value:.4g}"]
    # The scores and the time are those of the whole run.
    assert "Before and after" not in text and "Time of training" not in rows


def test_kept_best_weights_have_the_figures_of_their_step(run: Path, tmp_path: Path) -> None:
    source = changed(run, tmp_path / "run", evaluation={"keep_best": True})
    RunDir(source).append(EvaluationFinished(step=6, metrics={"eval_loss": 99.0}))
    text = write(tmp_path / "card", source, ADAPTER)
    assert "the weights of the best evaluation, after 3 of 6 steps" in text
    assert cells(text)["Loss, held out"] != ["99"]


def test_adapter_from_elsewhere_has_a_card_of_what_is_known(run: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(run / "adapter", elsewhere)
    source = ExportSource(ModelConfig(base_model="google/gemma-3-4b-it"), elsewhere, None, [], None)
    text = write(tmp_path / "card", source, MERGED)
    assert "This is an adapter of rank 16 for google/gemma-3-4b-it." in text
    assert "on what data and how is not known" in text
    assert header(text)["license"] == "gemma"
    assert "[google/gemma-3-4b-it](https://huggingface.co/google/gemma-3-4b-it)" in text
    assert "## Training" not in text and "supervised" not in text
    assert [file.name for file in (tmp_path / "card").iterdir()] == ["README.md"]


def test_full_fine_tune_has_a_card_of_a_whole_model(tmp_path: Path) -> None:
    run = train(tmp_path, tuning={"kind": "full"}, training={"max_steps": 2, "eval_strategy": "no"})
    text = write(tmp_path / "card", run, MERGED)
    assert "trained by supervised fine-tuning (all weights of the language model) on 64 rows" in text
    assert cells(text)["the model itself"][-1] == "as trained"
    assert "PEFT" not in text and "enable-lora" not in text
    assert "lora" not in header(text)["tags"]
    assert "Loss, held out" not in text and "Before and after" not in text


@pytest.mark.parametrize(
    ("card", "told"),
    [
        ("license: other\nlicense_name: house-1.0\nlicense_link: https://house.example/terms", "house-1.0, [text]("),
        ("license: mit", "mit, as the base model's card says"),
        ("license: ['mit', '<b>']", "not known here"),
        ("license: '<script>'", "not known here"),
        ("no: licence", "not known here"),
    ],
)
def test_licence_is_the_one_that_the_base_names(run: Path, tmp_path: Path, card: str, told: str) -> None:
    base = tmp_path / "base"
    base.mkdir()
    (base / "README.md").write_text(f"---\n{card}\n---\n# A model\n", encoding="utf-8")
    text = write(tmp_path / "card", run, MERGED, base_folder=base)
    assert told in text
    assert ("license" in header(text)) == ("not known" not in told)
    (base / "README.md").unlink()
    (base / "LICENSE").write_text("\n   Apache License\n   Version 2.0, January 2004\n", encoding="utf-8")
    assert header(write(tmp_path / "card", run, MERGED, base_folder=base))["license"] == "apache-2.0"


def test_imported_data_set_goes_by_its_name_and_its_language(run: Path, tmp_path: Path) -> None:
    imported = RunDir(tmp_path / "import")
    config = ImportJobConfig(name="Orders of the house", source=str(run.parent / "orders.jsonl"))
    imported.create(config)
    with JobTracker(imported) as tracker:
        ImportJob(config, imported, tracker).run()
    source = changed(run, tmp_path / "run", dataset={"path": str(imported.artifact("dataset"))})
    text = write(tmp_path / "card", source, MERGED)
    assert "64 rows of Orders of the house." in text
    assert header(text)["language"] == "en"


def test_data_set_is_in_the_header_where_anybody_may_see_it(run: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from pipeline.exporters.hub_visibility import is_public_dataset as public\n"
        "print([public(name) for name in sys.argv[1:]])"
    )
    names = ["gems/orders", "gems/secrets", "gems/none"]
    with HubServer(tmp_path / "hub") as hub:
        hub.add_dataset("gems/orders", {"rows.jsonl": b"{}"})
        hub.add_dataset("gems/secrets", {"rows.jsonl": b"{}"}, private=True)
        hub.add_token(SECRET, reads=["gems/secrets"])
        kept = {name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"}
        asked = {**kept, "HF_ENDPOINT": hub.url, "HF_TOKEN": SECRET, "NO_PROXY": "*"}
        done = subprocess.run([sys.executable, "-c", code, *names], env=asked, capture_output=True, text=True)
    assert done.stdout.strip() == "[True, False, False]", done.stderr
    source = changed(run, tmp_path / "run", dataset={"path": "gems/orders"})
    public = write(tmp_path / "card", source, MERGED, is_public=lambda name: name == "gems/orders")
    assert header(public)["datasets"] == ["gems/orders"]
    assert "rows of gems/orders." in public
    assert "datasets" not in header(write(tmp_path / "card", source, MERGED))
