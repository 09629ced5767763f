import copy
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from favchat.config import ConfigError, load
from favchat.model.build import build
from favchat.training.batches.shard_reader import ClipReader
from favchat.training.batches.stage_source import StageSource
from favchat.training.features import feature_encoder
from favchat.training.features.feature_cache import stage_features
from favchat.training.features.feature_encoder import Encoder, compute_features
from favchat.training.features.fingerprint import encoders_frozen, shard_fingerprint
from favchat.training.stage.optimizer import make_optimizer, set_trainable
from favchat.training.stage.precision import prepare_model
from favchat.training.stage.starting_model import set_learning, starting_model
from favchat.training.stage.step import Stepper, TorchEngine
from favchat.training.stage.train_loop import save_model
from jobs.commands.settings import CONFIGS


@pytest.fixture
def own(corpus, tmp_path):
    """A corpus that may be written to, in two shards."""
    import pyarrow.parquet as pq

    shutil.copytree(corpus / "annotations", tmp_path / "annotations")
    (tmp_path / "shards").mkdir()
    table = pq.read_table(corpus / "shards")
    half = table.num_rows // 2
    pq.write_table(table.slice(0, half), tmp_path / "shards" / "a.parquet", row_group_size=4)
    pq.write_table(table.slice(half), tmp_path / "shards" / "b.parquet")
    return tmp_path


def settings(folder, *words):
    config = load(CONFIGS / "tiny.yaml", [f"data.out={folder}", *words])
    return config, config.training.stages[1], None


def files(folder):
    return sorted(path for path in folder.glob("features/*/*") if path.suffix == ".arrow")


def filled(folder, *words):
    given = settings(folder, *words)
    return compute_features(*given, StageSource(*given).index.files)


def test_a_model_without_a_face_encoder_learns_from_its_cache(own):
    words = ("model.adapter.face_grid=0", "training.stages.1.trainable=[adapter]")
    config, stage, _ = given = settings(own, *words)
    found = filled(own, *words)
    pictures, cached = (StageSource(*given, features).read_batches(0, 1, 0) for features in (None, found))
    one, other = next(pictures), next(cached)
    videos, frames = other.inputs["face_visible"].shape
    assert other.inputs["face_features"].shape[:3] == (videos, frames, 0)
    model, _ = build(config.model)
    set_trainable(model, stage.trainable)
    with torch.no_grad():
        losses = [model(**batch.inputs).language_loss.item() for batch in (one, other)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    stepper = Stepper(TorchEngine(model, make_optimizer(model, stage), stage), stage, 3, seed=0)
    results = [stepper.step(number, [other]) for number in (1, 2, 3)]
    assert results[-1].metrics["language_loss"] < results[0].metrics["language_loss"]
    general, face = results[0].expert_choices[0].sum(dim=-1).tolist()
    assert face == 0 < general


def test_batches_from_the_cache_are_those_from_pictures(own, tiny):
    given = settings(own)
    found = filled(own)
    assert len(found) == len(files(own)) == 2
    pictures, cached = (StageSource(*given, features).read_batches(0, 1, 0) for features in (None, found))
    for _ in range(4):
        one, other = next(pictures), next(cached)
        assert one.clip_ids == other.clip_ids
        assert other.inputs["vision_features"].dtype == torch.float16
        assert not any(name.startswith("pixel") for name in other.inputs)
        with torch.no_grad():
            losses = [tiny[0](**batch.inputs).language_loss.item() for batch in (one, other)]
        assert losses[1] == pytest.approx(losses[0], rel=1e-4)
        for name in set(one.inputs) & set(other.inputs):
            assert torch.equal(one.inputs[name], other.inputs[name])


def test_what_is_there_is_not_computed_again(own, monkeypatch):
    before = filled(own)
    monkeypatch.setattr(Encoder, "_batches", lambda *_: pytest.fail("computed again"))
    assert filled(own) == before


@pytest.mark.parametrize("change", ["weights", "frames", "image_size", "cells", "mirror"])
def test_other_encoders_have_other_files(own, change, tmp_path):
    before = filled(own)
    words = {
        "weights": ["seed=1"],
        "frames": ["training.stages.1.frames=2"],
        "image_size": ["model.image_size=80", "model.vision.config.image_size=80"],
        "cells": ["model.adapter.pool_window=1"],
        "mirror": ["model.adapter.mirror_faces=true"],
    }[change]
    after = filled(own, *words)
    assert not set(before.values()) & set(after.values())
    assert len(files(own)) == 4


def test_the_stage_after_one_in_bfloat16_finds_its_features(own, tmp_path):
    batch_norms = "{config: {model_type: mobilenet_v2, depth_multiplier: 0.25, image_size: 64}}"
    config, stage, _ = settings(own, f"model.vision={batch_norms}", "training.stages.1.precision=bf16")
    stage = stage.model_copy(update={"trainable": ["adapter"]})
    first = Encoder(config, stage, None)
    # What a stage trains is loaded anew, and saved as it rested.
    model, processor = starting_model(config.model, config.seed, None)
    set_learning(model, config.model, stage.trainable, config.seed)
    prepare_model(model, config.training, stage, torch.bfloat16)
    engine = SimpleNamespace(module=model, weights=model.state_dict)
    job = SimpleNamespace(folder=tmp_path, model=tmp_path / "model", checkpoints=tmp_path / "checkpoints")
    save_model(job, engine, processor, torch.bfloat16)
    assert Encoder(config, stage, str(job.model)).folder == first.folder
    exact = stage.model_copy(update={"precision": "fp32"})
    assert len({first.folder, *(Encoder(config, exact, init).folder for init in (None, str(job.model)))}) == 3


def test_a_single_weight_changes_the_key(tiny):
    model, processor = copy.deepcopy(tiny[0]), tiny[1]
    before = feature_encoder.encoder_settings(model.model, processor)
    assert before == feature_encoder.encoder_settings(tiny[0].model, processor)
    with torch.no_grad():
        list(model.model.face_model.parameters())[-1].view(-1)[0] += 1e-3
    assert feature_encoder.encoder_settings(model.model, processor)["weights"] != before["weights"]
    model = copy.deepcopy(tiny[0])
    with torch.no_grad():
        list(model.model.adapter.parameters())[0].add_(1)  # what learns does not count
    assert feature_encoder.encoder_settings(model.model, processor) == before


def test_a_changed_shard_is_computed_anew(own):
    import pyarrow.parquet as pq

    before = filled(own)
    shard = own / "shards" / "a.parquet"
    table = pq.read_table(shard)
    pq.write_table(table.take(list(range(table.num_rows))[::-1]), shard)
    after = filled(own)
    changed = [name for name in before if before[name] != after[name]]
    assert changed == [str(shard)]
    assert shard_fingerprint(shard) in after[str(shard)]
    index = StageSource(*settings(own)).index
    stale = ClipReader(index, before, 4)
    stale.prepare(np.arange(len(index.clip_ids)))
    with pytest.raises(ConfigError, match="has changed while it was trained on"):
        for clip in range(len(index.clip_ids)):
            stale.read(clip)


def test_one_that_is_killed_half_way_leaves_whole_files(own, monkeypatch):
    whole = feature_encoder.write_bytes_whole

    def fail(path, data):
        if files(own):
            (path.with_name(f".{path.name}.1.tmp")).write_bytes(data[:100])
            raise KeyboardInterrupt
        whole(path, data)

    monkeypatch.setattr(feature_encoder, "write_bytes_whole", fail)
    with pytest.raises(KeyboardInterrupt):
        filled(own)
    assert len(files(own)) == 1
    first = files(own)[0].read_bytes()
    monkeypatch.setattr(feature_encoder, "write_bytes_whole", whole)
    assert len(filled(own)) == 2
    assert first in [file.read_bytes() for file in files(own)]
    next(StageSource(*settings(own), filled(own)).read_batches(0, 1, 0))


def test_two_runs_may_fill_it_at_once(own, monkeypatch):
    whole, found = feature_encoder.write_bytes_whole, []

    def write(path, data):
        if not found:  # another run does all of it while this one is about to write
            found.append(None)
            found.append(filled(own))
            assert path.exists()
        whole(path, data)

    monkeypatch.setattr(feature_encoder, "write_bytes_whole", write)
    assert filled(own) == found[1]
    assert len(files(own)) == 2
    assert not [path for path in own.glob("features/*/.*")]
    next(StageSource(*settings(own), found[1]).read_batches(0, 1, 0))


def test_a_file_that_is_none_is_named(own):
    found = filled(own)
    for file in found.values():
        Path(file).write_bytes(b"no features")
    with pytest.raises(ConfigError, match="holds no features"):
        next(StageSource(*settings(own), found).read_batches(0, 1, 0))


def test_ray_fills_it_and_a_stage_that_trains_an_encoder_does_without(ray_session, own):
    given = settings(own)
    shards = StageSource(*given).index.files
    assert stage_features(*given, shards) == filled(own)
    for word in ("training.stages.1.cache_features=false", "training.stages.1.trainable=[adapter, vision_model]"):
        assert stage_features(*settings(own, word), shards) is None


def test_features_lie_on_object_storage(own, s3):
    import fsspec

    fsspec.filesystem("s3").put(str(own), f"{s3}/corpus", recursive=True)
    found = filled(f"{s3}/corpus")
    assert all(file.startswith(f"{s3}/corpus/features/") for file in found.values())
    one = next(StageSource(*settings(f"{s3}/corpus"), found).read_batches(0, 1, 3))
    other = next(StageSource(*settings(own), filled(own)).read_batches(0, 1, 3))
    assert one.clip_ids == other.clip_ids
    assert torch.equal(one.inputs["vision_features"], other.inputs["vision_features"])


@pytest.mark.parametrize(
    ("trainable", "rest"),
    [(["adapter"], True), (["adapter", "lora"], True), (["face_model"], False), (["vision_model.layers.1"], False)],
)
def test_encoders_rest_where_nothing_of_them_learns(trainable, rest):
    assert encoders_frozen(trainable) is rest
