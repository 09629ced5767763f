import pytest
import torch
from torch import nn

from favchat.config import load
from favchat.training.batches import samples
from favchat.training.batches.samples import collate, some_samples
from favchat.training.stage.job import report_steps
from favchat.training.stage.validation import Validation, evaluating
from favchat.video.images import decode_images
from jobs.commands.settings import CONFIGS


def settings(corpus, *words):
    config = load(CONFIGS / "tiny.yaml", [f"data.out={corpus}", *words])
    return config, config.training.stages[1]


def test_the_loss_is_the_mean_over_the_tokens_of_held_out_answers(corpus, tiny):
    model, processor = tiny
    config, stage = settings(corpus, "training.val_batches=2")
    rows = some_samples(str(corpus), "qa", "val", 2 * stage.batch_size)
    losses, tokens = [], []
    for index in range(rows.num_rows):
        inputs = collate(processor, rows.slice(index, 1))
        with torch.no_grad():
            losses.append(model(**inputs).language_loss.item())
        tokens.append(int((inputs["labels"] != -100).sum()))
    assert len(set(tokens)) > 1
    by_hand = sum(loss * count for loss, count in zip(losses, tokens, strict=True)) / sum(tokens)
    found = Validation(config, stage, processor, rank=0, workers=1).loss(model, torch.device("cpu"))
    assert found == pytest.approx(by_hand, rel=1e-4)


def test_held_out_samples_are_always_the_same_and_come_from_many_clips(corpus):
    rows = some_samples(str(corpus), "qa", "val", 10)
    assert rows == some_samples(str(corpus), "qa", "val", 10)
    everything = some_samples(str(corpus), "qa", "val", 10**6)
    assert rows.num_rows == 10 < everything.num_rows
    clips = set(everything["clip_id"].to_pylist())
    assert len(set(rows["clip_id"].to_pylist())) > len(clips) / 2
    assert not clips & set(some_samples(str(corpus), "qa", "train", 10**6)["clip_id"].to_pylist())


def test_workers_get_equal_shares_without_overlap(corpus, tiny):
    config, stage = settings(corpus, "training.val_batches=2", "training.stages.1.batch_size=9")
    shares = [Validation(config, stage, tiny[1], rank=rank, workers=3)._samples for rank in range(3)]
    assert [share.num_rows for share in shares] == [6, 6, 6]
    keys = [tuple(row[key] for key in ("clip_id", "question", "answer")) for s in shares for row in s.to_pylist()]
    assert len(set(keys)) == 18


def test_with_a_budget_of_tokens_there_may_be_more_workers_than_a_batch_has_samples(corpus, tiny):
    config, stage = settings(corpus, "training.val_batches=2", "training.stages.1.tokens=4000")
    made = [Validation(config, stage, tiny[1], rank=rank, workers=6) for rank in range(6)]
    assert stage.batch_size == 4
    assert [one._samples.num_rows for one in made] == [2] * 6
    losses = [one.loss(tiny[0], torch.device("cpu")) for one in made]
    alone = Validation(config, stage.model_copy(update={"batch_size": 6}), tiny[1], rank=0, workers=1)
    assert alone._samples.num_rows == 12
    assert min(losses) < alone.loss(tiny[0], torch.device("cpu")) < max(losses)


def test_no_frame_is_decoded_that_the_model_does_not_see(corpus, tiny, monkeypatch):
    model, processor = tiny
    config, stage = settings(corpus, "training.val_answers=2", "training.val_answer_tokens=2")
    decoded = []
    monkeypatch.setattr(samples, "decode_images", lambda images: decoded.append(len(images)) or decode_images(images))
    Validation(config, stage, processor, rank=0, workers=1).answers(model)
    assert decoded == [processor.num_frames] * 4  # frames and faces of two clips, which have more


@pytest.mark.parametrize("word", ["training.val_batches=0", "training.val_split=nowhere"])
def test_without_held_out_samples_there_is_no_loss(corpus, tiny, word):
    config, stage = settings(corpus, word)
    assert Validation(config, stage, tiny[1], rank=0, workers=1).loss(tiny[0], torch.device("cpu")) is None


def test_modules_that_trained_train_again(tiny):
    model = nn.Sequential(nn.Dropout(), nn.BatchNorm1d(3))
    model[1].eval()
    with evaluating(model):
        assert not any(module.training for module in model.modules())
    assert [module.training for module in model.modules()] == [True, True, False]


@pytest.mark.parametrize(
    ("steps", "reports", "found"), [(10, 1, {10}), (10, 4, {3, 5, 8, 10}), (2, 4, {1, 2}), (1, 3, {1})]
)
def test_reports_are_spread_evenly_and_end_with_the_stage(steps, reports, found):
    assert report_steps(steps, reports) == found
