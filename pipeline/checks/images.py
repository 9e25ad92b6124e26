"""Checks of data sets with images: what learns from them, and how."""

import re

from pipeline.checks.facts import Facts
from pipeline.checks.finding import Finding, Fix, error
from pipeline.config import FineTuneJobConfig
from pipeline.data.inspection import Inspection
from pipeline.errors import Problem
from pipeline.method_config import FORMATS
from pipeline.vision.limits import image_problems, text_model_problem

_AUTO_BATCHING = Fix(label="Choose batches automatically", patch={"training.batching": "auto"})
_AUTO_ATTENTION = Fix(label="Choose attention automatically", patch={"model.attention": "auto"})
_OTHER_METHOD = Fix(label="Train supervised fine-tuning", patch={"method.kind": "sft"})
# Gemma 3 sees from 4B on.
_TEXT_ONLY_NAME = re.compile(r"gemma-3-(270m|1b)\b", re.IGNORECASE)


def check_images(config: FineTuneJobConfig, facts: Facts) -> list[Finding]:
    """Rows with images meet a model that sees and settings that go with them."""
    data = facts.data
    if not isinstance(data, Inspection) or data.modality == "text":
        return []
    findings = [_told(problem, data) for problem in image_problems(config)]
    if _reads_text_only(config, facts):
        message = text_model_problem(config.model.base_model)
        findings.append(error("images_not_seen", "model.base_model", message))
    return findings


def _told(problem: Problem, data: Inspection) -> Finding:
    match problem.field:
        case "training.batching":
            return error("images_packed", problem.field, problem.message, _AUTO_BATCHING)
        case "model.attention":
            return error("images_flash_attention", problem.field, problem.message, _AUTO_ATTENTION)
        case _:
            # Another method mends nothing where it does not learn from such rows.
            fixes = (_OTHER_METHOD,) if data.format in FORMATS["sft"] else ()
            return error("images_other_method", problem.field, problem.message, *fixes)


def _reads_text_only(config: FineTuneJobConfig, facts: Facts) -> bool:
    if facts.model is None:
        return _TEXT_ONLY_NAME.search(config.model.base_model) is not None
    return facts.model.config.get("vision_config") is None
