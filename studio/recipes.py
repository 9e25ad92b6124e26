"""Named starting points of a run, and a job document made from one."""

import difflib
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import UUID, uuid5

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, computed_field

from db.jobs import NotFound
from pipeline.errors import InvalidConfig, Problem
from pipeline.method_config import MethodKind

RecipeType = Literal["lora", "qlora", "full_ft", "vision_lora"]
Modality = Literal["text", "image", "audio", "video", "multimodal"]
# Ids are made from slugs, so that they are the same on every machine.
_IDS = UUID("6f1c8a52-7d0e-4d55-9a54-3b3f1f0f2c11")
# Sections whose other settings mean nothing where another kind is chosen, and the kind of one that names none.
_KINDS = {"tuning": "lora", "method": "sft"}
_RATE = "learning_rate"


class Recipe(BaseModel):
    """One recipe. `default_config` is a part of the job document; `train_styles` are the methods that it is for."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    slug: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9.-]*$", max_length=60)]
    display_name: str
    description: str
    recipe_type: RecipeType
    modality: Modality
    train_styles: tuple[MethodKind, ...] = Field(min_length=1)
    default_config: dict[str, Any]
    required_fields: tuple[str, ...]
    optional_fields: tuple[str, ...]
    supported_architectures: tuple[str, ...] = Field(description="Values of model_type; none where any will do.")
    min_gpu_memory_gb: float = Field(ge=0)
    supports_distributed: bool
    is_active: bool
    tags: tuple[str, ...]

    @computed_field  # type: ignore[prop-decorator]
    @property
    def id(self) -> str:
        """A UUID that follows from the slug."""
        return str(uuid5(_IDS, self.slug))

    @property
    def base_model(self) -> str | None:
        """The model that it starts from; None where the user chooses."""
        found: str | None = self.default_config.get("model", {}).get("base_model")
        return found


class Recipes:
    """The recipes that ship with the studio, read once."""

    def __init__(self, assets: Path) -> None:
        files = sorted((assets / "recipes").glob("*.yaml"))
        read = [Recipe.model_validate(yaml.safe_load(file.read_text(encoding="utf-8"))) for file in files]
        self.by_slug = {recipe.slug: recipe for recipe in sorted(read, key=_order)}

    def recipe(self, identifier: str) -> Recipe:
        """One recipe, by slug or id. Raises NotFound."""
        for recipe in self.by_slug.values():
            if identifier in (recipe.slug, recipe.id):
                return recipe
        near = difflib.get_close_matches(identifier, self.by_slug, n=1, cutoff=0.4)
        cure = f"Did you mean {near[0]}?" if near else "GET /api/recipes lists those there are."
        raise NotFound(f"There is no recipe called {identifier!r}. {cure}")

    def search(
        self,
        *,
        search: str = "",
        recipe_type: str | None = None,
        modality: str | None = None,
        train_style: str | None = None,
        architecture: str | None = None,
        min_gpu_memory_gb: float | None = None,
        max_gpu_memory_gb: float | None = None,
        limit: int = 1000,
        offset: int = 0,
    ) -> tuple[list[Recipe], int]:
        """Active recipes that match everything that is given, and how many there are.

        `architecture` is a model_type such as gemma3_text, or the family that it begins with; recipes for any model
        match all. The two bounds are for the least memory that a recipe needs.
        """
        wanted = "multimodal" if modality == "vision" else modality
        words = search.lower().split()
        least, most = _bound(min_gpu_memory_gb, 0.0), _bound(max_gpu_memory_gb, float("inf"))
        found = [
            recipe
            for recipe in self.by_slug.values()
            if recipe.is_active
            and recipe_type in (None, recipe.recipe_type)
            and wanted in (None, recipe.modality)
            and (train_style is None or train_style in recipe.train_styles)
            and (architecture is None or _fits(recipe, architecture.lower()))
            and least <= recipe.min_gpu_memory_gb <= most
            and all(word in _text(recipe) for word in words)
        ]
        return found[offset : offset + limit], len(found)

    def document(self, data: Mapping[str, Any]) -> Mapping[str, Any]:
        """A job document without `recipe_id`: where it names one, the recipe with the rest of `data` over it.

        Raises:
            NotFound: there is no such recipe.
            InvalidConfig: `recipe_id` is no text.
        """
        if not isinstance(data, Mapping) or "recipe_id" not in data:
            return data
        document = dict(data)
        identifier = document.pop("recipe_id")
        if identifier is None:
            return document
        if not isinstance(identifier, str):
            problem = Problem("recipe_id", f"is the slug or the id of a recipe, as text; it was {identifier!r}.")
            raise InvalidConfig([problem])
        return apply(self.recipe(identifier), document)


def apply(recipe: Recipe, document: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe's document with the user's own values over it.

    Where the user chooses another kind of method or tuning, the recipe's settings of that section, and its learning
    rate, which was meant for its own kinds, are left out.
    """
    base = deepcopy(recipe.default_config)
    for section, default in _KINDS.items():
        given = document.get(section)
        if isinstance(given, Mapping) and "kind" in given:
            if given["kind"] == base.get(section, {}).get("kind", default):
                continue
            base.pop(section, None)
            base["training"] = {name: value for name, value in base.get("training", {}).items() if name != _RATE}
    return _over(base, document)


def _over(base: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for name, value in given.items():
        below = base.get(name)
        both = isinstance(below, Mapping) and isinstance(value, Mapping)
        merged[name] = _over(below, value) if both else value  # type: ignore[arg-type]
    return merged


def _order(recipe: Recipe) -> tuple[bool, bool, float, str]:
    """Gemma first, then by the memory that is needed; recipes for any model last."""
    is_gemma = recipe.slug.startswith("gemma")
    return not is_gemma, not recipe.supported_architectures, recipe.min_gpu_memory_gb, recipe.slug


def _fits(recipe: Recipe, architecture: str) -> bool:
    known = recipe.supported_architectures
    return not known or any(name.startswith(architecture) for name in known)


def _bound(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else value


def _text(recipe: Recipe) -> str:
    return " ".join((recipe.slug, recipe.display_name, recipe.description, *recipe.tags)).lower()
