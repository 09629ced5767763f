import copy

import pytest
import torch

from favchat.config import ConfigError, StageConfig
from favchat.training.optimisation import make_optimizer, make_schedule, set_trainable


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


def test_vectors_are_not_decayed(tiny):
    model = copy.deepcopy(tiny[0])
    set_trainable(model, ["adapter"])
    groups = make_optimizer(model, StageConfig(name="s", task="qa", weight_decay=0.1)).param_groups
    assert [group["weight_decay"] for group in groups] == [0.1, 0.0]
    assert all(parameter.ndim > 1 for parameter in groups[0]["params"])
    assert all(parameter.ndim == 1 for parameter in groups[1]["params"])


def test_the_rate_warms_up_and_falls_to_a_tenth():
    stage = StageConfig(name="s", task="qa", steps=100, warmup=0.1, learning_rate=1.0)
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=stage.learning_rate)
    schedule, rates = make_schedule(optimizer, stage), []
    for _ in range(stage.steps):
        rates.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    assert rates[:10] == pytest.approx([0.1 * (step + 1) for step in range(10)])
    assert max(rates) == pytest.approx(1.0)
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] == pytest.approx(0.1, abs=0.01)
