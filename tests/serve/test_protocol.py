"""What of a chat's body is taken, and what is refused by name."""

import json
from typing import Any

import pytest

from favchat.config import ServeConfig
from serve.errors import ApiError
from serve.parameters import IGNORED, INERT
from serve.protocol import ELEMENTS, ChatCompletionRequest

HELLO = [{"role": "user", "content": "Hello"}]


def read(**fields: Any) -> ChatCompletionRequest:
    request = ChatCompletionRequest.parse(json.dumps({"model": "m", "messages": HELLO, **fields}).encode())
    request.check(ServeConfig(cache_tokens=1000, max_videos=4))
    return request


def fault(**fields: Any) -> ApiError:
    with pytest.raises(ApiError) as caught:
        read(**fields)
    assert caught.value.status == 400
    return caught.value


@pytest.mark.parametrize("name", [*INERT, "foo", "temprature", "max_new_tokens"])
def test_a_setting_that_would_change_the_answer_is_refused_by_name(name) -> None:
    error = fault(**{name: ["anything"]})
    assert (error.param, error.code) == (name, "unsupported_parameter")
    assert name in error.message


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in INERT.items() for value in values])
def test_a_value_that_changes_nothing_is_taken(name, value) -> None:
    read(**{name: value})


@pytest.mark.parametrize(
    ("name", "value"), [("use_beam_search", 0), ("min_tokens", False), ("best_of", True), ("ignore_eos", 0.0)]
)
def test_numbers_do_not_pass_for_booleans(name, value) -> None:
    assert fault(**{name: value}).param == name


@pytest.mark.parametrize("name", [*IGNORED, *INERT, "foo"])
def test_null_stands_for_an_absent_setting(name) -> None:
    read(**{name: None})


@pytest.mark.parametrize("name", IGNORED)
def test_what_never_changes_an_answer_is_ignored(name) -> None:
    read(**{name: "anything"})


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": [{"role": "user", "content": "Hi", "name": "Ann"}]}, "messages.0.name"),
        ({"messages": [{"role": "assistant", "content": "Hi", "tool_calls": [{}]}]}, "messages.0.tool_calls"),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi", "style": "loud"}]}]},
            "messages.0.content.0.style",
        ),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "video_url", "video_url": {"url": "file:x", "fps": 2}}]}
                ]
            },
            "messages.0.content.0.video_url.fps",
        ),
        ({"stream_options": {"continuous_usage_stats": True}}, "stream_options.continuous_usage_stats"),
    ],
)
def test_fields_further_inside_are_refused_by_name(fields, param) -> None:
    assert fault(**fields).param == param


def test_an_answer_as_clients_send_it_back_is_taken() -> None:
    said = {"role": "assistant", "content": "Yes.", "refusal": None, "annotations": [], "tool_calls": None}
    read(messages=[*HELLO, said, *HELLO], stream_options={"include_usage": True, "include_obfuscation": False})


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"stop": "x" * 257}, "stop"),
        ({"stop": ["x"] * 5}, "stop"),
        ({"stop": ["a", ""]}, "stop.1"),
        ({"stop": 7}, "stop"),
        ({"messages": HELLO * 513}, "messages"),
        ({"messages": [{"role": "user", "content": "x" * 16_001}]}, "messages"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}] * 65}]}, "messages.0.content"),
        ({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "messages.0.content.0"),
        ({"model": "x" * 257}, "model"),
        ({"seed": 2**63}, "seed"),
        ({"temperature": float("nan")}, "temperature"),
        ({"top_p": float("inf")}, "top_p"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"n": 9}, "n"),
        ({"frequency_penalty": 2.1}, "frequency_penalty"),
        ({"logit_bias": {"x": 1}}, "logit_bias.x"),
        ({"guided_choice": []}, "guided_choice"),
        ({"guided_choice": ["x"] * 65}, "guided_choice"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
    ],
)
def test_what_is_too_long_or_out_of_range_names_its_field(fields, param) -> None:
    assert fault(**fields).param == param


def test_more_videos_than_fit_at_once_are_refused_and_not_put_off() -> None:
    def videos(*names: str) -> list[dict]:
        return [{"role": "user", "content": [{"type": "video_url", "video_url": {"url": name}} for name in names]}]

    assert "at most 4" in fault(messages=videos("a", "b", "c", "d", "e")).message
    request = read(messages=videos("a", "b", "c", "d", "a"))
    assert [one.address for one in request.shown()] == ["a", "b", "c", "d", "a"]


@pytest.mark.parametrize("end", [0, -1])
def test_millions_of_values_are_refused_before_they_are_read(end) -> None:
    body = json.dumps({"model": "m", "messages": HELLO, "foo": list(range(ELEMENTS))})
    with pytest.raises(ApiError, match="elements"):
        ChatCompletionRequest.parse(body.encode()[: len(body) + end])


@pytest.mark.parametrize("body", [b"", b"{", b"[" * 100_000, b"\xff", b'{"model": "\\ud800"}', b"9" * 5000, b"null"])
def test_what_is_no_chat_is_refused(body) -> None:
    with pytest.raises(ApiError) as caught:
        ChatCompletionRequest.parse(body)
    assert (caught.value.status, caught.value.code) == (400, "invalid_request")
    json.dumps(caught.value.body()).encode()


@pytest.mark.parametrize(("asked", "got"), [(1e-39, 0.0), (0, 0.0), (None, 0.0), (1e-5, 1e-5), (0.7, 0.7)])
def test_the_smallest_temperatures_take_the_most_likely_token(asked, got) -> None:
    assert read(temperature=asked).chat([]).temperature == got
