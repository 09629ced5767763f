"""Evaluation reads the features that a training has left, and gives the answers that pictures give."""

import shutil

import pyarrow.parquet as pq
import pytest
import torch

from favchat.config import ConfigError
from favchat.evaluation.asking import backends
from favchat.evaluation.asking.backends import CLIP_COLUMNS, CheckpointBackend
from favchat.evaluation.asking.eval_question import EvalQuestion
from favchat.training.batches import samples
from favchat.training.features.feature_encoder import compute_features
from tests.evaluation.conftest import settings


def item(clip: str, way: str, *options: str) -> EvalQuestion:
    return EvalQuestion("t", "p", clip, "i", "val", way, "How do they look: happy or sad?", options, "They look")


@pytest.fixture(scope="module")
def own(corpus, tmp_path_factory):
    """The corpus in two shards, and three of its rows from both."""
    out = tmp_path_factory.mktemp("own")
    (out / "shards").mkdir()
    table = pq.read_table(corpus / "shards")
    shards = [out / "shards" / f"{name}.parquet" for name in "ab"]
    pq.write_table(table.slice(0, 4), shards[0])
    pq.write_table(table.slice(4, 4), shards[1])
    rows = table.select(CLIP_COLUMNS).slice(2, 3).to_pylist()
    return out, [row | {"shard": str(shards[number >= 2])} for number, row in enumerate(rows)]


@pytest.fixture(scope="module")
def made(own, tiny_folder):
    return CheckpointBackend(settings(own[0], f"evaluation.model={tiny_folder}", "evaluation.threads=1").evaluation)


def asked(made, rows):
    items = [[item(row["clip_id"], "likelihood", "happy", "sad"), item(row["clip_id"], "features")] for row in rows]
    return made.answer(rows, items).rows


def fill(out, tiny_folder, name="*"):
    config = settings(out)
    shards = sorted(map(str, (out / "shards").glob(f"{name}.parquet")))
    return compute_features(config, config.training.stages[1], str(tiny_folder), shards)


@pytest.fixture
def fresh(own, made):
    """Nothing is cached, and nothing known of what is."""
    shutil.rmtree(own[0] / "features", ignore_errors=True)
    made._cache._files.clear()


def test_workers_share_the_threads_that_they_may_use(own, tiny_folder, monkeypatch):
    asked_for, taken = [], []
    monkeypatch.setattr(backends, "shared_threads", lambda workers: asked_for.append(workers) or 5)
    monkeypatch.setattr(torch, "set_num_threads", taken.append)
    for more in ([], ["evaluation.threads=2"]):
        words = [f"evaluation.model={tiny_folder}", "evaluation.workers=3", *more]
        CheckpointBackend(settings(own[0], *words).evaluation)
    assert (asked_for, taken) == ([3], [5, 2])


def test_only_the_frames_that_the_model_sees_are_decoded(own, made, fresh, monkeypatch):
    decoded, decode_images = [], samples.decode_images
    monkeypatch.setattr(samples, "decode_images", lambda images: decoded.append(len(images)) or decode_images(images))
    asked(made, own[1])
    assert decoded == [made.model.processor.num_frames] * 6  # frames and faces of three clips
    assert min(len(row["frames"]) for row in own[1]) > made.model.processor.num_frames


def test_cached_features_take_the_place_of_pictures(own, made, fresh, tiny_folder, monkeypatch):
    out, rows = own
    expected = asked(made, rows)
    made._cache._files.clear()
    fill(out, tiny_folder)
    monkeypatch.setattr(samples, "read_clip", lambda *_: pytest.fail("a picture is decoded"))
    found = asked(made, rows)
    for one, other in zip(expected, found, strict=True):
        for name in ("log_likelihoods", "features"):
            # Half precision, in which features are kept.
            assert other[name] == (one[name] if one[name] is None else pytest.approx(one[name], rel=2e-3, abs=2e-3))


def test_clips_of_which_one_has_no_features_are_read_as_pictures(own, made, fresh, tiny_folder):
    out, rows = own
    fill(out, tiny_folder, "a")
    assert made._cache.read(rows[:2]) is not None
    assert made._cache.read(rows) is None
    assert len(asked(made, rows)) == 6


def test_features_of_other_encoders_or_of_a_changed_shard_are_not_taken(own, made, fresh, tiny_folder):
    out, rows = own
    config = settings(out, "seed=1")
    compute_features(config, config.training.stages[1], None, [rows[0]["shard"]])
    assert made._cache.read(rows[:1]) is None
    made._cache._files.clear()
    (file,) = fill(out, tiny_folder, "a").values()
    table = pq.read_table(rows[0]["shard"])
    pq.write_table(table, rows[0]["shard"], compression="none")
    assert made._cache.read(rows[:1]) is None
    assert file not in made._cache._files


def test_a_broken_file_of_the_cache_is_named(own, made, fresh, tiny_folder):
    out, rows = own
    for file in fill(out, tiny_folder).values():
        with open(file, "wb") as opened:
            opened.write(b"no features")
    with pytest.raises(ConfigError, match="holds no features"):
        made.answer(rows, [[item(row["clip_id"], "features")] for row in rows])
