"""The state machine: what the contract draws is allowed, nothing else is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from db.states import ALLOWED, InvalidTransition, JobState, check_transition

CONTRACT = [
    ("queued", "starting"),
    ("starting", "running"),
    ("running", "completed"),
    ("running", "failed"),
    ("running", "stopping"),
    ("stopping", "cancelled"),
    ("stopping", "completed"),
    ("running", "pausing"),
    ("pausing", "paused"),
    ("paused", "queued"),
    ("running", "interrupted"),
    ("interrupted", "queued"),
    ("queued", "cancelled"),
    ("failed", "queued"),
    ("cancelled", "queued"),
]


@pytest.mark.parametrize(("source", "target"), CONTRACT)
def test_transition_of_the_contract_is_allowed(source: str, target: str) -> None:
    check_transition("job", JobState(source), JobState(target))


def test_completed_is_final() -> None:
    with pytest.raises(InvalidTransition, match="job is completed; it cannot become running"):
        check_transition("job", JobState.COMPLETED, JobState.RUNNING)


@given(st.lists(st.sampled_from(list(JobState)), max_size=12))
def test_a_job_never_runs_without_having_started(targets: list[JobState]) -> None:
    state, passed = JobState.QUEUED, [JobState.QUEUED]
    for target in targets:
        if target in ALLOWED[state]:
            state = target
            passed.append(state)
    for index, seen in enumerate(passed):
        if seen is JobState.RUNNING:
            assert passed[index - 1] is JobState.STARTING
