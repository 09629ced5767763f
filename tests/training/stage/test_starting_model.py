import pytest
import torch
from safetensors.torch import load_file, save_file

from favchat.config import AdapterConfig, ConfigError, ModelConfig
from favchat.hub.load import load_encoders
from favchat.training.features.feature_encoder import encoder_settings
from favchat.training.stage.checkpoints import Record, learning_buffers, write
from favchat.training.stage.starting_model import (
    saved_settings,
    set_learning,
    starting_encoders,
    starting_model,
    unused_settings,
)


def test_given_settings_that_a_trained_model_does_not_follow_are_named(tiny, tmp_path):
    tiny[0].config.save_pretrained(tmp_path)
    # hidden_size was not given: it is as it is there
    adapter = AdapterConfig(num_experts=8, top_k=2, expert_size=64, mirror_faces=True)
    assert unused_settings(ModelConfig(adapter=adapter), str(tmp_path)) == [
        "model.adapter.num_experts = 8 (the model's is 4)",
        "model.adapter.mirror_faces = True (the model's is False)",
    ]


def same(encoders, model):
    """Whether two models have the same encoders, to the bit."""
    for name in ("vision_model", "face_model"):
        one, other = getattr(encoders, name).state_dict(), getattr(model.model, name).state_dict()
        if one.keys() != other.keys() or not all(torch.equal(one[key], other[key]) for key in one):
            return False
    return True


def started(section, init):
    """The encoders alone, after it was checked that they are those of the whole model."""
    encoders, processor = starting_encoders(section, 3, init)
    model, other = starting_model(section, 3, init)
    assert same(encoders, model)
    assert encoder_settings(encoders, processor) == encoder_settings(model.model, other)
    assert {name for name, _ in encoders.named_children()} == {"vision_model", "face_model"}
    return encoders


def test_the_encoders_alone_are_those_of_the_model_that_is_built(tiny_preset):
    started(tiny_preset.model, None)


def test_the_encoders_alone_are_those_of_a_trained_model_with_low_rank_updates(tiny_preset, tmp_path):
    model, processor = starting_model(tiny_preset.model, 5, None)
    set_learning(model, tiny_preset.model, ["lora"], 0)
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    assert (tmp_path / "adapter_config.json").exists()
    encoders = started(tiny_preset.model, str(tmp_path))
    assert not same(encoders, starting_model(tiny_preset.model, 3, None)[0])  # it was built with another seed


def test_the_encoders_alone_are_those_of_a_checkpoint(tiny_preset, tmp_path):
    config, section = tiny_preset, tiny_preset.model
    stage = config.training.stages[0].model_copy(update={"trainable": ["vision_model", "adapter"], "frames": 2})
    model, _ = starting_model(section, config.seed, None)
    set_learning(model, section, stage.trainable, config.seed)
    with torch.no_grad():
        learning = [(name, p.add_(0.5)) for name, p in model.named_parameters() if p.requires_grad]
    states = [(name, {"weight": parameter.detach()}) for name, parameter in learning]
    record = Record(1, saved_settings(config, stage, None))
    checkpoint = write(tmp_path, record, states, learning_buffers(model), keep=1)
    assert same(started(section, str(checkpoint)), model)
    assert starting_encoders(section, 3, str(checkpoint))[1].num_frames == 2


def test_weights_of_another_version_are_refused(tiny, tmp_path):
    for part in tiny:
        part.save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    weights = load_file(file)
    weights.pop(next(name for name in weights if ".vision_model." in name))
    save_file(weights, file, {"format": "pt"})
    with pytest.raises(ConfigError, match="its weights are not those of this version's model: vision_model"):
        load_encoders(str(tmp_path))
