"""The summary that follows the wizard's steps."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.errors import InvalidConfig
from studio.service import Preflight, Studio
from studio.ui.html import key_values


def summarise(studio: Studio, document: Mapping[str, Any]) -> str:
    """What the run would be, as far as it is known."""
    try:
        checked: Preflight | None = studio.preflight(document)
    except InvalidConfig:
        checked = None
    model = document["model"]["base_model"]
    data = document["dataset"]["path"]
    pairs = [
        ("Model", studio.catalog.display_name(model) if model else "not chosen"),
        ("Data set", Path(data).name if data else "not chosen"),
        ("Tuning", {"lora": "LoRA", "full": "Full fine-tune"}[document["tuning"]["kind"]]),
    ]
    if checked is not None and checked.train_rows:
        config = checked.config
        seen = checked.total_steps * config.training.rows_per_step / checked.train_rows
        warnings = sum(finding.severity == "warning" for finding in checked.findings)
        pairs += [
            ("Rows", f"{checked.train_rows:,} trained on"),
            ("Steps", f"{checked.total_steps:,} of {config.training.rows_per_step} rows"),
            ("Each row", f"seen {seen:.1f}×"),
            ("Learning rate", f"{config.training.learning_rate:g}"),
            ("To correct", f"{len(checked.errors)} errors, {warnings} warnings"),
        ]
    return f'<aside class="lap-rail" aria-label="Summary"><h2>Summary</h2>{key_values(pairs)}</aside>'
