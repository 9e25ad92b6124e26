from pathlib import Path

import pytest

from pipeline.augment import augment, estimate_cost
from pipeline.augment.config import (
    Augmentation,
    CaseAugmentation,
    DocumentAugmentation,
    EndpointConfig,
    ParaphraseAugmentation,
    SynthesisAugmentation,
)
from pipeline.data.example import Example
from tests.endpoint_server import EndpointServer
from tests.pipeline.augment.material import conversation, endpoint_config


def priced(server: EndpointServer) -> EndpointConfig:
    return endpoint_config(server, price_input_per_million=1000.0, price_output_per_million=2000.0)


def characters(text: str) -> int:
    return len(text)


def test_estimated_input_is_what_the_server_counts(server: EndpointServer, examples: list[Example]) -> None:
    config = ParaphraseAugmentation(endpoint=priced(server), share=0.5, variants_per_row=2)
    estimate = estimate_cost(config, examples, seed=1, count_tokens=characters)
    outcomes = list(augment(config, examples, progress=lambda *_: None, seed=1, existing_keys={}))
    # Four tokens around each of two messages are added for the chat format.
    assert estimate.input_tokens == sum(outcome.input_tokens for outcome in outcomes) + 20 * 8
    assert (estimate.requests, estimate.rows, estimate.tokens_counted_by) == (20, 40, "the tokenizer")
    used = sum(outcome.output_tokens for outcome in outcomes) / 4
    assert used * 0.5 < estimate.output_tokens < used * 2


def test_cost_and_time_follow_from_prices_and_rate(server: EndpointServer, examples: list[Example]) -> None:
    endpoint = priced(server).model_copy(update={"requests_per_minute": 8})
    estimate = estimate_cost(ParaphraseAugmentation(endpoint=endpoint, share=1), examples, seed=1)
    assert estimate.minutes_at_rate_limit == 5
    assert estimate.cost == pytest.approx(estimate.input_tokens / 1000 + estimate.output_tokens / 500)
    assert estimate.tokens_counted_by == "bytes / 4"
    assert server.received == []


def test_cost_is_unknown_without_prices(endpoint: EndpointConfig, examples: list[Example]) -> None:
    assert estimate_cost(ParaphraseAugmentation(endpoint=endpoint), examples, seed=1).cost is None


def test_output_never_exceeds_the_limit_of_an_answer(endpoint: EndpointConfig) -> None:
    long = [conversation("why " * 5000, "So.")]
    limited = endpoint.model_copy(update={"max_tokens": 100})
    assert estimate_cost(ParaphraseAugmentation(endpoint=limited, share=1), long, seed=1).output_tokens == 100


def test_rows_that_cannot_be_asked_about_are_counted_apart(endpoint: EndpointConfig) -> None:
    rows = [conversation("Why?", "So."), Example(2, text="once")]
    estimate = estimate_cost(ParaphraseAugmentation(endpoint=endpoint, share=1), rows, seed=1)
    assert (estimate.requests, estimate.not_applicable) == (1, 1)


def test_synthesis_and_documents_are_estimated(
    endpoint: EndpointConfig, examples: list[Example], tmp_path: Path
) -> None:
    path = tmp_path / "a.txt"
    path.write_text("Quartz is hard. " * 100)
    configs: list[tuple[Augmentation, int, int]] = [
        (SynthesisAugmentation(endpoint=endpoint, instruction="Stones.", rows=12), 3, 12),
        (DocumentAugmentation(endpoint=endpoint, documents=(str(path),), chunk_characters=1000), 2, 6),
    ]
    for config, requests, rows in configs:
        estimate = estimate_cost(config, examples, seed=1)
        assert (estimate.requests, estimate.rows) == (requests, rows)
        assert estimate.output_tokens > 0


def test_method_that_asks_nobody_costs_nothing_and_is_counted_exactly(examples: list[Example]) -> None:
    mixed = [*examples, conversation("small letters", "so", row=41)]
    estimate = estimate_cost(CaseAugmentation(share=1), mixed, seed=1)
    assert (estimate.requests, estimate.rows, estimate.not_applicable, estimate.cost) == (0, 40, 1, 0.0)
