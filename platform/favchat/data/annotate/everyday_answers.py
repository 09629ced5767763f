"""What known labels allow to say of a person in everyday words: statements, answers to open questions, descriptions."""

from __future__ import annotations

from collections.abc import Sequence

from favchat.data.annotate.grammar import UNKNOWN, WOMAN, Person, article, joined, sentence
from favchat.data.annotate.summaries import predicates
from favchat.data.corpus.clip import Clip
from favchat.labels.attributes import ACTION, APPEARANCE, EMOTION, EXTRA, attribute

Known = dict[str, bool]
"""Attribute -> whether its label is 1; unknown ones are missing."""

HAIR_COLOURS = ("black_hair", "blonde_hair", "gray_hair", "brown_hair")
HAIR = ("long_hair", "straight_hair", "wavy_hair", *HAIR_COLOURS, "bangs", "receding_hairline")
BEARDS = ("full_beard", "goatee", "mustache", "5_o_clock_shadow")
WORN = ("eyeglasses", "sunglasses", "wearing_hat", "wearing_earrings", "wearing_necklace", "wearing_necktie")
HEAD_MOTIONS = ("nod", "shake_head", "head_wagging")
ACTIONS = ("talk", "smile", "laugh", "frown", "close_eyes", *HEAD_MOTIONS)
HIDDEN_HAIR = "I can't tell: a hat covers the hair."


def known_labels(clip: Clip) -> Known:
    """Attribute -> its label, for the clip's known attributes."""
    known: Known = {}
    for attributes, labels in ((APPEARANCE, clip.appearance), (ACTION, clip.action), (EXTRA, clip.extra)):
        known |= {a.name: bool(label) for a, label in zip(attributes, labels, strict=True) if label is not None}
    if clip.emotion is not None:
        known |= {emotion.name: emotion.name == clip.emotion for emotion in EMOTION}
    return known


def person_of(known: Known) -> Person:
    """Noun and pronouns for the clip's person."""
    return Person.of_sex(int(known["male"]) if "male" in known else None)


def statement_of(name: str, holds: bool, person: Person, *, shaven: bool = False) -> str:
    """What is said of a person, without capital and full stop, where an attribute's own statement holds or not.

    Args:
        name: The attribute; the statement of `no_beard` is that there is a beard.
        holds: Whether the statement is true.
        person: Who it is said of; of `male`, whose sex it tells.
        shaven: Whether "clean-shaven" was asked for, which then says it instead of "has no beard".
    """
    if name == "male":
        return f"it is a {person.noun}"
    if name == "no_beard" and shaven and not holds:
        return person.say("is clean-shaven")
    if attribute(name).subject == "video":
        person = Person("video", "it", "its")
    return person.say(person.predicate(attribute(name), holds))


def open_answers(known: Known) -> dict[str, tuple[str, list[str]]]:
    """Topic of ``OPEN`` -> the answer and its attributes, for the topics that the labels can answer."""
    person = person_of(known)
    say, their = person.say, sentence(person.their, "")
    found: dict[str, tuple[str, list[str]]] = {}

    def tell(topic: str, text: str, names: Sequence[str]) -> None:
        found[topic] = (text, list(names))

    def sure(predicate: str) -> str:
        return sentence(say(predicate))

    def known_false(*names: str) -> bool:
        return all(known.get(name) is False for name in names)

    true = [name for name, label in known.items() if label]
    if person is not UNKNOWN:
        tell("sex", f"It is a {person.noun}.", ["male"])
    age = age_words(known)
    if age:
        tell("age", sure(f"looks {age}"), [name for name in ("young", "senior") if name in known])
    colours = [name for name in HAIR_COLOURS if name in true]
    if known.get("bald"):
        tell("hair colour", sure("is bald"), ["bald"])
        tell("hair", sure("is bald"), ["bald"])
    elif colours:
        words = joined([attribute(name).phrase.removesuffix(" hair") for name in colours])
        tell("hair colour", f"{their} hair is {words}.", colours)
    elif known.get("wearing_hat") and not any(name in known for name in HAIR_COLOURS):
        tell("hair colour", HIDDEN_HAIR, ["wearing_hat"])
        tell("hair", HIDDEN_HAIR, ["wearing_hat"])
    hair = [name for name in HAIR if name in true]
    if hair and "hair" not in found:
        tell("hair", sure(joined(predicates([attribute(name) for name in hair], person))), hair)
    beards = beard_words(known)
    if beards:
        names = [name for name in (*BEARDS, "no_beard") if name in known]
        tell("facial hair", sure(beards), names)
    elif known.get("no_beard") and known_false("mustache"):
        text = "has no beard" if person is WOMAN else "is clean-shaven"
        tell("facial hair", sure(text), ["no_beard", "mustache"])
    worn = [name for name in WORN if name in true]
    if worn:
        tell("worn", sure(f"is wearing {joined(worn_words(worn))}"), worn)
    elif known_false("eyeglasses", "wearing_hat", "wearing_earrings"):
        tell("worn", sure("is wearing no glasses, hat or jewellery"), ["eyeglasses", "wearing_hat", "wearing_earrings"])
    if "wearing_hat" in known:
        tell("head", sure("is wearing a hat" if known["wearing_hat"] else "is not wearing a hat"), ["wearing_hat"])
    emotion = next((a for a in EMOTION if known.get(a.name)), None)
    if emotion:
        tell("expression", sure(f"looks {emotion.phrase}"), [emotion.name])
    motions = [name for name in HEAD_MOTIONS if name in true]
    still = known_false(*HEAD_MOTIONS)
    actions = [name for name in ACTIONS if name in true]
    if actions:
        tell("doing", sure(f"is {joined([person.phrase(attribute(name)) for name in actions])}"), actions)
    elif still:
        tell("doing", sure(f"is keeping {person.their} head still"), HEAD_MOTIONS)
    if motions:
        tell("head motion", sure(f"is {joined([person.phrase(attribute(name)) for name in motions])}"), motions)
    elif still:
        tell("head motion", sure(f"is keeping {person.their} head still"), HEAD_MOTIONS)
    if "mouth_open" in known:
        tell("mouth", f"{their} mouth is {'open' if known['mouth_open'] else 'closed'}.", ["mouth_open"])
    if "look_away" in known:
        where = "away from the camera" if known["look_away"] else "at the camera"
        tell("gaze", sure(f"is looking {where}"), ["look_away"])
    makeup = [name for name in ("heavy_makeup", "wearing_lipstick") if name in true]
    if makeup:
        tell("makeup", sure(f"is wearing {joined(worn_words(makeup))}"), makeup)
    elif known_false("heavy_makeup", "wearing_lipstick"):
        tell("makeup", sure("is not wearing heavy makeup or lipstick"), ["heavy_makeup", "wearing_lipstick"])
    if "blurry" in known:
        tell("picture", f"The video is {'blurry' if known['blurry'] else 'sharp'}.", ["blurry"])
    description = describe(known)
    if description:
        found["description"] = description
    return found


def describe(known: Known) -> tuple[str, list[str]] | None:
    """One to three sentences with all attributes that are known to be present, in a natural order."""
    person = person_of(known)
    true = [name for name, label in known.items() if label]
    age = age_words(known)
    hair = [name for name in HAIR if name in true]
    worn = [name for name in (*WORN, "heavy_makeup", "wearing_lipstick") if name in true]
    beard = beard_words(known)
    named = [name for name in ("young", "senior") if age and name in known] + hair + worn
    adjectives = [
        word for word in (age if age in ("young", "middle-aged") else "", "bald" if "bald" in true else "") if word
    ]
    noun = article(" ".join([*adjectives, person.noun]))
    if age == "over sixty":
        noun += " over sixty"
    parts = [] if "bald" in true else predicates([attribute(name) for name in hair], person)
    have = [part.removeprefix("has ") for part in parts]
    if beard:
        have.append(beard.removeprefix("has "))
        named += [name for name in (*BEARDS, "no_beard") if name in known]
    first = noun + (f" with {joined(have)}" if have else "")
    if worn:
        first += f"{',' if have else ''} wearing {joined(worn_words(worn))}"
    actions = [name for name in ACTIONS if name in true]
    emotion = next((a for a in EMOTION if known.get(a.name)), None)
    sentences = [f"The video shows {first}."] if person is not UNKNOWN or have or worn or adjectives else []
    if person is not UNKNOWN:
        named.append("male")
    if "bald" in true:
        named.append("bald")
    said = [f"looks {emotion.phrase}"] if emotion else []
    if actions:
        said.append(f"is {joined([person.phrase(attribute(name)) for name in actions])}")
    if said:
        agreed = [person.agree(one) if sentences else one for one in said]
        start = person.pronoun if sentences else "the person"
        sentences.append(sentence(f"{start} {joined(agreed)}"))
        named += [*actions, *([emotion.name] if emotion else [])]
    for name, text in (("blurry", "The video is blurry."), ("grayscale", "The video is black and white.")):
        if name in true:
            sentences.append(text)
            named.append(name)
    return (" ".join(sentences), named) if sentences and named else None


def age_words(known: Known) -> str:
    """``young``, ``middle-aged``, ``over sixty``, or empty if unknown."""
    if known.get("child"):
        return ""
    if known.get("senior"):
        return "over sixty"
    if known.get("young"):
        return "young"
    return "middle-aged" if known.get("young") is False and known.get("senior") is False else ""


def beard_words(known: Known) -> str:
    """The facial hair as a predicate; empty if there is none or it is unknown."""
    kinds = [name for name in BEARDS if known.get(name)]
    if kinds:
        return f"has {joined([attribute(name).phrase for name in kinds])}"
    return "has a beard" if known.get("no_beard") is False else ""


def worn_words(names: Sequence[str]) -> list[str]:
    """Noun phrases of what the person wears, without the verb."""
    return [attribute(name).phrase.removeprefix("wearing ") for name in names]
