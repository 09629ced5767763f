"""The encoder as a deployment: several videos in a batch."""

from __future__ import annotations

import asyncio

from favchat.config import Config
from favchat.face_scores.values import AttributeScore, Calibration
from favchat.runtime.collector import collector_paused
from favchat.video.clip import ProcessedClip
from serve.batcher import Batcher
from serve.errors import ApiError
from serve.replica_process import compute_behind_the_api
from serve.view import Part, View


class EncoderReplica:
    """Encodes each video once; the result goes to the store."""

    def __init__(self, config: Config) -> None:
        compute_behind_the_api()
        # Imported here: whoever deploys this, and the API, need no torch, which takes seconds to import.
        with collector_paused():
            from serve.encoder import load_encoder, removable

        self.encoder = load_encoder(config)
        self.parts = removable(self.encoder.model)
        self.encoder.warm_up()
        self._batches = Batcher(self.encoder.encode, config.serve.encoder_batch)

    async def encode(self, view: View) -> int:
        """See that the store holds the features of a view whose clip it holds.

        Returns:
            How many were encoded at once with it; 0 where it was encoded before.

        Raises:
            ApiError: The video left the store, or the model has no part that is to be left out.
        """
        if await asyncio.to_thread(self.encoder.store.derived.features(view).exists):
            return 0
        for part in view.without:
            if part not in self.parts:
                known = f"it has {' and '.join(self.parts)}" if self.parts else "it has none that could be"
                message = f"without: {part} cannot be left out of this model; {known}."
                raise ApiError(400, message, "without", "unsupported_parameter")
        error, size = await self._batches.do(view)
        if error is not None:
            raise error
        return size

    async def taught(self) -> tuple[list[str], Calibration]:
        """The attributes that the model was taught, and what was measured of them on held-out clips."""
        return self.encoder.processor.attributes, self.encoder.calibration

    async def hide_frames(self, view: View) -> None:
        """See that the store holds the features of a view with one frame hidden after the other.

        Raises:
            ApiError: The video left the store.
        """
        if not await asyncio.to_thread(self.encoder.store.derived.hidden(view).exists):
            await asyncio.to_thread(self.encoder.hide_frames, view)

    async def removable(self) -> tuple[Part, ...]:
        """The parts of the model that a view may leave out."""
        return self.parts

    async def scores(self, view: View, clips: list[ProcessedClip | None]) -> list[list[AttributeScore]]:
        """The scores of each clip, see :meth:`serve.encoder.Encoder.scores`."""
        return await asyncio.to_thread(self.encoder.scores, view, clips)

    async def counters(self) -> dict[str, int]:
        """What this replica has done."""
        return {"encoded": self.encoder.encoded, "encoder_batches": self.encoder.batches}
