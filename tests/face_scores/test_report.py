from dataclasses import replace

import numpy as np

from favchat.face_scores.report import Scorer, face_report
from favchat.face_scores.values import Calibration
from favchat.video import ProcessedClip
from favchat.video.decode import VideoInfo

SCORER = Scorer("tiny", "sha256:0", ["smile"], Calibration())


def clip(rng: np.random.Generator) -> ProcessedClip:
    """A face of 100 pixels that looks at the camera, moves by half its size a second, and is away for one frame."""
    visible = np.array([True, True, False, True])
    left = np.arange(4)[:, None] * 5
    boxes = np.concatenate([100 + left, np.full((4, 1), 50), 200 + left, np.full((4, 1), 150)], axis=1)
    points = np.array([[130, 90], [170, 90], [150, 112], [135, 130], [165, 130]]) + np.stack([left, 0 * left], axis=2)
    scale = np.array([640, 360])
    return ProcessedClip(
        frames=rng.integers(0, 255, (4, 36, 64, 3), np.uint8),
        faces=rng.integers(0, 255, (4, 32, 32, 3), np.uint8),
        timestamps=np.arange(4) / 10,
        boxes=(boxes / np.tile(scale, 2) * visible[:, None]).astype(np.float32),
        landmarks=(points / scale * visible[:, None, None]).astype(np.float32),
        scores=visible.astype(np.float32),
        visible=visible,
        info=VideoInfo(640, 360, 10.0, 0.4, 4, 0, "h264", "pyav"),
        shot=(0.0, 0.4),
    )


def test_the_track_has_gaps_where_the_face_is_away():
    report = face_report("v", SCORER, clip(np.random.default_rng(0)))
    track = report.track
    assert track is not None and track.visible == [True, True, False, True]
    assert track.boxes[2] is track.landmarks[2] is track.yaw[2] is None
    assert track.motion[0] is track.motion[2] is track.motion[3] is None
    assert abs(track.motion[1] - 0.5) < 0.01
    assert abs(track.yaw[0]) < 2 and abs(track.roll[0]) < 1
    assert report.face.size_px == 100 and report.face.warnings == []


def test_what_makes_a_face_hard_to_read_is_said():
    good = clip(np.random.default_rng(0))
    poor = replace(
        good,
        faces=np.full_like(good.faces, 20),
        visible=np.array([True, False, False, False]),
        info=replace(good.info, width=160, height=90),
    )
    warnings = {one.code for one in face_report("v", SCORER, poor).face.warnings}
    assert warnings == {"small_face", "blurred_face", "dark_face", "seldom_seen"}
