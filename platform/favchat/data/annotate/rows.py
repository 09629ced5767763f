"""One row of the annotations, and the interface of writers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import pyarrow as pa
from upath import UPath

from favchat.data.corpus.schema import TEXT_SCHEMA
from favchat.labels.attributes import Attribute

AnswerType = Literal["yes_no", "choice", "open", "temporal", "no_face"]
Level = Literal["one", "several", "time", "description"]

NO_FACE_ROW: AnswerType = "no_face"
"""Answer type of a row whose clip is trained on as if its face were not to be seen."""
CHANGE = "change over time"
"""The family of questions about how an emotion changes."""
SEVERAL = "several"
"""The family of a row that rests on attributes of more than one family."""


class Annotation(NamedTuple):
    """One row as written, before it is checked and scored; ``docs/data-format.md`` explains each column."""

    clip_id: str
    split: str
    task: str
    question: str
    answer: str
    answer_type: str
    family: str
    attributes: Sequence[str] = ()
    level: str = "one"
    truth: bool | None = None
    """What a question that is answered with yes or no is answered with."""
    hard_negative: bool = False
    source: str = "template"


@dataclass(frozen=True)
class Written:
    """A writer's output for some clips."""

    rows: pa.Table
    """Columns of ``schema.TEXT_SCHEMA``, ordered by clip."""
    rejects: pa.Table | None = None
    """Columns of ``schema.ANNOTATION_REJECT_SCHEMA``: clips that the writer failed on. None: it cannot fail."""


class Writer:
    """Writes the annotations of a corpus, in many processes at once, to which it is sent.

    A clip's rows depend on the clips that are written with it, the survey of the corpus and the writer's settings only.
    """

    name: str = ""
    """The rows' ``source``, and the name of their files."""
    surveys: bool = False
    """Whether it has to look at all clips before it writes about any."""

    def version(self, out: UPath) -> str:
        """What its rows depend on besides the settings and the corpus, such as a model."""
        return ""

    def begin(self, out: UPath) -> None:
        """What is done once for the whole corpus, such as asking a server about each clip; leaves its results in files.

        Raises:
            ConfigError: A setting is invalid.
        """

    def extend(self, rows: pa.Table, out: UPath) -> pa.Table:
        """Add columns to rows of the ledger, such as what `begin` left about them."""
        return rows

    def survey(self, rows: pa.Table) -> Counter[tuple[str, bool]]:
        """Counts of some clips, which are added up over the corpus.

        Args:
            rows: The columns of ``schema.LABEL_COLUMNS``, and those of `extend`.
        """
        return Counter()

    def write(self, rows: pa.Table, survey: Counter[tuple[str, bool]]) -> Written:
        """Write about some clips.

        Args:
            rows: The columns of ``schema.LABEL_COLUMNS``, and those of `extend`, ordered by clip id.
            survey: The counts of the whole corpus.
        """
        raise NotImplementedError


def table_of(rows: Sequence[Annotation]) -> pa.Table:
    """Rows as a table with the columns of ``TEXT_SCHEMA``."""
    columns = zip(*rows, strict=True) if rows else [()] * len(TEXT_SCHEMA)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, TEXT_SCHEMA, strict=True)]
    return pa.Table.from_arrays(arrays, schema=TEXT_SCHEMA)


def family_of(attributes: Sequence[Attribute]) -> str:
    """The family of attributes, or ``several``.

    Args:
        attributes: At least one.
    """
    family = attributes[0].family
    return family if all(a.family == family for a in attributes) else SEVERAL
