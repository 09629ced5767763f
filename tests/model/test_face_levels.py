"""Any decoder that transformers lays out as `model.layers` takes the face levels."""

import pytest
import torch
from torch import nn
from transformers import AutoConfig

from favchat.config import BackboneConfig
from favchat.model.build import build
from favchat.model.face_levels import receive_face_levels
from favchat.model.tokenizer import BYTE_VOCABULARY

SIZES = {
    "vocab_size": BYTE_VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 512,
    "pad_token_id": 0,
    "eos_token_id": 1,
    "bos_token_id": 2,
}
DECODERS = {
    "llama": {},
    "mistral": {"sliding_window": 64},
    "qwen2": {},
    "qwen3": {},
    "qwen3_moe": {"moe_intermediate_size": 16, "num_experts": 4, "num_experts_per_tok": 2},
    "phi3": {},
    "olmo2": {},
    "smollm3": {},
    "gemma2": {"sliding_window": 64, "final_logit_softcapping": 5.0},
    "gemma3_text": {"sliding_window": 64},
}


@pytest.mark.parametrize("kind", DECODERS)
def test_levels_act_at_the_face_tokens_and_generation_equals_full_forward(kind, tiny_preset, make_clip):
    settings = tiny_preset.model.model_copy(
        update={"text": BackboneConfig(config={"model_type": kind, **SIZES, **DECODERS[kind]})}
    )
    model, processor = build(settings)
    batch = processor(text=processor.prompt("Who?"), videos=[make_clip(0)])
    with torch.no_grad():
        before = model(**batch).logits
        for projection in model.model.adapter.level_proj:
            projection.linear.bias.normal_()
        after = model(**batch).logits
        assert len(model.model.adapter.level_proj) == 2
        first_face = (batch["input_ids"][0] == model.config.face_token_id).nonzero()[0].item()
        torch.testing.assert_close(before[:, :first_face], after[:, :first_face])
        assert (before[:, first_face] - after[:, first_face]).abs().max() > 1e-4

        model.generation_config.eos_token_id = None
        ids = model.generate(**batch, max_new_tokens=4, do_sample=False)
        whole = model(**{**batch, "input_ids": ids, "attention_mask": torch.ones_like(ids)}).logits
    assert torch.equal(whole[0, -5:-1].argmax(dim=-1), ids[0, -4:])
    if kind == "gemma2":
        assert whole.abs().max() <= 5.0


def test_visual_tokens_are_as_loud_as_words_where_a_model_scales_its_embeddings(tiny_preset):
    text = BackboneConfig(config={"model_type": "gemma3_text", **SIZES})
    model, _ = build(tiny_preset.model.model_copy(update={"text": text}))
    words = model.get_input_embeddings()(torch.arange(BYTE_VOCABULARY))
    assert model.config.adapter_config.output_scale == pytest.approx(words.square().mean().sqrt().item(), rel=1e-3)


def test_levels_that_are_switched_off_are_not_there(tiny_preset, make_clip):
    adapter = tiny_preset.model.adapter.model_copy(update={"inject_levels": False})
    model, processor = build(tiny_preset.model.model_copy(update={"adapter": adapter}))
    assert len(model.model.adapter.level_proj) == 0
    assert not any(layer._forward_hooks for layer in model.model.language_model.layers)
    assert model(**processor(text=processor.prompt("Who?"), videos=[make_clip(0)])).logits.isfinite().all()


def test_a_decoder_without_layers_or_with_too_few_is_refused():
    with pytest.raises(ValueError, match="does not keep its decoder layers in `layers`"):
        receive_face_levels(nn.Linear(2, 2), 1)
    decoder = nn.Module()
    decoder.layers = nn.ModuleList([nn.Identity()])
    with pytest.raises(ValueError, match="2 face levels to inject, but the language model has 1 layers"):
        receive_face_levels(decoder, 2)


def test_a_model_that_scales_its_logits_is_refused(tiny_preset):
    text = BackboneConfig(config={"model_type": "granite", **SIZES, "logits_scaling": 4.0})
    assert AutoConfig.for_model(**text.config).logits_scaling == 4.0
    with pytest.raises(ValueError, match="granite model scales its logits"):
        build(tiny_preset.model.model_copy(update={"text": text}))
