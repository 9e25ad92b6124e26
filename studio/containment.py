"""What a run may touch where strangers can reach the studio: the studio's own files, and servers that all can reach."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from pipeline.config import FineTuneJobConfig
from pipeline.errors import InvalidConfig, Problem
from pipeline.export_config import ExportJobConfig
from pipeline.exporters.destinations.address import parse_destination
from pipeline.method_config import GrpoConfig
from pipeline.reward_config import JudgeReward, PythonReward
from studio.datasets import is_private
from studio.settings import Settings

_FOLDER = "{} is a folder of a shared studio. Download the files, or send them to a bucket or the Hub."


def contain(config: FineTuneJobConfig, settings: Settings) -> None:
    """Refuse what the owner of the machine would not hand to a stranger; nothing on a studio of one's own.

    Raises:
        InvalidConfig: a model's folder, or a reward's code or address, is out of bounds.
    """
    problems = (
        [] if settings.is_local else [*_model(config, settings), *_rewards(config, settings), *_destinations(config)]
    )
    if problems:
        raise InvalidConfig(problems)


def contain_export(config: ExportJobConfig, settings: Settings, *, is_own_source: bool) -> None:
    """Refuse an export that reads or writes folders where strangers can reach the studio; `is_own_source`: of a run
    that belongs to the caller.

    Raises:
        InvalidConfig: a folder is out of bounds.
    """
    problems = [] if settings.is_local else [*_places(config, is_own_source=is_own_source)]
    if problems:
        raise InvalidConfig(problems)


def _places(config: ExportJobConfig, *, is_own_source: bool) -> Iterator[Problem]:
    if not is_own_source:
        yield Problem("source", "is a folder of a shared studio. Name one of your runs as job_id.")
    if config.base_model is not None and Path(config.base_model).expanduser().exists():
        yield Problem("base_model", f"{config.base_model} is a folder of a shared studio. Name a model of the Hub.")
    for destination in config.destinations:
        if parse_destination(destination).scheme == "file":
            yield Problem("destinations", _FOLDER.format(destination))


def reward_folder(settings: Settings) -> Path:
    """Where the machine's owner puts the reward functions that callers may name."""
    return settings.home / "rewards"


def _model(config: FineTuneJobConfig, settings: Settings) -> Iterator[Problem]:
    name = config.model.base_model
    parts = urlsplit(name)
    path = Path(url2pathname(parts.path)) if parts.scheme == "file" else Path(name).expanduser()
    if path.exists() and not _is_below(path, settings.home, settings.assets):
        yield Problem("model.base_model", f"{name} is outside the studio's folders.")


def _rewards(config: FineTuneJobConfig, settings: Settings) -> Iterator[Problem]:
    rewards = config.method.rewards if isinstance(config.method, GrpoConfig) else ()
    for reward in rewards:
        if isinstance(reward, PythonReward) and not _is_below(Path(reward.path), reward_folder(settings)):
            yield Problem(
                "method.rewards",
                f"{reward.path} is code from outside {reward_folder(settings)}. Only the functions that the studio's "
                "owner has put there may be run.",
            )
        if isinstance(reward, JudgeReward) and is_private(urlsplit(reward.base_url).hostname or ""):
            yield Problem(
                "method.rewards",
                f"{reward.base_url} is inside the studio's own network. Name a server that all can reach.",
            )


def _destinations(config: FineTuneJobConfig) -> Iterator[Problem]:
    for destination in config.export.destinations:
        if parse_destination(destination).scheme == "file":
            yield Problem("export.destinations", _FOLDER.format(destination))


def _is_below(path: Path, *folders: Path) -> bool:
    resolved = path.expanduser().resolve()
    return any(resolved.is_relative_to(folder.resolve()) for folder in folders)
