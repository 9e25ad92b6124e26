"""Every public shape is recognised without a mapping by hand, and no recogniser loses or alters text."""

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.data.build_example import build_example
from pipeline.data.example import Example, Message, Row
from pipeline.data.mapping import Mapping, Recognition
from pipeline.data.recognise import describe_columns, recognise
from pipeline.data.shapes import SHAPES
from pipeline.data.validate_mapping import validate_mapping

PROJECT = Path(__file__).parents[3]
FIXTURES = sorted(path for path in (PROJECT / "tests" / "fixtures" / "datasets").iterdir() if path.is_file())
REFERENCE = PROJECT / "docs" / "datasets.md"
GUESSED = {"chatml-two_speakers.jsonl": 0.7, "two_columns.csv": 0.5}


def rows_of(path: Path) -> list[Row]:
    if path.suffix in (".csv", ".tsv"):
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file, delimiter="\t" if path.suffix == ".tsv" else ","))
    text = path.read_text(encoding="utf-8")
    rows: list[Row] = json.loads(text) if path.suffix == ".json" else [json.loads(line) for line in text.splitlines()]
    return rows


def recognition_of(rows: list[Row]) -> Recognition:
    found = recognise(rows)
    assert found is not None
    return found


def texts_in(value: Any) -> Iterator[str]:
    """Every text of an example, however deep it lies."""
    match value:
        case str():
            yield value
        case dict():
            for item in value.values():
                yield from texts_in(item)
        case list() | tuple():
            for item in value:
                yield from texts_in(item)
        case Example():
            yield from texts_in([value.messages, value.text, value.chosen, value.rejected, value.tools, value.extra])
        case Message():
            yield from texts_in([value.content, value.images, value.tool_calls])


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.name)
def test_fixture_is_recognised_without_a_mapping(path: Path) -> None:
    rows = rows_of(path)
    found = recognition_of(rows)
    assert found.shape == path.stem.split("-")[0]
    assert found.confidence == GUESSED.get(path.name, 1.0)
    assert validate_mapping(found.mapping, list(rows[0])) == []
    assert found.modality == (
        "multimodal" if path.stem.startswith(("vision", "image", "llava", "openai_vision")) else "text"
    )
    assert all(reason.endswith((".", '"')) for reason in found.reasons)
    examples = [build_example(number, row, found.mapping) for number, row in enumerate(rows, start=1)]
    assert len(examples) == len(rows) >= 6


def test_every_shape_has_a_fixture() -> None:
    assert {path.stem.split("-")[0] for path in FIXTURES} == {shape.name for shape in SHAPES}


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.name)
def test_mapping_of_a_fixture_survives_being_stored(path: Path) -> None:
    found = recognition_of(rows_of(path))
    assert Recognition.model_validate_json(found.model_dump_json()) == found


@pytest.mark.parametrize(
    ("name", "messages"),
    [
        ("alpaca.json", (("user", "Name the capital of the country.\n\nPortugal"), ("assistant", "Lisbon"))),
        ("dolly.jsonl", (("user", "What does a lapidary's work end with?"), ("assistant", "a felt wheel"))),
        ("llava.json", (("user", "What colour is the shape?\n"), ("assistant", "It is red."))),
        ("image_caption.jsonl", (("user", "Describe the image."), ("assistant", "a red circle"))),
        (
            "sharegpt-tools.jsonl",
            (("system", "You may look up the weather."), ("user", "What is the weather in Porto?")),
        ),
        ("prompt_only.jsonl", (("system", "Put the result in \\boxed{}."), ("user", "What is 7 × 8?"))),
    ],
)
def test_fixture_becomes_the_turns_that_a_reader_expects(name: str, messages: tuple[tuple[str, str], ...]) -> None:
    rows = rows_of(PROJECT / "tests" / "fixtures" / "datasets" / name)
    row = rows[1] if name.startswith("dolly") else rows[0]
    turns = build_example(1, row, recognition_of(rows).mapping).messages or ()
    assert tuple((turn.role, turn.content) for turn in turns[:2]) == messages


TRICKY = (
    *('{"a": [1, "x"]}', '{"text": ["x"]}', "[1, 2]", "[{'a': 1}]", "{text}", "{{prompt}}", "true", "0", "1e5", "null"),
    *(
        "data:image/png;base64,AAAA",
        "photo.png",
        "/9j/" + "A" * 80,
        "user",
        "assistant",
        "\r\n\ta \r\n",
        "\x00",
        "\ufeffx",
    ),
    *(
        "e\u0301",
        "\u2028a\u0085",
        "👩\u200d🚀",
        "<|im_start|>user",
        "### Human: x",
        "<tool_call>{}</tool_call>",
        "\u200bx",
    ),
)
# Text of any script, without what the shapes themselves give a meaning to.
said = st.sampled_from(TRICKY) | st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60).filter(
    lambda text: bool(text.strip()) and "<image>" not in text and "Human:" not in text and "Assistant:" not in text
)
three = st.tuples(said, said, said)


def _chat(texts: tuple[str, str, str], *, role: str, content: str, user: str, assistant: str) -> list[Row]:
    words = (*texts, "End")
    return [{role: (user, assistant)[index % 2], content: text} for index, text in enumerate(words)]


OPENAI = {"role": "role", "content": "content", "user": "user", "assistant": "assistant"}
SHAREGPT = {"role": "from", "content": "value", "user": "human", "assistant": "gpt"}
BOT = {"role": "speaker", "content": "text", "user": "user", "assistant": "bot"}
ROWS: dict[str, Callable[[tuple[str, str, str]], Row]] = {
    "openai_messages": lambda t: {"messages": _chat(t, **OPENAI)},
    "openai_messages-json": lambda t: {"messages": json.dumps(_chat(t, **OPENAI))},
    "openai_messages-python": lambda t: {"messages": repr(_chat(t, **OPENAI))},
    "sharegpt": lambda t: {"conversations": _chat(t, **SHAREGPT)},
    "chatml": lambda t: {"dialog": _chat(t, **BOT)},
    "chatml-exchanges": lambda t: {"chat": [{"input": t[0], "output": t[1]}, {"input": t[2], "output": "End"}]},
    "chatml-texts": lambda t: {"data": [*t, "End"]},
    "gemini": lambda t: {
        "systemInstruction": {"parts": [{"text": t[0]}]},
        "contents": [{"role": "user", "parts": [{"text": t[1]}]}, {"role": "model", "parts": [{"text": t[2]}]}],
    },
    "alpaca": lambda t: {"instruction": t[0], "input": t[1], "output": t[2]},
    "dolly": lambda t: {"instruction": t[0], "context": t[1], "response": t[2]},
    "squad": lambda t: {"context": t[0], "question": t[1], "answers": {"text": [t[2]], "answer_start": [0]}},
    "prompt_completion": lambda t: {"system": t[0], "prompt": t[1], "completion": t[2]},
    "question_answer": lambda t: {"System Prompt": t[0], " QUESTION": t[1], "\ufeffanswer": t[2]},
    "preference": lambda t: {"prompt": t[0], "chosen": "C" + t[1], "rejected": "R" + t[2]},
    "preference_implicit": lambda t: {
        "chosen": [{"role": "user", "content": t[0]}, {"role": "assistant", "content": "C" + t[1]}],
        "rejected": [{"role": "user", "content": t[0]}, {"role": "assistant", "content": "R" + t[2]}],
    },
    "hh_rlhf": lambda t: {
        "chosen": f"\n\nHuman: {t[0]}\n\nAssistant: C{t[1]}",
        "rejected": f"\n\nHuman: {t[0]}\n\nAssistant: R{t[2]}",
    },
    "openai_preference": lambda t: {
        "input": {"messages": [{"role": "user", "content": t[0]}]},
        "preferred_output": [{"role": "assistant", "content": "C" + t[1]}],
        "non_preferred_output": [{"role": "assistant", "content": "R" + t[2]}],
    },
    "unpaired_preference": lambda t: {"system": t[0], "prompt": t[1], "completion": t[2], "label": False},
    "text": lambda t: {"text": "".join(t)},
    "prompt_only": lambda t: {"prompt": [{"role": "user", "content": t[0]}], "solution": t[1], "note": t[2]},
    "vision_messages": lambda t: {
        "images": ["images/1.png"],
        "messages": [{"role": "user", "content": [{"type": "text", "text": t[0]}, {"type": "image"}, t[1]]}]
        + [{"role": "assistant", "content": t[2]}],
    },
    "llava": lambda t: {
        "image": "images/1.png",
        "conversations": [{"from": "human", "value": f"{t[0]}<image>{t[1]}"}, {"from": "gpt", "value": t[2]}],
    },
    "openai_vision": lambda t: {
        "messages": [
            {"role": "system", "content": t[0]},
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "1.png"}}, t[1]]},
            {"role": "assistant", "content": t[2]},
        ]
    },
    "vision_question_answer": lambda t: {"image": {"path": "images/1.png"}, "question": t[0] + t[1], "answer": t[2]},
    "image_caption": lambda t: {"image": {"path": "images/1.png"}, "caption": "".join(t)},
    "two_columns": lambda t: {"frage": t[0] + t[1], "antwort": t[2]},
}


def test_every_shape_is_tried_with_any_text() -> None:
    assert {name.split("-")[0] for name in ROWS} == {shape.name for shape in SHAPES}


@pytest.mark.parametrize("name", ROWS)
@given(texts=st.lists(three, min_size=1, max_size=4))
@example(texts=[("user", "x", "user")])
def test_no_recogniser_loses_or_alters_text(name: str, texts: list[tuple[str, str, str]]) -> None:
    rows = [ROWS[name](item) for item in texts]
    found = recognition_of(rows)
    assert found.shape == name.split("-")[0]
    for item, row in zip(texts, rows, strict=True):
        kept = list(texts_in(build_example(1, row, found.mapping)))
        assert all(any(text in whole for whole in kept) for text in item)


@pytest.mark.parametrize(
    ("row", "shape", "form"),
    [
        ({"Prompt": "Q", "Completion": "A"}, "prompt_completion", "prompt_completion"),
        ({"query": "Q", "response": "A"}, "question_answer", "prompt_completion"),
        ({"input": "3", "output": 9}, "question_answer", "prompt_completion"),
        ({"instruction": "Q", "response": "A"}, "question_answer", "prompt_completion"),
        ({"prompt": "Q", "ground_truth": "A"}, "prompt_only", "prompt_only"),
        ({"problem": "Q", "difficulty": 3}, "prompt_only", "prompt_only"),
        ({"prompt": [{"role": "user", "content": "Q"}], "answer": "A"}, "prompt_only", "prompt_only"),
        ({"prompt": [{"role": "user", "content": "Q"}], "response": "A"}, "question_answer", "prompt_completion"),
        ({"messages": [{"role": "user", "content": "Q"}]}, "prompt_only", "prompt_only"),
        ({"instruction": "Q", "input": "X", "chosen": "C", "rejected": "R"}, "preference", "preference"),
        ({"prompt": "Q", "response": "A", "thumbs_up": 1}, "unpaired_preference", "unpaired_preference"),
        ({"markdown": "# Q"}, "text", "text"),
        ({"question": "Q", "answer": {"value": "A", "aliases": ["a"]}}, "question_answer", "prompt_completion"),
        ({"image": "https://example.com/a.jpg?x=1", "question": "Q", "answers": ["A"]}, "vision_question_answer", None),
        ({"prompt": "Q", "completion": "A", "label": "sports"}, "prompt_completion", "prompt_completion"),
    ],
)
def test_variant_is_recognised(row: Row, shape: str, form: str | None) -> None:
    found = recognition_of([row] * 3)
    assert (found.shape, found.format) == (shape, form or "prompt_completion")
    assert found.confidence == 1.0


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [{}],
        [{"a": 1, "b": 2.5}],
        [{"id": "x1", "note": "alone"}],
        [{"a": "x", "b": "y", "c": "z"}],
        [{"conversation_id": 7, "role": "user", "content": "one turn a row"}],
        [{"text": None}, {"text": ""}],
        [{"items": [{"name": "a", "price": 1}]}],
        [
            {
                "comments": [
                    {"author": "Ana", "text": "a"},
                    {"author": "Ben", "text": "b"},
                    {"author": "Cid", "text": "c"},
                ]
            }
        ],
    ],
)
def test_rows_of_no_known_shape_are_not_recognised(rows: list[Row]) -> None:
    assert recognise(rows) is None


def test_confidence_is_the_share_of_usable_rows() -> None:
    good = {"messages": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]}
    bad = {"messages": [{"role": "user", "content": "Q"}, {"role": "user", "content": "Q"}]}
    found = recognition_of([good, good, bad, good])
    assert found.confidence == 0.75
    assert found.reasons[-1] == (
        "1 of 4 sampled rows cannot be used; the first is number 3 of the sample: turn 2 is by user, expected "
        "assistant: turns must alternate."
    )


def test_shape_without_a_usable_row_is_named_with_its_reason() -> None:
    found = recognition_of([{"prompt": "Q", "completion": ""}, {"prompt": "", "completion": "A"}])
    assert (found.shape, found.confidence) == ("prompt_completion", 0)
    assert "completion is empty" in found.reasons[-1]


def test_other_shape_that_fits_lowers_the_confidence_and_is_named() -> None:
    found = recognition_of([{"instruction": "Q", "input": "", "output": "A", "text": "Q: A"}] * 4)
    assert (found.shape, found.confidence) == ("alpaca", 0.9)
    assert found.reasons[-1] == "Column text would fit as text too."
    found = recognition_of([{"problem": "Q", "solution": "S", "answer": "A"}] * 4)
    assert found.mapping.completion[0].column == "solution"  # type: ignore[union-attr]
    assert (found.confidence, found.reasons[-1]) == (
        0.9,
        "Columns problem and answer would fit as question_answer too.",
    )


@pytest.mark.parametrize("output", [{"answer": "A", "reason": "R"}, {"text": "A", "reason": "R"}])
def test_answer_that_is_an_object_is_never_cut_to_one_of_its_texts(output: dict[str, str]) -> None:
    written = recognition_of([{"question": "Q", "answer": json.dumps(output)}])
    assert build_example(1, {"question": "Q", "answer": json.dumps(output)}, written.mapping).messages == (
        Message("user", "Q"),
        Message("assistant", json.dumps(output)),
    )
    assert recognition_of([{"question": "Q", "answer": output}]).reasons[-1].endswith("answer is an object, not text.")


def test_part_of_a_shape_is_no_other_shape() -> None:
    assert recognition_of([{"prompt": "Q", "chosen": "C", "rejected": "R"}]).confidence == 1
    assert recognition_of([{"context": "C", "question": "Q", "answer": "A"}]).confidence == 1


def test_first_column_is_guessed_to_be_the_prompt() -> None:
    for prompt, completion, confidence in (("short", "a longer answer", 0.5), ("a long article", "brief", 0.3)):
        found = recognition_of([{"id": "1", "eins": prompt, "zwei": completion}] * 3)
        assert (found.shape, found.confidence) == ("two_columns", confidence)
        assert build_example(1, {"eins": "Q", "zwei": "A"}, found.mapping).messages == (
            Message("user", "Q"),
            Message("assistant", "A"),
        )


def test_reasons_are_plain_sentences() -> None:
    rows = rows_of(PROJECT / "tests" / "fixtures" / "datasets" / "openai_messages-tools.jsonl")
    assert recognition_of(rows).reasons == (
        "Column tools holds the tools.",
        "Column messages holds lists of turns with role and content.",
        "The roles are called system, user, assistant and tool.",
        "Column parallel_tool_calls is not used.",
    )
    rows = [{"messages": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A", "weight": 0}]}]
    assert "The weight that some turns carry is left out: every answer is trained on." in recognition_of(rows).reasons


def test_columns_of_unknown_rows_are_described() -> None:
    rows: list[Row] = [{"name": "Ana  Moura\nlives " + "far " * 40, "n": 3, "tags": ["a"], "none": None, "ok": True}]
    assert describe_columns(rows) == (
        'Found: name (text, such as "Ana Moura lives far far far far far far…"), n (a number, such as 3), '
        "tags (a list, such as ['a']), none (empty), ok (true or false, such as True)."
    )
    assert describe_columns([{f"c{index}": 1 for index in range(14)}]).endswith(
        "c11 (a number, such as 1) and 2 more columns."
    )
    assert describe_columns([]) == "No columns were found."


@pytest.mark.parametrize("wrap", [lambda value: [value], lambda value: {"text": value}, lambda value: {"image": value}])
def test_deeply_nested_cells_are_survived(wrap: Callable[[Any], Any]) -> None:
    value: Any = "x.png"
    for _ in range(5000):
        value = wrap(value)
    rows = [{"image": value, "question": "Q", "answer": value}]
    found = recognise(rows)
    assert found is None or found.confidence == 0
    assert describe_columns(rows).startswith("Found: image (")


def test_table_of_shapes_in_the_docs_is_current() -> None:
    lines = ["| shape | a row looks like | becomes | examples |", "|---|---|---|---|"]
    for shape in SHAPES:
        paths = [path for path in FIXTURES if path.stem.split("-")[0] == shape.name]
        form = recognition_of(rows_of(paths[0])).format
        links = " ".join(f"[{path.name}](../{path.relative_to(PROJECT)})" for path in paths)
        lines.append(f"| {shape.name} | {' '.join(filter(None, [f'`{shape.row}`', shape.note]))} | {form} | {links} |")
    table = "\n".join(lines)
    assert table in REFERENCE.read_text(encoding="utf-8"), f"docs/datasets.md should have this table:\n{table}"


def test_mappings_in_the_docs_are_mappings() -> None:
    blocks = [block.split("```")[0] for block in REFERENCE.read_text(encoding="utf-8").split("```yaml\n")[1:]]
    mappings = [Mapping.model_validate(yaml.safe_load(block)["dataset"]["mapping"]) for block in blocks]
    assert len(mappings) >= 3
    assert [mapping for mapping in mappings if validate_mapping(mapping, DOCUMENTED_COLUMNS)] == []


DOCUMENTED_COLUMNS = ("topic", "ticket", "reply", "dialogue", "photo", "persona", "notes")
