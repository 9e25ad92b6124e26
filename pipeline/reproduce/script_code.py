"""Pieces of Python that scripts are put together from: literals, calls, and the classes that some runs need."""

from collections.abc import Mapping

# The same order as `pipeline/length_groups.py` gives; a test compares them.
LENGTH_GROUPS = '''
class LengthGroups(Sampler):
    """Puts rows of similar length into the same batch, in a new order each epoch."""

    def __init__(self, lengths, batch_size):
        self.lengths, self.batch_size, self.epoch = lengths, batch_size, 0

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __len__(self):
        return len(self.lengths)

    def __iter__(self):
        chooser, size = random.Random(f"{SEED}/{self.epoch}"), self.batch_size
        rows = list(range(len(self.lengths)))
        chooser.shuffle(rows)
        batches = []
        for start in range(0, len(rows), 50 * size):
            group = sorted(rows[start : start + 50 * size], key=lambda row: self.lengths[row])
            batches += [group[first : first + size] for first in range(0, len(group), size)]
        full = [batch for batch in batches if len(batch) == size]
        chooser.shuffle(full)
        for batch in full + [batch for batch in batches if len(batch) < size]:
            yield from batch
'''

# The same pairs as `pipeline/methods/kto.py` makes.
MISMATCHING_COLLATOR = '''
class MismatchingCollator(DataCollatorForUnpairedPreference):
    """Pairs each prompt also with the answer of the row before it, in batches that are shuffled each epoch."""

    def torch_call(self, examples):
        answers = [example["completion_ids"] for example in examples]
        others = [answers[-1], *answers[:-1]]
        if len(answers) == 1:
            others = [next((answer for answer in self.spare_answers if answer != answers[0]), answers[0])]
        paired = zip(examples, others, strict=True)
        return super().torch_call([{**example, "KL_completion_ids": other} for example, other in paired])
'''

NO_BASE_DROPOUT = """
# Only the adapter drops inputs.
for module in model.modules():
    if isinstance(module, torch.nn.Dropout):
        module.p = 0.0
"""

CHOOSE_WEIGHTS = """
# Every weight of the language model is trained; lookup tables and the output head{but} stay frozen.
model.requires_grad_(False)
model.get_decoder().requires_grad_(True)
for module in model.get_decoder().modules():
    if isinstance(module, torch.nn.Embedding):
        module.requires_grad_(False)
"""
TRAIN_EMBEDDINGS = """for module in (model.get_input_embeddings(), model.get_output_embeddings()):
    if module is not None:
        module.requires_grad_(True)
"""
# A head within the decoder is none of its layers.
FREEZE_HEAD = """if model.get_output_embeddings() is not None:
    model.get_output_embeddings().requires_grad_(False)
"""
TRAIN_SCORE = """# The head that scores is what the base network lacks.
network = {id(module) for module in model.base_model.modules()}
for module in model.children():
    if id(module) not in network:
        module.requires_grad_(True)
"""

# As `pipeline/providers/quantization.py` chooses them.
QUANTIZATION = """
# Only the linear layers of the language model are quantized.
with torch.device("meta"):
    skeleton = {model_class}.from_config(AutoConfig.from_pretrained({source}))
head = skeleton.get_output_embeddings()
layers = [
    module
    for module in skeleton.get_decoder().modules()
    if isinstance(module, torch.nn.Linear) and module is not head and min(module.in_features, module.out_features) >= 8
]
inside = {{id(module) for module in layers}}
quantization = BitsAndBytesConfig(
    load_in_{bits}=True,
    bnb_4bit_quant_type="nf4",
    bnb_4bit_use_double_quant=True,
    bnb_4bit_compute_dtype={dtype},
    llm_int8_skip_modules=[
        name
        for name, module in skeleton.named_modules()
        if isinstance(module, torch.nn.Linear) and id(module) not in inside
    ],
)
"""


def call(name: str, arguments: Mapping[str, str], *, first: str = "") -> str:
    """A call with keyword arguments, whose values are code already, one a line; `first` stands before them as it is."""
    lines = [first] if first else []
    lines += [f"{key}={value}" for key, value in arguments.items()]
    return f"{name}(\n" + "".join(f"    {line},\n" for line in lines) + ")"


def literals(values: Mapping[str, object]) -> dict[str, str]:
    """The values as Python literals, None left out."""
    return {name: literal(value) for name, value in values.items() if value is not None}


def literal(value: object) -> str:
    """The value as a Python literal on one line: no text can end its own quotation."""
    if isinstance(value, list):
        return f"[{', '.join(literal(item) for item in value)}]"
    is_plain = isinstance(value, str) and value.isascii() and value.isprintable() and not set('"\\') & set(value)
    return f'"{value}"' if is_plain else repr(value)
