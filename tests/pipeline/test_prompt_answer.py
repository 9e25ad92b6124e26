"""Prompts with their answers: the ids of both are one text's, divided where the answer begins."""

import pytest
from transformers import PreTrainedTokenizerBase
from trl.chat_template_utils import gemma3_training_chat_template

from pipeline.chat_template import UnusableConversation
from pipeline.data.example import Message
from pipeline.prompt_answer import PromptAnswer, PromptAnswerEncoder

QUESTION = [Message("user", "How many carats has the opal?")]
ANSWER = [Message("assistant", "The opal has 3 carats.")]
EARLIER = [Message("user", "Which stone?"), Message("assistant", "The opal.")]


def encode(tokenizer: PreTrainedTokenizerBase, prompt: list[Message], answer: list[Message]) -> PromptAnswer:
    encoder = PromptAnswerEncoder(tokenizer)
    return encoder.tokenize([encoder.render(prompt, answer)])[0]


@pytest.mark.parametrize("earlier", [[], EARLIER])
def test_ids_are_those_of_the_template(tokenizer: PreTrainedTokenizerBase, earlier: list[Message]) -> None:
    ids = encode(tokenizer, [*earlier, *QUESTION], ANSWER)
    turns = [{"role": turn.role, "content": turn.content} for turn in [*earlier, *QUESTION, *ANSWER]]
    prompt = tokenizer.apply_chat_template(turns[:-1], add_generation_prompt=True)["input_ids"]
    assert ids.prompt_ids == prompt
    assert ids.prompt_ids + ids.answer_ids == tokenizer.apply_chat_template(turns)["input_ids"]


def test_answer_ends_with_its_turn_and_text_begins_once(tokenizer: PreTrainedTokenizerBase) -> None:
    ids = encode(tokenizer, QUESTION, ANSWER)
    assert tokenizer.decode(ids.answer_ids) == "The opal has 3 carats.<end_of_turn>\n"
    assert (ids.prompt_ids + ids.answer_ids).count(tokenizer.bos_token_id) == 1


def test_token_over_the_border_belongs_to_the_answer(tokenizer: PreTrainedTokenizerBase) -> None:
    """The line break that ends the prompt and the one that begins the answer are one token in Gemma's vocabulary."""
    tokenizer.add_tokens(["\n\n"])
    tokenizer.chat_template = tokenizer.chat_template.replace(" | trim", "")
    ids = encode(tokenizer, QUESTION, [Message("assistant", "\nIt has 3.")])
    assert tokenizer.decode(ids.prompt_ids).endswith("<start_of_turn>model")
    assert tokenizer.decode(ids.answer_ids) == "\n\nIt has 3.<end_of_turn>\n"


def test_thought_that_only_an_open_answer_has_is_left_out(tokenizer: PreTrainedTokenizerBase) -> None:
    """Some templates begin an answer with an empty thought that a whole conversation lacks."""
    opened = gemma3_training_chat_template.replace(
        "{{'<start_of_turn>model\n'}}", "{{'<start_of_turn>model\n(none)\n'}}"
    )
    assert opened != gemma3_training_chat_template
    tokenizer.chat_template = opened
    ids = encode(tokenizer, [*EARLIER, *QUESTION], ANSWER)
    assert tokenizer.decode(ids.prompt_ids).endswith("opal?<end_of_turn>\n<start_of_turn>model\n")
    assert tokenizer.decode(ids.answer_ids) == "The opal has 3 carats.<end_of_turn>\n"


def test_model_without_a_template_reads_plain_text(tokenizer: PreTrainedTokenizerBase) -> None:
    tokenizer.chat_template = None
    ids = encode(tokenizer, [Message("user", "The opal has")], [Message("assistant", " 3 carats.")])
    assert tokenizer.decode(ids.prompt_ids) == "<bos>The opal has"
    assert tokenizer.decode(ids.answer_ids) == " 3 carats.<eos>"
    begun = encode(tokenizer, [Message("user", "<bos>The opal has")], [Message("assistant", " 3 carats.<eos>")])
    assert begun == ids


def test_conversation_without_a_template_is_refused(tokenizer: PreTrainedTokenizerBase) -> None:
    tokenizer.chat_template = None
    with pytest.raises(UnusableConversation, match="it has several turns, and the base model has no chat template"):
        encode(tokenizer, [*EARLIER, *QUESTION], ANSWER)
