"""Job documents that tests start from."""

from pathlib import Path
from typing import Any

ASSETS = Path(__file__).parents[1] / "assets"
DEMO_MODEL = ASSETS / "demo" / "gemma-nano"
DEMO_TRAIN = ASSETS / "demo" / "gem-orders" / "train.jsonl"
DEMO_TEST = ASSETS / "demo" / "gem-orders" / "test.jsonl"


def demo_document(**training: Any) -> dict[str, Any]:
    """A run of the demo; `training` changes its settings."""
    return {
        "name": "demo",
        "model": {"base_model": str(DEMO_MODEL)},
        "dataset": {"path": str(DEMO_TRAIN), "eval_path": str(DEMO_TEST)},
        "training": {"learning_rate": 0.003, "per_device_batch_size": 16, "eval_strategy": "no", **training},
    }
