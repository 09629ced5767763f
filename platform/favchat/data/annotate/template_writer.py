"""The template writer: offline and deterministic."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from random import Random

import pyarrow as pa

from favchat.data.annotate.attribute_questions import (
    Question,
    choice_groups,
    description_groups,
    joint_groups,
    open_groups,
    shuffled,
    yes_no_groups,
)
from favchat.data.annotate.emotion_questions import change_groups, emotion_groups
from favchat.data.annotate.formal_templates import INSTRUCTIONS
from favchat.data.annotate.known_labels import KnownLabels, known_labels_of
from favchat.data.annotate.rows import Annotation, Writer, Written, family_of, table_of
from favchat.data.annotate.summaries import NounPhrase, noun_phrase, summary
from favchat.data.corpus.clip import Clip, clip_from_row
from favchat.data.corpus.schema import LABEL_COLUMNS


@dataclass(frozen=True)
class TemplateWriter(Writer):
    """Writes summaries and questions by templates; random choices depend on the seed and the clip's id only."""

    seed: int = 0
    summaries: int = 2
    """Summaries a clip, at most; two that would read the same are one."""
    questions: int = 12
    """Questions a clip, at most."""
    name: str = "template"

    def write(self, rows: pa.Table, survey: Counter[tuple[str, bool]]) -> Written:
        """Write every clip's rows, then drop questions until yes and no are equally frequent in each family."""
        written: list[Annotation] = []
        for batch in rows.select(LABEL_COLUMNS).to_batches(max_chunksize=4096):
            for row in batch.to_pylist():
                written += self.rows(clip_from_row(row))
        return Written(table_of(balanced(written, self.seed)))

    def rows(self, clip: Clip) -> list[Annotation]:
        """One clip's summaries, then its questions; empty if it has no labels."""
        labels = known_labels_of(clip)
        if labels.empty:
            return []
        random = Random(f"{self.seed}/{clip.id}")
        appearance = noun_phrase(labels)
        rows = self._summaries(clip, labels, random, appearance)
        for question in pick(labels, random, self.questions, appearance):
            asked, answer, kind, family, attributes, level, truth, hard = question
            names = [a.name for a in attributes]
            rows.append(
                Annotation(clip.id, clip.split, "qa", asked, answer, kind, family, names, level, truth, hard, self.name)
            )
        return rows

    def _summaries(self, clip: Clip, labels: KnownLabels, random: Random, appearance: NounPhrase) -> list[Annotation]:
        rows: list[Annotation] = []
        for instruction in random.sample(INSTRUCTIONS, min(self.summaries, len(INSTRUCTIONS))):
            written = summary(labels, random, appearance)
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


def pick(labels: KnownLabels, random: Random, budget: int, appearance: NounPhrase) -> list[Question]:
    """Pick at most ``budget`` questions: first about the emotion if it is known, then from all kinds in turn.

    A pair of a yes and a no question is taken as a whole or not at all.
    """
    pairs, singles = yes_no_groups(labels, random)
    emotion = emotion_groups(labels, random)
    change = change_groups(labels, random)
    first = emotion[:1] or change[:1]
    kinds = [
        shuffled(pairs, random),
        shuffled(open_groups(labels, random), random),
        change if emotion else change[1:],
        shuffled(choice_groups(labels, random), random),
        emotion[1:],
        joint_groups(labels, random),
        shuffled(singles, random),
        description_groups(labels, random, appearance),
    ]
    picked: list[Question] = []
    for unit in [*first, *(unit for turn in zip_longest(*kinds) for unit in turn if unit is not None)]:
        if len(picked) + len(unit) <= budget:
            picked += [write() for write in unit]
            if len(picked) == budget:
                break
    return picked


def balanced(rows: Iterable[Annotation], seed: int) -> list[Annotation]:
    """Drop questions answered yes, or no, until both are equally frequent in each family of each split.

    A family with only one answer in the whole corpus is left unchanged. What is dropped depends on `seed` and the row
    only.
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
