"""What an answer claims that the scores decide."""

import math

import pytest

from favchat.labels.everyday_templates import CANNOT_TELL
from favchat.model.answer_claims import Claim, claims_of, log_likelihood
from favchat.model.answers_by_score import start_of_answer

SCORES = {"smile": 0.9, "no_beard": 0.2, "eyeglasses": 0.1, "happy": 0.7, "neutral": 0.3, "male": 0.95, "young": 0.8}


@pytest.mark.parametrize(
    ("question", "answer", "claims", "decided"),
    [
        ("Is the person smiling?", "Yes, they are.", [Claim("smile", True)], "Yes"),
        ("Is the person smiling?", "no.", [Claim("smile", False)], "no"),
        ("Is the person smiling?", "Nobody is.", [], ""),
        ("Does he have a beard?", "Yes.", [Claim("no_beard", True)], "Yes"),
        ("Is he wearing a hat?", "Yes, a red one.", [], ""),  # never taught: the words are the language model's
        ("Is he wearing a hat?", CANNOT_TELL, [], CANNOT_TELL),
        ("What might they be waiting for?", "A bus.", [], ""),
    ],
)
def test_what_is_decided(question, answer, claims, decided) -> None:
    assert claims_of(question, answer, SCORES, SCORES) == (claims, decided)


def test_the_whole_answer_that_the_scores_give() -> None:
    question = "What is the person's expression?"
    answer = start_of_answer(question, SCORES, SCORES)
    claims, decided = claims_of(question, f" {answer} ", SCORES, SCORES)
    assert decided == answer and Claim("happy", True) in claims
    assert claims_of(question, "Bored.", SCORES, SCORES) == ([], "")


def test_the_whole_sentence_of_a_yes_or_no() -> None:
    question = "Is the person smiling?"
    answer = start_of_answer(question, SCORES, SCORES)
    assert answer.startswith("Yes, ")
    assert claims_of(question, answer, SCORES, SCORES) == ([Claim("smile", True)], answer)


def test_how_likely_claims_are() -> None:
    likely = log_likelihood([Claim("smile", True), Claim("eyeglasses", False), Claim("no_beard", True)], SCORES)
    assert likely == pytest.approx(math.log(0.9 * 0.9 * 0.8))
    assert log_likelihood([], SCORES) == 0
    assert math.isfinite(log_likelihood([Claim("smile", False)], {"smile": 1.0}))
