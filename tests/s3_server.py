"""A bucket store of the tests' own on 127.0.0.1: as much of the S3 protocol as reading and writing objects takes."""

import hashlib
import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

from tests.file_server import Answer, FileServer, SeenRequest

ACCESS_KEY = "lapidary-tests"
SECRET_KEY = "not-a-secret"
# S3 takes no smaller part, except as the last one.
LEAST_PART_BYTES = 5 << 20
_XML = {"Content-Type": "application/xml"}
_DATE = "2026-01-01T00:00:00.000Z"


@dataclass
class Upload:
    """An object that comes in parts, and the parts that have come, by their numbers."""

    bucket: str
    key: str
    metadata: dict[str, str]
    parts: dict[int, bytes] = field(default_factory=dict)


class S3Server:
    """Serves the objects that `put` and clients have stored; a context manager.

    Requests must be signed with `ACCESS_KEY`, except for the buckets in `public`. Nobody may write to those in
    `read_only`.

    `http` breaks connections on demand. `page_size` is how many keys come in one answer of a listing.
    """

    page_size = 1000

    def __init__(self, folder: Path) -> None:
        self.http = FileServer(self._answer)
        self.public: set[str] = set()
        self._folder = folder
        self.read_only: set[str] = set()
        self.uploads: dict[str, Upload] = {}
        self._objects: dict[str, dict[str, Path]] = {}
        self._metadata: dict[Path, dict[str, str]] = {}
        self._numbers = itertools.count(1)

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

    def objects(self, bucket: str) -> dict[str, bytes]:
        """What a bucket holds."""
        return {key: file.read_bytes() for key, file in self._objects[bucket].items()}

    def metadata(self, bucket: str, key: str) -> dict[str, str]:
        """What a client has stored beside an object."""
        return self._metadata[self._objects[bucket][key]]

    def make_bucket(self, bucket: str) -> None:
        """Make an empty bucket."""
        self._objects.setdefault(bucket, {})

    def _answer(self, request: SeenRequest) -> Answer:
        bucket, _, key = request.path.lstrip("/").partition("/")
        is_signed = f"Credential={ACCESS_KEY}/" in request.headers.get("authorization", "")
        if not is_signed and bucket not in self.public:
            if "Credential=" in request.headers.get("authorization", ""):
                return _error(403, "InvalidAccessKeyId", "The AWS Access Key Id does not exist in our records.")
            return _error(403, "AccessDenied", "Access Denied")
        if request.is_cut:
            return Answer()
        if bucket not in self._objects:
            return _error(404, "NoSuchBucket", "The specified bucket does not exist")
        query = {name: values[0] for name, values in parse_qs(request.query, keep_blank_values=True).items()}
        if request.method in ("PUT", "POST", "DELETE") or "uploads" in query or "uploadId" in query:
            if bucket in self.read_only:
                return _error(403, "AccessDenied", "Access Denied")
            return self._write(request, bucket, key, query)
        if not key:
            return self._list(bucket, query)
        if key not in self._objects[bucket]:
            return _error(404, "NoSuchKey", "The specified key does not exist.")
        file = self._objects[bucket][key]
        headers = {"ETag": _tag(file), "Accept-Ranges": "bytes", "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT"}
        metadata = {f"x-amz-meta-{name}": value for name, value in self._metadata.get(file, {}).items()}
        return Answer(file, headers={**headers, **metadata})

    def _write(self, request: SeenRequest, bucket: str, key: str, query: Mapping[str, str]) -> Answer:
        metadata = {
            name.removeprefix("x-amz-meta-"): value
            for name, value in request.headers.items()
            if name.startswith("x-amz-meta-")
        }
        if "uploadId" in query:
            upload = self.uploads.get(query["uploadId"])
            if upload is None or (upload.bucket, upload.key) != (bucket, key):
                return _error(404, "NoSuchUpload", "The specified multipart upload does not exist.")
            return self._write_part(request, upload, query)
        match request.method:
            case "GET":
                return self._list_uploads(bucket, query.get("prefix", ""))
            case "POST" if "uploads" in query:
                number = f"upload-{next(self._numbers)}"
                self.uploads[number] = Upload(bucket, key, metadata)
                return _xml("InitiateMultipartUploadResult", f"<Key>{escape(key)}</Key><UploadId>{number}</UploadId>")
            case "PUT":
                self.put(bucket, key, request.body)
                self._metadata[self._objects[bucket][key]] = metadata
                return Answer(headers={"ETag": _tag(self._objects[bucket][key])})
            case _:
                self._objects[bucket].pop(key, None)
                return Answer(status=204)

    def _write_part(self, request: SeenRequest, upload: Upload, query: Mapping[str, str]) -> Answer:
        match request.method:
            case "PUT":
                upload.parts[int(query["partNumber"])] = request.body
                return Answer(headers={"ETag": f'"{_md5(request.body)}"'})
            case "GET":
                after = int(query.get("part-number-marker", "0"))
                numbers = [number for number in sorted(upload.parts) if number > after][: self.page_size]
                more = bool(numbers) and numbers[-1] != max(upload.parts)
                parts = "".join(
                    f"<Part><PartNumber>{number}</PartNumber><LastModified>{_DATE}</LastModified>"
                    f"<ETag>&quot;{_md5(upload.parts[number])}&quot;</ETag><Size>{len(upload.parts[number])}</Size></Part>"
                    for number in numbers
                )
                marker = f"<NextPartNumberMarker>{numbers[-1]}</NextPartNumberMarker>" if more else ""
                return _xml("ListPartsResult", f"<IsTruncated>{str(more).lower()}</IsTruncated>{marker}{parts}")
            case "POST":
                return self._complete(request, upload, query["uploadId"])
            case _:
                del self.uploads[query["uploadId"]]
                return Answer(status=204)

    def _complete(self, request: SeenRequest, upload: Upload, number: str) -> Answer:
        named = re.findall(r"<Part>(.*?)</Part>", request.body.decode(), flags=re.DOTALL)
        numbers = [int(re.search(r"<PartNumber>(\d+)", part)[1]) for part in named]  # type: ignore[index]
        tags = [re.search(r"<ETag>(?:&quot;|\"|&#34;)?(\w+)", part)[1] for part in named]  # type: ignore[index]
        if numbers != sorted(upload.parts) or tags != [_md5(upload.parts[number]) for number in numbers]:
            return _error(400, "InvalidPart", "One or more of the specified parts could not be found.")
        if any(len(upload.parts[number]) < LEAST_PART_BYTES for number in numbers[:-1]):
            return _error(400, "EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size")
        self.put(upload.bucket, upload.key, b"".join(upload.parts[number] for number in numbers))
        self._metadata[self._objects[upload.bucket][upload.key]] = upload.metadata
        del self.uploads[number]
        return _xml("CompleteMultipartUploadResult", f"<Key>{escape(upload.key)}</Key><ETag>&quot;all&quot;</ETag>")

    def _list_uploads(self, bucket: str, prefix: str) -> Answer:
        found = "".join(
            f"<Upload><Key>{escape(upload.key)}</Key><UploadId>{number}</UploadId><Initiated>{_DATE}</Initiated></Upload>"
            for number, upload in self.uploads.items()
            if upload.bucket == bucket and upload.key.startswith(prefix)
        )
        return _xml("ListMultipartUploadsResult", f"<IsTruncated>false</IsTruncated>{found}")

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
    return f'"{_md5(file.read_bytes())}"'


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _xml(kind: str, inside: str) -> Answer:
    head = '<?xml version="1.0" encoding="UTF-8"?>'
    text = f'{head}<{kind} xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{inside}</{kind}>'
    return Answer(text.encode(), headers=_XML)


def _error(status: int, code: str, message: str) -> Answer:
    text = f"<Error><Code>{code}</Code><Message>{message}</Message><RequestId>1</RequestId></Error>"
    return Answer(re.sub(r"\s*\n\s*", "", text).encode(), status, _XML)
