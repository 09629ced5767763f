"""Models that have one of both encoders alone."""

import copy

import pytest
import torch

from favchat.config import ConfigError
from favchat.hub.load import load
from favchat.model.build import build
from favchat.training.stage.optimizer import set_trainable
from serve.encoder import video_features


@pytest.fixture(scope="module")
def faceless(tiny_preset):
    """A tiny model without a face encoder."""
    adapter = tiny_preset.model.adapter.model_copy(update={"face_grid": 0})
    return build(tiny_preset.model.model_copy(update={"adapter": adapter}))


def test_a_model_without_a_general_encoder_reads_faces_alone(tiny_preset, make_clip, tmp_path):
    adapter = tiny_preset.model.adapter.model_copy(update={"vision_grid": 0})
    model, processor = build(tiny_preset.model.model_copy(update={"adapter": adapter}))
    assert not [name for name in model.state_dict() if "vision_model" in name]
    clip, other = make_clip(0), make_clip(0)
    other.frames = make_clip(1).frames
    prompt = [processor.prompt("Who?")]
    batch = processor(text=prompt, videos=[clip])
    assert (batch["input_ids"] == model.config.video_token_id).sum() == 0
    assert (batch["input_ids"] == model.config.face_token_id).sum() == 4 * processor.face_grid**2
    with torch.no_grad():
        logits = model(**batch, output_hidden_states=True).logits
        assert torch.equal(logits, model(**processor(text=prompt, videos=[other])).logits)
        assert (logits - model(**processor(text=prompt, videos=[make_clip(1)])).logits)[:, -1].abs().max() > 1e-5
        encoded = model.model.encode_frames(batch["pixel_values_videos"], batch["pixel_values_faces"])
        assert encoded["vision_features"].shape[:3] == (1, 4, 0)
    model.save_pretrained(tmp_path)
    again = type(model).from_pretrained(tmp_path)
    with torch.no_grad():
        torch.testing.assert_close(again(**batch).logits, logits)


def test_a_model_without_a_face_encoder_reads_no_face(faceless, make_clip, tmp_path):
    model, processor = faceless
    assert not [name for name in model.state_dict() if "face_model" in name]
    clip, other = make_clip(0), make_clip(0)
    other.faces = make_clip(1).faces
    prompt = [processor.prompt("Who?")]
    batch = processor(text=prompt, videos=[clip])
    assert (batch["input_ids"] == model.config.face_token_id).sum() == 0
    assert (batch["input_ids"] == model.config.video_token_id).sum() == 4 * processor.vision_grid**2
    with torch.no_grad():
        logits = model(**batch).logits
        assert torch.equal(logits, model(**processor(text=prompt, videos=[other])).logits)
        assert (logits - model(**processor(text=prompt, videos=[make_clip(1)])).logits)[:, -1].abs().max() > 1e-5
        encoded = model.model.encode_frames(batch["pixel_values_videos"], batch["pixel_values_faces"])
        assert encoded["face_features"].shape == (1, 4, 0, 2 * (4 + 8 + 16))
        kept = {name: tensor[0] for name, tensor in {**encoded, **processor.video_inputs([clip])}.items()}
        torch.testing.assert_close(model(**processor(text=prompt, videos=[kept])).logits, logits)
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    again, _ = load(str(tmp_path))
    with torch.no_grad():
        torch.testing.assert_close(again(**batch).logits, logits)


def test_its_video_features_for_a_server_hold_no_nan(faceless, make_clip):
    model, processor = faceless
    (features,) = video_features(model, processor, [make_clip(0)])
    adapter = model.config.adapter_config
    assert features["tokens"].shape == (4 * processor.vision_grid**2, adapter.output_size)
    assert len(features["levels"]) == 0
    general, face = features["usage"][0]
    torch.testing.assert_close(general.sum(-1), torch.full((4,), float(adapter.num_experts_per_tok)))
    assert (face == 0).all()


def test_a_model_without_a_face_encoder_learns(faceless, make_clip):
    model, processor = copy.deepcopy(faceless[0]), faceless[1]
    names = set_trainable(model, ["adapter"])
    model(**processor(text=[processor.prompt("Who?")], videos=[make_clip(0)], answers=["A man."])).loss.backward()
    reached = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert reached == set(names)
    with pytest.raises(ConfigError, match=r"'face_model' is no part of the model; its parts are vision_model, adapter"):
        set_trainable(model, ["face_model"])
