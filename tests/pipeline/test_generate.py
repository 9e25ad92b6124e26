"""TextGenerator: both sides under the same conditions, streamed, ended by the end of a turn."""

from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedTokenizerBase,
)

from pipeline.data.example import Message
from pipeline.errors import DataProblem, ModelUnavailable
from pipeline.fine_tune_job import FineTuneJob
from pipeline.generate import Decoding, TextGenerator, load_for_generation
from pipeline.job_tracker import JobTracker
from tests.pipeline.conftest import MakeConfig

QUESTION = (Message("user", "How many carats has the opal?"),)
GREEDY = Decoding(max_new_tokens=16)


@pytest.fixture
def adapter(make_config: MakeConfig, tracker: JobTracker) -> Path:
    config = make_config(
        training={"max_steps": 12, "learning_rate": 0.05, "save_strategy": "no", "eval_strategy": "no"},
        tuning={"rank": 32, "alpha": 256},
    )
    FineTuneJob(config, tracker.run_dir, tracker).run()
    return tracker.run_dir.artifact("adapter")


@pytest.fixture
def generator(tiny_gemma: Path) -> TextGenerator:
    return load_for_generation(str(tiny_gemma), precision="fp32")


def test_greedy_answer_is_the_likeliest_token_each_time(generator: TextGenerator, tiny_gemma: Path) -> None:
    pieces: list[str] = []
    answer = generator.generate(QUESTION, side="base", decoding=GREEDY, on_text=pieces.append)
    tokenizer, model = AutoTokenizer.from_pretrained(tiny_gemma), AutoModelForCausalLM.from_pretrained(tiny_gemma)
    turns = [{"role": "user", "content": QUESTION[0].content}]
    ids = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_tensors="pt")["input_ids"]
    written: list[int] = []
    while len(written) < 16 and not (written and written[-1] in generator.end_ids):
        so_far = torch.cat([ids, torch.tensor([written], dtype=torch.int64)], dim=1)
        written.append(int(model(so_far).logits[0, -1].argmax()))
    assert answer.token_ids == written
    assert answer.tokens == len(written)
    assert "".join(pieces) == answer.text


def test_sides_differ_and_the_base_side_is_the_bare_base(generator: TextGenerator, adapter: Path) -> None:
    bare = generator.generate(QUESTION, side="base", decoding=GREEDY).text
    generator.use_adapter(adapter)
    assert generator.generate(QUESTION, side="base", decoding=GREEDY).text == bare
    assert generator.generate(QUESTION, side="tuned", decoding=GREEDY).text != bare
    generator.use_adapter(None)
    assert generator.generate(QUESTION, side="base", decoding=GREEDY).text == bare


def test_sampling_follows_the_seed(generator: TextGenerator) -> None:
    def drawn(seed: int) -> str:
        return generator.generate(QUESTION, side="base", decoding=Decoding(16, temperature=1.0, seed=seed)).text

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)


def test_generation_ends_at_the_end_of_a_turn(tiny_gemma: Path, tmp_path: Path) -> None:
    """Even where the model's own generation settings forgot that token."""
    model, tokenizer = AutoModelForCausalLM.from_pretrained(tiny_gemma), AutoTokenizer.from_pretrained(tiny_gemma)
    end = tokenizer.convert_tokens_to_ids("<end_of_turn>")
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    with torch.no_grad():
        # Every hidden state points away from all words but one.
        model.model.norm.weight.fill_(-1.0)
        model.model.norm.weight[0] = 1.0
    generator = TextGenerator(model, tokenizer)
    assert end in generator.end_ids
    with torch.no_grad():
        model.get_output_embeddings().weight[:, 0] = 0
        model.get_output_embeddings().weight[end, 0] = 100
    answers = {generator.generate((Message("user", text),), side="base", decoding=Decoding(8)).tokens for text in "ab"}
    assert answers <= {1, 8}
    assert generator.end_ids == sorted({tokenizer.eos_token_id, end})


def test_characters_of_several_tokens_arrive_whole(
    tokenizer: PreTrainedTokenizerBase, generator: TextGenerator
) -> None:
    from pipeline.generate import _Stream

    text = "Größe 🪨 ok"
    pieces: list[str] = []
    stream = _Stream(tokenizer, pieces.append)
    stream.put(torch.tensor([[2, 3]]))
    for token in tokenizer(text, add_special_tokens=False)["input_ids"]:
        stream.put(torch.tensor([token]))
    stream.end()
    assert "".join(pieces) == text
    assert "🪨" in pieces or " 🪨" in pieces


def test_model_without_a_template_continues_text(tiny_gemma: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_gemma)
    tokenizer.chat_template = None
    generator = TextGenerator(AutoModelForCausalLM.from_pretrained(tiny_gemma), tokenizer)
    assert generator.generate(QUESTION, side="base", decoding=GREEDY).tokens > 0


def test_conversation_longer_than_the_context_is_refused(generator: TextGenerator) -> None:
    with pytest.raises(DataProblem, match=r"has \d+ tokens and the model reads 256"):
        generator.generate((Message("user", "opal " * 300),), side="base", decoding=GREEDY)


def test_tuned_side_needs_an_adapter(generator: TextGenerator, tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="No adapter is loaded"):
        generator.generate(QUESTION, side="tuned", decoding=GREEDY)
    with pytest.raises(ModelUnavailable, match="There is no adapter in"):
        generator.use_adapter(tmp_path)


def test_adapter_of_another_model_is_refused(adapter: Path, tmp_path: Path, tiny_gemma: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_gemma)
    config = model.config
    config.intermediate_size = 96
    other = type(model)(config)
    with pytest.raises(ModelUnavailable, match="does not fit this base model"):
        TextGenerator(other, AutoTokenizer.from_pretrained(tiny_gemma)).use_adapter(adapter)


def test_reward_model_is_refused(generator: TextGenerator, tiny_gemma: Path, tmp_path: Path) -> None:
    rating = AutoModelForSequenceClassification.from_pretrained(tiny_gemma, num_labels=1)
    get_peft_model(rating, LoraConfig(task_type="SEQ_CLS", target_modules=["q_proj"])).save_pretrained(tmp_path)
    with pytest.raises(ModelUnavailable, match="is a reward model"):
        generator.use_adapter(tmp_path)
