"""Visual tokens by id: what the language model reads where an id lies beyond its vocabulary.

Shapes: N ids, S visual tokens of a video, K face levels, H language-model width.
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Hashable

import torch
from torch import Tensor

MAX_ID = 2**31 - 1
"""The largest id; continuous batching keeps ids as 32-bit integers."""


class PoolFullError(Exception):
    """Every place holds a video that a request is using."""


class VisualPool:
    """The visual tokens and face levels of the videos that are talked about, each video with a range of ids.

    Continuous batching recognises a cached prefix by its ids alone. Ids therefore only ever grow: one that has stood
    for a token of one video never stands for anything else, not even for the same video after it had to leave.

    Args:
        first_id: The lowest id to give, at least the vocabulary's size.
        tokens: Visual tokens of a video, S.
        levels: Face levels, K.
        width: Width of the language model, H.
        capacity: Videos held at once; the one unused for longest makes room.
        spare: Places beside those, see :meth:`borrow`.
        dtype: Precision of what is looked up.
        device: Where it lies.
    """

    def __init__(
        self,
        first_id: int,
        *,
        tokens: int,
        levels: int,
        width: int,
        capacity: int,
        spare: int = 0,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        self.first_id, self.tokens_per_video = first_id, tokens
        # The last row of both is what an id without a video reads.
        self._tokens = torch.zeros(capacity + spare + 1, tokens, width, dtype=dtype, device=device)
        self._levels = torch.zeros(levels, capacity + spare + 1, tokens, width, dtype=dtype, device=device)
        self._free, self._spare = list(range(capacity)), list(range(capacity, capacity + spare))
        self._serials: OrderedDict[Hashable, int] = OrderedDict()  # of each video, the one unused for longest first
        self._rows: dict[int, int] = {}  # row in the tensors by serial
        self._users: Counter[Hashable] = Counter()
        self._next = 0
        self._lock = threading.Lock()

    def __contains__(self, key: Hashable) -> bool:
        return key in self._serials

    def blank(self) -> tuple[Tensor, Tensor]:
        """Features of a video that shows nothing."""
        return torch.zeros_like(self._tokens[0]), torch.zeros_like(self._levels[:, 0])

    def acquire(self, key: Hashable, features: tuple[Tensor, Tensor] | None = None) -> range:
        """The ids of a video, which stays until it is released as often as it was acquired.

        Args:
            key: Names the video.
            features: Its tokens `(S, H)` and levels `(K, S, H)`, zero where a token is no face token; needed if the
                pool does not hold it.

        Raises:
            KeyError: The pool does not hold it, and there are no features.
            PoolFullError: Every place is in use.
            OverflowError: The ids are used up.
        """
        with self._lock:
            if key not in self._serials:
                if features is None:
                    raise KeyError(key)
                self._place(key, *features)
            self._serials.move_to_end(key)
            self._users[key] += 1
            return self._ids(self._serials[key])

    def release(self, key: Hashable) -> None:
        """Give up one use of a video."""
        with self._lock:
            self._users[key] -= 1
            if not self._users[key]:
                del self._users[key]

    def borrow(self, features: tuple[Tensor, Tensor]) -> range:
        """The ids of a spare place until it is given back, for tokens that nobody asks for again.

        Args:
            features: As for :meth:`acquire`.

        Raises:
            PoolFullError: Every spare place is in use.
            OverflowError: The ids are used up.
        """
        with self._lock:
            if not self._spare:
                raise PoolFullError
            return self._ids(self._write(self._spare.pop(), *features))

    def give_back(self, ids: range) -> None:
        """Give up a borrowed place; its ids read zeros from then on."""
        with self._lock:
            self._spare.append(self._rows.pop((ids.start - self.first_id) // self.tokens_per_video))

    def lookup(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens `(N, H)` and levels `(K, N, H)` of visual ids `(N,)`.

        An id whose video has left reads zeros: a cancelled request may still be in the batch that is being computed,
        and what it reads is of no consequence.
        """
        offset = ids.long() - self.first_id
        serials, inverse = (offset // self.tokens_per_video).unique(return_inverse=True)
        place = offset % self.tokens_per_video
        with self._lock:
            rows = torch.tensor([self._rows.get(serial, -1) for serial in serials.tolist()], device=ids.device)
            row = rows[inverse]
            return self._tokens[row, place], self._levels[:, row, place]

    def _ids(self, serial: int) -> range:
        begin = self.first_id + serial * self.tokens_per_video
        return range(begin, begin + self.tokens_per_video)

    def _place(self, key: Hashable, tokens: Tensor, levels: Tensor) -> None:
        if not self._free:
            idle = next((key for key in self._serials if key not in self._users), None)
            if idle is None:
                raise PoolFullError
            self._free.append(self._rows.pop(self._serials.pop(idle)))
        self._serials[key] = self._write(self._free.pop(), tokens, levels)

    def _write(self, row: int, tokens: Tensor, levels: Tensor) -> int:
        """Fill a row of the tensors: its serial number from now on."""
        serial = self._next
        if self.first_id + (serial + 1) * self.tokens_per_video > MAX_ID:
            raise OverflowError("the ids for visual tokens are used up: restart the engine")
        self._tokens[row] = tokens.to(self._tokens)
        self._levels[:, row] = levels.to(self._levels)
        self._rows[serial], self._next = row, serial + 1
        return serial
