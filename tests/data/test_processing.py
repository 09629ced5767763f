"""One clip's way to a row: where its video may lie. No Ray here; the pipeline's tests have that."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import fsspec
import numpy as np
import pyarrow as pa

from favchat.config import DataConfig
from favchat.data.processing import ClipProcessor
from favchat.data.schema import CLIP_SCHEMA
from favchat.video.detect import Detections

SAMPLE = Path(__file__).parents[2] / "platform" / "favchat" / "sample" / "clips" / "franck_0.mp4"


class Blind:
    """A detector that sees no face: whatever reaches it was found and decoded."""

    def detect(self, images: np.ndarray) -> list[Detections]:
        none = np.zeros(0, np.float32)
        return [Detections(none.reshape(0, 4), none.reshape(0, 5, 2), none) for _ in images]


def fate(video: str) -> tuple[str, str]:
    progress: Any = SimpleNamespace(finished=SimpleNamespace(remote=lambda *_: None))
    row = {
        **{"clip_id": "a", "source": "folder", "video": video, "start": 0.0, "split": "train"},
        **{"appearance": [None] * 40, "action": [None] * 35, "emotion_segments": []},
    }
    process = ClipProcessor(DataConfig(), Blind, progress)
    (done,) = process(pa.Table.from_pylist([row], schema=CLIP_SCHEMA)).to_pylist()
    return done["stage"], done["reason"]


def test_a_remote_video_is_fetched(memory: str) -> None:
    with fsspec.open(f"{memory}/x.mp4", "wb") as file:
        file.write(SAMPLE.read_bytes())
    assert fate(f"{memory}/x.mp4") == fate(str(SAMPLE))
    assert fate(str(SAMPLE))[0] == "track"


def test_a_folder_of_frames_is_read(tmp_path: Path) -> None:
    with av.open(str(SAMPLE)) as container:
        for number, frame in zip(range(3), container.decode(video=0), strict=False):
            frame.to_image().save(tmp_path / f"{number}.jpg")
    assert fate(str(tmp_path))[0] == "track"


def test_a_video_that_is_nowhere(tmp_path: Path, memory: str) -> None:
    assert fate(str(tmp_path / "absent.mp4")) == ("open", "file not found")
    assert fate(f"{memory}/absent.mp4") == ("open", "file not found")
