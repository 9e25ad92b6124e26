"""Who may import whom, and that the web process stays light."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
MAY_IMPORT = {"pipeline": {"pipeline"}, "db": {"db", "pipeline"}, "studio": {"studio", "db", "pipeline"}}
OURS = {"app", "studio", "db", "pipeline", "tests", "benchmarks"}
HEAVY = {"torch", "transformers", "trl", "peft", "datasets", "accelerate", "bitsandbytes", "unsloth"}


def _light_of_reproduction() -> list[Path]:
    """All but what reads and tokenises rows."""
    heavy = {"training_rows.py", "trl_tokens.py"}
    return [path for path in sorted((PROJECT / "pipeline" / "reproduce").glob("*.py")) if path.name not in heavy]


LIGHT_PIPELINE = [
    *(f"pipeline/{name}.py" for name in ("__init__", "config", "config_base", "data_config", "errors", "events")),
    *(f"pipeline/{name}.py" for name in ("method_config", "reward_config", "training_config")),
    *(f"pipeline/{name}.py" for name in ("validation", "run_dir", "job_tracker", "line_server")),
    *(f"pipeline/{name}.py" for name in ("config_fields", "config_flags", "config_reference")),
    *(f"pipeline/{name}.py" for name in ("hardware_specs", "prices", "learning_rules", "memory_rules")),
    *(f"pipeline/{name}.py" for name in ("smart_defaults", "suggestions", "devices", "estimates", "estimator")),
    *(f"pipeline/{name}.py" for name in ("preflight", "preflight_view", "estimate_history", "measurements")),
    *(f"pipeline/estimate/{name}.py" for name in ("__init__", "rates", "sharding")),
    *(f"pipeline/{name}.py" for name in ("smoke", "smoke_report", "smokebench")),
    *(f"pipeline/{name}.py" for name in ("export_config", "exporters/layout", "exporters/gguf/tools")),
    *(f"pipeline/exporters/{name}.py" for name in ("exported_files", "usage", "usage_models", "usage_place")),
    *(f"pipeline/exporters/{name}.py" for name in ("destinations/__init__", "destinations/address")),
    *(str(path.relative_to(PROJECT)) for path in _light_of_reproduction()),
    *(f"pipeline/data/{name}.py" for name in ("example", "mapping", "row_store", "inspection", "partition")),
    *(f"pipeline/data/{name}.py" for name in ("splits", "sources/__init__", "fetch/__init__", "integrity/report")),
    *(str(path.relative_to(PROJECT)) for path in sorted((PROJECT / "pipeline" / "checks").glob("*.py"))),
]
LIGHT_LIBRARIES = {"orjson", "pydantic", "pydantic_core", "annotated_types", "yaml", "pipeline"}


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module.split(".")[0]


@pytest.mark.parametrize("package", sorted(MAY_IMPORT))
def test_arrows_point_one_way(package: str) -> None:
    wrong = {
        f"{path.relative_to(PROJECT)} imports {name}"
        for path in (PROJECT / package).rglob("*.py")
        for name in imports(path)
        if name in OURS - MAY_IMPORT[package]
    }
    assert wrong == set()


@pytest.mark.parametrize("module", LIGHT_PIPELINE)
def test_light_module_imports_only_light_things(module: str) -> None:
    foreign = {name for name in imports(PROJECT / module) if name not in sys.stdlib_module_names}
    assert foreign <= LIGHT_LIBRARIES


def test_studio_and_db_never_name_a_heavy_library() -> None:
    wrong = {
        f"{path.relative_to(PROJECT)} imports {name}"
        for package in ("studio", "db")
        for path in (PROJECT / package).rglob("*.py")
        for name in imports(path)
        if name in HEAVY
    }
    assert wrong == set()


def test_web_process_does_not_load_torch() -> None:
    code = f"import sys, studio.application; print(sorted({HEAVY!r} & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=PROJECT, check=True)
    assert loaded.stdout.strip() == "[]"


def test_modules_stay_short() -> None:
    long = {
        str(path.relative_to(PROJECT)): lines
        for package in ("pipeline", "db", "studio", "benchmarks", "assets")
        for path in (PROJECT / package).rglob("*.py")
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > 300
    }
    assert long == {}


def test_every_variant_has_its_module() -> None:
    from typing import get_args

    from pipeline.config import ModelConfig, SftConfig

    for provider in get_args(ModelConfig.model_fields["provider"].annotation):
        assert (PROJECT / "pipeline" / "providers" / f"{provider}.py").is_file()
    assert (PROJECT / "pipeline" / "methods" / f"{SftConfig().kind}.py").is_file()
