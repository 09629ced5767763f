"""Which steps are done and why, with steps that write a file each."""

from dataclasses import replace
from pathlib import Path

import pytest
from filelock import FileLock

import jobs.pipeline.plan
import jobs.pipeline.run
from favchat.config import ConfigError, load
from favchat.errors import UserError
from jobs.commands.settings import CONFIGS
from jobs.pipeline.digests import file_digest
from jobs.pipeline.register import RequirementError
from jobs.pipeline.steps import STEPS


@pytest.fixture
def road(tmp_path, monkeypatch, new_store):
    """A pipeline whose steps copy what they read into a file of their own; what they did is in `did`."""
    out, did = tmp_path / "out", []
    source = tmp_path / "videos"
    source.mkdir()
    store = new_store(tmp_path / "mlflow.db")

    def place(name):
        return out / "run" / "train" if name == "train" else out / name

    def work(name, after, settings):
        def do(config, parent):
            did.append(name)
            if name in road.failing:
                raise road.failing[name]
            place(name).parent.mkdir(parents=True, exist_ok=True)
            read = [place(one).read_text() for one in after] or [str(len(list(source.iterdir())))]
            place(name).write_text(f"{name}({settings(config)}; {', '.join(read)})")
            return f"{name} done"

        return do

    def fake(step):
        keys = {
            "prepare": lambda config: config.seed // 10,
            "train": lambda config: config.training.num_workers,
            "evaluate": lambda config: config.evaluation.resamples,
        }
        setting = keys.get(step.name, lambda config: 0)
        return replace(
            step,
            settings=lambda config: {f"{step.name}.setting": setting(config)},
            inputs=(
                (lambda config: {f"what {one} left": file_digest(str(place(one))) for one in step.after})
                if step.after
                else step.inputs
            ),
            output=lambda config: file_digest(str(place(step.name))),
            work=work(step.name, step.after, setting),
            unwanted=lambda config: None,
            always="",
        )

    steps = tuple(fake(step) for step in STEPS)
    monkeypatch.setattr(jobs.pipeline.plan, "STEPS", steps)
    monkeypatch.setattr(jobs.pipeline.run, "STEPS", steps)
    monkeypatch.setattr(jobs.pipeline.run, "evaluation_metrics", lambda _: {"questions/likelihood/all/war": 0.5})

    def road(*settings, **options):
        did.clear()
        words = [f"pipeline.out={out}", f"data.source.path={source}", f"tracking.uri={store}", *settings]
        said: list[str] = []
        try:
            jobs.pipeline.run.run(load(CONFIGS / "tiny.yaml", words), say=said.append, **options)
        finally:
            road.said = "\n".join(said)
        return list(did)

    road.failing, road.out, road.source, road.place, road.store = {}, out, source, place, store
    return road


ALL = [step.name for step in STEPS]


def test_nothing_is_done_twice_and_only_what_a_change_reaches_is_done_again(road):
    assert road() == ALL
    assert road() == []
    assert road.said.count("nothing changed since") == len(ALL)
    assert road("evaluation.resamples=200") == ["evaluate", "register", "deploy"]
    assert "evaluate.setting was 1000 and is 200 now" in road.said
    assert "what evaluate left changed" in road.said


def test_a_step_whose_output_came_out_the_same_changes_nothing_behind_it(road):
    road()
    road.place("annotate").unlink()
    assert road() == ["annotate"]
    assert "its output is gone" in road.said
    road.place("annotate").write_text("by hand")
    assert road() == ["annotate"]
    assert "its output is not the one that it left" in road.said


def test_new_videos_are_noticed(road):
    road()
    (road.source / "new.mp4").write_bytes(b"x")
    assert road(dry_run=True) == []
    assert "prepare   do    the files of the source changed" in road.said
    assert "train     do    if prepare or annotate changes what it reads" in road.said
    assert road() == ALL


def test_results_of_other_settings_are_moved_aside_and_not_lost(road):
    road()
    before = road.place("train").read_text()
    assert road("training.num_workers=2") == ["train", "evaluate", "register", "deploy"]
    assert (road.out / "run.1" / "train").read_text() == before
    assert (road.out / "run").is_dir()
    assert f"what was there is in {road.out / 'run.1'} now" in road.said
    road("training.num_workers=1")
    assert (road.out / "run.2" / "train").is_file()


def test_what_was_interrupted_goes_on(road):
    road.failing["train"] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        road()
    (run,) = runs(road)
    assert (run.info.status, run.info.run_name) == ("KILLED", "pipeline out")
    road.failing.clear()
    assert road() == ["train", "evaluate", "register", "deploy"]
    assert "train     do    interrupted; goes on where it was" in road.said
    (again,) = runs(road)
    assert (again.info.run_id, again.info.status) == (run.info.run_id, "FINISHED")
    assert again.data.metrics == {"questions/likelihood/all/war": 0.5}
    road("seed=20")
    assert len(runs(road)) == 2


def test_a_threshold_that_is_not_reached_ends_it(road):
    road.failing["register"] = RequirementError("falls short")
    with pytest.raises(UserError, match="falls short"):
        road()
    assert [run.info.status for run in runs(road)] == ["FAILED"]
    road.failing.clear()
    assert road() == ["register", "deploy"]


def test_parts_of_the_road(road):
    assert road(last="annotate") == ["prepare", "annotate"]
    assert "train     skip  left as it is (--until annotate)" in road.said
    assert road("seed=10", first="train", last="train") == ["train"]
    assert "prepare   skip  left as it is (--from train)" in road.said
    with pytest.raises(ConfigError, match="nothing between"):
        road(first="train", last="prepare")


def test_a_dry_run_does_nothing(road):
    assert road(dry_run=True) == []
    assert not road.out.exists()
    assert "train     do    not done yet; after prepare, annotate" in road.said


def test_one_at_a_time(road):
    road.out.mkdir()
    with FileLock(road.out / ".lock"), pytest.raises(ConfigError, match="another pipeline works there"):
        road()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["pipeline.out=s3://bucket/x"], "must be a folder that all nodes see"),
        (["evaluation.model=m"], "a pipeline evaluates the model that it trains"),
        (["pipeline.require={dfew/likelihood/expression/war: {min: 0.5}}"], "begins with none of evaluation.tasks"),
        (["pipeline.deploy=true"], "a local Ray ends with this command"),
        (["pipeline.deploy=true", "ray.address=head:6379"], "needs serve.store"),
    ],
)
def test_what_has_no_place_in_a_pipeline_is_refused_before_anything(road, settings, message, monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(ConfigError, match=message):
        road(*settings)
    assert not road.out.exists()


@pytest.mark.parametrize("text", ["[]", "nothing", '{"steps": {"train": {"other": 1}}}'])
def test_a_record_that_is_none_is_named(road, text):
    road.out.mkdir()
    (road.out / "pipeline.json").write_text(text)
    with pytest.raises(ConfigError, match="no record of a pipeline"):
        road()


def runs(road):
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=road.store)
    found = client.search_experiments(filter_string="name = 'favchat'")
    return client.search_runs([one.experiment_id for one in found])


def test_pipeline_out_is_needed():
    with pytest.raises(ConfigError, match="pipeline.out"):
        jobs.pipeline.run.run(load(CONFIGS / "tiny.yaml", ["data.source.path=x"]))


def test_the_folders_are_below_it_unless_they_are_named():
    config = jobs.pipeline.run.completed(load(CONFIGS / "tiny.yaml", ["pipeline.out=/o", "data.out=s3://bucket/c"]))
    assert (config.data.out, config.training.out) == ("s3://bucket/c", "/o/run")
    assert (config.evaluation.out, config.evaluation.model) == ("/o/evaluation", str(Path("/o/run/model")))
