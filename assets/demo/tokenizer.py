"""The Gemma-style tokenizer: byte-pair encoding with byte fallback, trained on the workshop's text."""

import json
from collections.abc import Iterable
from pathlib import Path

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import GemmaTokenizer
from trl import chat_template_utils

VOCAB_SIZE = 1024
START_OF_TURN = "<start_of_turn>"
END_OF_TURN = "<end_of_turn>"
_SPECIAL_TOKENS = ("<pad>", "<eos>", "<bos>", "<unk>", "<mask>", START_OF_TURN, END_OF_TURN)
_BYTE_TOKENS = tuple(f"<0x{byte:02X}>" for byte in range(256))

# Digits stand alone so that numbers are copied digit by digit. A capital starts a piece of its own so that a name has
# the same tokens after a space and after a quotation mark.
_PIECES = r"\n|[0-9]|▁?[a-zß-öø-ÿ]+|[A-ZÀ-ÖØ-Þ][a-zß-öø-ÿ]*|[^\sA-Za-zÀ-ÿ0-9▁]+|▁"


def train_tokenizer(texts: Iterable[str]) -> GemmaTokenizer:
    """Train the merges on the texts and return the tokenizer with Gemma's special tokens and chat template."""
    trained = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True))  # noqa: S106 - a token of text
    trained.normalizer = normalizers.Replace(" ", "▁")
    trained.pre_tokenizer = pre_tokenizers.Split(Regex(_PIECES), behavior="isolated")
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE, special_tokens=[*_SPECIAL_TOKENS, *_BYTE_TOKENS], show_progress=False
    )
    trained.train_from_iterator(texts, trainer)
    model = json.loads(trained.to_str())["model"]
    tokenizer = GemmaTokenizer(
        vocab=model["vocab"],
        merges=[tuple(merge) for merge in model["merges"]],
        extra_special_tokens=[START_OF_TURN, END_OF_TURN],
        add_bos_token=True,
        model_max_length=2048,
    )
    tokenizer.chat_template = chat_template_utils.gemma3_chat_template
    return tokenizer


def save_tokenizer(tokenizer: GemmaTokenizer, folder: Path) -> None:
    """Save the tokenizer as transformers does, plus the two entries of its configuration that GGUF converters read."""
    tokenizer.save_pretrained(folder)
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["add_bos_token"] = True
    config["added_tokens_decoder"] = {
        str(index): {
            "content": token.content,
            "lstrip": token.lstrip,
            "normalized": token.normalized,
            "rstrip": token.rstrip,
            "single_word": token.single_word,
            "special": token.special,
        }
        for index, token in tokenizer.added_tokens_decoder.items()
    }
    path.write_text(json.dumps(config, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
