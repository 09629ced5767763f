"""The everyday writer: colloquial questions, balanced over attributes, including unanswerable ones.

For each attribute yes and no are equally frequent answers, so that a rare attribute is neither always denied nor
guessed. Attributes without a label are not asked about; questions that no video can answer get "I can't tell that from
this video.".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from random import Random

import pyarrow as pa

from favchat.data.annotate import formal_templates
from favchat.data.annotate.grammar import MAN, UNKNOWN, WOMAN, Person, article, joined, sentence
from favchat.data.annotate.rows import NO_FACE_ROW, Annotation, Writer, Written, table_of
from favchat.data.annotate.summaries import predicates
from favchat.data.corpus.clip import Clip, clip_from_row
from favchat.data.corpus.schema import LABEL_COLUMNS
from favchat.labels.attributes import ACTION, APPEARANCE, EMOTION, EXTRA, Attribute, attribute
from favchat.labels.everyday_templates import (
    CANNOT_IDENTIFY,
    CANNOT_TELL,
    IDENTITY,
    NO_FACE,
    OPEN,
    UNANSWERABLE,
    held_out,
    taught,
)
from favchat.labels.everyday_yes_no import HAS_FRAMES, IS_FRAMES, OPPOSITES, SEES_FRAMES, YES_NO

Known = dict[str, bool]
"""Attribute -> whether its label is 1; unknown ones are missing."""
Pick = Callable[[tuple[str, ...]], tuple[str, ...]]
"""Which of several forms may be used: :func:`taught`, :func:`held_out`."""

FORMS_A_CLIP = 5
"""How often a clip is asked for one attribute at most, in different words: rare ones come that often."""
HAIR_COLOURS = ("black_hair", "blonde_hair", "gray_hair", "brown_hair")
HAIR = ("long_hair", "straight_hair", "wavy_hair", *HAIR_COLOURS, "bangs", "receding_hairline")
BEARDS = ("full_beard", "goatee", "mustache", "5_o_clock_shadow")
WORN = ("eyeglasses", "sunglasses", "wearing_hat", "wearing_earrings", "wearing_necklace", "wearing_necktie")
HEAD_MOTIONS = ("nod", "shake_head", "head_wagging")
ACTIONS = ("talk", "smile", "laugh", "frown", "close_eyes", *HEAD_MOTIONS)
HIDDEN_HAIR = "I can't tell: a hat covers the hair."


@dataclass(frozen=True)
class QuestionSubject:
    """The subject of a question, in the forms that the templates need."""

    s: str
    is_: str
    does: str
    has: str
    p: str
    o: str

    def fill(self, form: str, x: str = "") -> str:
        """Fill a template with the subject and what is asked about."""
        words = self.words | {"x": x.format(**self.words)}
        capitals = {name.strip("_").capitalize(): word[:1].upper() + word[1:] for name, word in words.items()}
        return sentence(form.format(**words, **capitals), "")

    @property
    def words(self) -> dict[str, str]:
        """The values of a template's placeholders."""
        return {"s": self.s, "is_": self.is_, "does": self.does, "has": self.has, "p": self.p, "o": self.o}


def subject(person: Person, random: Random) -> QuestionSubject:
    """How a question refers to the person: by pronoun or noun of the known sex, or by "they" or "the person"."""
    if person is not UNKNOWN and random.random() < 0.6:
        nouns = ("man", "guy") if person is MAN else ("woman", "lady")
        if random.random() < 0.6:
            return QuestionSubject(person.pronoun, "is", "does", "has", person.their, "him" if person is MAN else "her")
        noun = f"{random.choice(('the', 'this'))} {random.choice(nouns)}"
        return QuestionSubject(noun, "is", "does", "has", f"{noun}'s", noun)
    if random.random() < 0.2:
        return QuestionSubject("they", "are", "do", "have", "their", "them")
    noun = random.choice(("the person", "the person", "this person", "the person in the video"))
    return QuestionSubject(noun, "is", "does", "has", f"{noun}'s", noun)


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


def truth_of(key: str, known: Known) -> bool | None:
    """Whether a yes/no question of ``YES_NO`` is answered with yes; None: unknown."""
    name = OPPOSITES.get(key, key)
    if name not in known:
        return None
    # no_beard is labelled 1 for "shaven" questions, but its phrase is about having a beard.
    return known[name] if key in (name, "shaven") else not known[name]


def yes_no_question(key: str, who: QuestionSubject, random: Random, forms: Pick = taught) -> str:
    """A yes/no question from one of an attribute's templates."""
    wording = YES_NO[key]
    options: list[tuple[str, str]] = [(form, "") for form in forms(wording.own)]
    for frames, words in ((IS_FRAMES, wording.is_), (HAS_FRAMES, wording.has), (SEES_FRAMES, wording.sees)):
        if forms is taught:
            options += [(frame, x) for frame in taught(frames) for x in taught(words)]
        else:  # a held-out frame, or held-out words in a training frame
            options += [(frame, x) for frame in held_out(frames) for x in words]
            options += [(frame, x) for frame in taught(frames) for x in held_out(words)]
    # The attribute's own templates get 40 %, since the combinations of frames and words outnumber them.
    own = [option for option in options if not option[1]]
    framed = [option for option in options if option[1]]
    chosen = own if not framed or (own and random.random() < 0.4) else framed
    form, x = random.choice(chosen)
    return who.fill(form, x)


def yes_no_answer(key: str, truth: bool, person: Person) -> str:
    """The answer to a yes/no question: the word, and a sentence with the true statement."""
    name = OPPOSITES.get(key, key)
    # Truth of the attribute's own statement, whichever of two opposites the question asked.
    holds = truth if key == name and name != "no_beard" else truth == (key == "beard")
    return f"{'Yes' if truth else 'No'}, {statement_of(name, holds, person, shaven=key == 'shaven')}."


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


def clips_of(rows: pa.Table) -> Iterator[Clip]:
    """The clips of rows with the columns of ``schema.LABEL_COLUMNS``."""
    for batch in rows.select(LABEL_COLUMNS).to_batches(max_chunksize=4096):
        yield from map(clip_from_row, batch.to_pylist())


def label_counts(clips: Iterable[Clip]) -> Counter[tuple[str, bool]]:
    """Clips of the training split by each question of ``YES_NO`` and its answer, as far as labels go."""
    counts: Counter[tuple[str, bool]] = Counter()
    for clip in clips:
        if clip.split in ("train", ""):
            known = known_labels(clip)
            for key in YES_NO if known else ():
                truth = truth_of(key, known)
                if truth is not None:
                    counts[key, truth] += 1
    return counts


@dataclass(frozen=True)
class EverydayWriter(Writer):
    """Writes descriptions, questions and unanswerable questions; random choices depend on seed and clip id only."""

    seed: int = 0
    questions_per_attribute: int = 260
    """Questions with yes and as many with no for each attribute, over the training split, as far as labels go."""
    name: str = "everyday"

    surveys = True

    def survey(self, rows: pa.Table) -> Counter[tuple[str, bool]]:
        """Clips of the training split by each question and its answer."""
        return label_counts(clips_of(rows))

    def write(self, rows: pa.Table, survey: Counter[tuple[str, bool]]) -> Written:
        """Write every clip's rows."""
        rates = self.rates_of(survey)
        return Written(table_of([row for clip in clips_of(rows) for row in self.rows(clip, rates)]))

    def rates(self, clips: Iterable[Clip]) -> dict[tuple[str, bool], float]:
        """Mean number of questions per clip of each kind and answer, such that yes and no are balanced."""
        return self.rates_of(label_counts(clips))

    def rates_of(self, counts: Counter[tuple[str, bool]]) -> dict[tuple[str, bool], float]:
        """As `rates`, from the clips' :func:`label_counts`."""
        rates: dict[tuple[str, bool], float] = {}
        for key in YES_NO:
            # A question with only one possible answer teaches nothing.
            most = min(FORMS_A_CLIP * counts[key, truth] for truth in (True, False))
            wanted = min(self.questions_per_attribute, most)
            for truth in (True, False):
                rates[key, truth] = wanted / counts[key, truth] if counts[key, truth] else 0.0
        return rates

    def rows(self, clip: Clip, rates: dict[tuple[str, bool], float]) -> list[Annotation]:
        """One clip's description and questions; empty if it has no labels."""
        known = known_labels(clip)
        if not known:
            return []
        random = Random(f"{self.seed}/{clip.id}")
        person = person_of(known)
        # Clips outside the training split also use the templates that are held out from training.
        forms: Callable[[], Pick] = (
            (lambda: taught) if clip.split in ("train", "") else (lambda: random.choice((taught, held_out)))
        )
        rows: list[Annotation] = []

        def add(
            task: str,
            question: str,
            answer: str,
            kind: str,
            family: str,
            names: Sequence[str],
            truth: bool | None = None,
        ) -> None:
            level = "description" if task == "summary" else "one" if len(names) == 1 else "several"
            rows.append(
                Annotation(
                    clip.id,
                    clip.split,
                    task,
                    question,
                    answer,
                    kind,
                    family,
                    list(names),
                    level,
                    truth,
                    False,
                    self.name,
                )
            )

        answers = open_answers(known)
        for topic, (answer, names) in answers.items():
            family = "several" if topic == "description" else _family(names)
            if topic == "description" or random.random() < OPEN_SHARE:
                some = forms()(OPEN[topic])
                question = subject(person if topic != "sex" else UNKNOWN, random).fill(random.choice(some))
                add("summary" if topic == "description" else "qa", question, answer, "open", family, names)
        for key in YES_NO:
            truth = truth_of(key, known)
            rate = rates.get((key, truth), 0.0) if truth is not None else 0.0
            times = int(rate) + (random.random() < rate % 1)
            name = OPPOSITES.get(key, key)
            for _ in range(times):
                who = subject(UNKNOWN if name == "male" else person, random)
                question = yes_no_question(key, who, random, forms())
                answer = yes_no_answer(key, bool(truth), person)
                add("qa", question, answer, "yes_no", attribute(name).family, [name], truth)
        emotion = next((a for a in EMOTION if known.get(a.name)), None)
        if emotion:
            add("qa", *_choice_of_emotions(emotion, person, random), "choice", "emotion", [emotion.name])
        for questions, answer, share in (
            (UNANSWERABLE, CANNOT_TELL, UNANSWERABLE_SHARE),
            (IDENTITY, CANNOT_IDENTIFY, IDENTITY_SHARE),
        ):
            if random.random() < share:
                add(
                    "qa", subject(person, random).fill(random.choice(forms()(questions))), answer, "open", "unknown", []
                )
        if random.random() < NO_FACE_SHARE:
            asked = _any_question(random, forms())
            add("qa", asked, NO_FACE, NO_FACE_ROW, "unknown", [])
        return rows


OPEN_SHARE = 0.35
"""How likely each open question that a clip's labels allow is asked."""
UNANSWERABLE_SHARE, IDENTITY_SHARE, NO_FACE_SHARE = 0.9, 0.2, 0.15
"""How likely a clip is asked what it cannot show, who it is, and something as if its face were not there."""


def _family(names: Sequence[str]) -> str:
    families = {attribute(name).family for name in names}
    return families.pop() if len(families) == 1 else "several"


def _choice_of_emotions(emotion: Attribute, person: Person, random: Random) -> tuple[str, str]:
    others = [other for other in EMOTION if other is not emotion]
    # Half of the choices offer all emotions, as whoever measures or uses the model asks; few options are easier.
    offered = len(others) if random.random() < 0.5 else random.randint(1, 3)
    options = [emotion.phrase, *(other.phrase for other in random.sample(others, offered))]
    random.shuffle(options)
    the = person.the if random.random() < 0.5 else UNKNOWN.the
    question = random.choice(taught(formal_templates.CHOICES["looks"])).format(the=the, options=joined(options, "or"))
    return question, sentence(person.say(f"looks {emotion.phrase}"))


def _any_question(random: Random, forms: Pick) -> str:
    """Any question, about a person of unknown sex."""
    who = subject(UNKNOWN, random)
    if random.random() < 0.5:
        return yes_no_question(random.choice([*YES_NO]), who, random, forms)
    return who.fill(random.choice(forms(OPEN[random.choice([*OPEN])])))
