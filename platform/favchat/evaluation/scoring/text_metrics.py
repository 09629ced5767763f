"""Similarity of free texts to reference texts: CIDEr-D, ROUGE-L, BLEU-4, METEOR.

All use the same tokens: lower case, words and numbers, without punctuation. Published numbers of COCO's toolkit
use Stanford's tokenizer (Java), which keeps some punctuation: compare within this project only.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

from favchat.evaluation.scoring.metrics import Floats

_WORD = re.compile(r"[a-z0-9]+(?:['-][a-z0-9]+)*")
_LONGEST = 4
_SIGMA = 6.0


def words(text: str) -> list[str]:
    """The tokens of a text."""
    return _WORD.findall(text.lower())


def cider(texts: Sequence[str], references: Sequence[Sequence[str]]) -> Floats:
    """CIDEr-D of each text (Vedantam et al. 2015, arXiv 1411.5726, equations 1 to 5 with sigma = 6).

    Args:
        texts: N texts.
        references: N lists of one or more references; document frequencies are computed over all of them.

    Returns:
        `(N,)`, 0 to 10.
    """
    grams = [[_grams(reference) for reference in some] for some in references]
    documents: Counter[tuple[str, ...]] = Counter()
    for some in grams:
        documents.update({gram for counts in some for gram in counts})
    log_all = math.log(max(len(grams), 1))
    scores = []
    for text, some in zip(texts, grams, strict=True):
        mine, length = _weighted(_grams(text), documents, log_all), len(words(text))
        total = 0.0
        for reference in some:
            other = _weighted(reference, documents, log_all)
            gap = length - sum(count for gram, count in reference.items() if len(gram) == 1)
            total += sum(_likeness(mine[n], other[n]) for n in range(_LONGEST)) * math.exp(-(gap**2) / (2 * _SIGMA**2))
        scores.append(10 * total / _LONGEST / max(len(some), 1))
    return np.asarray(scores)


def rouge_l(texts: Sequence[str], references: Sequence[Sequence[str]]) -> Floats:
    """ROUGE-L F1 of each text with its best reference (Lin 2004), by torchmetrics: `(N,)`."""
    from torchmetrics.functional.text import rouge_score

    values = [
        rouge_score(
            [" ".join(words(text))],
            [[" ".join(words(reference)) for reference in some]],
            accumulate="best",
            rouge_keys="rougeL",
            tokenizer=str.split,
        )["rougeL_fmeasure"].item()
        for text, some in zip(texts, references, strict=True)
    ]
    return np.asarray(values)


def bleu(texts: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """Corpus BLEU-4 (Papineni et al. 2002), without smoothing, by torchmetrics."""
    from torchmetrics.functional.text import bleu_score

    return bleu_score(
        [" ".join(words(text)) for text in texts],
        [[" ".join(words(reference)) for reference in some] for some in references],
    ).item()


def has_wordnet() -> bool:
    """Whether NLTK finds WordNet, which METEOR's synonyms need: ``python -m nltk.downloader wordnet``."""
    import nltk

    for name in ("corpora/wordnet", "corpora/wordnet.zip"):
        try:
            nltk.data.find(name)
        except LookupError:
            continue
        return True
    return False


def meteor(texts: Sequence[str], references: Sequence[Sequence[str]]) -> Floats:
    """METEOR of each text with its best reference (Banerjee and Lavie 2005), by NLTK with its default weights: `(N,)`.

    NLTK's defaults are those of 2005, not of the Java tool.

    Raises:
        LookupError: NLTK has no WordNet, see ``has_wordnet``.
    """
    from nltk.translate.meteor_score import meteor_score

    return np.asarray(
        [
            meteor_score([words(reference) for reference in some], words(text))
            for text, some in zip(texts, references, strict=True)
        ]
    )


def _grams(text: str) -> Counter[tuple[str, ...]]:
    tokens = words(text)
    return Counter(
        tuple(tokens[begin : begin + n]) for n in range(1, _LONGEST + 1) for begin in range(len(tokens) - n + 1)
    )


def _weighted(
    counts: Counter[tuple[str, ...]], documents: Counter[tuple[str, ...]], log_all: float
) -> list[dict[tuple[str, ...], float]]:
    """TF-IDF weights, for each n-gram length."""
    vectors: list[dict[tuple[str, ...], float]] = [{} for _ in range(_LONGEST)]
    for gram, count in counts.items():
        vectors[len(gram) - 1][gram] = count * (log_all - math.log(max(documents[gram], 1)))
    return vectors


def _likeness(mine: dict[tuple[str, ...], float], other: dict[tuple[str, ...], float]) -> float:
    """Cosine similarity with the text's values clipped to the reference's, which penalises repeated words."""
    norms = math.sqrt(sum(value**2 for value in mine.values())) * math.sqrt(sum(value**2 for value in other.values()))
    return sum(min(value, other.get(gram, 0.0)) * other.get(gram, 0.0) for gram, value in mine.items()) / (norms or 1.0)
