"""What the API tells of a video: the face track with its pictures, and which experts fired."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from favchat.video.images import encode_images
from serve.derived_files import gone
from serve.notices import which
from serve.people import QUALITY
from serve.store import VideoStore
from serve.view import View


def describe(store: VideoStore, view: View) -> dict[str, Any]:
    """The description of a video that was decoded and encoded, about one of its faces, ready for JSON.

    Returns:
        `id`; `width`, `height`, `fps`, `duration` of the file; `readable`: the share, 0..1, of
        the wanted moments at which a frame could be read; `people`: how many faces are `found` at once, and which
        of them, counted from the left, is `followed` (null where that is not clear), as a `description` says in words;
        `faces`: of each what :func:`serve.people.told_of` says, boxes at the track's `timestamps`, its `index`, and
        which from the left it is (`from_left`, null where that is not clear); `face`: which of them the rest is about;
        `track` with lists over the n sampled frames: `timestamps` in seconds, `boxes` x1 y1 x2 y2 and `landmarks` 5 x y
        as shares of width and height, `scores`, `visible`, and as base64 JPEG the `frames` and the aligned `crops`;
        `experts` with `num_experts`, the `timestamps` of the T frames that the model sees, and for each expert layer
        the share of a frame's `general` and `face` tokens that each expert gets, T lists of num_experts values.

    Raises:
        ApiError: The video left the store.
    """
    key, face = view.key, view.face
    clip = store.derived.read_clip(key, face)
    try:
        features = load_file(store.derived.features(view))
    except FileNotFoundError:
        raise gone() from None
    people, readable = (store.derived.told(key, "facts")[name] for name in ("people", "readable"))
    usage = features["usage"]  # (layers, 2, T, experts)
    return {
        "id": key,
        "object": "video",
        "width": clip.info.width,
        "height": clip.info.height,
        "fps": clip.info.fps,
        "duration": clip.info.duration,
        "readable": readable,
        "people": {**people[face], "description": which(people[face])},
        "faces": [
            {"index": index, "from_left": one["followed"], **told}
            for index, (one, told) in enumerate(zip(people, store.derived.told(key, "faces"), strict=True))
        ],
        "face": face,
        "track": {
            "timestamps": _rounded(clip.timestamps),
            "boxes": _rounded(clip.boxes),
            "landmarks": _rounded(clip.landmarks),
            "scores": _rounded(clip.scores),
            "visible": clip.visible.tolist(),
            "frames": _pictures(clip.frames),
            "crops": _pictures(clip.faces),
        },
        "experts": {
            "num_experts": usage.shape[-1],
            "timestamps": _rounded(features["times"]),
            "layers": [{"general": _rounded(general), "face": _rounded(face)} for general, face in usage],
        },
    }


def _rounded(values: np.ndarray) -> Any:
    return np.round(values.astype(np.float64), 5).tolist()


def _pictures(images: np.ndarray) -> list[str]:
    return [base64.b64encode(file).decode() for file in encode_images(images, quality=QUALITY)]
