"""The functions of ``favchat_emotion.yaml``: lmms-eval loads this file by its path.

``questions.jsonl`` holds one object a line: ``video`` (a file), ``question``, ``options``, ``answer``.
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from favchat.evaluation.scoring.answer_parser import parse
from favchat.evaluation.scoring.metrics import UNPARSED

Doc = dict[str, Any]


def visual(doc: Doc) -> list[str]:
    """The clip."""
    return [doc["video"]]


def text(doc: Doc, lmms_eval_specific_kwargs: Doc | None = None) -> str:
    """The question."""
    return doc["question"]


def messages(doc: Doc, lmms_eval_specific_kwargs: Doc | None = None) -> list[Doc]:
    """The chat, its clip inside: ``favchat serve`` fetches nothing from addresses."""
    data = base64.b64encode(Path(doc["video"]).read_bytes()).decode()
    clip = {"type": "video", "url": f"data:video/mp4;base64,{data}"}
    return [{"role": "user", "content": [clip, {"type": "text", "text": doc["question"]}]}]


def results(doc: Doc, answers: list[str]) -> dict[str, float]:
    """Whether the answer is right, and whether it names one option."""
    named = parse(answers[0], doc["options"])
    right = named != UNPARSED and doc["options"][named] == doc["answer"]
    return {"war": float(right), "parsed": float(named != UNPARSED)}
