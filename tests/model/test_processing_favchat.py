import numpy as np
import pytest
import torch

from favchat.model.processing_favchat import FACE_TOKEN, FRAME_TOKEN, VIDEO_TOKEN

CONVERSATION = [
    {"role": "system", "content": "You describe faces."},
    {"role": "user", "content": [{"type": "video"}, {"type": "video"}, {"type": "text", "text": "Who smiles?"}]},
    {"role": "assistant", "content": "The first one."},
    {"role": "user", "content": [{"type": "text", "text": "And here?"}, {"type": "video"}]},
]


def test_each_video_becomes_its_frames_placeholders(tiny, make_clip):
    processor = tiny[1]
    prompt = processor.apply_chat_template(CONVERSATION, add_generation_prompt=True)
    assert prompt.count(VIDEO_TOKEN) == 3
    batch = processor(prompt, [make_clip(seed) for seed in range(3)])
    general, face = processor.tokenizer.convert_tokens_to_ids([FRAME_TOKEN, FACE_TOKEN])
    ids = batch["input_ids"][0]
    assert (ids == general).sum() == (ids == face).sum() == 3 * 4 * 4
    visual = ids[(ids == general) | (ids == face)]
    frame = [general] * 4 + [face] * 4
    assert visual.tolist() == frame * (3 * processor.num_frames)
    assert batch["pixel_values_videos"].shape == (3, 4, 3, 64, 64)
    text = processor.tokenizer.decode(ids[(ids != general) & (ids != face)])
    assert text == prompt.replace(VIDEO_TOKEN, "")


def test_a_videos_question_is_the_text_of_its_message(tiny):
    assert tiny[1].questions(CONVERSATION) == ["Who smiles?", "Who smiles?", "And here?"]


def test_prompts_are_padded_left_and_answers_right(tiny, make_clip):
    processor = tiny[1]
    prompts = [processor.prompt("Who?"), processor.prompt("Who is that over there?")]
    clips = [make_clip(0), make_clip(1)]
    asked = processor(prompts, clips)
    assert asked["attention_mask"][0, 0] == 0
    assert asked["attention_mask"][:, -1].tolist() == [1, 1]
    taught = processor(prompts, clips, answers=["A man.", "A woman."])
    assert taught["attention_mask"][0, -1] == 0
    assert taught["attention_mask"][:, 0].tolist() == [1, 1]
    learnt = taught["labels"][0] != -100
    end = processor.tokenizer.eos_token
    assert processor.tokenizer.decode(taught["input_ids"][0][learnt]) == "A man." + end
    assert torch.equal(taught["labels"][0][learnt], taught["input_ids"][0][learnt])


def test_the_number_of_clips_must_fit(tiny, make_clip):
    with pytest.raises(ValueError, match=r"hold 1 <\|video\|> but 2 clip"):
        tiny[1](tiny[1].prompt("Who?"), [make_clip(0), make_clip(1)])


def test_a_part_of_another_type_is_refused(tiny):
    with pytest.raises(ValueError, match="type 'image'; there are 'video' and 'text'"):
        tiny[1].apply_chat_template([{"role": "user", "content": [{"type": "image"}]}])


def test_a_frame_without_a_face_has_no_geometry(tiny, make_clip):
    _, processor = tiny
    clip = make_clip(0, frames=2)
    shown = processor.video_inputs([clip])["face_geometry"]
    clip.visible[0] = False
    clip.landmarks[0] = 0.0  # as shards have it
    hidden = processor.video_inputs([clip])
    first = np.flatnonzero(~hidden["face_visible"][0].numpy())
    assert len(first)
    assert (hidden["face_geometry"][0, first] == 0).all()
    others = np.flatnonzero(hidden["face_visible"][0].numpy())
    assert (hidden["face_geometry"][0, others] == shown[0, others]).all()


def features():
    return {
        "vision_features": torch.randn(4, 16, 32),
        "face_features": torch.randn(4, 16, 56),
        "face_visible": torch.ones(4, dtype=torch.bool),
        "frame_times": torch.arange(4) / 4,
        "face_geometry": torch.rand(4, 4),
        "face_motion": torch.randn(26),
    }


def test_features_stand_for_clips(tiny):
    processor, first, second = tiny[1], features(), features()
    batch = processor([processor.prompt("Who?")] * 2, [first, second])
    assert "pixel_values_videos" not in batch
    assert torch.equal(batch["vision_features"][1], second["vision_features"])
    assert batch["frame_times"].shape == (2, 4)


def test_features_and_clips_do_not_mix(tiny, make_clip):
    with pytest.raises(ValueError, match="1 of 2 clips come as features"):
        tiny[1].video_inputs([features(), make_clip(0)])
    incomplete = features()
    del incomplete["frame_times"]
    with pytest.raises(ValueError, match="no frame_times"):
        tiny[1].video_inputs([incomplete])


def test_questions_are_given_to_a_router_that_reads_them(tiny, make_clip, tmp_path):
    tiny[1].save_pretrained(tmp_path)
    processor = type(tiny[1]).from_pretrained(tmp_path, route_by_question=True)
    prompts, clips = [processor.prompt("Who?"), processor.prompt("Where?")], [make_clip(0), make_clip(1)]
    batch = processor(prompts, clips, questions=["Who?", "Where?"])
    assert batch["question_mask"].tolist() == [[1, 1, 1, 1, 0, 0], [1] * 6]  # a byte each
    assert processor.tokenizer.decode(batch["question_ids"][1]) == "Where?"
    with pytest.raises(ValueError, match="give `questions`"):
        processor(prompts, clips)
    with pytest.raises(ValueError, match=r"2 clip\(s\) but 1 question"):
        processor(prompts, clips, questions=["Who?"])
    assert "question_ids" not in tiny[1](prompts, clips, questions=["Who?", "Where?"])
