"""Data sets of the Hugging Face Hub: what one consists of, and its files on this disk.

The files are transferred by `transfer` and not by `hf_hub_download`, which begins again after an interruption.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from pipeline.data.fetch import Fetched, FetchedFile
from pipeline.data.fetch.address import HubAddress, parse_hub_address
from pipeline.data.fetch.hub_repository import HubRepository, open_repository
from pipeline.data.fetch.hub_splits import IMAGE_SUFFIXES, Layout, Subset, read_layout
from pipeline.data.fetch.progress import Progress
from pipeline.data.fetch.sample import sample_all
from pipeline.data.fetch.transfer import transfer_all
from pipeline.errors import DataProblem

_SHOWN_NAMES = 40


@dataclass(frozen=True)
class HubDataset:
    """What a data set of the Hub consists of: rows by subset and split, None where its README does not tell them.

    `revision` is the commit; `default_subset` the one that is fetched when none is named, if there is such a one.
    """

    id: str
    revision: str
    subsets: Mapping[str, Mapping[str, int | None]]
    default_subset: str | None
    gated: bool
    private: bool
    licence: str | None
    size_bytes: int


def describe_hub_dataset(repo_id: str, *, revision: str = "main", token: str | None = None) -> HubDataset:
    """The subsets and splits of a data set, without fetching its files. Without a token, the environment's counts.

    `repo_id` may also be the address of a page of the data set; the revision that it names goes before `revision`.

    Raises:
        DataProblem: there is none, it is not given to this token, or it has no files that can be read.
        StorageFailed: the Hub cannot be reached.
    """
    address = parse_hub_address(repo_id)
    wanted = revision if address.revision is None else address.revision
    with open_repository(address.id, revision=wanted, token=token) as repository:
        header = repository.read_header()
        layout = _layout(repository, header)
        paths = {path for subset in layout.subsets.values() for files in subset.files.values() for path in files}
        return HubDataset(
            id=repository.id,
            revision=repository.commit,
            subsets={
                name: {split: subset.rows.get(split) for split in subset.files}
                for name, subset in layout.subsets.items()
            },
            default_subset=layout.default,
            gated=bool(repository.info.gated),
            private=bool(repository.info.private),
            licence=_licence(header),
            size_bytes=sum(repository.tree[path].size for path in paths),
        )


def fetch_hub(
    address: HubAddress,
    *,
    into: Path,
    progress: Progress,
    subset: str | None,
    splits: Sequence[str],
    revision: str,
    token: str | None,
    max_rows: int | None,
) -> Fetched:
    """Bring the files of the chosen splits into `into`. What the address itself says goes before the arguments.

    Raises:
        DataProblem: the data set, subset or split does not exist, is not given to this token, or cannot be read.
        StorageFailed: the Hub cannot be reached or fails too often, or the disk is too small.
    """
    progress(0, None, f"Asking the Hub for {address.id}")
    wanted = revision if address.revision is None else address.revision
    with open_repository(address.id, revision=wanted, token=token) as repository:
        layout = _layout_below(repository, address.path) if address.path else _layout(repository)
        chosen = choose_subset(repository.id, layout, subset if address.subset is None else address.subset)
        names = choose_splits(repository.id, chosen, splits if address.split is None else (address.split,))
        remotes = {f"{split}/{path}": repository.remote(path) for split in names for path in chosen.files[split]}
        if max_rows is None:
            places = transfer_all(remotes, into / repository.commit, progress=progress)
        else:
            folder = into / f"{repository.commit}-first-{max_rows}"
            places = sample_all(remotes, folder, progress=progress, max_rows=max_rows)
    files = [file for split in names for file in _fetched(split, chosen.files[split], places)]
    return Fetched(tuple(files), source=repository.id, revision=repository.commit)


def choose_subset(repo_id: str, layout: Layout, wanted: str | None) -> Subset:
    """The subset with this name, or the one that is meant without a name.

    Raises:
        DataProblem: there is none, with the names of those that there are.
    """
    name = layout.default if wanted is None else wanted
    if name is None:
        raise DataProblem(f"{repo_id} has several subsets. Choose one of {_listed(layout.subsets)}.")
    if name not in layout.subsets:
        raise DataProblem(f"{repo_id} has no subset {name!r}. Choose one of {_listed(layout.subsets)}.")
    if not any(layout.subsets[name].files.values()):
        raise DataProblem(f"The subset {name!r} of {repo_id} has no files that can be read. Choose another one.")
    return layout.subsets[name]


def choose_splits(repo_id: str, subset: Subset, wanted: Sequence[str]) -> list[str]:
    """The splits with these names; all of them where none is named.

    Raises:
        DataProblem: one does not exist, with the names of those that do.
    """
    unknown = [name for name in wanted if not subset.files.get(name)]
    if unknown:
        present = [name for name, files in subset.files.items() if files]
        raise DataProblem(f"{repo_id} has no split {unknown[0]!r}. Choose from {_listed(present)}.")
    return list(dict.fromkeys(wanted)) if wanted else [name for name, files in subset.files.items() if files]


def _layout(repository: HubRepository, header: Mapping[str, Any] | None = None) -> Layout:
    script = f"{repository.id.rpartition('/')[2]}.py"
    if script in repository.tree:
        raise DataProblem(
            f"{repository.id} is read by a program of its own ({script}), which is not run here. Try the revision "
            "refs/convert/parquet, where the Hub keeps plain copies of many such data sets."
        )
    header = repository.read_header() if header is None else header
    layout = read_layout(list(repository.tree), header, revision=repository.revision)
    if not any(files for subset in layout.subsets.values() for files in subset.files.values()):
        raise DataProblem(f"{repository.id} has no files that can be read as rows. {_endings(repository)}")
    return layout


def _layout_below(repository: HubRepository, path: str) -> Layout:
    paths = [name for name in repository.tree if name == path or name.startswith(f"{path}/")]
    if not paths:
        raise DataProblem(f"{repository.id} has no file or folder {path!r}. Check the path.")
    return read_layout(paths, {})


def _fetched(split: str, paths: Sequence[str], places: Mapping[str, Path]) -> list[FetchedFile]:
    here = [(path, places[key]) for path in paths if (key := f"{split}/{path}") in places]
    if any(path.lower().endswith(IMAGE_SUFFIXES) for path, _ in here):
        path, place = here[0]
        folder = place.parents[len(PurePosixPath(path).parts) - 1]
        return [FetchedFile(folder, split, split)]
    return [FetchedFile(place, path, split) for path, place in here]


def _licence(header: Mapping[str, Any]) -> str | None:
    told = header.get("license")
    return ", ".join(str(one) for one in told) if isinstance(told, list) else told if told is None else str(told)


def _listed(names: Mapping[str, object] | Sequence[str]) -> str:
    shown = list(names)[:_SHOWN_NAMES]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _endings(repository: HubRepository) -> str:
    endings = sorted({PurePosixPath(path).suffix for path in repository.tree if not path.startswith(".")} - {"", ".md"})
    seen = f"It holds {', '.join(endings[:8])} files. " if endings else "It holds no data. "
    return f"{seen}Choose a data set with Parquet, JSON, CSV or text files, or with images."
