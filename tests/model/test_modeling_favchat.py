"""The whole model: what its answers depend on, saving and loading, and features in place of pixels."""

import copy
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForImageTextToText, AutoProcessor

from favchat.config import ConfigError
from favchat.hub.load import load
from favchat.model.build import build
from favchat.training.stage.optimizer import set_trainable
from tests.model.conftest import batch_of


def test_the_answer_depends_on_the_video(tiny, make_clip):
    model, _ = tiny
    with torch.no_grad():
        logits = [model(**batch_of(tiny, [make_clip(seed)], ["Who is it?"])).logits for seed in (0, 1)]
    assert (logits[0][:, -1] - logits[1][:, -1]).abs().max() > 1e-4


def test_injected_levels_act_at_the_face_tokens(tiny, make_clip):
    model = copy.deepcopy(tiny[0])
    batch = batch_of(tiny, [make_clip(0)], ["Who is it?"])
    with torch.no_grad():
        before = model(**batch).logits
        model.model.adapter.level_proj[0].linear.bias.fill_(1.0)
        after = model(**batch).logits
    first_face = (batch["input_ids"][0] == model.config.face_token_id).nonzero()[0].item()
    torch.testing.assert_close(before[:, :first_face], after[:, :first_face])
    assert (before[:, first_face] - after[:, first_face]).abs().max() > 1e-3


def test_padding_changes_nothing(tiny, make_clip):
    model, _ = tiny
    clips = [make_clip(0), make_clip(1)]
    with torch.no_grad():
        together = model(**batch_of(tiny, clips, ["Who?", "What is the person in this video doing?"])).logits
        alone = model(**batch_of(tiny, clips[:1], ["Who?"])).logits
    torch.testing.assert_close(together[0, -alone.shape[1] :], alone[0], atol=1e-4, rtol=1e-3)


def test_two_videos_in_one_prompt_are_read_in_order(tiny, make_clip):
    model, processor = tiny
    content = [{"type": "video"}, {"type": "video"}, {"type": "text", "text": "Who smiles?"}]
    prompt = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    with torch.no_grad():
        first, second = (
            model(**processor(text=[prompt], videos=clips)).logits[0, -1]
            for clips in ([make_clip(0), make_clip(1)], [make_clip(1), make_clip(0)])
        )
    assert (first - second).abs().max() > 1e-5


def test_greedy_generation_with_cache_equals_full_forward(tiny, make_clip):
    model, _ = tiny
    batch = batch_of(tiny, [make_clip(0)], ["Who is it?"])
    generated = model.generate(**batch, max_new_tokens=5, min_new_tokens=5, do_sample=False)
    ids = batch["input_ids"]
    for _ in range(5):
        inputs = {**batch, "input_ids": ids, "attention_mask": torch.ones_like(ids)}
        with torch.no_grad():
            logits = model(**inputs).logits[:, -1].clone()
        logits[:, model.generation_config.eos_token_id] = -torch.inf
        ids = torch.cat([ids, logits.argmax(dim=-1, keepdim=True)], dim=1)
    assert torch.equal(generated, ids)


def test_wrong_number_of_placeholders_is_refused(tiny, make_clip):
    model, processor = tiny
    batch = batch_of(tiny, [make_clip(0)], ["Who?"])
    batch["input_ids"] = batch["input_ids"][:, 100:]
    batch["attention_mask"] = batch["attention_mask"][:, 100:]
    with pytest.raises(ValueError, match=r"1 video\(s\) give 32 visual tokens"):
        model(**batch)


def test_save_and_load_round_trip_in_a_fresh_process(tiny, make_clip, tmp_path):
    model, processor = tiny
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    assert (tmp_path / "model.safetensors").stat().st_size < 5e6
    batch = batch_of(tiny, [make_clip(0)], ["Who is it?"])
    torch.save(dict(batch), tmp_path / "batch.pt")
    code = (
        "import sys, torch, favchat.model\n"
        "from transformers import AutoModelForImageTextToText, AutoProcessor\n"
        "model = AutoModelForImageTextToText.from_pretrained(sys.argv[1])\n"
        "processor = AutoProcessor.from_pretrained(sys.argv[1])\n"
        "assert type(processor).__name__ == 'FaVChatProcessor', processor\n"
        "batch = torch.load(sys.argv[1] + '/batch.pt')\n"
        "with torch.no_grad(): torch.save(model(**batch).logits, sys.argv[1] + '/out.pt')\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, capture_output=True)
    with torch.no_grad():
        torch.testing.assert_close(torch.load(tmp_path / "out.pt"), model(**batch).logits)
    again = AutoProcessor.from_pretrained(tmp_path)
    assert again.prompt("Who is it?") == processor.prompt("Who is it?")
    assert AutoModelForImageTextToText.from_pretrained(tmp_path).config.face_token_id == model.config.face_token_id


def test_encoder_features_stand_for_pixels(tiny, make_clip):
    model, processor = tiny
    prompts = [processor.prompt("Who?"), processor.prompt("Is she happy?")]
    clips, answers = [make_clip(0), make_clip(1)], ["A man.", "Yes."]
    batch = processor(text=prompts, videos=clips, answers=answers)
    with torch.no_grad():
        online = model(**batch, output_router_logits=True)
        encoded = model.model.encode_frames(batch["pixel_values_videos"], batch["pixel_values_faces"])
        assert {name: tuple(tensor.shape) for name, tensor in encoded.items()} == {
            "vision_features": (2, 4, 16, 32),
            "face_features": (2, 4, 16, 2 * (4 + 8 + 16)),
        }
        # As a cache gives them: each clip's by itself.
        kept = [
            {name: tensor[row] for name, tensor in {**encoded, **processor.video_inputs(clips)}.items()}
            for row in range(2)
        ]
        cached = model(**processor(text=prompts, videos=kept, answers=answers), output_router_logits=True)
    for name in ("loss", "logits", "balance_loss", "z_loss"):
        torch.testing.assert_close(cached[name], online[name], msg=name)
    torch.testing.assert_close(cached.router_logits, online.router_logits)


def test_a_model_that_mirrors_faces_sees_a_face_and_its_mirror_image_alike(tiny, make_clip, tmp_path):
    model, processor = tiny
    mirroring = copy.deepcopy(model)
    mirroring.config.mirror_faces = mirroring.model.config.mirror_faces = True
    mirroring.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    mirroring, _ = load(str(tmp_path))
    pixels = processor.video_inputs([make_clip(0)])
    frames, faces = pixels["pixel_values_videos"], pixels["pixel_values_faces"]
    for one, alike in ((model, False), (mirroring, True)):
        with torch.no_grad():
            means = [one.model.encode_frames(frames, x)["face_features"].mean(dim=2) for x in (faces, faces.flip(-1))]
        assert torch.allclose(*means, atol=1e-5) == alike


def test_what_a_video_lacks_is_named(tiny, make_clip):
    model, _ = tiny
    batch = batch_of(tiny, [make_clip(0)], ["Who?"])
    with pytest.raises(ValueError, match="need face_visible, frame_times and face_geometry"):
        model(**{name: tensor for name, tensor in batch.items() if name != "frame_times"})
    with pytest.raises(ValueError, match="pixel_values_faces, or vision_features and face_features"):
        model(**{name: tensor for name, tensor in batch.items() if name != "pixel_values_faces"})


@pytest.fixture(scope="module")
def curious(tiny_preset):
    """A tiny model whose router reads the question."""
    adapter = tiny_preset.model.adapter.model_copy(update={"route_by_question": True})
    return build(tiny_preset.model.model_copy(update={"adapter": adapter}))


def test_a_router_that_reads_the_question_learns_and_answers(curious, make_clip):
    model, processor = copy.deepcopy(curious[0]), curious[1]
    questions, answers = ["Who?", "Is she happy?"], ["A man.", "Yes."]
    prompts, clips = [processor.prompt(question) for question in questions], [make_clip(0), make_clip(0)]
    set_trainable(model, ["adapter"])
    model.model.adapter.question_proj[1].weight.data.normal_()
    output = model(
        **processor(text=prompts, videos=clips, questions=questions, answers=answers), output_router_logits=True
    )
    of_one, of_other = output.router_logits[0].unflatten(0, (2, -1))
    assert (of_one - of_other).abs().max() > 1e-3
    output.loss.backward()
    assert model.model.adapter.question_proj[1].weight.grad.abs().sum() > 0
    ids = model.generate(
        **processor(text=prompts, videos=clips, questions=questions), max_new_tokens=2, do_sample=False
    )
    assert ids.shape[0] == 2
    asked = processor(text=prompts, videos=clips, questions=questions)
    del asked["question_ids"]
    with pytest.raises(ValueError, match="routes by the question"):
        model(**asked)


def test_padding_of_a_question_is_not_read(curious, make_clip):
    model, processor = curious
    clips, questions = [make_clip(0), make_clip(1)], ["Who?", "What is the person in this video doing?"]
    batch = processor(text=[processor.prompt(question) for question in questions], videos=clips, questions=questions)
    alone = processor(text=processor.prompt(questions[0]), videos=clips[:1], questions=questions[:1])
    with torch.no_grad():
        pair, single = (model(**inputs, output_router_logits=True).router_logits[0] for inputs in (batch, alone))
    torch.testing.assert_close(pair[: len(single)], single)


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
def test_the_choice_of_attention_is_passed_down(tiny, make_clip, tmp_path, implementation):
    model, _ = tiny
    model.save_pretrained(tmp_path)
    loaded = type(model).from_pretrained(tmp_path, attn_implementation=implementation)
    for part in (loaded, loaded.model.language_model, loaded.model.vision_model):
        assert part.config._attn_implementation == implementation
    assert loaded.model.face_model.config._attn_implementation == "eager"  # a convolutional network
    batch = batch_of(tiny, [make_clip(0)], ["Who?"])
    with torch.no_grad():
        torch.testing.assert_close(loaded(**batch).logits, model(**batch).logits, atol=1e-4, rtol=1e-3)


def test_bfloat16_is_near_float32(tiny, make_clip, tmp_path):
    model, _ = tiny
    model.save_pretrained(tmp_path)
    half = type(model).from_pretrained(tmp_path, dtype=torch.bfloat16)
    assert {parameter.dtype for parameter in half.parameters()} == {torch.bfloat16}
    batch = batch_of(tiny, [make_clip(0)], ["Who?"], ["A man."])
    half.train()
    output = half(**batch)
    output.loss.backward()
    with torch.no_grad():
        assert output.language_loss.item() == pytest.approx(model(**batch).language_loss.item(), rel=0.02)
    assert half.generate(**batch_of(tiny, [make_clip(0)], ["Who?"]), max_new_tokens=2).shape[0] == 1


def test_layers_that_one_device_must_hold_are_known(tiny):
    assert {"FaVChatExpertLayer", "LlamaDecoderLayer"} <= set(tiny[0]._no_split_modules)


def test_weights_of_another_version_are_refused(tiny, tmp_path):
    for part in tiny:
        part.save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    weights["model.adapter.vision_proj.1.weight"] = weights.pop("model.adapter.vision_proj.linear.weight")
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ConfigError, match="vision_proj.linear.weight and 0 more are missing. Train it again"):
        load(str(tmp_path))


def test_the_same_seed_gives_the_same_weights(tiny, tiny_preset):
    again, _ = build(tiny_preset.model, seed=0)
    other, _ = build(tiny_preset.model, seed=1)
    name = "model.adapter.out_proj.weight"
    assert torch.equal(tiny[0].get_parameter(name), again.get_parameter(name))
    assert not torch.equal(tiny[0].get_parameter(name), other.get_parameter(name))
