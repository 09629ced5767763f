"""The face encoder computes what the published networks compute, trains, and survives a round trip."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from favchat.model.face_pyramid import EXPRESSIONS, FacePyramidConfig, FacePyramidModel, SameConv2d

REFERENCE = Path(__file__).parent / "data" / "face_trunks_reference.safetensors"
"""What face-api itself computes; made by tools/face_trunks_reference.mjs, which explains the samples."""
CHANNEL_STEP = 4
STEPS = {"expression": (5, 3, 1, 1), "identity": (2, 2, 1, 1)}
SHAPES = [
    (32, 56), (64, 28), (128, 14), (256, 7),
    (32, 35), (64, 17), (128, 8), (256, 2),
]  # fmt: skip


@pytest.fixture(scope="module")
def trunks() -> FacePyramidModel:
    return FacePyramidModel.from_trunks()


def tiny() -> FacePyramidModel:
    torch.manual_seed(0)
    return FacePyramidModel(
        FacePyramidConfig(
            expression_size=32,
            expression_channels=[4, 8],
            identity_size=48,
            identity_channels=[4, 8],
            identity_blocks=[1, 1],
            descriptor_size=16,
        )
    )


def fixed_input(size: int) -> torch.Tensor:
    """The formula of tools/face_trunks_reference.mjs: (2, 3, size, size) in 0..1."""
    n, c, y, x = np.meshgrid(range(2), range(3), range(size), range(size), indexing="ij")
    pixels = (x * x + 3 * y * y + (5 + 2 * n) * x * y * (c + 1)) // 64 % 256
    return torch.from_numpy(pixels.astype(np.float32) / 255)


@pytest.mark.parametrize(("trunk", "size", "last"), [("expression", 112, "logits"), ("identity", 150, "descriptor")])
@torch.inference_mode()
def test_trunks_match_face_api(trunks: FacePyramidModel, trunk: str, size: int, last: str) -> None:
    reference = load_file(REFERENCE)
    output = trunks(fixed_input(size))
    for level, step in enumerate(STEPS[trunk]):
        sample = output[f"{trunk}_states"][level][:, ::CHANNEL_STEP, ::step, ::step].numpy()
        np.testing.assert_allclose(sample, reference[f"{trunk}.{level}"], rtol=1e-3, atol=1e-3)
    found = output.expression_logits if last == "logits" else output.descriptor
    np.testing.assert_allclose(found.numpy(), reference[f"{trunk}.{last}"], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("size", [64, 160])
@torch.inference_mode()
def test_any_crop_size_gives_the_documented_shapes(trunks: FacePyramidModel, size: int) -> None:
    output = trunks(torch.rand(2, 3, size, size))
    assert [tuple(state.shape) for state in output.hidden_states] == [(2, c, side, side) for c, side in SHAPES]
    assert output.hidden_states == output.expression_states + output.identity_states
    assert output.expression_logits.shape == (2, len(EXPRESSIONS))
    assert output.descriptor.shape == (2, 128)
    assert trunks.config.hidden_sizes == [c for c, _ in SHAPES]
    assert trunks.config.id2label == dict(enumerate(EXPRESSIONS))


@pytest.mark.parametrize(
    ("side", "stride", "expected"), [(112, 2, (0, 1)), (7, 2, (1, 1)), (56, 1, (1, 1)), (1, 2, (1, 1))]
)
def test_same_padding_is_tensorflows(side: int, stride: int, expected: tuple[int, int]) -> None:
    conv = SameConv2d(1, 1, 3, stride)
    assert conv._padding(side, 0) == expected
    assert conv(torch.zeros(1, 1, side, side)).shape[-1] == -(-side // stride)


def test_every_parameter_learns() -> None:
    model = tiny()
    output = model(torch.rand(2, 3, 40, 40))
    loss = sum(state.square().mean() for state in output.hidden_states)
    loss = loss + output.expression_logits.square().mean() + output.descriptor.square().mean()
    loss.backward()
    without = [
        name for name, parameter in model.named_parameters() if parameter.grad is None or not parameter.grad.any()
    ]
    assert without == []


def test_random_weights_keep_signals_in_range() -> None:
    with torch.inference_mode():
        states = tiny()(torch.rand(8, 3, 40, 40)).hidden_states
    for state in states:
        assert 1e-2 < state.std() < 1e2


def test_round_trip(tmp_path: Path) -> None:
    model = tiny().eval()
    model.save_pretrained(tmp_path)
    again = FacePyramidModel.from_pretrained(tmp_path).eval()
    for key in ("expression_size", "identity_size", "hidden_sizes", "identity_blocks", "descriptor_size", "id2label"):
        assert getattr(again.config, key) == getattr(model.config, key)
    pixels = torch.rand(1, 3, 40, 40)
    with torch.inference_mode():
        torch.testing.assert_close(again(pixels).to_tuple(), model(pixels).to_tuple())


def test_runs_in_bfloat16(trunks: FacePyramidModel) -> None:
    pixels = fixed_input(160)
    with torch.inference_mode():
        expected = trunks(pixels).descriptor
        found = FacePyramidModel.from_trunks().to(torch.bfloat16)(pixels.to(torch.bfloat16)).descriptor
    assert found.dtype == torch.bfloat16
    assert torch.nn.functional.cosine_similarity(found.float(), expected).min() > 0.99


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"identity_blocks": [3, 3]}, "one entry a level"),
        ({"identity_channels": [32, 64, 32, 256]}, "must not fall"),
        ({"identity_size": 48}, "identity_size = 48 is too small for 4 levels"),
    ],
)
def test_impossible_sizes_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(Exception, match=message):
        FacePyramidConfig(**settings)
