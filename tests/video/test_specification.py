import numpy as np
import pytest

from favchat.config import ConfigError, DataConfig
from favchat.video import CenterFaceDetector, ClipSpecification
from jobs.quickstart import SAMPLE

CLIP = SAMPLE / "clips" / "franck_0.mp4"


def test_it_takes_its_settings_from_the_data_section():
    data = DataConfig.model_validate({"frames": {"fps": 3, "side": 128}, "faces": {"margin": 0.2}, "encoding": "raw"})
    found = ClipSpecification.of(data)
    assert (found.fps, found.frame_side, found.face_margin, found.jpeg_quality) == (3, 128, 0.2, None)


def test_the_defaults_are_those_of_the_settings():
    assert ClipSpecification.of(DataConfig()) == ClipSpecification()


def test_it_comes_back_out_of_plain_values_and_says_in_what_two_differ():
    one = ClipSpecification(fps=3)
    assert ClipSpecification.from_dict(one.to_dict()) == one
    assert one.difference(ClipSpecification()) == "fps 3 and 8.0"
    assert one.difference(one) == ""


def test_a_setting_of_another_version_is_named():
    with pytest.raises(ConfigError, match="'zoom' is unknown"):
        ClipSpecification.from_dict({"zoom": 2})


def test_the_pixels_are_those_that_a_corpus_keeps():
    detector = CenterFaceDetector()
    raw = ClipSpecification(fps=2, max_frames=3, jpeg_quality=None)
    stored = ClipSpecification(fps=2, max_frames=3, jpeg_quality=95)
    exact, kept = raw.read(CLIP, detector)[0], stored.read(CLIP, detector)[0]
    assert np.array_equal(exact.frames, stored.tracks(CLIP, detector)[0].frames)
    assert not np.array_equal(exact.frames, kept.frames)
    assert np.abs(exact.frames.astype(int) - kept.frames).mean() < 3
    assert np.array_equal(exact.landmarks, kept.landmarks)
