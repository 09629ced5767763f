import pytest
import torch

from favchat.face_scores.values import Calibration, Measured
from favchat.model.scores import calibrate, calibration_error, measure, scores_of

NAMES = ["eyeglasses", "smile", "neutral", "happy"]


def test_a_score_is_even_where_the_logit_is_zero_and_the_probability_holds_the_frequency():
    (row,) = scores_of(torch.zeros(1, 4), torch.tensor([-2.0, 0.0, 0.0, 0.0]), NAMES, Calibration())
    assert [one.score for one in row] == pytest.approx([0.5] * 4)
    assert row[0].probability == pytest.approx(0.1192, abs=1e-4)
    assert [one.family for one in row] == ["accessories", "action", "emotion", "emotion"]


def test_a_temperature_cools_and_never_turns_a_score_round():
    logits = torch.tensor([[2.0, -1.0, 0.5, 1.5]])
    hot = Calibration(temperatures={"accessories": 4.0, "emotion": 4.0})
    (plain,), (cooled,) = (scores_of(logits, torch.zeros(4), NAMES, one) for one in (Calibration(), hot))
    assert 0.5 < cooled[0].score < plain[0].score
    assert cooled[1].score == plain[1].score
    assert cooled[2].score + cooled[3].score == pytest.approx(1)
    assert cooled[3].score > cooled[2].score


def test_measures_count_both_answers_alike():
    found = measure([(0.9, 1), (0.8, 1), (0.4, 1), (0.1, 0), (0.6, 0), (0.2, 0), (0.3, 0)])
    assert found is not None
    assert found.balanced_accuracy == pytest.approx((2 / 3 + 3 / 4) / 2)
    assert (found.present, found.absent) == (3, 4)
    assert found.yes_from is None  # too few to be sure
    assert measure([(0.9, 1), (0.8, 1)]) is None


def test_bounds_are_where_nine_of_ten_are_right():
    pairs = [(1 - place / 100, 1) for place in range(20)] + [(0.5 - place / 100, place % 2) for place in range(20)]
    pairs += [(0.2 - place / 200, 0) for place in range(20)]
    found = measure(pairs)
    assert found is not None and found.yes_from is not None and found.no_below is not None
    assert sum(label for score, label in pairs if score >= found.yes_from) >= 0.9 * 20
    chosen = [label for score, label in pairs if score <= found.no_below]
    assert sum(chosen) <= 0.1 * len(chosen)
    assert found.no_below < found.yes_from


def test_a_family_that_is_too_sure_of_itself_is_cooled():
    torch.manual_seed(0)
    truth = (torch.rand(4000) < 0.5).long()
    honest = torch.where(truth == 1, 1.0, -1.0) + torch.randn(4000)
    logits = torch.stack([8 * honest, honest, honest, honest], dim=1)
    labels = torch.stack([truth, truth, -torch.ones_like(truth), -torch.ones_like(truth)], dim=1)
    groups = [index % 2 for index in range(4000)]
    found = calibrate(logits, torch.zeros(4), labels, NAMES, groups)
    assert found.temperatures["accessories"] > 2 * found.temperatures["action"]
    assert found.error["accessories"] < calibration_error(logits[:, 0].sigmoid(), truth)
    assert set(found.measured) == {"eyeglasses", "smile"}


def test_a_calibration_comes_back_from_a_model_directory(tmp_path):
    given = Calibration({"hair": 1.5}, {"hair": 0.03}, {"bald": Measured(0.9, 10, 90, 0.99, None)})
    given.write(tmp_path)
    assert Calibration.read(tmp_path) == given
    assert Calibration.read(tmp_path / "nothing") == Calibration()
