"""What the files of a model tell: which are needed, and a sentence with a cure for each that cannot be trained."""

import json
from pathlib import Path

import pytest

from pipeline.config import ModelConfig
from pipeline.errors import ModelUnavailable
from pipeline.providers.model_files import ModelFiles, local_files, needed_files

CONFIG = json.dumps({"model_type": "llama"})
INDEX = json.dumps({"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}})
CARD = "---\nlicense: mit\nbase_model: gems/garnet-1b\n---\n# Small\n"


def with_texts(texts: dict[str, str]) -> ModelFiles:
    return ModelFiles("gems/small", frozenset(texts), texts.__getitem__)


def refusal(texts: dict[str, str], **fields: bool) -> str:
    with pytest.raises(ModelUnavailable) as caught:
        needed_files(with_texts(texts), ModelConfig(base_model="gems/small", **fields))
    return str(caught.value)


def test_only_what_training_takes_is_needed() -> None:
    kept = [
        "config.json",
        "tokenizer.json",
        "tokenizer.model",
        "chat_template.jinja",
        "merges.txt",
        "model.safetensors",
    ]
    left = [
        "README.md",
        "pytorch_model.bin",
        "consolidated.safetensors",
        "model.fp16.safetensors",
        "onnx/model.onnx",
        "original/params.json",
        "model-q4.gguf",
        "modeling_small.py",
        "training_args.bin",
        ".gitattributes",
    ]
    files = with_texts(dict.fromkeys([*kept, *left], "") | {"config.json": CONFIG})
    assert needed_files(files, ModelConfig(base_model="x")) == sorted(kept)
    with_code = needed_files(files, ModelConfig(base_model="x", trust_remote_code=True))
    assert with_code == sorted([*kept, "modeling_small.py"])


def test_shards_are_those_of_the_index() -> None:
    shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    texts = {"config.json": CONFIG, "model.safetensors.index.json": INDEX, **dict.fromkeys(shards, "")}
    texts["model-00003-of-00003.safetensors"] = ""
    needed = needed_files(with_texts(texts), ModelConfig(base_model="x"))
    assert needed == ["config.json", *shards, "model.safetensors.index.json"]
    del texts[shards[1]]
    assert refusal(texts) == (
        "gems/small is not whole: model-00002-of-00002.safetensors is missing, and model.safetensors.index.json names "
        "it. Download or upload it again."
    )


def test_pickled_weights_need_a_yes() -> None:
    texts = {"config.json": CONFIG, "pytorch_model.bin": ""}
    assert refusal(texts) == (
        "gems/small has its weights as a pickle only (pytorch_model.bin), and such a file can run code when it is "
        "opened. Choose a model with safetensors files, or turn model.allow_pickle on if you trust this one."
    )
    allowed = ModelConfig(base_model="x", allow_pickle=True)
    assert needed_files(with_texts(texts), allowed) == ["config.json", "pytorch_model.bin"]
    both = with_texts({**texts, "model.safetensors": ""})
    assert needed_files(both, allowed) == ["config.json", "model.safetensors"]


@pytest.mark.parametrize(
    ("texts", "sentence"),
    [
        (
            {"adapter_config.json": '{"base_model_name_or_path": "gems/garnet-1b"}', "adapter_model.safetensors": ""},
            "gems/small holds an adapter, not a whole model. Give the model that it was trained on as the base model: "
            "gems/garnet-1b.",
        ),
        (
            {"adapter_config.json": "{}"},
            "gems/small holds an adapter, not a whole model. Give the model that it was trained on as the base model.",
        ),
        (
            {"small-Q4_K_M.gguf": "", "README.md": CARD},
            "gems/small holds GGUF files, which are for running a model and cannot be trained on. Choose the 16-bit "
            "model that they were made from, gems/garnet-1b.",
        ),
        (
            {"small.gguf": "", "README.md": "# No header"},
            "gems/small holds GGUF files, which are for running a model and cannot be trained on. Choose the 16-bit "
            "model that they were made from.",
        ),
        (
            {"config.json": CONFIG, "small.gguf": "", "README.md": "---\nbase_model: [gems/garnet-1b, other]\n---\n"},
            "gems/small has its weights as GGUF only, which is for running a model and cannot be trained on. Choose "
            "the 16-bit model that it was made from, gems/garnet-1b.",
        ),
        (
            {
                "config.json": '{"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": true}}',
                "model.safetensors": "",
                "README.md": CARD,
            },
            "gems/small is quantized already (bitsandbytes), and such weights cannot be trained on. Choose the 16-bit "
            "model that it was made from, gems/garnet-1b; model.quantization can keep that small meanwhile.",
        ),
        (
            {"config.json": '{"text_config": {"quantization_config": {"quant_method": "gptq"}}}'},
            "gems/small is quantized already (gptq), and such weights cannot be trained on. Choose the 16-bit model "
            "that it was made from; model.quantization can keep that small meanwhile.",
        ),
        (
            {"config.json": CONFIG, "tokenizer.json": ""},
            "gems/small has no model.safetensors, so it has no weights to start from. Choose a whole model.",
        ),
        ({"tokenizer.json": ""}, "gems/small has no config.json. Give a model in Hugging Face format."),
        ({"config.json": "{"}, "config.json of gems/small is not JSON. Download or write it again."),
        ({"config.json": "[]"}, "config.json of gems/small holds no JSON object. Download or write it again."),
        ({"small.gguf": "", "README.md": "---\n: [\n---\n"}, None),
    ],
)
def test_what_cannot_be_trained_is_told_with_what_can(texts: dict[str, str], sentence: str | None) -> None:
    told = refusal(texts)
    assert told == sentence if sentence is not None else told.endswith("made from.")


def test_folder_is_read_two_levels_deep(tmp_path: Path) -> None:
    for path in ("config.json", "additional_chat_templates/tools.jinja", "a/b/c/deep.txt"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(CONFIG)
    files = local_files(tmp_path)
    assert files.paths == {"config.json", "additional_chat_templates/tools.jinja"}
    assert files.read_object("config.json") == {"model_type": "llama"}
    with pytest.raises(ModelUnavailable, match=r"There is no folder at .*nothing. Check the path, or give"):
        local_files(tmp_path / "nothing")
