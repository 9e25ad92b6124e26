"""Turns a conversation into token ids and a mask of the tokens that the assistant wrote."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from jinja2.exceptions import TemplateError
from transformers import PreTrainedTokenizerBase
from transformers.utils.chat_template_utils import render_jinja_template
from trl.chat_template_utils import get_training_chat_template, has_generation_markers

from pipeline.data.example import Message
from pipeline.errors import ModelUnavailable

Span = tuple[int, int]
Turn = dict[str, Any]
Tools = Sequence[dict[str, Any]]
_PROBE = "Lapidary probe"


@dataclass(frozen=True)
class Rendered:
    """A conversation as the model reads it, and the character spans that the assistant wrote, end of turn included."""

    text: str
    spans: list[Span]


class Renderer(Protocol):
    """Renders a conversation, with the tools that it may call."""

    def __call__(self, messages: Sequence[Message], tools: Tools = ()) -> Rendered: ...


class UnusableConversation(Exception):
    """The template cannot render this conversation; the text says why."""


def text_turn(message: Message) -> Turn:
    """A message as templates take it, its content one text.

    Raises:
        UnusableConversation: it has images.
    """
    if message.images:
        raise UnusableConversation("it has images, which a text model does not read")
    turn: Turn = {"role": message.role, "content": message.content}
    if message.tool_calls:
        turn["tool_calls"] = list(message.tool_calls)
    if message.name is not None:
        turn["name"] = message.name
    return turn


class ChatTemplate:
    """The tokenizer's chat template, able to tell the assistant's part from the rest. `turn` writes a message as the
    template takes it; by default without images.

    Three ways, the first that works: TRL's training variant of a template it knows; the generation marks that the
    template itself carries; the difference between the rendered conversation before and after each answer.

    Raises:
        ModelUnavailable: there is no template, or none of the ways finds the answer in it.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, *, turn: Callable[[Message], Turn] = text_turn) -> None:
        if tokenizer.chat_template is None:
            raise ModelUnavailable(
                "The base model has no chat template, so it does not know conversations. Choose an instruction-tuned "
                "model (its name often ends in -it or -Instruct), or give the rows as plain text."
            )
        if not tokenizer.is_fast:
            raise ModelUnavailable(
                "The base model's tokenizer does not tell which characters a token covers. Choose a model with a fast "
                "tokenizer (a tokenizer.json file), or give the rows as plain text."
            )
        self.tokenizer = tokenizer
        self.turn = turn
        self.folds_system = not self._shows_system()
        self.render = self._choose_renderer()

    def prompt(self, messages: Sequence[Message], tools: Tools = ()) -> str:
        """The conversation as the model reads it, up to where its answer begins."""
        return self._text(self._fold(messages), tools, add_generation_prompt=True)

    def end_of_turn_ids(self) -> set[int]:
        """Ids of the special tokens that the template writes after an answer; at each of them generation is over."""
        rendered = self.render([Message("user", "?"), Message("assistant", _PROBE)])
        answer = rendered.text[slice(*rendered.spans[-1])]
        tail = answer[answer.index(_PROBE) + len(_PROBE) :]
        special = set(self.tokenizer.all_special_ids) | set(self.tokenizer.added_tokens_decoder)
        return special.intersection(self.tokenizer(tail, add_special_tokens=False)["input_ids"])

    def _choose_renderer(self) -> Renderer:
        marked = self._marked_template()
        candidates: list[Renderer] = [self._render_by_prefixes]
        if marked is not None:
            candidates.insert(0, lambda messages, tools=(): self._render_by_marks(messages, tools, template=marked))
        problem = ""
        for render in candidates:
            try:
                if self._finds_whole_answers(render):
                    return render
            except UnusableConversation as error:
                problem = f" It says: {error}."
        raise ModelUnavailable(
            "The base model's chat template does not let the assistant's answers be told from the rest."
            f"{problem} Put {{% generation %}} and {{% endgeneration %}} around the answer and its end of turn in "
            "chat_template.jinja."
        )

    def _marked_template(self) -> str | None:
        try:
            known = get_training_chat_template(self.tokenizer)
        except (ValueError, TemplateError):
            known = None
        if known is not None:
            return known
        own = self.tokenizer.chat_template
        return own if isinstance(own, str) and has_generation_markers(own) else None

    def _finds_whole_answers(self, render: Renderer) -> bool:
        """Whether both answers of a probe are found, each with the end of its turn, and no question among them."""
        turns = [
            Message("user", "One?"),
            Message("assistant", "Two."),
            Message("user", "3?"),
            Message("assistant", "Four."),
        ]
        rendered = render(turns)
        found = [rendered.text[start:end] for start, end in rendered.spans]
        ended = [text.partition(answer)[2].strip() for text, answer in zip(found, ("Two.", "Four."), strict=False)]
        return len(found) == 2 and all(ended) and "?" not in "".join(found)

    def _render_by_marks(self, messages: Sequence[Message], tools: Tools, *, template: str) -> Rendered:
        texts, spans = self._apply(self._fold(messages), tools, template=template, return_assistant_tokens_mask=True)
        return Rendered(texts[0], [(start, end) for start, end in spans[0] if end > start])

    def _render_by_prefixes(self, messages: Sequence[Message], tools: Tools = ()) -> Rendered:
        """Each answer is what appears when it is added to the conversation so far with its generation prompt."""
        turns = self._fold(messages)
        whole = self._text(turns, tools)
        spans = []
        for index, turn in enumerate(turns):
            if turn["role"] != "assistant":
                continue
            before = self._text(turns[:index], tools, add_generation_prompt=True)
            after = self._text(turns[: index + 1], tools)
            if not after.startswith(before) or not whole.startswith(after):
                raise UnusableConversation("the template changes earlier turns when later ones are added")
            spans.append((len(before), len(after)))
        return Rendered(whole, spans)

    def _fold(self, messages: Sequence[Message]) -> list[Turn]:
        if self.folds_system and messages[0].role == "system":
            system, first, *rest = messages
            messages = [_prepend(system, first), *rest]
        return [self.turn(message) for message in messages]

    def _shows_system(self) -> bool:
        """Whether the template takes a system turn; some refuse it and some drop it in silence."""
        try:
            return _PROBE in self._text([self.turn(Message("system", _PROBE)), self.turn(Message("user", "?"))])
        except UnusableConversation:
            return False

    def _text(self, turns: list[Turn], tools: Tools = (), *, add_generation_prompt: bool = False) -> str:
        texts, _ = self._apply(turns, tools, add_generation_prompt=add_generation_prompt)
        return texts[0]

    def _apply(
        self, turns: list[Turn], tools: Tools = (), *, template: str | None = None, **options: Any
    ) -> tuple[Any, Any]:
        chosen = self.tokenizer.get_chat_template(template)
        variables = {**self.tokenizer.special_tokens_map, **options}
        try:
            return render_jinja_template(
                [turns], chat_template=chosen, tools=list(tools) if tools else None, **variables
            )
        except (TemplateError, TypeError, ValueError) as error:
            raise UnusableConversation(str(error)) from error


def _prepend(system: Message, first: Message) -> Message:
    """The first turn with the system's text before its own."""
    opening = f"{system.content}\n\n"
    positions = (*system.image_positions, *(len(opening) + position for position in first.image_positions))
    return replace(
        first, content=opening + first.content, images=system.images + first.images, image_positions=positions
    )


def mask_tokens(offsets: Sequence[Span], spans: Sequence[Span]) -> list[bool]:
    """For each token, by its character offsets in the text, whether any of its characters lies in one of the spans."""
    mask, remaining = [], sorted(spans)
    for start, end in offsets:
        while remaining and remaining[0][1] <= start:
            remaining.pop(0)
        mask.append(bool(remaining) and end > start and end > remaining[0][0])
    return mask
