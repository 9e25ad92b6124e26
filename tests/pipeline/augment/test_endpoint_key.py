import pytest

from pipeline.augment.endpoint_key import KEY_VARIABLE, EndpointKey, is_public_host
from pipeline.errors import DataProblem
from tests.pipeline.augment.material import KEY


def test_key_comes_from_the_environment_and_may_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not EndpointKey.from_environment().is_set
    assert EndpointKey.from_environment().headers() == {}
    monkeypatch.setenv(KEY_VARIABLE, f" {KEY}\n")
    assert EndpointKey.from_environment().headers() == {"authorization": f"Bearer {KEY}"}


def test_key_is_in_no_text_of_its_object() -> None:
    key = EndpointKey(KEY)
    assert KEY not in f"{key} {key!r}"


def test_key_is_taken_out_of_texts_also_where_slashes_are_escaped() -> None:
    text = EndpointKey(KEY).hide_in(f"refused {KEY} and {KEY.replace('/', chr(92) + '/')}")
    assert text == "refused [key] and [key]"


@pytest.mark.parametrize("placeholder", ["", "EMPTY", "none"])
def test_placeholder_for_a_key_changes_no_text(placeholder: str) -> None:
    assert EndpointKey(placeholder).hide_in("none is EMPTY") == "none is EMPTY"


@pytest.mark.parametrize("broken", ["sk-one\nsk-two", "sk-ключ-0123456789", "sk one two three"])
def test_key_that_cannot_be_sent_is_refused_without_repeating_it(broken: str) -> None:
    with pytest.raises(DataProblem, match="Copy and store it again") as caught:
        EndpointKey(broken)
    assert broken not in str(caught.value)


@pytest.mark.parametrize("host", ["api.openai.com", "8.8.8.8", "2001:4860:4860::8888", "gpu.example.org."])
def test_host_beyond_the_local_network_is_public(host: str) -> None:
    assert is_public_host(host)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1", "192.168.1.20", "10.0.0.5", "gpu-box", "gpu.local"])
def test_host_of_the_local_network_is_not_public(host: str) -> None:
    assert not is_public_host(host)


def test_key_is_not_sent_unencrypted_beyond_the_local_network() -> None:
    with pytest.raises(DataProblem, match="not encrypted") as caught:
        EndpointKey(KEY).raise_if_readable_on_the_way_to("http://api.example.org/v1")
    assert KEY not in str(caught.value)
    EndpointKey(KEY).raise_if_readable_on_the_way_to("https://api.example.org/v1")
    EndpointKey(KEY).raise_if_readable_on_the_way_to("http://192.168.1.20:8000/v1")
    EndpointKey(None).raise_if_readable_on_the_way_to("http://api.example.org/v1")
