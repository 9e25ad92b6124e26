"""Workbench: the child process that holds a model and answers prompts; ended when idle, so that it frees its memory."""

from collections.abc import Iterator, Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from pipeline.errors import UserError
from studio.line_client import LineClient, RequestFailed

IDLE_SECONDS = 300.0


class Prompt(BaseModel):
    """What is asked, and how the answer is drawn. A temperature of 0 is greedy."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    base_model: str
    adapter: str | None
    side: Literal["base", "tuned"]
    messages: list[dict[str, str]]
    max_new_tokens: int = Field(256, ge=1, le=8192)
    temperature: float = Field(0.0, ge=0, le=5)
    seed: int = 0


class AnswerFailed(UserError):
    """The model could not answer."""

    code = "answer_failed"


class Workbench:
    """Asks `python -m pipeline workbench`. One prompt at a time; others wait."""

    def __init__(self, environment: Mapping[str, str], *, idle_seconds: float = IDLE_SECONDS) -> None:
        self._client = LineClient("workbench", environment, idle_seconds=idle_seconds)
        self.close_if_idle = self._client.close_if_idle
        self.close = self._client.close

    def answer(self, prompt: Prompt) -> Iterator[str]:
        """Pieces of the answer as they come.

        Raises:
            AnswerFailed: the model cannot be loaded, or the process died.
        """
        try:
            for reply in self._client.ask({"op": "generate", **prompt.model_dump()}):
                if reply["event"] == "token":
                    yield reply["text"]
        except RequestFailed as error:
            cure = " Try a smaller model." if error.code == "process_ended" else ""
            raise AnswerFailed(f"{error}{cure}") from error
