"""Numbers of whole tasks on predictions made by hand."""

import numpy as np
import pytest

from favchat.evaluation.asking.eval_question import EvalQuestion
from favchat.evaluation.scoring import baselines
from favchat.evaluation.scoring.answer_parser import YES_NO
from favchat.evaluation.scoring.attributes import attribute_results
from favchat.evaluation.scoring.choices import Scoring, class_results, question_results
from favchat.evaluation.scoring.linear_probe import probe_predictions
from favchat.evaluation.scoring.metrics import Answers
from favchat.evaluation.scoring.predictions import predictions, table_of
from favchat.evaluation.scoring.texts import text_results
from tests.evaluation.conftest import make_clip

FEW = Scoring(resamples=100)


def make(part, clip, options=YES_NO, truth=0, way="text", **more) -> EvalQuestion:
    fields = {"task": "t", "identity": clip, "split": "val", "question": f"{part}?"} | more
    return EvalQuestion(part=part, clip_id=clip, way=way, options=tuple(options), truth=truth, **fields)


def said(item: EvalQuestion, raw: str | None = None, chances=None, error=None) -> dict:
    row = {"raw": raw, "log_likelihoods": None, "prior": None, "tokens": None, "error": error, "features": None}
    if chances is not None:
        row |= {
            "log_likelihoods": np.log(chances).tolist(),
            "prior": np.zeros(len(chances)).tolist(),
            "tokens": [1] * len(chances),
        }
    return row


def predict(*pairs) -> tuple[list[EvalQuestion], list[dict]]:
    items = [item for item, _ in pairs]
    return items, predictions(items, {item.key: answer for item, answer in pairs if answer is not None}, "content_free")


def test_answers_are_parsed_and_likelihoods_become_probabilities():
    free, likely, refused, lost = (
        make("p", c, way=w) for c, w in (("a", "text"), ("b", "likelihood"), ("c", "text"), ("d", "text"))
    )
    _, rows = predict(
        (free, said(free, "No.")),
        (likely, said(likely, chances=[0.3, 0.1])),
        (refused, said(refused, error="no")),
        (lost, None),
    )
    assert [row["answer"] for row in rows] == [1, 0, None]
    assert rows[1]["probabilities"] == pytest.approx([0.75, 0.25])
    assert table_of(rows).num_rows == 3


def test_classes_with_unparsed_and_missing_answers():
    words = ("happy", "sad", "angry")
    pairs = [
        (make("e", f"c{n}", words, truth), answer)
        for n, (truth, answer) in enumerate([(0, "Happy."), (0, "sad"), (1, "hm"), (1, None)])
    ]
    items, rows = predict(*[(item, None if raw is None else said(item, raw)) for item, raw in pairs])
    trained = [make("e", f"t{n}", words, truth) for n, truth in enumerate([1, 1, 1, 0])]
    (result,) = class_results(items, rows, Scoring(100, 0, trained))
    assert (result.asked, result.missing, result.unparsed, result.people) == (4, 1, 1, 3)
    assert result.metrics["war"].value == pytest.approx(1 / 3)
    assert result.metrics["uar"].value == pytest.approx(1 / 4)
    # Always "sad", the most frequent of the training split: one of three right.
    assert result.metrics["war"].majority == pytest.approx(1 / 3)
    assert result.metrics["uar"].majority == pytest.approx(1 / 2)
    # Drawing "sad" three times in four: two happy at 1/4, one sad at 3/4.
    assert result.metrics["war"].prior == pytest.approx((2 * 0.25 + 0.75) / 3)
    assert result.confusion.tolist() == [[1, 1, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0]]


def test_folds_are_averaged():
    words = ("happy", "sad")
    items = [make("e", f"c{n}", words, n % 2, fold=1 if n < 2 else 2) for n in range(6)]
    raws = ["happy", "sad", "happy", "happy", "happy", "happy"]
    _, rows = predict(*[(item, said(item, raw)) for item, raw in zip(items, raws, strict=True)])
    mean, first, second = class_results(items, rows, FEW)
    assert (first.part, second.part, mean.part) == ("e, fold 1", "e, fold 2", "e, mean of 2 folds")
    assert first.metrics["war"].value == 1.0
    assert second.metrics["war"].value == 0.5
    assert mean.metrics["war"].value == 0.75  # not 4 of 6
    assert mean.metrics["war"].low <= 0.75 <= mean.metrics["war"].high
    assert mean.confusion.sum() == 6


def test_baselines_of_probabilities():
    truth = np.array([0, 0, 0, 1])
    some = Answers(truth, truth, 2, np.full((4, 2), 0.5))
    found = baselines.prior(some, np.array([3, 1]))
    assert found["auc"] == 0.5
    assert found["map"] == pytest.approx((0.75 + 0.25) / 2)
    assert found["ece"] == pytest.approx(0, abs=1e-6)
    assert found["war"] == pytest.approx(0.75**2 + 0.25**2)
    assert baselines.majority(some, np.array([3, 1]))["war"] == 0.75


def test_attributes_are_scored_by_their_label():
    """Of no_beard the label 1 is the answer "no" to "has a beard"."""
    pairs = []
    for n, (label, chance) in enumerate([(1, 0.9), (1, 0.6), (0, 0.7), (0, 0.2)]):
        item = make("no_beard", f"c{n}", truth=label, way="likelihood")  # the option "No" is the second one
        pairs.append((item, said(item, chances=[1 - chance, chance])))
    items, rows = predict(*pairs)
    everything = {result.part: result for result in attribute_results(items, rows, FEW)}
    found = everything["no_beard"].metrics
    # Scores of those with the label: .9 .6; without: .7 .2: 3 of 4 pairs in order.
    assert found["auc"].value == pytest.approx(3 / 4)
    assert found["map"].value == pytest.approx((1 + 2 / 3) / 2)
    assert found["war"].value == pytest.approx(3 / 4)
    assert found["f1"].value == pytest.approx(2 * 2 / (2 + 3))
    assert found["map"].prior == found["auc"].prior == 0.5
    assert everything["all: mean of 1 attribute"].metrics["auc"].value == pytest.approx(3 / 4)
    assert "action: mean of 1 attribute" not in everything


def test_an_attribute_that_nobody_has_is_left_out_of_the_means():
    pairs = []
    for n in range(4):
        for part, truth in (("smile", n % 2), ("nod", 1)):
            item = make(part, f"c{n}", truth=truth)
            pairs.append((item, said(item, "No.")))
    items, rows = predict(*pairs)
    found = {result.part: result for result in attribute_results(items, rows, FEW)}
    assert found["all: mean of 1 attribute"].metrics["uar"].value == 0.5
    assert found["nod"].metrics["war"].value == 1.0


def test_an_emotion_is_eight_attributes():
    words = ("neutral", "angry", "contemptuous", "disgusted", "happy", "fearful", "sad", "surprised")
    pairs = []
    for n, truth in enumerate([0, 4, 4]):
        item = make("emotion", f"c{n}", words, truth)
        pairs.append((item, said(item, "They look happy.")))
    items, rows = predict(*pairs)
    found = {result.part: result for result in attribute_results(items, rows, FEW)}
    assert found["happy"].metrics["war"].value == pytest.approx(2 / 3)
    assert found["sadness"].metrics["war"].value == 1.0
    assert found["emotion: mean of 2 attributes"].metrics["uar"].value == pytest.approx(0.5)


def test_questions_by_family_and_level():
    a = make("yes_no", "a", truth=0, family="hair", level="one")
    b = make("yes_no", "b", truth=1, family="eyes", level="one")
    c = make("choice", "c", ("nodding", "smiling", "talking"), 1, family="action", level="several")
    items, rows = predict((a, said(a, "Yes")), (b, said(b, "Yes")), (c, said(c, "smiling")))
    found = {result.part: result.metrics["war"] for result in question_results(items, rows, FEW)}
    assert {part: metric.value for part, metric in found.items()} == {
        "yes_no": 0.5,
        "choice": 1.0,
        "family: action": 1.0,
        "family: eyes": 0.0,
        "family: hair": 1.0,
        "level: one": 0.5,
        "level: several": 1.0,
    }
    assert found["choice"].prior == pytest.approx(1 / 3)


def test_texts_are_read_for_attributes():
    clips = {
        one.clip.id: one.clip for one in (make_clip("a", smile=1, nod=0, male=0), make_clip("b", smile=0, bangs=1))
    }
    pairs = []
    for clip, text in (("a", "A woman is smiling and nodding."), ("b", "The person has bangs and wears a hat.")):
        item = make("all", clip, (), None, references=("A person.",), level="description")
        pairs.append((item, said(item, text)))
    items, rows = predict(*pairs)
    trained = [make("all", "t", (), None, references=("The person is smiling.",))]
    (result,) = text_results(items, rows, clips, Scoring(100, 0, trained))
    # Confirmed: woman, smiling, bangs; contradicted: nodding; unlabelled: hat. True: smile, bangs.
    assert result.metrics["attribute_precision"].value == pytest.approx(3 / 4)
    assert result.metrics["unlabelled_attributes"].value == 0.5
    assert result.metrics["attribute_precision"].majority == pytest.approx(1 / 2)
    assert 0 < result.metrics["rouge_l"].value < 1
    assert {"cider", "bleu4", "attribute_recall", "words"} <= set(result.metrics)


def test_a_probe_learns_what_lies_in_the_features():
    random = np.random.default_rng(0)
    emotions = ["happy", "sadness"]
    clips, features = [], {}
    for n in range(120):
        one = make_clip(
            f"c{n}", split="train" if n < 80 else "val", identity=f"p{n // 2}", emotion=emotions[n % 2], nod=0
        )
        clips.append(one)
        features[one.clip.id] = (random.normal(size=6) + (n % 2) * np.eye(6)[2] * 4).tolist()
    trained, asked = clips[:80], clips[80:]
    learnt, items, rows = probe_predictions(features, trained, asked)
    assert {item.part for item in items} == {"emotion"}  # nobody nods
    assert len(learnt) == 80 and len(rows) == 40
    (result,) = class_results(items, rows, Scoring(100, 0, learnt))
    assert result.metrics["war"].value > 0.9
    assert result.metrics["war"].majority == 0.5
    del features["c119"]
    assert len(probe_predictions(features, trained, asked)[2]) == 39
