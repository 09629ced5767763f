import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import ray
import torch
from huggingface_hub import ModelCard
from safetensors.torch import load_file

from favchat import tracking
from favchat.config import ConfigError, load
from favchat.data.corpus.digest import corpus_digest
from favchat.hub.load import load as load_model
from favchat.tracking import resolve_model
from favchat.training import curriculum
from favchat.training.curriculum import train
from favchat.training.registration import register
from favchat.training.stage.step_log import read_steps
from jobs.commands.settings import CONFIGS

STEPS = 6
METRICS = {
    "balance_loss",
    "z_loss",
    "learning_rate",
    "gradient_norm",
    "tokens_per_second",
    "samples_per_second",
    "waiting_share",
    "memory_gb",
    "expert_entropy",
}


def words(corpus, out, *more):
    """Both stages on two workers, whose gradients, then whose weights too, DeepSpeed spreads over both."""
    return [
        f"data.out={corpus}",
        f"training.out={out}",
        f"tracking.uri=sqlite:///{out}.db",
        "training.checkpoint_every=2",
        "training.val_batches=1",
        "training.val_answers=2",
        "training.val_answer_tokens=8",
        *(f"training.stages.{index}.steps={STEPS}" for index in (0, 1)),
        "training.num_workers=2",
        "training.stages.0.deepspeed.zero_optimization.stage=2",
        "training.stages.1.deepspeed.zero_optimization.stage=3",
        *more,
    ]


def settings(corpus, out, *more):
    return load(CONFIGS / "tiny.yaml", words(corpus, out, *more))


def losses(out, stage):
    lines = read_steps(Path(out) / "stages" / stage / "steps.jsonl")
    assert [line["step"] for line in lines] == list(range(1, STEPS + 1))
    return [line["language_loss"] for line in lines]


@pytest.fixture(scope="module")
def finished(corpus, new_store, tmp_path_factory):
    """A run that nothing disturbs."""
    out = tmp_path_factory.mktemp("run") / "two"
    new_store(out.with_name("two.db"))
    config = settings(corpus, out, "tracking.registered_model=tiny-test")
    return config, train(config)


@pytest.fixture(scope="module")
def killed(finished, corpus, new_store, tmp_path_factory):
    """The same from the end of the first stage on, but in the second a worker dies, and later the whole job."""
    out = tmp_path_factory.mktemp("run") / "killed"
    new_store(out.with_name("killed.db"))
    script, address = Path(__file__).with_name("killed_run.py"), ray.get_runtime_context().gcs_address
    command = [sys.executable, script, address, *words(corpus, out)]
    stages = Path(finished[0].training.out) / "stages"
    shutil.copytree(stages / "summaries", out / "stages" / "summaries")
    questions = out / "stages" / "questions"
    with (
        out.with_suffix(".log").open("w+") as log,
        subprocess.Popen(command, stderr=log, start_new_session=True) as process,
    ):
        while len(read_steps(questions / "steps.jsonl")) < 5:
            assert process.poll() is None, out.with_suffix(".log").read_text()
            time.sleep(0.2)
        os.killpg(process.pid, signal.SIGKILL)
    assert not (questions / "model").exists()
    return out


@pytest.fixture(scope="module")
def resumed(killed, corpus):
    """That run's end, on one worker, while the tracking server is out of reach."""
    gone = tracking.Run("http://127.0.0.1:9", "0" * 32, "0")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(curriculum.tracking, "resumed_run", lambda *_: gone)
        patch.setattr(curriculum, "_stage_run", lambda *_: gone)
        return train(settings(corpus, killed, "training.num_workers=1", "tracking.registered_model=tiny-test"))


def test_after_a_workers_death_the_losses_are_those_of_an_undisturbed_run(finished, killed):
    assert (killed / "starts-questions-1.txt").read_text().split() == ["0", "2"]
    expected = losses(finished[0].training.out, "questions")
    found = [line["language_loss"] for line in read_steps(killed / "stages" / "questions" / "steps.jsonl")]
    assert len(found) >= 5
    assert found[:4] == pytest.approx(expected[:4], rel=1e-6)


def test_a_killed_job_goes_on_in_the_middle_of_its_stage_with_fewer_workers(finished, killed, resumed):
    assert [stage.name for stage in resumed.stages] == ["summaries", "questions"]
    expected = losses(finished[0].training.out, "questions")
    found = losses(killed, "questions")
    assert found[:4] == pytest.approx(expected[:4], rel=1e-6)  # from before the checkpoint
    assert found[4:] == pytest.approx(expected[4:], rel=2e-3)  # the routers' loss is each worker's own
    assert resumed.stages[1].metrics["val_loss"] == pytest.approx(finished[1].stages[1].metrics["val_loss"], rel=0.01)


def test_a_tracking_server_that_is_gone_stops_nothing(resumed):
    assert (resumed.model / "model.safetensors").is_file()
    assert resumed.registered is None


def test_a_finished_stage_keeps_its_model_and_no_checkpoint(finished, killed, resumed):
    stages = Path(finished[0].training.out) / "stages"
    for stage in (stages / "summaries", stages / "questions", killed / "stages" / "questions"):
        kept = {path.name for path in stage.iterdir()}
        assert kept == {"model", "reports.jsonl", "run.json", "settings.json", "stage.json", "steps.jsonl"}


def test_each_model_has_a_card(finished):
    config, result = finished
    for stage in result.stages:
        card = ModelCard.load(stage.model / "README.md")
        assert card.data.pipeline_tag == "video-text-to-text"
        assert f"{stage.metrics['val_loss']:.4f}" in card.text
        assert f"| steps | {STEPS} |" in card.text
    assert (result.model / "README.md").read_text() == (result.stages[1].model / "README.md").read_text()


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
    assert "serve.port" not in parent.data.params  # only what differs from the defaults
    assert parent.data.metrics["val_loss"] == result.stages[-1].metrics["val_loss"]
    inputs = {one.dataset.name.rpartition("/")[2]: one.dataset.digest for one in parent.inputs.dataset_inputs}
    assert inputs == dict.fromkeys(("train", "val"), corpus_digest(config.data.out))
    assert "config.yaml" in [artifact.path for artifact in client.list_artifacts(result.run.run_id)]
    children = client.search_runs([result.run.experiment_id], f"tags.mlflow.parentRunId = '{result.run.run_id}'")
    assert {child.info.run_name for child in children} == {"summaries", "questions"}
    for child in children:
        assert child.data.params["task"] in ("summary", "qa")
        losses = client.get_metric_history(child.info.run_id, "language_loss")
        assert [metric.step for metric in losses] == list(range(1, STEPS + 1))
        assert all(math.isfinite(metric.value) for metric in losses)
        assert child.data.metrics.keys() >= METRICS
        assert [file.path for file in client.list_artifacts(child.info.run_id, "experts")] == [
            "experts/step-000006.png"
        ]
        table = json.loads(Path(client.download_artifacts(child.info.run_id, "answers.json")).read_text())
        assert table["columns"] == ["step", "clip", "question", "expected", "answer"]
        assert [row[0] for row in table["data"]] == [STEPS] * 2


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
    registered = resolve_model("models:/tiny-test@champion", config.tracking)
    stored = {
        name: tensor for file in registered.glob("model-*.safetensors") for name, tensor in load_file(file).items()
    }
    trained = load_file(result.model / "model.safetensors")
    assert stored.keys() == trained.keys() and all(torch.equal(stored[name], trained[name]) for name in trained)
    version = result.run.client.get_model_version("tiny-test", "1")
    assert (version.tags["metric"], float(version.tags["val_loss"])) == (
        "val_loss",
        result.stages[-1].metrics["val_loss"],
    )
    assert version.tags["data_digest"] == corpus_digest(config.data.out)
    assert version.description.startswith("# ")
    assert (registered / "MLmodel").is_file()
    assert train(config).registered == "models:/tiny-test/1"


def test_what_a_further_stage_makes_is_registered_too(tmp_path):
    both = load(CONFIGS / "tiny.yaml", ["tracking.registered_model=tiny-test", f"training.out={tmp_path}"])
    first = both.model_copy(update={"training": both.training.model_copy(update={"stages": both.training.stages[:1]})})
    for stage in both.training.stages:
        folder = tmp_path / "stages" / stage.name
        folder.mkdir(parents=True)
        (folder / "settings.json").write_text(json.dumps({"key": stage.name}))
        (folder / "stage.json").write_text(json.dumps({"metrics": {"step": 3, "val_loss": 1.5}}))
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "README.md").write_text("# A model")
    versions = iter("123")
    run = SimpleNamespace(register_model=lambda model, name, **about: next(versions))
    found = [register(config, run) for config in (first, first, both, both)]
    assert found == ["1", "1", "2", "2"]


def test_finished_stages_are_not_run_again(finished, corpus):
    config, result = finished
    stamp = (result.stages[0].model / "model.safetensors").stat().st_mtime_ns
    again = train(config)
    assert (again.stages[0].model / "model.safetensors").stat().st_mtime_ns == stamp
    assert again.stages == result.stages
    assert again.run == result.run


def test_other_settings_in_the_same_folder_are_refused(finished, corpus):
    config, result = finished
    out, status = config.training.out, result.run.client.get_run(result.run.run_id).info.status
    with pytest.raises(ConfigError, match="summaries holds this stage with other.*\n  seed was 0 and is 7 now"):
        train(settings(corpus, out, "seed=7"))
    with pytest.raises(ConfigError, match=r"questions .*\n  training.stages\[questions\].batch_size was 4 and is 2"):
        train(settings(corpus, out, "training.stages.1.batch_size=2"))
    # A run that is done stays so: nothing has begun.
    assert result.run.client.get_run(result.run.run_id).info.status == status == "FINISHED"


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("training.stages.0.batch_size=500", r"stage 'summaries': \d+ samples are fewer than batch_size = 500"),
        ("training.stages=[]", "training.stages is empty"),
        ("training.split=test", "no annotation of task 'summary' in split 'test'"),
        ("training.init=./nowhere", "training.init = ./nowhere: no model here"),
        ("training.stages.1.init=asset:other", "training.stages.1.init = asset:other: the model that comes"),
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
