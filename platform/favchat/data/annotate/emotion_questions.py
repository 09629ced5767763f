"""Questions about the emotion of a clip and how it changes, with their answers."""

from __future__ import annotations

from functools import partial
from random import Random

from favchat.data.annotate import question_templates
from favchat.data.annotate.attribute_questions import Question, Unit, asked_person, shuffled, yes_no
from favchat.data.annotate.grammar import joined, over_time, seconds, sentence
from favchat.data.annotate.known_labels import KnownLabels, other_emotions
from favchat.data.annotate.rows import CHANGE
from favchat.labels.attributes import Attribute, attribute
from favchat.labels.confusable import CONFUSABLE


def emotion_units(facts: KnownLabels, random: Random) -> list[Unit]:
    """The emotion of a clip: open first, then a pair of yes and no, then a choice. None where it is not one emotion."""
    emotion = facts.emotion
    if emotion is None:
        return []
    beside = CONFUSABLE.get(emotion.name, ())
    others = shuffled(other_emotions(emotion.name), random)
    others.sort(key=lambda other: other.name not in beside)
    near = [other for other in others if other.name in beside]
    wrong = random.choice(near) if near and random.random() < 0.7 else random.choice(others)
    yes = partial(yes_no, facts, random, emotion, True)
    no = partial(_other_emotion, facts, random, wrong, emotion, wrong.name in beside)
    # Half of the choices offer all emotions, as whoever measures or uses the model asks; few options are easier.
    offered = len(others) if random.random() < 0.5 else random.randint(1, 3)
    return [
        (partial(_expression, facts, random, emotion),),
        (yes, no) if random.random() < 0.5 else (no, yes),
        (partial(_choice, facts, random, emotion, others[:offered]),),
    ]


def change_units(facts: KnownLabels, random: Random) -> list[Unit]:
    """Whether, when and how the emotion changes; of a clip with one emotion only that it does not change.

    Where it changes, its course comes first.
    """
    segments = facts.segments
    if not segments:
        if facts.emotion is None:
            return []
        return [(partial(_constant, facts, random, facts.emotion, random.random() < 0.5),)]
    emotions = [attribute(segment.emotion) for segment in segments]
    units: list[Unit] = [(partial(_course, facts, random),), (partial(_changes, facts, random),)]
    once = [index for index, emotion in enumerate(emotions) if emotions.count(emotion) == 1]
    if len(once) > 1:
        first, second = (emotions[index] for index in sorted(random.sample(once, 2)))
        pair = (
            partial(_before, facts, random, first, second, True),
            partial(_before, facts, random, first, second, False),
        )
        units += [pair if random.random() < 0.5 else pair[::-1], (partial(_first_of, facts, random, first, second),)]
    units += [(partial(_end, facts, random, emotions[0], False),), (partial(_end, facts, random, emotions[-1], True),)]
    if len(segments) - 1 in once:
        units.append((partial(_when, facts, random, emotions[-1], segments[-1].start),))
    return [units[0], *shuffled(units[1:], random)]


def _expression(facts: KnownLabels, random: Random, emotion: Attribute) -> Question:
    person = facts.person
    question = random.choice(question_templates.EXPRESSION).format(the=asked_person(person, random).the)
    answer = random.choice(question_templates.EXPRESSION_ANSWERS).format(
        They=sentence(person.pronoun, ""),
        The=f"The {person.noun}",
        Their=sentence(person.their, ""),
        look=person.agree("looks"),
        seem=person.agree("seems"),
        looks=emotion.phrase,
    )
    return Question(question, answer, "open", "emotion", (emotion,))


def _other_emotion(facts: KnownLabels, random: Random, wrong: Attribute, shown: Attribute, hard: bool) -> Question:
    asked = yes_no(facts, random, wrong, False)
    looks = facts.person.say(f"looks {shown.phrase}")
    answer = f"No, {looks}." if random.random() < 0.6 else f"No, {looks} and not {wrong.phrase}."
    return asked._replace(answer=answer, attributes=(wrong, shown), hard_negative=hard)


def _choice(facts: KnownLabels, random: Random, emotion: Attribute, wrong: list[Attribute]) -> Question:
    options = [option.phrase for option in shuffled([emotion, *wrong], random)]
    question = random.choice(question_templates.CHOICES["looks"]).format(
        the=asked_person(facts.person, random).the, options=joined(options, "or")
    )
    answer = facts.person.say(f"looks {emotion.phrase}") if random.random() < 0.6 else emotion.phrase
    hard = any(other.name in CONFUSABLE.get(emotion.name, ()) for other in wrong)
    return Question(question, sentence(answer), "choice", "emotion", (emotion,), "one", None, hard)


def _constant(facts: KnownLabels, random: Random, emotion: Attribute, stays: bool) -> Question:
    wording = question_templates.STAYS if stays else question_templates.CHANGES
    question = random.choice(wording).format(the=asked_person(facts.person, random).the)
    answer = f"{'Yes' if stays else 'No'}, {facts.person.say(f'looks {emotion.phrase}')} throughout."
    return Question(question, answer, "temporal", CHANGE, (emotion,), "time", stays)


def _course_words(facts: KnownLabels) -> str:
    phrases = [attribute(segment.emotion).phrase for segment in facts.segments]
    return facts.person.say(f"looks {over_time(facts.segments, phrases)}")


def _course(facts: KnownLabels, random: Random) -> Question:
    question = random.choice(question_templates.COURSE).format(the=asked_person(facts.person, random).the)
    return Question(question, sentence(_course_words(facts)), "temporal", CHANGE, tuple(facts.emotions), "time")


def _changes(facts: KnownLabels, random: Random) -> Question:
    changes = random.random() < 0.5
    ends_alike = facts.segments[0].emotion == facts.segments[-1].emotion
    wordings: tuple[str, ...] = question_templates.CHANGES if changes else question_templates.STAYS
    if ends_alike:  # the end does look like the beginning, though there was something else between
        wordings = tuple(words for words in wordings if words not in question_templates.COMPARES_ENDS)
    question = random.choice(wordings).format(the=asked_person(facts.person, random).the)
    answer = f"{'Yes' if changes else 'No'}, {_course_words(facts)}."
    return Question(question, answer, "temporal", CHANGE, tuple(facts.emotions), "time", changes)


def _before(facts: KnownLabels, random: Random, first: Attribute, second: Attribute, truth: bool) -> Question:
    """Whether one emotion comes before another; the no is the same two in the wrong order."""
    asked = (first, second) if truth else (second, first)
    question = random.choice(question_templates.BEFORE).format(
        the=asked_person(facts.person, random).the, first=asked[0].phrase, second=asked[1].phrase
    )
    order = facts.person.say(f"looks {first.phrase} first and {second.phrase} later")
    answer = f"{'Yes' if truth else 'No'}, {order}."
    return Question(question, answer, "temporal", CHANGE, (first, second), "time", truth, not truth)


def _first_of(facts: KnownLabels, random: Random, first: Attribute, second: Attribute) -> Question:
    options = joined([a.phrase for a in shuffled([first, second], random)], "or")
    question = random.choice(question_templates.WHICH_FIRST).format(
        the=asked_person(facts.person, random).the, options=options
    )
    answer = sentence(facts.person.say(f"looks {first.phrase} before looking {second.phrase}"))
    return Question(question, answer, "temporal", CHANGE, (first, second), "time")


def _end(facts: KnownLabels, random: Random, emotion: Attribute, last: bool) -> Question:
    wording = question_templates.ENDING if last else question_templates.BEGINNING
    question = random.choice(wording).format(the=asked_person(facts.person, random).the)
    answer = f"{facts.person.say(f'looks {emotion.phrase}')} {'at the end' if last else 'at first'}"
    return Question(question, sentence(answer), "temporal", CHANGE, (emotion,), "time")


def _when(facts: KnownLabels, random: Random, emotion: Attribute, start: float) -> Question:
    question = random.choice(question_templates.WHEN).format(
        the=asked_person(facts.person, random).the, looks=emotion.phrase
    )
    answer = f"{facts.person.say(f'looks {emotion.phrase}')} from {seconds(start)} on"
    return Question(question, sentence(answer), "temporal", CHANGE, (emotion,), "time")
