"""A mapping makes examples of rows: text passes untouched, and a row that cannot be used says why."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data.build_example import build_example
from pipeline.data.example import Example, Message, UnusableRow
from pipeline.data.mapping import Mapping
from pipeline.data.parts import fill_template, render_parts
from pipeline.data.validate_mapping import validate_mapping

said = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(lambda text: bool(text.strip()))
QUESTION_AND_ANSWER = (Message("user", "Q"), Message("assistant", "A"))


def column(name: str, **options: Any) -> dict[str, Any]:
    return {"kind": "column", "column": name, **options}


def text(value: str) -> dict[str, Any]:
    return {"kind": "text", "text": value}


def template(value: str) -> dict[str, Any]:
    return {"kind": "template", "template": value}


def image(name: str) -> dict[str, Any]:
    return {"kind": "image", "column": name}


def example_of(row: dict[str, Any], form: str = "prompt_completion", **parts: Any) -> Example:
    return build_example(3, row, Mapping.model_validate({"format": form, **parts}))


def reason_of(row: dict[str, Any], form: str = "prompt_completion", **parts: Any) -> str:
    with pytest.raises(UnusableRow) as caught:
        example_of(row, form, **parts)
    return str(caught.value)


PROMPT_AND_COMPLETION = {"prompt": [column("q")], "completion": [column("a")]}
CHOSEN_AND_REJECTED = {"chosen": [column("c")], "rejected": [column("r")]}


def turns(*pairs: tuple[str, str]) -> list[dict[str, str]]:
    return [{"role": role, "content": content} for role, content in pairs]


@pytest.mark.parametrize(
    ("row", "messages"),
    [
        ({"q": "Q", "a": "A"}, QUESTION_AND_ANSWER),
        ({"q": 7, "a": 1.5}, (Message("user", "7"), Message("assistant", "1.5"))),
        ({"q": "Is it?", "a": True}, (Message("user", "Is it?"), Message("assistant", "true"))),
        ({"q": "Q", "a": ["A", "B"]}, QUESTION_AND_ANSWER),
        ({"q": "Q", "a": [{"text": "A"}]}, QUESTION_AND_ANSWER),
        ({"q": turns(("user", "Q")), "a": "A"}, QUESTION_AND_ANSWER),
        ({"q": turns(("user", "Q")), "a": turns(("assistant", "A"))}, QUESTION_AND_ANSWER),
        ({"q": "Q", "a": {"role": "assistant", "content": "A"}}, QUESTION_AND_ANSWER),
        ({"q": turns(("user", "Q")), "a": turns(("user", "Q"), ("assistant", "A"))}, QUESTION_AND_ANSWER),
        ({"q": " Q\r\n", "a": "\tA\u2028"}, (Message("user", " Q\r\n"), Message("assistant", "\tA\u2028"))),
        ({"q": '[{"role": "user", "content": "Q"}]', "a": "1"}, None),
    ],
)
def test_prompt_and_completion_become_turns(row: dict[str, Any], messages: tuple[Message, ...] | None) -> None:
    expected = messages or (Message("user", str(row["q"])), Message("assistant", "1"))
    assert example_of(row, **PROMPT_AND_COMPLETION) == Example(3, messages=expected)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"q": "Q"}, "a is missing"),
        ({"q": "Q", "a": None}, "a is missing"),
        ({"q": " ", "a": "A"}, "q is empty"),
        ({"q": "Q", "a": []}, "a is empty"),
        ({"q": ["Q", "R"], "a": "A"}, "q is a list, not text"),
        ({"q": {"x": 1}, "a": "A"}, "q is an object, not text"),
        ({"q": turns(("user", "Q"), ("assistant", "A")), "a": "B"}, "turn 3 is by assistant, expected user"),
        ({"q": turns(("user", "")), "a": "B"}, "turn 1 is empty"),
    ],
)
def test_row_that_cannot_be_used_says_why(row: dict[str, Any], reason: str) -> None:
    assert reason_of(row, **PROMPT_AND_COMPLETION).startswith(reason)


def test_row_that_is_nested_too_deeply_says_so() -> None:
    value: Any = "A"
    for _ in range(5000):
        value = [value]
    assert reason_of({"q": "Q", "a": value}, **PROMPT_AND_COMPLETION) == "its values are nested too deeply"


def test_json_text_is_decoded_only_where_the_mapping_says_so() -> None:
    row = {"q": '[{"role": "user", "content": "Q"}]', "a": '{"text": ["A", "B"]}'}
    parts = {"prompt": [column("q", json_text=True)], "completion": [column("a.text", json_text=True)]}
    assert example_of(row, **parts).messages == QUESTION_AND_ANSWER


def test_field_of_an_object_is_a_column() -> None:
    row = {"q": {"parts": [{"x": "Q"}]}, "a.b": "A", "a": {"b": "not this"}}
    assert example_of(row, prompt=[column("q.parts.0.x")], completion=[column("a.b")]).messages == QUESTION_AND_ANSWER


@pytest.mark.parametrize(
    ("row", "prompt"),
    [
        ({"i": "Add", "x": "1 + 1", "a": "2"}, "Add\n\n1 + 1"),
        ({"i": "Add", "x": " ", "a": "2"}, "Add"),
        ({"i": "Add", "x": None, "a": "2"}, "Add"),
        ({"i": "Add", "a": "2"}, "Add"),
    ],
)
def test_optional_column_is_left_out_with_its_joint(row: dict[str, Any], prompt: str) -> None:
    parts = [column("i"), text("\n\n"), column("x", optional=True)]
    messages = example_of(row, prompt=parts, completion=[column("a")]).messages
    assert messages == (Message("user", prompt), Message("assistant", "2"))
    other = [column("x", optional=True), text("\n\n"), column("i")]
    flipped = "\n\n".join(reversed(prompt.split("\n\n")))
    assert example_of(row, prompt=other, completion=[column("a")]).messages[0].content == flipped  # type: ignore[index]


@pytest.mark.parametrize(
    ("template", "filled"),
    [
        ("{q}", "Q"),
        ("<{q}>{a}", "<Q>A"),
        ('{"question": "{q}", "n": {"x": {}}}', '{"question": "Q", "n": {"x": {}}}'),
        ('{"q":{q}}', '{"q":Q}'),
        ("\\frac{1}{2} {Q} { q } {q}", "\\frac{1}{2} {Q} { q } Q"),
        ("{{q}}", "{q}"),
        ("{{{q}}}", "{Q}"),
        ("{{x}} {{ {}", "{{x}} {{ {}"),
        ("{with space}", "W"),
        ("{list} {o.k} {n}", '["é"] V 7'),
        ("{blank}.", "."),
    ],
)
def test_template_replaces_names_of_columns_and_nothing_else(template: str, filled: str) -> None:
    row = {"q": "Q", "a": "A", "with space": "W", "list": ["é"], "o": {"k": "V"}, "n": 7, "blank": None}
    assert fill_template(template, row, columns=row) == filled


def test_value_in_a_template_is_not_a_template() -> None:
    assert fill_template("{q}{a}", {"q": "{a}", "a": "A"}, columns=("q", "a")) == "{a}A"


@given(before=said, value=said, after=said)
def test_template_keeps_all_other_text(before: str, value: str, after: str) -> None:
    outside = [piece.replace("{", "(").replace("}", ")") for piece in (before, after)]
    assert (
        fill_template(f"{outside[0]}{{q}}{outside[1]}", {"q": value}, columns=("q",)) == outside[0] + value + outside[1]
    )


@given(literal=st.text("{}q :\"'\\n", max_size=40))
def test_braces_without_a_column_stay(literal: str) -> None:
    assert fill_template(literal, {"other": "x"}, columns=("other",)) == literal


def test_column_of_the_data_set_that_a_row_lacks_is_missing() -> None:
    mapping = Mapping.model_validate({"format": "text", "text": [template("{q} {a}")]})
    assert build_example(1, {"q": "Q"}, mapping).text == "Q {a}"
    with pytest.raises(UnusableRow, match="^a is missing$"):
        build_example(1, {"q": "Q"}, mapping, columns=("q", "a"))


def test_template_whose_columns_are_all_blank_is_empty() -> None:
    assert reason_of({"q": "", "a": None}, "text", text=[template("Question: {q}{a}")]) == "text is empty"


@given(first=said, second=said, third=said)
def test_parts_are_put_together_in_their_order(first: str, second: str, third: str) -> None:
    parts = Mapping.model_validate({"format": "text", "text": [column("a"), text(second), template("{b}")]}).text
    assert render_parts({"a": first, "b": third}, parts, what="text").text == first + second + third


def test_system_text_stands_first_and_may_be_blank() -> None:
    parts = {**PROMPT_AND_COMPLETION, "system": [column("s")]}
    assert example_of({"q": "Q", "a": "A", "s": "S"}, **parts).messages == (
        Message("system", "S"),
        *QUESTION_AND_ANSWER,
    )
    for row in ({"q": "Q", "a": "A", "s": ""}, {"q": "Q", "a": "A", "s": None}, {"q": "Q", "a": "A"}):
        assert example_of(row, **parts).messages == QUESTION_AND_ANSWER


def test_two_different_system_texts_are_refused() -> None:
    parts = {"conversation": {"column": "m"}, "system": [column("s")]}
    row = {"m": turns(("system", "S"), ("user", "Q"), ("assistant", "A")), "s": "other"}
    assert reason_of(row, "messages", **parts) == "turn 1 is by system, and the row has another system text"
    assert len(example_of({**row, "s": "S"}, "messages", **parts).messages or ()) == 3


def test_history_stands_before_the_prompt() -> None:
    row = {"q": "Q2", "a": "A2", "h": [["Q1", "A1"]]}
    messages = example_of(row, **PROMPT_AND_COMPLETION, conversation={"column": "h"}).messages
    assert [message.content for message in messages or ()] == ["Q1", "A1", "Q2", "A2"]
    for history in ([], None):
        row = {"q": "Q", "a": "A", "h": history}
        assert example_of(row, **PROMPT_AND_COMPLETION, conversation={"column": "h"}).messages == QUESTION_AND_ANSWER


@pytest.mark.parametrize(
    "tools",
    [
        [{"type": "function", "function": {"name": "now"}}],
        [{"name": "now"}],
        '[{"name": "now"}]',
        ['{"name": "now"}'],
        [{"functionDeclarations": [{"name": "now"}]}],
    ],
)
def test_tools_of_any_spelling_have_the_shape_of_openai(tools: Any) -> None:
    row = {"m": turns(("user", "Q"), ("assistant", "A")), "t": tools}
    example = example_of(row, "messages", conversation={"column": "m"}, tools="t")
    assert example.tools == ({"type": "function", "function": {"name": "now"}},)


@pytest.mark.parametrize(
    ("tools", "reason"), [("none", "t is text that is no list"), ([7], "t holds a number that is no")]
)
def test_tools_that_are_none_are_refused(tools: Any, reason: str) -> None:
    row = {"m": turns(("user", "Q"), ("assistant", "A")), "t": tools}
    assert reason_of(row, "messages", conversation={"column": "m"}, tools="t").startswith(reason)


def test_preference_has_a_prompt_and_two_answers() -> None:
    expected = Example(3, messages=(Message("user", "Q"),), chosen=(Message("assistant", "C"),))
    rejected = (Message("assistant", "R"),)
    for row in (
        {"q": "Q", "c": "C", "r": "R"},
        {"q": turns(("user", "Q")), "c": turns(("assistant", "C")), "r": {"role": "assistant", "content": "R"}},
        {"q": "Q", "c": turns(("user", "Q"), ("assistant", "C")), "r": turns(("user", "Q"), ("assistant", "R"))},
    ):
        example = example_of(row, "preference", prompt=[column("q")], **CHOSEN_AND_REJECTED)
        assert (example.messages, example.chosen, example.rejected) == (expected.messages, expected.chosen, rejected)


@pytest.mark.parametrize(
    "row",
    [
        {
            "c": turns(("user", "Q"), ("assistant", "A"), ("user", "Q2"), ("assistant", "C")),
            "r": turns(("user", "Q"), ("assistant", "A"), ("user", "Q2"), ("assistant", "R")),
        },
        {
            "c": "\n\nHuman: Q\n\nAssistant: A\n\nHuman: Q2\n\nAssistant: C",
            "r": "\n\nHuman: Q\n\nAssistant: A\n\nHuman: Q2\n\nAssistant: R",
        },
    ],
)
def test_common_beginning_is_the_prompt(row: dict[str, Any]) -> None:
    example = example_of(row, "preference", **CHOSEN_AND_REJECTED)
    assert [message.content for message in example.messages or ()] == ["Q", "A", "Q2"]
    assert (example.chosen, example.rejected) == ((Message("assistant", "C"),), (Message("assistant", "R"),))


def test_longer_answer_goes_on_from_the_common_beginning() -> None:
    long = turns(("user", "Q"), ("assistant", "A"), ("user", "Q2"), ("assistant", "A2"))
    example = example_of({"c": long, "r": long[:2]}, "preference", **CHOSEN_AND_REJECTED)
    assert example.messages == (Message("user", "Q"),)
    assert [len(side or ()) for side in (example.chosen, example.rejected)] == [3, 1]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"q": "Q", "c": "same", "r": "same"}, "chosen and rejected are the same"),
        ({"q": "Q", "c": "C", "r": ""}, "r is empty"),
        ({"q": "", "c": "C", "r": "R"}, "q is empty"),
        (
            {"q": "P", "c": turns(("user", "Q"), ("assistant", "C")), "r": turns(("user", "Q"), ("assistant", "R"))},
            "chosen and rejected do not begin with the prompt",
        ),
        ({"q": turns(("user", "Q"), ("assistant", "A")), "c": "C", "r": "R"}, "turn 3 is by assistant, expected user"),
        ({"q": "Q", "c": turns(("assistant", "C"), ("user", "D")), "r": "R"}, "the last turn is not the assistant's"),
    ],
)
def test_preference_that_cannot_be_used_says_why(row: dict[str, Any], reason: str) -> None:
    assert reason_of(row, "preference", prompt=[column("q")], **CHOSEN_AND_REJECTED).startswith(reason)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"c": "C", "r": "R"}, "chosen and rejected have no prompt in common"),
        (
            {"c": turns(("user", "Q"), ("assistant", "C")), "r": turns(("user", "X"), ("assistant", "R"))},
            "chosen and rejected have no prompt in common",
        ),
        ({"c": "\n\nHuman: Q\n\nAssistant:", "r": "R"}, "turn 2 is empty"),
    ],
)
def test_implicit_preference_without_a_prompt_says_why(row: dict[str, Any], reason: str) -> None:
    assert reason_of(row, "preference", **CHOSEN_AND_REJECTED).startswith(reason)


@pytest.mark.parametrize(
    ("value", "label"),
    [
        (True, True),
        (1, True),
        (1.0, True),
        ("Good", True),
        (" yes ", True),
        (False, False),
        (0, False),
        ("false", False),
    ],
)
def test_label_is_read_from_flags_numbers_and_words(value: Any, label: bool) -> None:
    row = {"q": "Q", "a": "A", "l": value}
    example = example_of(row, "unpaired_preference", **PROMPT_AND_COMPLETION, label="l")
    assert example == Example(3, messages=(Message("user", "Q"),), chosen=(Message("assistant", "A"),), label=label)


@pytest.mark.parametrize(
    ("value", "reason"),
    [(None, "l is missing"), ("maybe", "l is 'maybe', which says neither good nor bad"), (0.5, "l is '0.5'")],
)
def test_label_that_says_neither_is_refused(value: Any, reason: str) -> None:
    row = {"q": "Q", "a": "A", "l": value}
    assert reason_of(row, "unpaired_preference", **PROMPT_AND_COMPLETION, label="l").startswith(reason)


def test_last_turn_of_a_labelled_conversation_is_the_completion() -> None:
    row = {"m": turns(("user", "Q"), ("assistant", "A")), "l": 0}
    example = example_of(row, "unpaired_preference", conversation={"column": "m"}, label="l")
    assert example == Example(3, messages=(Message("user", "Q"),), chosen=(Message("assistant", "A"),), label=False)


def test_prompt_alone_keeps_the_other_columns_for_rewards() -> None:
    row = {"q": "Q", "answer": 7, "meta": {"a": [1]}}
    example = example_of(row, "prompt_only", prompt=[column("q")])
    assert example == Example(3, messages=(Message("user", "Q"),), extra={"answer": 7, "meta": {"a": [1]}})
    row = {"m": turns(("system", "S"), ("user", "Q")), "answer": 7}
    example = example_of(row, "prompt_only", conversation={"column": "m"})
    assert (len(example.messages or ()), example.extra) == (2, {"answer": 7})
    answered = {"m": turns(("user", "Q"), ("assistant", "A"))}
    assert reason_of(answered, "prompt_only", conversation={"column": "m"}).startswith(
        "the prompt ends with the assistant's"
    )


@pytest.mark.parametrize(
    ("value", "references"),
    [
        ({"path": "images/1.png"}, ("images/1.png",)),
        ("images/1.png", ("images/1.png",)),
        ([{"path": "images/1.png"}, "images/2.png"], ("images/1.png", "images/2.png")),
        ({"bytes": "iVBORw0KGgo", "path": "only-a-name.png"}, ("iVBORw0KGgo",)),
        (b"\x89PNG", ("iVBORw==",)),
        ({"url": "https://example.com/1.png"}, ("https://example.com/1.png",)),
    ],
)
def test_image_parts_stand_where_the_parts_do(value: Any, references: tuple[str, ...]) -> None:
    parts = [text("Look: "), image("i"), column("q")]
    messages = example_of({"i": value, "q": "Q", "a": "A"}, prompt=parts, completion=[column("a")]).messages or ()
    assert messages[0] == Message("user", "Look: Q", images=references, image_positions=(6,) * len(references))


def test_image_markers_of_the_text_give_way_to_the_images() -> None:
    row = {"i": "1.png", "q": "Before <image>\nafter", "a": "A"}
    messages = example_of(row, prompt=[image("i"), column("q")], completion=[column("a")]).messages or ()
    assert messages[0] == Message("user", "Before \nafter", images=("1.png",), image_positions=(7,))
    row = {"i": None, "q": "Write <image> in HTML", "a": "A"}
    messages = example_of(row, prompt=[image("i"), column("q")], completion=[column("a")]).messages or ()
    assert messages[0] == Message("user", "Write <image> in HTML")


def test_images_of_a_conversation_are_placed_in_order() -> None:
    said = [{"type": "text", "text": "a"}, {"type": "image"}]
    row = {
        "m": [{"role": "user", "content": said}, *turns(("assistant", "A"), ("user", "Q"), ("assistant", "A"))],
        "i": ["1"],
    }
    parts = {"conversation": {"column": "m"}, "images": "i"}
    assert (example_of(row, "messages", **parts).messages or ())[0].images == ("1",)
    row["m"] = turns(("user", "<image> and"), ("assistant", "A"), ("user", "then <image>"), ("assistant", "A"))
    row["i"] = ["1", "2"]
    messages = example_of(row, "messages", **parts).messages or ()
    assert [(m.content, m.images, m.image_positions) for m in messages if m.images] == [
        (" and", ("1",), (0,)),
        ("then ", ("2",), (5,)),
    ]
    row["m"] = turns(("system", "S"), ("user", "Q"), ("assistant", "A"))
    assert (example_of(row, "messages", **parts).messages or ())[1] == Message(
        "user", "Q", images=("1", "2"), image_positions=(0, 0)
    )


@pytest.mark.parametrize(
    ("content", "images", "reason"),
    [
        ("<image><image>", ["1"], "the row has 1 image, but its turns have places for 2"),
        ([{"type": "image"}, {"type": "image"}], [], "the turns show 2 images, but the row has none"),
        ("Q", [7], "i holds something that is no image"),
    ],
)
def test_images_that_do_not_fit_the_turns_are_refused(content: Any, images: list[Any], reason: str) -> None:
    row = {"m": [{"role": "user", "content": content}, {"role": "assistant", "content": "A"}], "i": images}
    assert reason_of(row, "messages", conversation={"column": "m"}, images="i") == reason


def test_missing_image_is_named() -> None:
    parts = {"prompt": [image("i"), text("Describe the image.")], "completion": [column("a")]}
    assert reason_of({"i": None, "a": "A"}, **parts) == "i is empty"


def problems_of(
    form: str, columns: tuple[str, ...] = ("question", "answer", "meta"), **parts: Any
) -> list[tuple[str, str]]:
    mapping = Mapping.model_validate({"format": form, **parts})
    return [(problem.field, problem.message) for problem in validate_mapping(mapping, columns)]


def test_mapping_that_fits_has_no_problem() -> None:
    parts = {"prompt": [column("question"), template("{meta.level}")], "completion": [column("answer")]}
    assert problems_of("prompt_completion", **parts) == []
    assert problems_of("prompt_only", conversation={"column": "meta"}) == []
    assert problems_of("unpaired_preference", conversation={"column": "meta"}, label="answer") == []


@pytest.mark.parametrize(
    ("form", "needed"),
    [
        ("messages", ["conversation"]),
        ("prompt_completion", ["prompt", "completion"]),
        ("text", ["text"]),
        ("preference", ["chosen", "rejected"]),
        ("unpaired_preference", ["prompt", "completion", "label"]),
        ("prompt_only", ["prompt"]),
    ],
)
def test_parts_that_a_format_needs_are_all_named(form: str, needed: list[str]) -> None:
    assert problems_of(form) == [
        (name, f"The format {form} needs {name}. Say which column holds it.") for name in needed
    ]


def test_missing_columns_are_named_with_the_nearest() -> None:
    parts = {"prompt": [column("Qestion")], "completion": [column("zzz")], "images": "metta"}
    assert problems_of("prompt_completion", **parts) == [
        ("prompt", "There is no column 'Qestion'. Did you mean question?"),
        ("completion", "There is no column 'zzz'. The columns are: question, answer, meta."),
        ("images", "There is no column 'metta'. Did you mean meta?"),
    ]


def test_answer_that_is_the_same_in_every_row_is_a_problem() -> None:
    parts = {"prompt": [column("question")], "completion": [template("{anwser}")]}
    assert problems_of("prompt_completion", **parts) == [
        ("completion", "completion is the same in every row. Name one of the columns in it: question, answer, meta.")
    ]
