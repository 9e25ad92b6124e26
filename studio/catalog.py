"""The models that the studio offers by name."""

from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict


class CatalogModel(BaseModel):
    """One offered model. `reference` is what goes into a job document: a Hub id or a folder."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    id: str
    name: str
    path: str | None = None
    family: str
    params_b: float
    context_length: int
    licence: str
    gated: bool
    description: str
    recommended: dict[str, Any] = {}

    def reference(self, assets: Path) -> str:
        """The Hub id, or the folder of a model that ships with the studio."""
        return self.id if self.path is None else str(assets / self.path)


class Catalog:
    """Offered models, found by reference."""

    def __init__(self, assets: Path) -> None:
        entries = yaml.safe_load((assets / "base_models.yaml").read_text(encoding="utf-8"))
        self.models = {model.reference(assets): model for model in map(CatalogModel.model_validate, entries)}

    def display_name(self, reference: str) -> str:
        """The name of a model for people."""
        if model := self.models.get(reference):
            return model.name
        return Path(reference).name if Path(reference).is_absolute() else reference

    def recommended(self, reference: str) -> dict[str, Any]:
        """The patch of the job document that suits this model; empty for an unknown one."""
        model = self.models.get(reference)
        return {} if model is None else model.recommended
