import pyarrow.parquet as pq
import torch

from favchat.training.batches.samples import collate, read_clip, some_samples


def test_labels_lie_on_the_answer_alone(corpus, tiny):
    _, processor = tiny
    batch = some_samples(str(corpus), "summary", "train", 3)
    inputs = collate(processor, batch)
    assert inputs["pixel_values_videos"].shape == (3, 4, 3, 64, 64)
    for ids, labels, answer in zip(inputs["input_ids"], inputs["labels"], batch["answer"].to_pylist(), strict=True):
        learnt = labels != -100
        assert processor.tokenizer.decode(ids[learnt]) == answer + processor.tokenizer.eos_token
        assert torch.equal(ids[learnt], labels[learnt])


def test_a_stored_clip_is_read_back(corpus):
    row = pq.read_table(sorted((corpus / "shards").glob("*.parquet"))[0]).slice(0, 1).to_pylist()[0]
    clip = read_clip(row)
    count = len(row["timestamps"])
    assert clip.frames.shape[0] == count
    assert clip.frames.shape[3] == 3
    assert clip.faces.shape == (count, 160, 160, 3)
    assert clip.landmarks.shape == (count, 5, 2)
    assert clip.visible.dtype == bool
    assert clip.faces[clip.visible].mean() > 20


def test_only_frames_that_the_model_sees_are_decoded(corpus, tiny):
    row = pq.read_table(sorted((corpus / "shards").glob("*.parquet"))[0]).slice(0, 1).to_pylist()[0]
    whole, seen = tiny[1].video_inputs([read_clip(row)]), tiny[1].video_inputs([read_clip(row, 4)])
    assert all(torch.equal(whole[name], seen[name]) for name in whole)
    spoilt = row | {"frames": [b"", *row["frames"][1:]]}
    assert len(row["frames"]) == 8
    assert read_clip(spoilt, 4).frames.shape[0] == 4
