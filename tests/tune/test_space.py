import pytest
from omegaconf import OmegaConf

from favchat.config import AdapterConfig, Config, ConfigError, DimensionConfig, TuneConfig, load
from jobs.commands.settings import CONFIGS
from tune.space import Point, check_space, decode, grid, grid_points, make_point

EXPERTS, TOP_K = "model.adapter.num_experts", "model.adapter.top_k"


def settings(points):
    return [tuple(point.settings.values()) for point in points]


def point(**values):
    return make_point(values, {key: DimensionConfig(choices=[value]) for key, value in values.items()})


def test_combinations_that_the_configuration_refuses_are_left_out_and_say_why():
    found, left_out = grid_points(Config(tune=TuneConfig(num_experts=[4, 1, 2, 4], top_k=[2, 1])))
    assert settings(found) == [(4, 2), (4, 1), (1, 1), (2, 2), (2, 1)]
    assert list(left_out) == ["num_experts1-top_k2"]
    assert "top_k = 2 is more than num_experts = 1" in left_out["num_experts1-top_k2"]


def test_a_point_replaces_its_settings_and_nothing_else():
    config = Config()
    changed = make_point({EXPERTS: 8, TOP_K: 1}, config.tune.dimensions).apply(config)
    assert changed.model.adapter == AdapterConfig(num_experts=8, top_k=1)
    assert changed.model_copy(update={"model": config.model}) == config
    assert config.model.adapter.num_experts == 4


def test_any_setting_can_be_swept_also_of_all_stages():
    config = load(CONFIGS / "tiny.yaml")
    values = {"training.stages.*.learning_rate": 0.5, "training.stages.1.warmup": 0.3, "model.lora.rank": 3, "seed": 9}
    found = point(**values).apply(config)
    assert {stage.learning_rate for stage in found.training.stages} == {0.5}
    assert [stage.warmup for stage in found.training.stages] == [config.training.stages[0].warmup, 0.3]
    assert (found.model.lora.rank, found.seed) == (3, 9)


def test_names_tell_points_apart_and_can_be_folders():
    assert point(**{EXPERTS: 4, "seed": 1}).name == "num_experts4-seed1"
    first, second = "training.stages.0.learning_rate", "training.stages.1.learning_rate"
    assert point(**{first: 0.1, second: 0.2}).name == (
        "training_stages_0_learning_rate0.1-training_stages_1_learning_rate0.2"
    )
    assert point(**{"model.adapter.face_levels": [-1, 2]}).name == "face_levels1_2"
    long = [point(**{f"model.lora.targets{index}": "x" * 90, "seed": index}).name for index in range(2)]
    assert len(set(long)) == 2
    assert max(map(len, long)) <= 100


def test_a_setting_counts_only_where_its_condition_is_met():
    dropout = "model.adapter.dropout"
    space = {EXPERTS: [2, 4], dropout: {"choices": [0.0, 0.5], "when": {EXPERTS: [4]}}}
    found, left_out = grid_points(Config(tune=TuneConfig(space=space)))
    assert [one.settings for one in found] == [{EXPERTS: 2}, {EXPERTS: 4, dropout: 0.0}, {EXPERTS: 4, dropout: 0.5}]
    assert not left_out


def test_the_grid_has_every_combination_with_every_seed():
    config = Config(seed=3, tune=TuneConfig(num_experts=[1, 2], top_k=[1, 2], seeds=2))
    found = [decode(text) for text in grid(config)["point"]["grid_search"]]
    assert [(*one.settings.values(), one.seed) for one in found] == [
        (1, 1, 3), (2, 1, 3), (2, 2, 3), (1, 1, 4), (2, 1, 4), (2, 2, 4)
    ]  # fmt: skip
    assert found[3].name == "num_experts1-top_k1-seed4"
    assert found[3].label == found[0].label
    assert found[3].apply(config).seed == 4


def test_a_space_can_be_given_on_the_command_line_and_in_a_file(tmp_path):
    text = "{model.adapter.balance_weight: {log_uniform: [0.001, 0.1]}, model.adapter.num_experts: [2, 4]}"
    words = [f"tune.space={text}", "tune.search=random"]
    file = tmp_path / "sweep.yaml"
    file.write_text(OmegaConf.to_yaml({"tune": {"space": OmegaConf.create(text), "search": "random"}}))
    for config in (load(CONFIGS / "tiny.yaml", words), load(file)):
        dimensions = config.tune.dimensions
        assert dimensions["model.adapter.balance_weight"].log_uniform == [0.001, 0.1]
        assert dimensions[EXPERTS].choices == [2, 4]
        check_space(config)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["tune.num_experts=[1,2]", "tune.top_k=[4]"], "no combination can be trained\n.*top_k = 4 is more"),
        (["tune.space={model.adapter.num_expert: [1]}"], "no such setting; did you mean model.adapter.num_experts"),
        (["tune.space={training.stages.7.steps: [1]}"], "a list has 2 items, none is 7"),
        (
            ["tune.space={model.adapter.num_experts: [many]}"],
            "no combination can be trained.*adapter.num_experts",
        ),
        (["tune.num_experts=[]"], "tune.num_experts"),
        (["tune.top_k=[0]"], "no combination can be trained.*model.adapter.top_k"),
        (["tune.metric=accuracy"], "tune.metric.*'accuracy' is none of val_loss.*TASK/WAY/PART/METRIC"),
        (["tune.metric=a/b/c/d"], "tune.metric.*a way of likelihood"),
        (["tune.metric=celebv_hq_emotions/text/clip/uar"], "did you mean celebv_hq_emotion"),
        (["tune.objectives=[active_parameters]"], "tune.*objectives: metric"),
        (["tune.objectives=[metric,active_parameters]"], "search = grid has one alone"),
        (["tune.scheduler={name: asha, grace_step: 1}"], "did you mean tune.scheduler.grace_steps"),
        (["tune.space={data.out: [a]}"], "data.out cannot be swept"),
        (["tune.space={seed: [1]}", "tune.seeds=2"], "seed is swept by seeds already"),
        (["tune.space={model.adapter.dropout: {uniform: [0, 0.5]}}"], "search=grid needs choices"),
        (["tune.space={model.adapter.dropout: {uniform: [0.5, 0]}}"], "is no range"),
        (["tune.space={model.adapter.dropout: {step: 1}}"], "give one of choices, uniform and log_uniform, not none"),
        (["tune.space={seed: {choices: [1], when: {model.dtype: [float32]}}}"], "model.dtype is not swept"),
        (["tune.space={training.stages.0.steps: [1, 2]}", "tune.scheduler.name=asha"], "changes how many steps"),
    ],
)
def test_settings_that_cannot_work_are_refused(words, message):
    with pytest.raises(ConfigError, match=f"(?s){message}"):
        config = load(CONFIGS / "tiny.yaml", words)
        check_space(config)
        grid_points(config)


def test_a_point_is_the_same_after_its_way_through_ray():
    one = Point((("seed", "1"), ("model.adapter.face_levels", "[1, 2]")), 7)
    assert decode(one.encode()) == one
