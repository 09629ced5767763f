import pytest

from favchat.config import Config, ConfigError
from favchat.data.corpus.row_settings import RECORD, check_settings


def begun(out):
    check_settings(Config(), out)
    (out / "shards").mkdir()
    (out / "shards" / "x.parquet").touch()


def test_the_same_settings_pass_and_so_do_those_that_change_no_row(tmp_path):
    begun(tmp_path)
    config = Config()
    config.data.workers, config.data.clips_per_shard, config.seed = 3, 5, 7
    check_settings(config, tmp_path)


def test_changed_settings_are_named(tmp_path):
    begun(tmp_path)
    config = Config()
    config.data.faces.size = 224
    with pytest.raises(ConfigError, match=r"data.faces.size was 160 and is 224 now"):
        check_settings(config, tmp_path)


def test_another_encoding_is_noticed_and_raw_pixels_have_no_jpeg_quality(tmp_path):
    begun(tmp_path / "jpeg")
    raw = Config()
    raw.data.encoding = "raw"
    with pytest.raises(ConfigError, match="data.encoding was 'jpeg' and is 'raw' now"):
        check_settings(raw, tmp_path / "jpeg")
    check_settings(raw, tmp_path / "raw")
    (tmp_path / "raw" / "shards").mkdir()
    (tmp_path / "raw" / "shards" / "x.parquet").touch()
    raw.data.jpeg_quality = 80
    check_settings(raw, tmp_path / "raw")


def test_the_seed_counts_where_it_draws_splits(tmp_path):
    config = Config()
    config.data.splits = {"train": 0.9, "val": 0.1}
    check_settings(config, tmp_path)
    (tmp_path / "rejects").mkdir()
    (tmp_path / "rejects" / "x.parquet").touch()
    config.seed = 7
    with pytest.raises(ConfigError, match="seed was 0 and is 7 now"):
        check_settings(config, tmp_path)


def test_an_empty_folder_takes_new_settings(tmp_path):
    check_settings(Config(), tmp_path)
    config = Config()
    config.data.jpeg_quality = 80
    check_settings(config, tmp_path)


def test_rows_of_unknown_making_are_refused(tmp_path):
    begun(tmp_path)
    (tmp_path / RECORD).unlink()
    with pytest.raises(ConfigError, match="no settings.json that says how they were made"):
        check_settings(Config(), tmp_path)
