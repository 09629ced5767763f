"""What is served at the end of a pipeline; Ray Serve itself is tested with the server."""

import json

import pytest
from mlflow.tracking import MlflowClient

import serve.app
from favchat.config import ConfigError, load
from favchat.runtime import ray_cluster
from jobs.commands.settings import CONFIGS
from jobs.pipeline.deploy import deploy
from jobs.pipeline.register import RequirementError
from jobs.pipeline.steps import STEPS


@pytest.fixture
def asked(tmp_path, monkeypatch, new_store):
    """A configuration with two registered versions, and the model that Serve is asked to serve."""
    uri, served = new_store(tmp_path / "mlflow.db"), []
    client = MlflowClient(tracking_uri=uri)
    client.create_registered_model("faces")
    for number in ("1", "2"):
        client.create_model_version("faces", f"file://{tmp_path}/{number}")
    client.set_registered_model_alias("faces", "champion", "2")
    (tmp_path / "run").mkdir()
    monkeypatch.setattr(serve.app, "resolve_config", lambda config: config)
    monkeypatch.setattr(
        serve.app, "deploy", lambda config: served.append(config.serve.model) or "http://127.0.0.1:8000/v1"
    )
    monkeypatch.setattr(ray_cluster, "start", lambda *_, **__: None)
    words = [f"training.out={tmp_path / 'run'}", f"tracking.uri={uri}", f"serve.store={tmp_path / 'store'}"]
    return (
        load(CONFIGS / "tiny.yaml", [*words, "ray.address=head:6379", "pipeline.deploy=true"]),
        served,
        tmp_path / "run",
    )


def with_name(config):
    return config.model_copy(update={"tracking": config.tracking.model_copy(update={"registered_model": "faces"})})


def test_the_champion_is_served_and_a_challenger_is_not(asked):
    config, served, run = asked
    (run / "registered.json").write_text(json.dumps({"version": "models:/faces/1"}))
    assert deploy(with_name(config)) == "not deployed: models:/faces/1 is not better than the champion, models:/faces/2"
    assert not served
    (run / "registered.json").write_text(json.dumps({"version": "models:/faces/2"}))
    assert deploy(with_name(config)) == "serving models:/faces/2 as 'favchat' at http://127.0.0.1:8000/v1"
    assert served == ["models:/faces/2"]


def test_without_a_registry_the_trained_model_is_served(asked):
    config, served, run = asked
    deploy(config)
    assert served == [str(run / "model")]


def test_a_model_that_falls_short_is_not_served_where_registering_was_left_out(asked):
    config, served, run = asked
    metric = {"value": 0.5, "low": None, "high": None}
    result = {"way": "likelihood", "part": "yes_no", "metrics": {"uar": metric}}
    (run / "metrics.json").write_text(json.dumps({"tasks": {"questions": {"results": [result]}}}))
    wanted = load(CONFIGS / "tiny.yaml", ["pipeline.require={questions/likelihood/yes_no/uar: {min: 0.6}}"]).pipeline
    evaluation = config.evaluation.model_copy(update={"out": str(run)})
    with pytest.raises(RequirementError, match="0.5, at least 0.6"):
        deploy(config.model_copy(update={"pipeline": wanted, "evaluation": evaluation}))
    assert not served


def test_the_network_is_not_let_in_without_keys(asked):
    config, served, _ = asked
    open_door = config.model_copy(update={"serve": config.serve.model_copy(update={"host": "0.0.0.0"})})  # noqa: S104
    with pytest.raises(ConfigError, match="the network could ask"):
        deploy(open_door)
    assert not served


def test_it_is_done_each_time_that_it_is_asked_for(asked):
    config, *_ = asked
    (step,) = [step for step in STEPS if step.name == "deploy"]
    assert step.always
    assert step.unwanted(config) is None
    assert step.unwanted(load(CONFIGS / "tiny.yaml")) == "pipeline.deploy is not set"
