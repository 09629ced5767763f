"""HMDB51: a class is one label that is known, and no more."""

import os
from pathlib import Path

import pytest

from favchat.config import ConfigError, SourceConfig
from favchat.data.sources.hmdb51 import ACTIONS, hmdb51_clips
from favchat.labels.attributes import ACTION

SAMPLE = Path(__file__).parents[3] / "platform" / "favchat" / "sample" / "clips"
NAMES = [action.name for action in ACTION]


def test_a_class_that_is_an_action_of_ours(tmp_path: Path) -> None:
    for name in ("laugh/Alpha_Dog_laugh_h_nm_np1_fr_med_0", "turn/Alpha_Dog_turn_f_cm_np1_le_goo_2", "smile/a#b"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        os.symlink(SAMPLE / "franck_0.mp4", tmp_path / f"{name}.avi")
    laugh, smile, turn = hmdb51_clips(SourceConfig(kind="hmdb51", path=str(tmp_path))).clips
    assert laugh.id == "laugh__Alpha_Dog_laugh_h_nm_np1_fr_med_0"
    assert laugh.action == [1 if name == "laugh" else None for name in NAMES]
    assert (smile.id, smile.identity, smile.action[NAMES.index("smile")]) == ("smile__a_b", None, 1)
    assert set(turn.action) == {None}  # the whole body turns round
    assert laugh.identity == turn.identity == "Alpha_Dog"
    assert set(NAMES) > ACTIONS


def test_no_videos(tmp_path: Path) -> None:
    (tmp_path / "laugh").mkdir()
    with pytest.raises(ConfigError, match="no video in the folders of .*; expected <class>/"):
        hmdb51_clips(SourceConfig(kind="hmdb51", path=str(tmp_path)))
