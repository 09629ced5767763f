import numpy as np

from favchat.video import ProcessedClip
from favchat.video.face_measures import face_measures
from favchat.video.file_info import VideoInfo
from favchat.video.seen_frames import as_seen, picked_frames


def test_the_middles_of_equal_parts_are_seen():
    assert picked_frames(12, 4).tolist() == [1, 4, 7, 10]
    assert picked_frames(9, 1).tolist() == [4]
    assert picked_frames(2, 4).tolist() == [0, 0, 1, 1]
    assert picked_frames(4, 4).tolist() == [0, 1, 2, 3]


def test_a_clip_keeps_the_pictures_that_are_seen_and_all_else_of_every_frame():
    count, noise = 9, np.random.default_rng(0)
    faces = noise.integers(0, 256, (count, 160, 160, 3), dtype=np.uint8)
    clip = ProcessedClip(
        frames=noise.integers(0, 256, (count, 8, 8, 3), dtype=np.uint8),
        faces=faces,
        timestamps=np.arange(count) / 8,
        boxes=np.zeros((count, 4), np.float32),
        landmarks=np.zeros((count, 5, 2), np.float32),
        scores=np.ones(count, np.float32),
        visible=np.ones(count, np.bool_),
        info=VideoInfo(8, 8, 8.0, count / 8, count, 0, "none", "images"),
    )
    seen = as_seen(clip, 3)
    assert np.array_equal(seen.frames, clip.frames[[1, 4, 7]])
    assert np.array_equal(seen.faces, clip.faces[[1, 4, 7]])
    assert len(seen.timestamps) == len(seen.visible) == len(seen.landmarks) == count
    # How mouth and face move is measured on all crops, as of a clip that has them all.
    assert np.array_equal(seen.face_measures, face_measures(faces, clip.visible))
