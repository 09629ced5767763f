"""What each task asks of a small corpus."""

from pathlib import Path

import pyarrow as pa
import pytest

from favchat.config import ConfigError
from favchat.data.annotate.pipeline import annotate
from favchat.data.annotate.rows import Annotation, Writer, Written, table_of
from favchat.evaluation.labelled_clips import asked_split, read_clips, some_of, training_corpora
from favchat.evaluation.task import TaskContext
from favchat.evaluation.tasks.questions import choices
from favchat.plugins import TASKS
from tests.evaluation.conftest import make_clip, settings, write_shard

WAYS = ("likelihood", "text")


def asked(config, clips, split="test", ways=("likelihood",)) -> TaskContext:
    return TaskContext(config, clips, split, ways)


def right(items) -> list[tuple[str, str]]:
    return [(item.clip_id, item.options[item.truth]) for item in items]


def test_every_task_says_its_protocol_source_and_where_to_ask():
    for name, task in TASKS.items():
        assert task.name == name
        assert all(len(text) > 15 for text in (task.protocol, task.source, task.access))
    for name in ("dfew", "mafw", "ferv39k", "celebv_hq_attributes"):
        assert "https://" in TASKS[name].access


@pytest.mark.parametrize("name", ["dfew", "mafw", "ferv39k"])
def test_missing_data_is_named_with_the_place_to_ask_for_it(name):
    with pytest.raises(ConfigError, match=f"no clip of {name}.*https://"):
        TASKS[name].items(asked(settings("corpus"), [make_clip("a")]))


def test_dfew_of_the_shards_own_split():
    clips = [
        make_clip("00001", split="test", source="dfew", emotion="happy"),
        make_clip("00002", split="train", source="dfew", emotion="fear"),
        make_clip("00003", split="test", source="dfew", emotion="disgust"),
        make_clip("other", split="test", emotion="happy"),
    ]
    items = TASKS["dfew"].items(asked(settings("corpus"), clips, ways=WAYS))
    assert right(items) == [(c, w) for c, w in (("00001", "happy"), ("00003", "disgusted")) for _ in WAYS]
    assert items[0].options == ("happy", "sad", "neutral", "angry", "surprised", "disgusted", "fearful")
    assert items[0].question.startswith("Which word fits the person's expression best: happy, sad,")
    assert {item.answer_prefix for item in items} == {"They look"}


def test_folds_come_from_the_lists(tmp_path: Path):
    for fold, (test, train) in {1: ("1,1\n2,6\n", "3,7\n"), 2: ("3,7\n", "1,1\n2,6\n")}.items():
        for split, lines in (("test", test), ("train", train)):
            file = tmp_path / f"EmoLabel_DataSplit/{split}(single-labeled)/set_{fold}.csv"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("video_name,label\n" + lines)
    clips = [make_clip(f"0000{n}", split="train", source="dfew") for n in (1, 2, 3)]
    config = settings("corpus", f"data.source.path={tmp_path}", "evaluation.folds=[1,2]")
    items = TASKS["dfew"].items(asked(config, clips))
    assert [(item.clip_id, item.fold) for item in items] == [("00001", 1), ("00002", 1), ("00003", 2)]
    assert [word for _, word in right(items)] == ["happy", "disgusted", "fearful"]
    trained = TASKS["dfew"].items(asked(config, clips, split="train"))
    assert [(item.clip_id, item.fold) for item in trained] == [("00003", 1), ("00001", 2), ("00002", 2)]


def test_folds_without_lists_are_refused():
    clips = [make_clip("00001", split="test", source="dfew", emotion="happy")]
    with pytest.raises(ConfigError, match="evaluation.folds needs data.source.path"):
        TASKS["dfew"].items(asked(settings("corpus", "evaluation.folds=[1,2]"), clips))


def test_mafw_takes_its_eleven_emotions_from_the_lists(tmp_path: Path):
    clips = [make_clip("00001", split="test", source="mafw"), make_clip("00002", split="test", source="mafw")]
    with pytest.raises(ConfigError, match="no label for anxiety, helplessness, disappointment.*data.source.path"):
        TASKS["mafw"].items(asked(settings("corpus"), clips))
    folder = tmp_path / "Train & Test Set/single/no_caption/set_1"
    folder.mkdir(parents=True)
    (folder / "test.txt").write_text("00001.mp4 anxiety\n00002.mp4 contempt\n00009.mp4 anger\n")
    items = TASKS["mafw"].items(asked(settings("corpus", f"data.source.path={tmp_path}"), clips))
    assert right(items) == [("00001", "anxious"), ("00002", "contemptuous")]
    # 00009 could not be decoded, or was never there.
    assert TASKS["mafw"].listed(asked(settings("corpus", f"data.source.path={tmp_path}"), clips)) == 3
    assert len(items[0].options) == 11


def test_ferv39k_ids_are_safe_paths(tmp_path: Path):
    (tmp_path / "4_setups/All_scenes").mkdir(parents=True)
    (tmp_path / "4_setups/All_scenes/test_All.csv").write_text("Action/Happy/0267 Happy\n")
    clips = [make_clip("Action__Happy__0267", split="test", source="ferv39k")]
    items = TASKS["ferv39k"].items(asked(settings("corpus", f"data.source.path={tmp_path}"), clips))
    assert right(items) == [("Action__Happy__0267", "happy")]


def test_unknown_attributes_are_not_asked_for():
    clips = [make_clip("a", smile=1, no_beard=1, blurry=0, emotion="sadness"), make_clip("b")]
    items = TASKS["celebv_hq_attributes"].items(asked(settings("corpus"), clips, split="val"))
    assert [(item.part, item.question, item.options[item.truth]) for item in items[:-1]] == [
        ("blurry", "Is the video blurry?", "No"),
        # The label no_beard = 1 denies the statement that is asked for.
        ("no_beard", "Does the person have a beard?", "No"),
        ("smile", "Is the person smiling?", "Yes"),
    ]
    assert items[-1].part == "emotion" and right(items[-1:]) == [("a", "sad")]
    with pytest.raises(ConfigError, match="no clip of split 'val'.*CelebV-HQ"):
        TASKS["celebv_hq_attributes"].items(asked(settings("corpus"), clips[1:], split="val"))


def test_emotion_of_clips_of_stretches_and_whether_it_changes():
    clips = [
        make_clip("one", emotion="happy"),
        make_clip("two", segments=[("neutral", 0.0, 1.5), ("surprise", 1.5, 3.0)]),
        make_clip("none"),
    ]
    items = TASKS["celebv_hq_emotion"].items(asked(settings("corpus"), clips, split="val"))
    assert [(item.clip_id, item.part, item.options[item.truth]) for item in items] == [
        ("one", "change", "No"),
        ("one", "clip", "happy"),
        ("two", "change", "Yes"),
        ("two", "segment", "neutral"),
        ("two", "segment", "surprised"),
    ]
    assert items[-1].question.startswith("From 1.5 to 3 seconds, which word fits")


@pytest.fixture
def annotated(tmp_path: Path):
    """A corpus with annotations."""
    clips = [
        make_clip(f"c{n}", split=split, identity=f"p{n}", emotion=emotion, smile=n % 2, male=n % 2, nod=1 - n % 2)
        for n, (split, emotion) in enumerate(
            [("train", "happy"), ("train", "sadness"), ("val", "happy"), ("val", "fear")]
        )
    ]
    write_shard(tmp_path, clips)
    config = settings(tmp_path)
    annotate(config)
    return config


def test_the_corpus_s_own_questions(annotated):
    clips = read_clips(annotated.data.out)
    items = TASKS["questions"].items(asked(annotated, clips, "val", WAYS))
    assert {item.clip_id for item in items} == {"c2", "c3"}
    assert {item.part for item in items} >= {"yes_no", "open"}
    for item in items:
        assert item.family and item.level
        if item.part == "open":
            assert item.way == "text" and len(item.references) == 1 and item.truth is None
        if item.part == "choice":
            assert len(item.options) > 1
    assert not {item.clip_id for item in TASKS["questions"].items(asked(annotated, clips, "train", WAYS))} & {"c2"}


def test_descriptions_have_all_summaries_as_references(annotated):
    items = TASKS["summaries"].items(asked(annotated, read_clips(annotated.data.out), "val"))
    assert [item.clip_id for item in items] == ["c2", "c3"]
    assert all(1 <= len(item.references) <= 2 and item.way == "text" for item in items)


def test_annotations_are_needed(tmp_path):
    write_shard(tmp_path, [make_clip("a", emotion="happy")])
    with pytest.raises(ConfigError, match="favchat annotate"):
        TASKS["questions"].items(asked(settings(tmp_path), read_clips(str(tmp_path)), "val"))


class Other(Writer):
    """A writer that needs no labels, as one that looks at the frames."""

    name = "endpoint"

    def write(self, rows, survey):
        """The same about every clip."""
        texts = [
            ("qa", "Is the person smiling?", "Yes.", "yes_no", "action", ["smile"], "one", True),
            ("qa", "Is the person nodding?", "No.", "yes_no", "action", ["nod"], "one", False),
            ("summary", "Describe them.", "A person is smiling.", "open", "action", ["smile"]),
        ]
        return Written(table_of([Annotation(clip, "val", *text) for clip in ("a", "b") for text in texts]))


def test_a_corpus_without_labels_is_asked_what_another_writer_wrote(tmp_path):
    clips = [make_clip("a"), make_clip("b")]
    write_shard(tmp_path, clips)
    config = settings(tmp_path)
    annotate(config)
    for name in ("questions", "summaries"):
        with pytest.raises(ConfigError, match="hold no row. .*annotate.writer=endpoint.*annotate.writer=model"):
            TASKS[name].items(asked(config, clips, "val"))
    for name in ("celebv_hq_attributes", "celebv_hq_emotion"):
        with pytest.raises(ConfigError, match="no clip of split 'val' has .* labelled"):
            TASKS[name].items(asked(config, clips, "val"))
    annotate(config, Other())
    clips = read_clips(str(tmp_path))
    items = TASKS["questions"].items(asked(config, clips, "val"))
    assert items and {(item.question, item.options[item.truth]) for item in items} <= {
        ("Is the person smiling?", "Yes"),
        ("Is the person nodding?", "No"),
    }
    assert [item.references for item in TASKS["summaries"].items(asked(config, clips, "val"))] == [
        ("A person is smiling.",),
        ("A person is smiling.",),
    ]


@pytest.mark.parametrize(
    ("question", "answer", "found"),
    [
        (
            "How does the person look: happy, sad or angry?",
            "They look sad.",
            (["happy", "sad", "angry"], "They look", 1),
        ),
        ("Is the woman nodding or smiling?", "She is smiling.", (["nodding", "smiling"], "They are", 1)),
        ("Is the person's hair black hair or brown hair?", "Brown hair.", (["black", "brown"], "Their hair is", 1)),
        ("Is the woman nodding or smiling?", "Both.", None),
        ("Is the woman nodding or smiling?", "She is nodding and smiling.", None),
        ("What is going on?", "She is smiling.", None),
        ("Does the man have a beard or is he smiling?", "He is smiling.", None),
    ],
)
def test_options_are_read_from_a_question(question, answer, found):
    assert choices(question, answer) == found


def test_the_split_is_test_else_val():
    clips = [make_clip("a", split="train"), make_clip("b", split="val")]
    assert asked_split(settings("corpus"), clips) == "val"
    assert asked_split(settings("corpus"), [*clips, make_clip("c", split="test")]) == "test"
    with pytest.raises(ConfigError, match="split 'dev', there is train, val"):
        asked_split(settings("corpus", "evaluation.split=dev"), clips)


def test_some_clips_are_spread_evenly():
    clips = [make_clip(f"{n}") for n in range(10)]
    assert [one.clip.id for one in some_of(clips, 5)] == ["0", "2", "4", "6", "8"]
    assert some_of(clips, None) == clips


def test_the_training_split_may_lie_in_another_corpus(tmp_path: Path):
    write_shard(tmp_path, [make_clip("t", split="train"), make_clip("v")])
    mine = [make_clip("a", split="train")]
    assert [one.clip.id for one in training_corpora(settings("corpus"), mine)["corpus"]] == ["a"]
    config = settings("corpus", f"evaluation.trained_on=[{tmp_path}]")
    assert [one.clip.id for some in training_corpora(config, mine).values() for one in some] == ["t"]
    assert training_corpora(settings("corpus", "evaluation.trained_on=[]"), mine) == {}


def test_the_schema_holds_what_items_hold():
    from favchat.evaluation.asking.eval_question import ITEM_SCHEMA, item_rows

    items = TASKS["celebv_hq_emotion"].items(asked(settings("corpus"), [make_clip("a", emotion="happy")], "val"))
    table = pa.Table.from_pylist(item_rows(items), schema=ITEM_SCHEMA)
    assert table["question"].null_count == 0
    assert set(ITEM_SCHEMA.names) == set(item_rows(items)[0])
