"""Problems of single texts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data.integrity.row_text import text_problems

PRINTABLE = st.text(st.characters(categories=("L", "N"), exclude_characters="ÃÂâïðÐÑ"), max_size=200)
NON_ASCII = st.text(st.characters(min_codepoint=0xC0, max_codepoint=0xFF), min_size=1, max_size=20)


def codes(text: str) -> list[str]:
    return [code for code, _ in text_problems(text)]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("lost \ufffd\ufffd", "replacement_characters"),
        ("cafÃ©", "mojibake"),
        ("itâ€™s", "mojibake"),
        ("5 Â°C", "mojibake"),
        ("ï»¿name", "mojibake"),
        ("ÐŸÑ€Ð¸Ð²ÐµÑ‚", "mojibake"),
        ("nul \x00", "control_characters"),
        ("escape \x1b[0m", "control_characters"),
        ("<p>Hello</p>", "html_remnants"),
        ('<a href="x">', "html_remnants"),
        ("fish &amp; chips", "html_remnants"),
        ("it&#39;s", "html_remnants"),
        ("sk-proj-" + "a1B2" * 8, "secret_like_text"),
        ("AKIA" + "ABCD1234" * 2, "secret_like_text"),
        ("-----BEGIN RSA PRIVATE KEY-----", "secret_like_text"),
        ("write to a.b+c@mail.example.com.", "email_addresses"),
    ],
)
def test_problem_is_found(text: str, code: str) -> None:
    assert codes(text) == [code]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Plain text,\n\twith a tab and two lines.\r\n",
        "Größe, naïve café, São João, ÂGE, NÃO, Šárka, 日本語, Привет, 🙂",
        "if a < b and c > d: return a & b",
        "List<String> names; x <y> z",
        "AT&T &co; R&D",
        "task-management-and-scheduling-systems",
        "the sk- prefix, and hf_ too, and AKIA",
        "-----BEGIN CERTIFICATE-----",
        "@property def name(self): ...  a @ b",
    ],
)
def test_ordinary_text_has_no_problem(text: str) -> None:
    assert codes(text) == []


@given(text=PRINTABLE)
def test_letters_and_digits_of_any_script_are_no_problem(text: str) -> None:
    assert set(codes(text)) <= {"secret_like_text"}


@given(text=NON_ASCII)
def test_text_read_in_a_wrong_encoding_is_found(text: str) -> None:
    assert "mojibake" in codes(
        text.encode().decode("latin-1").replace("\x81", "\xa1")
    ) or "control_characters" in codes(text.encode().decode("latin-1"))


def test_reason_shows_no_secret() -> None:
    ((_, reason),) = text_problems("hf_" + "Zz9" * 12)
    assert reason == "has text like a key that begins with hf_"


def test_very_long_line_is_searched_in_time_that_grows_with_its_length() -> None:
    assert codes("a" * 2_000_000 + "@") == []
    assert codes("<p " * 200_000) == []
