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
from favchat.data.annotate.everyday_answers import Known, known_labels, open_answers, person_of, statement_of
from favchat.data.annotate.grammar import MAN, UNKNOWN, Person, joined, sentence
from favchat.data.annotate.rows import NO_FACE_ROW, Annotation, Writer, Written, table_of
from favchat.data.corpus.clip import Clip, clip_from_row
from favchat.data.corpus.schema import LABEL_COLUMNS
from favchat.labels.attributes import EMOTION, Attribute, attribute
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

Pick = Callable[[tuple[str, ...]], tuple[str, ...]]
"""Which of several forms may be used: :func:`taught`, :func:`held_out`."""

FORMS_A_CLIP = 5
"""How often a clip is asked for one attribute at most, in different words: rare ones come that often."""


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
