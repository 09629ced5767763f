"""The job checks its settings before it reads anything."""

from pathlib import Path

import pytest

from favchat.config import Config, ConfigError
from jobs.annotate import run


def test_data_out_is_needed() -> None:
    with pytest.raises(ConfigError, match="data.out=..."):
        run(Config())


def test_an_empty_folder_is_said_to_hold_no_shards(tmp_path: Path) -> None:
    config = Config()
    config.data.out = str(tmp_path)
    with pytest.raises(ConfigError, match="favchat prepare"):
        run(config)
