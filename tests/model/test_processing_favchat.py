import json

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForMultimodalLM, AutoProcessor, pipeline

from favchat.model import FaVChatProcessor
from favchat.model.processing_favchat import FACE_TOKEN, FRAME_TOKEN, VIDEO_TOKEN
from favchat.video import VideoError
from jobs.quickstart import SAMPLE

CLIPS = SAMPLE / "clips"

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
    batch = processor(text=prompt, videos=[make_clip(seed) for seed in range(3)])
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
    assert tiny[1].questions_of(CONVERSATION) == ["Who smiles?", "Who smiles?", "And here?"]


def test_prompts_are_padded_left_and_answers_right(tiny, make_clip):
    processor = tiny[1]
    prompts = [processor.prompt("Who?"), processor.prompt("Who is that over there?")]
    clips = [make_clip(0), make_clip(1)]
    asked = processor(text=prompts, videos=clips)
    assert asked["attention_mask"][0, 0] == 0
    assert asked["attention_mask"][:, -1].tolist() == [1, 1]
    taught = processor(text=prompts, videos=clips, answers=["A man.", "A woman."])
    assert taught["attention_mask"][0, -1] == 0
    assert taught["attention_mask"][:, 0].tolist() == [1, 1]
    learnt = taught["labels"][0] != -100
    end = processor.tokenizer.eos_token
    assert processor.tokenizer.decode(taught["input_ids"][0][learnt]) == "A man." + end
    assert torch.equal(taught["labels"][0][learnt], taught["input_ids"][0][learnt])


def test_the_number_of_clips_must_fit(tiny, make_clip):
    with pytest.raises(ValueError, match=r"hold 1 <\|video\|> but 2 video"):
        tiny[1](text=tiny[1].prompt("Who?"), videos=[make_clip(0), make_clip(1)])


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
    batch = processor(text=[processor.prompt("Who?")] * 2, videos=[first, second])
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
    batch = processor(text=prompts, videos=clips, questions=["Who?", "Where?"])
    assert batch["question_mask"].tolist() == [[1, 1, 1, 1, 0, 0], [1] * 6]  # a byte each
    assert processor.tokenizer.decode(batch["question_ids"][1]) == "Where?"
    with pytest.raises(ValueError, match="give `questions`"):
        processor(text=prompts, videos=clips)
    with pytest.raises(ValueError, match=r"2 video\(s\) but 1 question"):
        processor(text=prompts, videos=clips, questions=["Who?"])
    assert "question_ids" not in tiny[1](text=prompts, videos=clips, questions=["Who?", "Where?"])


def chat(video, question="Who is it?"):
    return [{"role": "user", "content": [{"type": "video", **video}, {"type": "text", "text": question}]}]


def test_a_chat_is_read_with_its_videos(tiny, centerface):
    _, processor = tiny
    one, other = CLIPS / "capture_0.mp4", CLIPS / "franck_0.mp4"
    inputs = processor.apply_chat_template(
        chat({"path": str(one)}), add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
    )
    expected = processor(text=processor.prompt("Who is it?"), videos=[one])
    assert inputs.keys() == expected.keys()
    assert all(torch.equal(inputs[name], expected[name]) for name in inputs)

    seen = processor.clip_specification.read(other, processor.clip_specification.make_detector())[0]
    both = processor.apply_chat_template(
        [chat({"path": str(one)}), chat({"video": seen}, "What is this person doing?")],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
    )
    assert both["attention_mask"][0, 0] == 0 and both["attention_mask"][:, -1].all()
    assert torch.equal(both["pixel_values_videos"][:1], inputs["pixel_values_videos"])
    assert both["pixel_values_faces"].shape == (2, 4, 3, 160, 160)
    with pytest.raises(ValueError, match=r"hold 1 <\|video\|> but 0 video"):
        processor.apply_chat_template(chat({}), tokenize=True, return_dict=True)
    with pytest.raises(VideoError, match="nowhere.mp4: no such file"):
        processor.apply_chat_template(chat({"path": "nowhere.mp4"}), tokenize=True, return_dict=True)


def test_a_chat_begins_as_those_of_training_did(tiny):
    _, processor = tiny
    own = {"role": "system", "content": "Be brief."}
    assert processor.apply_chat_template(chat({}, "Who?"), add_generation_prompt=True) == processor.prompt("Who?")
    assert processor.apply_chat_template([own, *chat({}, "Who?")]) == (
        f"<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n{VIDEO_TOKEN}\nWho?<|im_end|>\n"
    )
    ids = processor.apply_chat_template([own], tokenize=True, return_tensors=None)
    assert processor.decode(ids[0]) == "<|im_start|>system\nBe brief.<|im_end|>\n"
    begun = [*chat({}, "Who?"), {"role": "assistant", "content": [{"type": "text", "text": "A man"}]}]
    assert processor.apply_chat_template(begun, continue_final_message=True).endswith("assistant\nA man")


def test_lists_and_arrays_come_where_they_are_asked_for(tiny, make_clip):
    _, processor = tiny
    texts = [processor.prompt("Who?"), processor.prompt("Who is that?")]
    given = {"text": texts, "videos": [make_clip(0), make_clip(1)]}
    arrays = processor(**given, return_tensors="np")
    assert isinstance(arrays["input_ids"], np.ndarray) and arrays["pixel_values_videos"].dtype == np.float32
    lists = processor(**given, return_tensors=None, padding=False)
    assert [len(row) for row in lists["input_ids"]] == arrays["attention_mask"].sum(axis=1).tolist()
    right = processor(**given, padding_side="right", return_mm_token_type_ids=True)
    assert right["attention_mask"][0, -1] == 0
    assert ((right["mm_token_type_ids"] == 2).sum(dim=1) == processor.num_visual_tokens).all()
    with pytest.raises(ValueError, match="truncation cuts off tokens of a video, which takes 32; raise max_length"):
        processor(**given, truncation=True, max_length=60)
    fewer = processor(**given, num_frames=2)
    assert (fewer["input_ids"] == processor.tokenizer.convert_tokens_to_ids(FRAME_TOKEN)).sum() == 2 * 2 * 4


def test_images_and_sound_are_refused(tiny, make_clip):
    with pytest.raises(ValueError, match="images: FaVChat reads videos and text alone"):
        tiny[1](["a prompt"], [make_clip(0)])
    with pytest.raises(ValueError, match="give text or videos"):
        tiny[1]()


def test_it_is_saved_and_found_and_reads_the_settings_of_version_0_1(tiny, tmp_path, make_clip):
    model, processor = tiny
    processor.save_pretrained(tmp_path)
    model.save_pretrained(tmp_path)
    assert isinstance(AutoModelForMultimodalLM.from_config(AutoConfig.from_pretrained(tmp_path)), type(model))
    again = AutoProcessor.from_pretrained(tmp_path)
    assert again.to_dict() == processor.to_dict()
    assert again.chat_template == processor.chat_template
    written = json.loads((tmp_path / "processor_config.json").read_text())
    older = written | written.pop("video_processor") | {"num_frames": 3, "image_size": 32}
    older.pop("video_processor_type")
    (tmp_path / "processor_config.json").write_text(json.dumps(older))
    (tmp_path / "chat_template.jinja").write_text(tiny[1].chat_template.split("\n", 1)[1])
    old = FaVChatProcessor.from_pretrained(tmp_path)
    assert old.prompt("Who?") == processor.prompt("Who?")
    assert old(text=old.prompt("Who?"), videos=make_clip(0))["pixel_values_videos"].shape == (1, 3, 3, 32, 32)


def test_the_pipeline_answers(tiny, centerface):
    model, processor = tiny
    path = str(CLIPS / "capture_0.mp4")
    ask = pipeline("image-text-to-text", model=model, processor=processor)
    (found,) = ask(text=chat({"path": path}), max_new_tokens=4, do_sample=False, return_full_text=False)
    inputs = processor(text=processor.prompt("Who is it?"), videos=[path])
    ids = model.generate(**inputs, max_new_tokens=4, do_sample=False)
    assert found["generated_text"] == processor.decode(ids[0, -4:], skip_special_tokens=True)


def test_a_router_that_reads_questions_gets_them_from_the_chat(tiny, make_clip, tmp_path):
    tiny[1].save_pretrained(tmp_path)
    processor = type(tiny[1]).from_pretrained(tmp_path, route_by_question=True)
    inputs = processor.apply_chat_template(chat({"video": make_clip(0)}, "Who?"), tokenize=True, return_dict=True)
    assert processor.decode(inputs["question_ids"][0]) == "Who?"
