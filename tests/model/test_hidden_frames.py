"""Frames hidden from the model."""

import pytest
import torch

from favchat.model.hidden_frames import hide_frames


def video(*visible: bool) -> dict[str, torch.Tensor]:
    """Four frames whose features are their numbers."""
    numbers = torch.arange(4.0)
    return {
        "vision_features": numbers[None, :, None, None].expand(1, 4, 3, 2),
        "face_features": numbers[None, :, None, None].expand(1, 4, 2, 2) + 10,
        "face_visible": torch.tensor([visible or (True,) * 4]),
        "face_geometry": numbers[None, :, None].expand(1, 4, 4),
        "frame_times": torch.tensor([[0.0, 1.0, 2.0, 5.0]]),
        "face_motion": torch.ones(1, 26),
    }


@pytest.mark.parametrize(
    ("hidden", "shown"), [((), [0, 1, 2, 3]), ({3}, [0, 1, 2, 1]), ({0, 1}, [2.5, 2.5, 2, 3]), ({1, 2, 3}, [0] * 4)]
)
def test_a_hidden_frame_shows_the_mean_of_the_others(hidden, shown) -> None:
    given = video()
    rows = hide_frames(given, [(), hidden])
    assert rows["vision_features"][1, :, 0, 0].tolist() == shown
    assert rows["face_features"][1, :, 0, 0].tolist() == [10.0 + one for one in shown]
    assert rows["face_geometry"][1, :, 0].tolist() == shown
    assert rows["face_visible"].all() and rows["frame_times"].tolist() == [[0, 1, 2, 5]] * 2
    assert rows["face_motion"].shape == (2, 26)
    for name, tensor in rows.items():
        assert torch.equal(tensor[0], given[name][0])


def test_frames_without_the_face_add_nothing_to_it() -> None:
    rows = hide_frames(video(True, True, False, True), [{0}])
    assert rows["face_features"][0, 0, 0, 0] == 12 and rows["vision_features"][0, 0, 0, 0] == 2
    assert rows["face_visible"][0].tolist() == [True, True, False, True]
    alone = hide_frames(video(True, False, False, False), [{0}])
    assert not alone["face_visible"].any()


def test_a_video_of_which_nothing_is_shown_is_none() -> None:
    with pytest.raises(ValueError, match="all frames"):
        hide_frames(video(), [{0, 1, 2, 3}])
