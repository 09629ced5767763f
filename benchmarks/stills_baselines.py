"""What a model has to beat on `stills_in_motion/val`: emotion, eight classes.

    python benchmarks/stills_baselines.py TRAIN VAL [--evaluation NAME=REPORT ...] [--out FILE.md] [--cache DIR]

TRAIN and VAL are corpora of `favchat prepare`. The table holds

- the most frequent emotion of the training clips,
- the expression trunk's own seven logits, mean over the frames with a face (it knows no contempt), not trained here,
- logistic regression on the expression trunk's last level, on all of its levels, and on both trunks: means over the
  frames and over each map, the same features that the model gets, its regularisation chosen by cross validation,
- SmolLM2 without vision: the likelihood of each word after the same question, the same for every clip,

and a line for each REPORT of `favchat evaluate` whose task ``celebv_hq_emotion`` asked about VAL. Intervals are 95 %
bootstrap intervals by person, as everywhere in the evaluation.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import torch
from torch import Tensor

from favchat.backbones import assets
from favchat.data.corpus.parquet_files import parquet_files, read_table
from favchat.data.corpus.schema import SHARDS
from favchat.evaluation.asking.eval_question import PREDICTION_SCHEMA, EvalQuestion
from favchat.evaluation.evaluate import PREDICTIONS
from favchat.evaluation.labelled_clips import LabelledClip, read_clips
from favchat.evaluation.reporting.report import HEADINGS, shown_metric
from favchat.evaluation.scoring.choices import Result, Scoring, class_results, closed_result
from favchat.evaluation.scoring.linear_probe import prediction, probe_predictions
from favchat.evaluation.scoring.metrics import Floats
from favchat.evaluation.task import EXPRESSION_LEAD, choice
from favchat.io.paths import path_of
from favchat.labels.attributes import EMOTION
from favchat.model.face_pyramid import EXPRESSIONS, FacePyramidModel, FacePyramidOutput
from favchat.training.batches.samples import CLIP_COLUMNS, read_clip

NAMES = [emotion.name for emotion in EMOTION]
WORDS = [emotion.phrase for emotion in EMOTION]
OURS = {
    "neutral": "neutral",
    "happy": "happy",
    "sad": "sadness",
    "angry": "anger",
    "fearful": "fear",
    "disgusted": "disgust",
    "surprised": "surprise",
}
"""The trunk's classes -> the labels'."""
METRICS = ("war", "uar", "macro_f1", "map", "auc", "ece")


def features(
    corpus: str, clips: Sequence[LabelledClip], frames: int, cache: Path | None
) -> dict[str, dict[str, Floats]]:
    """Clip -> what the trunks give: ``logits``, ``last``, ``expression`` (all levels) and ``both`` trunks' levels."""
    kept = cache / f"{Path(corpus).name}-{frames}.npz" if cache else None
    if kept is not None and kept.exists():
        stored = np.load(kept)
        return {clip: {kind: stored[f"{clip}|{kind}"] for kind in _KINDS} for clip in stored["clips"].tolist()}
    trunks = FacePyramidModel.from_trunks().eval()
    found: dict[str, dict[str, Floats]] = {}
    names = [one.clip.id for one in clips]
    wanted = pc.field("clip_id").isin(names)
    for file in parquet_files(path_of(corpus) / SHARDS):
        for row in read_table(file, CLIP_COLUMNS, filters=wanted).to_pylist():
            clip = read_clip(row)
            picked = ((np.arange(frames) + 0.5) * len(clip.faces) / frames).astype(int)
            faces = torch.from_numpy(clip.faces[picked]).permute(0, 3, 1, 2).float() / 255  # (T, 3, S, S)
            seen = torch.from_numpy(clip.visible[picked])
            with torch.inference_mode():
                output = trunks(faces)
            found[row["clip_id"]] = _pooled(output, seen if seen.any() else torch.ones_like(seen))
    if kept is not None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        arrays = {f"{clip}|{kind}": some[kind] for clip, some in found.items() for kind in _KINDS}
        np.savez(kept, clips=np.array(list(found)), **arrays)
    return found


_KINDS = ("logits", "last", "expression", "both")


def _pooled(output: FacePyramidOutput, seen: Tensor) -> dict[str, Floats]:
    states = {kind: getattr(output, f"{kind}_states") for kind in ("expression", "identity")}
    means = {
        kind: [state[seen].mean(dim=(0, 2, 3)).double().numpy() for state in some] for kind, some in states.items()
    }
    return {
        "logits": torch.as_tensor(output.expression_logits)[seen].mean(0).double().numpy(),
        "last": means["expression"][-1],
        "expression": np.concatenate(means["expression"]),
        "both": np.concatenate([*means["expression"], *means["identity"]]),
    }


def items_of(clips: Sequence[LabelledClip]) -> list[EvalQuestion]:
    """The emotion of each clip that has one."""
    return [
        EvalQuestion(
            "emotion",
            "emotion",
            one.clip.id,
            one.person,
            one.clip.split,
            "features",
            "emotion",
            tuple(NAMES),
            truth=NAMES.index(one.clip.emotion),
        )
        for one in clips
        if one.clip.emotion is not None
    ]


def trunk_chances(logits: Floats) -> Floats:
    """The trunk's softmax in the order of our emotions; contempt gets 0."""
    chances = np.exp(logits - logits.max())
    chances /= chances.sum()
    found = np.zeros(len(NAMES))
    for name, chance in zip(EXPRESSIONS, chances, strict=True):
        found[NAMES.index(OURS[name])] = chance
    return found


def without_vision() -> Floats:
    """The probabilities that SmolLM2 gives the eight words when it is asked about a video that it does not get."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from favchat.model.processing_favchat import SYSTEM

    folder = str(assets.path("smollm2-135m-instruct"))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    chat = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": choice(WORDS)}]
    prompt = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True) + EXPRESSION_LEAD
    begin = tokenizer(prompt, add_special_tokens=False, return_tensors="pt")["input_ids"].shape[1]
    sums = []
    for word in WORDS:
        ids = tokenizer(f"{prompt} {word}", add_special_tokens=False, return_tensors="pt")["input_ids"]
        with torch.inference_mode():
            logs = model(ids).logits[0].log_softmax(-1)
        sums.append(sum(logs[place - 1, ids[0, place]].item() for place in range(begin, ids.shape[1])))
    weights = np.exp(np.array(sums) - max(sums))
    return weights / weights.sum()


def evaluated(report: str, known: Sequence[EvalQuestion], scoring: Scoring) -> list[Result]:
    """The results of an evaluation on these clips, by each way of answering."""
    rows = read_table(path_of(report) / PREDICTIONS, PREDICTION_SCHEMA.names).to_pylist()
    asked = {item.clip_id for item in known}
    some = [r for r in rows if (r["task"], r["part"]) == ("celebv_hq_emotion", "clip") and r["clip_id"] in asked]
    return [
        closed_result("clip", way, len(asked), [row for row in some if row["way"] == way], WORDS, scoring, of="emotion")
        for way in sorted({row["way"] for row in some})
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("train")
    parser.add_argument("val")
    parser.add_argument("--evaluation", nargs="*", default=[], metavar="NAME=REPORT")
    parser.add_argument("--frames", type=int, default=4, help="frames of a clip, as many as the model sees")
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--cache", type=Path, help="folder for the trunks' features")
    parser.add_argument("--out", type=Path, help="also write the table to this file")
    arguments = parser.parse_args()
    torch.set_num_threads(1)

    trained, asked = (
        [one for one in read_clips(corpus) if one.clip.emotion is not None]
        for corpus in (arguments.train, arguments.val)
    )
    before, now = items_of(trained), items_of(asked)
    scoring = Scoring(arguments.resamples, 0, before)
    seen = {
        **features(arguments.train, trained, arguments.frames, arguments.cache),
        **features(arguments.val, asked, arguments.frames, arguments.cache),
    }
    counts = np.bincount([item.truth for item in before if item.truth is not None], minlength=len(NAMES))
    constant = {item.clip_id: counts / counts.sum() for item in now}
    blind = without_vision()
    results: list[tuple[str, Result]] = []

    def add(name: str, chances: dict[str, Floats]) -> None:
        rows = [prediction(item, chances[item.clip_id]) for item in now]
        results.append((name, closed_result("emotion", "features", len(now), rows, NAMES, scoring)))

    add("most frequent emotion", constant)
    add("SmolLM2 without vision", {item.clip_id: blind for item in now})
    add("expression trunk's own logits", {item.clip_id: trunk_chances(seen[item.clip_id]["logits"]) for item in now})
    for kind, name in {
        "last": "expression trunk, last level",
        "expression": "all levels",
        "both": "both trunks",
    }.items():
        some = {clip: values[kind].tolist() for clip, values in seen.items()}
        learnt, items, rows = probe_predictions(some, trained, asked, parts=["emotion"])
        (result,) = class_results(items, rows, Scoring(arguments.resamples, 0, learnt))
        results.append((f"logistic regression: {name}", result))
    for word in arguments.evaluation:
        name, _, report = word.partition("=")
        results += [(f"{name}, {result.way}", result) for result in evaluated(report, now, scoring)]

    people = len({item.identity for item in now})
    lines = [
        "# What a model has to beat on stills_in_motion/val",
        "",
        f"Emotion, {len(NAMES)} classes ({len({item.truth for item in now})} present), {len(now)} clips of {people} "
        f"people; {len(before)} training clips. 95 % intervals by person, {arguments.resamples} draws.",
        "",
        "| | " + " | ".join(HEADINGS[name] for name in METRICS) + " | unparsed |",
        "|---" * (len(METRICS) + 2) + "|",
        *(
            f"| {name} | "
            + " | ".join(shown_metric(result.metrics[m]) if m in result.metrics else "" for m in METRICS)
            + f" | {result.unparsed} |"
            for name, result in results
        ),
    ]
    print("\n".join(lines))
    if arguments.out:
        arguments.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
