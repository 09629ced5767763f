import pyarrow.parquet as pq
import pytest
import torch

from favchat.config import ConfigError, load
from favchat.training.batches.stage_source import StageSource
from jobs.commands.settings import CONFIGS


def source(corpus, *words, stage=1):
    config = load(CONFIGS / "tiny.yaml", [f"data.out={corpus}", *words])
    return StageSource(config, config.training.stages[stage], None)


def take(stream, count):
    return [next(stream) for _ in range(count)]


def same(first, second):
    assert [batch.clip_ids for batch in first] == [batch.clip_ids for batch in second]
    for one, other in zip(first, second, strict=True):
        assert one.tokens == other.tokens
        assert one.inputs.keys() == other.inputs.keys()
        assert all(torch.equal(one.inputs[name], other.inputs[name]) for name in one.inputs)


def test_an_epoch_has_every_selected_annotation_of_the_split(corpus):
    made = source(corpus)
    wanted = [
        (row["clip_id"], row["question"], row["answer"])
        for row in pq.read_table(corpus / "annotations").to_pylist()
        if (row["task"], row["split"], row["selected"]) == ("qa", "train", True)
    ]
    found = []
    for step in range(made.steps_per_epoch):
        found += [(s.clip_id, s.question, s.answer) for s in made.index.samples(made.schedule.batch(step))]
    assert sorted(found) == sorted(wanted)
    assert made.samples_per_epoch == len(wanted) > 50


def test_ray_gives_the_batches_that_the_process_makes_itself(ray_session, corpus):
    for rank in range(2):
        made = source(corpus)
        steps = made.steps_per_epoch + 2  # into the second epoch
        same(take(made.batches(rank, 2, 0), steps), take(made.read_batches(rank, 2, 0), steps))


@pytest.mark.parametrize("packed", ["true", "false"])
def test_a_run_goes_on_at_any_step(corpus, packed):
    words = [f"training.stages.1.packed={packed}"]
    steps = source(corpus, *words).steps_per_epoch + 3
    whole = take(source(corpus, *words).read_batches(0, 1, 0), steps)
    for start in (1, steps - 2):
        same(take(source(corpus, *words).read_batches(0, 1, start), steps - start), whole[start:])


def test_no_picture_of_a_step_before_the_start_is_read(corpus, monkeypatch):
    from favchat.training.batches.shard_reader import ClipReader

    read = []
    original = ClipReader.read
    monkeypatch.setattr(ClipReader, "read", lambda self, clip: read.append(clip) or original(self, clip))
    made = source(corpus)
    start = made.steps_per_epoch - 2
    next(made.read_batches(0, 1, start))
    assert set(read) == set(made.index.sample_clip[made.schedule.batch(start)])


def test_the_stage_says_which_samples(corpus):
    rows = pq.read_table(corpus / "annotations", columns=["task", "split", "selected", "family"]).to_pylist()

    def count(**wanted):
        return sum(all(row[name] == value for name, value in wanted.items()) for row in rows)

    assert source(corpus, "training.stages.1.split=val").samples_per_epoch == count(
        task="qa", split="val", selected=True
    )
    found = source(corpus, "training.stages.1.selected=null", "training.stages.1.families=[emotion]").samples_per_epoch
    assert found == count(task="qa", split="train", family="emotion")
    mixed = source(corpus, "training.stages.1.mix=[{task: summary, share: 0.25}]")
    own = count(task="qa", split="train", selected=True)
    assert mixed.samples_per_epoch == own + round(own / 3)
    answers = {row["answer"] for row in pq.read_table(corpus / "annotations").to_pylist() if row["task"] == "summary"}
    order = [s.answer for step in range(mixed.steps_per_epoch) for s in mixed.index.samples(mixed.schedule.batch(step))]
    assert sum(answer in answers for answer in order) == round(own / 3)


def test_a_stage_may_see_other_frames_and_take_tokens(corpus):
    made = source(corpus, "training.stages.1.frames=2", "training.stages.1.tokens=2000")
    batches = take(made.read_batches(0, 1, 0), made.steps_per_epoch)
    assert {batch.inputs["frame_times"].shape[1] for batch in batches} == {2}
    assert len({len(batch.clip_ids) for batch in batches}) > 1
    assert max(batch.tokens for batch in batches) < 2300
    assert sum(len(batch.clip_ids) for batch in batches) == made.samples_per_epoch


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["training.stages.1.split=test"], "no annotation of task 'qa' in split 'test' that is selected"),
        (["training.stages.1.families=[weather]"], "of the families weather"),
        (["training.stages.1.batch_size=5000"], "stage 'questions': .* fewer than batch_size = 5000"),
        (["training.stages.1.tokens=200"], "may leave a worker without a sample"),
    ],
)
def test_nothing_to_train_on_is_said(corpus, words, message):
    with pytest.raises(ConfigError, match=message):
        _ = source(corpus, *words).schedule


def test_missing_steps_are_named(corpus, tmp_path):
    with pytest.raises(ConfigError, match="run `favchat prepare` first"):
        _ = source(tmp_path).schedule
    (tmp_path / "shards").symlink_to(corpus / "shards")
    with pytest.raises(ConfigError, match="run `favchat annotate` first"):
        _ = source(tmp_path).schedule
