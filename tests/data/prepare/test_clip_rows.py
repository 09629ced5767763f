"""One clip's way to its rows. No Ray here; the pipeline's tests have that."""

import av
import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from favchat.config import DataConfig
from favchat.data.corpus.parquet_files import write_whole
from favchat.data.corpus.schema import SHARD_SCHEMA
from favchat.data.prepare.clip_rows import OUTCOME_SCHEMA, clip_rows
from favchat.data.report.contact_sheet import contact_sheet
from favchat.data.report.html_page import write_report
from favchat.training.batches.samples import read_clip
from favchat.video import CenterFaceDetector, Detections, process_clip
from jobs.quickstart import SAMPLE


def clip(name, **more):
    return {
        "clip_id": "a",
        "source": "folder",
        "video": str(SAMPLE / "clips" / name),
        "start": 0.0,
        "end": None,
        "box": None,
        "split": "train",
        "appearance": [],
        "action": [],
        "emotion_segments": [],
        **more,
    }


def settings(**more):
    return DataConfig.model_validate({"frames": {"fps": 4.0, "max_frames": 6}, **more})


@pytest.fixture(scope="module")
def detector(centerface):
    return CenterFaceDetector(centerface)


class Pair:
    """Finds two faces side by side in every frame."""

    def detect(self, images):
        shape = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]])
        corners = np.array([[10, 10], [150, 10]])
        sides = np.array([100, 60])
        boxes = np.concatenate([corners, corners + sides[:, None]], axis=1).astype(np.float32)
        points = (corners[:, None] + shape * sides[:, None, None]).astype(np.float32)
        return [Detections(boxes, points, np.ones(2, np.float32))] * len(images)


def test_a_clip_becomes_a_row_that_fits_the_shards(detector):
    (row,) = clip_rows(clip("pexels_4.mp4"), detector, settings())
    table = pa.Table.from_pylist([row], schema=OUTCOME_SCHEMA)
    table.select(SHARD_SCHEMA.names).cast(SHARD_SCHEMA)
    assert row["stage"] is None and row["track"] == 0 and row["cuts"] == [] and len(row["duplicate_hash"]) == 96
    assert row["shot_start"] == 0.0 and row["shot_end"] == pytest.approx(row["duration"])
    assert row["face_share"] == 1.0 and row["face_size"] > 100 and abs(row["yaw"]) < 20


@pytest.mark.parametrize("encoding", ["jpeg", "raw"])
def test_both_encodings_reach_every_reader(detector, tmp_path, encoding):
    (row,) = clip_rows(clip("pexels_4.mp4"), detector, settings(encoding=encoding))
    table = pa.Table.from_pylist([row], schema=OUTCOME_SCHEMA).select(SHARD_SCHEMA.names).cast(SHARD_SCHEMA)
    write_whole(table, tmp_path / "shards" / "a.parquet")
    (stored,) = pq.read_table(tmp_path / "shards").to_pylist()
    read = read_clip(stored)
    exact = process_clip(SAMPLE / "clips" / "pexels_4.mp4", detector, fps=4.0, max_frames=6)
    for found, true in ((read.frames, exact.frames), (read.faces, exact.faces)):
        error = np.abs(found.astype(int) - true)
        assert error.max() == 0 if encoding == "raw" else 0 < error.mean() < 3
    sheet = contact_sheet(tmp_path / "shards", columns=1, tile=160)
    assert np.abs(sheet.astype(int) - exact.faces[len(exact.faces) // 2]).mean() < 3
    assert write_report(tmp_path).sheet.stat().st_size > 1000


def test_a_filter_rejects_with_its_measure_and_its_bound(detector):
    bounds = {"filters": {"sharpness": {"min": 5000}}}
    (row,) = clip_rows(clip("pexels_4.mp4"), detector, settings(**bounds))
    assert row["stage"] == "filter" and "frames" not in row
    assert row["reason"].startswith("sharpness ") and row["reason"].endswith("data.filters.sharpness.min = 5000")


def test_a_row_says_what_could_be_read(detector, tmp_path):
    (whole,) = clip_rows(clip("pexels_4.mp4"), detector, settings())
    assert (whole["readable"], whole["times_guessed"]) == (1.0, False)
    broken = tmp_path / "broken.flv"
    with av.open(str(SAMPLE / "clips" / "pexels_4.mp4")) as source, av.open(str(broken), "w") as target:
        copy = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = copy
                target.mux(packet)
    data = broken.read_bytes()
    broken.write_bytes(data[: len(data) // 2])
    (half,) = clip_rows(clip("", video=str(broken)), detector, settings())
    assert half["stage"] is None and 0.2 < half["readable"] < 0.8 and len(half["timestamps"]) < 6


@pytest.mark.parametrize("kind", ["avi", "h264"])
def test_a_row_says_that_its_times_are_guessed(detector, tmp_path, kind):
    path = tmp_path / f"made.{kind}"
    with av.open(str(SAMPLE / "clips" / "pexels_4.mp4")) as source, av.open(str(path), "w") as target:
        stream = target.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for _, frame in zip(range(20), source.decode(video=0), strict=False):
            image = frame.to_ndarray(format="rgb24", width=320, height=240)
            target.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        target.mux(stream.encode())
    (row,) = clip_rows(clip("", video=str(path)), detector, settings())
    assert (row["stage"], row["times_guessed"], row["readable"]) == (None, True, 1.0)


def test_every_face_is_a_row_with_an_id_of_its_own():
    rows = clip_rows(clip("pexels_4.mp4"), Pair(), settings(faces={"max_tracks": 2}))
    assert [(row["clip_id"], row["track"], row["stage"]) for row in rows] == [("a", 0, None), ("a__face1", 1, None)]
    assert rows[0]["boxes"] != rows[1]["boxes"]
    (row,) = clip_rows(clip("pexels_4.mp4", box=rows[1]["boxes"][0]), Pair(), settings(faces={"max_tracks": 2}))
    assert row["clip_id"] == "a" and row["boxes"] == rows[1]["boxes"]


def test_labels_and_identity_are_those_of_the_main_face_alone():
    known = {"identity": "Ann", "appearance": [1] * 40, "action": [0] * 35, "emotion": "happy"}
    segments = [{"emotion": "happy", "start": 0.0, "end": 2.0}]
    main, further = clip_rows(
        clip("pexels_4.mp4", **known, emotion_segments=segments), Pair(), settings(faces={"max_tracks": 2})
    )
    assert known.items() <= main.items() and main["emotion_segments"] == segments
    unknown = {"identity": None, "appearance": [None] * 40, "action": [None] * 35, "emotion": None}
    assert unknown.items() <= further.items() and further["emotion_segments"] == []
    assert (main["tracks"], further["tracks"], further["split"]) == (2, 2, "train")


def test_failures_are_rows(detector):
    assert clip_rows(clip("none.mp4"), detector, settings())[0]["stage"] == "open"
    (row,) = clip_rows(clip("noface_0.mp4"), detector, settings())
    assert row["stage"] == "track" and "no face" in row["reason"]


class Broken:
    """A detector with a fault of its own."""

    def detect(self, images):
        raise ZeroDivisionError("no such face")


def test_an_unexpected_error_is_a_row_too():
    (row,) = clip_rows(clip("pexels_0.mp4"), Broken(), settings())
    assert (row["stage"], row["reason"]) == ("internal", "ZeroDivisionError: no such face")


class Blind:
    """A detector that sees no face: whatever reaches it was found and decoded."""

    def detect(self, images):
        none = np.zeros(0, np.float32)
        return [Detections(none.reshape(0, 4), none.reshape(0, 5, 2), none) for _ in images]


def outcome(video):
    (row,) = clip_rows(clip("", video=str(video)), Blind(), settings())
    return row["stage"], row["reason"]


def test_a_remote_video_is_fetched(memory):
    sample = SAMPLE / "clips" / "franck_0.mp4"
    with fsspec.open(f"{memory}/x.mp4", "wb") as file:
        file.write(sample.read_bytes())
    assert outcome(f"{memory}/x.mp4") == outcome(sample)
    assert outcome(sample)[0] == "track"


def test_a_folder_of_frames_is_read(tmp_path):
    with av.open(str(SAMPLE / "clips" / "franck_0.mp4")) as container:
        for number, frame in zip(range(3), container.decode(video=0), strict=False):
            frame.to_image().save(tmp_path / f"{number}.jpg")
    assert outcome(tmp_path)[0] == "track"


def test_a_video_that_is_nowhere(tmp_path, memory):
    assert outcome(tmp_path / "absent.mp4") == ("open", "file not found")
    assert outcome(f"{memory}/absent.mp4") == ("open", "file not found")
