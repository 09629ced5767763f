import pickle

from favchat.video import VideoError


def test_survives_pickling_and_names_the_file():
    error = pickle.loads(pickle.dumps(VideoError("a clip.mp4", "decode", "it is broken")))  # noqa: S301 - it was pickled right here
    assert (error.path, error.stage, error.reason) == ("a clip.mp4", "decode", "it is broken")
    assert str(error) == "a clip.mp4: it is broken"
