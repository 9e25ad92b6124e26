"""The gem-orders task: customers' notes with the house's cards, in two splits that share no order."""

import json
from pathlib import Path
from random import Random

from assets.demo.orders import Order, draw_order, write_card, write_note
from assets.demo.world import CITIES, NAMES

TRAIN_ROWS = 800
TEST_ROWS = 100
# Customers and cities that only the test split knows, so that exact match also measures copying.
NEWCOMERS = 16

Row = dict[str, list[dict[str, str]]]


def make_splits(seed: int) -> tuple[list[Row], list[Row]]:
    """Return the train and test rows; no order is drawn twice."""
    rng = Random(seed)
    customers, cities = rng.sample(NAMES, len(NAMES)), rng.sample(CITIES, len(CITIES))
    drawn: set[Order] = set()
    splits = []
    for count, known_customers, known_cities in (
        (TRAIN_ROWS, customers[NEWCOMERS:], cities[NEWCOMERS:]),
        (TEST_ROWS, customers, cities),
    ):
        rows: list[Row] = []
        while len(rows) < count:
            order = draw_order(rng, customers=known_customers, cities=known_cities)
            if order not in drawn:
                drawn.add(order)
                rows.append(_make_row(order, rng))
        splits.append(rows)
    return splits[0], splits[1]


def save_rows(rows: list[Row], path: Path) -> None:
    """Write the rows as JSON Lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def _make_row(order: Order, rng: Random) -> Row:
    return {
        "messages": [
            {"role": "user", "content": write_note(order, rng)},
            {"role": "assistant", "content": write_card(order)},
        ]
    }
