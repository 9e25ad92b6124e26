"""A Hugging Face Hub of the tests' own on 127.0.0.1, speaking the protocol that the real client libraries speak."""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import parse_qs, quote, unquote, urlsplit

import yaml

from tests.file_server import Answer, FileServer, SeenRequest
from tests.hub_uploads import HubUploads

Kind = Literal["datasets", "models"]
Gate = Literal["auto", "manual", False]
_API = re.compile(r"/api/(datasets|models)/(.+?)(?:/(revision|tree|paths-info)/([^/]+)(?:/(.*))?)?/?")
_RESOLVE = re.compile(r"/(datasets/)?([^/]+(?:/[^/]+)?)/resolve/([^/]+)/(.+)")
_WRITE = re.compile(r"/api/models/([^/]+/[^/]+)/(preupload|commit)/main|/([^/]+/[^/]+)\.git/info/lfs/objects/batch")
_XET_TOKEN = re.compile(r"/api/models/([^/]+/[^/]+)/xet-write-token/main")
_BAD_TOKEN = "Invalid credentials in Authorization header"


@dataclass(frozen=True)
class _Blob:
    file: Path
    size: int
    oid: str
    sha256: str
    is_lfs: bool


@dataclass
class _Repository:
    kind: Kind
    id: str
    private: bool = False
    gated: Gate = False
    revisions: dict[str, str] = field(default_factory=dict)
    commits: dict[str, dict[str, _Blob]] = field(default_factory=dict)


class HubServer:
    """Serves what `add_dataset` and `add_model` were given, and what clients commit; a context manager.

    `http` breaks connections on demand. `page_size` is how many entries of a listing come in one answer. `xet_url` is
    the storage that is offered to clients for large files, besides the Hub's own.
    """

    page_size = 1000

    def __init__(self, folder: Path) -> None:
        self.http = FileServer(self._answer)
        self.folder = folder
        self._repositories: dict[tuple[str, str], _Repository] = {}
        self._aliases: dict[str, str] = {}
        self._tokens: dict[str, frozenset[str]] = {}
        self._writers: dict[str, frozenset[str]] = {}
        self._stored: dict[str, _Blob] = {}
        self.xet_url: str | None = None
        self.uploads = HubUploads(url=lambda: self.url, storage_url=lambda: self.storage_url)

    def __enter__(self) -> Self:
        self.http.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.http.__exit__(kind, error, trace)

    @property
    def url(self) -> str:
        """What `HF_ENDPOINT` is set to."""
        return self.http.url

    @property
    def storage_url(self) -> str:
        """Where large files are sent from: another origin, as on the real Hub."""
        return f"http://localhost:{self.http.port}"

    @property
    def requests(self) -> list[SeenRequest]:
        """Every request so far."""
        return self.http.requests

    def add_dataset(
        self,
        repo_id: str,
        files: Mapping[str, bytes],
        *,
        private: bool = False,
        gated: Gate = False,
        revision: str = "main",
        lfs: Iterable[str] = (),
        sizes: Mapping[str, int] | None = None,
    ) -> str:
        """Commit these files to a data set and return the commit.

        `lfs` are paths that are kept as large files; `sizes` is what the listing claims instead of the true sizes.
        """
        repository = self._repositories.setdefault(("datasets", repo_id), _Repository("datasets", repo_id))
        repository.private, repository.gated = private, gated
        return self._commit(repository, files, revision, set(lfs), {} if sizes is None else sizes)

    def add_model(
        self,
        repo_id: str,
        files: Mapping[str, bytes],
        *,
        private: bool = False,
        gated: Gate = False,
        revision: str = "main",
        lfs: Iterable[str] = (),
    ) -> str:
        """Commit these files to a model and return the commit."""
        repository = self._repositories.setdefault(("models", repo_id), _Repository("models", repo_id))
        repository.private, repository.gated = private, gated
        return self._commit(repository, files, revision, set(lfs), {})

    def add_token(self, token: str, *, reads: Iterable[str] = (), writes: Iterable[str] = ()) -> None:
        """Accept a token; `reads` are the private and gated repositories that it opens.

        `writes` are the namespaces in which it makes and changes models.
        """
        self._tokens[token] = frozenset(reads)
        self._writers[token] = frozenset(writes)

    def is_private(self, repo_id: str) -> bool:
        """Whether a model is private."""
        return self._repositories["models", repo_id].private

    def commits(self, repo_id: str) -> int:
        """How many commits a model has; the one that makes it is the first."""
        return len(self._repositories["models", repo_id].commits)

    def add_alias(self, old_id: str, new_id: str) -> None:
        """Redirect the name that a repository had before it was moved."""
        self._aliases[old_id] = new_id

    def _commit(
        self,
        repository: _Repository,
        files: Mapping[str, bytes],
        revision: str,
        lfs: set[str],
        sizes: Mapping[str, int],
    ) -> str:
        digest = hashlib.sha1(f"{repository.id}@{revision}".encode(), usedforsecurity=False)
        for path, content in sorted(files.items()):
            digest.update(path.encode() + b"\0" + content)
        commit, blobs = digest.hexdigest(), dict[str, _Blob]()
        for number, (path, content) in enumerate(sorted(files.items())):
            # Numbered files: a repository may claim paths that no disk should ever see.
            file = self.folder / repository.kind / repository.id / commit / str(number)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
            oid = hashlib.sha1(f"blob {len(content)}\0".encode() + content, usedforsecurity=False).hexdigest()
            sha256 = hashlib.sha256(content).hexdigest()
            blobs[path] = _Blob(file, sizes.get(path, len(content)), oid, sha256, path in lfs)
            self._stored[f"/storage/{sha256}/{path}"] = blobs[path]
        repository.commits[commit] = blobs
        repository.revisions[revision] = commit
        return commit

    def _answer(self, request: SeenRequest) -> Answer:
        try:
            return self._route(request)
        except _Refused as refused:
            headers = {"X-Error-Message": refused.text}
            if refused.code is not None:
                headers["X-Error-Code"] = refused.code
            return _json({"error": refused.text}, refused.status, headers)

    def _route(self, request: SeenRequest) -> Answer:
        token = request.headers.get("authorization", "").removeprefix("Bearer ") or None
        target = urlsplit(request.target).path
        if request.path in self._stored:
            blob = self._stored[request.path]
            return Answer(blob.file, headers={"ETag": f'"{blob.sha256}"', "Accept-Ranges": "bytes"})
        if (stored := self.uploads.answer_storage(request)) is not None:
            return stored
        if token is not None and token not in self._tokens:
            raise _Refused(401, None, _BAD_TOKEN)
        if target == "/api/whoami-v2":
            if token is None:
                raise _Refused(401, None, _BAD_TOKEN)
            return _json({"type": "user", "name": "tester", "auth": {"accessToken": {"role": "read"}}})
        if request.method == "POST" and (written := self._write(request, target, token)) is not None:
            return written
        if match := _XET_TOKEN.fullmatch(target):
            self._open("models", match[1], token)
            if self.xet_url is None:
                raise _Refused(404, None, "Sorry, we can't find the page you are looking for.")
            return _json({"casUrl": self.xet_url, "accessToken": "xet", "exp": 4_000_000_000})
        if match := _API.fullmatch(target):
            kind, repo_id, view, revision, below = match.groups()
            if repo_id in self._aliases:
                return self._moved(request, repo_id)
            repository = self._open(kind, repo_id, token)
            commit = _resolve(repository, "main" if revision is None else unquote(revision))
            blobs = repository.commits[commit]
            if view == "tree":
                return self._tree(request, blobs, "" if below is None else unquote(below))
            if view == "paths-info":
                wanted = parse_qs(request.body.decode()).get("paths", [])
                return _json([_entry(path, blobs[path]) for path in wanted if path in blobs])
            return _json(_info(repository, commit))
        if match := _RESOLVE.fullmatch(target):
            is_dataset, repo_id, revision, path = match.groups()
            if repo_id in self._aliases:
                return self._moved(request, repo_id)
            repository = self._open("datasets" if is_dataset else "models", repo_id, token)
            _pass_gate(repository, token, self._tokens)
            commit = _resolve(repository, unquote(revision))
            return self._file(commit, repository.commits[commit], unquote(path))
        raise _Refused(404, None, "Sorry, we can't find the page you are looking for.")

    def _write(self, request: SeenRequest, target: str, token: str | None) -> Answer | None:
        """What a request that changes something, or asks for it, is answered with; None for others."""
        if target == "/api/validate-yaml":
            return _json({"errors": [], "warnings": []})
        if target == "/api/repos/create":
            return self._create(json.loads(request.body), token)
        match = _WRITE.fullmatch(target)
        if match is None:
            return None
        repo_id, kind = match[1] or match[3], match[2] or "lfs"
        repository = self._open("models", repo_id, token)
        if not self._may_write(token, repo_id):
            raise _Refused(403, None, "Forbidden: your token has no write access to this repository")
        held = repository.commits[repository.revisions["main"]]
        if kind == "lfs":
            return _json(self.uploads.answer_batch(json.loads(request.body)))
        if kind == "preupload":
            oids = {path: blob.sha256 if blob.is_lfs else blob.oid for path, blob in held.items()}
            return _json({"files": self.uploads.modes(json.loads(request.body)["files"], oids)})
        files, lfs = self.uploads.read_commit(request.body)
        kept = {path: blob.file.read_bytes() for path, blob in held.items()}
        lfs |= {path for path, blob in held.items() if blob.is_lfs} - files.keys()
        commit = self._commit(repository, {**kept, **files}, "main", lfs, {})
        return _json({"success": True, "commitOid": commit, "commitUrl": f"{self.url}/{repo_id}/commit/{commit}"})

    def _create(self, told: Mapping[str, Any], token: str | None) -> Answer:
        repo_id = f"{told['organization']}/{told['name']}"
        if not self._may_write(token, repo_id):
            raise _Refused(403, None, f"You don't have the rights to create a model under {told['organization']}")
        place = {"url": f"{self.url}/{repo_id}", "id": repo_id}
        if ("models", repo_id) in self._repositories:
            return _json({"error": "You already created this model repo", **place}, 409)
        repository = self._repositories["models", repo_id] = _Repository("models", repo_id)
        repository.private = told["visibility"] == "private"
        self._commit(repository, {".gitattributes": b"*.safetensors filter=lfs\n"}, "main", set(), {})
        return _json(place)

    def _may_write(self, token: str | None, repo_id: str) -> bool:
        return token is not None and repo_id.partition("/")[0] in self._writers[token]

    def _moved(self, request: SeenRequest, repo_id: str) -> Answer:
        return Answer(status=307, headers={"Location": request.target.replace(repo_id, self._aliases[repo_id], 1)})

    def _open(self, kind: str, repo_id: str, token: str | None) -> _Repository:
        repository = self._repositories.get((kind, repo_id))
        may_read = token is not None and (repo_id in self._tokens[token] or self._may_write(token, repo_id))
        if repository is None or (repository.private and not may_read):
            raise _Refused(401 if token is None else 404, "RepoNotFound", "Repository not found")
        return repository

    def _file(self, commit: str, blobs: Mapping[str, _Blob], path: str) -> Answer:
        if path not in blobs:
            raise _Refused(404, "EntryNotFound", "Entry not found")
        blob = blobs[path]
        headers = {"X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
        if not blob.is_lfs:
            return Answer(blob.file, headers={**headers, "ETag": f'"{blob.oid}"'})
        place = f"{self.storage_url}/storage/{blob.sha256}/{quote(path)}"
        linked = {"X-Linked-Size": str(blob.file.stat().st_size), "X-Linked-ETag": f'"{blob.sha256}"'}
        return Answer(status=302, headers={**headers, **linked, "Location": place})

    def _tree(self, request: SeenRequest, blobs: Mapping[str, _Blob], below: str) -> Answer:
        query = {key: values[0] for key, values in parse_qs(request.query).items()}
        recursive = query.get("recursive", "false").lower() in ("true", "1")
        entries = list(_entries(blobs, f"{below}/" if below else "", recursive=recursive))
        if below and not entries:
            raise _Refused(404, "EntryNotFound", f"{below} does not exist")
        start = int(query.pop("cursor", "0"))
        end, headers = start + self.page_size, {}
        if end < len(entries):
            rest = "".join(f"{key}={quote(value)}&" for key, value in query.items())
            page = f"{self.url}{urlsplit(request.target).path}?{rest}cursor={end}"
            headers["Link"] = f'<{page}>; rel="next"'
        return _json(entries[start:end], 200, headers)


class _Refused(Exception):
    def __init__(self, status: int, code: str | None, text: str) -> None:
        super().__init__(text)
        self.status, self.code, self.text = status, code, text


def _pass_gate(repository: _Repository, token: str | None, tokens: Mapping[str, frozenset[str]]) -> None:
    if not repository.gated or (token is not None and repository.id in tokens[token]):
        return
    what = f"Access to {repository.kind[:-1]} {repository.id} is restricted"
    if token is None:
        raise _Refused(401, "GatedRepo", f"{what}. You must have access to it and be authenticated to access it.")
    raise _Refused(403, "GatedRepo", f"{what} and you are not in the authorized list.")


def _resolve(repository: _Repository, revision: str) -> str:
    if revision in repository.commits:
        return revision
    if revision not in repository.revisions:
        raise _Refused(404, "RevisionNotFound", f"Invalid rev id: {revision}")
    return repository.revisions[revision]


def _json(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    return Answer(json.dumps(value).encode(), status, {"Content-Type": "application/json", **(headers or {})})


def _entry(path: str, blob: _Blob) -> dict[str, Any]:
    entry = {"type": "file", "path": path, "size": blob.size, "oid": blob.oid}
    return {**entry, "lfs": {"oid": blob.sha256, "size": blob.size, "pointerSize": 130}} if blob.is_lfs else entry


def _entries(blobs: Mapping[str, _Blob], prefix: str, *, recursive: bool) -> Iterator[dict[str, Any]]:
    seen: set[str] = set()
    for path, blob in sorted(blobs.items()):
        if not path.startswith(prefix):
            continue
        parents = path[len(prefix) :].split("/")[:-1]
        for depth in range(1, (len(parents) if recursive else min(1, len(parents))) + 1):
            folder = prefix + "/".join(parents[:depth])
            if folder not in seen:
                seen.add(folder)
                yield {"type": "directory", "path": folder, "size": 0, "oid": "0" * 40}
        if recursive or not parents:
            yield _entry(path, blob)


def _info(repository: _Repository, commit: str) -> dict[str, Any]:
    blobs = repository.commits[commit]
    readme = blobs["README.md"].file.read_text(encoding="utf-8") if "README.md" in blobs else ""
    header = readme.split("---\n", 2)[1] if readme.startswith("---\n") else ""
    return {
        "id": repository.id,
        "author": repository.id.partition("/")[0],
        "sha": commit,
        "private": repository.private,
        "gated": repository.gated,
        "disabled": False,
        "tags": [],
        "lastModified": "2026-01-01T00:00:00.000Z",
        "cardData": _card(header),
        "siblings": [{"rfilename": path} for path in sorted(blobs)],
    }


def _card(header: str) -> Any:
    try:
        return yaml.safe_load(header)
    except yaml.YAMLError:
        return None
