import pytest
import yaml

from favchat.config import Config, ConfigError, flatten, known_keys, load, require
from jobs.commands.settings import CONFIGS


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("training:\n  stages:\n    - {name: one, task: qa, batch_size: 4}\n")
    return path


@pytest.mark.parametrize("preset", sorted(path.stem for path in CONFIGS.glob("*.yaml")))
def test_presets_load_and_survive_a_round_trip(preset, tmp_path):
    config = load(CONFIGS / f"{preset}.yaml")
    assert config.training.stages
    again = tmp_path / "again.yaml"
    again.write_text(yaml.safe_dump(config.model_dump(mode="json")))
    assert load(again) == config


def test_overrides_win_in_order_and_reach_into_lists(file):
    config = load(file, ["seed=1", "seed=2", "training.stages.0.learning_rate=1e-4", "data.out=a b=c"])
    assert (config.seed, config.training.stages[0].learning_rate, config.data.out) == (2, 1e-4, "a b=c")


def test_a_stage_that_is_not_enabled_is_left_out():
    def stages(*words):
        return {stage.name: stage for stage in load(CONFIGS / "paper.yaml", list(words)).training.stages}

    assert list(stages()) == ["summaries", "questions"]
    whole = stages("training.stages.2.enabled=true")
    assert list(whole) == ["summaries", "questions", "emotion"]
    assert "enabled" not in whole["emotion"].model_dump()  # it decides nothing about what the stage learns
    # What is not run need not fit the workers.
    assert list(stages("training.stages.2.batch_size=3", "training.num_workers=2")) == ["summaries", "questions"]


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("training.num_worker=2", "training.num_worker: no such setting; did you mean training.num_workers?"),
        ("data.sorce.kind=folder", "data.sorce: no such setting; did you mean data.source?"),
        ("adapter.num_experts=3", "adapter: no such setting; did you mean model.adapter?"),
        ("training.stages.0.step=3", "did you mean training.stages.*.steps?"),
        ("data.frames.fps=fast", "data.frames.fps: Input should be a valid number"),
        ("data.source.kind=fold", "data.source.kind: 'fold' is none of celebv_hq, celebv_text"),
        ("model.adapter.top_k=9", "top_k = 9 is more than num_experts = 4"),
        ("training.num_workers=3", "stage 'one': batch_size = 4 does not divide by num_workers = 3"),
        ("training.stages.0.trainable=[adaptor]", "'adaptor' is no part of the model; its parts are adapter"),
        ("training.stages.5.steps=3", "'training.stages.5.steps=3' cannot be set"),
        ("seed", "'seed' is not a setting: write section.key=value"),
        ("a..b=3", "'a..b=3' is not a setting"),
        ("data.splits=[", "'data.splits=[' cannot be set: no YAML"),
        ("data.splits={train: 1, train: 0}", "'train' is given twice"),
        ("data.out=", "data.out: is empty; give a path or an address, or null"),
        ("data.frames.fps=inf", "data.frames.fps: Input should be a finite number"),
    ],
)
def test_a_wrong_setting_is_refused_by_name(file, word, message):
    with pytest.raises(ConfigError) as error:
        load(file, [word])
    assert message in str(error.value)


def test_raw_images_that_no_shard_can_hold_are_refused(file):
    assert load(file, ["data.frames.side=640", "data.frames.max_frames=32"]).data.encoding == "jpeg"
    with pytest.raises(ConfigError, match="1999 images may take 2.3 GiB.*lower frames.max_fr"):
        load(file, ["data.frames.side=640", "data.frames.max_frames=1999", "data.encoding=raw"])


def test_all_faults_are_named_at_once(file):
    with pytest.raises(ConfigError) as error:
        load(file, ["data.frames.fps=-1", "model.num_frames=0"])
    assert "2 setting(s)" in str(error.value)
    assert "data.frames.fps" in str(error.value)
    assert "model.num_frames" in str(error.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [("- a\n", "a configuration is a mapping"), ("a: [\n", "not a YAML file"), (None, "no such")],
)
def test_a_file_that_is_no_configuration(tmp_path, content, message):
    path = tmp_path / "bad.yaml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigError, match=message) as error:
        load(path)
    assert str(path) in str(error.value)


def test_a_file_goes_before_a_preset_of_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load("tiny", presets=CONFIGS) == load(CONFIGS / "tiny.yaml")
    (tmp_path / "tiny").write_text("seed: 5\n")
    assert load("tiny", presets=CONFIGS).seed == 5
    with pytest.raises(ConfigError, match="nanno: no such configuration file, and no preset; the presets are .*nano, "):
        load("nanno", presets=CONFIGS)


def test_the_home_folder_in_a_file_and_in_its_name(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mine.yaml").write_text("data: {out: ~/corpus, source: {path: file://~/videos}}\n")
    config = load("~/mine.yaml")
    assert config.data.out == f"{tmp_path}/corpus"
    assert config.data.source.path == f"file://{tmp_path}/videos"


def test_what_yaml_takes_for_something_else_is_told_to_need_quotes(tmp_path):
    (tmp_path / "a.yaml").write_text("serve: {name: 0123}\n")
    with pytest.raises(ConfigError, match=r"serve.name: .*\(it is 83\); YAML takes it for something else: .* quotes"):
        load(tmp_path / "a.yaml")


def test_a_key_that_a_file_has_twice_is_named(tmp_path):
    (tmp_path / "a.yaml").write_text("seed: 1\nseed: 2\n")
    with pytest.raises(ConfigError, match="duplicate key seed"):
        load(tmp_path / "a.yaml")


def test_a_byte_order_mark_is_read_over(tmp_path):
    (tmp_path / "a.yaml").write_bytes(b"\xef\xbb\xbfseed: 3\n")
    assert load(tmp_path / "a.yaml").seed == 3


def test_require_names_every_missing_key():
    config = Config()
    with pytest.raises(ConfigError, match=r"data\.out=\.\.\. and training\.out=\.\.\."):
        require(config, "seed", "data.out", "training.out")
    assert require(config, "seed") == [0]


def test_every_key_has_a_docstring():
    def undocumented(section, prefix=""):
        for name, field in section.model_fields.items():
            if hasattr(field.annotation, "model_fields"):
                yield from undocumented(field.annotation, f"{prefix}{name}.")
            elif field.description is None and prefix:
                yield prefix + name

    assert list(undocumented(Config)) == []
    assert "training.stages.*.learning_rate" in known_keys()


def test_flatten_keeps_plain_lists_whole():
    assert flatten({"a": {"b": [1, 2]}, "c": {}, "d": None}) == {"a.b": [1, 2], "c": {}, "d": None}
