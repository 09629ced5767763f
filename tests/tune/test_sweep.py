"""Sweeps on a real local Ray. One is hit by every kind of death, at first in a process of its own."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest
import ray
from PIL import Image
from ray import cloudpickle

import tune.sweep
from favchat.config import Config, ConfigError, load
from favchat.hub.load import load as load_model
from favchat.io.settings_record import changes
from favchat.training.curriculum import train
from favchat.training.stage.step_log import read_steps
from jobs.commands.settings import CONFIGS
from tests.tune import killed_sweep
from tune.report import SweepResult
from tune.space import decode
from tune.trial import COUNTER

PARENT = "tags.mlflow.parentRunId = '{}'"


def words(corpus, out, *more):
    """Settings of a sweep over one short stage, by two times two combinations, one after the other."""
    # Without the cache, for which each trial would load the model's package and the model once more.
    stage = "{name: questions, task: qa, steps: 5, batch_size: 4, trainable: [adapter], cache_features: false}"
    return [
        f"data.out={corpus}",
        f"tune.out={out}",
        f"tracking.uri=sqlite:///{out}.db",
        f"training.stages=[{stage}]",
        "training.val_batches=1",
        "training.val_answers=2",
        "training.val_answer_tokens=8",
        "training.threads=1",
        "training.checkpoint_every=1",
        "tune.reports=5",
        # The better ones come first, so that ASHA, which keeps the better half, stops others after their first report.
        "tune.num_experts=[2,4]",
        "tune.top_k=[2,1]",
        "tune.scheduler={name: asha, grace_steps: 1, reduction_factor: 2}",
        "tune.max_concurrent=1",
        "ray.num_cpus=2",
        *more,
    ]


@dataclass(frozen=True)
class Swept:
    """A sweep of two times two, killed in the middle of its first trial, then run again to its end.

    On the way there that trial loses its worker first and then its own process.
    """

    config: Config
    free: float
    """CPUs that nobody holds after the end, of two."""
    result: SweepResult


@pytest.fixture(scope="module")
def swept(ray_session, corpus, new_store, tmp_path_factory):
    out = tmp_path_factory.mktemp("sweep") / "grid"
    new_store(out.with_name("grid.db"))
    settings = words(corpus, out)
    address = ray.get_runtime_context().gcs_address
    command = [sys.executable, killed_sweep.__file__, address, *settings]
    lines = []
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        too_long = threading.Timer(600, os.killpg, (process.pid, signal.SIGKILL))
        too_long.start()
        for line in process.stderr:
            lines.append(line)
            if ": step 2" in line:
                break
        too_long.cancel()
        os.killpg(process.pid, signal.SIGKILL)
    assert re.match(rf"tune {killed_sweep.VICTIM}: step 2", lines[-1]), "".join(lines)
    assert not (out / "best.yaml").exists()
    config = load(CONFIGS / "tiny.yaml", settings)
    cloudpickle.register_pickle_by_value(killed_sweep)  # Ray's workers cannot import it
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tune.sweep, "run_trial", killed_sweep.run_trial)
        result = tune.sweep.run(config)
    return Swept(config, ray.available_resources().get("CPU", 0.0), result)


def settings_of(trial):
    """Experts and top-k of a trial."""
    settings = trial.point.settings
    return settings["model.adapter.num_experts"], settings["model.adapter.top_k"]


def last_told(swept, name):
    """What Ray Tune was told by a trial in the end."""
    for file in (Path(swept.config.tune.out) / "ray").rglob("result.json"):
        *_, last = map(json.loads, file.read_text().splitlines())
        if decode(last["config"]["point"]).name == name:
            return last
    raise AssertionError(f"no trial {name}")


def test_a_killed_trial_goes_on_counting_where_it_was(swept):
    last = last_told(swept, killed_sweep.VICTIM)
    # Each report has come once, and then one that says that the trial has finished.
    assert (last[COUNTER], last["training_iteration"]) == (5, 6)
    trial = Path(swept.config.tune.out) / "trials" / killed_sweep.VICTIM
    for name in ("steps.jsonl", "reports.jsonl"):
        assert [line["step"] for line in read_steps(trial / "stages" / "questions" / name)] == [1, 2, 3, 4, 5]
    # The sweep, the worker and the trial were killed after steps 2, 3 and 4; the checkpoint of step 2 comes after the
    # report that the sweep was killed by.
    first, *later = (trial / "starts.txt").read_text().split()
    assert (first, later) in (("0", ["1", "3", "4"]), ("0", ["2", "3", "4"]))


def results(table):
    """Rows of a sweep's table by trial, without what was measured of time and memory."""
    with table.open() as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        assert float(row.pop("seconds")) > 0 and float(row.pop("step_seconds")) > 0 and float(row.pop("memory_gb")) > 0
    return {row["trial"]: row for row in rows}


def test_after_every_kind_of_death_the_table_is_that_of_an_undisturbed_sweep(swept, corpus, new_store, tmp_path):
    out = tmp_path / "undisturbed"
    new_store(out.with_name("undisturbed.db"))
    # The first two combinations: what came later cannot change how these were judged.
    config = load(CONFIGS / "tiny.yaml", words(corpus, out, "tune.num_experts=[2]"))
    undisturbed = results(tune.sweep.run(config).table)
    assert [row["status"] for row in undisturbed.values()] == ["finished", "stopped"]
    found = results(swept.result.table)
    assert {name: found[name] for name in undisturbed} == undisturbed


def test_the_cpus_of_trials_that_were_stopped_early_come_back(swept):
    assert {trial.status for trial in swept.result.trials} == {"finished", "stopped"}
    assert swept.free == ray.cluster_resources()["CPU"] == 2


def test_a_sweep_that_has_ended_runs_nothing_again(swept):
    before = {path: path.stat().st_mtime_ns for path in Path(swept.config.tune.out).rglob("*.safetensors")}
    again = tune.sweep.run(swept.config)
    assert again.trials == swept.result.trials
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_every_combination_is_tried_and_the_best_comes_first(swept):
    result = swept.result
    assert {settings_of(trial) for trial in result.trials} == {(2, 1), (2, 2), (4, 1), (4, 2)}
    assert result.goal.metric == "val_loss"
    metrics = [trial.metric for trial in result.trials if trial.status == "finished"]
    assert metrics == sorted(metrics)
    assert all(1 < metric < 10 for metric in metrics)
    assert [trial.status for trial in result.trials] == sorted(trial.status for trial in result.trials)


def test_active_parameters_are_those_of_top_k_experts(swept):
    count = {settings_of(trial): trial.active_parameters for trial in swept.result.trials}
    for top_k in (1, 2):  # two more rows of the router, and no more experts at work
        assert count[4, top_k] - count[2, top_k] == 2 * 32
    assert count[2, 2] - count[2, 1] == count[4, 2] - count[4, 1] > 0  # one expert more


def test_table_and_picture_lie_in_the_folder(swept):
    result = swept.result
    with result.table.open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["metric"]) for row in rows] == [trial.metric for trial in result.trials]
    assert "parcoords" in result.page.read_text()
    with Image.open(result.page.with_name("quality.png")) as picture:
        assert picture.size > (600, 400)
        assert len(picture.convert("RGB").getcolors(1 << 20)) > 10


def test_train_takes_the_best_configuration(swept, new_store, tmp_path):
    config, result = swept.config, swept.result
    store = f"tracking.uri={new_store(tmp_path / 'x.db')}"
    best = load(result.best, [f"training.out={tmp_path / 'run'}", store])
    assert (best.model.adapter.num_experts, best.model.adapter.top_k) == settings_of(result.trials[0])
    assert best.training.stages == config.training.stages
    assert best.tune == load(CONFIGS / "tiny.yaml").tune
    # The best trial's own model is what this configuration trains: its record fits.
    trial = result.best.parent / "trials" / result.trials[0].point.name
    again = train(load(result.best, [f"training.out={trial}", store]))
    assert again.stages[0].metrics["val_loss"] == result.trials[0].metric
    assert load_model(str(again.model))[0].config.adapter_config.num_experts == settings_of(result.trials[0])[0]


def test_mlflow_has_a_parent_with_a_child_for_each_trial(swept):
    result = swept.result
    client = result.run.client
    parent = client.get_run(result.run.run_id)
    assert parent.info.status == "FINISHED"
    assert parent.data.metrics["best_val_loss"] == result.trials[0].metric
    logged = {artifact.path for artifact in client.list_artifacts(result.run.run_id)}
    assert {"best.yaml", "results.csv", "quality.png", "report.html", "trials.json", "config.yaml"} <= logged
    children = client.search_runs([result.run.experiment_id], PARENT.format(result.run.run_id))
    # One for each trial, also for one that was running when the sweep was killed.
    assert sorted(child.info.run_name for child in children) == [
        f"train num_experts{experts}-top_k{top_k}" for experts in (2, 4) for top_k in (1, 2)
    ]
    assert {child.info.status for child in children} == {"FINISHED", "KILLED"}
    for child in children:
        trial = next(one for one in result.trials if child.info.run_name == f"train {one.point.name}")
        # Those that were stopped early too.
        assert child.data.metrics["val_loss"] == trial.metric >= child.data.metrics["best_val_loss"]
        assert child.data.tags["ray.job"]
        assert child.data.params["model.adapter.num_experts"] in child.info.run_name
        if child.info.status == "FINISHED":
            stages = client.search_runs([result.run.experiment_id], PARENT.format(child.info.run_id))
            (stage,) = (stage for stage in stages if stage.info.status == "FINISHED")
            history = client.get_metric_history(stage.info.run_id, "val_loss")
            assert sorted({metric.step for metric in history}) == [1, 2, 3, 4, 5]


def test_a_trained_model_to_start_from_is_refused():
    with pytest.raises(ConfigError, match="training.init.*set it to null"):
        tune.sweep.run(load(CONFIGS / "quickstart.yaml", ["data.out=x", "tune.out=y"]))


def test_other_settings_in_the_same_folder_are_refused(swept):
    config = swept.config
    with pytest.raises(ConfigError, match="holds a sweep with other settings.*\n  seed was 0 and is 7 now"):
        tune.sweep.run(config.model_copy(update={"seed": 7}))


def test_what_a_sweep_compares_is_what_its_settings_say(corpus, tmp_path):
    before, now = (
        tune.sweep.sweep_settings(load(CONFIGS / "tiny.yaml", words(corpus, tmp_path, *more)))
        for more in ([], ["training.stages.0.batch_size=8", "tune.reports=2", "training.threads=7", "training.keep=5"])
    )
    assert changes(before, now, {}) == [
        "training.stages[questions].batch_size was 4 and is 8 now",
        "tune.reports was 5 and is 2 now",
    ]
