"""Template-based summaries of a clip from its known attributes, and the phrases that they consist of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from random import Random

from favchat.data.annotate.formal_templates import OPENINGS
from favchat.data.annotate.grammar import MAN, UNKNOWN, VIDEO, Person, article, joined, over_time, sentence
from favchat.data.annotate.known_labels import KnownLabels
from favchat.labels.attributes import Attribute, attribute

_HAIR_WORDS = (
    ("long_hair",),
    ("straight_hair", "wavy_hair"),
    ("black_hair", "blonde_hair", "gray_hair", "brown_hair"),
)
_HAIR_NAMES = frozenset(name for names in _HAIR_WORDS for name in names)
_ADJECTIVES = ("young", "bald")
_FEW_FACTS = 2

NounPhrase = tuple[str, list[Attribute]]
"""Words for a person, and the attributes they name."""


def summary(labels: KnownLabels, random: Random, appearance: NounPhrase) -> tuple[str, list[Attribute]] | None:
    """One to four sentences with every true statement, and a few denied false ones if few are true.

    Args:
        labels: Known labels of the clip.
        random: Picks the template.
        appearance: Its `noun_phrase`.

    Returns:
        The text and its attributes; None without known labels.
    """
    person = labels.person
    sentences: list[str] = []
    noun, named = appearance
    expression = _expression(labels)
    doing = labels.of("action")
    if named:
        openings = OPENINGS[:-1] if person is UNKNOWN else OPENINGS
        sentences.append(sentence(random.choice(openings).format(person=noun)))
        subject = person.say
    else:
        subject = _the_person
    actions = joined([person.phrase(a) for a in random.sample(doing, len(doing))])
    if labels.emotion and doing and random.random() < 0.5:
        sentences.append(sentence(f"{subject(f'looks {expression}')} while {actions}"))
    else:
        said = [f"looks {expression}"] * bool(expression) + [f"is {actions}"] * bool(doing)
        if len(said) == 2 and random.random() < 0.5:
            said.reverse()
        for predicate in said:
            sentences.append(sentence(subject(predicate)))
            subject = person.say
    named = named + doing + labels.emotions
    if len(named) < _FEW_FACTS:
        denied = _denied(labels, random)
        if denied:
            sentences.append(sentence(_deny(denied, person, first=not sentences)))
        named += denied
    for truth, statements in ((True, labels.true), (False, labels.false)):
        for about_video in statements:
            if about_video.subject == "video" and (truth or not sentences or random.random() < 0.5):
                sentences.append(sentence(f"the {VIDEO.noun} {VIDEO.predicate(about_video, truth)}"))
                named.append(about_video)
    return (" ".join(sentences), named) if sentences else None


def noun_phrase(labels: KnownLabels) -> NounPhrase:
    """Noun phrase with all known attributes of the appearance: "a young woman with long hair, wearing a hat".

    Returns:
        The phrase, and its attributes; empty for "a person".
    """
    person = labels.person
    features = [a for a in labels.true if a.kind == "appearance" and a.subject == "person" and a.name != "male"]
    adjectives = [a for a in features if a.name in _ADJECTIVES]
    has = [a for a in features if a.verb == "has"]
    worn = [a for a in features if a.verb == "is" and a.name not in _ADJECTIVES]
    absent = [a for a in labels.false if a.negated and person is MAN]
    phrase = article(" ".join([*[a.phrase for a in adjectives], person.noun]))
    if has or absent:
        phrase += f" with {joined([*_merged_hair(has, person), *[a.opposite or '' for a in absent]])}"
    if worn:
        phrase += f"{',' if has or absent else ''} wearing {joined(_worn(worn, person))}"
    sex = [] if person is UNKNOWN else [attribute("male")]
    return phrase, [*sex, *adjectives, *has, *absent, *worn]


def predicates(statements: Sequence[Attribute], person: Person) -> list[str]:
    """Merge statements into as few predicates as possible: "has long brown hair and bangs", "is young and smiling"."""
    has = [a for a in statements if a.verb == "has"]
    worn = [a for a in statements if a.phrase.startswith("wearing ")]
    rest = [a for a in statements if a.verb == "is" and not a.phrase.startswith("wearing ")]
    rest.sort(key=lambda a: a.kind == "action")  # "young and smiling"
    parts = []
    if has:
        parts.append(f"has {joined(_merged_hair(has, person))}")
    if rest:
        parts.append(f"is {joined([person.phrase(a) for a in rest])}")
    if worn:
        parts.append(f"is wearing {joined(_worn(worn, person))}")
    return parts


def _merged_hair(has: Iterable[Attribute], person: Person) -> list[str]:
    """Merge length, texture and colour of the hair into one phrase, "long wavy brown hair", placed first."""
    names = {a.name for a in has if a.name in _HAIR_NAMES}
    others = [person.phrase(a) for a in has if a.name not in _HAIR_NAMES]
    if not names:
        return others
    groups = [[attribute(name).phrase.removesuffix(" hair") for name in some if name in names] for some in _HAIR_WORDS]
    return [f"{' '.join(joined(group) for group in groups if group)} hair", *others]


def _worn(worn: Iterable[Attribute], person: Person) -> list[str]:
    return [person.phrase(a).removeprefix("wearing ") for a in worn]


def _expression(labels: KnownLabels) -> str:
    if labels.segments:
        return over_time(labels.segments, [attribute(s.emotion).phrase for s in labels.segments])
    return labels.emotion.phrase if labels.emotion else ""


def _denied(labels: KnownLabels, random: Random) -> list[Attribute]:
    """At most two false statements to be denied in a sentence."""
    false = [a for a in labels.false if a.subject == "person" and not a.negated and a.name != "male"]
    return random.sample(false, min(len(false), 2))


def _deny(denied: list[Attribute], person: Person, *, first: bool) -> str:
    subject = _the_person if first else person.say
    if all(a.verb == "is" for a in denied):
        return subject(f"is not {joined([person.phrase(a) for a in denied], 'or')}")
    start, *rest = [person.denial(a) for a in denied]
    agreeing = rest if first else [person.agree(predicate) for predicate in rest]
    return joined([subject(start), *agreeing])


def _the_person(predicate: str) -> str:
    return f"the person {predicate}"
