from pathlib import Path

import pytest
import torch

from favchat.config import ConfigError, load
from favchat.data.corpus.parquet_files import read_table
from favchat.evaluation.asking.backends import CLIP_COLUMNS
from favchat.evaluation.asking.score_answers import is_decided, option_probabilities
from favchat.evaluation.named_metric import check_metric, metric_in_memory
from favchat.evaluation.task import TaskContext
from favchat.evaluation.tasks.celebv_hq_attributes import attribute_items
from favchat.io.paths import path_of
from favchat.labels.attributes import EMOTION
from favchat.model.build import build
from favchat.training.batches.samples import read_clip
from jobs.commands.settings import CONFIGS
from tests.evaluation.conftest import make_clip, settings, write_shard

UAR = "celebv_hq_attributes/scores/all/uar"
EMOTIONS = [emotion.name for emotion in EMOTION]


@pytest.fixture(scope="module")
def taught():
    """The tiny model that was taught two attributes and the emotions."""
    words = [f"model.adapter.attributes=[smile,no_beard,{','.join(EMOTIONS)}]"]
    return build(load(CONFIGS / "tiny.yaml", words).model, seed=0)


@pytest.fixture
def four(tmp_path):
    """A corpus of four clips with each combination of two attributes, and a third that the model was not taught."""
    labels = [{"smile": place % 2, "no_beard": place // 2, "eyeglasses": place % 2} for place in range(4)]
    write_shard(tmp_path, [make_clip(str(place), identity=str(place), **own) for place, own in enumerate(labels)])
    return settings(tmp_path, "evaluation.ways=[scores]", "evaluation.split=val")


def test_the_metric_is_that_of_the_models_own_scores(taught, four):
    model, processor = taught
    # As a worker asks: the model runs under autocast, the pictures do not.
    with torch.autocast("cpu", torch.bfloat16):
        found = metric_in_memory(four, UAR, model.eval(), processor)
    rows = read_table(path_of(four.data.out) / "shards/1.parquet", CLIP_COLUMNS).to_pylist()
    inputs = processor.video_inputs([read_clip(row, processor.num_frames) for row in rows])
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        logits = model.model.get_video_features(**inputs).attribute_logits
    said = model.model.adapter.attribute_head.probabilities(logits)[:, :2] > 0.5
    recalls = []
    for place in range(2):
        truth = [(int(row["clip_id"]) % 2, int(row["clip_id"]) // 2)[place] for row in rows]
        for value in (0, 1):
            own = [bool(said[row, place]) == bool(value) for row in range(4) if truth[row] == value]
            recalls.append(sum(own) / len(own))
    assert found == pytest.approx(sum(recalls) / 4)


def test_the_same_few_clips_are_asked_about(taught, four):
    few = four.model_copy(update={"evaluation": four.evaluation.model_copy(update={"max_clips": 2})})
    values = {metric_in_memory(few, "celebv_hq_attributes/scores/all/auc", *taught) for _ in range(2)}
    assert len(values) == 1


def test_a_metric_that_is_not_there_is_told_with_those_that_are(taught, four):
    with pytest.raises(ConfigError, match=f"celebv_hq_attributes/scores/all/f2: .* there are .*{UAR}"):
        metric_in_memory(four, "celebv_hq_attributes/scores/all/f2", *taught)


def test_a_model_without_attributes_has_no_scores(tiny, four):
    with pytest.raises(ConfigError, match="no question of celebv_hq_attributes is about an attribute"):
        metric_in_memory(four, UAR, *tiny)


def test_scores_decide_what_was_taught_and_nothing_else(tmp_path):
    clip = make_clip("a", smile=1, no_beard=0, eyeglasses=1, emotion="happy")
    items = attribute_items(TaskContext(settings(tmp_path), [clip], "val", ("scores",)))
    decided = {item.part: item for item in items if is_decided(item, ["smile", "no_beard", *EMOTIONS])}
    assert decided.keys() == {"smile", "no_beard", "emotion"}
    scores = {"smile": 0.9, "no_beard": 0.2} | dict.fromkeys(EMOTIONS, 0.0) | {"happy": 1.0}
    # The question about no_beard is whether there is one.
    for part, right in (("smile", 0.9), ("no_beard", 0.8), ("emotion", 1.0)):
        chances = option_probabilities(decided[part], scores)
        assert chances[decided[part].truth] == pytest.approx(right)
        assert sum(chances) == pytest.approx(1)
    with pytest.raises(ValueError, match="eyeglasses"):
        option_probabilities(next(item for item in items if item.part == "eyeglasses"), scores)


@pytest.mark.parametrize(
    "name",
    [
        UAR,
        "celebv_hq_attributes/likelihood/smile/auc",
        "celebv_hq_attributes/text/appearance/macro_f1",
        "celebv_hq_emotion/likelihood/clip/uar",
    ],
)
def test_a_name_is_checked_before_there_is_a_model(four, name):
    task, way, *_ = name.split("/")
    words = [f"evaluation.ways=[{way}]", "evaluation.split=val", "model.adapter.attributes=[smile,no_beard]"]
    config = settings(four.data.out, *words)
    write_shard(Path(four.data.out), [make_clip(f"e{place}", emotion="happy") for place in range(2)], "2")
    check_metric(config, name)
    with pytest.raises(ConfigError, match=f"{name}s: .* there are .*{task}/{way}/"):
        check_metric(config, f"{name}s")
