import json

import pytest

from pipeline.augment.config import EndpointConfig, SynthesisAugmentation
from pipeline.augment.request import Request
from pipeline.augment.synthesis import plan_synthesis
from pipeline.data.example import Example, Message
from pipeline.errors import DataProblem
from tests.pipeline.augment.material import conversation, read, requests_of

ENDPOINT = EndpointConfig(base_url="https://host/v1", model="m")


def plan_of(examples: list[Example], *, seed: int = 1, **settings: int) -> list[Request]:
    config = SynthesisAugmentation.model_validate({"endpoint": ENDPOINT, "instruction": "Stones.", **settings})
    return requests_of(plan_synthesis(config, examples, seed=seed))


def test_rows_wanted_are_spread_over_requests(examples: list[Example]) -> None:
    assert [request.wanted for request in plan_of(examples, rows=12, rows_per_request=5)] == [5, 5, 2]


def test_model_is_shown_rows_and_told_the_wish(examples: list[Example]) -> None:
    (request,) = plan_of(examples, rows=2, examples_shown=3)
    material = json.loads(request.messages[1]["content"])
    assert material["instruction"] == "Stones."
    assert len(material["examples"]) == 3
    assert [row["messages"][0]["content"] for row in request.before] == [row["prompt"] for row in material["examples"]]
    assert "Write 2 new row" in request.messages[0]["content"]


def test_each_request_shows_rows_of_its_own_and_a_seed_shows_the_same_again(examples: list[Example]) -> None:
    first, second = plan_of(examples, rows=10), plan_of(examples, rows=10)
    assert [request.id for request in first] == [request.id for request in second]
    assert len({request.id for request in first}) == len(first)
    assert first[0].made_from != first[1].made_from
    assert plan_of(examples, rows=10, seed=2)[0].id != first[0].id


def test_requests_about_the_same_rows_are_still_different_requests() -> None:
    assert len({request.id for request in plan_of([conversation("Why?", "So.")], rows=10, rows_per_request=1)}) == 10


def test_system_turn_that_all_shown_rows_share_is_kept() -> None:
    shared = [conversation(f"Why {n}?", "So.", system="Be brief.", row=n) for n in range(4)]
    rows, _ = read(plan_of(shared, rows=1)[0], '{"rows": [{"prompt": "q", "completion": "a"}]}')
    assert [turn["role"] for turn in rows[0]["messages"]] == ["system", "user", "assistant"]
    mixed = [*shared[:2], conversation("Why?", "So.", row=9)]
    rows, _ = read(plan_of(mixed, rows=1)[0], '{"rows": [{"prompt": "q", "completion": "a"}]}')
    assert [turn["role"] for turn in rows[0]["messages"]] == ["user", "assistant"]


def test_rows_that_are_none_are_refused_one_by_one(examples: list[Example]) -> None:
    answer = {"rows": [{"prompt": "q", "completion": "a"}, {"prompt": "q"}, "q", {"prompt": "", "completion": "a"}]}
    rows, refused = read(plan_of(examples, rows=5)[0], json.dumps(answer))
    assert rows == [{"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}]
    assert refused == ["wrong_shape", "wrong_shape", "empty", "missing"]


@pytest.mark.parametrize(
    "example",
    [
        Example(1, text="once"),
        Example(
            1,
            messages=(Message("user", "Why?"),),
            chosen=(Message("assistant", "a"),),
            rejected=(Message("assistant", "b"),),
        ),
        conversation("Why?", "So. " * 2000),
        Example(1, messages=(Message("user", "What is it?", images=("images/a.png",)), Message("assistant", "A cat."))),
    ],
)
def test_data_set_without_a_row_to_show_says_so(example: Example) -> None:
    with pytest.raises(DataProblem, match="No training row can be shown"):
        plan_of([example])
