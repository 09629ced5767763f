"""Models are put together from weights, from configurations, or from both, and say what is missing."""

import re

import pytest
import torch
from transformers import CLIPConfig, CLIPModel, SiglipConfig, SiglipModel

from favchat.backbones import assets
from favchat.config import BackboneConfig, ConfigError, ModelConfig, load
from favchat.model.build import architecture, build, on_meta
from favchat.model.encoders import face_features, vision_features
from jobs.commands.settings import CONFIGS

HUB_PRESETS = ("2b", "8b")
SMALL_LANGUAGE_MODEL = 1_543_714_304
"""Parameters of the published Qwen2.5-Coder-1.5B-Instruct, whose head is its embeddings."""
PUBLISHED = {
    "2b": {"vision_model": 92_884_224, "face_model": 85_799_424, "language": 1_720_574_976},
    "8b": {"vision_model": 428_225_600, "face_model": 86_743_224, "language": 8_190_735_360},
}
"""Parameters of the published models: the encoders, and the language model with its head."""
NARROW = {
    "vocab_size": 258,
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 64,
    "tie_word_embeddings": "true",
}
TINY_VIT = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
PIXELS = {"image_size": 32, "patch_size": 8}


def model_section(preset: str, *overrides: str) -> ModelConfig:
    return load(CONFIGS / f"{preset}.yaml", list(overrides)).model


@pytest.fixture
def no_hub(monkeypatch, tmp_path):
    """As on a machine without a connection and with an empty cache."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("transformers.utils.hub.is_offline_mode", lambda: True)


@pytest.mark.parametrize("preset", HUB_PRESETS)
def test_hub_presets_have_the_published_sizes_without_a_hub(no_hub, preset):
    model = on_meta(architecture(model_section(preset)))
    assert {parameter.device.type for parameter in model.parameters()} == {"meta"}
    expected = PUBLISHED[preset]
    for part in ("vision_model", "face_model"):
        assert sum(one.numel() for one in model.model.get_submodule(part).parameters()) == expected[part]
    language = [*model.model.language_model.parameters(), *model.lm_head.parameters()]
    assert sum(one.numel() for one in dict.fromkeys(language)) == expected["language"]


@pytest.fixture
def no_language_model(monkeypatch):
    """As on a machine that has fetched the default's assets alone, and must not fetch more."""

    def path(name):
        assert name != "qwen2.5-coder-1.5b-instruct", "it would be fetched"
        return of_default(name)

    of_default = assets.path
    monkeypatch.setattr(assets, "path", path)


def test_small_has_the_published_language_model_without_its_weights(no_language_model):
    model = on_meta(architecture(model_section("small")))
    language = [*model.model.language_model.parameters(), *model.lm_head.parameters()]
    assert sum(one.numel() for one in dict.fromkeys(language)) == SMALL_LANGUAGE_MODEL


def test_small_is_nano_with_another_language_model(no_language_model):
    nano, small = (load(CONFIGS / f"{preset}.yaml") for preset in ("nano", "small"))
    language = {"text", "dtype"}
    assert small.model.model_dump(exclude=language) == nano.model.model_dump(exclude=language)
    assert small.model.dtype == "bfloat16"
    rates = {"learning_rate", "learning_rates"}
    for mine, its in zip(small.training.stages, nano.training.stages, strict=True):
        assert mine.model_dump(exclude=rates) == its.model_dump(exclude=rates)
    assert small.data == nano.data
    assert small.annotate == nano.annotate


def test_small_runs_at_reduced_depth_with_random_weights(make_clip):
    narrow = {**NARROW, "num_attention_heads": 8}
    narrow.pop("head_dim")
    settings = model_section(
        "small",
        "model.text.pretrained=null",
        *(f"model.text.config.{key}={value}" for key, value in narrow.items()),
        "model.vision={pretrained: null, config: {model_type: siglip_vision_model, hidden_size: 16, "
        "intermediate_size: 32, num_hidden_layers: 2, num_attention_heads: 2, image_size: 224, patch_size: 32}}",
    )
    model, processor = build(settings)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    batch = processor(text=[processor.prompt("Who?")], videos=[make_clip(0)], answers=["Nobody."])
    with torch.inference_mode():
        assert model(**batch).loss.isfinite()


@pytest.mark.parametrize("preset", ["tiny", *HUB_PRESETS])
def test_an_architecture_promises_the_features_that_come(preset):
    config = architecture(model_section(preset))
    model = on_meta(config)
    settings = model_section(preset)
    with torch.device("meta"), torch.no_grad():
        frames = torch.empty(2, 3, settings.image_size, settings.image_size)
        vision = vision_features(model.model.vision_model, frames, settings.adapter.vision_grid)
        side = getattr(config.face_config, "image_size", 160)
        faces = torch.empty(2, 3, side, side)
        levels = face_features(model.model.face_model, faces, settings.adapter.face_grid, settings.adapter.face_levels)
    assert vision.shape == (2, settings.adapter.vision_grid**2, config.adapter_config.vision_size)
    wanted = [(2, settings.adapter.face_grid**2, size) for size in config.adapter_config.face_sizes]
    assert [tuple(level.shape) for level in levels] == wanted


@pytest.mark.parametrize("preset", HUB_PRESETS)
def test_hub_presets_run_at_reduced_depth_with_random_weights(preset, make_clip):
    """The real configurations of encoders and adapter; of the language model 3 narrow layers, to have it quick."""
    settings = model_section(
        preset,
        *(f"model.{slot}.pretrained=null" for slot in ("text", "vision", "face")),
        *(f"model.text.config.{key}={value}" for key, value in NARROW.items()),
        "model.vision.config.num_hidden_layers=2",
        "model.face.config.depths=[1,1,2,1]" if preset == "8b" else "model.face.config.num_hidden_layers=12",
        "model.num_frames=2",
        "model.dtype=float32",
    )
    model, processor = build(settings)
    batch = processor(text=[processor.prompt("Who?")], videos=[make_clip(0)], answers=["Nobody."])
    assert batch["pixel_values_faces"].shape == (1, 2, 3, 224, 224)
    assert int((batch["input_ids"] >= 258).sum()) == 2 * (16 + 16)
    with torch.inference_mode():
        output = model(**batch)
    assert output.loss.isfinite()
    assert len(model.model.adapter.level_proj) == 3


@pytest.mark.parametrize("preset", HUB_PRESETS)
def test_without_the_hub_the_message_says_what_is_wanted_and_what_to_do(no_hub, preset):
    settings = model_section(preset)
    with pytest.raises(ConfigError) as error:
        build(settings)
    message = str(error.value)
    assert message.startswith(f"model.text.pretrained = {settings.text.pretrained}: cannot be loaded.")
    for word in ("config.json", "model.safetensors", "tokenizer.json", "hf download", "HF_HOME", "HF_ENDPOINT"):
        assert word in message
    assert "model.text.pretrained=DIR" in message


@pytest.mark.parametrize("family", ["clip", "siglip"])
def test_of_a_model_of_images_and_texts_the_encoder_of_images_is_taken(family, tmp_path):
    config_class, model_class = {"clip": (CLIPConfig, CLIPModel), "siglip": (SiglipConfig, SiglipModel)}[family]
    text = {**TINY_VIT, "vocab_size": 60, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    whole = model_class(config_class(text_config=text, vision_config={**TINY_VIT, **PIXELS})).eval()
    whole.save_pretrained(tmp_path)
    slot = BackboneConfig(pretrained=str(tmp_path), image_mean=[0.1, 0.2, 0.3], image_std=[1.0, 1.0, 1.0])
    settings = model_section("tiny").model_copy(update={"vision": slot, "image_size": 32})
    model, processor = build(settings)
    pixels = torch.rand(1, 3, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(
            model.model.vision_model(pixels).last_hidden_state, whole.vision_model(pixels).last_hidden_state
        )
    assert processor.video_processor.image_mean == [0.1, 0.2, 0.3]


def test_weights_of_another_shape_than_the_config_says_are_refused(tmp_path):
    CLIPModel(
        CLIPConfig(text_config={**TINY_VIT, "vocab_size": 60, "eos_token_id": 2}, vision_config={**TINY_VIT, **PIXELS})
    ).save_pretrained(tmp_path)
    said = {"model_type": "clip_vision_model", **TINY_VIT, **PIXELS, "hidden_size": 24}
    slot = BackboneConfig(pretrained=str(tmp_path), config=said)
    settings = model_section("tiny").model_copy(update={"vision": slot, "image_size": 32})
    with pytest.raises(ConfigError, match=r"model.vision: .* has hidden_size = 16, but model.vision.config says 24"):
        build(settings)


def test_an_encoder_without_preprocessor_file_asks_for_means(tmp_path):
    CLIPModel(
        CLIPConfig(text_config={**TINY_VIT, "vocab_size": 60, "eos_token_id": 2}, vision_config={**TINY_VIT, **PIXELS})
    ).save_pretrained(tmp_path)
    settings = model_section("tiny").model_copy(update={"face": BackboneConfig(pretrained=str(tmp_path))})
    with pytest.raises(ConfigError, match=r"model.face: .*preprocessor_config.json.*model.face.image_mean"):
        build(settings)


def test_a_built_model_is_whole_and_repeats_with_its_seed():
    first, _ = build(model_section("tiny"), seed=3)
    second, _ = build(model_section("tiny"), seed=3)
    other, _ = build(model_section("tiny"), seed=4)
    tensors = {**dict(first.named_parameters()), **dict(first.named_buffers())}
    assert not [name for name, tensor in tensors.items() if tensor.is_meta]
    torch.testing.assert_close(dict(second.state_dict()), dict(first.state_dict()), rtol=0, atol=0)
    assert not torch.equal(other.model.adapter.out_proj.weight, first.model.adapter.out_proj.weight)


def test_everything_is_bfloat16_where_the_settings_say_so(make_clip):
    model, processor = build(model_section("tiny", "model.dtype=bfloat16"))
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    batch = processor(text=[processor.prompt("Who?")], videos=[make_clip(0)], answers=["Nobody."])
    output = model(**batch)
    assert output.loss.isfinite()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model.adapter.face_levels=[0,7]"], "level 7 of the face encoder does not exist: it has levels 0 to 2"),
        (["model.image_size=96"], "model.vision, model.image_size: a siglip_vision_model model gives no hidden states"),
        (["model.vision.config.model_type=siglop"], "model.vision.config: "),
        (["model.text.config.num_hidden_layers=1"], "2 levels to inject, but the language model has 1 layers"),
    ],
)
def test_what_does_not_fit_is_refused_by_its_setting(overrides, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        architecture(model_section("tiny", *overrides))
