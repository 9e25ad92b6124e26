"""Examples, documents and clocks that the tests of augmentation start from."""

from pathlib import Path
from typing import Any

from pipeline.augment.asking import read_answer
from pipeline.augment.config import EndpointConfig
from pipeline.augment.replies import Completion
from pipeline.augment.request import Plan, Request
from pipeline.data.example import Example, Message, Row
from tests.endpoint_server import MODEL, EndpointServer

KEY = "sk-test-0123456789/abcdef"


def endpoint_config(server: EndpointServer, **settings: Any) -> EndpointConfig:
    """The server's configuration, fast enough for tests."""
    values = {"base_url": server.base_url, "model": MODEL, "requests_per_minute": 100_000, "timeout_seconds": 5.0}
    return EndpointConfig.model_validate(values | settings)


def conversation(question: str, answer: str, *, row: int = 1, system: str = "") -> Example:
    """One question and its answer."""
    turns = [Message("system", system)] if system else []
    return Example(row, messages=(*turns, Message("user", question), Message("assistant", answer)))


class Clock:
    """Time that passes only by sleeping; the pauses are in `slept`."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def write_pdf(path: Path, pages: list[str]) -> Path:
    """A PDF with one line of text on each page; an empty text makes a page without any."""
    objects = [b"<< /Type /Catalog /Pages 2 0 R >>", b"", b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"]
    kids = []
    for text in pages:
        shown = text.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
        stream = f"BT /F1 12 Tf 20 100 Td ({shown}) Tj ET".encode("latin-1") if text else b""
        objects.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream))
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 200] /Contents %d 0 R "
            b"/Resources << /Font << /F1 3 0 R >> >> >>" % len(objects)
        )
        kids.append(b"%d 0 R" % len(objects))
    objects[1] = b"<< /Type /Pages /Kids [%s] /Count %d >>" % (b" ".join(kids), len(pages))
    data, offsets = bytearray(b"%PDF-1.4\n"), []
    for number, body in enumerate(objects, start=1):
        offsets.append(len(data))
        data += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = len(data)
    data += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    data += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    data += b"trailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, table)
    path.write_bytes(data)
    return path


def requests_of(plan: Plan) -> list[Request]:
    """The items of a plan that are to be asked."""
    return [item for item in plan.items if isinstance(item, Request)]


def read(request: Request, content: str) -> tuple[list[Row], list[str]]:
    """Rows and kinds of refusals in an answer."""
    rows, refused = read_answer(request, Completion(content, None, None, is_cut_off=False))
    return rows, [refusal.kind for refusal in refused]
