"""Several faces: how many, and which is followed."""

import threading
from types import SimpleNamespace

import numpy as np
import pytest

from favchat.video import Detections
from serve.notices import of_video, which
from serve.people import RememberingDetector, count_people

SIZE = (100, 200)


def seen(*centres: float) -> Detections:
    """Faces 20 pixels wide at these x, the surest first."""
    boxes = np.array([[x - 10, 20, x + 10, 50] for x in centres], dtype=np.float32).reshape(-1, 4)
    return Detections(boxes, np.zeros((len(boxes), 5, 2), np.float32), np.linspace(0.9, 0.6, len(boxes)))


def clip(*centres: float | None):
    """A track at these x; None where it is lost."""
    boxes = [[0, 0, 0, 0] if x is None else [(x - 10) / 200, 0.2, (x + 10) / 200, 0.5] for x in centres]
    return SimpleNamespace(boxes=np.array(boxes), visible=np.array([x is not None for x in centres]))


@pytest.mark.parametrize(
    ("frames", "track", "found", "followed"),
    [
        ([seen(50)] * 4, clip(50, 50, 50, 50), 1, 1),
        ([seen(50, 150)] * 4, clip(50, 50, 50, 50), 2, 1),
        ([seen(150, 50)] * 4, clip(150, 150, 150, 150), 2, 2),
        ([seen(100, 30, 170)] * 4, clip(100, 101, 102, 100), 3, 2),
        ([seen(50, 150), *[seen(50)] * 9], clip(*[50] * 10), 1, 1),  # one false alarm
        ([seen(50), seen(), seen(), seen()], clip(50, None, None, None), 1, 1),
        ([seen(50, 150)] * 2, clip(None, None), 2, None),
    ],
)
def test_faces_at_once_and_the_place_of_the_followed_one(frames, track, found, followed) -> None:
    assert count_people(frames, SIZE, track, 0.3) == {"found": found, "followed": followed}


def test_in_words() -> None:
    assert which({"found": 2, "followed": 1}) == "the one on the left"
    assert which({"found": 2, "followed": 2}) == "the one on the right"
    assert which({"found": 3, "followed": 2}) == "number 2 from the left"
    assert which({"found": 3, "followed": None}) == "the one in the track"
    assert of_video({"people": [{"found": 1, "followed": 1}], "readable": 1.0}, 1) == []
    facts = {"people": [{"found": 2, "followed": 1}, {"found": 2, "followed": 2}], "readable": 0.526}
    damaged, several = of_video(facts, 3)
    assert several["code"] == "several_faces" and "Video 3 shows 2 faces" in several["message"]
    assert "on the left" in several["message"] and "on the right" in of_video(facts, 3, face=1)[1]["message"]
    assert damaged["code"] == "partly_read" and "video 3 only 53 %" in damaged["message"]


def test_each_thread_is_told_what_was_found_for_it() -> None:
    detector = RememberingDetector(SimpleNamespace(detect=lambda images: [seen(float(images[0, 0, 0, 0]))]))
    told = {}

    def work(x: int) -> None:
        detector.detect(np.full((1, 100, 200, 3), x, np.uint8))
        barrier.wait()
        told[x] = detector.last()

    barrier = threading.Barrier(2)
    threads = [threading.Thread(target=work, args=(x,)) for x in (50, 150)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {x: (found[0].boxes[0, 0], size) for x, (found, size) in told.items()} == {
        50: (40, SIZE),
        150: (140, SIZE),
    }
