"""The methods that ask nobody: each row drawn is changed by a function, at once."""

import random
from collections.abc import Iterator, Sequence

from pipeline.augment.config import CaseAugmentation, LocalAugmentation, SystemDropAugmentation, TyposAugmentation
from pipeline.augment.example_turns import question_problem
from pipeline.augment.letter_case import change_case
from pipeline.augment.outcome import MadeFrom, Outcome, Refused
from pipeline.augment.picks import generator_for, pick_examples
from pipeline.augment.request import Plan, digest_of
from pipeline.augment.rows import row_of
from pipeline.augment.system_drop import drop_system
from pipeline.augment.typos import add_typos
from pipeline.data.example import Example


def plan_changes(config: LocalAugmentation, examples: Sequence[Example], *, seed: int) -> Plan:
    """One outcome for each row drawn."""
    drawn = pick_examples(examples, config.share, seed=seed)
    return Plan(len(drawn), _items(config, drawn, seed=seed))


def _items(config: LocalAugmentation, drawn: Sequence[Example], *, seed: int) -> Iterator[Outcome]:
    settings = config.model_dump(exclude={"share"})
    for example in drawn:
        problem = None if isinstance(config, SystemDropAugmentation) else question_problem(example)
        changed = (
            _change(config, example, generator_for(seed, config.kind, example.row))
            if problem is None
            else Refused.because("not_applicable", problem)
        )
        before = row_of(example)
        yield Outcome(
            request=digest_of([settings, seed, example.row, before]),
            method=config.kind,
            made_from=MadeFrom(rows=(example.row,)),
            before=(before,),
            rows=() if isinstance(changed, Refused) else (row_of(changed),),
            refused=(changed,) if isinstance(changed, Refused) else (),
        )


def _change(config: LocalAugmentation, example: Example, random_numbers: random.Random) -> Example | Refused:
    match config:
        case TyposAugmentation():
            return add_typos(config, example, random_numbers)
        case CaseAugmentation():
            return change_case(config, example, random_numbers)
        case SystemDropAugmentation():
            return drop_system(config, example, random_numbers)
