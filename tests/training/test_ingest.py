import pyarrow.parquet as pq
import pytest
import torch

from favchat.config import ConfigError
from favchat.training.ingest import CLIP_COLUMNS, collate, read_clip, samples


def test_every_selected_annotation_of_the_split_comes_with_its_clip(corpus):
    found = samples(str(corpus), "qa", "train")
    rows = found.dataset.take_all()
    wanted = [
        row
        for row in pq.read_table(corpus / "annotations").to_pylist()
        if (row["task"], row["split"], row["selected"]) == ("qa", "train", True)
    ]
    assert found.count == len(rows) == len(wanted) > 50
    key = ("clip_id", "question", "answer")
    assert sorted(tuple(row[k] for k in key) for row in rows) == sorted(tuple(row[k] for k in key) for row in wanted)
    assert set(rows[0]) == {*CLIP_COLUMNS, "question", "answer"}


def test_labels_lie_on_the_answer_alone(corpus, tiny):
    _, processor = tiny
    batch = samples(str(corpus), "summary", "train").dataset.take_batch(3, batch_format="pyarrow")
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


@pytest.mark.parametrize(
    ("task", "split", "message"), [("qa", "test", "no annotation of task 'qa' in split 'test'"), ("x", "train", "'x'")]
)
def test_nothing_to_train_on_is_said(corpus, task, split, message):
    with pytest.raises(ConfigError, match=message):
        samples(str(corpus), task, split)


def test_missing_steps_are_named(corpus, tmp_path):
    with pytest.raises(ConfigError, match="run `favchat prepare` first"):
        samples(str(tmp_path), "qa", "train")
    (tmp_path / "shards").symlink_to(corpus / "shards")
    with pytest.raises(ConfigError, match="run `favchat annotate` first"):
        samples(str(tmp_path), "qa", "train")
