"""One row of the annotations, and the interface of writers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

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
    """A writer's output for a corpus."""

    rows: pa.Table
    """Columns of ``schema.TEXT_SCHEMA``, ordered by clip."""
    clips: int
    """Clips in the shards."""
    rejects: pa.Table | None = None
    """Columns of ``schema.ANNOTATION_REJECT_SCHEMA``: clips that the writer failed on. None: it cannot fail."""


class Writer(Protocol):
    """Writes the annotations of a corpus; a clip's rows depend on that clip and the writer's settings only."""

    @property
    def name(self) -> str:
        """The rows' ``source``, and the name of their file."""
        ...

    def write(self, shards: UPath) -> Written:
        """Write the annotations of every clip in a folder of shards.

        Raises:
            ConfigError: There are no shards, or a setting is invalid.
        """
        ...


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
