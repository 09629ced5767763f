from favchat.data.corpus.clip import Clip, clip_from_row
from favchat.labels.attributes import ACTION, APPEARANCE, EXTRA


def row(extra):
    clip = Clip("a", "a.mp4", 0.0, 1.0, None, "train", None, [None] * len(APPEARANCE), [None] * len(ACTION), None, [])
    names = ("video", "start", "end", "identity", "split", "box", "appearance", "action", "emotion", "emotion_segments")
    return {"clip_id": clip.id, "shot_start": 0.0, "shot_end": 1.0, "extra": extra} | {
        name: getattr(clip, name) for name in names
    }


def test_labels_that_a_corpus_is_too_old_for_are_unknown():
    assert clip_from_row(row([1, 0])).extra == [1, 0, *[None] * (len(EXTRA) - 2)]
    assert clip_from_row(row(None)).extra == [None] * len(EXTRA)


def test_all_labels_of_a_new_corpus_stay():
    extra = [index % 2 for index in range(len(EXTRA))]
    assert clip_from_row(row(extra)).extra == extra
