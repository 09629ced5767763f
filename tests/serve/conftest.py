"""A deployed application, its model, and what the model says without a server."""

import copy
import io
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
import torch
from openai import OpenAI
from ray import serve as ray_serve
from safetensors.torch import save_file

import serve.app
from favchat.config import Config, ServeConfig
from favchat.model.generation import answer
from favchat.video import ClipSpecification
from jobs.quickstart import SAMPLE
from serve.chat import Chat
from serve.encoder import video_features
from serve.encoder_replica import EncoderReplica
from serve.engine import Engine
from serve.media import MediaReplica
from serve.store import VideoStore
from serve.view import View
from tests.serve.local import LocalEngine, local_client

CLIPS = SAMPLE / "clips"
NAMES = ("pexels_0", "capture_0", "franck_1")
QUESTION = "Is the person smiling?"
TOKENS = 24


@pytest.fixture(scope="session")
def talkative(tiny):
    """The tiny model with weights so large that it answers each clip and question at length, in printable letters."""
    model, processor = copy.deepcopy(tiny[0]), tiny[1]
    with torch.no_grad():
        torch.manual_seed(0)
        for projection in model.model.adapter.level_proj:
            projection.linear.weight.normal_(std=0.5)
        for layer in model.model.language_model.layers:
            for parameter in layer.parameters():
                if parameter.ndim == 2:
                    parameter.normal_(std=0.3)
        model.lm_head.weight.normal_(std=0.3)
        model.lm_head.weight[94:] *= 0.1  # the ids before are the printable characters
        model.model.adapter.out_norm.weight.fill_(0.3)
    return model, processor


@pytest.fixture(scope="session")
def clips(centerface) -> dict[str, Any]:
    """Decoded sample clips by name, made as the server makes them."""
    specification = ClipSpecification()  # what the talkative model's processor holds
    detector = specification.make_detector()
    return {name: specification.read(CLIPS / f"{name}.mp4", detector)[0] for name in NAMES}


@pytest.fixture(scope="session")
def expected(talkative, clips) -> dict[str, str]:
    """The model's greedy answer to QUESTION about each clip, from plain generation."""
    model, processor = talkative
    return {
        name: answer(model, processor, [clip], [QUESTION], max_new_tokens=TOKENS)[0] for name, clip in clips.items()
    }


@dataclass
class Encoded:
    """A store that holds the sample clips' features."""

    store: VideoStore
    keys: dict[str, str]

    def chat(self, *names: str, question: str = QUESTION, **settings: Any) -> Chat:
        """A question about clips."""
        content = [*({"type": "video"} for _ in names), {"type": "text", "text": question}]
        return Chat(
            [{"role": "user", "content": content}],
            [View(self.keys[name]) for name in names],
            **{"max_tokens": TOKENS, **settings},
        )


@pytest.fixture(scope="session")
def encoded(talkative, clips, tmp_path_factory) -> Encoded:
    """The sample clips' features in a store."""
    store = VideoStore(tmp_path_factory.mktemp("encoded"), version="test", max_videos=8)
    keys = {}
    for name, features in zip(clips, video_features(*talkative, list(clips.values())), strict=True):
        with (CLIPS / f"{name}.mp4").open("rb") as file:
            keys[name] = store.add(file)
        store.derived.write(store.derived.features(View(keys[name])), partial(save_file, features))
    return Encoded(store, keys)


@dataclass
class Server:
    """A running application.

    Attributes:
        base: Address of the API, with ``/v1``.
        config: What it runs with.
    """

    base: str
    config: Config

    @property
    def root(self) -> str:
        """Address without ``/v1``."""
        return self.base.removesuffix("/v1")

    def client(self, key: str = "none") -> OpenAI:
        """OpenAI's client, with no second tries that would hide an error."""
        return OpenAI(base_url=self.base, api_key=key, max_retries=0, timeout=120)


LIMITS = ServeConfig(
    max_body_mb=2,
    max_duration=20,
    max_side=1000,
    max_new_tokens=600,
    max_videos=12,
    max_ongoing_requests=8,
    max_queued_requests=8,
    threads=1,
    cors_origins=["https://example.org"],
    precision="fp32",  # answers are compared with those of plain generation
)


@pytest.fixture(scope="session")
def model_folder(talkative, tmp_path_factory) -> Path:
    """The talkative model in a folder. Not to be written to."""
    folder = tmp_path_factory.mktemp("served") / "model"
    for part in talkative:
        part.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def server(ray_session, centerface, model_folder, tmp_path_factory) -> Iterator[Server]:
    """The application with the talkative model, on the session's Ray, for one file's tests."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    store, keys = tmp_path_factory.mktemp("store"), tmp_path_factory.mktemp("keys") / "keys.yaml"
    keys.touch()  # no keys as yet
    places = {"model": str(model_folder), "store": str(store), "keys_file": str(keys)}
    settings = LIMITS.model_copy(update={**places, "name": "tiny", "port": port})
    config = Config(serve=settings)
    yield Server(serve.app.deploy(config), config)
    ray_serve.shutdown()


@pytest.fixture(scope="session")
def local_openai(talkative, model_folder, centerface, tmp_path_factory) -> Iterator[OpenAI]:
    """OpenAI's client of an application in this process, with the talkative model."""
    store = str(tmp_path_factory.mktemp("local"))
    config = Config(serve=LIMITS.model_copy(update={"model": str(model_folder), "store": store, "name": "tiny"}))
    engine = Engine(*talkative, VideoStore.of(config), config.serve)
    with local_client(config, MediaReplica(config), EncoderReplica(config), LocalEngine(engine)) as http:
        yield OpenAI(base_url="http://testserver/v1", api_key="none", max_retries=0, http_client=http)
    engine.close()


SCHEMA = {
    "type": "object",
    "properties": {
        "smiling": {"type": "boolean"},
        "emotion": {"enum": ["happy", "neutral"]},
        "age": {"type": "integer", "minimum": 0, "maximum": 99},
    },
    "required": ["smiling", "emotion", "age"],
    "additionalProperties": False,
}


def picture(kind: str) -> bytes:
    with av.open(str(clip_path("pexels_0"))) as container:
        image = next(container.decode(video=0)).to_ndarray(format="bgr24")
    return cv2.imencode(f".{kind}", image)[1].tobytes()


def clip_path(name: str) -> Path:
    """A sample clip."""
    return CLIPS / f"{name}.mp4"


def video_file(
    images: np.ndarray, container: str = "mp4", codec: str = "libx264", pix_fmt: str = "yuv420p", *, rate: int = 1
) -> bytes:
    """Images `(T, H, W, 3)` as a video of `rate` frames a second."""
    target = io.BytesIO()
    with av.open(target, "w", format=container) as output:
        stream = output.add_stream(codec, rate=rate)
        stream.height, stream.width, stream.pix_fmt = *images.shape[1:3], pix_fmt
        for image in images:
            output.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        output.mux(stream.encode())
    return target.getvalue()
