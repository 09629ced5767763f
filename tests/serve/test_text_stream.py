"""Streamed text."""

import pytest

from favchat.model.tokenizer import byte_tokenizer
from serve.text_stream import TextStream

TOKENIZER = byte_tokenizer()


def stream(text: str, stop: tuple[str, ...] = ()) -> tuple[list[str], TextStream]:
    """Push a text byte by byte: the parts that come out."""
    ids = TOKENIZER(text)["input_ids"]
    state = TextStream(TOKENIZER, stop)
    parts = []
    for end in range(1, len(ids) + 1):
        parts.append(state.push(ids[:end], last=end == len(ids)))
        if state.stopped:
            break
    return parts, state


@pytest.mark.parametrize("text", ["Yes.", "  two  words \n", "naïve 笑顔 😀!", "", " "])
def test_parts_add_up_to_the_stripped_text(text) -> None:
    parts, _ = stream(text)
    assert "".join(parts) == text.strip()
    assert all("\ufffd" not in part for part in parts)


def test_half_characters_wait() -> None:
    parts, _ = stream("é")
    assert parts == ["", "é"]


def test_a_stop_string_ends_the_text_and_its_beginning_is_held_back() -> None:
    parts, state = stream("one STOP two", ("STOP",))
    assert "".join(parts) == "one" and state.stopped
    parts, state = stream("one STO two", ("STOP",))
    assert "".join(parts) == "one STO two" and not state.stopped
    assert "S" not in "".join(parts[:6])


def test_the_first_of_several_stop_strings_counts() -> None:
    parts, _ = stream("a,b;c", (";", ","))
    assert "".join(parts) == "a"


def test_a_text_that_ends_in_half_a_stop_string_is_whole() -> None:
    assert "".join(stream("one ST", ("STOP",))[0]) == "one ST"


def test_a_stop_string_longer_than_the_answer_costs_no_more_than_the_answer() -> None:
    class Counted(str):
        looks = 0

        def __getitem__(self, key):
            Counted.looks += 1
            return str(self)[key]

    stop = Counted("S" * 1_000_000)
    assert "".join(stream("one two", (stop,))[0]) == "one two"
    assert Counted.looks <= len("one two") ** 2
