"""The REST door to recipes, and to the values that are suggested for a run."""

from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Query

from pipeline.method_config import MethodKind
from studio.recipes import Modality, RecipeType
from studio.service import Studio
from studio.smart_defaults import suggest_values

Limit = Annotated[int, Query(ge=1, le=1000)]
Offset = Annotated[int, Query(ge=0)]
Memory = Annotated[float | None, Query(ge=0)]


def add_recipe_routes(router: APIRouter, studio: Studio, owner_of: Any) -> None:
    """Every route below `/recipes`, and `/experiments/smart-defaults`."""

    @router.get("/recipes")
    def list_recipes(
        search: str = "",
        q: str = "",
        recipe_type: RecipeType | None = None,
        modality: Modality | Literal["vision"] | None = None,
        train_style: MethodKind | None = None,
        architecture: str | None = None,
        min_gpu_memory_gb: Memory = None,
        max_gpu_memory_gb: Memory = None,
        limit: Limit = 50,
        offset: Offset = 0,
        owner: str = owner_of,
    ) -> dict[str, Any]:
        """Recipes, Gemma first; the two bounds are for the least GPU memory that a recipe needs."""
        found, total = studio.recipes.search(
            search=search or q,
            recipe_type=recipe_type,
            modality=modality,
            train_style=train_style,
            architecture=architecture,
            min_gpu_memory_gb=min_gpu_memory_gb,
            max_gpu_memory_gb=max_gpu_memory_gb,
            limit=limit,
            offset=offset,
        )
        shown = [recipe.model_dump(mode="json") for recipe in found]
        return {"recipes": shown, "total": total, "limit": limit, "offset": offset}

    @router.get("/recipes/{identifier}")
    def get_recipe(identifier: str, owner: str = owner_of) -> dict[str, Any]:
        return studio.recipes.recipe(identifier).model_dump(mode="json")

    @router.post("/experiments/smart-defaults")
    def smart_defaults(body: Annotated[dict[str, Any], Body()], owner: str = owner_of) -> dict[str, Any]:
        """Suggested values for a job document that may be half written, and the document with them."""
        suggested = suggest_values(studio, body, owner=owner)
        return {"suggestions": [asdict(value) for value in suggested.values], "config": suggested.document}
