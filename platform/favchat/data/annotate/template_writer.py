"""The template writer: offline, and the same way every time."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from random import Random

from upath import UPath

from favchat.data.annotate.attribute_questions import (
    Question,
    choice_units,
    description_units,
    joint_units,
    open_units,
    shuffled,
    yes_no_units,
)
from favchat.data.annotate.emotion_questions import change_units, emotion_units
from favchat.data.annotate.known_labels import KnownLabels, known_labels_of
from favchat.data.annotate.question_templates import INSTRUCTIONS
from favchat.data.annotate.rows import Annotation, Written, family_of, table_of
from favchat.data.annotate.summaries import NounPhrase, noun_phrase, summary
from favchat.data.corpus.clip import Clip, clip_from_row
from favchat.data.corpus.parquet_files import read_folder
from favchat.data.corpus.schema import LABEL_COLUMNS


@dataclass(frozen=True, slots=True)
class TemplateWriter:
    """Writes summaries and questions by templates; its choices follow from the seed and the clip's id."""

    seed: int = 0
    summaries: int = 2
    """Summaries a clip, at most; two that would read the same are one."""
    questions: int = 12
    """Questions a clip, at most."""
    name: str = "template"

    def write(self, shards: UPath) -> Written:
        """Write every clip's rows, then leave out questions until yes and no are as frequent in each family.

        Raises:
            ConfigError: There are no shards, or one cannot be read.
        """
        labels = read_folder(shards, [*LABEL_COLUMNS]).sort_by("clip_id")
        rows: list[Annotation] = []
        for batch in labels.to_batches(max_chunksize=4096):
            for row in batch.to_pylist():
                rows += self.rows(clip_from_row(row))
        return Written(table_of(balanced(rows, self.seed)), clips=len(labels))

    def rows(self, clip: Clip) -> list[Annotation]:
        """One clip's summaries, then its questions; none where nothing is known of it."""
        facts = known_labels_of(clip)
        if facts.empty:
            return []
        random = Random(f"{self.seed}/{clip.id}")
        looks = noun_phrase(facts)
        rows = self._summaries(clip, facts, random, looks)
        for question in pick(facts, random, self.questions, looks):
            asked, answer, kind, family, attributes, level, truth, hard = question
            names = [a.name for a in attributes]
            rows.append(
                Annotation(clip.id, clip.split, "qa", asked, answer, kind, family, names, level, truth, hard, self.name)
            )
        return rows

    def _summaries(self, clip: Clip, facts: KnownLabels, random: Random, looks: NounPhrase) -> list[Annotation]:
        rows: list[Annotation] = []
        for instruction in random.sample(INSTRUCTIONS, min(self.summaries, len(INSTRUCTIONS))):
            written = summary(facts, random, looks)
            if written is None or any(row.answer == written[0] for row in rows):
                continue
            text, attributes = written
            names = [a.name for a in attributes]
            rows.append(
                Annotation(
                    clip.id,
                    clip.split,
                    "summary",
                    instruction,
                    text,
                    "open",
                    family_of(attributes),
                    names,
                    "description",
                    source=self.name,
                )
            )
        return rows


def pick(facts: KnownLabels, random: Random, budget: int, looks: NounPhrase) -> list[Question]:
    """At most ``budget`` questions: the first about the emotion where it is known, the others from every kind in turn.

    A pair of which one is answered yes and one no is taken whole or not at all.
    """
    pairs, singles = yes_no_units(facts, random)
    emotion = emotion_units(facts, random)
    change = change_units(facts, random)
    first = emotion[:1] or change[:1]
    kinds = [
        shuffled(pairs, random),
        shuffled(open_units(facts, random), random),
        change if emotion else change[1:],
        shuffled(choice_units(facts, random), random),
        emotion[1:],
        joint_units(facts, random),
        shuffled(singles, random),
        description_units(facts, random, looks),
    ]
    picked: list[Question] = []
    for unit in [*first, *(unit for turn in zip_longest(*kinds) for unit in turn if unit is not None)]:
        if len(picked) + len(unit) <= budget:
            picked += [write() for write in unit]
            if len(picked) == budget:
                break
    return picked


def balanced(rows: Iterable[Annotation], seed: int) -> list[Annotation]:
    """Leave out questions answered yes, or no, until both are as frequent in each family of each split.

    A family in which all are answered alike in the whole corpus stays as it is. What is left out follows from `seed`
    and the row alone.
    """
    rows = list(rows)
    answers: defaultdict[tuple[str, str], tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
    for index, row in enumerate(rows):
        if row.truth is not None:
            answers[row.split, row.family][row.truth].append(index)
    both = {family for family in {family for _, family in answers} if _has_both(family, answers)}
    left_out: set[int] = set()
    for (_, family), (no, yes) in answers.items():
        surplus = abs(len(yes) - len(no))
        if family in both and surplus:
            more = max(no, yes, key=len)
            left_out.update(sorted(more, key=lambda index: _draw(rows[index], seed))[:surplus])
    return [row for index, row in enumerate(rows) if index not in left_out]


def _has_both(family: str, answers: Mapping[tuple[str, str], tuple[list[int], list[int]]]) -> bool:
    found = [lists for (_, of), lists in answers.items() if of == family]
    return all(any(lists[truth] for lists in found) for truth in (0, 1))


def _draw(row: Annotation, seed: int) -> bytes:
    return hashlib.blake2b(f"{seed}/{row.clip_id}/{row.question}".encode(), digest_size=8).digest()
