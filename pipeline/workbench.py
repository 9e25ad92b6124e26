"""The workbench process: answers generation requests, one JSON object a line in and out, and keeps the model loaded.

    in   {"id": "7", "op": "generate", "base_model": …, "adapter": path | null, "side": "base" | "tuned",
          "messages": [{"role", "content"}, …], "max_new_tokens": 256, "temperature": 0, "seed": 0}
         {"op": "quit"}
    out  {"id": "7", "event": "token", "text": …}*   then   {"id": "7", "event": "done", "tokens": …, "seconds": …}
         or {"id": "7", "event": "error", "code": …, "message": …}

`adapter` is a run's result: the folder of an adapter, or of a whole model after a full fine-tune.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from pipeline.data.example import Message
from pipeline.line_server import LineServer, QuitRequest, Send, serve_standard_streams

if TYPE_CHECKING:
    from pipeline.generate import TextGenerator


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


Request = Annotated[GenerateRequest | QuitRequest, Field(discriminator="op")]
_REQUEST: TypeAdapter[GenerateRequest | QuitRequest] = TypeAdapter(Request)


class Workbench:
    """Answers requests; keeps the last base model, and the last fully tuned model, in memory."""

    def __init__(self) -> None:
        self._generators: dict[str, tuple[str, TextGenerator]] = {}
        self._adapter: Path | None = None

    def answer(self, request: GenerateRequest, send: Send) -> dict[str, Any]:
        """Send the answer in pieces; return its length in tokens and the seconds it took. Raises UserError."""
        from pipeline.generate import Decoding

        generator, side = self._generator(request)
        answer = generator.generate(
            [Message(turn.role, turn.content) for turn in request.messages],
            side=side,
            decoding=Decoding(request.max_new_tokens, request.temperature, request.seed),
            on_text=lambda text: send({"event": "token", "text": text}),
        )
        return {"tokens": answer.tokens, "seconds": answer.seconds}

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


def serve() -> int:
    """Answer standard input on standard output."""
    return serve_standard_streams(lambda send: LineServer(send, _REQUEST, Workbench().answer))
