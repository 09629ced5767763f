"""A judge model that scores open answers from 0 to 10, with a prompt from a file."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from string import Template
from typing import Annotated

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from upath import UPath

from favchat.config import ConfigError, JudgeConfig
from favchat.data.annotate.grammar import UNKNOWN, VIDEO
from favchat.data.annotate.known_labels import known_labels_of
from favchat.data.annotate.label_check import truths
from favchat.data.corpus.clip import Clip
from favchat.data.corpus.parquet_files import name_for, parquet_files, read_table, write_whole
from favchat.evaluation.scoring.predictions import Row
from favchat.labels.attributes import Attribute, attribute

PROMPT = Path(__file__).parent / "prompts" / "judge.txt"
JUDGEMENTS = "judgements"
_PLACEHOLDERS = frozenset({"question", "references", "true", "false", "answer"})
_SCHEMA = pa.schema([("key", pa.string()), ("reply", pa.string())])
_CHUNK = 32


class _Judgement(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)

    score: Annotated[int, Field(ge=0, le=10)]


def read_prompt(file: str | None) -> str:
    """Read and check the prompt.

    Raises:
        ConfigError: It cannot be read, or has wrong placeholders.
    """
    path = Path(file) if file else PROMPT
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"evaluation.judge.prompt: {path} cannot be read: {error}") from error
    template = Template(text)
    unknown = set(template.get_identifiers()) - _PLACEHOLDERS if template.is_valid() else {"$"}
    if unknown or not {"question", "answer"} <= set(template.get_identifiers()):
        known = ", ".join(f"${name}" for name in sorted(_PLACEHOLDERS))
        raise ConfigError(
            f"evaluation.judge.prompt: {path} needs $question and $answer, and may hold {known}; $$ is a dollar sign"
        )
    return text


def read_score(reply: str) -> int | None:
    """The score in a judge's reply, an integer from 0 to 10 in JSON; None if the reply is invalid."""
    begin, end = reply.find("{"), reply.rfind("}")
    try:
        return _Judgement.model_validate_json(reply[begin : end + 1]).score if begin >= 0 else None
    except ValidationError:
        return None


def judge(rows: Sequence[Row], clips: Mapping[str, Clip], settings: JudgeConfig, out: UPath) -> int:
    """Fill ``score`` and ``judgement`` of open answers in place; replies are cached in `out`.

    Args:
        rows: Predictions.
        clips: Their clips.
        settings: The judge.
        out: ``evaluation.out``.

    Returns:
        Number of open answers without a reply; a later run requests them.

    Raises:
        ConfigError: The prompt is invalid, or the server cannot be used.
    """
    from favchat.evaluation.asking.server_backend import ChatServer, NoReplyError, RefusedError, ServerFaultError

    prompt = Template(read_prompt(settings.prompt))
    kept = {
        row["key"]: row["reply"]
        for file in parquet_files(out / JUDGEMENTS)
        for row in read_table(file, _SCHEMA.names).to_pylist()
    }
    words = {}
    for row in rows:
        if not row["options"] and row["raw"] is not None:
            text = prompt.substitute(_filled(row, clips[row["clip_id"]]))
            words[hashlib.sha256(f"{settings.model}\x1f{row['item']}\x1f{text}".encode()).hexdigest()] = (text, row)
    missing = [key for key in words if key not in kept]
    server = ChatServer(settings, "evaluation.judge")

    def ask(key: str) -> str | None:
        try:
            return server.ask([{"role": "user", "content": words[key][0]}])
        except RefusedError as error:
            return f"refused: {error}"
        except NoReplyError:
            return None

    with ThreadPoolExecutor(settings.concurrency) as threads:
        for begin in range(0, len(missing), _CHUNK):
            chunk = missing[begin : begin + _CHUNK]
            try:
                replies = {key: reply for key, reply in zip(chunk, threads.map(ask, chunk), strict=True) if reply}
            except ServerFaultError as error:
                raise ConfigError(str(error)) from error
            if replies:
                table = pa.table({"key": list(replies), "reply": list(replies.values())}, schema=_SCHEMA)
                write_whole(table, out / JUDGEMENTS / name_for(list(replies)))
                kept |= replies
    for key, (_, row) in words.items():
        row["judgement"] = kept.get(key)
        row["score"] = None if row["judgement"] is None else read_score(row["judgement"])
    return sum(key not in kept for key in words)


def _filled(row: Row, clip: Clip) -> dict[str, str]:
    known = truths(known_labels_of(clip))
    return {
        "question": row["question"],
        "references": "\n".join(f"- {text}" for text in row["references"]),
        "answer": row["raw"],
        "true": _listed([attribute(name) for name, holds in known.items() if holds]),
        "false": _listed([attribute(name) for name, holds in known.items() if not holds]),
    }


def _listed(statements: Sequence[Attribute]) -> str:
    said = [
        f"the {VIDEO.noun} {VIDEO.predicate(one)}" if one.subject == "video" else UNKNOWN.predicate(one)
        for one in statements
    ]
    return "; ".join(said) or "nothing"
