"""Summaries of a clip from its known attributes, by templates."""

from __future__ import annotations

from random import Random

from favchat.attributes import Attribute, attribute
from favchat.data.facts import Facts
from favchat.data.wording import UNKNOWN, VIDEO, Person, article, joined, over_time, sentence

INSTRUCTIONS = (
    "Describe the person in this video.",
    "Summarize what this video shows.",
    "What do you see in this video?",
    "Give a short description of this face video.",
    "Write a caption for this clip.",
    "Tell me about the person in this clip.",
)

_OPENINGS = (
    "The video shows {person}",
    "This clip shows {person}",
    "In this video we see {person}",
    "The clip is of {person}",
    "The person in the video is {person}",
)
_HAIR_WORDS = (
    ("long_hair",),
    ("straight_hair", "wavy_hair"),
    ("black_hair", "blonde_hair", "gray_hair", "brown_hair"),
)
_HAIR_NAMES = frozenset(name for names in _HAIR_WORDS for name in names)
_IN_THE_NOUN = frozenset({"male", "young", "bald"})
_FEW_FACTS = 2


def summary(facts: Facts, random: Random) -> tuple[str, list[Attribute]] | None:
    """One to four sentences that name every true statement, and a few false ones where little is true.

    Returns:
        The text and the attributes it names; None where nothing is known.
    """
    person = facts.person
    sentences: list[str] = []
    named = [a for a in facts.true if a.subject == "person"]
    looks, doing = _looks(facts), facts.of("action")
    random.shuffle(doing)

    noun, used = noun_phrase(facts)
    if used:
        openings = _OPENINGS[:-1] if person is UNKNOWN else _OPENINGS
        sentences.append(sentence(random.choice(openings).format(person=noun)))
        subject = person.say
    else:
        subject = _the_person
    actions = joined([person.phrase(a) for a in doing])
    if facts.emotion and doing and random.random() < 0.5:
        sentences.append(sentence(f"{subject(f'looks {looks}')} while {actions}"))
    else:
        predicates = [f"looks {looks}"] * bool(looks) + [f"is {actions}"] * bool(doing)
        random.shuffle(predicates)
        for predicate in predicates:
            sentences.append(sentence(subject(predicate)))
            subject = person.say
    denied = _denied(facts, random, few=len(named) + bool(looks) < _FEW_FACTS)
    if denied:
        sentences.append(sentence(_deny(denied, person, first=not sentences)))
    for about_video, truth in [(a, True) for a in facts.true] + [(a, False) for a in facts.false]:
        if about_video.subject == "video" and (truth or not sentences or random.random() < 0.5):
            sentences.append(sentence(f"the {VIDEO.noun} {VIDEO.predicate(about_video, truth)}"))
            named.append(about_video)
    named += _absent(facts) + denied + _emotions(facts)
    if facts.person is not UNKNOWN:
        named += [a for a in facts.false if a.name == "male"]
    return (" ".join(sentences), list(dict.fromkeys(named))) if sentences else None


def noun_phrase(facts: Facts) -> tuple[str, bool]:
    """The person with all that is true of their appearance: "a young woman with long hair, wearing a hat".

    Returns:
        The phrase, and whether it says anything beyond "a person".
    """
    person = facts.person
    true = {a.name for a in facts.true}
    adjectives = [word for word in ("young", "bald") if word in true]
    features = [
        a for a in facts.true if a.kind == "appearance" and a.subject == "person" and a.name not in _IN_THE_NOUN
    ]
    has = hair_phrase(true) + [person.phrase(a) for a in features if a.verb == "has" and a.name not in _HAIR_NAMES]
    has += [a.opposite or "" for a in _absent(facts)]
    wears = [person.phrase(a).removeprefix("wearing ") for a in features if a.verb == "is"]
    phrase = article(" ".join([*adjectives, person.noun]))
    if has:
        phrase += f" with {joined(has)}"
    if wears:
        phrase += f"{',' if has else ''} wearing {joined(wears)}"
    return phrase, bool(adjectives or has or wears or person is not UNKNOWN)


def hair_phrase(true: set[str]) -> list[str]:
    """Length, texture and colour in one phrase: ``["long wavy brown hair"]``; empty where none is true."""
    groups = [[attribute(name).phrase.removesuffix(" hair") for name in names if name in true] for names in _HAIR_WORDS]
    words = [joined(group) for group in groups if group]
    return [f"{' '.join(words)} hair"] if words else []


def _absent(facts: Facts) -> list[Attribute]:
    """What a label says to be absent ("no beard"), where that is worth saying."""
    return [a for a in facts.false if a.negated and facts.person.noun == "man"]


def _looks(facts: Facts) -> str:
    if facts.segments:
        return over_time(facts.segments, [attribute(s.emotion).phrase for s in facts.segments])
    return facts.emotion.phrase if facts.emotion else ""


def _emotions(facts: Facts) -> list[Attribute]:
    return [attribute(s.emotion) for s in facts.segments] or ([facts.emotion] if facts.emotion else [])


def _denied(facts: Facts, random: Random, *, few: bool) -> list[Attribute]:
    """At most two false statements worth a sentence, where there is little else to say."""
    false = [a for a in facts.false if a.subject == "person" and not a.negated and a.name != "male"]
    return random.sample(false, min(len(false), 2)) if few else []


def _deny(denied: list[Attribute], person: Person, *, first: bool) -> str:
    subject = _the_person if first else person.say
    if all(a.verb == "is" for a in denied):
        return subject(f"is not {joined([person.phrase(a) for a in denied], 'or')}")
    start, *rest = [person.denial(a) for a in denied]
    return joined([subject(start), *[person.agree(predicate) for predicate in rest]])


def _the_person(predicate: str) -> str:
    return f"the person {predicate}"
