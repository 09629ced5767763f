import pyarrow.parquet as pq
import pytest

from favchat.config import Config, ConfigError, ModelConfig
from favchat.data.annotate.pipeline import annotate
from favchat.data.corpus.clip import Clip
from favchat.data.corpus.schema import SHARDS
from favchat.evaluation.machine_labels import ModelWriter, sure, with_labels
from favchat.face_scores.values import Calibration, Measured
from favchat.labels.attributes import ACTION, APPEARANCE, EXTRA
from favchat.model.build import build

GLASSES = Measured(0.95, 50, 50, yes_from=0.8, no_below=0.3)
EASY = Measured(1.0, 50, 50, yes_from=0.2, no_below=0.9)
HARD = Measured(0.5, 50, 50, yes_from=None, no_below=None)


@pytest.mark.parametrize(
    ("score", "measured", "label"),
    [
        (0.9, GLASSES, 1),
        (0.7, GLASSES, None),
        (0.4, GLASSES, None),
        (0.1, GLASSES, 0),
        (0.4, EASY, 0),  # never against what the model would say
        (0.6, EASY, 1),
        (0.99, HARD, None),
        (None, GLASSES, None),
    ],
)
def test_a_score_is_a_label_where_it_was_right(score, measured, label):
    assert sure(score, measured) == label


def test_labels_that_people_gave_stay():
    names = [attribute.name for attribute in APPEARANCE]
    labels: list[int | None] = [None] * len(APPEARANCE)
    labels[names.index("eyeglasses")] = 0
    measured = {name: GLASSES for name in ("eyeglasses", "bald", "mouth_open", "smile", "happy", "fear")}
    scores = {"eyeglasses": 0.99, "bald": 0.1, "mouth_open": 0.9, "smile": 0.5, "happy": 0.9, "fear": 0.01}
    found = with_labels(Clip("a", "v.mp4", appearance=labels), scores, measured)
    assert found.appearance[names.index("eyeglasses")] == 0
    assert found.appearance[names.index("bald")] == 0
    assert found.extra[[attribute.name for attribute in EXTRA].index("mouth_open")] == 1
    assert found.action[[attribute.name for attribute in ACTION].index("smile")] is None
    assert found.emotion == "happy"


def test_clips_without_labels_get_rows_that_say_who_labelled_them(ray_session, tiny_preset, corpus, tmp_path):
    section = tiny_preset.model.model_dump()
    section["adapter"]["attributes"] = ["eyeglasses", "smile"]
    folder = tmp_path / "model"
    for part in build(ModelConfig(**section)):
        part.save_pretrained(folder)
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / SHARDS).symlink_to(corpus / SHARDS)
    config = Config()
    config.data.out = str(tmp_path / "corpus")
    with pytest.raises(ConfigError, match="no calibration.json"):
        annotate(config, ModelWriter(config, str(folder)))
    Calibration(measured={name: Measured(1.0, 9, 9, 0.5, 0.5) for name in ("eyeglasses", "smile")}).write(folder)
    written = annotate(config, ModelWriter(config, str(folder)))
    assert written.clips == sum(pq.ParquetFile(file).metadata.num_rows for file in (corpus / SHARDS).glob("*.parquet"))
    assert set(pq.read_table(written.path)["source"].to_pylist()) == {"model"}
    scores = list((tmp_path / "corpus" / "scores").rglob("*.parquet"))
    assert sum(pq.ParquetFile(file).metadata.num_rows for file in scores) == written.clips
    assert pq.read_table(scores[0]).column_names == ["clip_id", "eyeglasses", "smile"]
