from favchat.data.annotate.everyday_answers import describe, known_labels, open_answers
from favchat.data.annotate.known_labels import known_labels_of
from favchat.data.annotate.label_check import truths
from favchat.labels.attribute_parser import parse_statements
from tests.data.annotate.conftest import make_clip


def test_open_answers_say_only_what_the_labels_say():
    one = make_clip(male=0, young=1, eyeglasses=1, long_hair=1, brown_hair=1, smile=1, wearing_hat=0, emotion="happy")
    answers = {topic: text for topic, (text, _) in open_answers(known_labels(one)).items()}
    assert answers["sex"] == "It is a woman."
    assert answers["age"] == "She looks young."
    assert answers["hair colour"] == "Her hair is brown."
    assert answers["hair"] == "She has long brown hair."
    assert answers["worn"] == "She is wearing eyeglasses."
    assert answers["expression"] == "She looks happy."
    assert answers["description"] == (
        "The video shows a young woman with long brown hair, wearing eyeglasses. She looks happy and is smiling."
    )
    assert "facial hair" not in answers and "gaze" not in answers
    known = truths(known_labels_of(one))
    for text in answers.values():
        assert all(known[s.name] is s.holds for s in parse_statements(text) if s.name in known)


def test_hair_under_a_hat_cannot_be_told():
    hidden, known = (make_clip(male=1, wearing_hat=1, **hair) for hair in ({}, {"gray_hair": 1}))
    assert open_answers(known_labels(hidden))["hair colour"][0].startswith("I can't tell")
    assert open_answers(known_labels(known))["hair colour"][0] == "His hair is gray."


def test_a_description_of_somebody_of_whom_little_is_known():
    assert describe(known_labels(make_clip(nod=1))) == ("The person is nodding.", ["nod"])
    assert describe({}) is None
