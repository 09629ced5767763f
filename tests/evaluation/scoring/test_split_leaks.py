"""People, videos and near-duplicates that training and test share are found."""

from favchat.evaluation.scoring.split_leaks import find_leaks
from favchat.video.quality import DUPLICATE_DISTANCE
from tests.evaluation.conftest import make_clip, random_hash


def flipped(digest: str, bits: int) -> str:
    return f"{int(digest, 16) ^ ((1 << bits) - 1):0{len(digest)}x}"


TRAINED = [make_clip("t1", identity="ann", video="/one.mp4"), make_clip("t2", digest=random_hash(7))]


def test_nothing_is_shared():
    found = find_leaks(TRAINED, [make_clip("v", identity="bea"), make_clip("w")])
    assert not found.clips
    assert found.summary() == (
        "no leak: 2 clips share no person, video or near-duplicate with 2 training clips; the identity of 1 is unknown"
    )


def test_a_person_is_found():
    found = find_leaks(TRAINED, [make_clip("v", identity="ann")])
    assert found.people == ("ann",)
    assert found.clips == {"v"}
    assert found.summary().startswith("LEAK: 1 of 1 clips share 1 people, 0 videos and 0 near-duplicates")


def test_a_video_is_found():
    assert find_leaks(TRAINED, [make_clip("v", video="/one.mp4")]).videos == ("/one.mp4",)


def test_a_near_duplicate_is_found_and_a_farther_one_is_not():
    near = make_clip("near", digest=flipped(random_hash(7), DUPLICATE_DISTANCE))
    far = make_clip("far", digest=flipped(random_hash(7), DUPLICATE_DISTANCE + 1))
    found = find_leaks(TRAINED, [far, near])
    assert found.duplicates == (("near", "t2", DUPLICATE_DISTANCE),)
    assert found.clips == {"near"}


def test_people_without_a_name_are_not_all_one():
    assert not find_leaks([make_clip("a")], [make_clip("b")]).clips


def test_hashes_of_an_earlier_version_are_said():
    found = find_leaks(TRAINED, [make_clip("v", identity="bea", digest="ab" * 8)])
    assert found.unhashed == 1
    assert "1 have a hash of an earlier version" in found.summary()


def test_without_training_clips_nothing_is_claimed():
    assert "not looked for" in find_leaks([], [make_clip("v")]).summary()
