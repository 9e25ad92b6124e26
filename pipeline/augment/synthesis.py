"""Synthesis: new rows like those of the training set, through a model that is shown some of them."""

from collections.abc import Iterator, Sequence
from typing import Any

from pipeline.augment.answers import conversation_row
from pipeline.augment.config import SynthesisAugmentation
from pipeline.augment.example_turns import simple_pair, system_turn
from pipeline.augment.outcome import MadeFrom, Refused
from pipeline.augment.picks import generator_for
from pipeline.augment.prompts import SYNTHESIS
from pipeline.augment.request import Plan, Request, messages_for, request_id
from pipeline.augment.rows import row_of
from pipeline.data.example import Example, Row
from pipeline.errors import DataProblem

# Longer rows would make a request of several pages; shorter ones show the form as well.
_LONGEST_SHOWN_CHARACTERS = 6000
_JSON_CHARACTERS = 40


def plan_synthesis(config: SynthesisAugmentation, examples: Sequence[Example], *, seed: int) -> Plan:
    """Requests for `rows_per_request` rows each, with examples drawn anew for each.

    Raises:
        DataProblem: no row is a plain question with its answer that could be shown.
    """
    shown = [example for example in examples if _can_be_shown(example)]
    if not shown:
        raise DataProblem(
            "No training row can be shown to the model: it needs rows of one question and one answer, of at most "
            f"{_LONGEST_SHOWN_CHARACTERS:,} characters together. Choose another method, or add such rows."
        )
    total = -(-config.rows // config.rows_per_request)
    return Plan(total, _items(config, shown, total, seed=seed))


def _items(config: SynthesisAugmentation, shown: list[Example], total: int, *, seed: int) -> Iterator[Request]:
    for nth in range(total):
        drawn = generator_for(seed, "synthesis", nth).sample(shown, min(config.examples_shown, len(shown)))
        pairs = [pair for example in drawn if (pair := simple_pair(example)) is not None]
        wanted = min(config.rows_per_request, config.rows - nth * config.rows_per_request)
        made_from = MadeFrom(rows=tuple(sorted(example.row for example in drawn)))
        material = {
            "instruction": config.instruction,
            "examples": [{"prompt": prompt, "completion": answer} for prompt, answer in pairs],
        }
        messages = messages_for(SYNTHESIS.substitute(rows=wanted), material)
        systems = {system_turn(example) for example in drawn}
        characters = sum(len(prompt) + len(answer) for prompt, answer in pairs) // len(pairs)
        yield Request(
            id=request_id(config.kind, made_from, messages, endpoint=config.endpoint, nth=nth),
            method=config.kind,
            made_from=made_from,
            before=tuple(row_of(example) for example in drawn),
            messages=messages,
            list_name="rows",
            wanted=wanted,
            expected_characters=wanted * (characters + _JSON_CHARACTERS),
            read_item=_Reader(systems.pop() if len(systems) == 1 else ""),
        )


class _Reader:
    """Turns a question and an answer into a row, with the system turn that all examples shown share."""

    def __init__(self, system: str) -> None:
        self._system = system

    def __call__(self, item: Any) -> Row | Refused:
        if not isinstance(item, dict):
            return Refused.because("wrong_shape", "a row is no object", text=item)
        return conversation_row(item.get("prompt"), item.get("completion"), system=self._system)


def _can_be_shown(example: Example) -> bool:
    pair = simple_pair(example)
    has_images = any(message.images for message in example.messages or ())
    return pair is not None and not has_images and sum(map(len, pair)) <= _LONGEST_SHOWN_CHARACTERS
