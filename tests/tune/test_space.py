import optuna
import pytest

from favchat.config import AdapterConfig, Config, ConfigError, TuneConfig, load
from jobs.cli import CONFIGS
from tune.space import Point, chosen, grid, optuna_search, points


def test_combinations_that_no_adapter_can_have_are_left_out():
    assert points(TuneConfig(num_experts=[4, 1, 2, 4], top_k=[2, 1])) == [(4, 2), (4, 1), (1, 1), (2, 2), (2, 1)]


def test_a_point_replaces_the_adapter_and_nothing_else():
    config = Config()
    changed = Point(8, 1).apply(config)
    assert changed.model.adapter == AdapterConfig(num_experts=8, top_k=1)
    assert changed.model_copy(update={"model": config.model}) == config
    assert config.model.adapter.num_experts == 4


def test_the_grid_has_every_combination_once():
    config = TuneConfig(num_experts=[1, 2], top_k=[1, 2])
    found = [chosen({"point": value}) for value in grid(config)["point"]["grid_search"]]
    assert found == [Point(1, 1), Point(2, 1), Point(2, 2)]


def test_optuna_draws_only_combinations_that_fit_and_repeats_itself_by_seed():
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    config = TuneConfig(search="optuna", num_experts=[1, 2, 4], top_k=[1, 2, 4])

    def draw(seed):
        search = optuna_search(config, "val_loss", seed)
        drawn = [chosen(search.suggest(str(index))) for index in range(20)]
        return drawn

    assert set(draw(0)) <= set(points(config))
    assert len(set(draw(0))) > 2
    assert draw(0) == draw(0) != draw(1)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["tune.num_experts=[1,2]", "tune.top_k=[4]"], "tune: no combination fits"),
        (["tune.num_experts=[]"], "tune.num_experts"),
        (["tune.top_k=[0,1]"], "must be 1 or more"),
        (["tune.metric=accuracy"], "tune.metric"),
        (["tune.asha.grace=1"], "did you mean tune.asha.grace_period"),
    ],
)
def test_settings_that_cannot_work_are_refused(words, message):
    with pytest.raises(ConfigError, match=message):
        load(CONFIGS / "tiny.yaml", words)
