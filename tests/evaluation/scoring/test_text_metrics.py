import numpy as np
import pytest

from favchat.evaluation.scoring import text_metrics
from favchat.evaluation.scoring.text_metrics import bleu, cider, rouge_l, words

TEXTS = [
    "a young woman with long hair is smiling and talking to the camera",
    "the man looks sad",
    "a person a person a person a person",
    "the woman nods",
]
REFERENCES = [
    ["a young woman with long brown hair smiles", "she is talking and smiling with long hair"],
    ["the man looks sad and shakes his head"],
    ["a person looks neutral", "nothing happens"],
    ["the woman nods", "she nods her head"],
]


def test_words_are_lower_case_without_punctuation():
    assert words("The 5 o'clock-shadow, isn't it?") == ["the", "5", "o'clock-shadow", "isn't", "it"]


def test_cider_is_that_of_the_coco_toolkit():
    """Numbers of pycocoevalcap 1.2 on the same tokens."""
    assert cider(TEXTS, REFERENCES) == pytest.approx([2.44079472, 4.77704784, 0.29251613, 4.38659396], abs=1e-7)


def test_cider_of_nothing_is_zero():
    assert cider(["", "x"], [["a b"], []]) == pytest.approx([0, 0])


def test_rouge_l_takes_the_best_reference():
    # Longest common subsequence 3 of 3 and 4 words: P = 1, R = 3/4.
    assert rouge_l(["The cat sat."], [["the cat sat down", "dogs"]]) == pytest.approx([6 / 7])
    assert rouge_l([""], [["a"]]) == pytest.approx([0])


def test_bleu_of_the_same_words_is_one():
    assert bleu(["The woman smiles and nods."], [["the woman smiles and nods"]]) == pytest.approx(1)
    assert bleu(["the woman smiles"], [["dogs bark at cats"]]) == 0


def test_meteor_needs_wordnet(monkeypatch):
    import nltk

    def lost(name):
        raise LookupError(name)

    monkeypatch.setattr(nltk.data, "find", lost)
    assert not text_metrics.has_wordnet()


def test_meteor():
    if not text_metrics.has_wordnet():
        pytest.skip("NLTK has no WordNet here")
    assert text_metrics.meteor(["the woman smiles"], [["the woman smiles"]])[0] > 0.9


def test_values_are_one_a_text():
    assert all(np.shape(metric(TEXTS, REFERENCES)) == (4,) for metric in (cider, rouge_l))
