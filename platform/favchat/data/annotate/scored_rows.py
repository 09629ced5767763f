"""Checks rows against labels, scores them and selects the high-quality subset."""

from __future__ import annotations

import pyarrow as pa

from favchat.config import SelectionConfig
from favchat.data.annotate import row_scores
from favchat.data.annotate.known_labels import known_labels_of
from favchat.data.annotate.label_check import Check, check, truths
from favchat.data.annotate.rows import Annotation
from favchat.data.annotate.selection import Candidate, repeats, select
from favchat.data.annotate.text_duplicates import near_groups
from favchat.data.corpus.clip import clip_from_row
from favchat.data.corpus.schema import ANNOTATION_SCHEMA, LABEL_COLUMNS, SCORES, TEXT_SCHEMA


def scored(texts: pa.Table, shards: pa.Table, settings: SelectionConfig) -> pa.Table:
    """Check every row against its clip's labels, score it, and select the high-quality subset.

    Args:
        texts: Columns of ``schema.TEXT_SCHEMA``.
        shards: The clips, with the columns of ``schema.LABEL_COLUMNS`` and ``row_scores.FACE_COLUMNS``.
        settings: The ``annotate.selection`` section.

    Returns:
        `texts` with the further columns of ``schema.ANNOTATION_SCHEMA``.
    """
    rows = [
        Annotation(*values) for values in zip(*(texts[name].to_pylist() for name in TEXT_SCHEMA.names), strict=True)
    ]
    checks = _checks(rows, shards)
    faces = row_scores.face_quality(shards)
    rare = row_scores.rarity(rows)
    columns: dict[str, list[float]] = {name: [] for name in SCORES}
    for row, found, rarity in zip(rows, checks, rare, strict=True):
        values = {
            "consistency": row_scores.consistency(found),
            "specificity": row_scores.specificity(row.answer),
            "face_quality": faces[row.clip_id],
            "length": row_scores.length(row.answer, row.task),
            "rarity": rarity,
        }
        values["quality"] = row_scores.weighted(values, settings.weights.model_dump())
        for name, value in values.items():
            columns[name].append(value)
    groups = near_groups([f"{row.question} {row.answer}" for row in rows], settings.near_duplicate)
    candidates = [
        Candidate(row, quality, bool(row.attributes) and not found.contradicted, group)
        for row, quality, found, group in zip(rows, columns["quality"], checks, groups, strict=True)
    ]
    repeated = repeats(candidates, settings.max_copies)
    more = {
        "contradictions": [found.contradicted for found in checks],
        **columns,
        "duplicate": repeated,
        "selected": select(candidates, repeated, settings.share),
    }
    for name in ANNOTATION_SCHEMA.names[len(TEXT_SCHEMA) :]:
        field = ANNOTATION_SCHEMA.field(name)
        texts = texts.append_column(field, pa.array(more[name], field.type))
    return texts


def _checks(rows: list[Annotation], shards: pa.Table) -> list[Check]:
    labels = shards.select([*LABEL_COLUMNS])
    known: dict[str, tuple[dict[str, bool], tuple[str, ...]]] = {}
    for batch in labels.to_batches(max_chunksize=4096):
        for clip in map(clip_from_row, batch.to_pylist()):
            clip_labels = known_labels_of(clip)
            known[clip.id] = (truths(clip_labels), tuple(segment.emotion for segment in clip_labels.segments))
    return [check(row.question, row.answer, row.answer_type, *known[row.clip_id]) for row in rows]
