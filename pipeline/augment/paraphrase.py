"""Paraphrase: the last question of a row, its answer or both in other words, through a model."""

from collections.abc import Iterator, Sequence
from typing import Any

from pipeline.augment.alterable import numbers_in
from pipeline.augment.answers import clean_text
from pipeline.augment.config import ParaphraseAugmentation
from pipeline.augment.example_turns import (
    answer_problem,
    final_answer,
    last_prompt,
    question_problem,
    with_final_answer,
    with_last_prompt,
)
from pipeline.augment.outcome import MadeFrom, Outcome, Refused
from pipeline.augment.picks import pick_examples
from pipeline.augment.prompts import PARAPHRASE, STYLE
from pipeline.augment.request import Plan, Request, digest_of, messages_for, request_id
from pipeline.augment.rows import row_of
from pipeline.data.example import Example, Row

_FIELDS = {"prompt": ("prompt",), "completion": ("completion",), "both": ("prompt", "completion")}
_PROBLEMS = {"prompt": question_problem, "completion": answer_problem}
_READERS = {"prompt": last_prompt, "completion": final_answer}
_WRITERS = {"prompt": with_last_prompt, "completion": with_final_answer}
# Braces, quotes and the name of each field around every rewritten text.
_JSON_CHARACTERS = 30


def plan_paraphrases(config: ParaphraseAugmentation, examples: Sequence[Example], *, seed: int) -> Plan:
    """One request for each row drawn."""
    drawn = pick_examples(examples, config.share, seed=seed)
    return Plan(len(drawn), _items(config, drawn))


def _items(config: ParaphraseAugmentation, drawn: Sequence[Example]) -> Iterator[Request | Outcome]:
    fields = _FIELDS[config.target]
    system = PARAPHRASE.substitute(
        fields=" and ".join(f'"{name}"' for name in fields),
        variants=config.variants_per_row,
        style=STYLE.substitute(style=config.style.strip().rstrip(".")) if config.style.strip() else "",
        shape="{" + ", ".join(f'"{name}": "…"' for name in fields) + "}",
    )
    for example in drawn:
        made_from, before = MadeFrom(rows=(example.row,)), (row_of(example),)
        problem = next((found for name in fields if (found := _PROBLEMS[name](example)) is not None), None)
        if problem is not None:
            yield Outcome(
                request=digest_of([config.kind, config.target, example.row]),
                method=config.kind,
                made_from=made_from,
                before=before,
                refused=(Refused.because("not_applicable", problem),),
            )
            continue
        texts = {name: text for name in fields if (text := _READERS[name](example)) is not None}
        messages = messages_for(system, texts)
        yield Request(
            id=request_id(config.kind, made_from, messages, endpoint=config.endpoint),
            method=config.kind,
            made_from=made_from,
            before=before,
            messages=messages,
            list_name="rewrites",
            wanted=config.variants_per_row,
            expected_characters=config.variants_per_row * sum(len(text) + _JSON_CHARACTERS for text in texts.values()),
            read_item=_Reader(example, texts),
        )


class _Reader:
    """Turns one rewritten version into a row of the original's shape."""

    def __init__(self, example: Example, originals: dict[str, str]) -> None:
        self._example = example
        self._originals = originals

    def __call__(self, item: Any) -> Row | Refused:
        if isinstance(item, str) and len(self._originals) == 1:
            item = dict.fromkeys(self._originals, item)
        if not isinstance(item, dict):
            return Refused.because("wrong_shape", "a rewritten version is no object", text=item)
        example = self._example
        for name, original in self._originals.items():
            text = clean_text(item.get(name))
            if isinstance(text, Refused):
                return text
            changed = sorted(numbers_in(original) ^ numbers_in(text))
            if changed:
                reason = f"its numbers are not those of the original: {', '.join(changed[:5])}"
                return Refused.because("changed_numbers", reason, text=text)
            example = _WRITERS[name](example, text)
        return row_of(example)
