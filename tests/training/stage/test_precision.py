import pytest
import torch

from favchat.config import StageConfig, TrainingConfig, load
from favchat.model.build import build
from favchat.training.stage import packed_attention
from favchat.training.stage.optimizer import set_trainable
from favchat.training.stage.precision import prepare_model
from jobs.commands.settings import CONFIGS


@pytest.fixture
def with_batch_norms():
    """`tiny` with a general encoder that has batch norms."""
    vision = "{config: {model_type: mobilenet_v2, depth_multiplier: 0.25, image_size: 64, finegrained_output: false}}"
    model, _ = build(load(CONFIGS / "tiny.yaml", [f"model.vision={vision}"]).model, seed=0)
    set_trainable(model, ["adapter"])
    return model.eval()


def test_in_bfloat16_what_learns_and_batch_norms_stay_in_float32(with_batch_norms):
    model = with_batch_norms
    generator = torch.Generator().manual_seed(0)
    frames, faces = torch.randn(2, 1, 2, 3, 64, 64, generator=generator)
    statistics = model.model.face_model.standardisations[0]
    statistics.std.fill_(0.1)
    with torch.no_grad():
        expected = model.model.encode_frames(frames, faces)
    stage = StageConfig(name="s", task="qa", trainable=["adapter"])
    prepare_model(model, TrainingConfig(), stage, torch.bfloat16)
    kinds = {name: parameter.dtype for name, parameter in model.named_parameters() if parameter.dtype != torch.bfloat16}
    assert {name.split(".")[1] for name in kinds} == {"adapter", "vision_model"}
    assert all("norm" in name for name in kinds if name.startswith("model.vision_model."))
    # As a model that was saved in bfloat16 and loaded again would have them.
    assert statistics.std.dtype == torch.float32
    assert torch.equal(statistics.std, torch.full_like(statistics.std, 0.1).bfloat16().float())
    # A stage whose features are cached meets pixels all the same: where it validates.
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        found = model.model.encode_frames(frames, faces)
    for name, value in expected.items():
        assert torch.allclose(found[name].float(), value, atol=0.05 * value.abs().max().item()), name


@pytest.mark.parametrize(
    ("packed", "precision", "attention"),
    [
        (True, torch.float32, packed_attention.NAME),
        (True, torch.bfloat16, packed_attention.NAME),
        (False, torch.float32, "sdpa"),
        (False, torch.bfloat16, "eager"),
    ],
)
def test_a_cpu_computes_attention_by_what_the_batches_are(tiny_preset, packed, precision, attention):
    model, _ = build(tiny_preset.model, seed=0)
    stage = StageConfig(name="s", task="qa", trainable=["adapter"], packed=packed)
    set_trainable(model, stage.trainable)
    prepare_model(model, TrainingConfig(), stage, precision)
    assert model.model.language_model.config._attn_implementation == attention
