"""Likelihoods of packed questions are exactly those of questions asked alone, and free answers those of `answer`."""

import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from favchat.evaluation.asking import local_backend
from favchat.evaluation.asking.eval_question import EvalQuestion
from favchat.evaluation.asking.local_backend import LocalModel
from favchat.model.generation import answer
from favchat.training.batches.samples import StoredClip


def make_clip(seed: int) -> StoredClip:
    random = np.random.default_rng(seed)
    return StoredClip(
        frames=random.integers(0, 256, (6, 48, 80, 3), dtype=np.uint8),
        faces=random.integers(0, 256, (6, 160, 160, 3), dtype=np.uint8),
        timestamps=np.arange(6) / 8,
        landmarks=random.random((6, 5, 2)).astype(np.float32),
        visible=np.ones(6, bool),
    )


def item(question: str, *options: str, answer_prefix: str = "", way="likelihood") -> EvalQuestion:
    return EvalQuestion("t", "p", "c", "i", "val", way, question, options, answer_prefix)


ITEMS = [
    [
        item("Is it so?", "Yes", "No"),
        item("How do they look: happy or very sad?", "happy", "very sad", answer_prefix="They look"),
    ],
    [item("Well?", "a", "b c", "d")],
]


@pytest.fixture(scope="module")
def loud(tiny_folder):
    """The tiny model with weights so large that clips and questions matter."""
    model = LocalModel(str(tiny_folder), max_new_tokens=12)
    network = model.model = copy.deepcopy(model.model)
    torch.manual_seed(0)
    with torch.no_grad():
        for projection in network.model.adapter.level_proj:
            projection.linear.weight.normal_(std=0.5)
        for layer in network.model.language_model.layers:
            for parameter in layer.parameters():
                if parameter.ndim == 2:
                    parameter.normal_(std=0.3)
        network.lm_head.weight.normal_(std=0.3)
    return model


@pytest.fixture(scope="module")
def clips():
    return [make_clip(0), make_clip(1)]


def alone(model: LocalModel, clip: StoredClip, asked: EvalQuestion, option: str) -> float:
    prompt = model.processor.prompt(asked.question) + asked.answer_prefix
    whole = model.processor(text=[prompt + (" " if asked.answer_prefix else "") + option], videos=[clip])
    begin = model.processor(text=[prompt], videos=[clip])["input_ids"].shape[1]
    with torch.no_grad():
        logs = model.model(**whole).logits[0].log_softmax(-1)
    ids = whole["input_ids"][0]
    return sum(logs[place - 1, ids[place]].item() for place in range(begin, len(ids)))


@pytest.mark.parametrize("longest", [local_backend.MAX_TOKENS, 1])
def test_packed_questions_are_as_likely_as_alone(loud, clips, monkeypatch, longest):
    monkeypatch.setattr(local_backend, "MAX_TOKENS", longest)
    found = loud.likelihoods(loud.visual(clips), ITEMS)
    seen = []
    for clip, some, scores in zip(clips, ITEMS, found, strict=True):
        for asked, score in zip(some, scores, strict=True):
            expected = [alone(loud, clip, asked, option) for option in asked.options]
            assert score.log_likelihoods == pytest.approx(expected, rel=1e-4)
            assert score.tokens == [len(option) + bool(asked.answer_prefix) for option in asked.options]  # bytes
            assert score.prior != pytest.approx(score.log_likelihoods, rel=1e-3)
            seen += expected
    assert len({round(value, 3) for value in seen}) == len(seen)


def test_a_clip_is_encoded_once_for_all_of_its_questions(loud, clips, monkeypatch):
    calls = []
    encode = loud.model.model.get_video_features
    monkeypatch.setattr(loud.model.model, "get_video_features", lambda **inputs: calls.append(1) or encode(**inputs))
    loud._priors.clear()
    visual = loud.visual(clips)
    loud.likelihoods(visual, ITEMS)
    loud.texts(visual, ITEMS)
    loud.likelihoods(visual, ITEMS)
    assert len(calls) == 2  # the clips, and once the clip without content


def test_free_answers_are_those_of_plain_generation(loud, clips):
    found = loud.texts(loud.visual(clips), ITEMS)
    for clip, some, texts in zip(clips, ITEMS, found, strict=True):
        for asked, text in zip(some, texts, strict=True):
            assert text == answer(loud.model, loud.processor, [clip], [asked.question], max_new_tokens=12)[0]


def test_hints_change_the_question(loud, clips):
    visual = loud.visual(clips)
    assert loud.texts(visual, ITEMS, hints=True) != loud.texts(visual, ITEMS)


def test_features_are_the_mean_tokens_of_both_streams(loud, clips):
    visual = loud.visual(clips)
    found = loud.features(visual)
    general = loud.processor.vision_grid**2
    assert np.shape(found) == (2, 2 * visual.tokens.shape[-1])
    assert found[1] == pytest.approx(
        torch.cat([visual.tokens[1, :, :general].mean((0, 1)), visual.tokens[1, :, general:].mean((0, 1))]).tolist(),
        abs=1e-5,
    )


def test_features_without_a_face_stream_are_the_mean_general_token(loud):
    tokens = torch.randn(2, 4, loud.processor.vision_grid**2, 8)
    face_grid, loud.processor.face_grid = loud.processor.face_grid, 0
    try:
        found = loud.features(SimpleNamespace(tokens=tokens))
    finally:
        loud.processor.face_grid = face_grid
    torch.testing.assert_close(torch.tensor(found), tokens.mean(dim=(1, 2)))


def test_a_frame_without_a_face_has_landmarks_of_zero(loud, clips):
    hidden = make_clip(2)
    hidden.visible[:] = False
    hidden.landmarks[:] = 0
    assert np.isfinite(loud.features(loud.visual([hidden]))).all()


def test_nothing_is_asked(loud, clips):
    visual = loud.visual(clips)
    assert loud.likelihoods(visual, [[], []]) == [[], []]
    assert loud.texts(visual, [[], []]) == [[], []]
