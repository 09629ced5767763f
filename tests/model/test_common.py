"""What transformers' common tests ask of every model, asked of this one.

Those tests are no part of the installed package, and its source distribution holds them without the modules that they
import, so their counterparts are written here, on the tiny model; those about generation stand in test_generation.py,
those about processors in test_processing_favchat.py and test_video_processing_favchat.py, saving and loading in
test_modeling_favchat.py. Skipped, and why:

- flash attention, tensor parallelism over processes, DeepSpeed under `generate`: they need GPUs;
- pruning, feed-forward chunking, problem types, encoder-decoder losses, position vectors: the model has none of them;
- training of the base model: it has no loss;
- attention of the face pyramid and of MobileNet: they are convolutional networks;
- rotary scaling, sliding windows: the language model's own, which transformers tests there;
- a processor's videos of noise, and images or sound beside them: a video without a face, images and sound are refused;
- `do_rescale`, `do_normalize` and other frame rates in calls of the processor: the clip specification decides.
"""

import copy
import io
import pickle

import pytest
import torch
from accelerate import cpu_offload
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModel

from favchat.model import FaVChatConfig, FaVChatForConditionalGeneration, FaVChatModel

LAYERS = 4


@pytest.fixture(scope="module")
def batch(tiny, module_clip):
    """Two prompts of different length, a video each."""
    processor = tiny[1]
    return processor(text=[processor.prompt("Who?"), processor.prompt("Who is it?")], videos=[module_clip] * 2)


@pytest.fixture(scope="module")
def expected(tiny, batch):
    with torch.no_grad():
        return tiny[0](**batch)


def run(model, inputs, **more):
    with torch.no_grad():
        return model(**inputs, **more)


def without(inputs, *names):
    return {name: value for name, value in inputs.items() if name not in names}


def test_the_configuration_survives_every_form(tiny, tmp_path):
    config = tiny[0].config
    assert FaVChatConfig.from_dict(config.to_dict()).to_dict() == config.to_dict()
    config.save_pretrained(tmp_path)
    again = AutoConfig.from_pretrained(tmp_path)
    assert again.to_dict() | {"_name_or_path": ""} == config.to_dict()
    config.to_json_file(tmp_path / "some.json")
    assert FaVChatConfig.from_json_file(tmp_path / "some.json").to_dict() == config.to_dict()
    assert copy.deepcopy(config).to_dict() == config.to_dict()
    for name in FaVChatConfig.sub_configs:
        alone = type(getattr(config, name)).from_pretrained(tmp_path / "config.json")
        assert alone.model_type == getattr(config, name).model_type
    assert config.get_text_config() is config.text_config


@pytest.mark.parametrize("kind", [FaVChatModel, FaVChatForConditionalGeneration])
def test_outputs_come_as_a_tuple_too(tiny, batch, kind):
    model = tiny[0] if kind is FaVChatForConditionalGeneration else tiny[0].model
    named = run(model, batch, output_hidden_states=True, use_cache=False)
    plain = run(model, batch, output_hidden_states=True, use_cache=False, return_dict=False)
    assert isinstance(plain, tuple) and len(plain) == len(named)
    for one, other in zip(named.to_tuple(), plain, strict=True):
        if isinstance(one, torch.Tensor):
            assert torch.equal(one, other)
    shown = copy.deepcopy(model)
    shown.config.return_dict = False
    assert isinstance(run(shown, batch), tuple)


def test_every_layer_is_shown(tiny, batch, expected):
    model = copy.deepcopy(tiny[0])
    model.set_attn_implementation("eager")
    output = run(model, batch, output_hidden_states=True, output_attentions=True)
    rows, length = batch["input_ids"].shape
    text = model.config.text_config
    assert [state.shape for state in output.hidden_states] == [(rows, length, text.hidden_size)] * (LAYERS + 1)
    heads = text.num_attention_heads
    assert [weights.shape for weights in output.attentions] == [(rows, heads, length, length)] * LAYERS
    torch.testing.assert_close(model.lm_head(output.hidden_states[-1]), output.logits)
    assert expected.hidden_states is None and expected.attentions is None
    model.config.output_hidden_states = True
    assert len(run(model, batch).hidden_states) == LAYERS + 1


def test_gradients_stay_with_hidden_states_and_attentions(tiny, batch):
    model = copy.deepcopy(tiny[0])
    model.set_attn_implementation("eager")
    output = model(**batch, output_hidden_states=True, output_attentions=True)
    kept = [output.hidden_states[0], output.attentions[0]]
    for tensor in kept:
        tensor.retain_grad()
    output.logits.flatten()[0].backward()
    assert all(tensor.grad is not None for tensor in kept)


def test_attention_is_chosen_while_the_model_lives(tiny, batch, expected):
    model = copy.deepcopy(tiny[0])
    seen = batch["attention_mask"].bool()
    for kind in ("eager", "sdpa"):
        model.set_attn_implementation(kind)
        assert model.model.language_model.config._attn_implementation == kind
        assert model.model.face_model.config._attn_implementation == "eager"
        torch.testing.assert_close(run(model, batch).logits[seen], expected.logits[seen], atol=1e-5, rtol=1e-4)
    model.set_attn_implementation({"text_config": "eager"})
    assert model.model.language_model.config._attn_implementation == "eager"
    assert model.model.vision_model.config._attn_implementation == "sdpa"


def test_features_of_videos_alone(tiny, batch):
    model, processor = tiny
    videos = without(batch, "input_ids", "attention_mask")
    with torch.no_grad():
        found = model.get_video_features(**videos, output_hidden_states=True)
        plain = model.get_video_features(**videos, return_dict=False)
    width = model.config.text_config.hidden_size
    assert found.pooler_output.shape == (2, processor.num_visual_tokens, width)
    assert torch.equal(found.pooler_output, found.sequence())
    assert found.last_hidden_state.shape[:2] == (2, processor.num_frames)
    assert len(found.hidden_states) == model.config.vision_config.num_hidden_layers + 1
    assert torch.equal(plain[0], found.last_hidden_state) and torch.equal(plain[1], found.pooler_output)


def test_embeddings_stand_for_ids(tiny, batch, expected):
    model, processor = tiny
    hello = processor(text=processor.prompt("Hello?").replace("<|video|>", ""))
    embeds = model.get_input_embeddings()(hello["input_ids"])
    assert torch.equal(run(model, {}, inputs_embeds=embeds).logits, run(model, hello).logits)

    embeds = model.model.embed_text(batch["input_ids"])
    assert torch.equal(run(model, batch, inputs_embeds=embeds).logits, expected.logits)
    with pytest.raises(ValueError, match="need input_ids too: this model's placeholders lie beyond the vocabulary"):
        model(**without(batch, "input_ids"), inputs_embeds=embeds)
    given = {"max_new_tokens": 2, "do_sample": False}
    asked = model.generate(**batch, **given)
    assert torch.equal(model.generate(**batch, inputs_embeds=embeds, **given)[:, -2:], asked[:, -2:])


def test_the_vocabulary_can_grow_over_the_placeholders(tiny, batch, expected):
    model, count = copy.deepcopy(tiny[0]), len(tiny[1].tokenizer)
    before = model.config.text_config.vocab_size
    model.resize_token_embeddings(count)
    assert model.config.text_config.vocab_size == model.lm_head.out_features == count > before
    logits = run(model, batch).logits
    torch.testing.assert_close(logits[..., :before], expected.logits)
    embeds = model.get_input_embeddings()(batch["input_ids"])
    assert torch.equal(run(model, without(batch, "input_ids"), inputs_embeds=embeds).logits, logits)
    assert model.generate(**batch, max_new_tokens=2).shape[0] == 2
    labels = torch.full_like(batch["input_ids"], count - 1)
    assert run(model, batch, labels=labels).loss.isfinite()
    model.resize_token_embeddings(before)
    torch.testing.assert_close(run(model, batch).logits, expected.logits)


def test_checkpointing_changes_no_gradient(tiny, module_clip):
    processor = tiny[1]
    batch = processor(text=[processor.prompt("Who?")], videos=[module_clip], answers=["A man."])
    gradients = []
    for settings in (None, {"use_reentrant": False}, {"use_reentrant": True}):
        model = copy.deepcopy(tiny[0]).train()
        if settings is not None:
            model.gradient_checkpointing_enable(settings)
            model.enable_input_require_grads()
        torch.manual_seed(0)
        model(**batch).loss.backward()
        gradients.append({name: one.grad for name, one in model.named_parameters() if one.grad is not None})
    for other in gradients[1:]:
        assert other.keys() == gradients[0].keys()
        for name, gradient in gradients[0].items():
            torch.testing.assert_close(other[name], gradient, msg=name)


def test_it_is_pickled(tiny, batch, expected):
    # Not a model that gave hidden states: transformers then leaves hooks that cannot be pickled in its decoder.
    fresh = FaVChatForConditionalGeneration(tiny[0].config).eval()
    fresh.load_state_dict(tiny[0].state_dict())
    again = pickle.loads(pickle.dumps(fresh))  # noqa: S301 - our own bytes
    assert torch.equal(run(again, batch).logits, expected.logits)
    file = io.BytesIO()
    torch.save(tiny[0].state_dict(), file)
    file.seek(0)
    assert torch.load(file, weights_only=True).keys() == tiny[0].state_dict().keys()


def test_parts_of_it_may_lie_on_disk(tiny, batch, expected, tmp_path):
    tiny[0].save_pretrained(tmp_path)
    parts = {f"model.{name}": "cpu" for name, _ in tiny[0].model.named_children()} | {"lm_head": "cpu"}
    parts["model.adapter"] = "disk"
    model = type(tiny[0]).from_pretrained(tmp_path, device_map=parts, offload_folder=tmp_path / "offloaded")
    assert {one.device.type for one in model.model.adapter.parameters()} == {"meta"}
    torch.testing.assert_close(run(model, batch).logits, expected.logits)
    model = copy.deepcopy(tiny[0])
    cpu_offload(model.model.adapter, execution_device=torch.device("cpu"))
    torch.testing.assert_close(run(model, batch).logits, expected.logits)


def test_every_weight_is_initialised(tiny):
    config = tiny[0].config
    with torch.device("meta"):
        model = FaVChatForConditionalGeneration(config)
    assert {one.device.type for one in model.parameters()} == {"meta"}
    model.to_empty(device="cpu")
    for tensor in model.state_dict().values():
        tensor.fill_(float("nan") if tensor.is_floating_point() else 7)
    model.init_weights()
    assert [name for name, tensor in model.state_dict().items() if not tensor.isfinite().all()] == []


def test_tied_weights_are_saved_once_and_tied_again(tiny, tmp_path):
    config = copy.deepcopy(tiny[0].config)
    config.text_config.tie_word_embeddings = config.tie_word_embeddings = True
    model = FaVChatForConditionalGeneration(config)
    model.save_pretrained(tmp_path)
    names = load_file(tmp_path / "model.safetensors").keys()
    assert len(names & {"lm_head.weight", "model.language_model.embed_tokens.weight"}) == 1
    again, report = type(model).from_pretrained(tmp_path, output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"]
    assert again.lm_head.weight is again.get_input_embeddings().weight
    base, report = AutoModel.from_pretrained(tmp_path, output_loading_info=True)
    assert isinstance(base, FaVChatModel) and not report["missing_keys"]


def test_it_is_compiled_whole(tiny, batch, expected):
    compiled = torch.compile(copy.deepcopy(tiny[0]), fullgraph=True, backend="eager")
    torch.testing.assert_close(run(compiled, batch, use_cache=False).logits, expected.logits)
    with pytest.raises(ValueError, match=r"2 video\(s\) give 64 visual tokens, the prompts hold 32"):
        tiny[0](**{**batch, "input_ids": batch["input_ids"][:1], "attention_mask": batch["attention_mask"][:1]})


def test_it_is_exported_whole(tiny, batch, expected):
    with torch.no_grad():
        program = torch.export.export(tiny[0], (), dict(batch, use_cache=False), strict=False)
        torch.testing.assert_close(program.module()(**batch, use_cache=False).logits, expected.logits)
