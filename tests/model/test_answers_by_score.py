from random import Random

import pytest

from favchat.data.annotate.everyday_writer import subject, truth_of, yes_no_question
from favchat.data.annotate.grammar import MAN, UNKNOWN, WOMAN
from favchat.labels.everyday_templates import (
    CANNOT_IDENTIFY,
    CANNOT_TELL,
    IDENTITY,
    UNANSWERABLE,
    held_out,
    taught,
)
from favchat.labels.everyday_yes_no import OPPOSITES, YES_NO
from favchat.model.answers_by_score import start_of_answer
from favchat.model.closed_questions import asked_attribute

SCORES = {"eyeglasses": 0.9, "smile": 0.2, "no_beard": 0.8, "male": 0.1, "neutral": 0.2, "happy": 0.45, "anger": 0.35}


@pytest.mark.parametrize(
    ("question", "start"),
    [
        ("Is she wearing glasses?", "Yes, she is wearing eyeglasses."),
        ("Glasses?", "Yes, she is wearing eyeglasses."),
        ("Does the man wear spectacles?", "Yes, she is wearing eyeglasses."),
        ("She has no glasses, right?", "No, she is wearing eyeglasses."),
        ("Is the woman smiling?", "No, she is not smiling."),
        ("Would you say there is a smile on her face?", "No, she is not smiling."),
        ("Does he have a beard?", "No, she has no beard."),
        ("Is he clean-shaven?", "Yes, she is clean-shaven."),
        ("Is this a man?", "No, it is a woman."),
        ("Is it a woman?", "Yes, it is a woman."),
        ("Does she look happy?", "Yes, she looks happy."),  # the likeliest emotion, though below a half
        ("Is she angry?", "No, she does not look angry."),
        ("Is she talking?", CANNOT_TELL),  # nobody taught it
        ("Does she have a pointy nose?", CANNOT_TELL),
        ("Is she smiling and wearing glasses?", "No, she is not smiling and she is wearing eyeglasses."),
        ("Why is she smiling?", CANNOT_TELL),
        ("Is she charming?", CANNOT_TELL),
        ("Which of them is taller?", CANNOT_TELL),
    ],
)
def test_an_answer_is_what_the_score_says(question, start):
    assert start_of_answer(question, SCORES, SCORES) == start


@pytest.mark.parametrize(
    "question",
    [
        "Describe her smile.",
        "Does her expression change?",
        "smile",
        "",
    ],
)
def test_what_is_no_question_about_one_attribute_is_left_to_the_language_model(question):
    assert start_of_answer(question, SCORES, SCORES) is None


@pytest.mark.parametrize(("forms", "understood"), [(taught, 0.99), (held_out, 0.95)])
def test_everyday_questions_are_understood_and_never_the_wrong_way_round(forms, understood):
    random, right, asked = Random(0), 0, 0
    for key in YES_NO:
        name = OPPOSITES.get(key, key)
        for label in (True, False):
            for person in (MAN, WOMAN, UNKNOWN):
                who = subject(UNKNOWN if name == "male" else person, random)
                question = yes_no_question(key, who, random, forms)
                scores = dict.fromkeys(("neutral", "contempt", name), 0.1)
                scores[name if label else "neutral" if name != "neutral" else "contempt"] = 0.9
                if not label and name not in ("neutral", "contempt"):
                    scores[name] = 0.1
                start = start_of_answer(question, scores, scores)
                asked += 1
                if start is not None:
                    assert start.startswith("Yes") is truth_of(key, {name: label}), question
                    assert start.endswith("."), question
                    right += 1
    assert right / asked > understood


def test_nothing_that_cannot_be_told_is_answered_from_scores():
    for form in (*UNANSWERABLE, *IDENTITY):
        start = start_of_answer(subject(UNKNOWN, Random(0)).fill(form), SCORES, SCORES)
        assert start in (None, CANNOT_TELL, CANNOT_IDENTIFY), form


def test_what_is_asked_may_be_denied():
    assert asked_attribute("Is she not smiling?") == ("smile", False)


def test_the_sex_that_is_asked_for_is_told_by_its_score_alone():
    unsure = {"male": 0.6}
    assert start_of_answer("Is this a man?", unsure, {"male": 0.4}) == "Yes, it is a man."
    assert start_of_answer("Glasses?", unsure | {"eyeglasses": 0.9}, {"male": 0.4, "eyeglasses": 0.9}) == (
        "Yes, they are wearing eyeglasses."
    )
