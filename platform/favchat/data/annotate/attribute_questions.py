"""Questions about appearance and action with their answers, from the known attributes of a clip.

Each ``*_groups`` function lists the questions that the labels can answer, as functions that write them. A group is one
question, or a pair of one answered yes and one answered no. The writer picks groups and only then has them written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from random import Random
from typing import NamedTuple, TypeVar

from favchat.data.annotate import formal_templates
from favchat.data.annotate.grammar import MAN, UNKNOWN, VIDEO, WOMAN, Person, infinitive, joined, sentence
from favchat.data.annotate.known_labels import KnownLabels
from favchat.data.annotate.rows import AnswerType, Level, family_of
from favchat.data.annotate.summaries import NounPhrase, predicates
from favchat.labels.attributes import ACTION, APPEARANCE, Attribute
from favchat.labels.confusable import CONFUSABLE

_HAIR_COLOURS = frozenset({"black_hair", "blonde_hair", "gray_hair", "brown_hair"})
# Attributes that can share a list of options: "nodding", "a big nose", but not "young".
_CHOOSABLE = {
    "is": frozenset(
        a.name for a in (*APPEARANCE, *ACTION) if a.verb == "is" and a.phrase.split(" ")[0].endswith("ing")
    ),
    "has": frozenset(a.name for a in APPEARANCE if a.verb == "has" and a.name not in _HAIR_COLOURS),
}
_FACIAL_HAIR = frozenset(a.name for a in APPEARANCE if a.family == "facial hair")
_PAIRS_A_FAMILY = 2
_SHORT = {"is": "is", "has": "does", "looks": "does"}


class Question(NamedTuple):
    """A question, its answer and the attributes it is about; see the columns of the annotations."""

    question: str
    answer: str
    answer_type: AnswerType
    family: str
    attributes: tuple[Attribute, ...]
    level: Level = "one"
    truth: bool | None = None
    hard_negative: bool = False


QuestionGroup = tuple[Callable[[], Question], ...]
T = TypeVar("T")


def yes_no_groups(labels: KnownLabels, random: Random) -> tuple[list[QuestionGroup], list[QuestionGroup]]:
    """Pairs of a true and a false statement of one family, and single statements of families without such a pair.

    Where a statement that is easily confused with the true one is known to be false, it is chosen (a hard negative).
    """
    truly, falsely = _by_family(labels.true), _by_family(labels.false)
    pairs: list[QuestionGroup] = []
    singles: list[QuestionGroup] = []
    for family in truly | falsely:
        true, false = truly.get(family, []), falsely.get(family, [])
        if family == "facial hair" and labels.person is WOMAN:
            continue  # trivially absent
        if family == "age and sex" and labels.person is not UNKNOWN:
            pairs.append(_age_and_sex(labels, random, true, false))
        elif true and false:
            for right in random.sample(true, min(len(true), len(false), _PAIRS_A_FAMILY)):
                wrong, hard = _hardest(right, false, random)
                false = [a for a in false if a is not wrong]
                yes = partial(yes_no, labels, random, right, True)
                no = partial(yes_no, labels, random, wrong, False, right if hard else None)
                pairs.append((yes, no) if random.random() < 0.5 else (no, yes))
        elif true or false:
            singles.append((partial(yes_no, labels, random, random.choice(true or false), bool(true)),))
    return pairs, singles


def _age_and_sex(labels: KnownLabels, random: Random, true: list[Attribute], false: list[Attribute]) -> QuestionGroup:
    """A pair about age and sex, or where only the sex is known, about being a man and being a woman."""
    for truth, statements in ((True, true), (False, false)):
        for statement in statements:
            if statement.name != "male":
                return partial(yes_no, labels, random, statement, truth), partial(_sex_claim, labels, random, not truth)
    return partial(_sex_claim, labels, random, True), partial(_sex_claim, labels, random, False)


def open_groups(labels: KnownLabels, random: Random) -> list[QuestionGroup]:
    """One question per family with a true statement, answered with all true statements of that family."""
    return [
        (partial(_open, labels, random, family, true),)
        for family, true in _by_family(labels.true).items()
        if family in formal_templates.TOPICS or family in formal_templates.OPEN_OF_FAMILY
    ]


def choice_groups(labels: KnownLabels, random: Random) -> list[QuestionGroup]:
    """Questions that offer one true statement among false ones: sex, hair colour, actions, features of any family."""
    groups: list[QuestionGroup] = []
    if labels.person is not UNKNOWN:
        groups.append((partial(_sex, labels, random),))
    colours = [a for a in labels.true if a.name in _HAIR_COLOURS]
    if len(colours) == 1:
        others = [a for a in labels.false if a.name in _HAIR_COLOURS]
        if others:
            groups.append((partial(_choice, labels, random, "hair", colours[0], others),))
    for verb in ("is", "has"):
        names = _CHOOSABLE[verb]
        if labels.person is WOMAN:
            names = names - _FACIAL_HAIR  # trivially absent
        true = [a for a in labels.true if a.name in names]
        false = [a for a in labels.false if a.name in names]
        if true and false:
            right = random.choice(true)
            beside = CONFUSABLE.get(right.name, ())
            near = [a for a in false if a.name in beside]
            far = [a for a in false if a.name not in beside]
            wrong = (shuffled(near, random) + random.sample(far, min(len(far), 3)))[: random.randint(1, 3)]
            groups.append((partial(_choice, labels, random, verb, right, wrong),))
    return groups


def joint_groups(labels: KnownLabels, random: Random) -> list[QuestionGroup]:
    """A pair about two statements each: in one question both are true, in the other only the first."""
    true = [a for a in labels.true if a.subject == "person" and a.name != "male"]
    if len(true) < 2:
        return []
    first, second = random.sample(true, 2)
    # From the second one's family, so that yes and no are equally frequent in each family.
    family = second.family
    if family == "facial hair" and labels.person is WOMAN:
        return []
    false = [a for a in labels.false if a.family == family and a.name != "male"]
    if not false:
        return []
    wrong, hard = _hardest(first, false, random)
    yes = partial(_joint, labels, random, first, second, True)
    no = partial(_joint, labels, random, first, wrong, False, hard)
    return [(yes, no) if random.random() < 0.5 else (no, yes)]


def description_groups(labels: KnownLabels, random: Random, appearance: NounPhrase) -> list[QuestionGroup]:
    """One question about the appearance, answered with all that is known, where that is more than the sex."""
    phrase, named = appearance
    return [(partial(_description, labels, random, phrase, named),)] if len(named) > 1 else []


def yes_no(
    labels: KnownLabels, random: Random, statement: Attribute, truth: bool, instead: Attribute | None = None
) -> Question:
    """Write a yes/no question about one statement.

    Args:
        labels: Known labels of the clip.
        random: Picks the template.
        statement: Any but ``male``.
        truth: Whether it is true.
        instead: For a false one the easily confused true one, which the answer may state; marks a hard negative.
    """
    if statement.subject == "video":
        person = asked = VIDEO
        subject = random.choice(formal_templates.PICTURE)
        where = ""
    else:
        person, asked = labels.person, asked_person(labels.person, random)
        subject, where = asked.the, random.choice(formal_templates.WHERE)
    verb, phrase = statement.verb, asked.phrase(statement)
    plain = random.random() < 0.4
    if plain and verb == "is":
        question = f"Is {subject} {phrase}{where}?"
    elif plain:
        question = f"Does {subject} {infinitive(verb)} {phrase}{where}?"
    else:
        question = random.choice(formal_templates.CLAIMS).format(claim=f"{subject} {verb} {phrase}")
    word, predicate = ("Yes", person.predicate(statement)) if truth else ("No", person.denial(statement))
    chance = random.random()
    rests_on: tuple[Attribute, ...] = (statement,)
    if instead is not None and chance < 0.5:
        rests_on = (statement, instead)
        answer = f"{word}, {person.say(predicate)}; {person.say(person.predicate(instead))}."
    elif plain and chance > 0.75:
        answer = f"{word}, {person.say(_SHORT[verb])}{'' if truth else ' not'}."
    elif chance > 0.6 and person is not VIDEO:
        answer = f"{word}, {person.the} {predicate}."
    else:
        answer = f"{word}, {person.say(predicate)}."
    return Question(question, answer, "yes_no", statement.family, rests_on, "one", truth, instead is not None)


def asked_person(person: Person, random: Random) -> Person:
    """How a question refers to the person: "the person", and equally often "the woman" where the sex is known."""
    return person if random.random() < 0.5 else UNKNOWN


def shuffled(items: Iterable[T], random: Random) -> list[T]:
    """The items in random order; twice as fast as `Random.sample` for a few items."""
    return sorted(items, key=lambda _: random.random())


def _sex(labels: KnownLabels, random: Random) -> Question:
    question, attribute = random.choice(formal_templates.SEX), _male(labels)
    noun = labels.person.noun
    answer = random.choice(("It is a {n}.", "This is a {n}.", "The video shows a {n}.", "A {n}.")).format(n=noun)
    return Question(question, answer, "choice", "age and sex", (attribute,))


def _sex_claim(labels: KnownLabels, random: Random, truth: bool) -> Question:
    """Ask whether it is a man, or a woman; the noun in the question must not reveal the answer."""
    person = labels.person
    asked = person if truth else (WOMAN if person is MAN else MAN)
    word = "male" if asked is MAN else "female"
    question = random.choice(formal_templates.SEX_CLAIMS).format(a_noun=f"a {asked.noun}", word=word)
    start = "Yes" if truth else "No"
    answer = f"{start}, it is a {person.noun}." if random.random() < 0.5 else f"{start}, this is a {person.noun}."
    return Question(question, answer, "yes_no", "age and sex", (_male(labels),), "one", truth)


def _male(labels: KnownLabels) -> Attribute:
    return next(a for some in (labels.true, labels.false) for a in some if a.name == "male")


def _open(labels: KnownLabels, random: Random, family: str, true: list[Attribute]) -> Question:
    person, asked = labels.person, asked_person(labels.person, random)
    if family in formal_templates.OPEN_OF_FAMILY:
        question = random.choice(formal_templates.OPEN_OF_FAMILY[family]).format(the=asked.the)
    else:
        part, plural = formal_templates.TOPICS[family]
        is_, does = ("are", "do") if plural else ("is", "does")
        question = random.choice(formal_templates.OPEN).format(topic=f"{asked.the}'s {part}", is_=is_, does=does)
    said = predicates(true, person)
    answer = f"The {person.noun} {joined(said)}." if random.random() < 0.3 else sentence(person.say_all(said))
    return Question(question, answer, "open", family, tuple(true), "one" if len(true) == 1 else "several")


def _choice(labels: KnownLabels, random: Random, kind: str, right: Attribute, wrong: list[Attribute]) -> Question:
    person, asked = labels.person, asked_person(labels.person, random)
    options = [asked.phrase(a) for a in shuffled([right, *wrong], random)]
    if kind == "hair":
        options = [option.removesuffix(" hair") for option in options]
        answer = f"{sentence(person.their, '')} hair is {right.phrase.removesuffix(' hair')}."
    elif random.random() < 0.25:
        answer = sentence(person.phrase(right))
    else:
        answer = sentence(person.say(person.predicate(right)))
    question = random.choice(formal_templates.CHOICES[kind]).format(the=asked.the, options=joined(options, "or"))
    rests_on = (right, *wrong)
    beside = CONFUSABLE.get(right.name, ())
    hard = any(a.name in beside for a in wrong)
    return Question(question, answer, "choice", family_of(rests_on), rests_on, "several", None, hard)


def _joint(
    labels: KnownLabels, random: Random, first: Attribute, second: Attribute, truth: bool, hard: bool = False
) -> Question:
    person, asked = labels.person, asked_person(labels.person, random)
    swap = random.random() < 0.5
    one, other = (second, first) if swap else (first, second)
    claim = joined(predicates([one, other], asked))
    if one.verb == other.verb == "is" and random.random() < 0.4:
        question = f"Is {asked.the} {claim.removeprefix('is ')}?"
    else:
        question = random.choice(formal_templates.CLAIMS).format(claim=f"{asked.the} {claim}")
    if truth:
        answer = f"Yes, {person.say_all(predicates([one, other], person))}."
    elif first.verb == second.verb == "is" and second.opposite is None:
        answer = f"No, {person.say(person.predicate(first))} but not {person.phrase(second)}."
    else:
        answer = f"No, {person.say(person.predicate(first))} but {person.agree(person.denial(second))}."
    both = (first, second)
    return Question(question, answer, "yes_no", family_of(both), both, "several", truth, hard)


def _description(labels: KnownLabels, random: Random, phrase: str, named: list[Attribute]) -> Question:
    question = random.choice(formal_templates.DESCRIPTION).format(the=asked_person(labels.person, random).the)
    answer = random.choice(("It is {}.", "This is {}.", "The video shows {}.", "We see {}.")).format(phrase)
    return Question(question, answer, "open", family_of(named), tuple(named), "description")


def _by_family(statements: list[Attribute]) -> dict[str, list[Attribute]]:
    families: dict[str, list[Attribute]] = {}
    for statement in statements:
        if statement.family in families:
            families[statement.family].append(statement)
        else:
            families[statement.family] = [statement]
    return families


def _hardest(right: Attribute, false: list[Attribute], random: Random) -> tuple[Attribute, bool]:
    """A false statement that is easily confused with the true one, else any; and whether it is such a one."""
    beside = CONFUSABLE.get(right.name, ())
    near = [a for a in false if a.name in beside]
    return (random.choice(near), True) if near else (random.choice(false), False)
