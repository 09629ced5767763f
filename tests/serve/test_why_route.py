"""What each frame does for an answer, with the deployments in this process."""

from collections.abc import Iterator

import httpx
import openai
import pytest
import torch
from fastapi.testclient import TestClient

from favchat.config import Config
from favchat.face_scores.values import Calibration
from favchat.hub.load import load
from favchat.labels.everyday_templates import CANNOT_TELL
from favchat.model.hidden_frames import hide_frames
from favchat.model.processing_favchat import PIXELS
from serve.encoder_replica import EncoderReplica
from serve.engine import Engine
from serve.media import MediaReplica
from serve.store import VideoStore
from tests.serve.conftest import LIMITS, clip_path, picture
from tests.serve.local import LocalEngine, local_client
from tests.serve.test_attributes_route import folder

__all__ = ["folder"]

QUESTION, ANSWER = "What might they be waiting for?", "A bus to the sea"


def why(client: openai.OpenAI | TestClient, video: str, **body) -> dict:
    asked = {"question": QUESTION, "answer": ANSWER, **body}
    if isinstance(client, TestClient):
        response = client.post(f"/v1/videos/{video}/why", json=asked)
        assert response.status_code == 200, response.text
        return response.json()
    return client.post(f"/videos/{video}/why", body=asked, cast_to=httpx.Response).json()


@pytest.fixture(scope="module")
def film(local_openai) -> str:
    with clip_path("capture_0").open("rb") as file:
        return local_openai.files.create(file=file, purpose="vision").id


@pytest.fixture(scope="module")
def scorer(folder, centerface, tmp_path_factory) -> Iterator[TestClient]:
    """A client of an API whose model was taught attributes."""
    store = str(tmp_path_factory.mktemp("store"))
    config = Config(serve=LIMITS.model_copy(update={"model": str(folder), "store": store, "name": "tiny"}))
    engine = Engine(*load(str(folder)), VideoStore.of(config), config.serve)
    with local_client(config, MediaReplica(config), EncoderReplica(config), LocalEngine(engine)) as client:
        yield client
    engine.close()


def upload(client: TestClient, content: bytes) -> str:
    return client.post("/v1/files", files={"file": ("a.mp4", content)}).json()["id"]


@torch.inference_mode()
def plain_likelihoods(model, processor, clip, frames: int) -> list[float]:
    """Of ANSWER with all frames, and with each hidden, by the model as a whole."""
    inputs = processor.video_inputs([clip])
    inputs |= model.model.encode_frames(*(inputs.pop(name) for name in PIXELS))
    rows = hide_frames(inputs, [(), *({number} for number in range(frames))])
    prompt = processor.prompt_ids(processor.prompt(QUESTION))
    answer = processor.answer_ids(ANSWER)[:-1]
    ids = torch.tensor([[*prompt, *answer]])
    found = []
    for row in range(frames + 1):
        video = {name: tensor[row : row + 1] for name, tensor in rows.items()}
        logits = model(input_ids=ids, **video).logits[0, len(prompt) - 1 : -1]
        found.append(logits.log_softmax(-1).gather(1, torch.tensor(answer)[:, None]).sum().item())
    return found


def test_likelihoods_are_those_of_the_model_with_a_frame_hidden(local_openai, film, talkative, clips) -> None:
    model, processor = talkative
    told = why(local_openai, film)
    count = processor.num_frames
    whole, *hidden = plain_likelihoods(model, processor, clips["capture_0"], count)
    assert told["by"] == "words" and len(told["frames"]) == count > 1
    assert told["logprob"] == pytest.approx(whole, abs=1e-3)
    for frame, expected in zip(told["frames"], hidden, strict=True):
        assert frame["logprob"] == pytest.approx(expected, abs=1e-3)
        assert frame["weight"] == pytest.approx(whole - expected, abs=2e-3)
        assert frame["time"] == pytest.approx(clips["capture_0"].timestamps[frame["index"]], abs=1e-4)
    assert len({frame["weight"] for frame in told["frames"]}) == count
    again = why(local_openai, film)
    assert [one["weight"] for one in again["frames"]] == pytest.approx(
        [one["weight"] for one in told["frames"]], abs=1e-3
    )


def test_a_part_left_out_has_likelihoods_of_its_own(local_openai, film) -> None:
    told, blind = why(local_openai, film), why(local_openai, film, without=["face_encoder"])
    assert told["logprob"] != blind["logprob"] and told["frames"] != blind["frames"]


def test_what_scores_decide_is_as_likely_as_they_say(scorer, folder, clips) -> None:
    video = upload(scorer, clip_path("capture_0").read_bytes())
    rows = scorer.post(f"/v1/videos/{video}/attributes", json={"window_s": 0}).json()["attributes"]
    score = next(row["score"] for row in rows if row["name"] == "smile")
    yes, no = (why(scorer, video, question="Is the person smiling?", answer=word) for word in ("Yes", "No"))
    assert yes["by"] == no["by"] == "scores"
    assert torch.tensor(yes["logprob"]).exp().item() == pytest.approx(score, abs=1e-3)
    assert torch.tensor([yes["logprob"], no["logprob"]]).exp().sum().item() == pytest.approx(1, abs=1e-4)
    assert [one["weight"] > 0 for one in yes["frames"]] == [one["weight"] < 0 for one in no["frames"]]
    assert Calibration.read(str(folder)) != Calibration()  # scores are the calibrated ones
    longer = why(scorer, video, question="Is the person smiling?", answer="Yes, from ear to ear")
    assert longer["by"] == "both" and longer["logprob"] < yes["logprob"]
    ruled = why(scorer, video, question="Is the person wearing a hat?", answer=CANNOT_TELL)
    assert ruled["by"] == "rule" and {frame["weight"] for frame in ruled["frames"]} == {0}


def test_a_picture_has_no_other_frame(local_openai) -> None:
    image = local_openai.files.create(file=("a.jpg", picture("jpg")), purpose="vision").id
    told = why(local_openai, image)
    assert told["logprob"] < 0
    assert told["frames"] == [{"index": 0, "time": 0.0, "logprob": None, "weight": None}]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"question": ""}, "question"),
        ({"answer": " "}, "answer"),
        ({"answer": "<|video|>"}, "answer"),
        ({"face": 3}, "face"),
        ({"model": "other"}, "model"),
        ({"reason": "x"}, "reason"),
        ({"answer": "word " * 1600}, "answer"),
    ],
)
def test_a_faulty_request_names_the_field(local_openai, film, body, param) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        why(local_openai, film, **body)
    assert (caught.value.status_code, caught.value.body["param"]) == (404 if param == "model" else 400, param)


def test_places_of_hidden_frames_are_given_back(local_openai, film) -> None:
    for _ in range(3):
        assert why(local_openai, film)["frames"]
