import copy
import os
import resource
import subprocess
from contextlib import contextmanager

import pytest
import torch

from favchat.training.stage import checkpoints
from favchat.training.stage.checkpoints import Record
from favchat.training.stage.errors import CheckpointError


def states(fill, size=1000):
    weight = torch.full((size,), float(fill))
    return [("a", {"weight": weight, "exp_avg": weight + 1, "step": torch.tensor(float(fill))})]


def write(folder, step, *, keep=2, size=1000):
    return checkpoints.write(folder, Record(step, {"init": None}), states(step, size), {}, keep=keep)


def test_a_checkpoint_comes_back_and_old_ones_go(tmp_path):
    for step in (5, 10, 100):
        place = write(tmp_path, step)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-000010", "step-000100"]
    assert checkpoints.newest(tmp_path) == place
    assert checkpoints.read_record(place) == Record(100, {"init": None})
    read = checkpoints.read_states(place)["a"]
    assert {key: value.tolist() for key, value in read.items()} == {
        key: value.tolist() for key, value in states(100)[0][1].items()
    }


def test_one_that_was_cut_off_does_not_count_and_is_swept_away(tmp_path):
    good = write(tmp_path, 1)
    (tmp_path / ".step-000002.partial").mkdir()
    (tmp_path / "step-000003").mkdir()  # as pruning leaves it, killed midway
    assert checkpoints.newest(tmp_path) == good
    write(tmp_path, 4)
    assert not (tmp_path / ".step-000002.partial").exists()


@contextmanager
def no_large_files(limit):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_write_that_fails_leaves_the_last_good_checkpoint(tmp_path):
    good = write(tmp_path, 1)
    with (
        no_large_files(50_000),
        pytest.raises(CheckpointError, match=r"step-000002: File too large; the last good checkpoint is .*step-000001"),
    ):
        write(tmp_path, 2, size=100_000)
    assert [path.name for path in tmp_path.iterdir()] == [good.name]
    assert checkpoints.read_states(good)["a"]["weight"][0] == 1


def test_a_full_disk_leaves_the_last_good_checkpoint(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], capture_output=True)
    if mounted.returncode:
        pytest.skip("a small disk cannot be mounted here: that needs root")
    try:
        good = write(disk, 1)
        with pytest.raises(CheckpointError, match=r"No space left on device; the last good .*step-000001"):
            write(disk, 2, size=200_000)
        assert checkpoints.newest(disk) == good
        assert checkpoints.read_states(good)["a"]["exp_avg"][0] == 2
        write(disk, 3)  # there is room again
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_checkpoint_with_a_part_missing_is_refused(tmp_path):
    place = write(tmp_path, 1)
    os.rename(place / "part-0-of-1.safetensors", place / "part-0-of-2.safetensors")
    with pytest.raises(CheckpointError, match="parts are missing"):
        checkpoints.read_states(place)
    (place / checkpoints.RECORD).write_text("{")
    with pytest.raises(CheckpointError, match="no checkpoint that can be read"):
        checkpoints.read_record(place)


def test_another_models_checkpoint_is_refused(tmp_path, tiny):
    with pytest.raises(CheckpointError, match=r"a \(1000,\) fits no part of the model"):
        checkpoints.load_weights(copy.deepcopy(tiny[0]), write(tmp_path, 1))


def test_batch_statistics_of_what_learns_are_kept():
    model = torch.nn.Sequential(torch.nn.BatchNorm1d(2), torch.nn.BatchNorm1d(2))
    model[1].eval()
    assert set(checkpoints.learning_buffers(model)) == {"0.running_mean", "0.running_var", "0.num_batches_tracked"}
