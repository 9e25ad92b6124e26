"""Which examples are trained on: the source's splits, a share, a number, a column, a sample; the same for a seed."""

from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data.partition import Partition, evaluation_split, partition
from pipeline.data_config import DatasetConfig
from pipeline.errors import DataProblem


def alone(positions: Sequence[int]) -> Sequence[int]:
    return range(len(positions))


def divide(splits: Sequence[str], *, seed: int = 1, **settings: object) -> Partition:
    config = DatasetConfig.model_validate({"path": "rows", **settings})
    return partition(splits, config, seed=seed, name="rows", group=alone)


@pytest.mark.parametrize(
    ("splits", "held_out"),
    [
        (["train"] * 8 + ["test"] * 2, "test"),
        (["train"] * 8 + ["test"] * 2 + ["validation"], "validation"),
        (["train"] * 8 + ["Dev"] * 2, "Dev"),
        (["test"] * 8, None),
        (["train"] * 8 + ["extra"] * 2, None),
    ],
)
def test_split_of_the_source_is_kept(splits: list[str], held_out: str | None) -> None:
    config = DatasetConfig(path="rows")
    assert evaluation_split(Counter(splits), config, name="rows") == held_out
    if held_out is not None:
        divided = divide(splits)
        assert {splits[index] for index in divided.evaluation} == {held_out}
        assert {splits[index] for index in divided.train} == {"train"}


def test_named_splits_win() -> None:
    splits = ["a"] * 5 + ["b"] * 3 + ["validation"] * 2
    divided = divide(splits, train_split="a", eval_split="b")
    assert (divided.train, divided.evaluation) == ([0, 1, 2, 3, 4], [5, 6, 7])


@pytest.mark.parametrize("field", ["train_split", "eval_split"])
def test_unknown_split_is_named_with_those_there_are(field: str) -> None:
    with pytest.raises(DataProblem, match=rf"no split 'tset' \(dataset.{field}\). Its splits are: train, test"):
        divide(["train"] * 5 + ["test"] * 5, **{field: "tset"})


def test_number_of_rows_is_held_out() -> None:
    assert len(divide(["train"] * 50, eval_rows=7).evaluation) == 7
    assert len(divide(["train"] * 50 + ["test"] * 50, eval_rows=7).evaluation) == 7


def test_separate_file_means_that_nothing_is_held_out_here() -> None:
    divided = divide(["train"] * 5 + ["test"] * 5, eval_path="other.jsonl")
    assert (len(divided.train), divided.evaluation) == (10, [])


def test_zero_share_trains_on_everything() -> None:
    assert divide(["train"] * 9, eval_share=0) == Partition(list(range(9)), [])


def test_near_duplicates_stay_on_one_side() -> None:
    config = DatasetConfig(path="rows", eval_share=0.2)
    groups = [number // 4 for number in range(100)]
    divided = partition(
        ["train"] * 100, config, seed=3, name="rows", group=lambda positions: [groups[p] for p in positions]
    )
    sides = [{groups[index] for index in side} for side in (divided.train, divided.evaluation)]
    assert not sides[0] & sides[1]
    assert len(divided.evaluation) == 20


def test_one_group_of_all_rows_says_why_nothing_is_held_out() -> None:
    config = DatasetConfig(path="rows", eval_share=0.2)
    divided = partition(["train"] * 10, config, seed=3, name="rows", group=lambda positions: [0] * len(positions))
    assert divided.train
    assert divided.note


@given(
    st.lists(st.sampled_from(["train", "test", "validation", "x"]), min_size=2, max_size=60),
    st.integers(0, 2**32 - 1),
    st.floats(0, 0.5),
    st.none() | st.integers(1, 30),
)
def test_no_row_is_on_both_sides_and_a_seed_repeats(
    splits: list[str], seed: int, share: float, max_rows: int | None
) -> None:
    try:
        divided = divide(splits, seed=seed, eval_share=share, max_rows=max_rows)
    except DataProblem:
        assert "train" not in splits or set(splits) == {"test"} or "validation" in splits
        return
    assert divided == divide(splits, seed=seed, eval_share=share, max_rows=max_rows)
    assert not set(divided.train) & set(divided.evaluation)
    assert divided.train
    if max_rows is not None:
        assert len(divided.train) <= max_rows
