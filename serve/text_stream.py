"""Token ids to text as they come."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class TextStream:
    """Text that may be shown already.

    Held back are half characters, white space at the end (an answer is stripped), and what may be the beginning of a
    stop string.

    Args:
        tokenizer: Decodes the ids.
        stop: Strings before which the answer ends.
    """

    def __init__(self, tokenizer: Any, stop: Sequence[str] = ()) -> None:
        self._tokenizer, self._stop, self._shown = tokenizer, list(stop), 0
        self.stopped = False

    def push(self, ids: Sequence[int], *, last: bool = False) -> str:
        """The text that all `ids` so far add to what was returned before.

        Args:
            ids: All ids of the answer so far.
            last: Whether no more will come.
        """
        text = self._tokenizer.decode(ids, skip_special_tokens=True).lstrip()
        ends = [place for place in (text.find(stop) for stop in self._stop) if place >= 0]
        if ends:
            self.stopped = True
            text = text[: min(ends)]
        elif not last:
            text = text.rstrip(REPLACEMENT)
            text = text[: len(text) - max((_overlap(text, stop) for stop in self._stop), default=0)]
        text = text.rstrip()
        new = text[self._shown :]
        self._shown = max(self._shown, len(text))
        return new


REPLACEMENT = "\ufffd"
"""What a half character decodes to."""


def _overlap(text: str, stop: str) -> int:
    """Length of the longest beginning of `stop`, not the whole, that `text` ends with."""
    longest = min(len(stop) - 1, len(text))
    return next((size for size in range(longest, 0, -1) if text.endswith(stop[:size])), 0)
