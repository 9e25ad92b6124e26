from pipeline.augment.config import SystemDropAugmentation, TyposAugmentation
from pipeline.augment.local import plan_changes
from pipeline.augment.outcome import Outcome
from pipeline.data.example import Example, Message
from tests.pipeline.augment.material import conversation


def outcomes_of(config: TyposAugmentation | SystemDropAugmentation, *examples: Example) -> list[Outcome]:
    return [item for item in plan_changes(config, examples, seed=1).items if isinstance(item, Outcome)]


def test_row_made_does_not_depend_on_the_rows_around_it() -> None:
    one, other = (
        conversation("Wonderful question here?", "So.", row=1),
        conversation("Another question here?", "No.", row=2),
    )
    config = TyposAugmentation(share=1)
    assert outcomes_of(config, one)[0] == outcomes_of(config, other, one)[1]


def test_row_without_a_question_is_refused() -> None:
    for example in (Example(5, text="once"), Example(5, messages=(Message("assistant", "Hello"),))):
        (outcome,) = outcomes_of(TyposAugmentation(share=1), example)
        assert outcome.rows == ()
        assert outcome.refused[0].reason == "row 5 has no question in words"


def test_prompt_without_an_answer_keeps_its_other_columns() -> None:
    example = Example(1, messages=(Message("system", "Think."), Message("user", "Why?")), extra={"solution": "4"})
    (outcome,) = outcomes_of(SystemDropAugmentation(share=1), example)
    assert outcome.rows == ({"prompt": [{"role": "user", "content": "Why?"}], "solution": "4"},)
    assert outcome.attempts == 0
