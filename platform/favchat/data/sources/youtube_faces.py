"""YouTube Faces as a source (Wolf et al., CVPR 2011): 3,425 videos of 1,595 people as folders of frames."""

from __future__ import annotations

import statistics

from upath import UPath

from favchat.config import ConfigError, SourceConfig
from favchat.data.clips import Clip, checked_box
from favchat.data.sources.listing import dataset_folder, safe

_IMAGES = frozenset({".jpg", ".jpeg", ".png"})


def youtube_faces_clips(source: SourceConfig) -> list[Clip]:
    """One clip a folder ``<name>/<video no>/`` of frames; the identity is the name. Ordered by name and number.

    Where ``<name>.labeled_faces.txt`` lies beside the folders, a clip's box is the median of its frames' boxes.

    Raises:
        ConfigError: There is no such folder, or no frames in it, or a file of boxes is malformed.
    """
    folder = dataset_folder(source, "frame_images_DB/<name>/<video no>/*.jpg, or the content of frame_images_DB itself")
    root = folder / "frame_images_DB" if (folder / "frame_images_DB").is_dir() else folder
    clips = []
    for person in sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")):
        boxes = _boxes(root / f"{person.name}.labeled_faces.txt")
        for video in sorted(path for path in person.iterdir() if path.is_dir()):
            if any(path.suffix.lower() in _IMAGES for path in video.iterdir()):
                clips.append(
                    Clip(
                        id=safe(f"{person.name}/{video.name}"),
                        video=str(video),
                        identity=person.name,
                        box=boxes.get(video.name),
                    )
                )
    if not clips:
        raise ConfigError(f"data.source.path: no frames below {root}; expected <name>/<video no>/<frame>.jpg")
    return clips


def _boxes(path: UPath) -> dict[str, tuple[float, float, float, float]]:
    r"""Video number -> the face's box in pixels, from lines ``Name\1\1.100.jpg,0,x,y,width,height,0,0``.

    x and y are the centre of the face.
    """
    if not path.is_file():
        return {}
    found: dict[str, list[tuple[float, ...]]] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            name, _, x, y, width, height = line.split(",")[:6]
            video = name.replace("\\", "/").split("/")[-2]
            values = float(x), float(y), float(width), float(height)
        except (ValueError, IndexError) as error:
            raise ConfigError(f"{path}: line {number}: {line!r} is no frame and box") from error
        found.setdefault(video, []).append(values)
    boxes = {}
    for video, frames in found.items():
        x, y, width, height = (statistics.median(values) for values in zip(*frames, strict=True))
        boxes[video] = checked_box([x - width / 2, y - height / 2, x + width / 2, y + height / 2])
    return boxes
