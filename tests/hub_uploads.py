"""HubUploads: how the tests' own Hub takes files: which way each goes, its storage, and the lines of a commit."""

import base64
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import parse_qs

from tests.file_server import Answer, SeenRequest

# What the real Hub's .gitattributes name, as far as exports have it.
_LARGE_SUFFIXES = (".safetensors", ".gguf", ".bin", ".onnx", ".model")
_LARGEST_REGULAR_BYTES = 10 << 20


class HubUploads:
    """The storage of large files, which come whole, or in parts where they are longer than `part_bytes`."""

    part_bytes = 5 << 20

    def __init__(self, *, url: Callable[[], str], storage_url: Callable[[], str]) -> None:
        self.blobs: dict[str, bytes] = {}
        self._parts: dict[str, dict[int, bytes]] = {}
        self._url = url
        self._storage_url = storage_url

    def modes(self, files: Sequence[Mapping[str, Any]], oids: Mapping[str, str]) -> list[dict[str, Any]]:
        """Which way each file goes, and what the repository has at its path."""
        return [
            {
                "path": file["path"],
                "uploadMode": "lfs" if _is_large(file["path"], file["size"]) else "regular",
                "shouldIgnore": False,
                "oid": oids.get(file["path"]),
            }
            for file in files
        ]

    def answer_batch(self, told: Mapping[str, Any]) -> dict[str, Any]:
        """Where large files are sent to; nowhere, where they are here."""
        return {"transfer": "basic", "objects": [self._object(told["oid"], told["size"]) for told in told["objects"]]}

    def answer_storage(self, request: SeenRequest) -> Answer | None:
        """Take a file or a part of one; None for other requests."""
        folder, _, rest = request.path.strip("/").partition("/")
        if folder == "upload" and request.method == "PUT":
            if request.is_cut:
                return Answer()
            query = parse_qs(request.query)
            if "part" in query:
                self._parts.setdefault(rest, {})[int(query["part"][0])] = request.body
                return Answer(headers={"ETag": _etag(request.body)})
            return self._keep(rest, request.body)
        if folder == "complete" and request.method == "POST":
            parts = self._parts.get(rest, {})
            if [part["etag"] for part in json.loads(request.body)["parts"]] != [
                _etag(parts[number]) for number in sorted(parts)
            ]:
                return Answer(b"", 400)
            return self._keep(rest, b"".join(parts[number] for number in sorted(parts)))
        if folder == "verify" and request.method == "POST":
            told = json.loads(request.body)
            is_here = len(self.blobs.get(told["oid"], b"")) == told["size"]
            return Answer(b"{}", 200 if is_here else 404)
        return None

    def read_commit(self, body: bytes) -> tuple[dict[str, bytes], set[str]]:
        """The files that a commit adds, and which of them are large."""
        files, lfs = dict[str, bytes](), set[str]()
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            match line["key"]:
                case "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                case "lfsFile":
                    files[value["path"]] = self.blobs[value["oid"]]
                    lfs.add(value["path"])
        return files, lfs

    def _object(self, oid: str, size: int) -> dict[str, Any]:
        if oid in self.blobs:
            return {"oid": oid, "size": size}
        verify = {"href": f"{self._url()}/verify"}
        if size <= self.part_bytes:
            upload: dict[str, Any] = {"href": f"{self._storage_url()}/upload/{oid}"}
        else:
            numbers = range(1, -(-size // self.part_bytes) + 1)
            places = {f"{number:05}": f"{self._storage_url()}/upload/{oid}?part={number}" for number in numbers}
            header = {"chunk_size": str(self.part_bytes), **places}
            upload = {"href": f"{self._url()}/complete/{oid}", "header": header}
        return {"oid": oid, "size": size, "authenticated": True, "actions": {"upload": upload, "verify": verify}}

    def _keep(self, oid: str, content: bytes) -> Answer:
        if hashlib.sha256(content).hexdigest() != oid:
            return Answer(b"", 400)
        self.blobs[oid] = content
        return Answer(b"{}")


def _is_large(path: str, size: int) -> bool:
    return PurePosixPath(path).suffix in _LARGE_SUFFIXES or size > _LARGEST_REGULAR_BYTES


def _etag(content: bytes) -> str:
    return f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"'
