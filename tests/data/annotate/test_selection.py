"""Scores, near copies and the high-quality subset."""

from collections import Counter
from random import Random

import numpy as np
import pyarrow as pa
import pytest

from favchat.data.annotate.label_check import Check
from favchat.data.annotate.row_scores import (
    FACE_COLUMNS,
    consistency,
    face_quality,
    length,
    rarity,
    specificity,
    weighted,
)
from favchat.data.annotate.rows import Annotation
from favchat.data.annotate.selection import Candidate, repeats, select
from favchat.data.annotate.text_duplicates import near_groups


def row(clip: str, family: str = "hair", truth: bool | None = None, **fields: str) -> Annotation:
    words = {"task": "qa", "split": "train", "question": "Q?", "answer": "A.", "answer_type": "open"} | fields
    if truth is not None:
        words["answer_type"] = "yes_no"
    return Annotation(clip_id=clip, family=family, truth=truth, **words)  # type: ignore[arg-type]


def candidate(row: Annotation, quality: float = 0.5, consistent: bool = True, group: int = -1) -> Candidate:
    return Candidate(row, quality, consistent, group)


def chosen(candidates: list[Candidate], share: float = 1.0, copies: int = 100) -> list[bool]:
    return select(candidates, repeats(candidates, copies), share)


def test_consistency() -> None:
    assert consistency(Check(("a",), (), ())) == 1
    assert consistency(Check(("a", "b"), ("c",), ())) == 0
    assert consistency(Check(("a",), (), ("b",))) == 0.75
    assert consistency(Check((), (), ())) == 0.5


def test_specificity_grows_with_the_attributes_an_answer_names() -> None:
    texts = ("Yes.", "Yes, she is smiling.", "She is smiling and nodding.", "She smiles, nods and wears a hat.")
    assert [specificity(text) for text in texts] == [0, 0.5, 0.75, 0.875]


def test_length_falls_off_at_both_ends() -> None:
    assert [length(" ".join(["w"] * words), "qa") for words in (1, 4, 40, 60, 100)] == [0.25, 1, 1, 0.5, 0]
    assert [length(" ".join(["w"] * words), "summary") for words in (5, 10, 80, 160)] == [0.5, 1, 1, 0]


def test_what_is_rare_counts_more() -> None:
    rows = [row(str(number))._replace(attributes=["smile"]) for number in range(9)]
    rows += [row("9")._replace(attributes=["sneeze"]), row("10")]
    values = rarity(rows)
    assert values[9] == pytest.approx(1)
    assert values[10] == 0
    assert 0 < values[0] < 0.2


def test_face_quality() -> None:
    measures = {
        "face_share": [1.0, 1.0, 0.5, 1.0],
        "face_size": [200.0, 56.0, 200.0, 200.0],
        "sharpness": [100.0, 100.0, 100.0, 100.0],
        "yaw": [0.0, 0.0, 0.0, 60.0],
        "pitch": [0.0, 0.0, 0.0, float("nan")],
    }
    table = pa.table(
        {"clip_id": list("abcd")} | {name: pa.array(measures[name], pa.float32()) for name in FACE_COLUMNS}
    )
    found = face_quality(table)
    assert found["a"] == pytest.approx((1 + 1 + 1 + 0.5) / 4)
    assert found["b"] == pytest.approx((1 + 0.5 + 1 + 0.5) / 4)
    assert found["c"] == pytest.approx((0.5 + 1 + 1 + 0.5) / 4)
    assert found["d"] == pytest.approx((1 + 1 + 0 + 0.5) / 4)  # a pose that nobody could measure is no good pose
    assert face_quality(table.slice(0, 0)) == {}


def test_weights() -> None:
    assert weighted({"a": 1.0, "b": 0.0, "c": 9.0}, {"a": 3, "b": 1}) == 0.75


def test_texts_that_nearly_repeat_each_other_are_one_group() -> None:
    base = "The video shows a young woman with long wavy brown hair and bangs wearing a hat while she is smiling at us"
    texts = [
        base,
        base.lower() + ".",
        base + " today",
        base.replace("young", "old"),
        "What is she doing? She is talking.",
    ]
    groups = near_groups(texts, 0.85)
    assert groups[0] == groups[1] == groups[2]
    assert len({groups[0], groups[3], groups[4]}) >= 2
    assert groups[4] not in groups[:4]
    back = near_groups(texts[::-1], 0.85)[::-1]
    assert [back.index(group) for group in back] == [groups.index(group) for group in groups]
    short = ["What is the person's expression? They look happy.", "What is the person's expression? They look sad."]
    assert len(set(near_groups(short, 0.9))) == 2
    assert near_groups([], 0.9) == []


def test_near_copies_leave_the_best_of_a_clip_and_some_of_a_split() -> None:
    candidates = [
        candidate(row("a"), 0.1, group=0),
        candidate(row("a"), 0.9, group=0),
        candidate(row("b"), 0.8, group=0),
        candidate(row("c"), 0.7, group=0),
        candidate(row("d"), 0.99, consistent=False, group=0),
        candidate(row("e", split="val"), 0.1, group=0),
        candidate(row("f"), 0.1, group=1),
    ]
    assert repeats(candidates, 2) == [True, False, False, True, False, False, False]
    assert chosen(candidates, copies=2) == [False, True, True, False, False, True, True]


def test_what_contradicts_is_never_chosen() -> None:
    rows = [candidate(row("a"), 1.0, consistent=False), candidate(row("b", task="summary"), 1.0, consistent=False)]
    assert chosen(rows) == [False, False]


def test_the_budget_counts_questions_of_each_split_and_the_best_come_first() -> None:
    candidates = [candidate(row(str(number)), number / 100, group=number) for number in range(40)]
    candidates += [candidate(row(f"v{number}", split="val"), 0.5, group=number) for number in range(10)]
    candidates += [candidate(row(str(number), task="summary"), 0.5, group=50 + number) for number in range(5)]
    picks = chosen(candidates, share=0.25)
    assert [number for number in range(40) if picks[number]] == list(range(30, 40))
    assert sum(picks[40:50]) == 2
    assert all(picks[50:])


def test_one_clip_does_not_take_the_places_of_others() -> None:
    candidates = [candidate(row("good"), 0.9, group=number) for number in range(5)]
    candidates += [candidate(row(f"other{number}"), 0.2, group=9 + number) for number in range(5)]
    assert sum(chosen(candidates, share=0.6)[:5]) == 1


@pytest.mark.parametrize("share", [0.2, 0.5, 1.0])
def test_families_and_answers_stay_balanced(share: float) -> None:
    random = Random(0)
    sizes = {"hair": 400, "nose": 60, "emotion": 150}
    candidates = [
        candidate(
            row(f"{random.randrange(99)}", family, random.choice([True, False, False, None])),
            random.random(),
            True,
            -number,
        )
        for family, size in sizes.items()
        for number in range(size)
    ]
    picks = chosen(candidates, share)
    found = Counter((c.row.family, c.row.truth) for c, pick in zip(candidates, picks, strict=True) if pick)
    for family in sizes:
        assert found[family, True] == found[family, False] > 0
    budget = int(share * len(candidates))
    totals = [sum(count for (of, _), count in found.items() if of == family) for family in sizes]
    assert sum(totals) <= budget
    if share == 0.2:  # no family is used up: all give the same
        assert max(totals) - min(totals) <= 4
        assert sum(totals) >= budget - 1
    assert picks == chosen(candidates, share)
    shuffled = np.random.default_rng(0).permutation(len(candidates))
    again = chosen([candidates[index] for index in shuffled], share)

    def texts(which: list[Candidate], marks: list[bool]) -> Counter[tuple[str, str, float]]:
        return Counter((c.row.clip_id, c.row.family, c.quality) for c, mark in zip(which, marks, strict=True) if mark)

    assert texts([candidates[index] for index in shuffled], again) == texts(candidates, picks)
