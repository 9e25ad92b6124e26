"""The keywords of JSON schema that search with regular expressions, bounded in time."""

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

from jsonschema import ValidationError
from jsonschema.protocols import Validator

from pipeline.rewards.bounded_regex import BoundedRegex

Keyword = Callable[[Validator, Any, Any, Any], Iterator[ValidationError]]
_KEPT_PATTERNS = 256


def bounded_keywords() -> dict[str, Keyword]:
    """Keywords by name, for `jsonschema.validators.extend`. They say only that something is wrong, not what."""
    compiled = lru_cache(maxsize=_KEPT_PATTERNS)(BoundedRegex)

    def matches(pattern: str, text: str) -> bool:
        return compiled(pattern).search(text) is not None

    def pattern(validator: Validator, wanted: str, instance: Any, schema: Any) -> Iterator[ValidationError]:
        if isinstance(instance, str) and not matches(wanted, instance):
            yield ValidationError("a text does not match its pattern")

    def pattern_properties(
        validator: Validator, wanted: dict[str, Any], instance: Any, schema: Any
    ) -> Iterator[ValidationError]:
        if not isinstance(instance, dict):
            return
        for expression, subschema in wanted.items():
            for name, value in instance.items():
                if matches(expression, name):
                    yield from validator.descend(value, subschema)

    def additional_properties(
        validator: Validator, wanted: Any, instance: Any, schema: dict[str, Any]
    ) -> Iterator[ValidationError]:
        if not isinstance(instance, dict):
            return
        named, expressions = schema.get("properties", {}), schema.get("patternProperties", {})
        for name, value in instance.items():
            if name not in named and not any(matches(expression, name) for expression in expressions):
                yield from validator.descend(value, wanted)

    return {
        "pattern": pattern,
        "patternProperties": pattern_properties,
        "additionalProperties": additional_properties,
    }
