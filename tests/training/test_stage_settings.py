from pathlib import Path

from favchat.config import Config, StageConfig, load
from favchat.data.annotate.pipeline import annotate
from favchat.io.settings_record import changes
from favchat.training.stage_settings import FREE, stage_defaults, stage_settings
from jobs.commands.settings import CONFIGS
from tests.data.annotate.conftest import make_clip, write_shard


def settings(*words: str, init: str | None = None, weights: str | None = None) -> dict[str, object]:
    config = load(CONFIGS / "tiny.yaml", list(words))
    return stage_settings(config, config.training.stages[1], init, weights)


def test_what_decides_what_a_stage_learns_is_named():
    now = settings(
        "seed=7",
        "model.adapter.top_k=1",
        "training.stages.1.mix=[{task: summary, share: 0.2}]",
        "training.split=val",
        init="a",
        weights="sha256:1",
    )
    assert [line.split(" was ")[0] for line in changes(settings(), now, {})] == [
        "model.adapter.top_k",
        "seed",
        "training.split",
        "training.stages[questions].init",
        "training.stages[questions].mix",
        "weights of training.stages[questions].init",
    ]


def test_what_only_decides_how_it_is_computed_may_change():
    words = ["accumulate=2", "gradient_checkpointing=true", "validate_every=3", "deepspeed={}"]
    assert {word.split("=")[0] for word in words} == FREE
    more = ["training.num_workers=2", "training.threads=3", "training.keep=9"]
    assert changes(settings(), settings(*more, *(f"training.stages.1.{word}" for word in words)), {}) == []


def test_a_record_that_knows_a_setting_not_yet_means_its_default():
    stage = StageConfig(name="questions", task="qa")
    now = stage_settings(Config(), stage, None, None)
    before = {key: value for key, value in now.items() if "packed" not in key}
    assert changes(before, now, stage_defaults(stage)) == []
    assert changes(before, now | {"training.stages[questions].packed": False}, stage_defaults(stage)) == [
        "training.stages[questions].packed was True and is False now"
    ]


def test_annotations_that_were_replaced_by_others_are_noticed(tmp_path: Path):
    write_shard(tmp_path, [make_clip("a", "happy")])
    config = Config()
    config.data.out = str(tmp_path)
    stage = StageConfig(name="questions", task="qa")
    annotate(config)
    before = stage_settings(config, stage, None, None)
    annotate(config)
    assert stage_settings(config, stage, None, None) == before
    config.annotate.selection.share = 0.25
    annotate(config)
    assert changes(before, stage_settings(config, stage, None, None), {}) == [
        "annotate.selection.share of the writer 'template' was 0.5 and is 0.25 now"
    ]
    (tmp_path / "annotations" / "template.parquet").unlink()  # to be rid of its rows
    assert not any("writer" in key for key in stage_settings(config, stage, None, None))
