"""Joins questions with their answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from favchat.evaluation.asking.eval_question import PREDICTION_SCHEMA, EvalQuestion, item_rows
from favchat.evaluation.scoring.answer_parser import parse
from favchat.evaluation.scoring.likelihood_calibration import Calibration, probabilities
from favchat.evaluation.scoring.metrics import UNPARSED

Row = dict[str, Any]


def predictions(items: Sequence[EvalQuestion], answers: Mapping[str, Row], how: Calibration) -> list[Row]:
    """Rows of ``PREDICTION_SCHEMA`` for the questions that have an answer, in their order.

    Args:
        items: The questions; those with answer mode ``features`` are skipped.
        answers: Question key -> row of ``ANSWER_SCHEMA``.
        how: How likelihoods are converted to probabilities.
    """
    rows: list[Row] = []
    for row in item_rows(items):
        answer = answers.get(row["item"])
        if answer is None or row["way"] == "features":
            continue
        row = dict.fromkeys(PREDICTION_SCHEMA.names) | row
        row |= {name: answer[name] for name in ("raw", "log_likelihoods", "prior", "tokens", "error")}
        if row["way"] == "likelihood":
            sums, prior = (np.asarray(answer[name]) for name in ("log_likelihoods", "prior"))
            chances = probabilities(sums, prior, np.asarray(answer["tokens"]), how)
            row["probabilities"], row["answer"] = chances.tolist(), int(chances.argmax())
        elif row["way"] == "scores":
            chances = np.exp(np.asarray(answer["log_likelihoods"]))
            row["probabilities"], row["answer"] = chances.tolist(), int(chances.argmax())
        elif row["options"] and row["raw"] is not None:
            named = parse(row["raw"], row["options"])
            row["answer"] = None if named == UNPARSED else named
        rows.append(row)
    return rows


def table_of(rows: Sequence[Row]) -> pa.Table:
    """Rows as a table of ``PREDICTION_SCHEMA``."""
    return pa.Table.from_pylist(list(rows), schema=PREDICTION_SCHEMA)
