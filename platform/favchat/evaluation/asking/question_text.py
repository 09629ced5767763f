"""The text of a question as it is sent to the model."""

from __future__ import annotations

from favchat.evaluation.asking.eval_question import EvalQuestion


def asked(item: EvalQuestion, hints: bool) -> str:
    """The question's text; with hints, a closed question says how to answer it."""
    return f"{item.question} {hint(item)}" if hints and item.options else item.question


def hint(item: EvalQuestion) -> str:
    """Instruction on how to answer a closed question."""
    how = "one of these" if len(item.options) > 2 else "one word"
    return f"Answer with {how} only: {', '.join(item.options)}."
