from random import Random

import pytest

from favchat.data.annotate import formal_templates
from favchat.data.annotate.everyday_writer import subject, yes_no_question
from favchat.data.annotate.grammar import MAN, UNKNOWN, WOMAN
from favchat.labels.attributes import ACTION, APPEARANCE, EMOTION, EXTRA
from favchat.labels.everyday_templates import CANNOT_IDENTIFY, CANNOT_TELL, IDENTITY, OPEN, held_out, taught
from favchat.labels.everyday_yes_no import YES_NO
from favchat.model.answers_by_score import start_of_answer
from favchat.model.closed_questions import asked_attribute
from favchat.model.open_answers import topic_of
from favchat.model.refusals import asks_nothing_taught, refusal

TAUGHT = ["male", "smile", "happy", "sadness", "close_eyes", "brown_hair", "nod"]


@pytest.mark.parametrize("form", IDENTITY)
def test_who_somebody_is_is_never_answered(form):
    for person in (MAN, WOMAN, UNKNOWN):
        question = subject(person, Random(0)).fill(form)
        assert start_of_answer(question, {"male": 0.9}, {"male": 0.9}) == CANNOT_IDENTIFY, question


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("who is he", CANNOT_IDENTIFY),
        ("What's this woman's name?", CANNOT_IDENTIFY),
        ("Do you recognise the man in the video?", CANNOT_IDENTIFY),
        ("How much does she weigh?", CANNOT_TELL),
        ("Where was this filmed?", CANNOT_TELL),
        ("What is the man saying?", CANNOT_TELL),
        ("Name the colour of her hair.", None),
        ("Who do you see?", None),
        ("Is she smiling?", None),
        ("What is he doing?", None),
        ("Is she single?", CANNOT_TELL),
        ("Does she show a single emotion throughout the video?", None),
        ("At what time does his expression become sad?", None),
        ("What is her nose like?", CANNOT_TELL),
        ("What colour are his eyes?", CANNOT_TELL),
        ("Is he holding something?", CANNOT_TELL),
        ("Are her eyes closed?", None),
        ("Can she speak French?", CANNOT_TELL),
        ("Is she holding her head still?", None),
    ],
)
def test_what_is_refused(question, answer):
    assert (refusal(question) or (CANNOT_TELL if asks_nothing_taught(question, TAUGHT) else None)) == answer


def test_a_part_of_the_face_that_was_taught_is_told():
    assert not asks_nothing_taught("What is her nose like?", ["big_nose"])
    assert asks_nothing_taught("Describe his eyebrows.", ["big_nose"])


def test_nothing_that_a_face_shows_is_refused():
    random = Random(0)
    for topic, forms in OPEN.items():
        for form in forms:
            question = subject(random.choice((MAN, WOMAN, UNKNOWN)), random).fill(form)
            assert topic_of(question) or asked_attribute(question) or refusal(question) is None, (topic, question)
    for key in YES_NO:
        for forms in (taught, held_out):
            who = subject(UNKNOWN if key in ("male", "female") else WOMAN, random)
            question = yes_no_question(key, who, random, forms)
            assert asked_attribute(question) or refusal(question) is None, question


def test_what_annotations_ask_of_taught_attributes_is_not_refused():
    taught = [one.name for one in (*APPEARANCE, *ACTION, *EMOTION, *EXTRA)]
    scores = dict.fromkeys(taught, 0.1) | {"male": 0.9, "happy": 0.9}
    asked = [form.format(the="the man") for some in formal_templates.OPEN_OF_FAMILY.values() for form in some]
    for topic, plural in formal_templates.TOPICS.values():
        words = {"topic": f"the man's {topic}", "does": "do" if plural else "does", "is_": "are" if plural else "is"}
        asked += [form.format(**words) for form in formal_templates.OPEN]
    for one in (*APPEARANCE, *ACTION, *EMOTION):
        claim = f"the man {MAN.predicate(one)}"
        asked += [form.format(claim=claim) for form in formal_templates.CLAIMS]
    for forms in (
        formal_templates.CHANGES,
        formal_templates.STAYS,
        formal_templates.COURSE,
        formal_templates.DESCRIPTION,
    ):
        asked += [form.format(the="the man") for form in forms]
    refused = [one for one in asked if start_of_answer(one, scores, scores) in (CANNOT_TELL, CANNOT_IDENTIFY)]
    assert len(asked) > 1000 and refused == []
