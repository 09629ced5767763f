"""Two evaluations are paired on the questions that both answered: as a whole, and by single attributes."""

from pathlib import Path

import numpy as np
import pytest

from favchat.config import ConfigError
from favchat.data.corpus.parquet_files import read_table, write_whole
from favchat.evaluation.asking.eval_question import PREDICTION_SCHEMA, EvalQuestion
from favchat.evaluation.evaluate import PREDICTIONS
from favchat.evaluation.reporting.compare import Compared, compare, tables
from favchat.evaluation.scoring.answer_parser import YES_NO
from favchat.evaluation.scoring.choices import answers_of, people_of
from favchat.evaluation.scoring.predictions import predictions, table_of
from favchat.evaluation.scoring.resampling import paired

PEOPLE, CLIPS = 12, 2
EMOTIONS = ("neutral", "happy", "sadness", "anger", "fear", "surprise", "contempt", "disgust")


def question(part: str, number: int) -> EvalQuestion:
    """Every third clip nods and every second is blurry; nobody yawns; the emotions take turns."""
    options = EMOTIONS if part == "emotion" else YES_NO
    truth = {"nod": int(number % 3 > 0), "blurry": number % 2, "yawn": 1, "emotion": number % len(EMOTIONS)}[part]
    return EvalQuestion(
        "celebv_hq_attributes",
        part,
        f"clip{number}",
        f"person{number // CLIPS}",
        "val",
        "likelihood",
        f"{part}?",
        options,
        truth=truth,
    )


def report(folder: Path, parts: tuple[str, ...], skill: dict[str, float]) -> str:
    """A folder of predictions that give the right option so many nats more than the others."""
    items = [question(part, number) for part in parts for number in range(PEOPLE * CLIPS)]
    answers = {}
    random = np.random.default_rng(0)
    for item in items:
        sums = random.normal(size=len(item.options))
        sums[item.truth or 0] += skill.get(item.part, 0.0)
        answers[item.key] = {
            "raw": None,
            "log_likelihoods": sums.tolist(),
            "prior": [0.0] * len(sums),
            "tokens": [1] * len(sums),
            "error": None,
        }
    folder.mkdir()
    write_whole(table_of(predictions(items, answers, "none")), folder / PREDICTIONS)
    return str(folder)


@pytest.fixture(scope="module")
def reports(tmp_path_factory) -> tuple[str, str]:
    """One that guesses, and one that knows nods and happy faces."""
    place = tmp_path_factory.mktemp("compare")
    guesses = report(place / "a", ("nod", "blurry", "yawn", "emotion"), {})
    return guesses, report(place / "b", ("nod", "yawn", "emotion"), {"nod": 9.0, "emotion": 9.0})


def by_metric(found: list[Compared]) -> dict[str, Compared]:
    return {one.metric: one for one in found}


def test_one_attribute_is_tested_by_itself(reports):
    found = by_metric(compare(*reports, attributes=["nod"], resamples=200))
    assert {(one.task, one.part, one.way) for one in found.values()} == {("celebv_hq_attributes", "nod", "likelihood")}
    assert found["war"].questions == PEOPLE * CLIPS
    assert list(found) == ["war", "uar", "macro_f1", "f1", "map", "auc"]
    for one in found.values():
        assert one.paired.b == 1.0 > one.paired.a
        assert 0 < one.paired.difference.low < one.paired.difference.high
    assert found["war"].paired.p < 0.05 and found["uar"].paired.p < 0.05
    assert found["map"].paired.p is None
    only_a, only_b, p = found["war"].discordant
    assert (only_a, only_b) == (0, round(PEOPLE * CLIPS * (1 - found["war"].paired.a)))
    assert p < 0.05
    assert len(tables(list(found.values()))[0][2]) == len(found)


def test_its_test_is_that_of_the_answers_themselves(reports):
    found = by_metric(compare(*reports, attributes=["NOD"], resamples=200))
    sides = []
    for place in reports:
        rows = read_table(Path(place) / PREDICTIONS, PREDICTION_SCHEMA.names).to_pylist()
        sides.append(sorted((row for row in rows if row["part"] == "nod"), key=lambda row: row["item"]))
    expected = paired(*(answers_of(rows, YES_NO) for rows in sides), people_of(sides[0]), resamples=200)
    for metric in ("war", "uar", "macro_f1"):
        assert found[metric].paired.p == pytest.approx(expected[metric].p)
        assert found[metric].paired.a == pytest.approx(expected[metric].a)
    assert found["war"].paired.difference == pytest.approx(expected["war"].difference)


def test_an_emotion_is_an_attribute_too(reports):
    found = compare(*reports, attributes=["happy", "nod"], resamples=100)
    assert list(dict.fromkeys(one.part for one in found)) == ["happy", "nod"]
    happy = by_metric([one for one in found if one.part == "happy"])
    assert happy["f1"].paired.b == 1.0 > happy["f1"].paired.a


def test_what_is_the_same_everywhere_has_no_ranking(reports):
    found = by_metric(compare(*reports, attributes=["yawn"], resamples=100))
    assert set(found) & {"map", "auc"} == set()
    assert found["war"].paired.b < 1


def test_attributes_without_a_shared_question_are_refused(reports):
    with pytest.raises(ConfigError, match="share no question about 'blurry'.*celebv_hq_attributes"):
        compare(*reports, attributes=["blurry"])
    with pytest.raises(ConfigError, match="'nodding' is none of the 91 attributes"):
        compare(*reports, attributes=["nodding"])


def test_by_default_attributes_are_compared_by_their_mean(reports):
    assert {one.part for one in compare(*reports, resamples=100)} == {"mean of attributes"}
