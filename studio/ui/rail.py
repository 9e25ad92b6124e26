"""The summary that follows the wizard's steps."""

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from pipeline.checks.schedule import times_seen
from pipeline.errors import InvalidConfig
from pipeline.method_config import METHOD_LABELS
from pipeline.preflight import Preflight
from studio.service import Studio
from studio.ui.html import key_values


def summarise(studio: Studio, document: Mapping[str, Any], *, owner: str) -> str:
    """What the run would be, as far as it is known."""
    try:
        checked: Preflight | None = studio.preflight(document, owner=owner)
    except InvalidConfig:
        checked = None
    model = document["model"]["base_model"]
    data = document["dataset"]["path"]
    key = [("Rows", "–"), ("Steps", "–"), ("Each row", "–")]
    pairs = [
        ("Model", studio.catalog.display_name(model) if model else "not chosen"),
        ("Data set", _dataset_name(checked, data) if data else "not chosen"),
        ("Method", METHOD_LABELS[document["method"]["kind"]]),
        ("Tuning", _tuning(document)),
    ]
    if checked is not None and checked.train_rows:
        config = checked.config
        seen = times_seen(config, checked.train_rows)
        warnings = sum(finding.severity == "warning" for finding in checked.findings)
        key = [("Rows", f"{checked.train_rows:,}"), ("Steps", f"{checked.total_steps:,}"), ("Each row", f"{seen:.1f}×")]
        pairs += [
            ("Answers a step" if config.method.kind == "grpo" else "Rows a step", f"{config.training.rows_per_step:,}"),
            ("Learning rate", f"{config.training.learning_rate:g}"),
            ("Held out", f"{checked.facts.eval_rows:,} rows"),
            ("Preflight", f"{_count(len(checked.errors), 'error')}, {_count(warnings, 'warning')}"),
        ]
    head = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in key)
    toggle = '<input class="lap-rail__toggle" type="checkbox" aria-label="Show the whole summary">'
    return (
        f'<aside class="lap-rail" aria-label="Summary of the run"><div class="lap-rail__head">'
        f'<dl class="lap-rail__key">{head}</dl>{toggle}</div>'
        f'<div class="lap-rail__body">{key_values(pairs)}</div></aside>'
    )


def _tuning(document: Mapping[str, Any]) -> str:
    bits = {"none": "", "4bit": " on 4 bits (QLoRA)", "8bit": " on 8 bits"}[document["model"]["quantization"]]
    return {"lora": "LoRA", "full": "Full fine-tune"}[document["tuning"]["kind"]] + bits


def _dataset_name(checked: Preflight | None, path: str) -> str:
    known = None if checked is None else checked.dataset_name
    return Path(path).name if known is None else known


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
