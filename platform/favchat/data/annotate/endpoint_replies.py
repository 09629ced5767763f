"""Validates a model's reply and converts it to annotation rows."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError, model_validator

from favchat.data.annotate.endpoint_prompt import ROW_FAMILIES
from favchat.data.annotate.known_labels import KnownLabels
from favchat.data.annotate.label_check import ORDER, check, truths
from favchat.data.annotate.rows import CHANGE, Annotation, AnswerType, Level, family_of
from favchat.data.corpus.clip import Clip
from favchat.labels.attributes import attribute
from favchat.labels.confusable import are_confusable

_LONGEST = 2000
_STARTS_YES_NO = re.compile(r"(yes|no)\b", re.IGNORECASE)


class ReplyError(ValueError):
    """A reply that cannot be used; the message says why."""


def _sensible(text: str) -> str:
    text = " ".join(text.split())
    if not 2 <= len(text) <= _LONGEST:
        raise ValueError(f"a text of {len(text)} characters; 2 to {_LONGEST} can be used")
    return text


Text = Annotated[str, AfterValidator(_sensible)]


class WrittenQuestion(BaseModel):
    """A question with its answer, as a model writes it."""

    model_config = ConfigDict(extra="forbid")

    question: Text
    answer: Text
    answer_type: AnswerType
    family: Literal[ROW_FAMILIES]  # type: ignore[valid-type]  # the names are a constant

    @model_validator(mode="after")
    def _answered_as_it_says(self) -> WrittenQuestion:
        if self.answer_type == "yes_no" and not _STARTS_YES_NO.match(self.answer):
            raise ValueError(f"the answer to a yes_no question begins with Yes or No, this is {self.answer!r}")
        return self


class Reply(BaseModel):
    """A model's reply for one clip."""

    model_config = ConfigDict(extra="forbid")

    summaries: list[Text]
    questions: list[WrittenQuestion]

    @model_validator(mode="after")
    def _not_empty(self) -> Reply:
        if not self.summaries or not self.questions:
            raise ValueError("at least one summary and one question are needed")
        return self


def read_reply(text: str | None) -> Reply:
    """Parse a model's reply; text around the JSON object, such as a code fence, is ignored.

    Raises:
        ReplyError: It is not JSON, or does not match `Reply`.
    """
    begin, end = (text or "").find("{"), (text or "").rfind("}")
    if text is None or begin < 0 or end < begin:
        raise ReplyError(f"no JSON object in the reply {(text or '')[:80]!r}")
    try:
        return Reply.model_validate_json(text[begin : end + 1])
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(str(part) for part in fault["loc"])
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        raise ReplyError(f"{place or 'the reply'}: {fault['msg']}{more}") from error


def reply_format(kind: str) -> dict[str, Any]:
    """The request field for structured output: ``json_schema`` of `Reply`, ``json_object``, or none for ``text``."""
    if kind == "text":
        return {}
    if kind == "json_object":
        return {"response_format": {"type": "json_object"}}
    schema = {"name": "annotations", "strict": True, "schema": Reply.model_json_schema()}
    return {"response_format": {"type": "json_schema", "json_schema": schema}}


def rows_of(
    reply: Reply, clip: Clip, labels: KnownLabels, *, summaries: int, questions: int, source: str
) -> list[Annotation]:
    """A reply's rows, at most `summaries` and `questions` of each kind.

    Their attributes are parsed from the text, see `favchat.labels.attribute_parser`; the family follows from these,
    and is the one that the model named only where the text states none.
    """
    rows = [
        _row(clip, labels, "summary", "Describe the person in this video.", text, "open", "several", source)
        for text in reply.summaries[:summaries]
    ]
    rows += [
        _row(clip, labels, "qa", asked.question, asked.answer, asked.answer_type, asked.family, source)
        for asked in reply.questions[:questions]
    ]
    return rows


def _row(
    clip: Clip, labels: KnownLabels, task: str, question: str, answer: str, kind: AnswerType, family: str, source: str
) -> Annotation:
    known = truths(labels)
    found = check(question, answer, kind, known, tuple(segment.emotion for segment in labels.segments))
    names = [name for name in found.stated if name != ORDER]
    start = _STARTS_YES_NO.match(answer) if kind in ("yes_no", "temporal") else None
    truth = start.group(1).lower() == "yes" if start else None
    level: Level = "one" if len(names) < 2 else "several"
    if task == "summary":
        level = "description"
    elif kind == "temporal":
        level, family = "time", CHANGE
    if names and kind != "temporal":
        family = family_of([attribute(name) for name in names])
    true = [name for name, holds in known.items() if holds]
    hard = truth is False and any(
        not known.get(name, True) and any(are_confusable(name, other) for other in true) for name in names
    )
    return Annotation(clip.id, clip.split, task, question, answer, kind, family, names, level, truth, hard, source)
