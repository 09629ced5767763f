"""Answers that must have a form: a JSON schema, a regular expression, a grammar; masks by llguidance."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from llguidance import LLMatcher
from llguidance.hf import from_tokenizer
from torch import Tensor

from serve.chat import Form
from serve.errors import ApiError

JSON: Any = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
"""JSON as Python writes it, without further white space: a small model would go on writing that."""
LETTERS = 65_536
"""Longest schema, expression or grammar."""


class Matcher:
    """Follows one answer through its form.

    Args:
        matcher: At the begin of the form.
        ends: The tokens that end an answer.
    """

    def __init__(self, matcher: LLMatcher, ends: Sequence[int]) -> None:
        self._matcher, self._ends, self._seen = matcher, list(ends), 0

    def allowed(self, answer: Sequence[int], size: int) -> Tensor:
        """`(size,)` bool: the tokens that may follow the answer so far.

        Where nothing may, or the form turns out too complex to follow, the answer ends: a fault here would be that of
        all requests in the batch.
        """
        self._matcher.consume_tokens(list(answer[self._seen :]))
        self._seen = len(answer)
        mask = np.zeros(size, dtype=bool)
        if not self._matcher.is_stopped():
            may = np.frombuffer(self._matcher.compute_logit_bias(), np.uint8)[:size] > 0
            mask[: len(may)] = may
        if not mask.any():
            mask[self._ends] = True
        return torch.from_numpy(mask)


class Grammars:
    """Makes matchers for one tokenizer; what is costly is made with the first.

    Args:
        tokenizer: The model's.
        ends: The tokens that end an answer.
    """

    def __init__(self, tokenizer: Any, ends: Sequence[int]) -> None:
        self._tokenizer, self._ends = tokenizer, [end for end in ends if end < len(tokenizer)]
        self._known: Any = None
        self._lock = threading.Lock()

    def matcher(self, form: Form) -> Matcher:
        """A matcher at the begin of a form.

        Raises:
            ApiError: The form cannot be read, or is not supported.
        """
        if len(form.text) > LETTERS:
            message = f"{form.field}: it has {len(form.text)} letters; the limit is {LETTERS}."
            raise ApiError(400, message, form.field, "invalid_grammar")
        with self._lock:
            if self._known is None:
                self._known = from_tokenizer(self._tokenizer, eos_token=self._ends or None)
        matcher = LLMatcher(self._known, _source(form), log_level=0)
        if matcher.is_error():
            fault = matcher.get_error().splitlines()[0][:300]
            raise ApiError(400, f"{form.field}: {fault}", form.field, "invalid_grammar")
        return Matcher(matcher, self._ends)


def _source(form: Form) -> str:
    if form.kind == "regex":
        return LLMatcher.grammar_from_regex(form.text)
    if form.kind == "grammar":
        return LLMatcher.grammar_from_lark(form.text)
    try:
        schema = json.loads(form.text)
        if not isinstance(schema, dict | bool):
            raise ValueError("a JSON schema is an object")
        return LLMatcher.grammar_from_json_schema(form.text, defaults=JSON)
    except (ValueError, RecursionError) as error:
        raise ApiError(400, f"{form.field}: {str(error)[:300]}", form.field, "invalid_grammar") from None
