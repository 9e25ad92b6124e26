"""Preference pairs of the demo's task: the right answer against a wrong one."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.documents import DEMO_TEST, DEMO_TRAIN
from tests.tiny_gemma import write_jsonl

Row = dict[str, Any]
Spoil = Callable[[Row, list[Row], random.Random], str]


def write_demo_pairs(folder: Path, *, spoil: Spoil) -> dict[str, str]:
    """The data set of a job document: pairs to train on, and pairs of other orders that are held out.

    Half of the rejected answers are prose; the others are what `spoil` makes of the order, all orders and a chooser.
    """
    return {
        "path": str(write_jsonl(folder / "pairs.jsonl", _pairs(DEMO_TRAIN, spoil))),
        "eval_path": str(write_jsonl(folder / "held_out.jsonl", _pairs(DEMO_TEST, spoil))),
    }


def wrong_value(order: Row, orders: list[Row], chooser: random.Random) -> str:
    """The order with one value of another."""
    field = chooser.choice(sorted(order))
    others = sorted({other[field] for other in orders} - {order[field]})
    return _compact({**order, field: chooser.choice(others)})


def broken_form(order: Row, orders: list[Row], chooser: random.Random) -> str:
    """The order without one of its fields, without its last brace, or with quotes that are none of JSON."""
    field = chooser.choice(sorted(order))
    return chooser.choice(
        [
            _compact({name: value for name, value in order.items() if name != field}),
            _compact(order)[:-1],
            _compact(order).replace('"', "'"),
        ]
    )


def _pairs(path: Path, spoil: Spoil) -> list[Row]:
    conversations = [json.loads(line)["messages"] for line in path.read_text(encoding="utf-8").splitlines()]
    orders = [json.loads(answer["content"]) for _, answer in conversations]
    chooser = random.Random(0)
    rows = []
    for index, (question, answer) in enumerate(conversations):
        wrong = spoil(orders[index], orders, chooser) if index % 2 else _in_words(orders[index])
        rows.append({"prompt": [question], "chosen": [answer], "rejected": [{"role": "assistant", "content": wrong}]})
    return rows


def _in_words(order: Row) -> str:
    return f"I have noted {order['count']} {order['stone']} for {order['customer']} in {order['city']}."


def _compact(order: Row) -> str:
    return json.dumps(order, separators=(",", ":"))
