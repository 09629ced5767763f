"""Ask a model about faces as people do, and compare what it says with the labels and with itself.

    python benchmarks/everyday.py MODEL CORPUS --split val --out REPORT.md

Of every clip of the split each known attribute is asked for by yes or no in words that training used and in words that
were kept from it (the first word of the answer counts), what no clip can show and who it is in both kinds of
words, and the open questions and a description are answered in full. The tables: balanced accuracy by attribute with
95 % intervals by person; how often one fact is answered in two ways; how often it says that it cannot tell, where there
is something to tell and where there is not; what descriptions claim, and how much of what is there they tell.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch

from favchat.data.annotate.everyday_answers import known_labels, open_answers, person_of
from favchat.data.annotate.everyday_writer import subject, truth_of, yes_no_question
from favchat.data.annotate.grammar import UNKNOWN
from favchat.data.annotate.known_labels import known_labels_of
from favchat.data.annotate.label_check import truths
from favchat.data.corpus.clip import Clip, clip_from_row
from favchat.data.corpus.parquet_files import parquet_files, read_table
from favchat.data.corpus.schema import LABEL_COLUMNS, SHARDS
from favchat.evaluation.asking.eval_question import EvalQuestion
from favchat.evaluation.asking.local_backend import LocalModel
from favchat.io.paths import path_of
from favchat.labels.attribute_parser import parse_statements
from favchat.labels.attributes import EMOTION, attribute
from favchat.labels.everyday_templates import IDENTITY, OPEN, UNANSWERABLE, held_out, taught
from favchat.labels.everyday_yes_no import OPPOSITES, YES_NO
from favchat.model.answers_by_score import is_whole, start_of_answer
from favchat.training.batches.samples import CLIP_COLUMNS, read_clip

FEW = 8
"""Clear cases of either answer that an attribute needs to be counted in the mean."""
EMOTIONS = frozenset(emotion.name for emotion in EMOTION)


@dataclass
class Said:
    """One question and what the model made of it."""

    clip: str
    person: str
    attribute: str
    question: str
    unseen: bool
    truth: bool | None
    word: str = ""
    """The first word of the answer."""
    alone: str = ""
    """The first word that the language model would write by itself."""

    @property
    def says(self) -> bool | None:
        """Yes (True), no or neither."""
        return {"Yes": True, "No": False}.get(self.word)


@dataclass
class ClipAnswers:
    """All that was asked about a clip."""

    clip: Clip
    yes_no: list[Said] = field(default_factory=list)
    unanswerable: list[Said] = field(default_factory=list)
    open: list[dict[str, Any]] = field(default_factory=list)
    scores: dict[str, float] = field(default_factory=dict)


def half(person: str) -> str:
    """``A`` or ``B``, by a hash of whom a clip shows: choose on one, report on the other."""
    return "AB"[hashlib.sha256(f"half{person}".encode()).digest()[0] % 2]


def clips_of(corpus: str, split: str, batch: int) -> Iterator[list[dict[str, Any]]]:
    """The rows of a split, some at a time."""
    columns = list(dict.fromkeys([*CLIP_COLUMNS, *LABEL_COLUMNS]))
    rows: list[dict[str, Any]] = []
    for file in parquet_files(path_of(corpus) / SHARDS):
        rows += [row for row in read_table(file, columns).to_pylist() if row["split"] == split]
    rows.sort(key=lambda row: row["clip_id"])
    for begin in range(0, len(rows), batch):
        yield rows[begin : begin + batch]


def yes_no_questions(clip: Clip, names: Sequence[str], seed: int) -> list[Said]:
    """Each known attribute that the model was taught, in a taught and in an unseen form."""
    known, random = known_labels(clip), Random(f"everyday/{seed}/{clip.id}")
    person, found = person_of(known), []
    keys = defaultdict(list)
    for key in YES_NO:
        keys[OPPOSITES.get(key, key)].append(key)
    for name in names:
        if name not in known or name not in keys:
            continue
        for unseen in (False, True):
            key = random.choice(keys[name])
            who = subject(UNKNOWN if name == "male" else person, random)
            question = yes_no_question(key, who, random, held_out if unseen else taught)
            found.append(Said(clip.id, clip.identity or clip.id, name, question, unseen, truth_of(key, known)))
    return found


def unanswerable_questions(clip: Clip, seed: int) -> list[Said]:
    """Four that nobody can answer in taught words, four in others, and who it is in both."""
    random, person = Random(f"unanswerable/{seed}/{clip.id}"), person_of(known_labels(clip))
    found = []
    for forms, unseen in ((taught, False), (held_out, True)):
        texts = [*random.sample(forms(UNANSWERABLE), 4), random.choice(forms(IDENTITY))]
        for text in texts:
            question = subject(person, random).fill(text)
            found.append(Said(clip.id, clip.identity or clip.id, "", question, unseen, None))
    return found


@torch.inference_mode()
def ask(
    model: LocalModel, rows: Sequence[dict[str, Any]], seed: int, answer_open: bool, scores_only: bool = False
) -> list[ClipAnswers]:
    """Ask everything about some clips."""
    names, frames = model.processor.attributes, model.processor.num_frames
    visual = model.visual([read_clip(row, frames) for row in rows])
    head = model.model.model.adapter.attribute_head
    values = head.scores_and_likely(visual.attribute_logits).tolist() if head is not None else [[[], []]] * len(rows)
    found, items = [], []
    for video, row in enumerate(rows):
        clip = clip_from_row(row)
        one = ClipAnswers(clip, scores=dict(zip(names, values[video][0], strict=True)))
        likely = dict(zip(names, values[video][1], strict=True))
        one.yes_no = yes_no_questions(clip, names, seed)
        one.unanswerable = unanswerable_questions(clip, seed)
        both = [*one.yes_no, *one.unanswerable]
        asked = [said.question for said in both]
        alone = [""] * len(both) if scores_only else model.first_words(visual, video, asked)
        for said, word in zip(both, alone, strict=True):
            start = start_of_answer(said.question, one.scores, likely)
            said.alone, said.word = word, re.split(r"\W", start)[0] if start else word
        random, known = Random(f"open/{seed}/{clip.id}"), known_labels(clip)
        for topic in open_answers(known):
            forms = random.choice((taught, held_out)) if topic != "description" else taught
            who = subject(UNKNOWN if topic == "sex" else person_of(known), random)
            question = who.fill(random.choice(forms(OPEN[topic])))
            start = start_of_answer(question, one.scores, likely)
            entry = {"topic": topic, "question": question}
            one.open.append(entry | ({"answer": start} if scores_only and is_whole(start) and start else {}))
        items.append([_item(clip, entry["question"]) for entry in one.open] if answer_open and not scores_only else [])
        found.append(one)
    for one, answers in zip(found, model.texts(visual, items), strict=True):
        for entry, text in zip(one.open, answers, strict=False):
            entry["answer"] = text
    return found


def _item(clip: Clip, question: str) -> EvalQuestion:
    return EvalQuestion("everyday", "open", clip.id, clip.identity or clip.id, clip.split, "text", question)


def balanced(rows: Sequence[Said], alone: bool = False) -> float:
    """Mean recall of yes and no; whatever is neither is wrong."""
    recalls = []
    for truth in (True, False):
        right = "Yes" if truth else "No"
        told = [(said.alone if alone else said.word) == right for said in rows if said.truth is truth]
        recalls.append(np.mean(told) if told else np.nan)
    return float(np.mean(recalls))


def interval(rows: Sequence[Said], seed: int, draws: int = 300) -> tuple[float, float]:
    """Bounds of the 95 % interval when people are drawn."""
    people = sorted({said.person for said in rows})
    by_person = defaultdict(list)
    for said in rows:
        by_person[said.person].append(said)
    random, values = np.random.default_rng(seed), []
    for _ in range(draws):
        drawn = [said for person in random.choice(len(people), len(people)) for said in by_person[people[person]]]
        values.append(balanced(drawn))
    return float(np.nanquantile(values, 0.025)), float(np.nanquantile(values, 0.975))


def stated(one: ClipAnswers) -> dict[str, set[bool]]:
    """What the model's answers say of each attribute, over all kinds of questions about it."""
    found: dict[str, set[bool]] = defaultdict(set)
    for said in one.yes_no:
        if said.says is not None and said.truth is not None:
            key_holds = said.says is said.truth  # the label's own sense
            label = known_labels(one.clip)[said.attribute]
            value = label if key_holds else not label
            found[said.attribute].add(value)
    for entry in one.open:
        for statement in parse_statements(entry.get("answer", "")):
            named = attribute(statement.name)
            label = statement.holds != named.negated
            found[statement.name].add(label)
    return found


def report(found: Sequence[ClipAnswers], names: Sequence[str], seed: int, few: int) -> tuple[str, dict[str, float]]:
    """The tables, and the numbers that goals are about."""
    asked = [said for one in found for said in one.yes_no]
    by_name: dict[str, list[Said]] = defaultdict(list)
    for said in asked:
        by_name[said.attribute].append(said)
    lines = [
        "| attribute | yes | no | scores | taught words | other words | 95 % interval | language model alone |",
        "|---|---|---|---|---|---|---|---|",
    ]
    means: dict[str, list[float]] = defaultdict(list)
    for name in sorted(by_name, key=lambda name: names.index(name)):
        rows = by_name[name]
        labels = {one.clip.id: known_labels(one.clip).get(name) for one in found}
        present = sum(label is True for label in labels.values())
        absent = sum(label is False for label in labels.values())
        if min(present, absent) == 0:
            continue
        seen, unseen = [[said for said in rows if said.unseen is kind] for kind in (False, True)]
        score = _balanced_scores(found, name)
        values = [score, balanced(seen), balanced(unseen)]
        counted = min(present, absent) >= few
        low, high = interval(rows, seed)
        mark = "" if counted else " (few)"
        lines.append(
            f"| {name}{mark} | {present} | {absent} | "
            + " | ".join(f"{value:.3f}" for value in values)
            + f" | {low:.3f} to {high:.3f} | {balanced(rows, alone=True):.3f} |"
        )
        if counted:
            kinds = ("scores", "taught words", "other words", "language model alone, taught words")
            for kind, value in zip(kinds, [*values, balanced(seen, alone=True)], strict=True):
                means[kind].append(value)
            if name not in EMOTIONS:
                means["plain scores"].append(score)
    numbers = {f"balanced accuracy, {kind}": float(np.mean(means[kind])) for kind in means if kind != "plain scores"}
    if means["plain scores"]:
        numbers["balanced accuracy, scores, without the emotions"] = float(np.mean(means["plain scores"]))
    numbers["attributes counted"] = len(means["scores"])
    agree = [
        _scored_present(one.scores, said.attribute)
        == (known_labels(one.clip)[said.attribute] == (said.says is said.truth))
        for one in found
        for said in one.yes_no
        if said.says is not None and said.truth is not None
    ]
    numbers["words agree with scores"] = float(np.mean(agree))
    facts = [len(values) > 1 for one in found for values in stated(one).values() if values]
    numbers["contradictions"] = float(np.mean(facts))
    cannot = [said for one in found for said in one.unanswerable]
    for kind, unseen in (("taught", False), ("unseen", True)):
        numbers[f"abstains rightly, {kind}"] = float(np.mean([s.word == "I" for s in cannot if s.unseen is unseen]))
    numbers["abstains wrongly"] = float(np.mean([said.word == "I" for said in asked]))
    numbers["neither yes, no nor abstaining"] = float(np.mean([said.word not in ("Yes", "No", "I") for said in asked]))
    right = defaultdict(list)
    claims, recalled = [], []
    for one in found:
        known = truths(known_labels_of(one.clip))
        for entry in one.open:
            if "answer" not in entry:
                continue
            said = [s for s in parse_statements(entry["answer"])]
            told = [known[s.name] is s.holds for s in said if s.name in known]
            entry["right"] = bool(told) and all(told)
            if entry["topic"] == "description":
                claims += [known[s.name] is s.holds for s in said if s.name in known]
                there = {n for n, holds in known.items() if holds and n in names}
                recalled += [name in {s.name for s in said if s.holds} for name in there]
            else:
                right[entry["topic"]].append(entry["right"])
    if claims:
        numbers["descriptions, precision"] = float(np.mean(claims))
        numbers["descriptions, recall"] = float(np.mean(recalled))
        lines += ["", "| open question | answers | right |", "|---|---|---|"]
        lines += [f"| {topic} | {len(values)} | {np.mean(values):.3f} |" for topic, values in right.items()]
        numbers["open questions right"] = float(np.mean([value for values in right.values() for value in values]))
    if not any(said.alone for said in asked):  # the language model was not asked
        words = ("language model alone", "abstains rightly", "neither")
        numbers = {name: value for name, value in numbers.items() if not any(word in name for word in words)}
        topics = [entry for one in found for entry in one.open]
        numbers["open questions answered by scores"] = float(np.mean(["answer" in entry for entry in topics]))
    head = ["| measure | value |", "|---|---|", *(f"| {name} | {value:.3f} |" for name, value in numbers.items()), ""]
    return "\n".join([*head, *lines]), numbers


def _balanced_scores(found: Sequence[ClipAnswers], name: str) -> float:
    pairs = [(known_labels(one.clip).get(name), _scored_present(one.scores, name)) for one in found]
    recalls = [np.mean([says is truth for label, says in pairs if label is truth]) for truth in (True, False)]
    return float(np.mean(recalls))


def _scored_present(scores: Mapping[str, float], name: str) -> bool:
    """Whether an attribute is present by its score; of the emotions the likeliest is, as in words."""
    if name in EMOTIONS:
        return name == max(EMOTIONS & scores.keys(), key=lambda emotion: scores[emotion])
    return scores.get(name, 0.0) > 0.5


def main() -> None:
    """Ask, and write the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("corpus")
    parser.add_argument("--split", default="val")
    parser.add_argument("--half", choices=["A", "B", "all"], default="all", help="of the people of the split")
    parser.add_argument("--few", type=int, default=FEW)
    parser.add_argument("--clips", type=int, help="at most so many clips")
    parser.add_argument("--scores-only", action="store_true", help="only what the scores answer, no language model")
    parser.add_argument("--closed", action="store_true", help="no open questions")
    parser.add_argument("--labelled", type=int, default=5, help="only clips with at least so many known labels")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    model = LocalModel(arguments.model, max_new_tokens=64)
    found: list[ClipAnswers] = []
    began = time.monotonic()
    for rows in clips_of(arguments.corpus, arguments.split, 8):
        chosen = []
        for row in rows:
            clip = clip_from_row(row)
            known = len(known_labels(clip))
            if known >= arguments.labelled and arguments.half in ("all", half(clip.identity or clip.id)):
                chosen.append(row)
        if chosen and (arguments.clips is None or len(found) < arguments.clips):
            found += ask(model, chosen, arguments.seed, not arguments.closed, arguments.scores_only)
    text, numbers = report(found, model.processor.attributes, arguments.seed, arguments.few)
    seconds = time.monotonic() - began
    title = f"{len(found)} clips of split {arguments.split}, half {arguments.half}, {seconds:.0f} s"
    arguments.out.write_text(f"{title}\n\n{text}\n")
    answers = [
        {
            "clip": one.clip.id,
            "open": one.open,
            "yes_no": [(s.attribute, s.question, s.unseen, s.truth, s.word) for s in one.yes_no],
            "unanswerable": [(s.question, s.unseen, s.word) for s in one.unanswerable],
        }
        for one in found
    ]
    arguments.out.with_suffix(".json").write_text(json.dumps({"numbers": numbers, "answers": answers}, indent=1))
    print(title)
    print(text)


if __name__ == "__main__":
    main()
