"""How a script begins: what it is, what it imports, and the names of the model and the files."""

from pipeline.config import FineTuneJobConfig
from pipeline.method_config import METHOD_NAMES
from pipeline.providers.model_address import HubModel, source_of
from pipeline.reproduce.run_facts import RunFacts
from pipeline.reproduce.script_arguments import batching_of, copies_reference, drops_in_16_bit, drops_inputs
from pipeline.reproduce.script_code import literal
from pipeline.reproduce.script_trainers import NAMES

ROWS_FILE = "rows.jsonl"


def docstring(config: FineTuneJobConfig, facts: RunFacts) -> str:
    """What the script is, what it was made with, how to run it, and where its losses may differ."""
    packages = " ".join(f"{name}=={number.partition('+')[0]}" for name, number in facts.versions.items())
    tuning = "a full fine-tune" if config.tuning.kind == "full" else f"an adapter ({config.tuning.variant})"
    device = "" if facts.device == "cpu" else "CUDA_VISIBLE_DEVICES=0 "
    notes = ""
    if facts.precision != "fp32":
        notes = (
            f"\n\nThe run computed in {facts.precision}, and TRL adds some of its terms in another order: expect losses"
            "\nthat agree to three digits rather than six."
        )
    if drops_inputs(config) and config.training.eval_strategy != "no" and facts.device == "cpu":
        notes += (
            "\n\nThe run also evaluated, which on a CPU draws from the same random numbers as dropout: after its first"
            "\nevaluation, other inputs are dropped here."
        )
    return f'''"""Repeats the run {config.name} with TRL alone: {METHOD_NAMES[config.method.kind]}, {tuning}.

    pip install {packages}
    {device}python train.py [{ROWS_FILE}] [output folder]

The rows file has the run's training rows, a JSON object a line: as TRL takes them, or as token ids where TRL would
make other tokens of them. First weights, order of the rows and settings are those of the run, and so are the losses;
other versions and hardware change their last digits. The run's evaluation and checkpoints are left out.{notes}
"""'''


def imports(config: FineTuneJobConfig, facts: RunFacts) -> str:
    """The names that the rest of the script uses, and no others."""
    names = NAMES[config.method.kind]
    grouped, quantized = batching_of(config, facts) == "grouped", config.model.quantization != "none"
    from_transformers = {names.model_class, "AutoTokenizer", "set_seed"}
    from_transformers |= {"AutoConfig", "BitsAndBytesConfig"} if quantized else set()
    lines = ["import json"]
    lines += ["from copy import deepcopy"] if copies_reference(config) else []
    lines += ["import random"] if grouped else []
    lines += ["import sys", "from pathlib import Path", "", "import torch", "from datasets import Dataset"]
    if config.tuning.kind == "lora":
        lines.append(f"from peft import LoraConfig{', get_peft_model' if quantized else ''}")
    random_order = "RandomSampler" if config.method.kind == "kto" else ""
    sampler = "Sampler" if grouped else random_order
    lines += ["from peft.tuners.lora import LoraLayer"] if drops_in_16_bit(config, facts) else []
    lines += [f"from torch.utils.data import {sampler}"] if sampler else []
    lines.append(f"from transformers import {', '.join(sorted(from_transformers, key=str.lower))}")
    lines.append(f"from {names.package} import {names.config_class}, {names.trainer_class}")
    lines += list(names.more_imports)
    return "\n".join([*sorted(lines[: lines.index("")], key=_import_order), *lines[lines.index("") :]])


def _import_order(line: str) -> tuple[bool, str]:
    """Plain imports first, as formatters put them."""
    return line.startswith("from "), line


def constants(config: FineTuneJobConfig) -> str:
    """The base model, the seed, and the files, which the command line may name."""
    source = source_of(config.model)
    name = source.id if isinstance(source, HubModel) else str(source)
    revision = f"REVISION = {literal(source.revision)}\n" if isinstance(source, HubModel) else ""
    return f"""
BASE_MODEL = {literal(name)}
{revision}SEED = {config.training.seed}
ROWS = sys.argv[1] if len(sys.argv) > 1 else {literal(ROWS_FILE)}
OUTPUT = sys.argv[2] if len(sys.argv) > 2 else {literal(config.name)}
"""
