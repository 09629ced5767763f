import copy

import pytest

from favchat.config import ConfigError, LoraConfig, StageConfig
from favchat.model.lora import add_lora
from favchat.training.stage.optimizer import make_optimizer, rate_factor, set_rates, set_trainable


def test_only_the_named_parts_learn_and_are_in_training_mode(tiny):
    model = copy.deepcopy(tiny[0])
    names = set_trainable(model, ["adapter", "language_model.layers.3"])
    learning = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert learning == set(names)
    assert {name.split(".")[1] for name in names} == {"adapter", "language_model"}
    assert model.model.adapter.training
    assert model.model.language_model.layers[3].mlp.training
    assert not model.model.language_model.layers[2].mlp.training
    assert not any(module.training for module in model.model.vision_model.modules())


def test_an_unknown_part_is_named_with_those_there_are(tiny):
    with pytest.raises(
        ConfigError, match=r"'adapter.layer' is no part of the model; its parts are vision_model, face_model"
    ):
        set_trainable(copy.deepcopy(tiny[0]), ["adapter.layer"])


def test_patterns_choose_modules(tiny):
    model = copy.deepcopy(tiny[0])
    names = set_trainable(model, ["language_model.layers.[13].mlp"])
    assert {name.split(".")[3] for name in names} == {"1", "3"}
    assert all(".mlp." in name for name in names)


def test_vectors_are_not_decayed(tiny):
    model = copy.deepcopy(tiny[0])
    set_trainable(model, ["adapter"])
    groups = make_optimizer(model, StageConfig(name="s", task="qa", weight_decay=0.1)).param_groups
    assert {group["weight_decay"] for group in groups} == {0.1, 0.0}
    for group in groups:
        assert all((parameter.ndim > 1) == (group["weight_decay"] > 0) for parameter in group["params"])


def test_parts_have_rates_of_their_own_and_the_longest_name_counts(tiny):
    model = copy.deepcopy(tiny[0])
    set_trainable(model, ["adapter", "language_model"])
    rates = {"language_model": 1e-4, "language_model.layers.3": 1e-5}
    stage = StageConfig(name="s", task="qa", learning_rate=1e-2, learning_rates=rates)
    optimizer = make_optimizer(model, stage)
    set_rates(optimizer, 0.5)
    rate = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    inner = model.model
    assert rate[id(inner.adapter.out_proj.weight)] == pytest.approx(5e-3)
    assert rate[id(inner.language_model.layers[2].mlp.up_proj.weight)] == pytest.approx(5e-5)
    assert rate[id(inner.language_model.layers[3].mlp.up_proj.weight)] == pytest.approx(5e-6)


def test_a_rate_for_what_rests_is_refused(tiny):
    model = copy.deepcopy(tiny[0])
    set_trainable(model, ["adapter"])
    with pytest.raises(ConfigError, match="learning_rates names vision_model, where nothing learns"):
        make_optimizer(model, StageConfig(name="s", task="qa", learning_rates={"vision_model": 1e-4}))


def test_lora_learns_alone_at_its_own_rate(tiny):
    model = copy.deepcopy(tiny[0])
    add_lora(model, LoraConfig(rank=2, targets=["q_proj"]))
    names = set_trainable(model, ["lora"])
    assert len(names) == 2 * 4
    assert all(".lora_" in name for name in names)
    stage = StageConfig(name="s", task="qa", learning_rates={"lora": 1e-4})
    assert {group["peak"] for group in make_optimizer(model, stage).param_groups} == {1e-4}


@pytest.mark.parametrize("schedule", ["cosine", "linear", "constant"])
def test_the_rate_warms_up_and_falls(schedule):
    stage = StageConfig(name="s", task="qa", warmup=0.1, schedule=schedule, final_rate=0.2)
    rates = [rate_factor(stage, step, 100) for step in range(100)]
    assert rates[:10] == pytest.approx([0.1 * (step + 1) for step in range(10)])
    assert max(rates) == pytest.approx(1.0)
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] == pytest.approx(1.0 if schedule == "constant" else 0.2, abs=0.01)
    assert rates[55] == pytest.approx({"cosine": 0.6, "linear": 0.6, "constant": 1.0}[schedule])
