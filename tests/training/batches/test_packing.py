import copy

import numpy as np
import pytest
import torch

from favchat.config import load
from favchat.training.batches.batch import Sample
from favchat.training.batches.packing import block_lengths, pack, prefix_length, rows_of, with_mask
from favchat.training.batches.samples import pad
from favchat.training.batches.stage_source import StageSource
from favchat.training.stage import packed_attention
from jobs.commands.settings import CONFIGS


@pytest.fixture(scope="module")
def given(corpus):
    """Fourteen samples about a few clips, and the clips."""
    config = load(CONFIGS / "tiny.yaml", [f"data.out={corpus}", "training.stages.1.batch_size=14"])
    source = StageSource(config, config.training.stages[1], None)
    samples = source.index.samples(source.schedule.batch(0))
    from favchat.training.batches.shard_reader import ClipReader

    reader = ClipReader(source.index, None, 4)
    reader.prepare(np.arange(len(source.index.clip_ids)))
    return samples, {str(clip): reader.read(number) for number, clip in enumerate(source.index.clip_ids)}


@pytest.fixture(scope="module")
def attentive(tiny):
    """The tiny model with larger matrices: what a token sees counts for much, which random weights hardly let it."""
    model = copy.deepcopy(tiny[0])
    with torch.no_grad():
        for name, parameter in model.model.language_model.named_parameters():
            if "proj" in name:
                parameter *= 10
    return model


def by_one(model, processor, samples, clips):
    """The summed loss of each sample, alone."""
    losses = []
    for sample in samples:
        inputs, _ = pad(processor, [sample], clips)
        with torch.no_grad():
            losses.append(model(**inputs).language_loss.item() * int((inputs["labels"] != -100).sum()))
    return losses


@pytest.mark.parametrize("attention", ["sdpa", "eager", packed_attention.NAME])
def test_the_loss_of_a_packed_batch_is_that_of_its_samples_one_by_one(attentive, tiny, given, attention):
    model, processor = copy.deepcopy(attentive), tiny[1]
    model.model.language_model.set_attn_implementation(attention)
    samples, clips = given
    assert 1 < len({sample.clip_id for sample in samples}) < 8
    batch, tokens = pack(processor, samples, clips)
    assert len(batch["frame_times"]) < len(samples)
    inputs = with_mask(batch)
    labelled = int((batch["labels"] != -100).sum())
    with torch.no_grad():
        output = model(**inputs)
    alone = by_one(model, processor, samples, clips)
    assert output.language_loss.item() * labelled == pytest.approx(sum(alone), rel=1e-5)
    assert output.logits.shape[:2] == (1, labelled)
    assert tokens == int((batch["sequences"] > 0).sum())
    # A question that saw its neighbour, or counted its positions on, would be noticed.
    for name, value in (("blocks", torch.ones_like(batch["blocks"])), ("position_ids", None)):
        wrong = dict(batch)
        wrong[name] = torch.arange(batch["blocks"].shape[1]).expand_as(batch["blocks"]) if value is None else value
        with torch.no_grad():
            assert model(**with_mask(wrong)).language_loss.item() != pytest.approx(
                output.language_loss.item(), rel=1e-4
            )


@pytest.mark.parametrize("attention", ["sdpa", packed_attention.NAME])
def test_gradients_are_those_of_the_padded_batch(attentive, tiny, given, attention):
    samples, clips = given
    gradients = []
    for make in (pack, pad):
        model = copy.deepcopy(attentive)
        model.model.language_model.set_attn_implementation(attention)
        batch, _ = make(tiny[1], samples, clips)
        model(**(with_mask(batch) if make is pack else batch)).language_loss.backward()
        gradients.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradient, gradients[1][name], rtol=2e-3, atol=2e-6, msg=name)


def test_labels_lie_on_the_answers_alone(tiny, given):
    processor, (samples, clips) = tiny[1], given
    batch, _ = pack(processor, samples, clips)
    learnt = batch["labels"] != -100
    assert torch.equal(batch["input_ids"][learnt], batch["labels"][learnt])
    texts = []
    for row in range(len(learnt)):
        for number in range(1, int(batch["sequences"][row].max()) + 1):
            of_clip = batch["sequences"][row] == number
            for block in range(1, int(batch["blocks"][row][of_clip].max()) + 1):
                ids = batch["input_ids"][row][of_clip & (batch["blocks"][row] == block) & learnt[row]]
                texts.append(processor.tokenizer.decode(ids))
    assert sorted(texts) == sorted(sample.answer + processor.tokenizer.eos_token for sample in samples)


def test_a_router_that_reads_the_question_gets_a_video_for_each(tiny, given):
    processor = copy.copy(tiny[1])
    processor.route_by_question = True
    samples, clips = given
    batch, _ = pack(processor, samples, clips)
    assert len(batch["frame_times"]) == len(batch["question_ids"]) == len(samples)


def test_lengths_are_known_without_clips(tiny, given):
    processor, (samples, clips) = tiny[1], given
    batch, _ = pack(processor, samples[:1], clips)
    assert prefix_length(processor) == int((batch["blocks"][0] == 0).sum())
    lengths = block_lengths(processor, [s.question for s in samples], [s.answer for s in samples])
    for sample, length in zip(samples, lengths, strict=True):
        made, _ = pack(processor, [Sample(sample.clip_id, sample.question, sample.answer)], clips)
        assert int((made["blocks"] == 1).sum()) == length


def test_rows_hold_every_sequence_once_with_little_padding():
    lengths = [300, 40, 60, 290, 120, 170, 30, 200]
    rows = rows_of(lengths)
    assert sorted(index for row in rows for index in row) == list(range(len(lengths)))
    longest = max(sum(lengths[index] for index in row) for row in rows)
    assert sum(lengths) / (longest * len(rows)) > 0.9
    assert rows_of([5]) == [[0]]
