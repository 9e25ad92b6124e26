"""A bucket store of the tests' own on 127.0.0.1: as much of the S3 protocol as reading objects takes."""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

from tests.file_server import Answer, FileServer, SeenRequest

ACCESS_KEY = "lapidary-tests"
SECRET_KEY = "not-a-secret"
_XML = {"Content-Type": "application/xml"}
_DATE = "2026-01-01T00:00:00.000Z"


class S3Server:
    """Serves the objects that `put` was given; a context manager.

    Requests must be signed with `ACCESS_KEY`, except for the buckets in `public`.

    `http` breaks connections on demand. `page_size` is how many keys come in one answer of a listing.
    """

    page_size = 1000

    def __init__(self, folder: Path) -> None:
        self.http = FileServer(self._answer)
        self.public: set[str] = set()
        self._folder = folder
        self._objects: dict[str, dict[str, Path]] = {}

    def __enter__(self) -> Self:
        self.http.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.http.__exit__(kind, error, trace)

    @property
    def environment(self) -> Mapping[str, str]:
        """What a client needs in its environment to use this store."""
        return {
            "AWS_ENDPOINT_URL": self.http.url,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def put(self, bucket: str, key: str, content: bytes) -> None:
        """Store an object; an older one of the same key is replaced."""
        objects = self._objects.setdefault(bucket, {})
        file = self._folder / bucket / hashlib.sha256(key.encode()).hexdigest()
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        objects[key] = file

    def _answer(self, request: SeenRequest) -> Answer:
        bucket, _, key = request.path.lstrip("/").partition("/")
        is_signed = f"Credential={ACCESS_KEY}/" in request.headers.get("authorization", "")
        if not is_signed and bucket not in self.public:
            return _error(403, "AccessDenied", "Access Denied")
        if bucket not in self._objects:
            return _error(404, "NoSuchBucket", "The specified bucket does not exist")
        if not key:
            return self._list(bucket, {name: values[0] for name, values in parse_qs(request.query).items()})
        if key not in self._objects[bucket]:
            return _error(404, "NoSuchKey", "The specified key does not exist.")
        file = self._objects[bucket][key]
        headers = {"ETag": _tag(file), "Accept-Ranges": "bytes", "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT"}
        return Answer(file, headers=headers)

    def _list(self, bucket: str, query: Mapping[str, str]) -> Answer:
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        start, contents, folders = query.get("continuation-token", ""), [], dict[str, None]()
        keys = [key for key in sorted(self._objects[bucket]) if key.startswith(prefix) and key > start]
        page = keys[: min(self.page_size, int(query.get("max-keys", "1000")))]
        for key in page:
            rest = key.removeprefix(prefix)
            if delimiter and delimiter in rest:
                folders[prefix + rest.partition(delimiter)[0] + delimiter] = None
                continue
            file = self._objects[bucket][key]
            contents.append(
                f"<Contents><Key>{escape(key)}</Key><LastModified>{_DATE}</LastModified><ETag>{escape(_tag(file))}</ETag>"
                f"<Size>{file.stat().st_size}</Size><StorageClass>STANDARD</StorageClass></Contents>"
            )
        more = len(page) < len(keys)
        token = f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>" if more else ""
        prefixes = "".join(f"<CommonPrefixes><Prefix>{escape(name)}</Prefix></CommonPrefixes>" for name in folders)
        body = (
            '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<Name>{bucket}</Name><Prefix>{escape(prefix)}</Prefix><KeyCount>{len(page)}</KeyCount>"
            f"<IsTruncated>{str(more).lower()}</IsTruncated>{token}{''.join(contents)}{prefixes}</ListBucketResult>"
        )
        return Answer(body.encode(), headers=_XML)


def _tag(file: Path) -> str:
    return f'"{hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest()}"'


def _error(status: int, code: str, message: str) -> Answer:
    text = f"<Error><Code>{code}</Code><Message>{message}</Message><RequestId>1</RequestId></Error>"
    return Answer(re.sub(r"\s*\n\s*", "", text).encode(), status, _XML)
