"""Several models behind one API, their deployments in this process."""

import asyncio
import base64
import copy
import json
from collections.abc import AsyncIterator

import pytest
import torch
from fastapi.testclient import TestClient
from omegaconf import OmegaConf

from favchat.config import Config, ConfigError, LoraConfig, ServeConfig, validate
from favchat.hub.load import load
from favchat.model.lora import add_lora
from serve.app import application, demands, resolve_config
from serve.chat import Chat, Piece
from serve.engine import Engine
from serve.served_model import configs_of
from serve.store import VideoStore
from serve.view import View
from tests.serve.conftest import LIMITS, clip_path
from tests.serve.local import local_client


class Pieces:
    """An answer as Ray Serve's handles give it."""

    def __init__(self, *pieces: Piece) -> None:
        self.pieces = pieces

    async def __aiter__(self) -> AsyncIterator[Piece]:
        for piece in self.pieces:
            yield piece

    def cancel(self) -> None:
        pass


class Parts:
    """A model's media, encoder and engine in one, which notes what it was asked for."""

    def __init__(self, config: Config) -> None:
        self.store, self.name, self.asked = None, config.serve.name, []

    async def check(self, incoming: str, key: str) -> None:
        self.asked.append("check")

    async def prepare(self, key: str, face: int) -> None:
        self.asked.append("prepare")
        facts = {"people": [{"found": 1, "followed": 1}], "readable": 1}
        self.store.derived.write(
            self.store.derived.clip(key).with_name("facts.json"), lambda path: path.write_text(json.dumps(facts))
        )

    async def encode(self, view: View) -> int:
        self.asked.append("encode")
        self.store.derived.write(self.store.derived.features(view), lambda path: path.touch())
        return 1

    async def removable(self) -> list[str]:
        return ["face_encoder"]

    async def context(self) -> int:
        return 512

    def generate(self, chat: Chat) -> "Pieces":
        return Pieces(Piece("", 9, 0), Piece(f"I am {self.name}.", 9, 3, "stop"))


@pytest.fixture
def served(tmp_path) -> tuple[TestClient, dict[str, Parts]]:
    """A client of an API with two models, and their parts."""
    places = {"model": "one", "models": {"two": "elsewhere"}, "store": str(tmp_path), "name": "one"}
    config = Config(serve=LIMITS.model_copy(update=places))
    parts = {one.serve.name: Parts(one) for one in configs_of(config)}
    client = local_client(config, *[parts["one"]] * 3, {"two": (parts["two"],) * 3})
    for name, model in client.app.state.api.served.items():
        parts[name].store = model.store
    return client, parts


def ask(client: TestClient, model: str) -> str:
    url = "data:video/mp4;base64," + base64.b64encode(clip_path("pexels_0").read_bytes()).decode()
    content = [{"type": "video_url", "video_url": {"url": url}}, {"type": "text", "text": "Who are you?"}]
    body = {"model": model, "messages": [{"role": "user", "content": content}]}
    answer = client.post("/v1/chat/completions", json=body)
    assert answer.status_code == 200, answer.text
    assert answer.json()["model"] == model
    return answer.json()["choices"][0]["message"]["content"]


def test_the_model_that_is_asked_for_answers_and_each_reads_the_video_itself(served) -> None:
    client, parts = served
    assert [ask(client, name) for name in ("two", "one", "two")] == ["I am two.", "I am one.", "I am two."]
    assert parts["two"].asked == ["prepare", "encode"]
    assert parts["one"].asked == ["check", "prepare", "encode"]
    metrics = client.get("/metrics").text
    assert 'favchat_generated_tokens_total{model="two"} 6.0' in metrics
    assert 'favchat_generated_tokens_total{model="one"} 3.0' in metrics


def test_all_models_are_listed(served) -> None:
    client, _ = served
    found = client.get("/v1/models").json()["data"]
    assert [(model["id"], model["max_model_len"]) for model in found] == [("one", 512), ("two", 512)]
    assert client.get("/v1/models/two").json()["created"] > 1.7e9
    error = client.get("/v1/models/three").json()["error"]
    assert error["code"] == "model_not_found" and "'one', 'two'" in error["message"]
    schema = client.get("/openapi.json").json()["components"]["schemas"]["ChatCompletionRequest"]
    assert schema["properties"]["model"] == {"enum": ["one", "two"]}


def test_each_model_has_deployments_of_its_own(tmp_path) -> None:
    serve = ServeConfig(model="one", models={"two": "elsewhere"}, store=str(tmp_path), engine_replicas=2)
    api = application(Config(serve=serve))._bound_deployment
    assert [part._bound_deployment.name for part in api.init_args[1:4]] == ["media", "encoder", "engine"]
    further = [part._bound_deployment for part in api.init_args[4]["two"]]
    assert [part.name for part in further] == ["media-two", "encoder-two", "engine-two"]
    assert {(part.init_args[0].serve.model, part.init_args[0].serve.name) for part in further} == {("elsewhere", "two")}
    assert [demand.count for demand in demands(serve)] == [1, 2, 2, 4]


def test_a_model_that_cannot_be_served_is_told_by_its_setting(model_folder, tmp_path) -> None:
    serve = ServeConfig(model=str(model_folder), models={"two": str(tmp_path / "nothing")})
    with pytest.raises(ConfigError, match="serve.models.two = .*no model here"):
        resolve_config(Config(serve=serve))


@pytest.mark.parametrize(("name", "reason"), [("favchat", "name of serve.model"), ("a b", "is no name")])
def test_names_of_models(name, reason) -> None:
    with pytest.raises(ConfigError, match=reason):
        validate(OmegaConf.create({"serve": {"models": {name: "m"}}}), "test")


def test_a_model_with_lora_beside_its_weights_is_served_with_it(tiny, tmp_path) -> None:
    model, processor = copy.deepcopy(tiny[0]), tiny[1]
    add_lora(model, LoraConfig())
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.5, generator=torch.Generator().manual_seed(0))
    for part in (model, processor):
        part.save_pretrained(tmp_path / "model")
    loaded, processor = load(str(tmp_path / "model"))
    engine = Engine(loaded, processor, VideoStore(tmp_path, version="v", max_videos=2), ServeConfig(max_videos=2))

    async def written() -> list[int]:
        ids = torch.arange(40, 60).tolist()
        answers = [tokens async for tokens, _ in engine.tokens(ids, 8, None)]
        return list(answers[-1])

    try:
        answer = asyncio.run(written())
    finally:
        engine.close()
    ids = torch.arange(40, 60)[None]
    settings = {"input_ids": ids, "max_new_tokens": 8, "do_sample": False}
    adapted, base = (one.generate(**settings)[0, 20:].tolist() for one in (loaded, tiny[0]))
    assert answer == adapted != base
