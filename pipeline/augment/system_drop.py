"""System drop: copies without the system turn, so that the behaviour it asks for becomes the model's own.

This is context distillation on given answers (Askell et al. 2021, arXiv:2112.00861, section 2; Snell et al. 2022,
arXiv:2209.15189). It is honest only where the answer does not need what the system turn says: rows whose answers use
its numbers or addresses, and rows with tools, are refused.
"""

import random
from dataclasses import replace

from pipeline.augment.alterable import facts_in
from pipeline.augment.config import SystemDropAugmentation
from pipeline.augment.example_turns import answer_texts, system_turn
from pipeline.augment.outcome import Refused
from pipeline.data.example import Example


def drop_system(config: SystemDropAugmentation, example: Example, random_numbers: random.Random) -> Example | Refused:
    """The example without its system turns."""
    if not system_turn(example).strip():
        return Refused.because("not_applicable", f"row {example.row} has no system turn")
    if example.tools:
        return Refused.because("needs_system_turn", f"row {example.row} has tools, which its system turn may explain")
    turns = tuple(message for message in example.messages or () if message.role != "system")
    asked = "\n".join(message.content for message in turns if message.role != "assistant")
    said = "\n".join(answer_texts(example))
    only_there = (facts_in(system_turn(example)) - facts_in(asked)) & facts_in(said)
    if only_there:
        reason = f"row {example.row}'s answer uses {min(only_there)}, which only its system turn says"
        return Refused.because("needs_system_turn", reason)
    return replace(example, messages=turns)
