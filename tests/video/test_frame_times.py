import numpy as np
import pytest

from favchat.video.frame_times import fps_times, frames_on_display, sample_times, uniform_times


def test_uniform_times_are_the_centres_of_equal_parts():
    np.testing.assert_allclose(uniform_times(2.0, 6.0, 4), [2.5, 3.5, 4.5, 5.5])


def test_fps_times_begin_at_the_start_and_stay_before_the_end():
    np.testing.assert_allclose(fps_times(1.0, 2.0, 4.0), [1.0, 1.25, 1.5, 1.75])
    np.testing.assert_allclose(fps_times(0.0, 1.1, 4.0), [0.0, 0.25, 0.5, 0.75, 1.0])


def test_a_part_shorter_than_one_step_still_gives_one_moment():
    np.testing.assert_allclose(fps_times(3.0, 3.04, 4.0), [3.0])


def test_sampling_turns_uniform_where_fps_would_give_too_many():
    np.testing.assert_allclose(sample_times(0.0, 4.0, fps=4.0, max_frames=16), np.arange(16) / 4)
    np.testing.assert_allclose(sample_times(0.0, 200.0, fps=4.0, max_frames=16), uniform_times(0.0, 200.0, 16))


@pytest.mark.parametrize("start, end", [(-1.0, 2.0), (2.0, 2.0), (3.0, 1.0)])
def test_empty_parts_are_refused(start, end):
    with pytest.raises(ValueError, match="start"):
        sample_times(start, end, fps=4.0, max_frames=16)


@pytest.mark.parametrize("fps, max_frames", [(0.0, 16), (float("nan"), 16), (4.0, 0)])
def test_rates_that_give_nothing_are_refused(fps, max_frames):
    with pytest.raises(ValueError, match="positive"):
        sample_times(0.0, 1.0, fps=fps, max_frames=max_frames)


def test_the_frame_on_display_began_last_and_comes_once():
    begins = np.array([0.0, 0.1, 0.5, 0.6])
    assert frames_on_display(begins, np.array([0.05, 0.3, 0.4999, 0.55, 9.0])).tolist() == [0, 1, 2, 3]
    assert frames_on_display(begins, np.array([0.3, 0.4])).tolist() == [1]
    assert frames_on_display(begins + 1.0, np.array([0.0])).tolist() == [0]
