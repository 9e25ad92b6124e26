import pytest
from pydantic import TypeAdapter, ValidationError

from pipeline.augment.config import Augmentation, DocumentAugmentation, EndpointConfig, ParaphraseAugmentation

KINDS = {
    "paraphrase": {"endpoint": {"base_url": "https://host/v1", "model": "m"}},
    "synthesis": {"endpoint": {"base_url": "https://host/v1", "model": "m"}, "instruction": "Stones."},
    "documents": {"endpoint": {"base_url": "https://host/v1", "model": "m"}, "documents": ["a.pdf"]},
    "typos": {},
    "case": {},
    "system_drop": {},
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_chosen_by_its_word_and_survives_json(kind: str) -> None:
    adapter = TypeAdapter[Augmentation](Augmentation)
    config = adapter.validate_python({"kind": kind, **KINDS[kind]})
    assert config.kind == kind
    assert adapter.validate_json(adapter.dump_json(config)) == config


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_says_what_it_is(kind: str) -> None:
    config = TypeAdapter[Augmentation](Augmentation).validate_python({"kind": kind, **KINDS[kind]})
    fields = dict(type(config).model_fields) | dict(EndpointConfig.model_fields)
    undescribed = [name for name, info in fields.items() if name not in ("kind", "endpoint") and not info.description]
    assert undescribed == []


@pytest.mark.parametrize(
    "address",
    ["https://host/v1", "https://host/v1/", " https://host/v1/chat/completions ", "https://host/v1/chat/completions/"],
)
def test_endpoint_address_is_taken_as_people_copy_it(address: str) -> None:
    assert EndpointConfig(base_url=address, model="m").base_url == "https://host/v1"


@pytest.mark.parametrize("address", ["host/v1", "ftp://host", "https://", "", "http://host:99999/v1", "http://[::1"])
def test_endpoint_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(ValidationError):
        EndpointConfig(base_url=address, model="m")


@pytest.mark.parametrize("address", ["https://me:sk-secret@host/v1", "https://host/v1?key=sk-secret"])
def test_endpoint_address_with_a_key_in_it_is_refused_without_repeating_the_key(address: str) -> None:
    with pytest.raises(ValidationError, match="store the key as a secret") as caught:
        ParaphraseAugmentation.model_validate({"endpoint": {"base_url": address, "model": "m"}})
    assert "sk-secret" not in str(caught.value)


def test_endpoint_cost_needs_both_prices() -> None:
    config = EndpointConfig(base_url="https://host/v1", model="m", price_input_per_million=2.0)
    assert config.cost(1_000_000, 1_000_000) is None
    priced = config.model_copy(update={"price_output_per_million": 8.0})
    assert priced.cost(500_000, 250_000) == pytest.approx(3.0)


def test_overlap_of_most_of_a_passage_is_refused() -> None:
    with pytest.raises(ValidationError, match="more than half"):
        DocumentAugmentation.model_validate({**KINDS["documents"], "chunk_characters": 300, "overlap_characters": 200})
