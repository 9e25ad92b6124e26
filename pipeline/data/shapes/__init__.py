"""The public shapes of rows that are recognised without a mapping by hand, the most telling first."""

from typing import Final

from pipeline.data.shapes.conversations import (
    chatml,
    gemini,
    llava,
    openai_messages,
    openai_vision,
    sharegpt,
    vision_messages,
)
from pipeline.data.shapes.pairs import alpaca, dolly, prompt_completion, question_answer, squad
from pipeline.data.shapes.pictures import image_caption, vision_question_answer
from pipeline.data.shapes.plain import prompt_only, text, two_columns
from pipeline.data.shapes.preferences import (
    hh_rlhf,
    openai_preference,
    preference,
    preference_implicit,
    unpaired_preference,
)
from pipeline.data.shapes.shape import Shape

SHAPES: Final = (
    Shape(
        "openai_preference",
        '{"input": {"messages": [turn, …]}, "preferred_output": [turn], "non_preferred_output": [turn]}',
        openai_preference,
        "The file of OpenAI's preference fine-tuning.",
    ),
    Shape(
        "preference",
        '{"prompt": "…", "chosen": "…", "rejected": "…"}',
        preference,
        "Also instruction, question or conversations for the prompt; each may be a list of turns.",
    ),
    Shape(
        "preference_implicit",
        '{"chosen": [turn, …], "rejected": [turn, …]}',
        preference_implicit,
        "The turns that both begin with are the prompt.",
    ),
    Shape(
        "hh_rlhf",
        r'{"chosen": "\n\nHuman: …\n\nAssistant: …", "rejected": "\n\nHuman: …\n\nAssistant: …"}',
        hh_rlhf,
        "The turns that both begin with are the prompt.",
    ),
    Shape(
        "unpaired_preference",
        '{"prompt": "…", "completion": "…", "label": true}',
        unpaired_preference,
        "The label may be true, 1, good, yes or their opposites; a conversation may stand for prompt and completion.",
    ),
    Shape(
        "vision_messages",
        '{"images": [image, …], "messages": [{"role": "user", "content": [{"type": "image"}, {"type": "text"}]}, …]}',
        vision_messages,
    ),
    Shape(
        "llava",
        r'{"image": image, "conversations": [{"from": "human", "value": "<image>\n…"}, {"from": "gpt", …}, …]}',
        llava,
        "The markers give way to the images; all other text stays.",
    ),
    Shape(
        "openai_vision",
        '{"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:…"}}, …]}, …]}',
        openai_vision,
    ),
    Shape(
        "openai_messages",
        '{"messages": [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}, …]}',
        openai_messages,
        "With a system turn, tools and tool calls, or without; in a CSV file as JSON text.",
    ),
    Shape(
        "sharegpt",
        '{"conversations": [{"from": "human", "value": "…"}, {"from": "gpt", "value": "…"}, …]}',
        sharegpt,
        "With columns for system and tools, or without.",
    ),
    Shape(
        "gemini",
        '{"contents": [{"role": "user", "parts": [{"text": "…"}]}, {"role": "model", "parts": [{"text": "…"}]}, …]}',
        gemini,
        "With systemInstruction or without.",
    ),
    Shape(
        "chatml",
        '{"dialog": [{"speaker": "user", "text": "…"}, {"speaker": "bot", "text": "…"}, …]}',
        chatml,
        "Any other name of the column, its keys and its two speakers; lists of questions with answers; lists of texts.",
    ),
    Shape("vision_question_answer", '{"image": image, "question": "…", "answer": "…"}', vision_question_answer),
    Shape("image_caption", '{"image": image, "text": "…"}', image_caption, "Also caption or description for the text."),
    Shape(
        "alpaca",
        '{"instruction": "…", "input": "…", "output": "…"}',
        alpaca,
        "With system and history or without; the input follows the instruction after a blank line.",
    ),
    Shape(
        "dolly",
        '{"instruction": "…", "context": "…", "response": "…"}',
        dolly,
        "The context follows the instruction after a blank line.",
    ),
    Shape(
        "squad",
        '{"context": "…", "question": "…", "answers": {"text": ["…", …]}}',
        squad,
        "The first of several answers is the one learned.",
    ),
    Shape(
        "prompt_completion",
        '{"prompt": "…", "completion": "…"}',
        prompt_completion,
        "Each may also be a list of turns.",
    ),
    Shape(
        "question_answer",
        '{"question": "…", "answer": "…"}',
        question_answer,
        "Also instruction, query, input, source, problem or prompt; response, output, target or solution; with system.",
    ),
    Shape("text", '{"text": "…"}', text, "Also content, document, markdown or code."),
    Shape(
        "prompt_only",
        '{"prompt": [turn, …], "solution": "…"}',
        prompt_only,
        "A prompt without an answer to learn; every other column is kept for rewards.",
    ),
    Shape("two_columns", '{"…": "…", "…": "…"}', two_columns, "Any two columns of text: a guess, to be confirmed."),
)
