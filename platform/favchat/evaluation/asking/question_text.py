"""The words of a question as they reach the model."""

from __future__ import annotations

from favchat.evaluation.asking.eval_question import EvalQuestion


def asked(item: EvalQuestion, hints: bool) -> str:
    """A question; with hints a closed one says how to answer it."""
    return f"{item.question} {hint(item)}" if hints and item.options else item.question


def hint(item: EvalQuestion) -> str:
    """How a closed question is to be answered."""
    how = "one of these" if len(item.options) > 2 else "one word"
    return f"Answer with {how} only: {', '.join(item.options)}."
