"""A report of made-up trials, whose effects are known."""

import json
import random

import pytest
from PIL import Image

from favchat.config import ConfigError, DimensionConfig
from tune.analysis import combinations, differences, main_effects, pareto_front
from tune.goal import Goal
from tune.report import redraw
from tune.results import Kept, Trial, dead_experts, read_kept
from tune.space import make_point

GOAL = Goal("celebv_hq_attributes/scores/all/uar")
EXPERTS, RATE = "model.adapter.num_experts", "training.stages.*.learning_rate"


def trial(experts, rate, seed, metric, status="finished"):
    values = {EXPERTS: experts, RATE: rate}
    point = make_point(values, {key: DimensionConfig(choices=[value]) for key, value in values.items()}, seed)
    return Trial(point, 1000 * experts, status, 10, metric, 5.0, 0, 0.9, 0.1, 1.5)


@pytest.fixture
def trials():
    """Two experts are better than one by 0.1, four by 0.2 of which the rate takes all; a seed makes 0.01."""
    draw = random.Random(0)
    return [
        trial(experts, rate, seed, 0.5 + gain + 0.005 * seed + draw.uniform(0, 0.002))
        for experts, gain in ((1, 0.0), (2, 0.1), (4, 0.1005))
        for rate in (0.001, 0.002)
        for seed in (0, 1, 2)
    ]


def test_means_have_the_interval_of_students_t(trials):
    from scipy import stats

    found = combinations(trials, GOAL)
    assert [len(one.trials) for one in found] == [3] * 6
    assert [one.mean for one in found] == sorted((one.mean for one in found), reverse=True)
    values = [one.metric for one in found[0].trials]
    low, high = stats.t.interval(0.95, 2, loc=found[0].mean, scale=stats.sem(values))
    assert (found[0].low, found[0].high) == (pytest.approx(low), pytest.approx(high))


def test_what_differs_by_more_than_seeds_make_is_told_from_what_does_not(trials):
    found = combinations(trials, GOAL)
    sure = {one.point.settings[EXPERTS] for one in differences(found) if one.is_larger_than_spread}
    assert sure == {1}
    for one in differences(found):
        assert one.pairs == 3
        assert one.low < one.value < one.high <= 0.01
    # The seeds of a pair go up and down together: without pairs their spread hides what is there.
    noisy = [trial(experts, 1.0, seed, 0.1 * seed + 0.01 * experts) for experts in (1, 2) for seed in range(3)]
    noisy[0] = trial(1, 1.0, 0, 0.0101)
    assert differences(combinations(noisy, GOAL))[0].is_larger_than_spread
    apart = [trial(1, 1.0, seed, 0.1 * seed) for seed in range(3)]
    apart += [trial(2, 1.0, seed + 3, 0.1 * seed + 0.01) for seed in range(3)]
    (unpaired,) = differences(combinations(apart, GOAL))
    assert (unpaired.pairs, unpaired.is_larger_than_spread) == (0, False)


def test_one_seed_tells_nothing_of_spread():
    found = differences(combinations([trial(1, 1.0, 0, 0.1), trial(2, 1.0, 0, 0.9)], GOAL))
    assert [(one.low, one.p, one.is_larger_than_spread) for one in found] == [(None, None, False)]


def test_the_front_has_what_none_beats_with_as_few_parameters(trials):
    worse = [trial(8, 0.001, seed, 0.2) for seed in range(3)]
    front = pareto_front(combinations(trials + worse, GOAL), GOAL)
    assert [one.point.settings[EXPERTS] for one in front] == [1, 2, 4]
    lower = pareto_front(combinations(trials + worse, Goal("val_loss")), Goal("val_loss"))
    assert [one.point.settings[EXPERTS] for one in lower] == [1, 8]


def test_main_effects_find_the_setting_that_matters(trials):
    effects = main_effects(trials)
    assert list(effects)[0] == EXPERTS
    assert effects[EXPERTS] > 0.8
    assert effects.keys() == {EXPERTS, RATE, "seed"}
    assert sum(effects.values()) == pytest.approx(1)
    assert main_effects(trials[:3]) == {}


def test_experts_that_get_nothing_are_dead():
    assert dead_experts([[[50, 1, 49, 0], [50, 0, 50, 0]]]) == 2


@pytest.fixture
def sweep(trials, tmp_path):
    out = tmp_path / "sweep"
    for one in trials:
        stage = out / "trials" / one.point.name / "stages" / "attributes"
        stage.mkdir(parents=True)
        lines = [
            {"step": step, GOAL.metric: one.metric - 0.1 / step, "expert_choices": [[[60, 40], [0, 100]]]}
            for step in (5, 10)
        ]
        (stage / "reports.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    kept = Kept([*sorted(trials, key=lambda one: -one.metric), trial(1, 0.5, 0, None, "failed")], GOAL, ["attributes"])
    kept.write(out / "trials.json")
    return out, kept


def test_what_is_kept_is_read_again(sweep):
    out, kept = sweep
    assert read_kept(out / "trials.json") == kept


def test_the_page_needs_nothing_else_and_has_every_part(sweep):
    out, _ = sweep
    page, *pictures = redraw(out)
    text = page.read_text()
    for words in (
        "19 trials: 18 finished, 1 failed",
        "Of 5 combinations 2 differ from the best one by more than seeds make",
        "usage entropy",
        "Pareto front",
        "parcoords",
        "fANOVA",
        "memory (GB)",
    ):
        assert words in text
    assert 'src="http' not in text and "<link" not in text
    assert "Plotly.newPlot" in text
    assert [path.name for path in pictures] == ["quality.png", "parallel.png", "curves.png", "effects.png", "usage.png"]
    for path in pictures:
        with Image.open(path) as picture:
            assert picture.size > (600, 300)
            assert len(picture.convert("RGB").getcolors(1 << 20)) > 20


def test_a_folder_without_a_sweep_is_told(tmp_path):
    with pytest.raises(ConfigError, match="no finished sweep lies here; trials.json is missing"):
        redraw(tmp_path)
    (tmp_path / "trials.json").write_text('{"metric": "x"}')
    with pytest.raises(ConfigError, match="not the trials of a sweep"):
        redraw(tmp_path)
