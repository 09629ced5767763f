"""Searchers, driven as Ray Tune drives them but without trainings."""

import optuna
import pytest

from favchat.config import Config, ConfigError, TuneConfig
from tune.goal import Goal
from tune.search import searcher
from tune.space import chosen

LOSS = Goal("val_loss")
EXPERTS, TOP_K, RATE = "model.adapter.num_experts", "model.adapter.top_k", "model.adapter.balance_weight"


@pytest.fixture(autouse=True)
def quiet():
    optuna.logging.set_verbosity(optuna.logging.ERROR)


def config(search, seed=0, **more):
    space = {EXPERTS: [1, 2, 4], TOP_K: [1, 2, 4], RATE: {"log_uniform": [1e-3, 1e-1]}}
    return Config(seed=seed, tune=TuneConfig(search=search, space=space, **more))


def loss(point):
    return abs(point.settings[RATE] - 0.02) + 1 / point.settings[EXPERTS]


def drive(search, count):
    """Suggest, train and tell one trial after the other."""
    points = []
    for index in range(count):
        points.append(chosen(search.suggest(str(index))))
        search.on_trial_result(str(index), {"val_loss": 9.0, "training_iteration": 1})
        search.on_trial_complete(str(index), {"val_loss": loss(points[-1]), "training_iteration": 2})
    return points


@pytest.mark.parametrize("search", ["random", "optuna"])
def test_only_possible_combinations_are_drawn_and_the_seed_repeats_them(search):
    points = drive(searcher(config(search), LOSS), 8)
    for point in points:
        found = point.apply(config(search)).model.adapter
        assert found.top_k <= found.num_experts
        assert 1e-3 <= found.balance_weight <= 1e-1
    assert len(set(points)) > 2
    assert points == drive(searcher(config(search), LOSS), 8)
    assert points != drive(searcher(config(search, seed=1), LOSS), 8)


def test_impossible_combinations_are_counted():
    search = searcher(config("random"), LOSS)
    drive(search, 12)
    assert search.left_out > 0


def test_optuna_learns_from_what_it_is_told():
    points = drive(searcher(config("optuna"), LOSS), 24)
    early, late = (sum(map(loss, some)) for some in (points[:8], points[-8:]))
    assert late < early


def test_every_seed_of_a_combination_is_tried_and_its_mean_is_told():
    search = searcher(config("optuna", seeds=2), LOSS)
    pairs = [(chosen(search.suggest(f"{index}a")), chosen(search.suggest(f"{index}b"))) for index in range(3)]
    assert all(one.label == other.label and (one.seed, other.seed) == (0, 1) for one, other in pairs)
    search.on_trial_complete("0a", {"val_loss": 1.0})
    assert not told(search)
    search.on_trial_complete("0b", {"val_loss": 2.0})
    assert told(search) == [1.5]
    search.on_trial_complete("1a", error=True)
    search.on_trial_complete("1b", {"val_loss": 4.0})
    assert told(search) == [1.5, 4.0]


def told(search):
    study = search.inner._ot_study
    return [trial.value for trial in study.trials if trial.state == optuna.trial.TrialState.COMPLETE]


def test_a_searcher_goes_on_where_its_file_ends(tmp_path):
    first = searcher(config("optuna"), LOSS)
    drive(first, 12)
    first.save(str(tmp_path / "state"))
    second = searcher(config("optuna"), LOSS)
    second.restore(str(tmp_path / "state"))
    assert chosen(second.suggest("12")) == chosen(first.suggest("12"))
    assert second.left_out == first.left_out


@pytest.mark.parametrize(
    ("tune", "message"),
    [
        ({"search": "best"}, "tune.search = best: there are grid,.*hyperopt"),
        ({"search": "nevergrad"}, "tune.search = nevergrad cannot be used"),
        ({"search": "optuna", "search_arguments": {"speed": 1}}, "cannot be used.*speed"),
    ],
)
def test_searchers_that_cannot_be_had_are_told(tune, message):
    with pytest.raises(ConfigError, match=message):
        searcher(Config(tune=TuneConfig(**tune)), LOSS)


def test_a_metric_of_which_more_is_better_is_searched_upwards():
    search = searcher(config("optuna"), Goal("celebv_hq_emotion/likelihood/clip/uar"))
    assert search.inner.mode == "max"


def test_optuna_searches_by_quality_and_active_parameters_at_once():
    search = searcher(config("optuna", objectives=["metric", "active_parameters"], seeds=2), LOSS)
    for index in range(12):
        point = chosen(search.suggest(f"{index}a"))
        assert chosen(search.suggest(f"{index}b")).label == point.label
        experts = point.settings[EXPERTS]
        for name, more in (("a", 0.0), ("b", 1.0)):
            told = {"val_loss": 1 / experts + more, "active_parameters": 100 * experts}
            search.on_trial_result(f"{index}{name}", told)
            search.on_trial_complete(f"{index}{name}", told)
    study = search.inner._ot_study
    assert [direction.name for direction in study.directions] == ["MINIMIZE", "MINIMIZE"]
    # More experts are better and larger: each number of them has a place on the front.
    front = {tuple(trial.values) for trial in study.best_trials}
    assert front <= {(0.5 + 1 / experts, 100 * experts) for experts in (1, 2, 4)}
    assert len(front) > 1
