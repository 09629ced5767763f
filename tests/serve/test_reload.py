"""Newer versions of models are taken up while others go on."""

import asyncio
import threading
from types import SimpleNamespace

import pytest

from favchat.config import Config, ConfigError, ServeConfig
from serve import reload
from serve.reload import ModelApplications, Reloader
from tests.serve.test_served_model import ask, served  # noqa: F401 - a fixture


class Cluster:
    """Ray Serve as far as it is needed: the names of the applications that run."""

    def __init__(self, monkeypatch) -> None:
        self.running: list[str] = []
        self.broken = False
        monkeypatch.setattr(reload.ray_serve, "run_many", self.run_many)
        monkeypatch.setattr(reload.ray_serve, "status", self.status)
        monkeypatch.setattr(reload, "LOOK", 0.0)
        monkeypatch.setattr(reload.ray_serve, "delete", lambda name: name in self.running and self.running.remove(name))

    def status(self) -> SimpleNamespace:
        """New applications come up at the second look."""
        last = self.running[-3:]
        states = dict.fromkeys(self.running, "RUNNING") | dict.fromkeys(last, self.states.pop(0))
        found = {name: SimpleNamespace(status=state, message="no memory") for name, state in states.items()}
        return SimpleNamespace(applications=found)

    def run_many(self, targets, *, wait_for_applications_running: bool) -> list[str]:
        assert not wait_for_applications_running
        self.running += [target.name for target in targets]
        self.states = ["DEPLOYING", "DEPLOY_FAILED" if self.broken else "RUNNING"]
        return [f"handle of {target.name}" for target in targets]


class Server:
    """A server of two models; `versions` is what their names mean now."""

    def __init__(self, monkeypatch) -> None:
        self.cluster, self.taken, self.said = Cluster(monkeypatch), [], []
        self.versions = {"one": "one-v1", "two": "two-v1"}
        self.given = Config(
            serve=ServeConfig(model="models:/m@champion", name="one", models={"two": "models:/n@champion"})
        )
        self.applications = ModelApplications(lambda config: (f"{config.serve.model} {n}" for n in range(3)))
        started = self.resolve(self.given)
        for name in self.versions:
            self.applications.start(self.config_of(name))
        self.reloader = Reloader(
            self.given,
            started,
            resolve=self.resolve,
            applications=self.applications,
            take_up=lambda config, handles: self.taken.append((config.serve.name, config.serve.model, handles)),
            say=self.said.append,
        )

    def resolve(self, config: Config) -> Config:
        if not self.versions["one"]:
            raise ConfigError("the store of models is gone")
        places = {"model": self.versions["one"], "models": {"two": self.versions["two"]}, "store": "store"}
        return config.model_copy(update={"serve": config.serve.model_copy(update=places)})

    def config_of(self, name: str) -> Config:
        found = self.resolve(self.given)
        return found.model_copy(update={"serve": found.serve.model_copy(update={"name": name})})

    def look(self) -> None:
        self.reloader.look(threading.Event(), 0.0)


@pytest.fixture
def server(monkeypatch) -> Server:
    return Server(monkeypatch)


def names(model: str, number: int) -> list[str]:
    return [f"favchat-{model}-{kind}-{number}" for kind in ("media", "encoder", "engine")]


def test_what_means_another_model_is_taken_up_and_the_old_one_ends(server) -> None:
    server.look()
    assert server.taken == [] and server.cluster.running == names("one", 0) + names("two", 1)
    server.versions["two"] = "two-v2"
    server.look()
    assert server.taken == [("two", "two-v2", [f"handle of {name}" for name in names("two", 2)])]
    assert server.cluster.running == names("one", 0) + names("two", 2)
    server.look()
    assert len(server.taken) == 1
    server.applications.end()
    assert server.cluster.running == []


def test_what_does_not_come_up_changes_nothing_and_is_tried_once(server) -> None:
    before, server.cluster.broken = list(server.cluster.running), True
    server.versions["one"] = "one-v2"
    for _ in range(2):
        server.look()
    assert server.taken == [] and server.cluster.running == before
    assert [line for line in server.said if "stays as it is" in line] == [server.said[-1]]
    server.cluster.broken, server.versions["one"] = False, "one-v3"
    server.look()
    assert [model for _, model, _ in server.taken] == ["one-v3"]


def test_a_server_that_ends_waits_for_no_model(server) -> None:
    before, ending = list(server.cluster.running), threading.Event()
    ending.set()
    server.versions["one"] = "one-v2"
    server.reloader.look(ending, 60.0)
    assert server.taken == [] and server.cluster.running == before


def test_where_models_cannot_be_looked_up_all_stays(server) -> None:
    before, server.versions["one"] = list(server.cluster.running), ""
    server.look()
    assert server.cluster.running == before and server.said == []


def test_the_api_answers_by_the_new_handles(served) -> None:  # noqa: F811
    client, parts = served
    assert ask(client, "two") == "I am two."
    api = client.app.state.api
    one, two = api.served["one"], api.served["two"]
    asyncio.run(api.take_up(two.config, one.media, one.encoder, one.engine))
    assert ask(client, "two") == "I am one."  # by the other's handles now
