"""Past predictions on this machine: what became of the estimates of completed runs."""

from sqlmodel import Session, col, select

from db.models import Job
from db.states import JobState
from pipeline.estimate_history import ESTIMATE, MEASURED, EstimateHistory, history_of, outcome

# Older ones were made with other versions and drivers.
REMEMBERED_RUNS = 200


def history_on(session: Session, device: str, *, limit: int = REMEMBERED_RUNS) -> EstimateHistory:
    """How far the predictions of the last `limit` completed runs on this device were off, whoever owns the runs."""
    facts = col(Job.facts)
    query = (
        select(Job.facts)
        .where(Job.kind == "train", Job.state == JobState.COMPLETED)
        .where(facts[(MEASURED, "device")].as_string() == device)
        # Any part of the document will do: JSON's own null would not be NULL.
        .where(facts[(ESTIMATE, "parameters")].as_integer().is_not(None))
        .order_by(col(Job.finished_at).desc(), col(Job.id))
        .limit(limit)
    )
    outcomes = [outcome(found) for found in session.exec(query)]
    return history_of(device, [known for known in outcomes if known is not None])
