"""Questions about the emotion of a clip and how it changes, with their answers."""

from __future__ import annotations

from functools import partial
from random import Random

from favchat.data.annotate import formal_templates
from favchat.data.annotate.attribute_questions import Question, QuestionGroup, asked_person, shuffled, yes_no
from favchat.data.annotate.grammar import joined, over_time, seconds, sentence
from favchat.data.annotate.known_labels import KnownLabels, other_emotions
from favchat.data.annotate.rows import CHANGE
from favchat.labels.attributes import Attribute, attribute
from favchat.labels.confusable import CONFUSABLE


def emotion_groups(labels: KnownLabels, random: Random) -> list[QuestionGroup]:
    """Questions on the emotion: open, a pair of yes and no, a choice. Empty unless the clip has exactly one emotion."""
    emotion = labels.emotion
    if emotion is None:
        return []
    beside = CONFUSABLE.get(emotion.name, ())
    others = shuffled(other_emotions(emotion.name), random)
    others.sort(key=lambda other: other.name not in beside)
    near = [other for other in others if other.name in beside]
    wrong = random.choice(near) if near and random.random() < 0.7 else random.choice(others)
    yes = partial(yes_no, labels, random, emotion, True)
    no = partial(_other_emotion, labels, random, wrong, emotion, wrong.name in beside)
    # Half of the choices offer all emotions, as in evaluation and use; fewer options are easier.
    offered = len(others) if random.random() < 0.5 else random.randint(1, 3)
    return [
        (partial(_expression, labels, random, emotion),),
        (yes, no) if random.random() < 0.5 else (no, yes),
        (partial(_choice, labels, random, emotion, others[:offered]),),
    ]


def change_groups(labels: KnownLabels, random: Random) -> list[QuestionGroup]:
    """Questions on whether, when and how the emotion changes; for a clip with one emotion only whether it changes.

    Where it changes, the question about the whole course comes first.
    """
    segments = labels.segments
    if not segments:
        if labels.emotion is None:
            return []
        return [(partial(_constant, labels, random, labels.emotion, random.random() < 0.5),)]
    emotions = [attribute(segment.emotion) for segment in segments]
    groups: list[QuestionGroup] = [(partial(_course, labels, random),), (partial(_changes, labels, random),)]
    once = [index for index, emotion in enumerate(emotions) if emotions.count(emotion) == 1]
    if len(once) > 1:
        first, second = (emotions[index] for index in sorted(random.sample(once, 2)))
        pair = (
            partial(_before, labels, random, first, second, True),
            partial(_before, labels, random, first, second, False),
        )
        groups += [pair if random.random() < 0.5 else pair[::-1], (partial(_first_of, labels, random, first, second),)]
    groups += [
        (partial(_end, labels, random, emotions[0], False),),
        (partial(_end, labels, random, emotions[-1], True),),
    ]
    if len(segments) - 1 in once:
        groups.append((partial(_when, labels, random, emotions[-1], segments[-1].start),))
    return [groups[0], *shuffled(groups[1:], random)]


def _expression(labels: KnownLabels, random: Random, emotion: Attribute) -> Question:
    person = labels.person
    question = random.choice(formal_templates.EXPRESSION).format(the=asked_person(person, random).the)
    answer = random.choice(formal_templates.EXPRESSION_ANSWERS).format(
        They=sentence(person.pronoun, ""),
        The=f"The {person.noun}",
        Their=sentence(person.their, ""),
        look=person.agree("looks"),
        seem=person.agree("seems"),
        looks=emotion.phrase,
    )
    return Question(question, answer, "open", "emotion", (emotion,))


def _other_emotion(labels: KnownLabels, random: Random, wrong: Attribute, shown: Attribute, hard: bool) -> Question:
    asked = yes_no(labels, random, wrong, False)
    looks = labels.person.say(f"looks {shown.phrase}")
    answer = f"No, {looks}." if random.random() < 0.6 else f"No, {looks} and not {wrong.phrase}."
    return asked._replace(answer=answer, attributes=(wrong, shown), hard_negative=hard)


def _choice(labels: KnownLabels, random: Random, emotion: Attribute, wrong: list[Attribute]) -> Question:
    options = [option.phrase for option in shuffled([emotion, *wrong], random)]
    question = random.choice(formal_templates.CHOICES["looks"]).format(
        the=asked_person(labels.person, random).the, options=joined(options, "or")
    )
    answer = labels.person.say(f"looks {emotion.phrase}") if random.random() < 0.6 else emotion.phrase
    hard = any(other.name in CONFUSABLE.get(emotion.name, ()) for other in wrong)
    return Question(question, sentence(answer), "choice", "emotion", (emotion,), "one", None, hard)


def _constant(labels: KnownLabels, random: Random, emotion: Attribute, stays: bool) -> Question:
    wording = formal_templates.STAYS if stays else formal_templates.CHANGES
    question = random.choice(wording).format(the=asked_person(labels.person, random).the)
    answer = f"{'Yes' if stays else 'No'}, {labels.person.say(f'looks {emotion.phrase}')} throughout."
    return Question(question, answer, "temporal", CHANGE, (emotion,), "time", stays)


def _course_words(labels: KnownLabels) -> str:
    phrases = [attribute(segment.emotion).phrase for segment in labels.segments]
    return labels.person.say(f"looks {over_time(labels.segments, phrases)}")


def _course(labels: KnownLabels, random: Random) -> Question:
    question = random.choice(formal_templates.COURSE).format(the=asked_person(labels.person, random).the)
    return Question(question, sentence(_course_words(labels)), "temporal", CHANGE, tuple(labels.emotions), "time")


def _changes(labels: KnownLabels, random: Random) -> Question:
    changes = random.random() < 0.5
    ends_alike = labels.segments[0].emotion == labels.segments[-1].emotion
    wordings: tuple[str, ...] = formal_templates.CHANGES if changes else formal_templates.STAYS
    if ends_alike:  # first and last emotion are equal, with another one in between
        wordings = tuple(words for words in wordings if words not in formal_templates.COMPARES_ENDS)
    question = random.choice(wordings).format(the=asked_person(labels.person, random).the)
    answer = f"{'Yes' if changes else 'No'}, {_course_words(labels)}."
    return Question(question, answer, "temporal", CHANGE, tuple(labels.emotions), "time", changes)


def _before(labels: KnownLabels, random: Random, first: Attribute, second: Attribute, truth: bool) -> Question:
    """Ask whether one emotion comes before another; the false question swaps the two."""
    asked = (first, second) if truth else (second, first)
    question = random.choice(formal_templates.BEFORE).format(
        the=asked_person(labels.person, random).the, first=asked[0].phrase, second=asked[1].phrase
    )
    order = labels.person.say(f"looks {first.phrase} first and {second.phrase} later")
    answer = f"{'Yes' if truth else 'No'}, {order}."
    return Question(question, answer, "temporal", CHANGE, (first, second), "time", truth, not truth)


def _first_of(labels: KnownLabels, random: Random, first: Attribute, second: Attribute) -> Question:
    options = joined([a.phrase for a in shuffled([first, second], random)], "or")
    question = random.choice(formal_templates.WHICH_FIRST).format(
        the=asked_person(labels.person, random).the, options=options
    )
    answer = sentence(labels.person.say(f"looks {first.phrase} before looking {second.phrase}"))
    return Question(question, answer, "temporal", CHANGE, (first, second), "time")


def _end(labels: KnownLabels, random: Random, emotion: Attribute, last: bool) -> Question:
    wording = formal_templates.ENDING if last else formal_templates.BEGINNING
    question = random.choice(wording).format(the=asked_person(labels.person, random).the)
    answer = f"{labels.person.say(f'looks {emotion.phrase}')} {'at the end' if last else 'at first'}"
    return Question(question, sentence(answer), "temporal", CHANGE, (emotion,), "time")


def _when(labels: KnownLabels, random: Random, emotion: Attribute, start: float) -> Question:
    question = random.choice(formal_templates.WHEN).format(
        the=asked_person(labels.person, random).the, looks=emotion.phrase
    )
    answer = f"{labels.person.say(f'looks {emotion.phrase}')} from {seconds(start)} on"
    return Question(question, sentence(answer), "temporal", CHANGE, (emotion,), "time")
