"""What Ray's own trainer would start for a stage, and ours does not."""

from ray.train import ScalingConfig
from ray.train.torch import TorchTrainer

from favchat.training.stage.trainer import UNUSED, StageTrainer


def kinds(trainer) -> list[type]:
    return [
        type(one) for one in trainer(print, scaling_config=ScalingConfig(num_workers=1))._create_default_callbacks()
    ]


def test_all_that_a_stage_needs_is_started_and_nothing_else(ray_session):
    plain, ours = kinds(TorchTrainer), kinds(StageTrainer)
    assert set(UNUSED) <= set(plain)
    assert ours == [one for one in plain if one not in UNUSED]
