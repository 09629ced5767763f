"""Where baselines come from is said, and no error hides behind them."""

import pyarrow as pa
import pytest

from favchat.config import ConfigError
from favchat.data.corpus.parquet_files import write_whole
from favchat.data.corpus.schema import ANNOTATION_SCHEMA
from favchat.evaluation import evaluate as module
from favchat.evaluation.evaluate import TaskResult, _untrained, plan_task
from favchat.evaluation.labelled_clips import read_clips
from favchat.evaluation.reporting.report import _task_json
from favchat.evaluation.scoring.split_leaks import find_leaks
from favchat.plugins import TASKS
from tests.evaluation.conftest import make_clip, settings, write_shard


def annotation(clip: str, split: str, question: str = "Is she smiling?") -> dict:
    row = {field.name: [] if pa.types.is_list(field.type) else 0 for field in ANNOTATION_SCHEMA}
    texts = {field.name: "" for field in ANNOTATION_SCHEMA if field.type == pa.string()}
    flags = {field.name: False for field in ANNOTATION_SCHEMA if field.type == pa.bool_()}
    return (
        row
        | texts
        | flags
        | {
            "clip_id": clip,
            "task": "qa",
            "split": split,
            "question": question,
            "answer": "Yes.",
            "answer_type": "yes_no",
            "truth": True,
            "selected": True,
        }
    )


def annotate(out, *rows):
    write_whole(pa.Table.from_pylist(list(rows), schema=ANNOTATION_SCHEMA), out / "annotations" / "template.parquet")


@pytest.fixture
def corpus_of(tmp_path):
    """Makes a corpus of two clips, each of a split."""

    def make(name, *splits):
        out = tmp_path / name
        write_shard(out, [make_clip(f"{name}{n}", split=split, emotion="happy") for n, split in enumerate(splits)])
        return out

    return make


def planned(task, asked, trained):
    config = settings(asked, "evaluation.model=m", f"evaluation.trained_on=[{trained}]")
    clips = read_clips(str(asked))
    corpora = module.training_corpora(config, clips)
    return plan_task(TASKS[task], config, clips, corpora, "val")


def test_a_training_split_without_such_questions_is_said(corpus_of):
    asked, trained = corpus_of("asked", "val", "val"), corpus_of("trained", "train", "train")
    annotate(asked, annotation("asked0", "val"))
    plan = planned("questions", asked, trained)  # it was never annotated
    assert plan.trained == [] and _untrained(plan) == ("yes_no",)
    annotate(trained, annotation("trained0", "val"))
    plan = planned("questions", asked, trained)  # no question of the training split
    assert plan.trained == [] and _untrained(plan) == ("yes_no",)
    found = TaskResult(plan.task, "val", find_leaks([], []), [], untrained=_untrained(plan))
    assert "no such question for yes_no: majority and prior are those of the evaluated clips" in found.baselines()
    assert _task_json(found)["baselines_of_asked_clips"] == ["yes_no"]


def test_with_such_questions_nothing_is_said(corpus_of):
    asked, trained = corpus_of("asked", "val", "val"), corpus_of("trained", "train", "train")
    annotate(asked, annotation("asked0", "val"))
    annotate(trained, annotation("trained0", "train"))
    plan = planned("questions", asked, trained)
    assert len(plan.trained) == 1 and _untrained(plan) == ()
    assert TaskResult(plan.task, "val", find_leaks([], []), []).baselines() == ""


def test_a_part_that_the_training_split_lacks_is_named(corpus_of, tmp_path):
    asked = corpus_of("asked", "val", "val")
    trained = tmp_path / "changing"
    course = [("neutral", 0.0, 1.0), ("happy", 1.0, 2.0)]
    write_shard(trained, [make_clip("c", split="train", segments=course)])
    assert _untrained(planned("celebv_hq_emotion", asked, trained)) == ("clip",)


def test_annotations_that_cannot_be_read_are_an_error(corpus_of):
    asked, trained = corpus_of("asked", "val", "val"), corpus_of("trained", "train", "train")
    annotate(asked, annotation("asked0", "val"))
    (trained / "annotations").mkdir()
    (trained / "annotations" / "template.parquet").write_bytes(b"no Parquet")
    with pytest.raises(ConfigError, match="template.parquet is no Parquet file"):
        planned("questions", asked, trained)
