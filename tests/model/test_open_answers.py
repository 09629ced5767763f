from random import Random

import pytest

from favchat.data.annotate import formal_templates
from favchat.data.annotate.everyday_writer import subject
from favchat.data.annotate.grammar import MAN, UNKNOWN, WOMAN
from favchat.labels.attribute_parser import parse_statements
from favchat.labels.attributes import EMOTION, attribute
from favchat.labels.everyday_templates import IDENTITY, OPEN, UNANSWERABLE
from favchat.model.closed_questions import asked_attribute
from favchat.model.open_answers import open_answer, topic_of

NAMES = ["male", "young", "senior", "black_hair", "blonde_hair", "bald", "long_hair", "eyeglasses", "wearing_hat"]
NAMES += ["wearing_earrings", "no_beard", "mustache", "goatee", "full_beard", "smile", "frown", "nod", "shake_head"]
NAMES += ["head_wagging", "mouth_open", "look_away", "heavy_makeup", "wearing_lipstick", "blurry"]
EMOTIONS = [one.name for one in EMOTION]


def test_open_questions_are_understood_in_every_form():
    random, missed, asked = Random(0), [], 0
    for topic, forms in OPEN.items():
        for form in forms:
            for person in (MAN, WOMAN, UNKNOWN):
                question = subject(person, random).fill(form)
                asked += 1
                if asked_attribute(question) is None and topic_of(question) != topic:
                    missed.append((topic, question, topic_of(question)))
    assert len(missed) <= 0.02 * asked, missed


@pytest.mark.parametrize(
    ("question", "topic"),
    [
        ("what's her hair colour?", "hair colour"),
        ("Please describe the woman in this clip.", "description"),
        ("what does he look like?", "description"),
        ("How old is that guy?", "age"),
        ("What is happening", "doing"),
        ("What colour are his eyes?", None),
        ("What is he doing for a living?", None),
        ("Describe her shoes.", None),
        ("Why is she sad?", None),
        ("", None),
    ],
)
def test_words_that_were_never_written_down(question, topic):
    assert topic_of(question) == topic


@pytest.mark.parametrize("form", [*UNANSWERABLE, *IDENTITY])
def test_what_nobody_can_tell_has_no_topic(form):
    for person in (MAN, WOMAN, UNKNOWN):
        assert topic_of(subject(person, Random(1)).fill(form)) is None


def test_choices_and_questions_about_the_course_of_a_clip_are_left_to_the_language_model():
    words = {"the": "the person", "their": "the person's", "looks": "sad", "options": "happy, sad or angry"}
    words |= {"first": "sad", "second": "happy", "when": "At 2 s"}
    names = ("BEGINNING", "ENDING", "COURSE", "CHANGES", "STAYS", "WHEN", "WHICH_FIRST", "COMPARES_ENDS", "BEFORE")
    forms = [form for name in names for form in getattr(formal_templates, name)]
    forms += [form for some in formal_templates.CHOICES.values() for form in some]
    assert len(forms) > 80
    assert {form: topic for form in forms if (topic := topic_of(form.format(**words))) is not None} == {}


def test_an_answer_never_contradicts_the_scores():
    random, said = Random(0), 0
    for _ in range(60):
        scores = {name: random.random() for name in (*NAMES, *EMOTIONS)}
        if max(scores["goatee"], scores["full_beard"]) > 0.5:
            scores["no_beard"] = 0.1  # else the scores contradict each other
        shown = max(EMOTIONS, key=lambda name: scores[name])
        likely = {name: min(1.0, max(0.0, score + random.uniform(-0.4, 0.1))) for name, score in scores.items()}
        for topic, forms in OPEN.items():
            answer = open_answer(subject(UNKNOWN, random).fill(forms[0]), scores, likely)
            for statement in parse_statements(answer or ""):
                name = statement.name
                if name not in scores:
                    continue
                present = name == shown if name in EMOTIONS else scores[name] > 0.5
                said += 1
                assert (statement.holds != attribute(name).negated) is present, (topic, answer, name, scores[name])
    assert said > 500


def test_what_is_rare_is_not_claimed_unasked_where_its_score_lies_just_above_a_half():
    scores = {"male": 0.9, "eyeglasses": 0.9, "wearing_hat": 0.6, "happy": 0.9, "neutral": 0.1}
    likely = scores | {"wearing_hat": 0.1}
    assert open_answer("What is he wearing?", scores, likely) == "He is wearing eyeglasses."
    assert open_answer("Describe him.", scores, likely) == "The video shows a man wearing eyeglasses. He looks happy."


def test_of_a_topic_of_which_nothing_is_likely_nothing_is_said():
    assert open_answer("What colour is her hair?", {"male": 0.1}, {"male": 0.1}) is None
