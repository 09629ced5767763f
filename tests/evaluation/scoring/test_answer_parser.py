"""Answers in words: one option plainly named, or unparsed."""

import pytest

from favchat.evaluation.scoring.answer_parser import YES_NO, parse
from favchat.evaluation.scoring.metrics import UNPARSED

FEELINGS = ("neutral", "angry", "happy", "sad", "surprised")


@pytest.mark.parametrize(
    ("text", "option"),
    [
        ("Yes.", 0),
        ("yes, she is smiling and not talking", 0),
        ("NO", 1),
        ("No, they do not.", 1),
        ("**Yes**", 0),
        ("- no", 1),
        ("Yes and no.", UNPARSED),
        ("yes/no", UNPARSED),
        ("No or yes", UNPARSED),
        ("The answer is yes.", UNPARSED),
        ("Nobody is smiling.", UNPARSED),
        ("yesterday", UNPARSED),
        ("", UNPARSED),
        ("I cannot tell.", UNPARSED),
    ],
)
def test_yes_or_no_is_the_first_word(text, option):
    assert parse(text, YES_NO) == option


@pytest.mark.parametrize(
    ("text", "option"),
    [
        ("Happy.", 2),
        ("They look happy, really happy!", 2),
        ("The person shows happiness.", 2),
        ("**Surprise**", 4),
        ("angry or sad", UNPARSED),
        ("not happy", UNPARSED),
        ("They don't look sad.", UNPARSED),
        ("unhappy", UNPARSED),
        ("sadly", UNPARSED),
        ("The person is bored.", UNPARSED),
        ("", UNPARSED),
    ],
)
def test_exactly_one_word_is_named(text, option):
    assert parse(text, FEELINGS) == option


def test_a_longer_option_is_no_shorter_one():
    assert parse("They are shaking their head.", ("shaking", "shaking their head")) == 1
    assert parse("It has no bangs.", ("bangs", "no bangs")) == 1
