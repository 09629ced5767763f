import copy
from dataclasses import replace

import pytest
import torch

from favchat.config import StageConfig, TrainingConfig, load
from favchat.training.batches.stage_source import StageSource
from favchat.training.stage.errors import NonFiniteLossError
from favchat.training.stage.expert_usage import count_choices, usage_entropy, usage_picture
from favchat.training.stage.optimizer import make_optimizer, set_trainable
from favchat.training.stage.precision import prepare_model
from favchat.training.stage.step import Stepper, TorchEngine
from jobs.commands.settings import CONFIGS

STEPS = 3


@pytest.fixture(scope="module")
def batches(corpus):
    """The batches of three steps, whole and in halves."""
    config = load(CONFIGS / "tiny.yaml", [f"data.out={corpus}"])
    source = StageSource(config, config.training.stages[1], None)
    streams = [source.read_batches(rank, workers, 0) for rank, workers in ((0, 1), (0, 2), (1, 2))]
    return [[next(stream) for _ in range(STEPS)] for stream in streams]


def engine(tiny, **settings):
    stage = StageConfig(name="s", task="qa", trainable=["adapter", "language_model"], **settings)
    model = copy.deepcopy(tiny[0])
    set_trainable(model, stage.trainable)
    return TorchEngine(model, make_optimizer(model, stage), stage), stage


def losses(tiny, batches, **settings):
    made, stage = engine(tiny, **settings)
    stepper = Stepper(made, stage, STEPS, seed=0)
    return [stepper.step(number, parts).metrics["language_loss"] for number, parts in enumerate(batches, 1)]


def test_parts_of_a_batch_give_the_step_of_the_whole(tiny, batches):
    whole, first, second = batches
    in_one = losses(tiny, [[batch] for batch in whole])
    assert in_one[-1] < in_one[0]
    parts = [list(pair) for pair in zip(first, second, strict=True)]
    labelled = [int((part.inputs["labels"] != -100).sum()) for part in parts[0]]
    assert labelled[0] != labelled[1]  # a mean of the parts' means would differ
    # The routers' loss is each part's own.
    assert losses(tiny, parts, accumulate=2) == pytest.approx(in_one, rel=1e-3)


def test_recomputing_activations_changes_no_loss(tiny, batches):
    whole = [[batch] for batch in batches[0]]
    made, stage = engine(tiny, gradient_checkpointing=True)
    prepare_model(made.module, TrainingConfig(), stage, torch.float32)
    calls = []
    made.module.model.language_model.layers[0].mlp.register_forward_pre_hook(lambda *_: calls.append(1))
    stepper = Stepper(made, stage, STEPS, seed=0)
    found = [stepper.step(number, parts).metrics["language_loss"] for number, parts in enumerate(whole, 1)]
    assert len(calls) == 2 * STEPS
    assert found == pytest.approx(losses(tiny, whole), rel=1e-6)


def test_what_a_step_reports(tiny, batches):
    made, stage = engine(tiny, learning_rates={"language_model": 1e-4}, learning_rate=1e-3, warmup=0)
    result = Stepper(made, stage, STEPS, seed=0).step(1, [batches[0][0]])
    assert result.samples == len(batches[0][0].clip_ids) >= 4
    assert result.tokens == batches[0][0].tokens
    metrics = result.metrics
    assert metrics["loss"] == pytest.approx(
        metrics["language_loss"] + 0.01 * metrics["balance_loss"] + 0.001 * metrics["z_loss"], rel=1e-4
    )
    assert metrics["learning_rate"] == pytest.approx(1e-3)
    assert metrics["learning_rate.language_model"] == pytest.approx(1e-4)
    adapter = made.module.config.adapter_config
    frames = batches[0][0].inputs["face_visible"].numel()
    assert result.expert_choices.shape == (1, 2, 4)
    assert result.expert_choices.sum(dim=-1).tolist() == [
        [frames * adapter.vision_grid**2 * 2, frames * adapter.face_grid**2 * 2]
    ]


def test_a_poisoned_batch_is_named_before_the_weights_move(tiny, batches):
    made, stage = engine(tiny)
    before = copy.deepcopy(made.module.state_dict())
    batch = batches[0][0]
    pixels = batch.inputs["pixel_values_videos"].clone()
    pixels[0, 0, 0] = float("inf")
    poisoned = replace(batch, inputs={**batch.inputs, "pixel_values_videos": pixels})
    with pytest.raises(NonFiniteLossError, match=rf"step 7: the loss is nan.*{batch.clip_ids[0]}"):
        Stepper(made, stage, 9, seed=0).step(7, [poisoned])
    assert all(torch.equal(value, before[name]) for name, value in made.module.state_dict().items())


def test_experts_are_counted_by_stream(tiny):
    adapter = tiny[0].config.adapter_config
    general, face = adapter.vision_grid**2, adapter.face_grid**2
    logits = torch.zeros(2, general + face, 4)
    logits[:, :general, :2] = 1  # general tokens to experts 1 and 2
    logits[:, general:, 2:] = 1
    counts = count_choices((logits.flatten(0, 1),), adapter)
    assert counts.tolist() == [[[2 * general] * 2 + [0, 0], [0, 0] + [2 * face] * 2]]
    assert usage_entropy(counts) == pytest.approx(1.0 if general == face else usage_entropy(counts))
    assert usage_entropy(counts * torch.tensor([1, 0, 0, 0])) == 0
    assert usage_picture(counts, "title").startswith(b"\x89PNG")
