"""Questions about documents: each passage is given to a model, which quotes what it answers from."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pipeline.augment.answers import clean_text, conversation_row
from pipeline.augment.config import DocumentAugmentation
from pipeline.augment.documents import Document, Passage, read_document
from pipeline.augment.outcome import MadeFrom, Outcome, Refused
from pipeline.augment.prompts import DOCUMENT, WISH
from pipeline.augment.request import Plan, Request, digest_of, messages_for, request_id
from pipeline.data.example import Example, Row

# A question, an answer of two sentences and its quotation, with the JSON around them.
_CHARACTERS_PER_QUESTION = 450
_NOT_A_WORD = re.compile(r"\W+")


def plan_questions(config: DocumentAugmentation, examples: Sequence[Example], *, seed: int) -> Plan:
    """One request for each passage; a document's unreadable pages are refusals. Examples are not needed.

    Raises:
        DataProblem: a document cannot be read.
    """
    documents = [read_document(Path(path)) for path in config.documents]
    passages = [
        (document, passage)
        for document in documents
        for passage in document.passages(size=config.chunk_characters, overlap=config.overlap_characters)
    ]
    left_out = [(document, reason) for document in documents for reason in document.left_out]
    return Plan(len(passages) + len(left_out), _items(config, left_out, passages))


def _items(
    config: DocumentAugmentation, left_out: list[tuple[Document, str]], passages: list[tuple[Document, Passage]]
) -> Iterator[Request | Outcome]:
    for document, reason in left_out:
        yield Outcome(
            request=digest_of([config.kind, document.name, reason]),
            method=config.kind,
            made_from=MadeFrom(document=document.name),
            refused=(Refused.because("no_text", f"{document.name}: {reason}"),),
        )
    wish = WISH.substitute(wish=config.instruction.strip()) if config.instruction.strip() else ""
    system = DOCUMENT.substitute(questions=config.questions_per_chunk, wish=wish)
    for document, passage in passages:
        made_from = MadeFrom(document=document.name, pages=passage.pages, start=passage.start, end=passage.end)
        messages = messages_for(system, {"document": document.name, "passage": passage.text})
        yield Request(
            id=request_id(config.kind, made_from, messages, endpoint=config.endpoint),
            method=config.kind,
            made_from=made_from,
            before=({"text": passage.text},),
            messages=messages,
            list_name="questions",
            wanted=config.questions_per_chunk,
            expected_characters=config.questions_per_chunk * _CHARACTERS_PER_QUESTION,
            read_item=_Reader(passage.text, is_evidence_required=config.require_evidence),
        )


class _Reader:
    """Turns a question into a row, if the passage holds the quotation that proves its answer."""

    def __init__(self, passage: str, *, is_evidence_required: bool) -> None:
        self._words = _words(passage)
        self._is_evidence_required = is_evidence_required

    def __call__(self, item: Any) -> Row | Refused:
        if not isinstance(item, dict):
            return Refused.because("wrong_shape", "a question is no object", text=item)
        if self._is_evidence_required:
            evidence = clean_text(item.get("evidence"))
            if isinstance(evidence, Refused):
                return Refused.because("no_evidence", "it quotes nothing from the passage", text=item.get("question"))
            if not _words(evidence).strip() or _words(evidence) not in self._words:
                return Refused.because("no_evidence", "what it quotes is not in the passage", text=evidence)
        return conversation_row(item.get("question"), item.get("answer"))


def _words(text: str) -> str:
    """The words with spaces around them: models change quotation marks, hyphens and line breaks when they copy."""
    return f" {_NOT_A_WORD.sub(' ', text.casefold()).strip()} "
