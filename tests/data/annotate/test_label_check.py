"""What free texts state and deny, and whether that agrees with the labels. The texts are such as models write."""

import pytest

from favchat.data.annotate.known_labels import known_labels_of
from favchat.data.annotate.label_check import ORDER, check, truths
from favchat.labels.attribute_parser import parse_statements
from favchat.labels.attributes import ACTION, APPEARANCE, EMOTION, attribute
from tests.data.annotate.conftest import make_clip


def said(text: str) -> dict[str, bool]:
    return {statement.name: statement.holds for statement in parse_statements(text)}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A young woman with long, wavy brown hair smiles at the camera.",
         {"male": False, "young": True, "long_hair": True, "wavy_hair": True, "brown_hair": True, "smile": True}),
        ("His hair is short and black, and he isn't wearing glasses.",
         {"male": True, "long_hair": False, "black_hair": True, "eyeglasses": False}),
        ("The man is not smiling or laughing, but he is talking.",
         {"male": True, "smile": False, "laugh": False, "talk": True}),
        ("She has no beard, mustache or goatee.",
         {"male": False, "no_beard": False, "mustache": False, "goatee": False}),
        ("He has no beard and a big nose.", {"male": True, "no_beard": False, "big_nose": True}),
        ("A clean-shaven guy without a hat, wearing a necktie.",
         {"male": True, "no_beard": False, "mustache": False, "goatee": False, "wearing_hat": False,
          "wearing_necktie": True}),
        ("They nod twice and never shake their head.", {"nod": True, "shake_head": False}),
        ("She doesn't look sad; rather, she seems cheerful.", {"male": False, "sadness": False, "happy": True}),
        ("Neither eyeglasses nor sunglasses can be seen.", {"eyeglasses": False, "sunglasses": False}),
        ("A smile is not visible.", {"smile": False}),
        ("Not only is he smiling, he is also nodding.", {"male": True, "smile": True, "nod": True}),
        ("The person, an elderly lady, is speaking with closed eyes.",
         {"young": False, "male": False, "talk": True, "close_eyes": True}),
        ("The picture is out of focus.", {"blurry": True}),
        ("Her eyebrows are bushy and her lips are full.", {"male": False, "bushy_eyebrows": True, "big_lips": True}),
        ("The blond-haired boy has bags under his eyes and five o'clock shadow.",
         {"male": True, "blonde_hair": True, "bags_under_eyes": True, "5_o_clock_shadow": True}),
        ("Nothing of this is known: a quiet scene in a room.", {}),
        ("She is unhappy.", {"male": False, "sadness": True}),
        ("The brown hat suits the black jacket.", {"wearing_hat": True}),
        ("He pulls a funny face while looking around.", {"male": True, "make_a_face": True, "look_around": True}),
        ("The person isn’t crying.", {"cry": False}),
        ("She is not a man.", {"male": False}),
    ],
)  # fmt: skip
def test_what_a_text_states(text: str, expected: dict[str, bool]) -> None:
    assert said(text) == expected


def test_the_vocabulary_holds_every_attribute() -> None:
    for known in (*APPEARANCE, *ACTION, *EMOTION):
        subject = "the video" if known.subject == "video" else "the person"
        text = f"{subject} {known.verb} {known.phrase.format(their='their')}."
        assert said(text) == {known.name: True}, text
        denied = {"is": "is not", "has": "does not have", "looks": "does not look"}[known.verb]
        text = f"{subject} {denied} {known.phrase.format(their='their')}."
        assert said(text) == {known.name: False}, text
        assert attribute(known.name) is known


CLIP = make_clip(emotion="happy", male=0, smile=1, nod=0, laugh=0, brown_hair=1, black_hair=0, eyeglasses=0, no_beard=1)
KNOWN = truths(known_labels_of(CLIP))


def contradicted(question: str, answer: str, kind: str = "open", order: tuple[str, ...] = ()) -> tuple[str, ...]:
    return check(question, answer, kind, KNOWN, order).contradicted


@pytest.mark.parametrize(
    ("question", "answer", "kind", "wrong"),
    [
        ("Describe her.", "She is smiling with a full beard.", "open", ("no_beard",)),
        ("Describe her.", "She wears no glasses and is not nodding.", "open", ()),
        ("Describe her.", "She is nodding and wears glasses.", "open", ("eyeglasses", "nod")),
        ("Describe her.", "She looks sad.", "open", ("sadness",)),
        ("Describe her.", "She is not happy.", "open", ("happy",)),
        ("Describe him.", "A smile.", "open", ("male",)),
        ("What is the man doing?", "Smiling.", "open", ("male",)),
        ("What colour is the hair: black or brown?", "Black hair.", "choice", ("black_hair",)),
        ("Is she smiling?", "No.", "yes_no", ("smile",)),
        ("Is she smiling?", "Yes, clearly.", "yes_no", ()),
        ("Is she nodding?", "Yes, she is.", "yes_no", ("nod",)),
        ("Is she nodding?", "No, she keeps still.", "yes_no", ()),
        ("Is this a man?", "Yes.", "yes_no", ("male",)),
        ("Is this a man?", "No, a woman.", "yes_no", ()),
        ("Is she smiling and nodding?", "No.", "yes_no", ()),
        ("Is she smiling and nodding?", "Yes.", "yes_no", ("nod",)),
        ("Does she smile and look happy?", "No.", "yes_no", ("happy", "smile")),
        ("Is it right that she is not nodding?", "Yes.", "yes_no", ()),
        ("Is it right that she is not nodding?", "No.", "yes_no", ("nod",)),
        ("Does she sing?", "Yes, she is singing and wears a hat.", "yes_no", ()),
    ],
)
def test_what_contradicts_the_labels(question: str, answer: str, kind: str, wrong: tuple[str, ...]) -> None:
    assert contradicted(question, answer, kind) == wrong


def test_unknown_is_neutral() -> None:
    found = check("Describe her.", "She is singing, smiling and has an oval face.", "open", KNOWN, ())
    assert found == (("smile",), (), ("oval_face", "sing"))
    assert found.stated == ("smile", "oval_face", "sing")
    unlabelled = check("Describe her.", "She is singing.", "open", {}, ())
    assert unlabelled == ((), (), ("male", "sing"))


@pytest.mark.parametrize(
    ("answer", "wrong"),
    [
        ("Neutral at first, then happy.", False),
        ("Happy at first, then neutral.", True),
        ("First neutral, then happy, and finally neutral.", True),
        ("Happy after being neutral.", False),
        ("Neutral, later happy and finally afraid.", False),
    ],
)
def test_the_order_of_emotions(answer: str, wrong: bool) -> None:
    segments = [("neutral", 0.0, 1.0), ("happy", 1.0, 2.0), ("fear", 2.0, 3.0)]
    facts = known_labels_of(make_clip(segments=segments))
    order = tuple(segment.emotion for segment in facts.segments)
    found = check("How does the expression change?", answer, "temporal", truths(facts), order)
    assert found.contradicted == ((ORDER,) if wrong else ())
