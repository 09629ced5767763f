"""Generation: what transformers' `generate` does with videos."""

import copy

import pytest
import torch

from favchat.model.generation import answer


@pytest.fixture(scope="module")
def talker(tiny):
    """The tiny model, loud enough that its answers depend on every token; and its processor."""
    model, processor = copy.deepcopy(tiny[0]), tiny[1]
    torch.manual_seed(0)
    for name, parameter in model.named_parameters():
        if parameter.ndim > 1 and ("language_model" in name or "adapter" in name or "lm_head" in name):
            torch.nn.init.normal_(parameter, std=0.2)
    model.generation_config.eos_token_id = None
    return model, processor


def prompts(processor, *questions, videos=1):
    parts = [{"type": "video"}] * videos
    return [
        processor.apply_chat_template(
            [{"role": "user", "content": [*parts, {"type": "text", "text": question}]}], add_generation_prompt=True
        )
        for question in questions
    ]


def test_left_padding_changes_no_answer(talker, make_clip):
    model, processor = talker
    clips, questions = [make_clip(0), make_clip(1)], ["Who?", "What is the person in this video doing with both hands?"]
    batch = processor(text=prompts(processor, *questions), videos=clips)
    together = model.generate(**batch, max_new_tokens=8, do_sample=False)
    for index in range(2):
        batch = processor(text=prompts(processor, questions[index]), videos=clips[index : index + 1])
        alone = model.generate(**batch, max_new_tokens=8, do_sample=False)
        assert torch.equal(together[index, -8:], alone[0, -8:])


def test_the_cache_changes_no_answer(talker, make_clip):
    model, processor = talker
    batch = processor(text=prompts(processor, "Who is it?"), videos=[make_clip(0)])
    cached, whole = (
        model.generate(**batch, max_new_tokens=4, do_sample=False, use_cache=use_cache) for use_cache in (True, False)
    )
    assert torch.equal(cached, whole)


@pytest.mark.parametrize("way", ["static cache", "prompt lookup", "assisted"])
def test_the_way_of_decoding_changes_no_answer(talker, make_clip, way):
    model, processor = talker
    batch = processor(text=prompts(processor, "Who is it?"), videos=[make_clip(0)])
    settings = {
        "static cache": {"cache_implementation": "static"},
        "prompt lookup": {"prompt_lookup_num_tokens": 3},
        "assisted": {"assistant_model": copy.deepcopy(model)},
    }[way]
    plain = model.generate(**batch, max_new_tokens=6, do_sample=False)
    assert torch.equal(model.generate(**batch, max_new_tokens=6, do_sample=False, **settings), plain)


def test_beams_of_a_padded_batch_are_those_of_each_prompt(talker, make_clip):
    model, processor = talker
    questions, clips = ["Who?", "What is the person in this video doing?"], [make_clip(0), make_clip(1)]
    beams = {"num_beams": 2, "max_new_tokens": 4, "do_sample": False}
    together = model.generate(**processor(text=prompts(processor, *questions), videos=clips), **beams)
    for row, (question, clip) in enumerate(zip(questions, clips, strict=True)):
        alone = model.generate(**processor(text=prompts(processor, question), videos=[clip]), **beams)
        assert torch.equal(together[row, -4:], alone[0, -4:])


@pytest.mark.parametrize(
    "settings",
    [
        {"repetition_penalty": 1.3},
        {"no_repeat_ngram_size": 2},
        {"encoder_repetition_penalty": 1.3},
        {"encoder_no_repeat_ngram_size": 2},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_logits_processors_see_the_text_of_a_prompt(talker, make_clip, settings):
    model, processor = talker
    batch = processor(text=prompts(processor, "Who is it?"), videos=[make_clip(0)])
    asked = {"max_new_tokens": 6, "do_sample": False}
    ids = model.generate(**batch, **asked, **settings)[0, -6:]
    assert (ids < model.config.text_config.vocab_size).all()
    if "no_repeat_ngram_size" in settings:
        pairs = [tuple(ids[place : place + 2].tolist()) for place in range(5)]
        assert len(set(pairs)) == len(pairs)


def test_generation_from_features_is_that_from_pixels(talker, make_clip):
    model, processor = talker
    batch = processor(text=prompts(processor, "Who is it?", "And here?"), videos=[make_clip(0), make_clip(1)])
    from_pixels = model.generate(**batch, max_new_tokens=8, do_sample=False)
    with torch.no_grad():
        batch.update(model.model.encode_frames(batch.pop("pixel_values_videos"), batch.pop("pixel_values_faces")))
    assert torch.equal(model.generate(**batch, max_new_tokens=8, do_sample=False), from_pixels)


def test_several_answers_keep_each_prompts_videos(talker, make_clip):
    model, processor = talker
    clips = [make_clip(seed) for seed in range(3)]
    two = prompts(processor, "Which one smiles?", videos=2) + prompts(processor, "Who?")
    plain = model.generate(**processor(text=two, videos=clips), max_new_tokens=6, do_sample=False)
    ids, inputs = model._expand_inputs_for_generation(expand_size=2, **processor(text=two, videos=clips))
    assert torch.equal(ids[0], ids[1])
    pixels = processor.video_inputs(clips)["pixel_values_videos"]
    assert torch.equal(inputs["pixel_values_videos"], pixels[[0, 1, 0, 1, 2, 2]])
    beams = model.generate(**processor(text=two, videos=clips), max_new_tokens=6, do_sample=False, num_beams=2)
    assert beams.shape == plain.shape


def test_the_prompt_may_hold_turns_and_text_alone(talker, make_clip):
    model, processor = talker
    conversation = [
        {"role": "user", "content": [{"type": "video"}, {"type": "text", "text": "Who is it?"}]},
        {"role": "assistant", "content": "A woman."},
        {"role": "user", "content": [{"type": "text", "text": "And in this one?"}, {"type": "video"}]},
    ]
    prompt = processor.apply_chat_template(conversation, add_generation_prompt=True)
    rows = [prompt, *prompts(processor, "Hello!", videos=0)]
    new = model.generate(
        **processor(text=rows, videos=[make_clip(0), make_clip(1)]), max_new_tokens=6, do_sample=False
    )[:, -6:]
    alone = model.generate(**processor(text=rows[1]), max_new_tokens=6, do_sample=False)[:, -6:]
    assert torch.equal(new[1:], alone)


def test_answers_are_text(talker, make_clip):
    answers = answer(*talker, [make_clip(0), make_clip(1)], ["Who?", "Where?"], max_new_tokens=4)
    assert len(answers) == 2
    assert all(isinstance(text, str) for text in answers)
