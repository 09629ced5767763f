import json

import pytest

from favchat.config import ConfigError, load
from jobs.commands.settings import CONFIGS
from jobs.pipeline.register import RequirementError, check, evaluation_metrics, register

METRICS = {"questions/likelihood/yes no/war": 0.75, "questions/likelihood/yes no/ece": 0.2}


def config(*settings):
    return load(CONFIGS / "tiny.yaml", list(settings))


def test_every_threshold_that_is_not_reached_is_named():
    wanted = "{questions/likelihood/yes no/war: {min: 0.8}, questions/likelihood/yes no/ece: {max: 0.1}}"
    with pytest.raises(RequirementError) as short:
        check(config(f"pipeline.require={wanted}"), METRICS)
    assert str(short.value).splitlines() == [
        "not registered: the evaluation falls short of pipeline.require",
        "  questions/likelihood/yes no/war is 0.75, at least 0.8 is required",
        "  questions/likelihood/yes no/ece is 0.2, at most 0.1 is required",
    ]


def test_what_is_reached_passes():
    check(config("pipeline.require={questions/likelihood/yes no/war: {min: 0.75, max: 0.75}}"), METRICS)


def test_a_metric_that_is_not_there_is_named_with_its_neighbours():
    with pytest.raises(ConfigError, match="has no questions.likelihood.yes no.wor; near: .*war"):
        check(config("pipeline.require={questions/likelihood/yes no/wor: {min: 0.5}}"), METRICS)


@pytest.mark.parametrize(
    ("bounds", "message"), [("{}", "give min, max or both"), ("{min: 2, max: 1}", "is more than max")]
)
def test_bounds_that_say_nothing_are_refused(bounds, message):
    with pytest.raises(ConfigError, match=message):
        config(f"pipeline.require={{questions/likelihood/all/war: {bounds}}}")


def test_names_are_those_of_the_tracked_run(tmp_path):
    metric = {"value": 0.5, "low": None, "high": None}
    result = {"way": "likelihood", "part": "yes/no (all)", "metrics": {"war": metric, "ece": metric | {"value": None}}}
    (tmp_path / "metrics.json").write_text(json.dumps({"tasks": {"questions": {"results": [result]}}}))
    assert evaluation_metrics(str(tmp_path)) == {"questions/likelihood/yes/no all/war": 0.5}


def test_without_a_name_only_the_thresholds_are_looked_at(tmp_path):
    (tmp_path / "metrics.json").write_text(json.dumps({"tasks": {}}))
    assert register(config(f"evaluation.out={tmp_path}")) == "; tracking.registered_model is not set"
    with pytest.raises(ConfigError, match="metrics.json does not exist"):
        register(config("evaluation.out=/nowhere"))
