from favchat.config import TrackingConfig
from favchat.tracking import start_run


def test_a_run_keeps_parameters_metrics_artifacts_and_its_children(home, tmp_path):
    run = start_run(TrackingConfig(experiment="faces"), "parent")
    run.log_params({"model": {"stages": [{"steps": 3}, {"steps": 5}]}, "seed": 1})
    child = run.child("stage")
    for step in (1, 2):
        child.log_metrics({"loss": 1.0 / step}, step)
    note = tmp_path / "note.txt"
    note.write_text("hello")
    child.log_artifact(note)
    child.finish()
    run.finish("FAILED")

    client = run.client
    stored = client.get_run(run.run_id)
    assert stored.data.params == {"model.stages.0.steps": "3", "model.stages.1.steps": "5", "seed": "1"}
    assert stored.info.status == "FAILED"
    assert [metric.value for metric in client.get_metric_history(child.run_id, "loss")] == [1.0, 0.5]
    assert client.get_run(child.run_id).data.tags["mlflow.parentRunId"] == run.run_id
    assert [artifact.path for artifact in client.list_artifacts(child.run_id)] == ["note.txt"]
    assert (home / "mlflow" / "mlflow.db").is_file()
    assert not (home / "mlruns").exists()


def test_many_parameters_are_logged_in_batches(store):
    run = start_run(TrackingConfig(), "many")
    run.log_params({f"key{index}": index for index in range(250)})
    assert len(run.client.get_run(run.run_id).data.params) == 250


def test_a_setting_of_all_stages_can_be_a_parameter(store):
    run = start_run(TrackingConfig(), "swept")
    run.log_params({"training.stages.*.learning_rate": 0.1})
    assert run.client.get_run(run.run_id).data.params == {"training.stages.all.learning_rate": "0.1"}


def test_children_that_a_dead_process_left_running_are_ended(store):
    run = start_run(TrackingConfig(), "parent")
    finished, running = run.child("finished"), run.child("running")
    below = running.child("stage")
    finished.finish()
    run.end_children()
    states = [run.client.get_run(each.run_id).info.status for each in (finished, running, below, run)]
    assert states == ["FINISHED", "KILLED", "KILLED", "RUNNING"]


def test_children_that_were_stopped_do_not_count_as_failed(store):
    run = start_run(TrackingConfig(), "parent")
    stopped, failed, finished = (run.child(name) for name in ("stopped", "failed", "finished"))
    for child, status in ((stopped, "FAILED"), (failed, "FAILED"), (finished, "FINISHED")):
        child.finish(status)
    run.end_children(not_failed=["stopped", "finished"])
    states = [run.client.get_run(each.run_id).info.status for each in (stopped, failed, finished)]
    assert states == ["KILLED", "FAILED", "FINISHED"]


def test_a_corpus_is_an_input_with_its_digest_and_split(store):
    run = start_run(TrackingConfig(), "train")
    run.log_dataset("/data/corpus", "0123", "val", "validation")
    (found,) = run.client.get_run(run.run_id).inputs.dataset_inputs
    assert (found.dataset.name, found.dataset.digest) == ("corpus/val", "0123")
    assert [(tag.key, tag.value) for tag in found.tags] == [("mlflow.data.context", "validation")]


def test_every_run_names_its_ray_job(ray_session, store):
    import ray

    run = start_run(TrackingConfig(), "parent")
    for one in (run, run.child("stage")):
        assert run.client.get_run(one.run_id).data.tags["ray.job"] == ray.get_runtime_context().get_job_id()


def test_runs_name_the_revision_of_their_code(store, monkeypatch):
    monkeypatch.setenv("FAVCHAT_REVISION", "0123abc-dirty")
    run = start_run(TrackingConfig(), "run")
    for one in (run, run.child("stage")):
        assert run.client.get_run(one.run_id).data.tags["mlflow.source.git.commit"] == "0123abc-dirty"
