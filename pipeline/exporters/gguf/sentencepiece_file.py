"""Makes the `tokenizer.model` that Gemma's converter reads from a `tokenizer.json`, where the model has lost it."""

import json
from pathlib import Path
from typing import Any

JSON_FILE, MODEL_FILE = "tokenizer.json", "tokenizer.model"
# Below every merge; llama.cpp never makes such a piece of two others, since no merge has it.
_UNMERGED = -1e6
# Kinds of pieces and models in sentencepiece_model.proto.
_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED, _BYTE = 1, 2, 3, 4, 6
_BPE = 2


def write_sentencepiece(folder: Path) -> None:
    """Write `tokenizer.model` beside the `tokenizer.json` in `folder`, with the same pieces and ids.

    A piece scores the higher the earlier it is merged, so that the greatest score merges what the list of merges would
    merge next.

    Raises:
        ValueError: the tokenizer is none of byte-pair encoding with bytes for what it does not know.
    """
    from sentencepiece import sentencepiece_model_pb2 as proto

    document = json.loads((folder / JSON_FILE).read_text("utf-8"))
    model = document["model"]
    if model.get("type") != "BPE" or not model.get("byte_fallback"):
        raise ValueError("no tokenizer.model can be made of a tokenizer that is not BPE with bytes")
    added = {token["id"]: token for token in document.get("added_tokens", [])}
    names = {number: piece for piece, number in model["vocab"].items()}
    names.update({number: token["content"] for number, token in added.items()})
    ranks = _ranks(model["merges"])
    written = proto.ModelProto()
    for number in range(max(names) + 1):
        name = names.get(number, f"[unused{number}]")
        piece = written.pieces.add()
        piece.piece, piece.score = name, -float(ranks[name]) if name in ranks else _UNMERGED
        piece.type = _kind(name, added.get(number), unknown=model.get("unk_token"))
    written.trainer_spec.model_type = _BPE
    written.trainer_spec.vocab_size = len(written.pieces)
    written.trainer_spec.byte_fallback = True
    written.normalizer_spec.name = "identity"
    written.normalizer_spec.add_dummy_prefix = _adds_space(document)
    written.normalizer_spec.remove_extra_whitespaces = False
    written.normalizer_spec.escape_whitespaces = True
    (folder / MODEL_FILE).write_bytes(written.SerializeToString())


def _ranks(merges: list[Any]) -> dict[str, int]:
    ranks: dict[str, int] = {}
    for rank, merge in enumerate(merges, start=1):
        pair = merge.split(" ") if isinstance(merge, str) else merge
        # The earliest way to a piece counts.
        ranks.setdefault("".join(pair), rank)
    return ranks


def _kind(name: str, added: dict[str, Any] | None, *, unknown: str | None) -> int:
    if name == unknown:
        return _UNKNOWN
    if added is not None:
        return _CONTROL if added["special"] else _USER_DEFINED
    is_byte = len(name) == 6 and name.startswith("<0x") and name.endswith(">")
    return _BYTE if is_byte else _NORMAL


def _adds_space(document: dict[str, Any]) -> bool:
    parts = [document.get("normalizer"), document.get("pre_tokenizer")]
    steps = [step for part in parts if part for step in part.get("normalizers", part.get("pretokenizers", [part]))]
    return any(
        step["type"] == "Prepend" or (step["type"] == "Metaspace" and step.get("prepend_scheme", "always") != "never")
        for step in steps
    )
