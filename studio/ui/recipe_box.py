"""The recipes of wizard step 1: one choice that fills model and settings, and leaves the data set alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.components import Component
from gradio.events import Dependency

from pipeline.validation import parse_job_config
from studio.forms import Form, flatten
from studio.recipes import Recipe, apply
from studio.service import Studio
from studio.smart_defaults import NOT_CHOSEN
from studio.ui.handlers import QUIET
from studio.ui.html import callout
from studio.ui.model_step import ModelStep, model_card

# What a recipe says nothing about.
_KEPT = ("name", "dataset.", "tracking.")


@dataclass(frozen=True)
class RecipeBox:
    """The choice, and what is told of the recipe that was chosen."""

    choice: gr.Dropdown
    about: gr.HTML


def build_recipe_box(studio: Studio) -> RecipeBox:
    """Render the choice."""
    found, _ = studio.recipes.search()
    choice = gr.Dropdown(
        [(f"{recipe.display_name} · {recipe.min_gpu_memory_gb:g} GB", recipe.slug) for recipe in found],
        value=None,
        label="Start from a recipe",
        info="Fills in what is below and on the third step; your rows stay. The size is the GPU memory it needs.",
        elem_id="recipe",
    )
    return RecipeBox(choice, gr.HTML(elem_id="recipe-about"))


def fill_from_recipe(form: Form, studio: Studio, box: RecipeBox, step: ModelStep) -> Dependency:
    """When a recipe is chosen, show what it is and fill the form; once the whole form is rendered."""

    def choose_recipe(values: dict[Component, Any]) -> dict[Component, Any]:
        slug = values[box.choice]
        if not slug:
            return {box.about: ""}
        recipe = studio.recipes.recipe(slug)
        filled = recipe_values(studio, form, recipe, form.read(values))
        card = model_card(studio.catalog, filled["model.base_model"])
        return form.updates(filled) | {box.about: _about(recipe), step.card: card}

    fields = list(form.components.values())
    return box.choice.input(  # type: ignore[attr-defined,no-any-return]
        choose_recipe, {box.choice, *fields}, [*fields, box.about, step.card], **QUIET
    )


def recipe_values(studio: Studio, form: Form, recipe: Recipe, typed: Mapping[str, Any]) -> dict[str, Any]:
    """The form's values with a recipe's settings, and defaults where it has none; rows, name and trackers as typed."""
    model = typed["model.base_model"] if recipe.base_model is None else recipe.base_model
    chosen = {"model": {"base_model": model or NOT_CHOSEN}, "dataset": {"path": NOT_CHOSEN}}
    config = parse_job_config(apply(recipe, chosen))
    values = flatten(config.model_dump(mode="json", exclude={"kind"}), leaves=form.leaves)
    own = flatten(recipe.default_config, leaves=form.leaves)
    suited = {path: value for path, value in studio.catalog.recommended(model or "").items() if path not in own}
    kept = {path: value for path, value in typed.items() if path.startswith(_KEPT)}
    return {**form.defaults(), **values, **suited, **kept, "model.base_model": model}


def _about(recipe: Recipe) -> str:
    choose = "" if recipe.base_model is not None else " Choose the model below."
    return callout("info", recipe.display_name, f"{recipe.description}{choose}")
