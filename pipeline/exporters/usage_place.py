"""The words in which a command names a file of an export: here or on the Hub, for a shell and for Python."""

import json
import shlex
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal, Protocol

FileFormat = Literal["adapter", "merged", "gguf", "gguf_adapter", "onnx", "mmproj"]
_FILE_ENDINGS = (".safetensors", ".onnx")


class Served(Protocol):
    """One thing at the destination: a file of the formats of GGUF, else the folder of a model or an adapter."""

    @property
    def path(self) -> str:
        """Relative to the destination; `.` is its top."""

    @property
    def format(self) -> FileFormat:
        """What it is."""

    @property
    def number_format(self) -> str:
        """Of its weights, such as bf16 or q8_0."""


@dataclass(frozen=True)
class Command:
    """What to type, in `language` (`python` or `sh`)."""

    title: str
    language: Literal["python", "sh"]
    text: str


@dataclass(frozen=True)
class Place:
    """Where the files lie, in words for a shell and for Python."""

    name: str
    repo: str | None
    folder: str

    def local(self, path: str) -> str:
        """The path on the user's machine, quoted; what is on the Hub is fetched to a folder of the model's name."""
        top = self.folder if self.repo is None else self.name
        return shlex.quote(str(PurePosixPath(top, path)))

    def fetched(self, *paths: str) -> str:
        """The line that fetches files or folders from the Hub; none where they lie here."""
        if self.repo is None:
            return ""
        wanted = (
            shlex.quote(path) if PurePosixPath(path).suffix else f"--include {shlex.quote(f'{path}/*')}"
            for path in paths
        )
        return f"hf download {shlex.quote(self.repo)} {' '.join(wanted)} --local-dir {shlex.quote(self.name)}\n"

    def python(self, path: str) -> str:
        """The arguments of `from_pretrained` for a folder at the destination."""
        if self.repo is None:
            return quoted(str(PurePosixPath(self.folder, path)))
        return quoted(self.repo) + ("" if path == "." else f", subfolder={quoted(path)}")


def folder_of(path: str) -> str:
    """The folder that a path names, or that the file lies in."""
    pure = PurePosixPath(path)
    return str(pure.parent if pure.suffix in _FILE_ENDINGS else pure)


def quoted(value: str) -> str:
    """The text as Python writes it."""
    return json.dumps(value, ensure_ascii=False)
