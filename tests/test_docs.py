"""What the documents say is so."""

import ast
import re
import tomllib
from pathlib import Path

import yaml

from pipeline.checks.data import TOLD_ELSEWHERE
from pipeline.config import FineTuneJobConfig
from pipeline.config_fields import config_fields
from pipeline.config_reference import config_reference
from pipeline.data.integrity.catalogue import ROW_PROBLEMS
from studio.catalog import Catalog
from studio.forms import Form

PROJECT = Path(__file__).parents[1]
README = (PROJECT / "README.md").read_text(encoding="utf-8")
TREE_LINE = re.compile(r"^(?P<indent> *)(?P<name>[\w.\-]+/?)\s{2,}(?P<comment>\S.*)$")
SHOWN_PACKAGES = ("pipeline", "db", "studio")
# Packages whose folder stands for the modules in it.
FOLDED = ("pipeline/augment", "pipeline/data/fetch", "pipeline/data/integrity", "pipeline/data/shapes")
FOLDED += ("pipeline/data/sources", "pipeline/evaluation/metrics", "pipeline/rewards", "pipeline/trackers")
FOLDED += ("pipeline/exporters/destinations", "pipeline/reproduce")


def tree_of_readme() -> set[str]:
    block = README.split("```text\n", 1)[1].split("```", 1)[0]
    found: set[str] = set()
    parents: list[str] = []
    for line in block.splitlines():
        match = TREE_LINE.match(line)
        assert match, f"no comment on the line {line!r}"
        depth = len(match["indent"]) // 2
        parents[depth:] = [match["name"].rstrip("/")]
        assert "/".join(parents) not in found, f"two lines for {'/'.join(parents)}"
        if not match["name"].endswith("/") or "/".join(parents) in FOLDED:
            found.add("/".join(parents))
    return found


def test_readme_shows_every_module() -> None:
    actual = {
        str(path.relative_to(PROJECT))
        for package in SHOWN_PACKAGES
        for path in (PROJECT / package).rglob("*.py")
        if path.name != "__init__.py" or path.parent.name in ("checks", "methods", "providers", "launchers", "ui")
        if "migrations" not in path.parts
    }
    actual = {next((folder for folder in FOLDED if path.startswith(f"{folder}/")), path) for path in actual}
    shown = {path for path in tree_of_readme() if path.split("/")[0] in SHOWN_PACKAGES}
    assert shown == actual


def test_files_of_the_readme_exist() -> None:
    assert [path for path in tree_of_readme() if not (PROJECT / path).exists()] == []
    assert [path for path in re.findall(r"\]\(((?!http)[^)#]+)\)", README) if not (PROJECT / path).exists()] == []


def test_readme_has_the_two_commands() -> None:
    assert "\npip install -e . && python app.py\n" in README
    assert '\npip install -e ".[dev]" && pytest\n' in README


def test_space_front_matter_names_the_docker_space() -> None:
    front = yaml.safe_load(README.split("---\n")[1])
    assert (front["sdk"], front["app_port"]) == ("docker", 7860)


def test_requirements_are_those_of_the_project() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = (PROJECT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line and not line.startswith("#")] == project["dependencies"]


def test_every_setting_has_a_description_and_an_input() -> None:
    assert [leaf.path for leaf in config_fields() if not leaf.info.description] == []
    assert set(Form(FineTuneJobConfig).leaves) == {leaf.path for leaf in config_fields()}


def test_configuration_reference_is_current() -> None:
    written = (PROJECT / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert written == config_reference(), "run: python -m pipeline schema --markdown > docs/configuration.md"


def test_recommended_settings_are_settings() -> None:
    known = {leaf.path for leaf in config_fields()}
    for model in Catalog(PROJECT / "assets").models.values():
        assert set(model.recommended) <= known


def severities_in(folder: Path) -> dict[str, set[str]]:
    """The severities with which each finding is made, from the calls in the modules of a folder."""
    found: dict[str, set[str]] = {}
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(func=ast.Name(id="error" | "warning" | "info" as severity), args=[code, *_]):
                    pass
                case ast.Call(func=ast.Name(id="_finding"), args=[code, ast.Constant(value=severity), *_]):
                    pass
                case _:
                    continue
            assert isinstance(code, ast.Constant), f"{path.name}:{node.lineno}: the code is no literal"
            found.setdefault(str(code.value), set()).add(str(severity))
    return found


def test_every_check_is_in_the_table_of_checks() -> None:
    rows = {code: {problem.severity} for code, problem in ROW_PROBLEMS.items()}
    of_rows = rows | severities_in(PROJECT / "pipeline" / "data" / "integrity")
    repeated = {code: told for code, told in of_rows.items() if told != {"info"} and code not in TOLD_ELSEWHERE}
    text = (PROJECT / "docs" / "checks.md").read_text(encoding="utf-8")
    table = re.findall(r"^\| `(\w+)` \| ([a-z, ]+) \| \S", text, re.MULTILINE)
    assert {code: set(severity.split(", ")) for code, severity in table} == repeated | severities_in(
        PROJECT / "pipeline" / "checks"
    )
    assert len({code for code, _ in table}) == len(table)
