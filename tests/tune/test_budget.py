import json

import pytest

from favchat.config import Config, ConfigError, TrainingConfig, TuneConfig
from favchat.training.curriculum import scaling
from favchat.training.resources import demands
from tune.budget import GpuHours
from tune.sweep import check_budget


def configured(workers=1, use_gpu=True, **tune):
    training = TrainingConfig(num_workers=workers, use_gpu=use_gpu)
    return Config(training=training, tune=TuneConfig(**tune))


def trained(out, name, seconds):
    folder = out / "trials" / name / "stages" / "words"
    folder.mkdir(parents=True, exist_ok=True)
    lines = [{"begun": 0}, {"step": 1, "elapsed": seconds / 2}, {"step": 2, "elapsed": seconds}]
    (folder / "steps.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))


def test_the_sweep_ends_when_its_gpu_hours_are_spent(tmp_path):
    config = configured(workers=2, gpu_hours=1.0)
    trained(tmp_path, "a", 1000)
    assert not GpuHours(tmp_path, 1.0, config).stop_all()
    trained(tmp_path, "b", 900)  # 1,900 s on two GPUs are more than an hour
    assert GpuHours(tmp_path, 1.0, config).stop_all()
    assert not GpuHours(tmp_path, 1.1, config).stop_all()


def test_a_part_of_a_gpu_counts_and_is_asked_for_as_such(tmp_path):
    config = configured(gpus_per_worker=0.25)
    trained(tmp_path, "a", 4 * 3600)
    assert GpuHours(tmp_path, 1.0, config).stop_all()
    assert not GpuHours(tmp_path, 1.01, config).stop_all()
    assert scaling(config, gpus_per_worker=0.25)._resources_per_worker_not_none == {"GPU": 0.25}
    assert [demand.gpus for demand in demands(config, 0.25)] == [0.25]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (configured(use_gpu=False, gpu_hours=1.0), "tune.gpu_hours: no trial takes a GPU"),
        (configured(use_gpu=False, gpus_per_worker=0.5), "tune.gpus_per_worker: no trial takes a GPU"),
        (configured(workers=2, gpus_per_worker=0.5), "num_workers = 2 of a trial could come to share a GPU"),
    ],
)
def test_gpu_settings_without_what_they_need_are_refused(config, message):
    with pytest.raises(ConfigError, match=message):
        check_budget(config)
