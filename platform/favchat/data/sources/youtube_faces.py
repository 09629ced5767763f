"""YouTube Faces as a source (Wolf et al., CVPR 2011): 3,425 videos of 1,595 people as folders of frames."""

from __future__ import annotations

import statistics

from upath import UPath

from favchat.config import ConfigError, SourceConfig
from favchat.data.corpus.clip import Clip, checked_box
from favchat.data.listing.annotation_files import number
from favchat.data.listing.entries import Entries, Entry, Listing
from favchat.data.listing.video_files import dataset_folder, safe

_IMAGES = frozenset({".jpg", ".jpeg", ".png"})


def youtube_faces_clips(source: SourceConfig) -> Listing:
    """One clip per folder ``<name>/<video no>/`` of frames; the identity is the name. Ordered by name and number.

    If ``<name>.labeled_faces.txt`` is beside the folders, a clip's box is the median of its frames' boxes.

    Raises:
        ConfigError: The folder does not exist or holds no frames.
    """
    folder = dataset_folder(source, "frame_images_DB/<name>/<video no>/*.jpg, or the content of frame_images_DB itself")
    root = folder / "frame_images_DB" if (folder / "frame_images_DB").is_dir() else folder
    found = Entries(str(root))
    several = False
    for person in sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")):
        boxes, errors = _boxes(root / f"{person.name}.labeled_faces.txt")
        for video in sorted(path for path in person.iterdir() if path.is_dir()):
            if not any(path.suffix.lower() in _IMAGES for path in video.iterdir()):
                continue
            several = True
            entry = Entry(ascii(f"{person.name}/{video.name}"))
            for error in errors:
                entry.lose("lines of boxes left out", error)
            errors = []  # the file is per person: count its errors once
            clip_id = safe(f"{person.name}/{video.name}")
            try:
                box = _median(boxes[video.name]) if video.name in boxes else None
                found.add(entry, Clip(id=clip_id, video=str(video), identity=person.name, box=box))
            except ValueError as error:
                found.reject(entry, error, name=clip_id, video=str(video))
    if not several:
        raise ConfigError(f"data.source.path: no frames below {root}; expected <name>/<video no>/<frame>.jpg")
    return found.listing(absent=False)


def _boxes(path: UPath) -> tuple[dict[str, list[tuple[float, ...]]], list[str]]:
    r"""Video number -> centre x, y, width and height of the face in its frames, in pixels; and malformed lines.

    The lines are ``Name\1\1.100.jpg,0,x,y,width,height,0,0``.
    """
    found: dict[str, list[tuple[float, ...]]] = {}
    errors: list[str] = []
    if not path.is_file():
        return found, errors
    lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    for place, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            name, _, *values = line.split(",")[:6]
            x, y, width, height = map(number, values)
            video = name.replace("\\", "/").split("/")[-2]
        except (ValueError, IndexError):
            errors.append(f"{path.name}: line {place}: {line!r} is no frame and box")
            continue
        found.setdefault(video, []).append((x, y, width, height))
    return found, errors


def _median(frames: list[tuple[float, ...]]) -> tuple[float, float, float, float]:
    x, y, width, height = (statistics.median(values) for values in zip(*frames, strict=True))
    return checked_box([x - width / 2, y - height / 2, x + width / 2, y + height / 2])


SOURCE = youtube_faces_clips
