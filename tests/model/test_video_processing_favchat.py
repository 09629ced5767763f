"""Videos of every kind become what the model's training corpus held."""

from dataclasses import asdict

import av
import numpy as np
import pytest
import torch
from PIL import Image

from favchat.model import FaVChatVideoProcessor
from favchat.video import ClipSpecification, VideoError
from jobs.quickstart import SAMPLE

VIDEO = SAMPLE / "clips" / "capture_0.mp4"
SPECIFICATION = ClipSpecification(fps=4, max_frames=6)


@pytest.fixture(scope="module")
def videos(centerface):
    return FaVChatVideoProcessor(num_frames=4, image_size=64, clip=SPECIFICATION.to_dict())


@pytest.fixture(scope="module")
def clip(videos):
    return SPECIFICATION.read(VIDEO, SPECIFICATION.make_detector())[0]


@pytest.fixture(scope="module")
def frames():
    """Every frame of the video, `(n, h, w, 3)`, and how many are a second."""
    with av.open(str(VIDEO)) as container:
        rate = float(container.streams.video[0].average_rate)
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]), rate


def same(one, other):
    assert one.keys() == other.keys()
    for name in one:
        assert torch.equal(one[name], other[name]), name


def test_a_path_is_read_by_the_models_clip_specification(videos, clip):
    expected = videos.inputs([clip])
    assert expected["face_visible"].all()
    same(videos(VIDEO, return_tensors="pt"), expected)
    same(videos([[str(VIDEO)], []]), expected)
    same(videos(f"file://{VIDEO}"), expected)
    twice = videos([VIDEO, clip])
    assert torch.equal(twice["frame_times"][0], twice["frame_times"][1])
    fewer = videos(VIDEO, num_frames=2)
    assert fewer["pixel_values_videos"].shape == (1, 2, 3, 64, 64)
    assert videos.num_frames == 4


def test_a_clip_may_come_as_a_dictionary(videos, clip):
    rows = {name: value for name, value in asdict(clip).items() if name != "info"}
    same(videos([rows]), videos.inputs([clip]))
    del rows["landmarks"]
    with pytest.raises(ValueError, match="has no landmarks; it needs frames, faces"):
        videos([rows])


def test_frames_in_memory_are_read_as_the_file_is(videos, clip, frames):
    images, rate = frames
    expected = videos.inputs([clip])
    found = videos(images, video_metadata={"fps": rate})
    assert torch.equal(found["frame_times"], expected["frame_times"])
    assert torch.equal(found["face_visible"], expected["face_visible"])
    torch.testing.assert_close(found["face_geometry"], expected["face_geometry"], atol=0.02, rtol=0)
    difference = (found["pixel_values_videos"] - expected["pixel_values_videos"]).abs().mean()
    assert difference < 0.05  # another decoder's scaling, of pixels in -1..1
    channels_first = torch.from_numpy(images).permute(0, 3, 1, 2)
    same(videos([channels_first], video_metadata=[{"fps": rate}]), found)
    same(videos([Image.fromarray(image) for image in images], video_metadata={"fps": rate}), found)


def test_frames_that_were_sampled_before_are_kept(videos, frames):
    images, rate = frames
    chosen = {"video_metadata": {"fps": rate / 8}, "do_sample_frames": False, "num_frames": len(images[::8])}
    found = videos(images[::8], **chosen)
    torch.testing.assert_close(found["frame_times"][0], torch.arange(len(images[::8])) * 8 / rate)


def test_without_a_rate_frames_count_as_those_of_a_folder(videos, frames):
    assert torch.equal(videos(frames[0])["frame_times"], videos(frames[0], video_metadata={"fps": 25})["frame_times"])


def test_what_cannot_be_read_is_named(videos, frames, tmp_path):
    with pytest.raises(VideoError, match=r"missing.mp4: no such file"):
        videos([tmp_path / "missing.mp4"])
    with pytest.raises(VideoError, match="the decoded video: no face found in any of the 6 sampled frames"):
        videos(np.zeros((50, 64, 64, 3), np.uint8))
    with pytest.raises(ValueError, match="a int is no video; give a path"):
        videos([3])
    with pytest.raises(ValueError, match="need uint8 RGB of shape"):
        videos(np.zeros((5, 64, 64, 4), np.uint8))
    with pytest.raises(ValueError, match="must lie in 0..1"):
        videos(frames[0].astype(np.float32))
    with pytest.raises(ValueError, match=r"video_metadata: 1 for 2 video\(s\)"):
        videos([VIDEO, VIDEO], video_metadata=[{"fps": 25}])
    with pytest.raises(ValueError, match="do_sample_frames=False is for frames in memory"):
        videos(VIDEO, do_sample_frames=False)
    with pytest.raises(ValueError, match="do_resize: no setting of FaVChatVideoProcessor"):
        videos(VIDEO, do_resize=False)


def test_its_settings_are_saved(videos, tmp_path):
    videos.save_pretrained(tmp_path)
    again = FaVChatVideoProcessor.from_pretrained(tmp_path)
    assert again.to_dict() == videos.to_dict()
    assert again.clip_specification == SPECIFICATION
    assert FaVChatVideoProcessor.from_pretrained(tmp_path, num_frames=3).num_frames == 3
