"""A prompt with an answer to it as token ids, divided where the answer begins."""

from collections.abc import Sequence
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase
from trl.data_utils import common_prefix_length

from pipeline.chat_template import ChatTemplate, Tools, UnusableConversation
from pipeline.data.example import Message


@dataclass(frozen=True)
class PromptAnswerText:
    """What the model reads: the prompt up to where its answer begins, and prompt and answer together."""

    prompt: str
    whole: str


@dataclass(frozen=True)
class PromptAnswer:
    """Token ids. The prompt's are those that the whole text begins with; the answer's end with the end of its turn."""

    prompt_ids: list[int]
    answer_ids: list[int]


class PromptAnswerEncoder:
    """Renders prompts with their answers through the chat template, or as plain text where the model has none.

    Raises:
        ModelUnavailable: the model has a chat template that cannot be used.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self.tokenizer = tokenizer
        self._template = None if tokenizer.chat_template is None else ChatTemplate(tokenizer)

    def render(self, prompt: Sequence[Message], answer: Sequence[Message], tools: Tools = ()) -> PromptAnswerText:
        """The text of an answer to a prompt.

        Raises:
            UnusableConversation: the template cannot render it, or there is none and it has several turns.
        """
        if self._template is None:
            return self._as_plain_text(prompt, answer)
        rendered = self._template.render([*prompt, *answer], tools)
        before = self._template.prompt(prompt, tools)
        if not rendered.text.startswith(before):
            # Some templates open an answer with an empty thought that they leave out of a whole conversation.
            earlier_answers = sum(turn.role == "assistant" for turn in prompt)
            before = rendered.text[: rendered.spans[earlier_answers][0]]
        return PromptAnswerText(before, rendered.text)

    def tokenize(self, texts: Sequence[PromptAnswerText]) -> list[PromptAnswer]:
        """Their token ids. A token that reaches over the border between the two belongs to the answer."""
        if not texts:
            return []
        prompts = self._ids([text.prompt for text in texts])
        wholes = [self._ended(ids) for ids in self._ids([text.whole for text in texts])]
        borders = [common_prefix_length(prompt, whole) for prompt, whole in zip(prompts, wholes, strict=True)]
        return [PromptAnswer(ids[:border], ids[border:]) for ids, border in zip(wholes, borders, strict=True)]

    def _ids(self, texts: list[str]) -> list[list[int]]:
        # The template has written the special tokens; adding them again would double the first one.
        return self.tokenizer(texts, add_special_tokens=self._template is None)["input_ids"]

    def _ended(self, ids: list[int]) -> list[int]:
        eos = self.tokenizer.eos_token_id
        return ids if self._template is not None or eos is None or ids[-1:] == [eos] else [*ids, eos]

    def _as_plain_text(self, prompt: Sequence[Message], answer: Sequence[Message]) -> PromptAnswerText:
        if len(prompt) != 1 or len(answer) != 1:
            raise UnusableConversation(
                "it has several turns, and the base model has no chat template to tell them apart"
            )
        before = prompt[0].content
        if self.tokenizer.bos_token is not None:
            before = before.removeprefix(self.tokenizer.bos_token)
        return PromptAnswerText(before, before + answer[0].content)
