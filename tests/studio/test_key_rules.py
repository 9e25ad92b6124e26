"""Names and values of keys: what is taken, what is refused, and that no refusal repeats what was typed."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from studio.key_rules import ALLOWED_SUFFIXES, KNOWN_NAMES, MAX_VALUE_LENGTH, RESERVED_PREFIXES, check_key, last_four

VALUE = "hf_abcdefghijklmnop1234"


def fields(name: str, value: str = VALUE) -> list[str]:
    return [problem.field for problem in check_key(name, value)]


@pytest.mark.parametrize(
    "name", [*KNOWN_NAMES, "MY_SERVICE_PASSWORD", "COMET_API_KEY", "AWS_SESSION_TOKEN", "A2_SECRET"]
)
def test_name_of_a_key_is_taken(name: str) -> None:
    assert fields(name) == []


@pytest.mark.parametrize(
    "name",
    [
        *("PATH", "HOME", "SHELL", "IFS", "ENV", "BASH_ENV", "BASH_FUNC_TOKEN%%", "PYTHONPATH", "PYTHONSTARTUP"),
        *("LD_PRELOAD", "LD_LIBRARY_PATH", "LD_AUDIT", "DYLD_INSERT_LIBRARIES", "GCONV_PATH", "TMPDIR", "HF_HOME"),
        *("LAPIDARY_NONCE", "LAPIDARY_HOME", "LAPIDARY_TOKEN", "LAPIDARY_SECRET_KEY", "CUDA_VISIBLE_DEVICES"),
        *("HTTPS_PROXY", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "HF_ENDPOINT", "OPENAI_BASE_URL", "GIT_SSH_COMMAND"),
        *("HF_HUB_DISABLE_IMPLICIT_TOKEN", "PYTHON_KEY", "LD_KEY", "GOOGLE_APPLICATION_CREDENTIALS"),
        *(
            "",
            "_TOKEN",
            "hf_token",
            "HF-TOKEN",
            "HF TOKEN",
            "HF_TOKEN\n",
            "HF_TOKEN\0",
            "1_TOKEN",
            "É_TOKEN",
            "../A_KEY",
        ),
        "A" * 60 + "_TOKEN",
    ],
)
def test_name_that_could_steer_a_process_is_refused(name: str) -> None:
    assert fields(name) == ["name"]


@given(st.text(string.ascii_uppercase + string.digits + "_", max_size=70))
def test_every_name_that_is_taken_ends_like_a_key_and_has_no_reserved_beginning(name: str) -> None:
    if fields(name) == []:
        assert name.endswith(ALLOWED_SUFFIXES)
        assert len(name) <= 64
        assert name in KNOWN_NAMES or not name.startswith(RESERVED_PREFIXES)


@pytest.mark.parametrize("value", ["x", "a b", "pässword-ключ", "x" * MAX_VALUE_LENGTH, '{"type":"service_account"}'])
def test_value_of_a_key_is_taken(value: str) -> None:
    assert fields("HF_TOKEN", value) == []


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("", "The value is empty"),
        ("x" * (MAX_VALUE_LENGTH + 1), "8,193 characters; a key has at most 8,192"),
        ("hf_abc\n", "a line break or another character that cannot be seen"),
        ("hf_abc\r\nInjected: yes", "a line break or another character that cannot be seen"),
        ("hf_\0abc", "a line break or another character that cannot be seen"),
        ("hf_abc\u200b", "a line break or another character that cannot be seen"),
        ("hf_\ud800", "a line break or another character that cannot be seen"),
        (" hf_abc", "begins or ends with a space"),
        ("hf_abc ", "begins or ends with a space"),
    ],
)
def test_value_that_cannot_be_a_key_is_a_sentence(value: str, sentence: str) -> None:
    (problem,) = check_key("HF_TOKEN", value)
    assert problem.field == "value"
    assert sentence in problem.message


def test_problems_of_name_and_value_are_told_together() -> None:
    assert fields("PATH", "") == ["name", "value"]


def test_refusal_repeats_neither_name_nor_value() -> None:
    typed_as_name, typed_as_value = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI bPxRfiCYEXAMPLEKEY "
    told = " ".join(problem.message for problem in check_key(typed_as_name, typed_as_value))
    assert typed_as_name not in told
    assert typed_as_value.strip() not in told


@pytest.mark.parametrize(("value", "shown"), [("abc", ""), ("x" * 11 + "1234", ""), ("x" * 12 + "1234", "1234")])
def test_last_four_are_shown_of_a_long_value_only(value: str, shown: str) -> None:
    assert last_four(value) == shown
