"""A run as a script on TRL that needs nothing of Lapidary: the same rows, weights, settings and losses."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from pipeline.config import FineTuneJobConfig
from pipeline.method_config import SftConfig
from pipeline.providers.model_address import HubModel, source_of
from pipeline.reproduce.refusals import no_images, refuse_unscriptable
from pipeline.reproduce.run_facts import RunFacts
from pipeline.reproduce.script_arguments import (
    adapter_arguments,
    batching_of,
    copies_reference,
    drops_in_16_bit,
    drops_inputs,
    method_arguments,
    training_arguments,
)
from pipeline.reproduce.script_code import (
    CHOOSE_WEIGHTS,
    FREEZE_HEAD,
    LENGTH_GROUPS,
    NO_BASE_DROPOUT,
    QUANTIZATION,
    TRAIN_EMBEDDINGS,
    TRAIN_SCORE,
    call,
    literal,
    literals,
)
from pipeline.reproduce.script_opening import constants, docstring, imports
from pipeline.reproduce.script_trainers import NAMES, trainer_class

_DTYPES = {"bf16": "torch.bfloat16", "fp16": "torch.float16", "fp32": "torch.float32"}


def as_trl_script(config: FineTuneJobConfig, facts: RunFacts) -> str:
    """The source of a script that trains on the rows of `write_training_rows` as the run did.

    It loads the run's base model by its Hub id and revision, or from its folder, imports torch, transformers, TRL,
    PEFT and datasets alone, and leaves its result and `losses.json` in a folder named after the run.

    Raises:
        InvalidConfig: a script without Lapidary would do something else; the text says why.
        ModelUnavailable: the base model's address is none that a model can be fetched from.
    """
    refuse_unscriptable(config)
    if facts.sees_images:
        raise no_images()
    parts = [docstring(config, facts), imports(config, facts), constants(config), *_classes(config, facts)]
    parts += [_model(config, facts), _rows(config), _trainer(config, facts), _ending()]
    return "".join(_spaced([part.strip("\n") for part in parts])) + "\n"


def _spaced(parts: list[str]) -> Iterator[str]:
    """The parts with an empty line between them, or two beside a class, as is the custom."""
    yield parts[0]
    for before, part in pairwise(parts):
        yield "\n\n\n" if "class " in (before[:6], part[:6]) else "\n\n"
        yield part


def _source(config: FineTuneJobConfig) -> str:
    """What from_pretrained is told to find the base model."""
    revision = ", revision=REVISION" if isinstance(source_of(config.model), HubModel) else ""
    return f"BASE_MODEL{revision}" + (", trust_remote_code=True" if config.model.trust_remote_code else "")


def _classes(config: FineTuneJobConfig, facts: RunFacts) -> list[str]:
    grouped = batching_of(config, facts) == "grouped"
    return [LENGTH_GROUPS] * grouped + trainer_class(config.method.kind, grouped=grouped)


def _model(config: FineTuneJobConfig, facts: RunFacts) -> str:
    names, source = NAMES[config.method.kind], _source(config)
    is_reward, quantized = config.method.kind == "reward", config.model.quantization != "none"
    # What is trained stays in fp32, and autocast computes in 16 bit.
    dtype = _DTYPES["fp32" if config.tuning.kind == "full" else facts.precision]
    code = f"""
tokenizer = AutoTokenizer.from_pretrained({source})
tokenizer.padding_side = "right"
if tokenizer.pad_token is None:
    tokenizer.pad_token = tokenizer.eos_token
"""
    given = dict(word.split("=") for word in source.split(", ")[1:])
    given |= {"dtype": dtype, "attn_implementation": literal(facts.attention)}
    if is_reward:
        given["num_labels"] = "1"
    if not config.model.allow_pickle:
        given["use_safetensors"] = "True"
    if quantized:
        code += QUANTIZATION.format(
            model_class=names.model_class, source=source, bits=config.model.quantization, dtype=dtype
        )
        device = '"cpu"' if facts.device == "cpu" else "0"
        given |= {"quantization_config": "quantization", "device_map": f'{{"": {device}}}'}
    code += "\n# The head that scores starts at random.\nset_seed(SEED)\n" if is_reward else ""
    code += f"model = {call(f'{names.model_class}.from_pretrained', given, first='BASE_MODEL')}\n"
    if config.training.gradient_accumulation_steps > 1 and config.method.kind in ("sft", "cpt"):
        code += "# The loss is averaged over all tokens of a step, also for models that say they cannot.\n"
        code += "model.accepts_loss_kwargs = True\n"
    code += NO_BASE_DROPOUT if names.compares and drops_inputs(config) else ""
    return code + (_chosen_weights(config) if facts.adapter is None else _adapter(config, facts.adapter))


def _chosen_weights(config: FineTuneJobConfig) -> str:
    embeddings = config.tuning.train_embeddings
    code = CHOOSE_WEIGHTS.format(but=" (both trained here)" if embeddings else "")
    code += TRAIN_EMBEDDINGS if embeddings else FREEZE_HEAD
    return code + (TRAIN_SCORE if config.method.kind == "reward" else "")


def _adapter(config: FineTuneJobConfig, adapter: dict[str, Any]) -> str:
    arguments = literals(adapter_arguments(config, adapter))
    code = f"\nset_seed(SEED)\nadapter = {call('LoraConfig', arguments)}\n"
    if config.model.quantization == "none":
        return code
    return code + (
        "model = get_peft_model(model, adapter)\n"
        "trained = [(weight, weight.data.float()) for weight in model.parameters() if weight.requires_grad]\n"
    )


def _rows(config: FineTuneJobConfig) -> str:
    return """
with open(ROWS, encoding="utf-8") as file:
    rows = Dataset.from_list([json.loads(line) for line in file])
"""


def _trainer(config: FineTuneJobConfig, facts: RunFacts) -> str:
    names, quantized = NAMES[config.method.kind], config.model.quantization != "none"
    chosen = training_arguments(config, facts) | method_arguments(config, facts)
    seeds = {"seed": "SEED", "data_seed": "SEED"}
    arguments = {"output_dir": "OUTPUT", **literals(chosen), **seeds}
    if isinstance(config.method, SftConfig) and config.method.train_on == "assistant":
        arguments["assistant_only_loss"] = '"messages" in rows.column_names'
    given = {"model": "model", "args": "arguments", "train_dataset": "rows", "processing_class": "tokenizer"}
    has_reference = config.method.kind in ("dpo", "kto")
    if config.tuning.kind == "lora" and not quantized:
        given["peft_config"] = "adapter"
    elif quantized and has_reference:
        given["ref_model"] = "torch.nn.Module()"
    elif copies_reference(config):
        given["ref_model"] = "deepcopy(model).requires_grad_(False).eval()"
    code = f"\narguments = {call(names.config_class, arguments)}\n"
    code += f"trainer = {call(names.own_class(batching_of(config, facts)), given)}\n"
    if quantized and has_reference:
        code += "# The reference is the model with its adapter switched off.\ntrainer.ref_model = None\n"
    if quantized:
        code += "# TRL has narrowed them to bf16, in which small updates vanish.\n"
        code += "for weight, data in trained:\n    weight.data = data\n"
    elif _widens(config, facts):
        code += "# Small updates vanish in 16 bits.\nfor weight in trainer.model.parameters():\n"
        code += "    if weight.requires_grad:\n        weight.data = weight.data.float()\n"
    if drops_in_16_bit(config, facts):
        code += "# Dropout takes inputs in 16 bits, as autocast computes.\nfor module in trainer.model.modules():\n"
        code += "    if isinstance(module, LoraLayer):\n        module.cast_input_dtype_enabled = False\n"
    return code + names.after_trainer


def _widens(config: FineTuneJobConfig, facts: RunFacts) -> bool:
    """Whether whole layers are trained beside an adapter, which PEFT leaves in 16 bits."""
    whole_layers = config.tuning.train_embeddings or config.method.kind == "reward"
    return config.tuning.kind == "lora" and facts.precision != "fp32" and whole_layers


def _ending() -> str:
    return """
trainer.train()
trainer.save_model(OUTPUT)
tokenizer.save_pretrained(OUTPUT)
losses = [{"step": entry["step"], "loss": entry["loss"]} for entry in trainer.state.log_history if "loss" in entry]
Path(OUTPUT, "losses.json").write_text(json.dumps(losses, indent=1), encoding="utf-8")
"""
