import json
import math
import shutil

import pytest

from favchat.config import ConfigError, load
from favchat.model.build import load as load_model
from favchat.tracking import resolve_model
from favchat.training.curriculum import train
from jobs.cli import CONFIGS

STEPS = 6


def settings(corpus, out, *more):
    words = [f"data.out={corpus}", f"training.out={out}", f"tracking.uri=sqlite:///{out}.db", *more]
    words += [f"training.stages.{index}.steps={STEPS}" for index in (0, 1)]
    return load(CONFIGS / "tiny.yaml", words)


@pytest.fixture(scope="module")
def finished(corpus, tmp_path_factory):
    """A run of both stages on two workers, whose gradients, then whose weights too, DeepSpeed spreads over both."""
    config = settings(
        corpus,
        tmp_path_factory.mktemp("run") / "two",
        "tracking.registered_model=tiny-test",
        "training.num_workers=2",
        "training.stages.0.deepspeed.zero_optimization.stage=2",
        "training.stages.1.deepspeed.zero_optimization.stage=3",
    )
    return config, train(config)


def test_both_stages_end_in_a_model_that_loads(finished):
    config, result = finished
    assert [stage.name for stage in result.stages] == ["summaries", "questions"]
    assert str(result.model) == f"{config.training.out}/model"
    weights = [
        load_model(str(place))[0].get_parameter("model.adapter.out_proj.weight")
        for place in (result.stages[0].model, result.stages[1].model, result.model)
    ]
    assert not weights[0].equal(weights[1])
    assert weights[1].equal(weights[2])
    embeddings = load_model(str(result.model))[0].get_parameter("model.language_model.embed_tokens.weight")
    assert embeddings.shape == (258, 64)  # whole, as ZeRO-3 gathers it


def test_the_loss_of_each_stage_falls(finished):
    for stage in finished[1].stages:
        assert stage.last_loss < stage.first_loss, stage.name


def test_mlflow_has_a_child_for_each_stage_with_losses_and_the_config(finished):
    config, result = finished
    client = result.run.client
    parent = client.get_run(result.run.run_id)
    assert parent.info.status == "FINISHED"
    assert parent.data.params["training.stages.1.task"] == "qa"
    assert parent.data.params["model.adapter.num_experts"] == "4"
    assert "config.yaml" in [artifact.path for artifact in client.list_artifacts(result.run.run_id)]
    children = client.search_runs([result.run.experiment_id], f"tags.mlflow.parentRunId = '{result.run.run_id}'")
    assert {child.info.run_name for child in children} == {"summaries", "questions"}
    for child in children:
        losses = client.get_metric_history(child.info.run_id, "language_loss")
        assert [metric.step for metric in losses] == list(range(1, STEPS + 1))
        assert all(math.isfinite(metric.value) for metric in losses)


def test_each_stage_ends_with_a_held_out_loss(finished):
    _, result = finished
    client = result.run.client
    children = client.search_runs([result.run.experiment_id], f"tags.mlflow.parentRunId = '{result.run.run_id}'")
    logged = {child.info.run_name: client.get_metric_history(child.info.run_id, "val_loss") for child in children}
    for stage in result.stages:
        assert [(metric.step, metric.value) for metric in logged[stage.name]] == [(STEPS, stage.metrics["val_loss"])]
        assert stage.metrics["step"] == STEPS
        assert f"{stage.metrics['val_loss']:.2f} held out" in result.summary()


def test_the_model_is_registered_once(finished):
    config, result = finished
    assert result.registered == "models:/tiny-test/1"
    assert result.summary().endswith(f"{result.model}, registered as models:/tiny-test/1")
    registered = resolve_model("models:/tiny-test@champion", config.tracking) / "model.safetensors"
    assert registered.read_bytes() == (result.model / "model.safetensors").read_bytes()
    assert train(config).registered == "models:/tiny-test/1"


def test_finished_stages_are_not_run_again(finished, corpus):
    config, result = finished
    stamp = (result.stages[0].model / "model.safetensors").stat().st_mtime_ns
    again = train(config)
    assert (again.stages[0].model / "model.safetensors").stat().st_mtime_ns == stamp
    assert again.stages == result.stages
    assert again.run == result.run


def test_other_settings_in_the_same_folder_are_refused(finished, corpus):
    config, _ = finished
    with pytest.raises(ConfigError, match="holds this stage with other settings"):
        train(settings(corpus, config.training.out, "seed=7"))


def test_a_stage_that_was_cut_off_is_run_again_also_with_fewer_workers(finished, corpus, tmp_path):
    config, result = finished
    copy = tmp_path / "copy"
    shutil.copytree(config.training.out, copy)
    (copy / "stages" / "questions" / "stage.json").unlink()
    first = json.loads((copy / "stages" / "summaries" / "stage.json").read_text())
    again = train(
        config.model_copy(update={"training": config.training.model_copy(update={"out": str(copy), "num_workers": 1})})
    )
    assert json.loads((copy / "stages" / "summaries" / "stage.json").read_text()) == first
    assert again.stages[1].last_loss == pytest.approx(result.stages[1].last_loss, abs=0.3)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("training.stages.0.batch_size=500", r"stage 'summaries': \d+ samples are fewer than batch_size = 500"),
        ("training.stages=[]", "training.stages is empty"),
        ("training.split=test", "no annotation of task 'summary' in split 'test'"),
        ("training.init=./nowhere", "nowhere: no model here"),
        (
            "model.vision={pretrained: 'asset:mobilenet', config: null}",
            "model.vision.pretrained: .* did you mean asset:mobilenet-v2",
        ),
    ],
)
def test_what_cannot_work_is_refused(corpus, tmp_path, word, message):
    out = tmp_path / "run"
    words = [f"data.out={corpus}", f"training.out={out}", f"tracking.uri=sqlite:///{out}.db", word]
    with pytest.raises(ConfigError, match=message):
        train(load(CONFIGS / "tiny.yaml", words))
    assert not out.exists()
