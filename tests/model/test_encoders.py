"""Hidden states of every layout come out as grids of tokens, in the right order and with gradients where wanted."""

import pytest
import torch
from transformers import AutoConfig, AutoModel

from favchat.model.encoders import (
    CPU_IMAGES,
    FeatureSize,
    face_features,
    face_level_sizes,
    face_maps,
    pool,
    to_map,
    vision_features,
    vision_size,
)

VIT = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "patch_size": 8}
LAYOUTS = {
    "clip": {"model_type": "clip_vision_model", "image_size": 32, **VIT},
    "siglip": {"model_type": "siglip_vision_model", "image_size": 32, **VIT},
    "vit": {"model_type": "vit", "image_size": 32, **VIT},
    "dinov2": {"model_type": "dinov2", "image_size": 32, **VIT},
    "dinov2 with registers": {"model_type": "dinov2_with_registers", "image_size": 32, **VIT},
    "dinov3": {"model_type": "dinov3_vit", "image_size": 32, "num_register_tokens": 4, **VIT},
    "swin": {"model_type": "swin", "image_size": 64, "embed_dim": 8, "depths": [1, 2, 1], "num_heads": [1, 2, 4],
             "patch_size": 4, "window_size": 4, "drop_path_rate": 0.0},
    "swinv2": {"model_type": "swinv2", "image_size": 64, "embed_dim": 8, "depths": [1, 1, 1], "num_heads": [1, 2, 4],
               "patch_size": 4, "window_size": 4, "drop_path_rate": 0.0},
    "convnext": {"model_type": "convnext", "image_size": 64, "hidden_sizes": [8, 16, 32, 64], "depths": [1, 1, 1, 1],
                 "drop_path_rate": 0.0},
    "face pyramid": {"model_type": "favchat_face_pyramid", "expression_size": 32, "expression_channels": [4, 8],
                     "identity_size": 48, "identity_channels": [4, 8], "identity_blocks": [1, 1],
                     "descriptor_size": 16},
}  # fmt: skip
VIT_LEVELS = [FeatureSize(16, ((4, 4),))] * 3
LEVELS = {
    **dict.fromkeys(("clip", "siglip", "vit", "dinov2", "dinov2 with registers", "dinov3"), VIT_LEVELS),
    "swin": [FeatureSize(8 * 2**i, ((16 // 2**i,) * 2,)) for i in range(3)],
    # This one knows no levels before its mergings.
    "swinv2": [FeatureSize(16, ((8, 8),)), FeatureSize(32, ((4, 4),)), FeatureSize(32, ((4, 4),))],
    "convnext": [FeatureSize(8 * 2**i, ((16 // 2**i,) * 2,)) for i in range(4)],
    "face pyramid": [FeatureSize(8, ((16, 16), (10, 10))), FeatureSize(16, ((8, 8), (2, 2)))],
}


def make(layout):
    torch.manual_seed(0)
    return AutoModel.from_config(AutoConfig.for_model(**LAYOUTS[layout])).eval()


def pixels(encoder):
    side = getattr(encoder.config, "image_size", 40)
    return torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_levels_have_the_sizes_that_the_config_promises(layout):
    encoder = make(layout)
    promised = face_level_sizes(AutoConfig.for_model(**LAYOUTS[layout]))
    assert promised == LEVELS[layout]
    images = pixels(encoder)
    for size, maps in zip(promised, face_maps(encoder, images), strict=True):
        assert sum(one.shape[1] for one in maps) == size.channels
        assert tuple(tuple(one.shape[2:]) for one in maps) == size.sides
    tokens = face_features(encoder, images, 2)
    assert [level.shape for level in tokens] == [(2, 4, size.channels) for size in promised]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_levels_are_chosen_by_depth(layout):
    encoder = make(layout)
    images = pixels(encoder)
    with torch.no_grad():
        everything = face_features(encoder, images, 2)
        chosen = face_features(encoder, images, 2, [0, -1])
    assert len(chosen) == 2
    torch.testing.assert_close(chosen, [everything[0], everything[-1]])
    assert everything[0].shape != everything[-1].shape or not torch.equal(everything[0], everything[-1])
    with pytest.raises(ValueError, match=f"level 12 .* has levels 0 to {len(everything) - 1}"):
        face_features(encoder, images, 2, [0, 12])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_gradients_reach_a_trainable_encoder_up_to_the_level_and_leave_a_frozen_one_alone(layout):
    encoder = make(layout)
    images = pixels(encoder)
    face_features(encoder, images, 2, [0])[0].square().mean().backward()
    shallow = {name for name, parameter in encoder.named_parameters() if parameter.grad is not None}
    encoder.zero_grad(set_to_none=True)
    face_features(encoder, images, 2, [-1])[0].square().mean().backward()
    deep = {name for name, parameter in encoder.named_parameters() if parameter.grad is not None}
    assert shallow
    assert deep - shallow  # the deeper level trains more of it
    assert all(parameter.grad.isfinite().all() for parameter in encoder.parameters() if parameter.grad is not None)
    encoder.requires_grad_(False)
    assert not face_features(encoder, images, 2)[0].requires_grad


@pytest.mark.parametrize(("layout", "prefix"), [("clip", 1), ("dinov2 with registers", 5), ("dinov3", 5)])
def test_class_and_register_tokens_are_left_out(layout, prefix):
    encoder = make(layout)
    images = pixels(encoder)
    with torch.no_grad():
        states = encoder(images, output_hidden_states=True).hidden_states
        (level,) = face_maps(encoder, images, [1])[0]
    assert states[2].shape[1] == prefix + 16
    torch.testing.assert_close(level.flatten(2).transpose(1, 2), states[2][:, prefix:])


def test_five_prefix_tokens_before_four_patches_are_not_taken_for_a_square():
    state = torch.arange(9.0).view(1, 9, 1)
    assert to_map(state, (16, 16), (8, 8)).flatten().tolist() == [5, 6, 7, 8]


def test_wide_images_keep_their_layout():
    state = torch.arange(9.0).view(1, 9, 1)
    found = to_map(state, (16, 32), (8, 8))
    assert found.shape == (1, 1, 2, 4)
    assert found[0, 0, 1].tolist() == [5, 6, 7, 8]


def test_swin_levels_are_its_stages_before_patches_are_merged():
    encoder = make("swin")
    images = pixels(encoder)
    with torch.no_grad():
        state, side = encoder.embeddings(images)
        for stage, (level,) in zip(encoder.encoder.layers, face_maps(encoder, images), strict=True):
            for block in stage.blocks:
                state, _ = block(state, side)
            torch.testing.assert_close(level.flatten(2).transpose(1, 2), state)
            if stage.downsample is not None:
                state, side = stage.downsample(state, side), (side[0] // 2, side[1] // 2)


def test_tokens_keep_their_place_in_the_image():
    encoder = make("siglip")
    images = pixels(encoder)
    moved = images.clone()
    moved[:, :, 16:, 16:] += 1.0  # the lower right quarter
    with torch.no_grad():
        difference = (face_features(encoder, moved, 2, [0])[0] - face_features(encoder, images, 2, [0])[0]).abs()
    assert difference.mean(dim=(0, 2)).argmax() == 3


@pytest.mark.parametrize("layout", LAYOUTS)
def test_mirroring_gives_a_face_and_its_mirror_image_the_mean_of_both(layout):
    encoder = make(layout)
    images = pixels(encoder)
    with torch.no_grad():
        alone, other = (face_features(encoder, x, 2) for x in (images, images.flip(-1)))
        found = [face_features(encoder, x, 2, mirror=True) for x in (images, images.flip(-1))]
    torch.testing.assert_close(*found)
    for level, one, mirrored in zip(found[0], alone, other, strict=True):
        torch.testing.assert_close(level, (one + mirrored) / 2)
        assert not torch.allclose(one, mirrored, atol=1e-4)


@pytest.mark.parametrize("layout", ["clip", "siglip", "dinov2 with registers", "swin", "convnext"])
def test_general_features_have_the_size_that_the_config_promises(layout):
    encoder = make(layout)
    images = pixels(encoder)
    size = vision_size(encoder.config, images.shape[-1])
    assert vision_features(encoder, images, 2).shape == (2, 4, size.channels)


@pytest.mark.parametrize("layout", ["siglip", "convnext"])
def test_a_batch_of_any_size_gives_each_image_its_own_features(layout):
    encoder = make(layout)
    images = torch.rand(2 * CPU_IMAGES + 1, 3, *[encoder.config.image_size] * 2)
    calls = []
    encoder.register_forward_hook(lambda _module, arguments, _output: calls.append(len(arguments[0])))
    with torch.no_grad():
        together = vision_features(encoder, images, 2)
        assert calls == [CPU_IMAGES, CPU_IMAGES, 1]
        torch.testing.assert_close(together, encoder_features_one_by_one(encoder, images), rtol=1e-4, atol=1e-5)
        calls.clear()
        vision_features(encoder.train(), images, 2)
    assert calls == [len(images)]  # batch statistics must be those of all


def encoder_features_one_by_one(encoder, images):
    return torch.cat([vision_features(encoder, image[None], 2) for image in images])


def test_an_image_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="48"):
        vision_size(AutoConfig.for_model(**LAYOUTS["siglip"]), 48)


def test_an_encoder_of_packed_patches_is_refused():
    config = AutoConfig.for_model(model_type="siglip2_vision_model", **VIT)
    with pytest.raises(ValueError, match="a siglip2_vision_model model gives no hidden states"):
        vision_size(config, 32)


def test_pooling_is_the_mean_of_each_cell():
    feature_map = torch.arange(16.0).view(1, 1, 4, 4)
    assert pool(feature_map, 2).flatten().tolist() == [2.5, 4.5, 10.5, 12.5]
