"""The form is a view of the document: what it shows is what the document says."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.config import FineTuneJobConfig
from pipeline.config_fields import config_fields
from pipeline.validation import parse_job_config
from studio.forms import Form, flatten
from tests.documents import demo_document


@pytest.fixture(scope="module")
def form() -> Form:
    form = Form(FineTuneJobConfig)
    for path in form.leaves:
        form.add(path)
    return form


def shown(form: Form, document: dict[str, Any]) -> dict[str, Any]:
    """What the inputs hold after the form was filled with `document`."""
    updates = form.updates({**form.defaults(), **flatten(document)})
    return {path: updates[component]["value"] for path, component in form.components.items()}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rank=st.integers(1, 1024),
    rate=st.floats(1e-7, 1, allow_subnormal=False),
    epochs=st.sampled_from([0.5, 1.0, 3.0, 12.25]),
    steps=st.none() | st.integers(1, 1000),
    length=st.none() | st.integers(8, 4096),
    merged=st.booleans(),
)
def test_document_survives_the_form(
    form: Form, rank: int, rate: float, epochs: float, steps: int | None, length: int | None, merged: bool
) -> None:
    rate = float(f"{rate:g}")
    document = demo_document(learning_rate=rate, epochs=epochs, max_steps=steps)
    document |= {"tuning": {"kind": "lora", "rank": rank}, "export": {"merged": merged}}
    document |= {"method": {"kind": "sft", "max_length": length}}
    config = parse_job_config(document)
    typed = shown(form, config.model_dump(mode="json", exclude={"kind"}))
    assert parse_job_config(form.document(typed)) == config


def test_variant_that_is_not_chosen_is_no_part_of_the_document(form: Form) -> None:
    config = parse_job_config({**demo_document(), "tuning": {"kind": "full", "train_embeddings": True}})
    typed = shown(form, config.model_dump(mode="json", exclude={"kind"}))
    assert form.document(typed)["tuning"] == {"kind": "full", "train_embeddings": True}


def test_inputs_explain_themselves(form: Form) -> None:
    for leaf in config_fields():
        component = form.components[leaf.path]
        assert component.label == leaf.label
        assert component.info == leaf.info.description
