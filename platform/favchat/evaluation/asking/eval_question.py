"""Schemas of evaluation questions, answers, and predictions (both joined)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import pyarrow as pa

AnswerMode = Literal["likelihood", "text", "scores", "features"]
"""How a question is answered: the likelihood of each option, free words, the scores of the attributes that the model
was taught, or the clip's visual tokens alone."""


@dataclass(frozen=True, slots=True)
class EvalQuestion:
    """One question about one clip, with the correct answer."""

    task: str
    part: str
    """What the metrics are taken over together inside the task, such as an attribute."""
    clip_id: str
    identity: str
    """Whom the clip shows; of a clip whose identity is unknown its own id."""
    split: str
    way: AnswerMode
    question: str = ""
    options: tuple[str, ...] = ()
    """What may be answered; empty for an open question."""
    answer_prefix: str = ""
    """What a likelihood is taken after: the words that an answer begins with before it names an option."""
    truth: int | None = None
    """The right option."""
    references: tuple[str, ...] = ()
    """Texts that an open question may be answered with."""
    family: str = ""
    level: str = ""
    fold: int | None = None
    """The fold of the benchmark whose test list holds the clip."""

    @property
    def key(self) -> str:
        """A hash of everything that the answer depends on besides the model; resumed runs look answers up by it."""
        words = "\x1f".join([self.clip_id, self.way, self.question, self.answer_prefix, *self.options])
        return hashlib.sha256(words.encode()).hexdigest()[:24]


ITEM_SCHEMA = pa.schema(
    [
        pa.field("item", pa.string(), nullable=False),
        pa.field("task", pa.string(), nullable=False),
        pa.field("part", pa.string(), nullable=False),
        pa.field("clip_id", pa.string(), nullable=False),
        pa.field("identity", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("way", pa.string(), nullable=False),
        pa.field("question", pa.string(), nullable=False),
        pa.field("options", pa.list_(pa.string()), nullable=False),
        pa.field("answer_prefix", pa.string(), nullable=False),
        pa.field("truth", pa.int32()),
        pa.field("references", pa.list_(pa.string()), nullable=False),
        pa.field("family", pa.string(), nullable=False),
        pa.field("level", pa.string(), nullable=False),
        pa.field("fold", pa.int32()),
    ]
)

ANSWER_SCHEMA = pa.schema(
    [
        pa.field("item", pa.string(), nullable=False),
        pa.field("clip_id", pa.string(), nullable=False),
        pa.field("raw", pa.string()),
        pa.field("log_likelihoods", pa.list_(pa.float64())),
        pa.field("prior", pa.list_(pa.float64())),
        pa.field("tokens", pa.list_(pa.int32())),
        pa.field("features", pa.list_(pa.float32())),
        pa.field("error", pa.string()),
    ]
)
"""What a model says: ``raw`` for words; the log-likelihood of each option in nats, the same of a clip without content
and the options' tokens for likelihoods; the logarithms of the options' probabilities alone for scores; ``features`` for
the visual tokens. ``error``: why there never will be an answer, such as a server that refuses the request."""

PREDICTION_SCHEMA = pa.schema(
    [
        *ITEM_SCHEMA,
        *[ANSWER_SCHEMA.field(name) for name in ("raw", "log_likelihoods", "prior", "tokens", "error")],
        pa.field("answer", pa.int32()),
        pa.field("probabilities", pa.list_(pa.float64())),
        pa.field("score", pa.float64()),
        pa.field("judgement", pa.string()),
    ]
)
"""A question with its answer: ``answer`` is the option that the raw text names (null: unparsed) or that has the highest
probability; ``score`` 0..10 and ``judgement`` are a judge's of an open answer."""


def item_rows(items: Sequence[EvalQuestion]) -> list[dict[str, Any]]:
    """Questions as rows of ``ITEM_SCHEMA``."""
    return [{"item": item.key, **asdict(item)} for item in items]


def answer_row(item: EvalQuestion, **values: Any) -> dict[str, Any]:
    """A row of ``ANSWER_SCHEMA``."""
    return dict.fromkeys(ANSWER_SCHEMA.names) | {"item": item.key, "clip_id": item.clip_id} | values
