"""What changes in a trial of a population: its settings and its folder."""

import json
import random

import pytest

from favchat.config import Config, ConfigError, DimensionConfig, SchedulerConfig, TuneConfig, load
from jobs.commands.settings import CONFIGS
from tune.perturbation import (
    Perturbation,
    decode_perturbations,
    drop_snapshots,
    explore,
    keep_snapshot,
    perturbations,
    present_point,
    take_over,
    within,
)
from tune.space import make_point

RATE, DECAY = "training.stages.*.learning_rate", "training.stages.*.weight_decay"


def point(rate, decay=0.0):
    values = {RATE: rate, DECAY: decay}
    return make_point(values, {key: DimensionConfig(choices=[value]) for key, value in values.items()})


def config(resample, **space):
    tiny = load(CONFIGS / "tiny.yaml")
    space = {RATE: {"log_uniform": [1e-3, 1e-1]}, DECAY: [0.0, 0.1, 0.2, 0.3]} | space
    scheduler = SchedulerConfig(name="pbt", resample=resample)
    return tiny.model_copy(update={"tune": TuneConfig(space=space, search="random", scheduler=scheduler)})


def test_settings_move_by_a_fifth_or_to_a_neighbouring_choice_within_the_space():
    draw = random.Random(0)
    found = [explore(point(0.01, 0.1), config(resample=0.0), draw).settings for _ in range(20)]
    assert {one[RATE] for one in found} == {0.008, 0.012}
    assert {one[DECAY] for one in found} == {0.0, 0.2}
    edge = [explore(point(0.1, 0.3), config(resample=0.0), draw).settings for _ in range(20)]
    assert {one[RATE] for one in edge} == {0.08, 0.1}
    assert {one[DECAY] for one in edge} == {0.2, 0.3}


def test_settings_that_are_drawn_anew_come_from_the_whole_space():
    draw = random.Random(0)
    found = [explore(point(0.01, 0.1), config(resample=1.0), draw).settings for _ in range(40)]
    assert {one[DECAY] for one in found} == {0.0, 0.1, 0.2, 0.3}
    assert len({one[RATE] for one in found}) > 30
    assert all(0.001 <= one[RATE] <= 0.1 for one in found)
    assert min(one[RATE] for one in found) < 0.003 < 0.03 < max(one[RATE] for one in found)


@pytest.mark.parametrize(
    ("value", "step", "found"),
    [(0.123456, None, 0.1235), (2.0, None, 1.0), (0.37, 0.25, 0.25), (0.99, 0.4, 0.8), (0.01, 0.4, 0.4)],
)
def test_values_stay_within_their_bounds_and_on_their_steps(value, step, found):
    assert within(value, 0.1, 1.0, step) == pytest.approx(found)


def test_what_changed_is_the_same_after_its_way_through_ray():
    changed = [Perturbation(4, "a", point(0.1)), Perturbation(8, "b", point(0.2))]
    content = json.loads(json.dumps([one.encode() for one in changed]))
    assert decode_perturbations(content) == tuple(changed)
    parameters = {"point": point(0.3).encode()}
    assert (perturbations(parameters), present_point(parameters)) == ((), point(0.3))
    assert present_point(parameters | {"perturbed": content}) == point(0.2)


def trained(trials, name, *, step, weights):
    """A trial that has finished one stage and stands at a step of the next one."""
    folder = trials / name
    for stage, place in (("first", "model"), ("second", f"checkpoints/step-{step:06d}")):
        (folder / "stages" / stage / place).mkdir(parents=True)
        (folder / "stages" / stage / place / "weights.safetensors").write_text(weights)
        for file in ("steps.jsonl", "reports.jsonl", "settings.json", "run.json"):
            (folder / "stages" / stage / file).write_text(f"{name}'s")
    (folder / "stages/second" / place / "checkpoint.json").write_text("{}")
    (folder / "stages/first/stage.json").write_text("{}")
    return folder


def test_a_trial_goes_on_from_anothers_snapshot_with_its_own_runs(tmp_path):
    good = trained(tmp_path, "good", step=2, weights="good")
    poor = trained(tmp_path, "poor", step=2, weights="poor")
    keep_snapshot(good, 6)
    keep_snapshot(poor, 6)
    # The good one goes on, and its checkpoint is gone before the poor one takes it over.
    (good / "stages/second/checkpoints/step-000002").rename(good / "stages/second/checkpoints/step-000004")
    changed = [Perturbation(6, "good", point(0.1))]
    take_over(poor, changed)
    assert (poor / "stages/first/model/weights.safetensors").read_text() == "good"
    assert (poor / "stages/second/checkpoints/step-000002/weights.safetensors").read_text() == "good"
    for stage in ("first", "second"):
        assert (poor / "stages" / stage / "steps.jsonl").read_text() == "good's"
        assert (poor / "stages" / stage / "run.json").read_text() == "poor's"
        # What it learned with before would refuse the new settings.
        assert not (poor / "stages" / stage / "settings.json").exists()
    # What it trains from here on is not undone by a restart.
    (poor / "stages/second/steps.jsonl").write_text("further")
    take_over(poor, changed)
    assert (poor / "stages/second/steps.jsonl").read_text() == "further"
    # Ray Tune's state may be older than the folders: then the way back is open, to the beginning too.
    keep_snapshot(poor, 8)
    take_over(poor, [*changed, Perturbation(8, "poor", point(0.2))])
    take_over(poor, changed)
    assert (poor / "stages/second/steps.jsonl").read_text() == "good's"
    take_over(poor, [])
    assert [path.name for path in (poor / "stages/second").iterdir()] == ["run.json"]
    drop_snapshots(tmp_path.parent / "elsewhere")
    assert (good / "snapshots").is_dir()


def test_snapshots_go_with_the_sweep(tmp_path):
    folder = trained(tmp_path / "trials", "one", step=2, weights="x")
    keep_snapshot(folder, 6)
    kept = folder / "snapshots/step-000006/stages/second/checkpoints/step-000002/weights.safetensors"
    assert kept.samefile(folder / "stages/second/checkpoints/step-000002/weights.safetensors")
    drop_snapshots(tmp_path)
    assert not (folder / "snapshots").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["tune.num_experts=[2,4]"], "model.adapter.num_experts, model.adapter.top_k cannot change then"),
        (["tune.space={model.lora.rank: [2, 4]}"], "model.lora.rank cannot change then.*learning_rate, weight_decay"),
        (["tune.space={training.stages.0.batch_size: [2, 4]}"], "batch_size changes how many steps"),
        ([f"tune.space={{{RATE}: [0.1, 0.2]}}", "tune.search=optuna"], "set search to grid or random, not to optuna"),
        ([f"tune.space={{{RATE}: [0.1, 0.2]}}", "tune.seeds=2"], "pbt and seeds do not go together"),
        (
            [f"tune.space={{{RATE}: [0.1, 0.2], {DECAY}: {{choices: [0.1], when: {{{RATE}: [0.1]}}}}}}"],
            "leave out when",
        ),
    ],
)
def test_what_cannot_change_in_a_running_trial_is_refused_before_the_sweep(words, message):
    with pytest.raises(ConfigError, match=f"(?s){message}"):
        load(CONFIGS / "tiny.yaml", ["tune.scheduler={name: pbt}", *words])


def test_settings_of_stages_can_change():
    words = [f"tune.space={{{RATE}: [0.1, 0.2], training.stages.0.learning_rates.adapter: [0.1]}}"]
    assert isinstance(load(CONFIGS / "tiny.yaml", ["tune.scheduler={name: pbt}", *words]), Config)
