"""What is reported of the steps since the last report, also where workers died between."""

from types import SimpleNamespace

import pytest
import torch

from favchat.training.stage import metrics_recorder
from favchat.training.stage.job import REPORTS
from favchat.training.stage.metrics_recorder import Recorder
from favchat.training.stage.step import StepResult
from favchat.training.stage.step_log import read_steps


@pytest.fixture
def job(tmp_path):
    name = SimpleNamespace(name="words")
    return SimpleNamespace(step_file=tmp_path / "steps.jsonl", report_file=tmp_path / REPORTS, run=None, stage=name)


def run(recorder, *steps):
    with recorder:
        for step in steps:
            choices = torch.tensor([[[step, 1]]])  # one layer, one stream, two experts
            recorder.step(step, StepResult({"language_loss": 2.0**step}, 8, 2, choices), 0.1, 0.0)


def reported(recorder, job, step):
    recorder.validation({"step": step, "language_loss": recorder.mean_loss()}, {})
    return read_steps(job.report_file)[-1]


def test_a_report_tells_of_all_steps_since_the_last_one(job):
    recorder = Recorder(job, 0, 0)
    run(recorder, 1, 2)
    first = reported(recorder, job, 2)
    assert (first["language_loss"], first["expert_choices"]) == (3.0, [[[3, 2]]])
    run(recorder, 3)
    second = reported(recorder, job, 3)
    assert (second["language_loss"], second["expert_choices"]) == (8.0, [[[3, 1]]])


def test_workers_that_go_on_between_two_reports_report_what_undisturbed_ones_would(job):
    first = Recorder(job, 0, 0)
    run(first, 1, 2)
    kept = first.unreported()  # with the checkpoint after step 2
    run(first, 3)  # lost with its worker
    second = Recorder(job, 0, 2, kept)
    run(second, 3, 4)
    report = reported(second, job, 4)
    assert (report["language_loss"], report["expert_choices"]) == (7.5, [[[10, 4]]])
    assert second.unreported() == {"losses": [], "choices": None}
    # Of several workers one alone takes the counts over, which are those of all.
    assert Recorder(job, 1, 2, kept).unreported() == {"losses": kept["losses"], "choices": None}


def test_pictures_of_the_experts_are_drawn_once_in_a_while_and_of_the_last_report(job, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(metrics_recorder, "time", SimpleNamespace(monotonic=lambda: now[0]))
    logged: list[str] = []
    recorder = Recorder(job, 0, 0)
    recorder._log = SimpleNamespace(
        log_metrics=lambda *_: None,
        log_file=lambda name, picture: logged.append(name) if picture.startswith(b"\x89PNG") else None,
        close=lambda: logged.append("closed"),
    )
    with recorder:
        for step in range(1, 6):
            now[0] += 0.4 * metrics_recorder.PICTURE_SECONDS
            recorder.step(step, StepResult({"language_loss": 1.0}, 8, 2, torch.tensor([[[step, 1]]])), 0.1, 0.0)
            reported(recorder, job, step)
    assert logged == ["experts/step-000003.png", "experts/step-000005.png", "closed"]
