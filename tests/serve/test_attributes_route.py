"""Scores over HTTP, with the deployments in this process."""

import csv
import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient

from favchat.config import Config, ModelConfig
from favchat.face_scores.values import Calibration, Measured
from favchat.hub.fingerprint import model_fingerprint
from favchat.hub.load import load
from favchat.hub.names import SHIPPED, resolve_model
from favchat.labels.attributes import ACTION, APPEARANCE, EMOTION, EXTRA
from favchat.model.build import build
from favchat.model.scores import attribute_scores
from favchat.model.video_scores import video_scores
from favchat.video import ClipSpecification
from favchat.video.windows import window_clips
from serve.encoder import video_features
from serve.encoder_replica import EncoderReplica
from serve.media import MAX_WINDOWS, MediaReplica
from tests.serve.calls import two_faces
from tests.serve.conftest import LIMITS, clip_path, video_file
from tests.serve.local import local_client

TAUGHT = ["eyeglasses", "smile", "no_beard", *(emotion.name for emotion in EMOTION)]
CALIBRATION = Calibration(
    {"accessories": 0.5, "emotion": 2.0}, {"emotion": 0.02}, {"smile": Measured(0.91, 40, 60, 0.9, None)}
)


@pytest.fixture(scope="module")
def folder(tiny_preset, tmp_path_factory) -> Path:
    """A model that was taught some attributes, and their calibration."""
    section = tiny_preset.model.model_dump()
    section["adapter"]["attributes"] = TAUGHT
    model, processor = build(ModelConfig(**section))
    with torch.no_grad():
        torch.manual_seed(3)
        head = model.model.adapter.attribute_head
        head.prior.copy_(torch.linspace(-3, 1, len(TAUGHT)))
        head.mouth.weight.zero_()
        for part in (head.linear, head.motion[-1]):
            part.weight.normal_(std=0.3)
            part.bias.normal_()
    folder = tmp_path_factory.mktemp("scorer")
    for part in (model, processor):
        part.save_pretrained(folder)
    CALIBRATION.write(folder)
    return folder


@pytest.fixture(scope="module")
def client(folder, centerface, tmp_path_factory) -> Iterator[TestClient]:
    """A client of an API with that model."""
    store = str(tmp_path_factory.mktemp("store"))
    config = Config(serve=LIMITS.model_copy(update={"model": str(folder), "store": store, "name": "tiny"}))
    with local_client(config, MediaReplica(config), EncoderReplica(config)) as client:
        yield client


def upload(client: TestClient, content: bytes | str) -> str:
    data = clip_path(content).read_bytes() if isinstance(content, str) else content
    return client.post("/v1/files", files={"file": ("a.mp4", data)}).json()["id"]


def scored(client: TestClient, video: str, **body) -> dict:
    response = client.post(f"/v1/videos/{video}/attributes", json=body)
    assert response.status_code == 200, response.text
    return response.json()


def test_scores_are_those_of_the_library(client, folder, clips) -> None:
    """The same probabilities to 1e-3 as `favchat.model.scores`, which `favchat evaluate` and `annotate` call."""
    model, processor = load(str(folder))
    for name in ("pexels_0", "capture_0"):
        report = scored(client, upload(client, name), window_s=1.5)
        (expected,) = attribute_scores(model, processor, [clips[name]], CALIBRATION)
        rows = {row["name"]: row for row in report["attributes"]}
        for one in expected:
            assert rows[one.name]["probability"] == pytest.approx(one.probability, abs=1e-3)
            assert rows[one.name]["score"] == pytest.approx(one.score, abs=1e-3)
        assert report["emotion"] == {
            row["name"]: row["probability"] for row in rows.values() if row["family"] == "emotion"
        }
        alone = video_scores(model, processor, clip_path(name), window_s=1.5, calibration=CALIBRATION)
        for window, own in zip(report["over_time"]["windows"], alone.over_time.windows, strict=True):
            assert window["scores"] == pytest.approx(own.scores, abs=1e-3)
            assert window["emotion"] == pytest.approx(own.emotion, abs=1e-3)
        assert report["track"]["yaw"] == alone.track.yaw


def test_the_shipped_model_s_scores_are_those_of_the_library_and_calibrated(clips, tmp_path) -> None:
    place = resolve_model(SHIPPED)
    config = Config(serve=LIMITS.model_copy(update={"model": place, "store": str(tmp_path), "name": "shipped"}))
    encoder = EncoderReplica(config)
    calibration = Calibration.read(place)
    with local_client(config, MediaReplica(config), encoder) as client:
        reports = {name: scored(client, upload(client, name), window_s=0) for name in clips}
    expected = attribute_scores(encoder.encoder.model, encoder.encoder.processor, [*clips.values()], calibration)
    for report, scores in zip(reports.values(), expected, strict=True):
        rows = {row["name"]: row for row in report["attributes"]}
        assert len(scores) == 49
        for one in scores:
            row = rows[one.name]
            assert (row["probability"], row["score"]) == pytest.approx((one.probability, one.score), abs=1e-3)
            measured = calibration.measured.get(one.name)
            assert row["balanced_accuracy"] == (measured and round(measured.balanced_accuracy, 4))
        assert report["calibration_error"].keys() == calibration.error.keys() != set()
    assert max(reports["pexels_0"]["emotion"], key=reports["pexels_0"]["emotion"].get) == "happy"


def test_all_attributes_are_listed_and_what_was_not_taught_is_null(client, folder) -> None:
    report = scored(client, upload(client, "pexels_0"), window_s=0)
    rows = {row["name"]: row for row in report["attributes"]}
    assert list(rows) == [one.name for one in (*APPEARANCE, *ACTION, *EMOTION, *EXTRA)]
    assert {name for name, row in rows.items() if row["taught"]} == set(TAUGHT)
    for name, row in rows.items():
        told = [row[field] is not None for field in ("probability", "score", "present")]
        assert all(told) if name in TAUGHT else not any(told)
    assert rows["smile"]["balanced_accuracy"] == 0.91 and rows["smile"]["held_out"] == {"present": 40, "absent": 60}
    assert rows["eyeglasses"]["balanced_accuracy"] is None
    assert (rows["no_beard"]["label"], rows["eyeglasses"]["label"]) == ("no beard", "wearing eyeglasses")
    assert sum(row["present"] is True for row in rows.values() if row["family"] == "emotion") == 1
    assert sum(report["emotion"].values()) == pytest.approx(1, abs=1e-4)
    assert report["calibration_error"] == {"emotion": 0.02}
    assert (report["model"], report["revision"]) == ("tiny", model_fingerprint(str(folder)))
    assert report["over_time"]["windows"] == []


def test_windows_cover_the_clip_and_are_clips_of_their_own(client, clips) -> None:
    clip = clips["capture_0"]
    report = scored(client, upload(client, "capture_0"), window_s=1, stride_s=0.5)
    windows = report["over_time"]["windows"]
    assert [window["start"] for window in windows] == [0.5 * n for n in range(len(windows))]
    assert windows[-1]["end"] > clip.info.duration - 1
    for window in windows:
        assert window["found"] and sum(window["emotion"].values()) == pytest.approx(1, abs=1e-4)
        assert set(window["attributes"]) == set(window["scores"]) == {"eyeglasses", "smile", "no_beard"}
    assert len({window["attributes"]["smile"] for window in windows}) > 1
    track = report["track"]
    assert len(track["times"]) == len(track["yaw"]) == len(track["motion"]) == len(clip.visible)
    np.testing.assert_allclose(track["boxes"], clip.boxes, atol=1e-4)
    assert track["motion"][0] is None and all(speed >= 0 for speed in track["motion"][1:])
    assert windows[0]["pose"]["yaw"] == pytest.approx(np.median(track["yaw"][:8]), abs=0.01)


def test_without_a_body_the_windows_are_the_server_s(client) -> None:
    video = upload(client, "capture_0")
    response = client.post(f"/v1/videos/{video}/attributes")
    over_time = response.json()["over_time"]
    assert (over_time["window_s"], over_time["stride_s"], len(over_time["windows"])) == (2, 2, 2)
    assert scored(client, video, window_s=None, stride_s=None) == response.json()


def test_a_table_has_a_row_for_each_attribute_of_the_clip_and_of_each_window(client) -> None:
    video = upload(client, "capture_0")
    report = scored(client, video, window_s=1)
    response = client.post(f"/v1/videos/{video}/attributes", json={"window_s": 1}, headers={"accept": "text/csv"})
    assert response.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(response.text)))
    clip, windows = ([row for row in rows if row["part"] == part] for part in ("clip", "window"))
    assert [row["name"] for row in clip] == [row["name"] for row in report["attributes"]]
    assert len(windows) == len(TAUGHT) * len(report["over_time"]["windows"])
    second = next(row for row in windows if row["start"] == "1.0" and row["name"] == "smile")
    assert float(second["probability"]) == report["over_time"]["windows"][1]["attributes"]["smile"]
    assert second["balanced_accuracy"] == "0.91"
    assert next(row for row in clip if row["name"] == "bangs")["probability"] == ""


def test_a_second_face_is_told_by_itself(client) -> None:
    video = upload(client, video_file(two_faces()))
    first, second = (scored(client, video, face=face, window_s=0) for face in (0, 1))
    assert first["track"]["boxes"][0][0] > 0.5 > second["track"]["boxes"][0][2] - 0.1
    assert [one["code"] for one in first["face"]["warnings"]] == ["several_faces"]
    assert first["attributes"] != second["attributes"]
    refused = client.post(f"/v1/videos/{video}/attributes", json={"face": 2})
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "face_not_found")


def test_of_a_video_without_a_face_nothing_is_told(client) -> None:
    report = scored(client, upload(client, "noface_0"))
    assert not report["face"]["found"] and [one["code"] for one in report["face"]["warnings"]] == ["no_face"]
    assert report["emotion"] is report["track"] is None
    assert all(row["probability"] is None for row in report["attributes"])
    assert {row["name"] for row in report["attributes"] if row["taught"]} == set(TAUGHT)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"window_s": -1}, "window_s"),
        ({"window_s": 0.1}, "window_s"),
        ({"stride_s": 0}, "stride_s"),
        ({"face": -1}, "face"),
        ({"windows": 1}, "windows"),
        ({"model": "other"}, "model"),
    ],
)
def test_a_faulty_request_names_the_field(client, body, param) -> None:
    response = client.post(f"/v1/videos/{'0' * 64}/attributes", json=body)
    assert (response.status_code, response.json()["error"]["param"]) == (404 if param == "model" else 400, param)


def test_too_many_windows_are_refused(client, monkeypatch) -> None:
    monkeypatch.setattr("serve.media.MAX_WINDOWS", 4)
    video = upload(client, "capture_0")
    response = client.post(f"/v1/videos/{video}/attributes", json={"window_s": 1, "stride_s": 0.5})
    assert response.json()["error"]["code"] == "too_many_windows" and MAX_WINDOWS == 64


def test_an_unknown_video_is_not_found(client) -> None:
    assert client.post(f"/v1/videos/{'0' * 64}/attributes").status_code == 404


def test_windows_of_a_long_clip_are_read_from_its_file(clips, centerface) -> None:
    """Where the clip's frames lie too far apart, a window's frames are those that its own reading gives."""
    specification = ClipSpecification()
    detector = specification.make_detector()
    clip, spans = clips["capture_0"], [(0.0, 1.0), (1.0, 2.0)]
    parts = window_clips(clip_path("capture_0"), detector, specification, clip, spans)
    sparse = replace(specification, max_frames=8)
    few = sparse.read(clip_path("capture_0"), detector)[0]
    again = window_clips(clip_path("capture_0"), detector, sparse, few, spans)
    for part, own in zip(parts, again, strict=True):
        np.testing.assert_allclose(part.timestamps, own.timestamps, atol=0.05)
        np.testing.assert_allclose(part.boxes, own.boxes, atol=0.02)


def test_parts_of_the_model_are_left_out_of_clip_and_windows(client, folder, clips, centerface) -> None:
    """As `serve.encoder.video_features` leaves them out; kept apart, and no other answer's business."""
    video = upload(client, "capture_0")
    whole, blind = scored(client, video, window_s=1), scored(client, video, window_s=1, without=["face_encoder"])
    assert blind["attributes"] != whole["attributes"] and blind["emotion"] != whole["emotion"]
    assert blind["over_time"]["windows"] != whole["over_time"]["windows"]
    assert blind["track"] == whole["track"]
    assert scored(client, video, window_s=1) == whole == scored(client, video, window_s=1, without=[])

    model, processor = load(str(folder))
    spans = [(window["start"], window["end"]) for window in blind["over_time"]["windows"]]
    read = processor.clip_specification
    windows = window_clips(clip_path("capture_0"), read.make_detector(), read, clips["capture_0"], spans)
    given = [clips["capture_0"], *windows]
    expected = video_features(model, processor, given, CALIBRATION, [("face_encoder",)] * len(given))
    names = processor.attributes
    rows = {row["name"]: row["score"] for row in blind["attributes"] if row["taught"]}
    assert rows == pytest.approx(dict(zip(names, expected[0]["scores"][0].tolist(), strict=True)), abs=1e-3)
    for window, features in zip(blind["over_time"]["windows"], expected[1:], strict=True):
        own = dict(zip(names, features["scores"][0].tolist(), strict=True))
        assert window["scores"] == pytest.approx({name: own[name] for name in window["scores"]}, abs=1e-3)


@pytest.mark.parametrize("without", [["experts"], ["level_injection"] * 3])
def test_what_is_no_part_is_refused_by_name(client, without) -> None:
    answer = client.post(f"/v1/videos/{upload(client, 'pexels_0')}/attributes", json={"without": without})
    assert answer.status_code == 400 and "without" in answer.json()["error"]["message"]
