"""1 where the answer is JSON that a schema accepts, 0.5 where it is JSON that the schema refuses."""

import json
from collections.abc import Sequence
from typing import Any

from jsonschema.exceptions import SchemaError
from jsonschema.protocols import Validator
from jsonschema.validators import extend, validator_for
from referencing import Registry
from referencing.exceptions import Unresolvable

from pipeline.errors import RewardFailed
from pipeline.reward_config import JsonSchemaReward
from pipeline.rewards import RewardFunction
from pipeline.rewards.schema_patterns import bounded_keywords

JSON_ALONE = 0.5


def build(config: JsonSchemaReward) -> RewardFunction:
    """The check against the schema, of the draft that its `$schema` names, else of 2020-12.

    The schema's patterns are bounded in time, and it may not refer to documents on the network.
    """
    validator = _validator(config.json_schema)

    def json_schema(prompts: Sequence[str], completions: Sequence[str], **columns: Sequence[Any]) -> list[float]:
        return [_score(answer, validator) for answer in completions]

    return json_schema


def _validator(schema: dict[str, Any]) -> Validator:
    kind: Any = validator_for(schema)
    try:
        kind.check_schema(schema, format_checker=kind.FORMAT_CHECKER)
    except SchemaError as error:
        where = "/".join(map(str, error.absolute_path))
        place = f" at {where}" if where else ""
        raise RewardFailed(f"its JSON schema is wrong{place}: {error.message}. Correct it there.") from error
    # An empty registry: without one, the library would fetch what a schema refers to.
    registry: Registry[Any] = Registry()
    bounded: Validator = extend(kind, bounded_keywords())(schema, registry=registry)
    return bounded


def _score(answer: str, validator: Validator) -> float:
    try:
        value = json.loads(answer, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return 0.0
    try:
        return 1.0 if validator.is_valid(value) else JSON_ALONE
    except RecursionError:
        return JSON_ALONE
    except Unresolvable as error:
        raise RewardFailed(
            f"its JSON schema refers to {error.ref!r}, which is not in it. Put that definition under $defs."
        ) from error


def _refuse(constant: str) -> None:
    # Python reads NaN and Infinity, which are no JSON.
    raise ValueError(f"{constant} is no JSON")
