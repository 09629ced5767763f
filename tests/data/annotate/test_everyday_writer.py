from collections import Counter
from random import Random

import pytest

from favchat.data.annotate.everyday_answers import known_labels, person_of
from favchat.data.annotate.everyday_writer import (
    EverydayWriter,
    subject,
    truth_of,
    yes_no_answer,
    yes_no_question,
)
from favchat.data.annotate.grammar import MAN, UNKNOWN, WOMAN
from favchat.data.annotate.known_labels import known_labels_of
from favchat.data.annotate.label_check import check, truths
from favchat.data.corpus.clip import Clip
from favchat.labels import everyday_templates as words
from favchat.labels.attributes import attribute
from favchat.labels.everyday_yes_no import HAS_FRAMES, IS_FRAMES, OPPOSITES, YES_NO
from tests.data.annotate.conftest import make_clip


def test_every_kind_of_question_names_an_attribute_and_some_words_are_kept_from_training():
    for key, wording in YES_NO.items():
        attribute(OPPOSITES.get(key, key))
        assert wording.is_ or wording.has or wording.sees or wording.own
    for forms in (*words.OPEN.values(), words.IDENTITY, words.UNANSWERABLE, IS_FRAMES, HAS_FRAMES):
        assert set(words.taught(forms)).isdisjoint(words.held_out(forms))
        assert len(words.held_out(forms)) == len(forms) // 3
        assert len(set(forms)) == len(forms)


@pytest.mark.parametrize("forms", [words.taught, words.held_out])
@pytest.mark.parametrize("person", [MAN, WOMAN, UNKNOWN])
def test_questions_are_whole_sentences_that_agree_with_their_subject(forms, person):
    random = Random(0)
    for key in YES_NO:
        for _ in range(20):
            question = yes_no_question(key, subject(person, random), random, forms)
            assert "{" not in question
            assert question[0].isupper() and question[-1] in ".?"
            assert "  " not in question
            for wrong in ("Is they", "Does they", "Are she", "they is ", "they has "):
                assert wrong not in question


def test_an_unseen_question_is_none_that_training_can_ask():
    taught = {
        yes_no_question("smile", subject(UNKNOWN, Random(seed)), Random(seed), words.taught) for seed in range(600)
    }
    unseen = {
        yes_no_question("smile", subject(UNKNOWN, Random(seed)), Random(seed), words.held_out) for seed in range(600)
    }
    assert taught.isdisjoint(unseen)


@pytest.mark.parametrize(
    ("key", "label", "answer"),
    [
        ("eyeglasses", 1, "Yes, she is wearing eyeglasses."),
        ("eyeglasses", 0, "No, she is not wearing eyeglasses."),
        ("beard", 1, "No, she has no beard."),  # no_beard = 1
        ("beard", 0, "Yes, she has a beard."),
        ("shaven", 1, "Yes, she is clean-shaven."),
        ("shaven", 0, "No, she has a beard."),
        ("mouth_closed", 1, "No, she has her mouth open."),
        ("mouth_closed", 0, "Yes, she has her mouth closed."),
        ("look_here", 1, "No, she is looking away from the camera."),
        ("sharp", 0, "Yes, it is not blurry."),
        ("colour", 1, "No, it is black and white."),
        ("male", 0, "No, it is a woman."),
        ("female", 0, "Yes, it is a woman."),
    ],
)
def test_answers_to_opposites_say_what_holds(key, label, answer):
    name = OPPOSITES.get(key, key)
    known = known_labels(make_clip(**{"male": 0, name: label}))
    truth = truth_of(key, known)
    assert truth is answer.startswith("Yes")
    assert yes_no_answer(key, bool(truth), person_of(known)) == answer


def corpus() -> list[Clip]:
    return [
        make_clip(
            f"c{number}",
            male=number % 2,
            eyeglasses=int(number % 10 == 0),
            smile=number % 3 % 2,
            nod=int(number % 4 == 0),
            shake_head=0,
            head_wagging=0,
            emotion=("neutral", "happy", "sadness")[number % 3],
        )
        for number in range(300)
    ]


def test_yes_and_no_are_as_frequent_for_rare_attributes_as_for_common_ones():
    writer, clips = EverydayWriter(questions_per_attribute=120), corpus()
    rates = writer.rates(clips)
    rows = [row for one in clips for row in writer.rows(one, rates)]
    counts = Counter((row.attributes[0], row.truth) for row in rows if row.answer_type == "yes_no")
    for name in ("eyeglasses", "smile", "nod"):
        assert counts[name, True] == pytest.approx(counts[name, False], rel=0.25)
        assert counts[name, True] > 80
    assert not counts["shake_head", True] and not counts["shake_head", False]  # always no teaches nothing


def test_rows_contradict_no_label_and_are_the_same_every_time():
    writer, clips = EverydayWriter(), corpus()
    rates = writer.rates(clips)
    for one in clips[:40]:
        known = truths(known_labels_of(one))
        rows = writer.rows(one, rates)
        assert rows == writer.rows(one, rates)
        for row in rows:
            if row.family != "unknown":
                assert not check(row.question, row.answer, row.answer_type, known, ()).contradicted, row
    answers = Counter(row.answer for one in clips for row in writer.rows(one, rates))
    assert answers[words.CANNOT_TELL] > 200
    assert answers[words.CANNOT_IDENTIFY] > 30
    assert answers[words.NO_FACE] > 20


def test_clips_that_are_not_trained_on_are_asked_in_other_words_too():
    writer = EverydayWriter()
    rates = writer.rates(corpus())
    asked = {
        row.question
        for number in range(150)
        for row in writer.rows(make_clip(f"v{number}", split="val", male=0, young=1, smile=1), rates)
        if row.task == "summary"
    }
    assert any(question in words.held_out(words.OPEN["description"]) for question in asked)


def test_of_a_clip_without_labels_nothing_is_written():
    assert EverydayWriter().rows(make_clip(), {}) == []
