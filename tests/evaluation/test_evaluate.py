"""Whole runs on the sample clips with the tiny model, and with a server."""

import json
import math
import re
import shutil

import pyarrow.parquet as pq
import pytest

import jobs.compare
import jobs.evaluate
from favchat.config import ConfigError
from favchat.evaluation.asking.answer_store import read_answers
from favchat.evaluation.asking.backends import CheckpointBackend
from favchat.evaluation.reporting.report import tables
from favchat.tracking import start_run
from tests.evaluation.conftest import settings, words

TASKS = "evaluation.tasks=[questions,summaries,celebv_hq_attributes,celebv_hq_emotion,linear_probe]"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("evaluation")


@pytest.fixture(scope="module")
def config(corpus, tiny_folder, new_store, place):
    return settings(
        corpus,
        TASKS,
        f"evaluation.model={tiny_folder}",
        f"evaluation.out={place / 'report'}",
        "evaluation.max_clips=3",
        "evaluation.max_new_tokens=4",
        "evaluation.resamples=100",
        "evaluation.threads=1",
        f"tracking.uri={new_store(place / 'mlflow.db')}",
    )


@pytest.fixture(scope="module")
def evaluated(config):
    return jobs.evaluate.run(config)


def test_every_question_has_a_prediction(evaluated, config, place):
    rows = pq.read_table(place / "report/predictions.parquet").to_pylist()
    assert {row["task"] for row in rows} == set(config.evaluation.tasks)
    assert {row["way"] for row in rows} == {"likelihood", "text", "features"}
    for row in rows:
        assert row["split"] == "val" and row["clip_id"] and row["question"]
        if row["way"] == "likelihood":
            assert sum(row["probabilities"]) == pytest.approx(1)
            assert row["answer"] == max(range(len(row["options"])), key=row["probabilities"].__getitem__)
        if row["way"] == "text":
            assert row["raw"] is not None and row["probabilities"] is None
    assert evaluated.evaluation.asking.skipped == 0
    assert not evaluated.evaluation.asking.failures


def test_the_numbers_lie_in_one_file(evaluated, place):
    found = json.loads((place / "report/metrics.json").read_text())
    questions = found["tasks"]["questions"]
    assert questions["leaks"]["clips"] == []
    yes_no = next(one for one in questions["results"] if (one["part"], one["way"]) == ("yes_no", "likelihood"))
    metrics = yes_no["metrics"]
    assert set(metrics) == {"war", "uar", "macro_f1", "map", "auc", "ece"}
    assert yes_no["people"] == 1 and metrics["war"]["low"] is None  # all three clips are of one person
    assert 0 <= metrics["war"]["value"] <= 1
    assert metrics["war"]["majority"] is not None and metrics["auc"]["prior"] == 0.5
    assert sum(map(sum, yes_no["confusion"])) == yes_no["asked"] - yes_no["missing"]
    probe = found["tasks"]["linear_probe"]["results"]
    assert probe and all(one["way"] == "features" for one in probe)


def test_the_page_needs_nothing_else(evaluated):
    page = evaluated.page.read_text()
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert 'src="data:image/png;base64,' in page
    for task in evaluated.evaluation.tasks:
        assert task.task.title.replace("'", "&#x27;") in page
    assert "no leak:" in page


def test_the_run_is_logged(evaluated, config):
    client = start_run(config.tracking, "probe").client
    experiment = client.get_experiment_by_name(config.tracking.experiment)
    run = next(
        run for run in client.search_runs([experiment.experiment_id]) if run.info.run_name.startswith("evaluate")
    )
    assert {file.path for file in client.list_artifacts(run.info.run_id)} >= {
        "metrics.json",
        "report.html",
        "predictions.parquet",
    }
    assert math.isfinite(run.data.metrics["questions/likelihood/yes_no/war"])


def test_single_attributes_are_left_to_the_pictures(evaluated):
    by_title = {title: lines for title, _, lines in tables(evaluated.evaluation)}
    parts = [line[0] for line in by_title["CelebV-HQ, 83 attributes"]]
    assert any(part.startswith("all: mean of") for part in parts)
    assert "smile" not in parts


def test_a_second_run_asks_nothing(evaluated, config, monkeypatch):
    def unwanted(*_):
        raise AssertionError("nothing is missing")

    monkeypatch.setattr(CheckpointBackend, "__init__", unwanted)
    again = jobs.evaluate.run(config)
    asking = again.evaluation.asking
    assert asking.skipped == asking.answered == evaluated.evaluation.asking.answered
    assert "were there already" in again.summary()


def test_another_model_is_refused(evaluated, config, tiny_folder, place):
    """It differs in one bit of a weight, far from both ends of the file."""
    shutil.copytree(tiny_folder, place / "other")
    weights = place / "other" / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[len(data) // 2] ^= 1
    weights.write_bytes(data)
    other = config.model_copy(
        update={"evaluation": config.evaluation.model_copy(update={"model": str(place / "other"), "hints": True})}
    )
    with pytest.raises(ConfigError, match="holds answers of other settings; choose another evaluation.out") as caught:
        jobs.evaluate.run(other)
    _, *changed = str(caught.value).splitlines()
    assert changed[0] == "  evaluation.hints was None and is True now"
    assert re.fullmatch("  weights of evaluation.model was 'sha256:.*' and is 'sha256:.*' now", changed[1])


def test_an_evaluation_compared_with_itself(evaluated, place, capsys):
    found = jobs.compare.run(str(place / "report"), str(place / "report"), resamples=100)
    assert {one.task for one in found} == {one.task.name for one in evaluated.evaluation.tasks}
    for one in found:
        assert one.paired.difference.value == pytest.approx(0, abs=1e-12) or math.isnan(one.paired.a)
        assert one.paired.p in (None, 1.0)
    assert "B - A" in capsys.readouterr().out.replace("\n", " ")


def test_a_folder_without_predictions_cannot_be_compared(place):
    with pytest.raises(ConfigError, match=r"no predictions.parquet there"):
        jobs.compare.run(str(place), str(place))


def served(corpus, server, store, out, *more):
    return settings(
        corpus,
        f"tracking.uri={store}",
        f"evaluation.server.base_url={server.url}",
        "evaluation.server.model=m",
        "evaluation.server.attempts=1",
        "evaluation.server.concurrency=1",
        "evaluation.server.frames=1",
        f"evaluation.out={out}",
        "evaluation.tasks=[questions]",
        "evaluation.batch_clips=1",
        "evaluation.max_clips=3",
        "evaluation.resamples=100",
        *more,
    )


def test_a_run_that_was_cut_off_goes_on_with_what_is_missing(corpus, ray_session, server, new_store, tmp_path):
    config = served(corpus, server, new_store(tmp_path / "mlflow.db"), tmp_path / "report")
    server.manners = ["good"] * 12 + ["401"] * 1000
    with pytest.raises(ConfigError, match="refuses the key"):
        jobs.evaluate.run(config)
    kept = len(read_answers(tmp_path / "report"))
    assert 0 < kept <= 12
    before = [words(body) for body in server.bodies]
    server.reset()
    evaluated = jobs.evaluate.run(config)
    asking = evaluated.evaluation.asking
    assert asking.skipped == kept
    assert len(server.bodies) == asking.answered - kept
    assert len(before) + len(server.bodies) > asking.answered
    assert not asking.failures


def test_questions_that_fail_are_said_and_asked_again(corpus, ray_session, server, new_store, tmp_path):
    config = served(corpus, server, new_store(tmp_path / "mlflow.db"), tmp_path / "report")
    server.manners = ["500", "a page"]
    first = jobs.evaluate.run(config)
    assert sum(first.evaluation.asking.failures.values()) == 2
    assert "run the same command again" in first.summary()
    missing = sum(result.missing for result in first.evaluation.tasks[0].results if ":" not in result.part)
    assert missing == 2
    server.reset()
    second = jobs.evaluate.run(config)
    assert len(server.bodies) == 2
    assert not second.evaluation.asking.failures


def test_a_server_and_a_checkpoint_meet_the_same_questions(evaluated, corpus, server, config, tmp_path, place):
    server.reply = lambda body: "Yes." if "one word" in words(body) else "happy"
    jobs.evaluate.run(served(corpus, server, config.tracking.uri, tmp_path / "report"))
    found = jobs.compare.run(str(place / "report"), str(tmp_path / "report"), resamples=100)
    war = next(one for one in found if (one.part, one.way, one.metric) == ("yes_no", "text", "war"))
    assert war.paired.a == 0 < war.paired.b
    assert war.discordant is not None and war.discordant[0] == 0


def test_what_is_needed_is_named(corpus, tmp_path):
    with pytest.raises(ConfigError, match="evaluation.out=..."):
        jobs.evaluate.run(settings(corpus))
    with pytest.raises(ConfigError, match="evaluation.model=..., or evaluation.server.base_url"):
        jobs.evaluate.run(settings(corpus, f"evaluation.out={tmp_path}"))
    server = [
        "evaluation.server.base_url=http://127.0.0.1:9/v1",
        "evaluation.server.model=m",
        f"evaluation.out={tmp_path}",
    ]
    with pytest.raises(ConfigError, match="likelihoods and scores need a checkpoint"):
        jobs.evaluate.run(settings(corpus, *server, "evaluation.ways=[likelihood]"))
    with pytest.raises(ConfigError, match="linear_probe looks into a checkpoint"):
        jobs.evaluate.run(settings(corpus, *server, "evaluation.tasks=[linear_probe]"))
    with pytest.raises(ConfigError, match="no model here"):
        jobs.evaluate.run(settings(corpus, f"evaluation.out={tmp_path}", f"evaluation.model={tmp_path}"))
