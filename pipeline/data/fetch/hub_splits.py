"""Which files of a Hub repository make up which split of which subset, as its README and its file names say it."""

import posixpath
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.data.fetch.address import TABLE_SUFFIXES
from pipeline.errors import DataProblem

DEFAULT_SUBSET = "default"
# Where the Hub keeps its own copies of data sets as Parquet: a folder a subset, and in it a folder a split.
CONVERTED_REVISION = "refs/convert/parquet"
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp")
_JSON = (".json", ".jsonl", ".ndjson")
_IMAGE_TABLES = ("metadata.csv", "metadata.jsonl", "metadata.parquet")


@dataclass(frozen=True)
class Subset:
    """One configuration of a data set: the files of its splits, and their rows where the README tells them."""

    files: Mapping[str, tuple[str, ...]]
    rows: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Layout:
    """All subsets by name; `default` is the one that is meant when none is named."""

    subsets: Mapping[str, Subset]
    default: str | None


def read_layout(paths: Sequence[str], card: Mapping[str, Any], *, revision: str = "main") -> Layout:
    """The layout of a repository with these files and this README header.

    Raises:
        DataProblem: the header is malformed, or names files outside of the repository.
    """
    paths = [path for path in sorted(paths) if not _is_hidden(path)]
    rows = _told_rows(card)
    configs = card.get("configs")
    if revision == CONVERTED_REVISION:
        files = _converted(paths)
    elif configs:
        files = {name: _matched(paths, config) for name, config in _named(configs).items()}
    else:
        files = {DEFAULT_SUBSET: _by_name(_of_one_kind(paths), base="")}
        if len(rows) == 1:
            # Before configs were written into the README, its one description had a name of its own.
            rows = {DEFAULT_SUBSET: next(iter(rows.values()))}
    subsets = {name: Subset(splits, rows.get(name, {})) for name, splits in files.items()}
    return Layout(subsets, _default(subsets, configs))


def _named(configs: Any) -> dict[str, Mapping[str, Any]]:
    if not isinstance(configs, list) or not all(isinstance(c, Mapping) and "config_name" in c for c in configs):
        raise DataProblem("The README's configs are malformed: each needs a config_name. Its author has to correct it.")
    return {str(config["config_name"]): config for config in configs}


def _default(subsets: Mapping[str, Subset], configs: Any) -> str | None:
    marked = [c["config_name"] for c in configs if c.get("default")] if configs and isinstance(configs, list) else []
    for name in (*marked, DEFAULT_SUBSET):
        if name in subsets:
            return str(name)
    return next(iter(subsets)) if len(subsets) == 1 else None


def _matched(paths: Sequence[str], config: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    from datasets.data_files import sanitize_patterns

    base = _inside(str(config["data_dir"])) if config.get("data_dir") else ""
    if config.get("data_files") is None:
        below = [path for path in paths if not base or path.startswith(f"{base}/")]
        return _by_name(_of_one_kind(below), base=base)
    try:
        patterns = sanitize_patterns(config["data_files"])
    except (ValueError, TypeError) as error:
        raise DataProblem(f"The README's data_files are malformed: {error}. Its author has to correct it.") from error
    return {split: _glob(paths, names, base=base) for split, names in patterns.items()}


def _by_name(paths: Sequence[str], *, base: str) -> dict[str, tuple[str, ...]]:
    """Splits as the names of files and folders tell them: train-00000-of-00002.parquet, test/…, validation.csv."""
    from datasets.data_files import _get_data_files_patterns

    def resolve(pattern: str) -> list[str]:
        return list(_glob(paths, [pattern], base=base))

    try:
        patterns = _get_data_files_patterns(resolve)
    except FileNotFoundError:
        return {}
    return {str(split): _glob(paths, names, base=base) for split, names in patterns.items()}


def _converted(paths: Sequence[str]) -> dict[str, dict[str, tuple[str, ...]]]:
    files: dict[str, dict[str, tuple[str, ...]]] = {}
    for path in paths:
        parts = path.split("/")
        if len(parts) == 3 and path.endswith(".parquet"):
            subset, split = parts[0], parts[1].removeprefix("partial-")
            splits = files.setdefault(subset, {})
            splits[split] = (*splits.get(split, ()), path)
    return files


def _of_one_kind(paths: Sequence[str]) -> list[str]:
    """The files of the most frequent readable kind: a table beside a thousand images is not a data set of its own."""
    kinds = Counter(kind for path in paths if (kind := _kind(path)) and posixpath.basename(path) not in _IMAGE_TABLES)
    if not kinds:
        return [path for path in paths if _kind(path)]
    order = ("parquet", "json", "csv", "text", "xlsx", "zip", "images")
    chosen = max(kinds, key=lambda kind: (kinds[kind], -order.index(kind)))
    with_tables = chosen == "images"
    return [
        path
        for path in paths
        if _kind(path) in (chosen, "zip") or (with_tables and posixpath.basename(path) in _IMAGE_TABLES)
    ]


def _kind(path: str) -> str | None:
    from datasets.data_files import FILES_TO_IGNORE

    suffix = posixpath.splitext(path.lower().removesuffix(".gz"))[1]
    if posixpath.basename(path) in FILES_TO_IGNORE or suffix not in (*TABLE_SUFFIXES, *IMAGE_SUFFIXES):
        return None
    if suffix in IMAGE_SUFFIXES:
        return "images"
    names = {".txt": "text", ".tsv": "csv", **dict.fromkeys(_JSON, "json")}
    return names.get(suffix, suffix.removeprefix("."))


def _glob(paths: Sequence[str], patterns: Sequence[str], *, base: str) -> tuple[str, ...]:
    from fsspec.utils import glob_translate

    found: dict[str, None] = {}
    for pattern in patterns:
        wanted = re.compile(glob_translate(_inside(posixpath.join(base, str(pattern)))))
        found.update(dict.fromkeys(path for path in paths if wanted.match(path)))
    return tuple(found)


def _inside(pattern: str) -> str:
    normal = posixpath.normpath(pattern)
    if "://" in pattern or normal.startswith(("/", "..")):
        raise DataProblem(
            f"The README names files outside of the repository ({pattern}), which are not fetched. Fetch the "
            "files' own address instead."
        )
    return normal


def _is_hidden(path: str) -> bool:
    return any(part.startswith((".", "__")) and part != ".." for part in path.split("/"))


def _told_rows(card: Mapping[str, Any]) -> dict[str, dict[str, int]]:
    told = card.get("dataset_info")
    infos = told if isinstance(told, list) else [told]
    rows: dict[str, dict[str, int]] = {}
    for info in infos:
        if not isinstance(info, Mapping) or not isinstance(info.get("splits"), list):
            continue
        splits = {s["name"]: s["num_examples"] for s in info["splits"] if {"name", "num_examples"} <= s.keys()}
        rows[str(info.get("config_name", DEFAULT_SUBSET))] = splits
    return rows
