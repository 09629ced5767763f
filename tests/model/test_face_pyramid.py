"""The face encoder computes what the published networks compute, trains, and survives a round trip."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from favchat.config.data import FACE_MARGIN
from favchat.data.corpus.parquet_files import parquet_files, read_table
from favchat.data.corpus.schema import SHARDS
from favchat.io.paths import path_of
from favchat.model.encoders import pool
from favchat.model.face_pyramid import EXPRESSIONS, TRUNKS_FILE, FacePyramidConfig, FacePyramidModel, SameConv2d
from favchat.training.batches.samples import CLIP_COLUMNS, read_clip
from favchat.video.align import FACE_CENTRE, TEMPLATE, TEMPLATE_SIDE
from favchat.video.seen_frames import picked_frames

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
def test_trunks_match_face_api(monkeypatch, trunks: FacePyramidModel, trunk: str, size: int, last: str) -> None:
    monkeypatch.setattr(trunks.config, "window", [0, 0, 1, 1])
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
    assert output.expression_logits.shape == (2, len(EXPRESSIONS))
    assert output.descriptor.shape == (2, 128)
    assert trunks.config.hidden_sizes == [c for c, _ in SHAPES]
    assert trunks.config.id2label == dict(enumerate(EXPRESSIONS))


@torch.inference_mode()
def test_hidden_states_are_the_maps_with_standardised_channels() -> None:
    model = tiny().eval()
    crops = torch.rand(2, 3, 64, 64)
    output = model(crops)
    maps = output.expression_states + output.identity_states
    torch.testing.assert_close(output.hidden_states, maps)  # without statistics as they are
    model.standardisations[1].mean[3], model.standardisations[1].std[3] = 0.5, 4.0
    found = model(crops).hidden_states
    torch.testing.assert_close(found[1][:, 3], (maps[1][:, 3] - 0.5) / 4)
    torch.testing.assert_close(found[1][:, :3], maps[1][:, :3])
    assert model.bfloat16()(crops).hidden_states[1].dtype == torch.bfloat16


@torch.inference_mode()
def test_the_statistics_that_ship_are_those_of_faces(trunks: FacePyramidModel, corpus: Path) -> None:
    """Of other people's faces than those that they were computed from, but channels come near to mean 0 and sd 1."""
    faces = []
    for file in parquet_files(path_of(str(corpus)) / SHARDS):
        for row in read_table(file, CLIP_COLUMNS).to_pylist():
            clip = read_clip(row, 1)
            faces.append(torch.from_numpy(clip.faces[clip.visible[picked_frames(len(clip.visible), 1)]]))
    output = trunks(torch.cat(faces).permute(0, 3, 1, 2).float() / 255)
    for state, raw in zip(output.hidden_states, output.expression_states + output.identity_states, strict=True):
        cells, plain = pool(state, 4).flatten(0, 1), pool(raw, 4).flatten(0, 1)
        assert cells.mean(0).abs().median() < 0.4
        assert 0.6 < cells.std(0).median() < 1.4
        # Channels are more alike in spread than they were; a channel may rest in all of these faces.
        spread = [values.std(0).clamp(min=1e-6).log() for values in (cells, plain)]
        fires = plain.std(0) > 0
        assert spread[0][fires].std() < spread[1][fires].std()


@torch.inference_mode()
def test_only_the_window_is_seen() -> None:
    model = tiny().eval()
    crops = torch.rand(1, 3, 160, 160)
    seen = model(crops)
    left, top, right, bottom = (round(160 * share) for share in model.config.window)
    assert right - left == bottom - top == 134
    outside = torch.ones(160, 160, dtype=torch.bool)
    outside[top:bottom, left:right] = False
    torch.testing.assert_close(model(crops.masked_fill(outside, 0.0)).to_tuple(), seen.to_tuple())
    outside[top, left] = True
    shallow = model(crops.masked_fill(outside, 0.0)).hidden_states[0]
    assert not torch.equal(shallow, seen.hidden_states[0])


def test_the_window_puts_the_eyes_where_dlib_trained_the_identity_network() -> None:
    """dlib's mean eyes, (0.227, 0.221) and (0.753, 0.221) of a face, come into a chip of padding 0.25."""
    side = TEMPLATE_SIDE * (1 + FACE_MARGIN)
    left, top, right, bottom = FacePyramidConfig().window
    eyes = ((TEMPLATE[:2] - FACE_CENTRE) / side + 0.5 - [left, top]) / [right - left, bottom - top]
    expected = (np.array([[0.227, 0.221], [0.753, 0.221]]) + 0.25) / 1.5
    np.testing.assert_allclose(eyes, expected, atol=0.015)


@pytest.mark.parametrize(
    ("side", "stride", "expected"), [(112, 2, (0, 1)), (7, 2, (1, 1)), (56, 1, (1, 1)), (1, 2, (1, 1))]
)
def test_same_padding_is_tensorflows(side: int, stride: int, expected: tuple[int, int]) -> None:
    conv = SameConv2d(1, 1, 3, stride)
    assert conv._padding(side, 0) == expected
    assert conv(torch.zeros(1, 1, side, side)).shape[-1] == -(-side // stride)


class PublishedTrunks:
    """The published networks in NumPy on the stored uint8 weights: one image, maps `(h, w, c)`, every layer kept."""

    def __init__(self) -> None:
        self.stored = load_file(TRUNKS_FILE)
        self.layers: dict[str, np.ndarray] = {}

    def tensor(self, name: str) -> np.ndarray:
        value = self.stored[name]
        if value.dtype == np.uint8:
            return value.astype(np.float64) * self.stored[f"{name}.scale"] + self.stored[f"{name}.min"]
        return value.astype(np.float64)

    @staticmethod
    def windows(x: np.ndarray, kernel: int, stride: int, same: bool) -> np.ndarray:
        """`(h, w, c)` to `(h', w', c, kernel, kernel)`, padded as TensorFlow does."""
        if same:
            total = [max((-(-side // stride) - 1) * stride + kernel - side, 0) for side in x.shape[:2]]
            x = np.pad(x, [*((one // 2, one - one // 2) for one in total), (0, 0)])
        return np.lib.stride_tricks.sliding_window_view(x, (kernel, kernel), (0, 1))[::stride, ::stride]

    def conv(self, x: np.ndarray, filters: np.ndarray, stride: int, same: bool) -> np.ndarray:
        seen = self.windows(x, filters.shape[0], stride, same)  # (h', w', c, k, k)
        return np.tensordot(seen, filters, ([2, 3, 4], [2, 0, 1]))

    def expression(self, x: np.ndarray) -> np.ndarray:
        for block in range(4):
            total = np.zeros(())
            for index in range(4):
                name, stride = f"expression.dense{block}.conv{index}", 2 if index == 0 else 1
                if block == index == 0:
                    out = self.conv(x, self.tensor(f"{name}.filters"), stride, True)
                else:
                    seen = self.windows(x if index == 0 else np.maximum(total, 0), 3, stride, True)
                    depthwise = self.tensor(f"{name}.depthwise_filter")[..., 0]  # (k, k, c)
                    out = np.einsum("hwcij,ijc->hwc", seen, depthwise) @ self.tensor(f"{name}.pointwise_filter")[0, 0]
                out = out + self.tensor(f"{name}.bias")
                self.layers[f"expression.blocks.{block}.convs.{index}"] = out
                # The first convolution goes through a ReLU before it is summed up.
                total = np.maximum(out, 0) if index == 0 else total + out
            x = np.maximum(total, 0)
            self.layers[f"expression.blocks.{block}"] = x
        return x.mean((0, 1)) @ self.tensor("expression.fc.weights") + self.tensor("expression.fc.bias")

    def scaled(self, x: np.ndarray, name: str, stride: int, ours: str) -> np.ndarray:
        out = self.conv(x, self.tensor(f"{name}.conv.filters"), stride, stride == 1) + self.tensor(f"{name}.conv.bias")
        out = out * self.tensor(f"{name}.scale.weights") + self.tensor(f"{name}.scale.biases")
        self.layers[ours] = out
        return out

    def identity(self, x: np.ndarray) -> np.ndarray:
        x = np.maximum(self.scaled(x, "identity.conv32_down", 2, "identity.stem"), 0)
        x = self.windows(x, 3, 2, False).max((-1, -2))
        plan = {0: "123", 1: ["down", *"123"], 2: ["down", *"12"], 3: ["down", *"12", "down_out"]}
        for level, places in plan.items():
            for index, place in enumerate(places):
                name, ours = f"identity.conv{32 * 2**level}_{place}", f"identity.levels.{level}.{index}"
                down = place.startswith("down")
                out = np.maximum(self.scaled(x, f"{name}.conv1", 2 if down else 1, f"{ours}.conv1"), 0)
                out = self.scaled(out, f"{name}.conv2", 1, f"{ours}.conv2")
                if down:
                    short = self.windows(x, 2, 2, False).mean((-1, -2))
                    grown = np.zeros((*short.shape[:2], out.shape[2]))
                    grown[..., : short.shape[2]] = short
                    whole = np.zeros_like(grown)
                    whole[: out.shape[0], : out.shape[1]] = out
                    x = np.maximum(whole + grown, 0)
                else:
                    x = np.maximum(out + x, 0)
                self.layers[ours] = x
        return x.mean((0, 1)) @ self.tensor("identity.fc")


@pytest.mark.parametrize(
    ("trunk", "size", "layers", "last"),
    [("expression", 112, 20, "expression_logits"), ("identity", 150, 43, "descriptor")],
)
@torch.inference_mode()
def test_every_layer_computes_what_the_stored_weights_say(trunk, size, layers, last) -> None:
    model = FacePyramidModel.from_trunks()
    model.config.window = [0, 0, 1, 1]
    found: dict[str, torch.Tensor] = {}
    for name, module in model.named_modules():
        module.register_forward_hook(lambda _module, _args, output, name=name: found.update({name: output}))
    pixels = fixed_input(size)[:1]
    output = model(pixels)

    published = PublishedTrunks()
    mean = np.array([122.782, 117.001, 104.298])
    result = getattr(published, trunk)((pixels[0].permute(1, 2, 0).double().numpy() * 255 - mean) / 255)
    assert len(published.layers) == layers
    for name, expected in published.layers.items():
        actual = found[name][0].permute(1, 2, 0).numpy()
        np.testing.assert_allclose(actual, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max(), err_msg=name)
    np.testing.assert_allclose(output[last][0].numpy(), result, rtol=1e-3, atol=1e-4)


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
        ({"window": [0.5, 0.0, 0.5, 1.0]}, r"window = \[0.5, 0.0, 0.5, 1.0\]"),
        ({"window": [0.0, 0.0, 1.0, 1.1]}, "rising shares of the crop"),
    ],
)
def test_impossible_sizes_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(Exception, match=message):
        FacePyramidConfig(**settings)
