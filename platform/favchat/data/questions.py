"""Questions about a clip and their answers, from its known attributes, by templates.

Each function writes one kind of question. They give every question that the labels allow; the writer picks among them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Literal

from favchat.attributes import FAMILIES, Attribute, attribute
from favchat.data.captions import hair_phrase
from favchat.data.facts import Facts, other_emotions
from favchat.data.wording import UNKNOWN, VIDEO, Person, infinitive, joined, over_time, seconds, sentence

AnswerType = Literal["yes_no", "choice", "open", "temporal"]
Level = Literal["one", "several", "time", "description"]

SEVERAL = "several"
"""The family of a row that rests on attributes of more than one family."""

_HAIR_COLOURS = ("black_hair", "blonde_hair", "gray_hair", "brown_hair")
_WHERE = ("", "", " in this video", " in the clip")
_PICTURE = ("the video", "the picture", "this clip", "the image")
_EXPRESSION_QUESTIONS = (
    "What is {the}'s expression?",
    "How does {the} look?",
    "What emotion does {the} show?",
    "Which emotion can you see on {the}'s face?",
    "What does {the}'s face express?",
    "How does {the} seem to feel?",
)
_EXPRESSION_ANSWERS = ("{They} {look} {adjective}.", "{The} looks {adjective}.", "{Their} expression is {adjective}.")
_OPEN_QUESTIONS = {
    "hair": ("What does {the}'s hair look like?", "Describe {the}'s hair.", "How would you describe {the}'s hair?"),
    "accessories": ("What is {the} wearing?", "Which accessories can you see on {the}?", "What does {the} wear?"),
    "action": ("What is {the} doing?", "Which actions can you see?", "What happens in this video?"),
    "facial hair": (
        "Describe {the}'s facial hair.",
        "What facial hair does {the} have?",
        "What is {the}'s facial hair like?",
    ),
    "brows": ("Describe {the}'s eyebrows.", "What do {the}'s eyebrows look like?", "What are {the}'s eyebrows like?"),
    "eyes": ("Describe {the}'s eyes.", "What do you notice about {the}'s eyes?", "What are {the}'s eyes like?"),
    "nose": ("Describe {the}'s nose.", "What does {the}'s nose look like?", "What is {the}'s nose like?"),
    "face shape": ("Describe the shape of {the}'s face.", "What is {the}'s face like?", "What shape is {the}'s face?"),
    "skin": ("Describe {the}'s skin.", "What do you notice about {the}'s skin?", "How does {the}'s skin look?"),
    "mouth": ("Describe {the}'s mouth.", "What do you notice about {the}'s lips?", "What is {the}'s mouth like?"),
}


@dataclass(frozen=True, slots=True)
class Question:
    """A question, its answer and what it rests on."""

    question: str
    answer: str
    answer_type: AnswerType
    attributes: tuple[Attribute, ...]
    level: Level
    truth: bool | None = None
    """What a yes/no question is answered with."""

    @property
    def family(self) -> str:
        """The family of its attributes, or ``several``."""
        families = {a.family for a in self.attributes}
        return families.pop() if len(families) == 1 else SEVERAL


def emotion_questions(facts: Facts, random: Random) -> Iterator[Question]:
    """The emotion of a clip: open first, then choice, then one yes and one no."""
    emotion = facts.emotion
    if emotion is None:
        return
    subject = _asked(facts.person, random).the
    yield Question(
        random.choice(_EXPRESSION_QUESTIONS).format(the=subject),
        _fill(random.choice(_EXPRESSION_ANSWERS), facts.person, adjective=emotion.phrase),
        "open",
        (emotion,),
        "one",
    )
    others = random.sample(other_emotions(emotion.name), 3)
    options = [a.phrase for a in _shuffled([emotion, *others], random)]
    wording = (
        "How does {the} look: {options}?",
        "Which word fits {the}'s expression best: {options}?",
        "Is {the}'s expression {options}?",
        "Which of these emotions does {the} show: {options}?",
    )
    yield Question(
        random.choice(wording).format(the=subject, options=joined(options, "or")),
        sentence(emotion.phrase) if random.random() < 0.5 else sentence(facts.person.say(f"looks {emotion.phrase}")),
        "choice",
        (emotion,),
        "one",
    )
    yield _yes_no(emotion, True, facts, random)
    yield _yes_no(others[0], False, facts, random, also=emotion)


def temporal_questions(facts: Facts, random: Random) -> Iterator[Question]:
    """Whether, when and how the emotion changes; of a clip with one emotion only that it does not change."""
    segments, person = facts.segments, facts.person
    subject = _asked(person, random).the
    change = (
        f"Does {subject}'s expression change?",
        f"Does {subject}'s expression change during the video?",
        f"Does the emotion on {subject}'s face change over time?",
        f"Is there a change in {subject}'s expression?",
    )
    if not segments:
        if facts.emotion is not None:
            answer = f"No, {person.say(f'looks {facts.emotion.phrase}')} throughout."
            yield Question(random.choice(change), answer, "temporal", (facts.emotion,), "time", truth=False)
        return
    emotions = [attribute(segment.emotion) for segment in segments]
    named = tuple(dict.fromkeys(emotions))
    phrases = [emotion.phrase for emotion in emotions]
    course = over_time(segments, phrases)
    how = (
        f"How does {subject}'s expression change over time?",
        f"Describe how {subject}'s expression changes.",
        f"Which emotions does {subject} show, and in what order?",
        f"How does {subject}'s mood develop during the video?",
    )
    yield Question(random.choice(how), sentence(person.say(f"looks {course}")), "temporal", named, "time")
    yield Question(
        random.choice(change), f"Yes, {person.say(f'looks {course}')}.", "temporal", named, "time", truth=True
    )
    last = len(segments) - 1
    first_wording = (
        f"How does {subject} look at the beginning?",
        f"What is {subject}'s expression at first?",
        f"Which emotion does {subject} show at the start of the video?",
        f"What does {subject}'s face express in the beginning?",
    )
    answer = sentence(person.say(f"looks {phrases[0]}") + " at first")
    yield Question(random.choice(first_wording), answer, "temporal", (emotions[0],), "time")
    last_wording = (
        f"How does {subject} look at the end?",
        f"What is {subject}'s expression at the end of the video?",
        f"Which emotion does {subject} show last?",
        f"What does {subject}'s face express in the end?",
    )
    answer = sentence(person.say(f"looks {phrases[last]}") + " at the end")
    yield Question(random.choice(last_wording), answer, "temporal", (emotions[last],), "time")
    if phrases.count(phrases[last]) == 1:
        when = (
            f"When does {subject} start to look {phrases[last]}?",
            f"From when on does {subject} look {phrases[last]}?",
            f"At what time does {subject}'s expression become {phrases[last]}?",
            f"When does {subject}'s face turn {phrases[last]}?",
        )
        start = seconds(segments[last].start)
        answer = f"{sentence(person.say(f'looks {phrases[last]}'), '')} from {start} on."
        yield Question(random.choice(when), answer, "temporal", (emotions[last],), "time")


def yes_no_questions(facts: Facts, random: Random) -> Iterator[Question]:
    """As many questions answered yes as no, in pairs of one family where there is one; a lone one if that is all."""
    true = _shuffled(facts.true, random)
    false = _shuffled([a for a in facts.false if _worth_denying(a, facts)], random)
    if not true or not false:
        yield from (_yes_no(statement, bool(true), facts, random) for statement in (true + false)[:1])
        return
    for right in true[: len(false)]:
        wrong = min(false, key=lambda a: a.family != right.family)
        false.remove(wrong)
        pair = [_yes_no(right, True, facts, random), _yes_no(wrong, False, facts, random)]
        yield from random.sample(pair, 2)


def open_questions(facts: Facts, random: Random) -> Iterator[Question]:
    """One question a family with a true statement, answered with all of that family that is true; and the sex."""
    person = facts.person
    if person is not UNKNOWN:
        wording = (
            "Is this a man or a woman?",
            "Do you see a man or a woman?",
            "Who is in the video, a man or a woman?",
        )
        answer = f"{random.choice(('It is', 'This is', 'The video shows'))} a {person.noun}."
        yield Question(random.choice(wording), answer, "choice", (attribute("male"),), "one")
    for family in FAMILIES:
        true = facts.of(family)
        if family not in _OPEN_QUESTIONS or not true:
            continue
        question = random.choice(_OPEN_QUESTIONS[family]).format(the=_asked(person, random).the)
        level: Level = "one" if len(true) == 1 else "several"
        yield Question(question, sentence(person.say(_predicates(true, person))), "open", tuple(true), level)


def choice_questions(facts: Facts, random: Random) -> Iterator[Question]:
    """One true statement among false ones: hair colour, actions, and features of any family."""
    person = facts.person
    asked = _asked(person, random)
    subject = asked.the
    colours = [a for a in facts.true if a.name in _HAIR_COLOURS]
    not_colours = [a for a in facts.false if a.name in _HAIR_COLOURS]
    if len(colours) == 1 and not_colours:
        options = [a.phrase.removesuffix(" hair") for a in _shuffled(colours + not_colours, random)]
        wording = (
            f"Is {subject}'s hair {joined(options, 'or')}?",
            f"What colour is {subject}'s hair: {joined(options, 'or')}?",
            f"Which hair colour does {subject} have: {joined(options, 'or')}?",
            f"Which of these is {subject}'s hair colour: {joined(options, 'or')}?",
        )
        answer = f"{person.their} hair is {colours[0].phrase.removesuffix(' hair')}"
        yield Question(random.choice(wording), sentence(answer), "choice", tuple(colours), "one")
    for verb, wording in _CHOICES.items():
        pairs = _shuffled([a for a in facts.true if a.verb == verb and _choosable(a)], random)
        others = [a for a in facts.false if a.verb == verb and _choosable(a) and _worth_denying(a, facts)]
        if pairs and others:
            right = pairs[0]
            wrong = random.sample(others, min(len(others), 3))
            options = [asked.phrase(a) for a in _shuffled([right, *wrong], random)]
            question = random.choice(wording).format(the=subject, options=joined(options, "or"))
            yield Question(
                question, sentence(person.say(person.predicate(right))), "choice", (right, *wrong), "several"
            )


def joint_questions(facts: Facts, random: Random) -> Iterator[Question]:
    """Two statements at once: one question to which both hold, and one to which one does not; both or none."""
    person = facts.person
    true = _shuffled([a for a in facts.true if _joinable(a)], random)
    false = [a for a in facts.false if _joinable(a)]
    asked = _asked(person, random)
    wording = (
        "Is {the} {both}?",
        "Is it true that {the} is {both}?",
        "Is it right that {the} is {both}?",
        "Would you say that {the} is {both}?",
    )
    if len(true) >= 2 and false:
        question = random.choice(wording).format(the=asked.the, both=joined([asked.phrase(a) for a in true[:2]]))
        answer = f"Yes, {person.say(f'is {joined([person.phrase(a) for a in true[:2]])}')}."
        yield Question(question, answer, "yes_no", tuple(true[:2]), "several", truth=True)
        right, wrong = true[0], random.choice(false)
        both = joined([asked.phrase(a) for a in _shuffled([right, wrong], random)])
        question = random.choice(wording).format(the=asked.the, both=both)
        answer = f"No, {person.say(f'is {person.phrase(right)}')} but not {person.phrase(wrong)}."
        yield Question(question, answer, "yes_no", (right, wrong), "several", truth=False)


_CHOICES = {
    "is": (
        "Is {the} {options}?",
        "Which of these is {the}: {options}?",
        "What is true of {the}, {options}?",
        "Which fits {the}: {options}?",
    ),
    "has": (
        "Does {the} have {options}?",
        "Which of these does {the} have: {options}?",
        "What does {the} have: {options}?",
        "Which of these can you see on {the}: {options}?",
    ),
}


def _yes_no(
    statement: Attribute, truth: bool, facts: Facts, random: Random, *, also: Attribute | None = None
) -> Question:
    person = VIDEO if statement.subject == "video" else facts.person
    if statement.subject == "video":
        asked, subject, where = VIDEO, random.choice(_PICTURE), ""
    else:  # the noun of a known sex would give the answer to "male" away
        asked = UNKNOWN if statement.name == "male" else _asked(person, random)
        subject, where = asked.the, random.choice(_WHERE)
    phrase = asked.phrase(statement)
    if statement.verb == "is":
        direct = f"Is {subject} {phrase}"
    else:
        direct = f"Does {subject} {infinitive(statement.verb)} {phrase}"
    claim = f"{subject} {statement.verb} {phrase}"
    claims = (f"Is it true that {claim}?", f"Would you say that {claim}?", f"Is it right that {claim}?")
    plain = random.random() < 0.5
    question = f"{direct}{where}?" if plain else random.choice(claims)
    full = person.say(person.predicate(statement, truth))
    short = {"is": "is", "has": "does", "looks": "does"}[statement.verb]
    if also is not None:
        shown = person.say(f"looks {also.phrase}")
        answers = [f"No, {shown}.", f"No, {full}; {shown}."]
    elif plain:
        answers = (
            [f"Yes, {full}.", f"Yes, {person.say(short)}."]
            if truth
            else [f"No, {full}.", f"No, {person.say(short)} not."]
        )
    else:
        answers = [f"{'Yes' if truth else 'No'}, {full}."]
    rests_on = (statement,) if also is None else (statement, also)
    return Question(question, random.choice(answers), "yes_no", rests_on, "one", truth=truth)


def _predicates(true: list[Attribute], person: Person) -> str:
    """All statements of one family in one predicate: "has long brown hair and bangs and is bald"."""
    names = {a.name for a in true}
    hair = hair_phrase(names)
    has = hair + [person.phrase(a) for a in true if a.verb == "has" and not (hair and a.phrase.endswith(" hair"))]
    worn = [
        person.phrase(a).removeprefix("wearing ") for a in true if a.verb == "is" and a.phrase.startswith("wearing ")
    ]
    done = [person.phrase(a) for a in true if a.verb == "is" and not a.phrase.startswith("wearing ")]
    parts = (
        [f"has {joined(has)}"] * bool(has)
        + [f"is {joined(done)}"] * bool(done)
        + [f"is wearing {joined(worn)}"] * bool(worn)
    )
    return joined([parts[0], *[person.agree(part) for part in parts[1:]]])


def _fill(template: str, person: Person, *, adjective: str) -> str:
    return template.format(
        They=sentence(person.pronoun, ""),
        look=person.agree("looks"),
        The=f"The {person.noun}",
        Their=sentence(person.their, ""),
        adjective=adjective,
    )


def _asked(person: Person, random: Random) -> Person:
    """Whom a question speaks of: "the person", and as often "the woman" where that is known."""
    return random.choice((UNKNOWN, person))


def _worth_denying(statement: Attribute, facts: Facts) -> bool:
    """A woman's beard is not asked about."""
    return not (facts.person.noun == "woman" and statement.family == "facial hair")


def _joinable(statement: Attribute) -> bool:
    """Whether it joins others in a list: "nodding", "wearing a hat", but not "young"."""
    return statement.verb == "is" and statement.phrase.split(" ")[0].endswith("ing")


def _choosable(statement: Attribute) -> bool:
    return _joinable(statement) or (statement.verb == "has" and statement.name not in _HAIR_COLOURS)


def _shuffled(items: list[Attribute], random: Random) -> list[Attribute]:
    return random.sample(items, len(items))
