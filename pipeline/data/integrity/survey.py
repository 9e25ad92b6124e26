"""Survey: the few numbers of every row that the comparisons need, and the statistics, from one pass over a data set."""

from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from pipeline.data.example import Example, Message
from pipeline.data.integrity.report import Spread
from pipeline.data.near_duplicates import hash_text

NO_LABEL = -1
_TURN, _ROLE = "\x1e", "\x1f"


@dataclass
class Survey:
    """Usable rows in their order, about 50 bytes each. Equal hashes mean equal content.

    `prompts` hashes all turns but the answer, 0 where there is no prompt; `answers` the answer or plain text;
    `rejected` the rejected answer of a preference; `pictures` the images, 0 where there are none. `sides` is 1 for a
    row of an evaluation split, else 0.
    """

    numbers: "array[int]" = field(default_factory=lambda: array("Q"))
    sides: "array[int]" = field(default_factory=lambda: array("B"))
    prompts: "array[int]" = field(default_factory=lambda: array("Q"))
    answers: "array[int]" = field(default_factory=lambda: array("Q"))
    rejected: "array[int]" = field(default_factory=lambda: array("Q"))
    pictures: "array[int]" = field(default_factory=lambda: array("Q"))
    labels: "array[int]" = field(default_factory=lambda: array("b"))
    lengths: "array[int]" = field(default_factory=lambda: array("Q"))
    turns: "array[int]" = field(default_factory=lambda: array("I"))
    roles: Counter[str] = field(default_factory=Counter)
    images: int = 0
    tool_calls: int = 0

    def __len__(self) -> int:
        return len(self.numbers)

    def add(self, example: Example, *, side: int) -> list[str]:
        """Take a row; returns its texts."""
        prompt, answer, rejected = parts_of(example)
        turns = [*prompt, *answer, *rejected]
        texts = [turn.content for turn in turns]
        if example.text is not None:
            texts.append(example.text)
        self.numbers.append(example.row)
        self.sides.append(side)
        self.prompts.append(hash_text(_write(prompt)) if prompt else 0)
        self.answers.append(hash_text(example.text if example.text is not None else _write(answer)))
        if example.rejected is not None:
            self.rejected.append(hash_text(_write(rejected)))
        self.labels.append(NO_LABEL if example.label is None else int(example.label))
        self.lengths.append(sum(map(len, texts)))
        self.turns.append(len(turns))
        self.pictures.append(0)
        for turn in turns:
            self.roles[turn.role] += 1
            if turn.images:
                self.images += len(turn.images)
                self.pictures[-1] = hash_text(f"{self.pictures[-1]} {turn.images}")
            self.tool_calls += len(turn.tool_calls)
        return texts


def parts_of(example: Example) -> tuple[Sequence[Message], Sequence[Message], Sequence[Message]]:
    """Prompt, answer and rejected answer, each as turns. A conversation's answer is its last turn."""
    messages = example.messages or ()
    if example.chosen is not None:
        return messages, example.chosen, example.rejected or ()
    if messages and messages[-1].role == "assistant":
        return messages[:-1], messages[-1:], ()
    return messages, (), ()


def spread(values: "array[int]") -> Spread:
    """Least, mean, most and sum."""
    if not values:
        return Spread()
    total = sum(values)
    return Spread(least=min(values), mean=total / len(values), most=max(values), total=total)


def _write(turns: Sequence[Message]) -> str:
    """All that turns say, as one text; different turns give different texts."""
    return _TURN.join([_write_turn(turn) for turn in turns])


def _write_turn(turn: Message) -> str:
    if turn.images or turn.tool_calls or turn.name:
        return _ROLE.join((turn.role, turn.content, str(turn.images), str(turn.tool_calls), str(turn.name)))
    return f"{turn.role}{_ROLE}{turn.content}"
