"""Runs a GGUF file with llama.cpp and asks it: how it splits text, what it expects next, what it answers."""

import json
import math
import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import httpx
import torch

from pipeline.exporters.gguf.convert import GgufFailed
from pipeline.exporters.gguf.runtime_process import KEY
from pipeline.exporters.gguf.tools import QUIET_ENVIRONMENT, require_runtime
from pipeline.exporters.parity import Answer

_CONTEXT = 2048
_ANSWER_SECONDS = 600.0


class GgufModel:
    """A file that is being served."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def token_ids(self, text: str, *, add_special: bool) -> list[int]:
        """The ids of the text, with special tokens read as such."""
        body = {"content": text, "add_special": add_special, "parse_special": True}
        return [int(token) for token in self._ask("/tokenize", body)["tokens"]]

    def prompt_ids(self, messages: Sequence[Mapping[str, str]]) -> list[int]:
        """The ids of the conversation under the file's own template, up to where the assistant answers."""
        rendered = str(self._ask("/apply-template", {"messages": list(messages)})["prompt"])
        # What the template begins with and llama.cpp adds to every text is left out there.
        return self.token_ids(rendered, add_special=True)

    def log_probabilities(self, tokens: Sequence[int], *, vocabulary: int) -> torch.Tensor:
        """Of every token of the vocabulary as the next one: (vocabulary,), in fp64."""
        # Nothing is told of a token that is a part of a character, so a letter is drawn; the model's own
        # probabilities stay as they are.
        letter = self.token_ids("a", add_special=False)[-1]
        done = self._complete(tokens, limit=1, n_probs=vocabulary, logit_bias=[[letter, 1e4]])
        found = done["completion_probabilities"][0]["top_logprobs"]
        values = torch.full((vocabulary,), -math.inf, dtype=torch.float64)
        values[torch.tensor([item["id"] for item in found])] = torch.tensor(
            [item["logprob"] for item in found], dtype=torch.float64
        )
        return values

    def next_tokens(self, messages: Sequence[Mapping[str, Any]], *, count: int) -> dict[int, float]:
        """The likeliest next tokens after the conversation, with their log-probabilities.

        Its turns may show images, in the parts of OpenAI's API.
        """
        letter = self.token_ids("a", add_special=False)[-1]
        settings = {"max_tokens": 1, "temperature": -1.0, "logprobs": True, "top_logprobs": count}
        body = {"messages": list(messages), **settings, "logit_bias": [[letter, 1e4]]}
        done = self._ask("/v1/chat/completions", body)["choices"][0]["logprobs"]["content"][0]
        return {int(item["id"]): float(item["logprob"]) for item in done["top_logprobs"]}

    def answer(self, tokens: Sequence[int], *, limit: int) -> Answer:
        """The greedy continuation of the prompt, at most `limit` tokens."""
        done = self._complete(tokens, limit=limit)
        return Answer(done["content"], done["tokens"], done["stop_type"] in ("eos", "word"))

    def _complete(self, tokens: Sequence[int], *, limit: int, **more: Any) -> dict[str, Any]:
        # At a temperature below 0 the most probable token is taken, and probabilities are those of the model.
        settings = {"n_predict": limit, "temperature": -1.0, "return_tokens": True, "cache_prompt": False}
        return self._ask("/completion", {"prompt": list(tokens), **settings, **more})

    def _ask(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        try:
            response = self._client.post(path, json=body)
            response.raise_for_status()
        except httpx.HTTPStatusError as error:
            raise GgufFailed(f"llama.cpp refused a request: {error.response.text[:300]}") from error
        except httpx.HTTPError as error:
            raise GgufFailed(f"llama.cpp ended while it answered: {error}") from error
        found: dict[str, Any] = response.json()
        return found


@contextmanager
def served(file: Path, *, adapter: Path | None = None, vision: Path | None = None) -> Iterator[GgufModel]:
    """The GGUF file, served while the body lasts; with a GGUF adapter on it, or with a projector for images.

    Raises:
        GgufNotInstalled: there is no runtime.
        GgufFailed: llama.cpp cannot load the file, or ends before the body does.
    """
    require_runtime()
    key = secrets.token_hex(16)
    named = {"model": file, "adapter": adapter, "vision": vision}
    document = {name: str(place) for name, place in named.items() if place is not None}
    arguments = [json.dumps(document), str(_CONTEXT)]
    command = [sys.executable, "-m", "pipeline.exporters.gguf.runtime_process", *arguments]
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as log:
        process = subprocess.Popen(  # noqa: S603 - our own module
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env={**os.environ, **QUIET_ENVIRONMENT, KEY: key},
        )
        try:
            address = _address(process, log)
            headers = {"Authorization": f"Bearer {key}"}
            with httpx.Client(base_url=address, headers=headers, timeout=_ANSWER_SECONDS, trust_env=False) as client:
                yield GgufModel(client)
        finally:
            process.kill()
            process.communicate()


def _address(process: "subprocess.Popen[str]", log: TextIO) -> str:
    # The libraries may say something of their own first.
    for line in process.stdout or ():
        if line.startswith('{"address"'):
            return str(json.loads(line)["address"])
    process.wait()
    log.seek(0)
    errors = [line.strip() for line in log if "error" in line.lower()]
    told = errors[0] if errors else f"it ended with {process.returncode}"
    raise GgufFailed(f"llama.cpp could not load the file: {told}")
