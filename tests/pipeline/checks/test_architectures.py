"""The tables that are read from transformers' source are those that it has when it is imported."""

import subprocess
import sys

import pytest
from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
)

from pipeline.checks.architectures import known_model_types, text_architectures


def names(*tables: dict[str, str | tuple[str, ...]]) -> set[str]:
    values = [value for table in tables for value in table.values()]
    return {name for value in values for name in ((value,) if isinstance(value, str) else value)}


def test_model_types_are_those_of_transformers() -> None:
    assert known_model_types() == set(CONFIG_MAPPING_NAMES)


@pytest.mark.parametrize("scores", [False, True])
def test_architectures_are_those_of_transformers(scores: bool) -> None:
    text = (MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES)
    scoring = (MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,) if scores else ()
    assert text_architectures(scores=scores) == names(*text, *scoring)


def test_tables_are_read_without_importing_transformers() -> None:
    code = "import sys; from pipeline.checks.architectures import *; assert known_model_types(); "
    code += "assert text_architectures(); print('transformers' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
