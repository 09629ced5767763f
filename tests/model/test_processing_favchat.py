import numpy as np


def test_a_frame_without_a_face_has_no_geometry(tiny, make_clip):
    _, processor = tiny
    clip = make_clip(0, frames=2)
    shown = processor.video_inputs([clip])["face_geometry"]
    clip.visible[0] = False
    clip.landmarks[0] = 0.0  # as shards have it
    hidden = processor.video_inputs([clip])
    first = np.flatnonzero(~hidden["face_visible"][0].numpy())
    assert len(first)
    assert (hidden["face_geometry"][0, first] == 0).all()
    others = np.flatnonzero(hidden["face_visible"][0].numpy())
    assert (hidden["face_geometry"][0, others] == shown[0, others]).all()
