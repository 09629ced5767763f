"""What calls of the processors take, as transformers checks it.

It reads the annotations themselves, so this module does not postpone them.
"""

from typing import Any, TypedDict

from transformers.processing_utils import ProcessingKwargs
from transformers.utils import TensorType

Numbers = list[float] | tuple[float, ...]


class FaVChatVideosKwargs(TypedDict, total=False):
    """What a call may change of the video processor, and what it may say about the videos."""

    num_frames: int | None
    image_size: int | None
    image_mean: Numbers | None
    image_std: Numbers | None
    face_size: int | None
    face_mean: Numbers | None
    face_std: Numbers | None
    clip: dict | None
    do_sample_frames: bool | None
    video_metadata: Any
    return_tensors: str | TensorType | None


class FaVChatProcessorKwargs(ProcessingKwargs, total=False):  # type: ignore[call-arg]  # it is a TypedDict
    """What a call of the processor takes beside texts and videos."""

    videos_kwargs: FaVChatVideosKwargs
