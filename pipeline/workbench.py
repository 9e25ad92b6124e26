"""The workbench process: answers generation requests, one JSON object a line in and out, and keeps the model loaded.

    in   {"id": "7", "op": "generate", "base_model": …, "adapter": path | null, "side": "base" | "tuned",
          "messages": [{"role", "content"}, …], "max_new_tokens": 256, "temperature": 0, "seed": 0}
         {"op": "quit"}
    out  {"id": "7", "event": "token", "text": …}*   then   {"id": "7", "event": "done", "tokens": …, "seconds": …}
         or {"id": "7", "event": "error", "code": …, "message": …}

`adapter` is a run's result: the folder of an adapter, or of a whole model after a full fine-tune.
"""

import json
import logging
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from pipeline.data_formats import Message
from pipeline.errors import UserError

if TYPE_CHECKING:
    from pipeline.generate import TextGenerator

logger = logging.getLogger(__name__)
Send = Callable[[dict[str, Any]], None]


class Turn(BaseModel):
    """One turn of the conversation."""

    model_config = ConfigDict(extra="forbid")
    role: Literal["system", "user", "assistant"]
    content: str


class GenerateRequest(BaseModel):
    """Answer one conversation with one of the two sides."""

    model_config = ConfigDict(extra="forbid")
    op: Literal["generate"]
    id: str | int
    base_model: str
    adapter: Path | None = None
    side: Literal["base", "tuned"]
    messages: list[Turn] = Field(min_length=1)
    max_new_tokens: int = Field(256, ge=1, le=32_768)
    temperature: float = Field(0.0, ge=0, le=10)
    seed: int = Field(0, ge=0, le=2**63 - 1)


class QuitRequest(BaseModel):
    """End the process."""

    op: Literal["quit"]


Request = Annotated[GenerateRequest | QuitRequest, Field(discriminator="op")]
_REQUEST: TypeAdapter[GenerateRequest | QuitRequest] = TypeAdapter(Request)


class Workbench:
    """Answers requests; keeps the last base model, and the last fully tuned model, in memory."""

    def __init__(self, send: Send) -> None:
        self.send = send
        self._generators: dict[str, tuple[str, TextGenerator]] = {}
        self._adapter: Path | None = None

    def serve(self, lines: Iterable[str]) -> None:
        """Answer each line until one asks to quit or the input ends."""
        for line in lines:
            if not line.strip():
                continue
            try:
                request = _REQUEST.validate_json(line)
            except ValidationError as error:
                self._send_error(_id_of(line), "invalid_request", _first_problem(error))
                continue
            if isinstance(request, QuitRequest):
                return
            self._answer(request)

    def _answer(self, request: GenerateRequest) -> None:
        try:
            from pipeline.generate import Decoding

            generator, side = self._generator(request)
            answer = generator.generate(
                [Message(turn.role, turn.content) for turn in request.messages],
                side=side,
                decoding=Decoding(request.max_new_tokens, request.temperature, request.seed),
                on_text=lambda text: self.send({"id": request.id, "event": "token", "text": text}),
            )
        except UserError as error:
            self._send_error(request.id, error.code, str(error))
        except Exception as error:
            logger.exception("request %s failed", request.id)
            self._send_error(request.id, "unexpected_error", f"{type(error).__name__}: {error}")
        else:
            self.send({"id": request.id, "event": "done", "tokens": answer.tokens, "seconds": answer.seconds})

    def _generator(self, request: GenerateRequest) -> "tuple[TextGenerator, Literal['base', 'tuned']]":
        if request.adapter is None or (request.adapter / "adapter_config.json").exists():
            generator = self._load("base", request.base_model)
            if request.adapter != self._adapter:
                self._adapter = None
                generator.use_adapter(request.adapter)
                self._adapter = request.adapter
            return generator, request.side
        if request.side == "base":
            return self._load("base", request.base_model), "base"
        # A whole model of its own: there is no adapter to switch on.
        return self._load("tuned", str(request.adapter)), "base"

    def _load(self, slot: str, name: str) -> "TextGenerator":
        from pipeline.generate import load_for_generation

        loaded = self._generators.get(slot)
        if loaded is None or loaded[0] != name:
            # Both at once may not fit into memory.
            self._generators.pop(slot, None)
            if slot == "base":
                self._adapter = None
            self._generators[slot] = (name, load_for_generation(name))
        return self._generators[slot][1]

    def _send_error(self, request_id: str | int | None, code: str, message: str) -> None:
        self.send({"id": request_id, "event": "error", "code": code, "message": message})


def serve() -> int:
    """Answer standard input on standard output; whatever a library prints goes to standard error."""
    protocol = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    # Line by line: iterating over a text stream would read ahead.
    Workbench(lambda message: protocol.write(json.dumps(message, ensure_ascii=False) + "\n")).serve(
        iter(sys.stdin.readline, "")
    )
    return 0


def _id_of(line: str) -> str | int | None:
    try:
        document = json.loads(line)
    except json.JSONDecodeError:
        return None
    found = document.get("id") if isinstance(document, dict) else None
    return found if isinstance(found, (str, int)) else None


def _first_problem(error: ValidationError) -> str:
    detail = error.errors(include_url=False)[0]
    field = ".".join(str(part) for part in detail["loc"] if part != "generate")
    return f"{field}: {detail['msg']}" if field else detail["msg"]
