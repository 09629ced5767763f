"""From videos to the tensors that the encoders and the adapter read.

Shapes: V videos, T frames that the model sees of each, M measures of motion.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from types import SimpleNamespace
from typing import Any, Protocol

import cv2
import numpy as np
import torch
from transformers import BatchFeature
from transformers.video_processing_utils import VideoProcessorMixin

from favchat.io.paths import local_copy
from favchat.model.processing_kwargs import FaVChatVideosKwargs
from favchat.video.align import face_geometry
from favchat.video.decoded import DecodedVideo
from favchat.video.detect import FaceDetector
from favchat.video.face_measures import face_measures
from favchat.video.motion import motion_features
from favchat.video.seen_frames import NUM_FRAMES, picked_frames
from favchat.video.specification import ClipSpecification

PIXELS = ("pixel_values_videos", "pixel_values_faces")
FEATURES = ("vision_features", "face_features")
TRACK_INPUTS = ("face_visible", "frame_times", "face_geometry", "face_motion")


class FaceClip(Protocol):
    """What a model sees of a video before its pixels are scaled; :class:`favchat.video.ProcessedClip` has it."""

    @property
    def frames(self) -> np.ndarray:
        """`(n, H, W, 3)` uint8 RGB, or only the ones that :func:`picked_frames` picks of n for this model."""

    @property
    def faces(self) -> np.ndarray:
        """`(n, s, s, 3)` uint8 RGB, aligned; as many as frames."""

    @property
    def timestamps(self) -> np.ndarray:
        """`(n,)` seconds since the clip's start."""

    @property
    def landmarks(self) -> np.ndarray:
        """`(n, 5, 2)` normalised to 0..1."""

    @property
    def visible(self) -> np.ndarray:
        """`(n,)` bool."""


CLIP = ("frames", "faces", "timestamps", "landmarks", "visible")
"""What a :class:`FaceClip` has, and the keys of one that comes as a dictionary."""


class FaVChatVideoProcessor(VideoProcessorMixin):
    """Reads videos as the model's training corpus was read, and makes the encoders' pixels.

    Args:
        num_frames: Frames T that the model sees of a clip, picked uniformly (a shorter clip repeats frames).
        image_size: Side in pixels of the general encoder's input; frames are scaled to fit and padded.
        image_mean: Channel means of the general encoder, of pixels in 0..1.
        image_std: Channel deviations of the general encoder.
        face_size: Side in pixels of the face encoder's input.
        face_mean: Channel means of the face encoder.
        face_std: Channel deviations of the face encoder.
        clip: The clip specification of the corpus that the model was trained on, as
            :meth:`favchat.video.ClipSpecification.to_dict` gives it; by default that of the default settings.
    """

    model_input_names = [*PIXELS, *TRACK_INPUTS]
    valid_kwargs = FaVChatVideosKwargs

    def __init__(
        self,
        num_frames: int = NUM_FRAMES,
        image_size: int = 224,
        image_mean: Sequence[float] = (0.5, 0.5, 0.5),
        image_std: Sequence[float] = (0.5, 0.5, 0.5),
        face_size: int = 160,
        face_mean: Sequence[float] = (0.0, 0.0, 0.0),
        face_std: Sequence[float] = (1.0, 1.0, 1.0),
        clip: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.num_frames = num_frames
        self.image_size, self.image_mean, self.image_std = image_size, list(image_mean), list(image_std)
        self.face_size, self.face_mean, self.face_std = face_size, list(face_mean), list(face_std)
        self.clip = ClipSpecification.from_dict(clip or {}).to_dict()

    @property
    def clip_specification(self) -> ClipSpecification:
        """How a video becomes a clip that this model sees."""
        return ClipSpecification.from_dict(self.clip)

    @clip_specification.setter
    def clip_specification(self, specification: ClipSpecification) -> None:
        self.clip = specification.to_dict()

    def preprocess(self, videos: Any, **kwargs: Any) -> BatchFeature:
        """Make the tensors of V videos.

        Args:
            videos: One video or a list of them, nested as one likes, each of one of these kinds:
                a path or an address (`https://`, `s3://` and what else fsspec opens) of a file or of a folder of
                numbered images; frames in memory, an array `(n, H, W, 3)` or `(n, 3, H, W)` or a list of images;
                a clip whose face was found before, a :class:`FaceClip` or a dictionary of what it has;
                or features, see :meth:`inputs`.
            **kwargs: The settings of this class, for this call; `video_metadata`, of which `fps` says how many frames
                in memory are a second (by default 25), one dictionary or one for each video; `do_sample_frames=False`
                where frames in memory were sampled before; `return_tensors`.

        Returns:
            What :meth:`inputs` returns.

        Raises:
            VideoError: A video cannot be read, or shows no face.
            ValueError: A video is of another kind.
        """
        sample = kwargs.pop("do_sample_frames", None) is not False
        return_tensors, metadata = kwargs.pop("return_tensors", None), kwargs.pop("video_metadata", None)
        unknown = kwargs.keys() - set(self.valid_kwargs.__annotations__)
        if unknown:
            raise ValueError(f"{min(unknown)}: no setting of {type(self).__name__}")
        changed = {name: value for name, value in kwargs.items() if value is not None}
        reader = type(self)(**{**self.to_dict(), **changed}) if changed else self
        found = list_of_videos(videos)
        rates = _rates(metadata, len(found))
        clips = [reader.read(video, fps=fps, sample=sample) for video, fps in zip(found, rates, strict=True)]
        return BatchFeature(reader.inputs(clips), tensor_type=return_tensors)

    def read(
        self, video: Any, *, fps: float | None = None, sample: bool = True
    ) -> FaceClip | Mapping[str, torch.Tensor]:
        """One video as a clip by the model's specification, the detector made once a process; a clip as it is.

        Args:
            video: Any kind that :meth:`preprocess` takes.
            fps: Of frames in memory.
            sample: Whether frames in memory are sampled by the specification, or were before.

        Raises:
            VideoError: It cannot be read, or shows no face.
            ValueError: A file would have to be read without sampling.
        """
        specification = self.clip_specification
        if isinstance(video, (str, os.PathLike)):
            if not sample:
                raise ValueError(f"{video}: do_sample_frames=False is for frames in memory; of a file they are sampled")
            with local_copy(os.fspath(video)) as path:
                return specification.read(path, _detector(specification))[0]
        if isinstance(video, Mapping):
            if any(name in video for name in FEATURES):
                return video
            missing = [name for name in CLIP if name not in video]
            if missing:
                raise ValueError(f"a clip given as a dictionary has no {missing[0]}; it needs {', '.join(CLIP)}")
            return SimpleNamespace(**{name: np.asarray(video[name]) for name in CLIP})
        if _is_clip(video):
            return video
        decoded = video if isinstance(video, DecodedVideo) else DecodedVideo.of(video, fps=fps)
        if not sample:
            specification = replace(specification, fps=decoded.fps, max_frames=len(decoded.images))
        return specification.read(decoded, _detector(specification))[0]

    def inputs(self, clips: Sequence[FaceClip | Mapping[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
        """The tensors of V clips.

        Args:
            clips: Clips; or, of each, tensors that were made before: `vision_features` `(T, P, C)` and `face_features`
                `(T, Q, C)`, of which :meth:`FaVChatModel.encode_frames` gives one row a video, and `face_visible`,
                `frame_times`, `face_geometry` and `face_motion` as this method gives them. Not both kinds at once.

        Returns:
            `face_visible` `(V, T)` bool, `frame_times` `(V, T)` float32 seconds, `face_geometry` `(V, T, 4)` and
            `face_motion` `(V, M)` float32; of clips also `pixel_values_videos` `(V, T, 3, image_size, image_size)` and
            `pixel_values_faces` `(V, T, 3, face_size, face_size)`, float32, of tensors their features.

        Raises:
            ValueError: Clips and features are mixed, or a tensor is missing.
        """
        encoded = [clip for clip in clips if isinstance(clip, Mapping)]
        if not encoded:
            items = [self._of_clip(clip) for clip in clips if not isinstance(clip, Mapping)]
            return {name: torch.from_numpy(np.stack([item[name] for item in items])) for name in items[0]}
        if len(encoded) < len(clips):
            raise ValueError(f"{len(encoded)} of {len(clips)} clips come as features; give all or none as features")
        names = [*FEATURES, *TRACK_INPUTS]
        missing = [name for name in names for item in encoded if name not in item]
        if missing:
            raise ValueError(f"a clip given as features has no {missing[0]}; it needs {', '.join(names)}")
        return {name: torch.stack([item[name] for item in encoded]) for name in names}

    def _of_clip(self, clip: FaceClip) -> dict[str, np.ndarray]:
        picked = picked_frames(len(clip.visible), self.num_frames)
        # Of a clip read from a corpus the pictures that no model sees were never decoded.
        pictures = np.arange(len(picked)) if len(clip.frames) != len(clip.visible) else picked
        height, width = clip.frames.shape[1:3]
        tracked = np.asarray(clip.visible, dtype=bool)
        visible = tracked[picked]
        geometry = np.zeros((len(picked), 4), dtype=np.float32)
        for index in np.flatnonzero(visible):  # where no face is visible there are no landmarks either
            geometry[index] = face_geometry(clip.landmarks[picked[index]] * (width, height), width, height)
        frames = [_letterbox(frame, self.image_size) for frame in clip.frames[pictures]]
        faces = [
            cv2.resize(face, (self.face_size, self.face_size), interpolation=cv2.INTER_AREA)
            for face in clip.faces[pictures]
        ]
        return {
            "pixel_values_videos": _normalise(np.stack(frames), self.image_mean, self.image_std),
            "pixel_values_faces": _normalise(np.stack(faces), self.face_mean, self.face_std),
            "face_visible": visible,
            "frame_times": np.asarray(clip.timestamps, dtype=np.float32)[picked],
            "face_geometry": geometry,
            "face_motion": np.concatenate(
                [
                    motion_features(clip.landmarks, tracked, clip.timestamps, width, height),
                    _face_measures(clip, tracked),
                ]
            ),
        }


def _face_measures(clip: FaceClip, visible: np.ndarray) -> np.ndarray:
    """What was measured before, or is measured now if all crops are there."""
    measured = getattr(clip, "face_measures", None)
    return face_measures(clip.faces, visible) if measured is None else np.asarray(measured, np.float32)


def list_of_videos(videos: Any) -> list[Any]:
    """One video, or videos in nested lists, as a flat list in reading order.

    Raises:
        ValueError: Something among them is no video.
    """
    if _is_clip(videos) or isinstance(videos, (str, os.PathLike, Mapping, DecodedVideo)):
        return [videos]
    dimensions = getattr(videos, "ndim", None)
    if dimensions == 4:
        return [videos]
    if dimensions == 5:
        return list(videos)
    if isinstance(videos, (list, tuple)):
        if videos and all(_is_image(one) for one in videos):
            return [videos]
        return [video for one in videos for video in list_of_videos(one)]
    raise ValueError(
        f"a {type(videos).__name__} is no video; give a path, an address, frames (n, height, width, 3), or a clip with "
        f"{', '.join(CLIP)}"
    )


def _is_clip(value: Any) -> bool:
    return all(hasattr(value, name) for name in CLIP)


def _is_image(value: Any) -> bool:
    return getattr(value, "ndim", None) == 3 or (hasattr(value, "convert") and hasattr(value, "getbands"))


def _rates(metadata: Any, count: int) -> list[float | None]:
    """Frames a second of each of `count` videos, as far as it is said."""
    each = list(metadata) if isinstance(metadata, (list, tuple)) else [metadata] * count
    if len(each) != count:
        raise ValueError(f"video_metadata: {len(each)} for {count} video(s)")
    return [one.get("fps") if isinstance(one, Mapping) else getattr(one, "fps", None) for one in each]


@lru_cache
def _detector(specification: ClipSpecification) -> FaceDetector:
    return specification.make_detector()


def _letterbox(image: np.ndarray, side: int) -> np.ndarray:
    """Scale an image to fit a square and centre it on mid grey."""
    height, width = image.shape[:2]
    scale = side / max(height, width)
    new_width, new_height = max(1, round(width * scale)), max(1, round(height * scale))
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    square = np.full((side, side, 3), 127, dtype=np.uint8)
    top, left = (side - new_height) // 2, (side - new_width) // 2
    resized = cv2.resize(image, (new_width, new_height), interpolation=interpolation)
    square[top : top + new_height, left : left + new_width] = resized
    return square


def _normalise(images: np.ndarray, mean: Sequence[float], std: Sequence[float]) -> np.ndarray:
    """`(T, h, w, 3)` uint8 to `(T, 3, h, w)` float32."""
    scaled = (images.astype(np.float32) / 255.0 - np.asarray(mean, np.float32)) / np.asarray(std, np.float32)
    return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2))
