"""Checks of data sets with images: what learns from them, and how."""

from pipeline.checks.facts import Facts
from pipeline.checks.finding import Finding, Fix
from pipeline.config import FineTuneJobConfig
from pipeline.data.inspection import Inspection
from pipeline.method_config import FORMATS
from pipeline.vision.limits import image_problems, text_model_problem

_CODES = {
    "method.kind": "images_other_method",
    "training.batching": "images_packed",
    "model.attention": "images_flash_attention",
}
_FIXES = {
    "method.kind": Fix(label="Train supervised fine-tuning", patch={"method.kind": "sft"}),
    "training.batching": Fix(label="Choose batches automatically", patch={"training.batching": "auto"}),
    "model.attention": Fix(label="Choose attention automatically", patch={"model.attention": "auto"}),
}


def check_images(config: FineTuneJobConfig, facts: Facts) -> list[Finding]:
    """Rows with images meet a model that sees and settings that go with them."""
    data = facts.data
    if not isinstance(data, Inspection) or data.modality == "text":
        return []
    findings = [
        Finding(
            code=_CODES[problem.field],
            severity="error",
            field=problem.field,
            message=problem.message,
            fixes=_fixes(problem.field, data),
        )
        for problem in image_problems(config)
    ]
    if facts.model is not None and facts.model.config.get("vision_config") is None:
        message = text_model_problem(config.model.base_model)
        findings.append(Finding(code="images_not_seen", severity="error", field="model.base_model", message=message))
    return findings


def _fixes(field: str, data: Inspection) -> tuple[Fix, ...]:
    """The change that mends the field; another method mends nothing where it does not learn from such rows."""
    return () if field == "method.kind" and data.format not in FORMATS["sft"] else (_FIXES[field],)
