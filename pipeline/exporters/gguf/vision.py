"""Makes the GGUF file with which llama.cpp sees images for a Gemma 3, and checks what the two files say of pictures."""

import base64
import io
import json
import math
import tempfile
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

from pipeline.exporters.gguf.convert import run_converter, stage_model
from pipeline.exporters.gguf.runtime import GgufModel
from pipeline.exporters.gguf.tools import CONVERTER
from pipeline.exporters.parity import ALLOWED, ParityCheck

_COLOURS = (("red", "white"), ("blue", "black"), ("green", "yellow"))
_QUESTION = "What is this?"
# Tokens that count, the likeliest of either; and how many llama.cpp is asked for, to find the model's among them.
_LIKELIEST, _ASKED = 10, 100
# Images are computed in 16 bits by llama.cpp, so that a little more is rounding than for text.
_AT_MOST = 4


def has_vision(model: Path) -> bool:
    """Whether the model in the folder sees images, and llama.cpp can do so with a file of its own."""
    config = json.loads((model / "config.json").read_text("utf-8"))
    return config["model_type"] == "gemma3" and config.get("vision_config") is not None


def convert_vision(model: Path, target: Path) -> None:
    """Write what sees images of the model in the folder `model`, its encoder and its projector, as one GGUF file.

    Weights are in bf16; the projector's are in f16, and what embeds pixels is in fp32, as llama.cpp needs them.

    Raises:
        GgufNotInstalled: there is no converter.
        GgufFailed: the converter does not know the model, or cannot write.
    """
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".stage-") as folder:
        stage = Path(folder) / "model"
        stage.mkdir()
        stage_model(model, stage)
        arguments = [str(stage), "--mmproj", "--outtype", "bf16", "--outfile", str(Path(folder) / target.name)]
        run_converter(CONVERTER, arguments)
        # The converter puts a prefix before the name, or, in other versions, none.
        next(Path(folder).glob("*.gguf")).replace(target)


def check_pictures(file: GgufModel, model: Path, *, number_format: str) -> ParityCheck:
    """Whether a served file expects after pictures what the model in the folder expects, in fp32.

    llama.cpp leaves out the blank lines that Gemma's processor puts around an image; so does the model here.
    """
    processor = AutoProcessor.from_pretrained(model)
    processor.full_image_sequence = processor.full_image_sequence.strip("\n")
    seeing = AutoModelForImageTextToText.from_pretrained(model, dtype=torch.float32).eval()
    side = int(seeing.config.vision_config.image_size)
    differences = [_difference(file, processor, seeing, _picture(side, colours)) for colours in _COLOURS]
    largest = max(differences)
    # With fewer bits it is reported, as for text; a token that llama.cpp does not expect at all is always wrong.
    passed = largest <= _AT_MOST * ALLOWED.get(number_format, math.inf) and largest < math.inf
    told = f"After {len(differences)} pictures, next tokens differ by {largest:.4f} in log-probability at most."
    return ParityCheck(name="pictures", passed=passed, message=told)


def _picture(side: int, colours: tuple[str, str]) -> Image.Image:
    """A square on a ground, with exactly the pixels that the model takes, so that none are made up."""
    inner, ground = colours
    picture = Image.new("RGB", (side, side), ground)
    picture.paste(inner, (side // 4, side // 8, side // 2, side // 2))
    return picture


def _difference(file: GgufModel, processor: Any, model: Any, picture: Image.Image) -> float:
    written = io.BytesIO()
    picture.save(written, "PNG")
    address = f"data:image/png;base64,{base64.b64encode(written.getvalue()).decode('ascii')}"
    question = {"type": "text", "text": _QUESTION}
    parts = [{"type": "image_url", "image_url": {"url": address}}, question]
    ours = file.next_tokens([{"role": "user", "content": parts}], count=_ASKED)
    turns = [{"role": "user", "content": [{"type": "image", "image": picture}, question]}]
    inputs = processor.apply_chat_template(
        turns, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
    )
    with torch.no_grad():
        theirs = torch.log_softmax(model(**inputs).logits[0, -1].double(), dim=-1)
    likeliest = {*list(ours)[:_LIKELIEST], *theirs.topk(min(_LIKELIEST, len(theirs))).indices.tolist()}
    return max(abs(ours.get(token, -math.inf) - float(theirs[token])) for token in likeliest)
