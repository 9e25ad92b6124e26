"""Rows that each method learns from, and the settings that make it quick."""

from typing import Any

from tests.tiny_gemma import chat_rows

PAIRS = [
    {
        "prompt": row["messages"][0]["content"],
        "chosen": row["messages"][1]["content"],
        "rejected": f"No {index}.",
        "answer": row["messages"][1]["content"],
    }
    for index, row in enumerate(chat_rows(40))
]
MARKED = [
    {"prompt": pair["prompt"], "completion": pair["chosen" if index % 2 else "rejected"], "label": bool(index % 2)}
    for index, pair in enumerate(PAIRS)
]
TEXTS = [{"text": pair["prompt"] + " " + pair["chosen"]} for pair in PAIRS]
REWARDS = [{"kind": "length", "maximum": 20}]
METHODS: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]] = {
    "cpt": ({"kind": "cpt"}, TEXTS),
    "dpo": ({"kind": "dpo"}, PAIRS),
    "orpo": ({"kind": "orpo"}, PAIRS),
    "kto": ({"kind": "kto"}, MARKED),
    "grpo": (
        {"kind": "grpo", "rewards": REWARDS, "num_generations": 2, "max_completion_length": 8},
        [{"prompt": pair["prompt"]} for pair in PAIRS],
    ),
}
