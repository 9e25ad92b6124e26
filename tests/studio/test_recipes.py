"""Every recipe that ships is a run that could start; choosing one leaves the user's own values alone."""

import json
import re
import uuid
from pathlib import Path
from typing import Any

import pytest

from db.jobs import NotFound
from pipeline.checks.combinations import combination_findings
from pipeline.config import FineTuneJobConfig
from pipeline.config_fields import config_fields
from pipeline.errors import InvalidConfig
from pipeline.memory_rules import weights_gb
from pipeline.validation import parse_job_config
from studio.forms import Form
from studio.recipes import Recipe, Recipes, apply
from studio.ui.recipe_box import recipe_values
from tests.documents import ASSETS
from tests.services import open_studio

PROJECT = ASSETS.parent
FILES = sorted((ASSETS / "recipes").glob("*.yaml"))
RECIPES = Recipes(ASSETS)
CHOSEN = {"model": {"base_model": "acme/acme-3b"}, "dataset": {"path": "rows.jsonl"}}
FAMILIES = {"google": "gemma3", "Qwen": "qwen3", "meta-llama": "llama", "mistralai": "mistral"}


def of_file(file: Path) -> Recipe:
    return next(recipe for recipe in RECIPES.by_slug.values() if recipe.slug == file.stem)


def config_of(recipe: Recipe) -> FineTuneJobConfig:
    own_model = {"dataset": CHOSEN["dataset"]}
    return parse_job_config(apply(recipe, CHOSEN if recipe.base_model is None else own_model))


def test_every_file_is_read() -> None:
    assert len(FILES) == len(RECIPES.by_slug) >= 20


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_recipe_is_a_run_without_contradictions(file: Path) -> None:
    recipe = of_file(file)
    config = config_of(recipe)
    assert combination_findings(config) == []
    assert config.method.kind in recipe.train_styles
    assert "dataset" not in recipe.default_config, "rows are the user's"
    assert ("model.base_model" in recipe.required_fields) == (recipe.base_model is None)
    expected = {"4bit": "qlora", "none": "full_ft" if config.tuning.kind == "full" else "lora"}
    pictures = recipe.modality == "multimodal"
    assert recipe.recipe_type == ("vision_lora" if pictures else expected[config.model.quantization])


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_recipe_names_settings_that_exist(file: Path) -> None:
    recipe = of_file(file)
    known = {field.path for field in config_fields()}
    assert {*recipe.required_fields, *recipe.optional_fields} <= known
    assert "dataset.path" in recipe.required_fields
    assert not recipe.supports_distributed
    assert recipe.description.endswith(".") and recipe.tags


@pytest.mark.parametrize("file", [file for file in FILES if of_file(file).base_model], ids=lambda file: file.stem)
def test_memory_of_a_recipe_is_enough_and_not_absurd(file: Path) -> None:
    recipe, config = of_file(file), config_of(of_file(file))
    size = re.search(r"(\d+(?:\.\d+)?)([bm])", config.model.base_model.lower().rpartition("/")[2].partition("-")[2])
    assert size, "the model's name tells its size"
    parameters = float(size[1]) * {"b": 1e9, "m": 1e6}[size[2]]
    weights = weights_gb(parameters, tuning=config.tuning.kind, quantization=config.model.quantization)
    assert weights * 1.1 < recipe.min_gpu_memory_gb <= max(8, 10 * weights)


@pytest.mark.parametrize("file", [file for file in FILES if of_file(file).base_model], ids=lambda file: file.stem)
def test_architecture_of_a_recipe_is_that_of_its_model(file: Path) -> None:
    recipe = of_file(file)
    owner, _, name = str(recipe.base_model).partition("/")
    assert all(architecture.startswith(FAMILIES[owner]) for architecture in recipe.supported_architectures)
    if owner == "google":
        text_only = "-1b-" in name or "-270m-" in name
        assert recipe.supported_architectures == (("gemma3_text",) if text_only else ("gemma3",))


def test_ids_are_stable_and_unique() -> None:
    ids = [recipe.id for recipe in RECIPES.by_slug.values()]
    assert len(set(ids)) == len(ids)
    assert all(str(uuid.UUID(identifier)) == identifier for identifier in ids)
    assert RECIPES.recipe("gemma-3-1b-chat-lora").id == "979f5e64-37b7-5421-bfa9-fd5489048a11"


def test_recipe_is_found_by_slug_and_by_id() -> None:
    recipe = RECIPES.recipe("gemma-3-1b-dpo")
    assert RECIPES.recipe(recipe.id) == recipe


def test_unknown_recipe_is_answered_with_the_nearest() -> None:
    with pytest.raises(NotFound, match=r"no recipe called 'gemma-1b-dpo'\. Did you mean gemma-3-1b-dpo\?"):
        RECIPES.recipe("gemma-1b-dpo")
    with pytest.raises(NotFound, match="lists those there are"):
        RECIPES.recipe("???")


@pytest.mark.parametrize(
    ("wanted", "slugs"),
    [
        ({"train_style": "dpo"}, {"gemma-3-1b-dpo"}),
        ({"recipe_type": "full_ft"}, {"gemma-3-270m-full", "gemma-3-1b-full-24gb"}),
        ({"modality": "vision"}, {"gemma-3-4b-vision-lora"}),
        ({"search": "GEMMA reasoning"}, {"gemma-3-1b-grpo-reasoning"}),
        ({"architecture": "mistral"}, {"mistral-7b-qlora-16gb", "any-model-lora", "any-model-qlora"}),
        ({"max_gpu_memory_gb": 6}, {"gemma-3-270m-classify"}),
        ({"min_gpu_memory_gb": 30}, {"gemma-3-27b-qlora-48gb"}),
        ({"search": "no such words"}, set()),
    ],
)
def test_recipes_are_filtered(wanted: dict[str, Any], slugs: set[str]) -> None:
    found, total = RECIPES.search(**wanted)
    assert {recipe.slug for recipe in found} == slugs
    assert total == len(slugs)


def test_list_begins_with_gemma_and_is_paged() -> None:
    found, total = RECIPES.search()
    is_gemma = [recipe.slug.startswith("gemma") for recipe in found]
    assert is_gemma == sorted(is_gemma, reverse=True)
    assert not found[-1].supported_architectures
    assert RECIPES.search(limit=2, offset=3) == (found[3:5], total)


def test_users_values_win_over_the_recipe() -> None:
    own = {**CHOSEN, "tuning": {"rank": 4}, "training": {"epochs": 7, "max_steps": None}}
    config = parse_job_config(apply(RECIPES.recipe("gemma-3-1b-chat-lora"), own))
    assert config.model.base_model == "acme/acme-3b"
    assert (config.tuning.rank, config.tuning.alpha) == (4, 32)  # type: ignore[union-attr]
    assert (config.training.epochs, config.training.per_device_batch_size) == (7, 4)


def test_another_method_takes_the_recipes_settings_of_the_first_one_away() -> None:
    rated = Recipe.model_validate(
        {
            **json.loads(RECIPES.recipe("gemma-3-1b-chat-lora").model_dump_json(exclude={"id"})),
            "default_config": {"method": {"train_on": "all"}, "training": {"learning_rate": 0.5, "epochs": 2}},
        }
    )
    config = parse_job_config(apply(rated, {**CHOSEN, "method": {"kind": "dpo"}}))
    assert (config.training.learning_rate, config.training.epochs) == (1e-5, 2)
    same = parse_job_config(apply(rated, {**CHOSEN, "method": {"kind": "sft"}}))
    assert (same.training.learning_rate, same.method.train_on) == (0.5, "all")  # type: ignore[union-attr]
    full = parse_job_config(apply(RECIPES.recipe("gemma-3-1b-dpo"), {**CHOSEN, "tuning": {"kind": "full"}}))
    assert (full.tuning.kind, full.training.learning_rate) == ("full", 1e-6)


def test_applying_a_recipe_leaves_it_as_it_was() -> None:
    recipe = RECIPES.recipe("gemma-3-1b-grpo-reasoning")
    before = recipe.model_dump_json()
    apply(recipe, CHOSEN)["method"]["rewards"].clear()
    assert recipe.model_dump_json() == before


def test_document_without_a_recipe_is_left_alone() -> None:
    assert RECIPES.document(CHOSEN) == CHOSEN
    assert RECIPES.document({**CHOSEN, "recipe_id": None}) == CHOSEN


def test_recipe_id_that_is_no_text_is_a_problem_of_its_field() -> None:
    with pytest.raises(InvalidConfig) as raised:
        RECIPES.document({**CHOSEN, "recipe_id": 7})
    assert [(problem.field, "it was 7" in problem.message) for problem in raised.value.problems] == [
        ("recipe_id", True)
    ]


def test_chosen_recipe_fills_the_form_and_leaves_rows_name_and_trackers(tmp_path: Path) -> None:
    form = Form(FineTuneJobConfig)
    typed = {**form.defaults(), "dataset.path": "/rows", "name": "mine", "tracking.wandb": True, "training.seed": 7}
    with open_studio(tmp_path) as studio:
        values = recipe_values(studio, form, RECIPES.recipe("gemma-3-1b-dpo"), typed)
    assert (values["dataset.path"], values["name"], values["tracking.wandb"]) == ("/rows", "mine", True)
    assert (values["model.base_model"], values["method.kind"]) == ("google/gemma-3-1b-it", "dpo")
    assert (values["training.learning_rate"], values["training.seed"]) == (1e-5, 42)
    assert set(values) == set(form.leaves)


def test_recipe_for_any_model_keeps_the_model_and_what_suits_it(tmp_path: Path) -> None:
    form = Form(FineTuneJobConfig)
    with open_studio(tmp_path) as studio:
        nano = next(iter(studio.catalog.models))
        typed = {**form.defaults(), "model.base_model": nano}
        values = recipe_values(studio, form, RECIPES.recipe("any-model-lora"), typed)
    assert (values["model.base_model"], values["training.learning_rate"]) == (nano, 0.003)
    assert values["training.per_device_batch_size"] == 2


def test_table_of_the_documents_is_that_of_the_recipes() -> None:
    written = (PROJECT / "docs" / "recipes.md").read_text(encoding="utf-8")
    rows = [
        f"| [`{recipe.slug}`](../assets/recipes/{recipe.slug}.yaml) | {recipe.display_name} | "
        f"{', '.join(recipe.train_styles)} | {recipe.recipe_type} | {recipe.min_gpu_memory_gb:g} |"
        for recipe in RECIPES.by_slug.values()
    ]
    found = [line for line in written.splitlines() if line.startswith("| [`")]
    assert found == rows, "\n".join(["docs/recipes.md should have these rows:", *rows])
