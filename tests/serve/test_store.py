"""The store of videos and files."""

import hashlib
import io
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from serve.errors import ApiError
from serve.store import VideoStore
from serve.uploaded_files import StoredFile
from serve.view import View


def store_of(folder, max_videos: int = 3) -> VideoStore:
    return VideoStore(folder, version="v", max_videos=max_videos)


def add(store: VideoStore, data: bytes, age: float = 0.0) -> str:
    key = store.add(io.BytesIO(data))
    home = store.source(key).parent
    os.utime(home, (home.stat().st_mtime - age,) * 2)
    return key


def upload(store: VideoStore, data: bytes, age: float = 0.0, **settings) -> StoredFile:
    incoming = store.receive(io.BytesIO(data))
    key = store.keep(incoming)
    try:
        return store.add_file(key, "a.mp4", "vision", **settings)
    finally:
        store.discard(incoming)
        store.give(key)
        home = store.source(key).parent
        os.utime(home, (home.stat().st_mtime - age,) * 2)


def test_the_same_bytes_are_one_video(tmp_path) -> None:
    store = store_of(tmp_path)
    key = add(store, b"film")
    assert key == hashlib.sha256(b"film").hexdigest() == add(store, b"film")
    assert store.source(key).read_bytes() == b"film"
    assert len(list((tmp_path / "videos").iterdir())) == 1
    assert not list((tmp_path / "incoming").iterdir())


def test_the_video_unused_for_longest_makes_room(tmp_path) -> None:
    store = store_of(tmp_path)
    old, older, new = add(store, b"old", 20), add(store, b"older", 30), add(store, b"new", 10)
    store.hold(older)
    store.give(older)
    latest = add(store, b"latest")
    assert not store.source(old).exists()
    assert all(store.source(key).exists() for key in (older, new, latest))


def test_a_file_whose_time_is_over_is_gone(tmp_path, monkeypatch) -> None:
    store = store_of(tmp_path)
    short, long = upload(store, b"short", lifetime=10), upload(store, b"long")
    assert short.expires_at == short.created_at + 10 and long.expires_at is None
    store.expire()
    assert {file.id for file in store.files()} == {short.id, long.id}
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 11)
    assert [file.id for file in store.files()] == [long.id]
    with pytest.raises(ApiError, match="No such file"):
        store.file(short.id)
    assert store.source(short.video).exists()
    store.expire()
    assert not store.source(short.video).exists() and store.source(long.video).exists()


def test_a_key_has_so_many_files_at_a_time(tmp_path) -> None:
    store = store_of(tmp_path, max_videos=8)
    first = upload(store, b"one", owner="ann", most=2)
    upload(store, b"two", owner="ann", most=2)
    upload(store, b"three", owner="bob", most=1)
    with pytest.raises(ApiError, match="The key 'ann' may have 2 uploaded files") as caught:
        upload(store, b"four", owner="ann", most=2)
    assert caught.value.code == "storage_full"
    store.delete_file(first.id)
    upload(store, b"four", owner="ann", most=2)


def test_uploaded_files_leave_a_quarter_of_the_places_to_others(tmp_path) -> None:
    store = store_of(tmp_path, max_videos=4)
    files = [upload(store, bytes([n])) for n in range(3)]
    with pytest.raises(ApiError, match="at most 3 uploaded videos") as caught:
        upload(store, b"one more")
    assert caught.value.code == "storage_full"
    assert not list((tmp_path / "incoming").iterdir())
    for data in (b"one", b"two", b"three"):
        assert store.source(add(store, data)).exists()
    assert all(store.source(file.video).exists() for file in files)
    store.delete_file(files[0].id)
    assert not store.source(files[0].video).exists()
    upload(store, b"one more")


def test_an_upload_that_nobody_asked_about_for_long_makes_room(tmp_path) -> None:
    store = VideoStore(tmp_path, version="v", max_videos=2, safe_seconds=100)
    old = upload(store, b"old", age=200)
    new = upload(VideoStore(tmp_path, version="v", max_videos=8), b"new", age=50)
    added = add(store, b"more")
    assert not store.source(old.video).exists() and store.source(new.video).exists()
    assert [file.id for file in store.files()] == [new.id]
    assert store.source(add(store, b"and more")).exists() and not store.source(added).exists()


def test_uploads_that_fill_the_store_are_said_to(tmp_path) -> None:
    for n in range(2):
        upload(VideoStore(tmp_path, version="v", max_videos=8), bytes([n]))
    with pytest.raises(ApiError, match="at most 2 videos") as caught:
        add(store_of(tmp_path, max_videos=2), b"more")
    assert caught.value.code == "storage_full"


def test_the_same_video_under_ever_more_names_comes_to_an_end(tmp_path) -> None:
    store = store_of(tmp_path, max_videos=1)
    for _ in range(8):
        upload(store, b"film")
    with pytest.raises(ApiError, match="at most 8 uploaded files"):
        upload(store, b"film")


def test_a_video_goes_with_its_last_file(tmp_path) -> None:
    store = store_of(tmp_path)
    one, two = (upload(store, b"film") for _ in range(2))
    store.delete_file(one.id)
    assert store.video(two.id) == one.video
    store.give(one.video)
    store.delete_file(two.id)
    with pytest.raises(ApiError, match="No such file"):
        store.video(two.id)
    with pytest.raises(ApiError, match="No such video"):
        store.video(one.video)


def test_a_video_in_use_stays_until_its_last_user_is_done(tmp_path) -> None:
    store, other = store_of(tmp_path), store_of(tmp_path)  # as of two processes
    file = upload(store, b"film")
    assert store.hold(file.video) and other.hold(file.video) and store.hold(file.video)
    store.delete_file(file.id)
    for user in (store, store):
        assert store.source(file.video).exists()
        user.give(file.video)
    assert store.source(file.video).exists()
    other.give(file.video)
    assert not store.source(file.video).exists()


def test_what_is_uploaded_again_while_it_is_being_deleted_stays(tmp_path) -> None:
    store = store_of(tmp_path)
    file = upload(store, b"film")
    store.hold(file.video)
    store.delete_file(file.id)
    again = upload(store, b"film")
    store.give(file.video)
    assert store.source(again.video).exists()


def test_a_video_of_which_nothing_can_be_made_goes_unless_it_is_a_file(tmp_path) -> None:
    store = store_of(tmp_path)
    file, junk = upload(store, b"film"), add(store, b"junk")
    for key in (file.video, junk):
        store.hold(key)
        store.reject(key)
        store.give(key)
    assert store.source(file.video).exists() and not store.source(junk).exists()


def test_a_video_in_use_never_makes_room(tmp_path) -> None:
    store = store_of(tmp_path, max_videos=1)
    key = add(store, b"film")
    store.hold(key)
    with pytest.raises(ApiError) as caught:
        add(store, b"more")
    assert (caught.value.status, caught.value.code) == (503, "server_busy")
    store.give(key)
    add(store, b"more")
    assert not store.source(key).exists()


def test_what_a_process_that_died_was_using_is_free(tmp_path) -> None:
    store = store_of(tmp_path)
    file = upload(store, b"film")
    program = (
        "import os, sys; from serve.store import VideoStore; "
        "VideoStore(sys.argv[1], version='v', max_videos=3).hold(sys.argv[2]); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path), file.video], check=True)
    assert list(store.source(file.video).parent.glob("use-*"))
    store.delete_file(file.id)
    assert not store.source(file.video).exists()


def test_bytes_that_a_process_left_behind_are_swept_away(tmp_path) -> None:
    store = store_of(tmp_path)
    left = store.receive(io.BytesIO(b"film"))
    os.utime(left.path, (0, 0))
    add(store, b"another")
    assert not left.path.exists()


def test_many_who_upload_use_and_delete_the_same_clips_are_never_in_each_other_s_way(tmp_path) -> None:
    def client(number: int) -> None:
        store = VideoStore(tmp_path, version="v", max_videos=8)
        for turn in range(12):
            data = b"film %d" % ((number + turn) % 3)
            file = upload(store, data)
            key = store.video(file.id)
            if turn % 2:
                store.delete_file(file.id)
            store.derived.write(store.derived.features(View(key)), lambda path: path.write_bytes(b"tokens"))
            assert (
                store.source(key).read_bytes() == data and store.derived.features(View(key)).read_bytes() == b"tokens"
            )
            store.files()
            store.give(key)
            if not turn % 2:
                store.delete_file(file.id)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(client, range(8)))
    assert not store_of(tmp_path).files() and not list((tmp_path / "videos").iterdir())


@pytest.mark.parametrize("name", ["../files", "file-", "file-../../x", "0" * 63, "", "file-" + "g" * 32])
def test_names_that_are_no_ids(tmp_path, name) -> None:
    with pytest.raises(ApiError) as caught:
        store_of(tmp_path).video(name)
    assert caught.value.status == 404
