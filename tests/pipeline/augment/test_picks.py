from hypothesis import given
from hypothesis import strategies as st

from pipeline.augment.picks import generator_for, pick_examples, shuffle_examples
from pipeline.data.example import Example
from tests.pipeline.augment.material import conversation

EXAMPLES = [conversation("Why?", "So.", row=row) for row in range(1, 101)]


def rows(examples: list[Example]) -> list[int]:
    return [example.row for example in examples]


@given(st.floats(0.001, 1), st.integers())
def test_share_is_met_in_order_and_never_empty(share: float, seed: int) -> None:
    picked = rows(pick_examples(EXAMPLES, share, seed=seed))
    assert picked == sorted(set(picked))
    assert len(picked) == max(1, round(100 * share))


def test_larger_share_keeps_the_rows_of_a_smaller_one() -> None:
    assert set(rows(pick_examples(EXAMPLES, 0.2, seed=1))) < set(rows(pick_examples(EXAMPLES, 0.6, seed=1)))


def test_seeds_draw_other_rows_and_equal_seeds_the_same() -> None:
    assert pick_examples(EXAMPLES, 0.2, seed=1) == pick_examples(EXAMPLES, 0.2, seed=1)
    assert pick_examples(EXAMPLES, 0.2, seed=1) != pick_examples(EXAMPLES, 0.2, seed=2)


def test_shuffled_rows_are_all_there_in_another_order() -> None:
    shuffled = rows(shuffle_examples(EXAMPLES, seed=1))
    assert shuffled != rows(EXAMPLES)
    assert sorted(shuffled) == rows(EXAMPLES)


def test_random_numbers_belong_to_their_labels() -> None:
    first = generator_for(1, "typos", 7).random()
    assert generator_for(1, "typos", 7).random() == first
    assert first not in (generator_for(1, "typos", 8).random(), generator_for(2, "typos", 7).random())


def test_no_examples_give_none() -> None:
    assert pick_examples([], 0.5, seed=1) == []
