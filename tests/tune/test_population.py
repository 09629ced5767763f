"""Population based training, driven as Ray Tune drives it but without trainings; and one small sweep of it."""

import csv
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest
from ray.tune.experiment import Trial

import tune.sweep
from favchat.config import ConfigError, load
from favchat.training.stage.step_log import read_steps
from jobs.commands.settings import CONFIGS
from tune.goal import Goal
from tune.perturbation import perturbations, present_point
from tune.population import Population, first_points, stops
from tune.report import redraw
from tune.space import chosen
from tune.trial import COUNTER, FINISHED

RATE = "training.stages.*.learning_rate"
LOSS = Goal("val_loss")


def configured(*words):
    return load(CONFIGS / "tiny.yaml", ["tune.scheduler={name: pbt, interval_steps: 5}", "tune.reports=4", *words])


def test_trials_are_compared_at_reports_and_not_at_the_end():
    space = f"tune.space={{{RATE}: [0.1, 0.2]}}"
    stages = {"summaries": 10, "questions": 6}  # reports after 3, 5, 8, 10 and 12, 13, 15, 16
    assert stops(configured(space), stages) == (5, 10, 15)
    assert stops(configured(space, "tune.scheduler.grace_steps=9"), stages) == (10, 15)
    assert stops(configured(space, "tune.scheduler.interval_steps=null"), stages) == (5, 10, 15)
    assert stops(configured(space, "tune.scheduler={name: asha}"), stages) == ()


def test_a_population_is_drawn_by_the_seed_and_no_member_twice():
    words = [f"tune.space={{{RATE}: {{uniform: [0, 3], step: 1}}}}", "tune.search=random", "tune.num_samples=4"]
    found = first_points(configured(*words), LOSS)
    assert sorted(one.settings[RATE] for one in found) == [1, 2, 3]  # a rate of 0 is refused
    assert found == first_points(configured(*words), LOSS) != first_points(configured(*words, "seed=1"), LOSS)
    with pytest.raises(ConfigError, match="a population of two at least"):
        first_points(configured(f"tune.space={{{RATE}: [0.1]}}"), LOSS)


@dataclass(eq=False)
class Member:
    """What the scheduler looks at in a trial."""

    config: dict
    last_result: dict = field(default_factory=dict)
    status: str = "PENDING"

    def __post_init__(self):
        self.trial_id = self.experiment_tag = chosen(self.config).name
        manager = SimpleNamespace(checkpoint_config=SimpleNamespace(num_to_keep=None), _latest_checkpoint_result=None)
        self.run_metadata = SimpleNamespace(checkpoint_manager=manager)
        self.temporary_state = SimpleNamespace(saving_to=None)

    @property
    def checkpoint(self):
        return f"{self.trial_id} at {self.last_result[COUNTER]}"

    def set_status(self, status):
        self.status = status

    def set_config(self, config):
        self.config = config

    def set_experiment_tag(self, tag):
        pass

    def is_finished(self):
        return self.status in (Trial.TERMINATED, Trial.ERROR)


class Controller:
    """Trains the members, as many at once as the scheduler wants; their loss is the distance of their rate to 0.1."""

    search_alg = None

    def __init__(self, config, members=None, at_once=2):
        self.judge = Population(config, LOSS, (4, 8), at_once)
        self.trials = members or [Member({"point": one.encode()}) for one in first_points(config, LOSS)]
        self.most = 0
        for trial in self.trials:
            if not trial.is_finished():
                trial.status = Trial.PENDING  # as Ray Tune does with those of an interrupted sweep
            self.judge.on_trial_add(self, trial)

    def get_trials(self):
        return self.trials

    def get_live_trials(self):
        return [trial for trial in self.trials if trial.status != Trial.TERMINATED]

    def pause_trial(self, trial, should_checkpoint):
        trial.status = Trial.PAUSED

    def _schedule_trial_save(self, trial, result):
        return trial.checkpoint if trial.last_result else None

    def run(self, reports=1000, fails=()):
        """Until the end, or until so many reports have come."""
        while reports and any(not trial.is_finished() for trial in self.trials):
            while (trial := self.judge.choose_trial_to_run(self)) is not None:
                trial.status = Trial.RUNNING
            running = [trial for trial in self.trials if trial.status == Trial.RUNNING]
            assert running, "the trials wait for each other for ever"
            self.most = max(self.most, len(running))
            for trial in running[:reports]:
                reports -= 1
                self.report(trial, fails)

    def report(self, trial, fails):
        if trial.trial_id in fails:
            trial.status = Trial.ERROR
            return
        step = trial.last_result.get(COUNTER, 0) + 2
        loss = abs(present_point(trial.config).settings[RATE] - 0.1)
        result = {COUNTER: step, "val_loss": loss, "training_iteration": step // 2}
        if step == 12:
            result[FINISHED] = 1.0
        trial.last_result = result
        decision = self.judge.on_trial_result(self, trial, result)
        if step == 12:
            trial.status = Trial.TERMINATED
        elif decision == "PAUSE":
            trial.status = Trial.PAUSED

    def outcome(self):
        return {trial.trial_id: perturbations(trial.config) for trial in self.trials}


POPULATION = [f"tune.space={{{RATE}: [0.1, 0.15, 0.4, 0.8]}}"]


def test_the_poorest_goes_on_from_the_best_at_every_stop():
    controller = Controller(configured(*POPULATION))
    controller.run()
    assert controller.most == 2
    best, second, third, poorest = (f"learning_rate{rate}" for rate in (0.1, 0.15, 0.4, 0.8))
    found = controller.outcome()
    assert found[best] == found[second] == ()
    (first,) = found[poorest]
    assert (first.step, first.source, first.point.settings[RATE]) in ((4, best, 0.1), (4, best, 0.15))
    # Of the past of whom it takes over from it knows too.
    *before, later = found[third]
    assert (later.step, later.source, tuple(before)) in ((8, best, ()), (8, poorest, (first,)))
    assert all(trial.last_result[COUNTER] == 12 for trial in controller.trials)


@pytest.mark.parametrize("reports", [3, 5, 8, 9, 11, 17])
def test_an_interrupted_population_does_what_an_undisturbed_one_does(reports):
    whole = Controller(configured(*POPULATION), at_once=1)
    whole.run()
    killed = Controller(configured(*POPULATION), at_once=1)
    killed.run(reports)
    assert any(not trial.is_finished() for trial in killed.trials)
    again = Controller(configured(*POPULATION), killed.trials, at_once=1)
    again.run()
    assert again.outcome() == whole.outcome()


def test_nobody_waits_for_a_trial_that_has_failed():
    controller = Controller(configured(*POPULATION))
    controller.run(fails=["learning_rate0.4"])
    assert sorted(trial.status for trial in controller.trials) == ["ERROR", *["TERMINATED"] * 3]
    found = controller.outcome()
    assert [one.step for one in found["learning_rate0.8"]] == [4]
    assert found["learning_rate0.15"][-1].step == 8
    # Nor for one that fails when all others wait for it.
    controller = Controller(configured(*POPULATION), at_once=1)
    controller.run(6)
    controller.run(fails=["learning_rate0.8"])
    assert [trial.last_result.get(COUNTER) for trial in controller.trials] == [12, 12, 12, None]


@pytest.fixture(scope="module")
def swept(ray_session, corpus, new_store, tmp_path_factory):
    """Two members over two stages, compared in the middle of the second."""
    out = tmp_path_factory.mktemp("sweep") / "population"
    new_store(out.with_name("population.db"))
    stages = ", ".join(
        f"{{name: {task}s, task: {task}, steps: {steps}, batch_size: 4, trainable: [adapter], cache_features: false}}"
        for task, steps in (("summary", 1), ("qa", 4))
    )
    words = [
        f"data.out={corpus}",
        f"tune.out={out}",
        f"tracking.uri=sqlite:///{out}.db",
        f"training.stages=[{stages}]",
        "training.val_batches=1",
        "training.val_answers=0",
        "training.threads=1",
        "training.checkpoint_every=1",
        "tune.reports=2",
        f"tune.space={{{RATE}: [0.0001, 0.01]}}",
        "tune.scheduler={name: pbt, grace_steps: 3, resample: 0}",
        "seed=1",  # with which the choice moves to the other one and not beyond the last
        "tune.max_concurrent=1",
        "ray.num_cpus=2",
    ]
    config = load(CONFIGS / "tiny.yaml", words)
    return out, tune.sweep.run(config)


def test_a_member_that_took_over_goes_on_from_the_others_weights_and_counts_on(swept):
    out, result = swept
    trials = {trial.point.name: trial for trial in result.trials}
    assert {trial.status for trial in result.trials} == {"finished"}
    assert [trial.steps for trial in result.trials] == [5, 5]
    good, poor = trials["learning_rate0.01"], trials["learning_rate0.0001"]
    assert not good.perturbations
    (change,) = poor.perturbations
    assert (change.step, change.source, change.point.settings[RATE]) == (3, good.point.name, 0.0001)
    steps = {name: read_steps(out / "trials" / name / "stages/qas/steps.jsonl") for name in trials}
    lines, others = steps[poor.point.name], steps[good.point.name]
    assert [line["step"] for line in lines] == [1, 2, 3, 4]
    # Up to where it took over its weights learned with the other's rate, then with its own.
    assert lines[:2] == others[:2]
    assert lines[2]["language_loss"] == others[2]["language_loss"]  # the first step from the same weights
    assert lines[3]["language_loss"] != others[3]["language_loss"]
    assert lines[3]["learning_rate"] <= 0.0001 < others[2]["learning_rate"]
    assert not list(out.glob("trials/*/snapshots"))


def test_table_page_and_best_configuration_tell_the_last_settings_and_how_they_came_about(swept):
    out, result = swept
    with result.table.open() as file:
        rows = {row["trial"]: row for row in csv.DictReader(file)}
    assert rows["learning_rate0.0001"]["history"] == "step 3: from learning_rate0.01, learning_rate0.0001"
    assert rows["learning_rate0.01"]["history"] == ""
    page, *_ = redraw(out)
    assert "What changed on the way to each trial&#x27;s weights" in page.read_text()
    assert "Settings changed while trials trained" in page.read_text()
    best = load(result.best)
    assert {stage.learning_rate for stage in best.training.stages} == {result.trials[0].present.settings[RATE]}
    told = [line for line in result.best.read_text().splitlines() if line.startswith("#")]
    assert (len(told) > 1) == bool(result.trials[0].perturbations)
