"""Parts of the model left out, one at a time: each variant trained with the same budget, and compared with the whole.

    python benchmarks/ablations.py CORPUS CONFIG [--seeds 0 1 2] [--out RESULT.md] [--runs DIR] [--steps N]
        [--variants full no_face_encoder ...] [--main full no_face_encoder ...]
        [--set training.stages='[...]' evaluation.max_clips=200 ...]

CORPUS is annotated and has a training split and one to ask about (`evaluation.split`); CONFIG is a YAML file or a
preset's name. With `--main` only those variants are trained with every seed, the others with the first alone. Every
variant and seed is one run of `favchat train`, with the same data, steps and order of samples, then one of `favchat
evaluate`: the emotion of a clip and the attributes blurry, nod, shake_head and head_wagging, by likelihood unless
`evaluation.ways` says otherwise. Both go on where they were, so that the same command, started again, repeats nothing
that is finished. A run keeps the model of each of its stages: with `nano` 0.3 GB each.

Prints Markdown: a table of what was trained, one for each question, and one of all attributes by family. WAR and UAR
are means over the seeds, their 95 % intervals from draws of people, each with all clips and all seeds; "sd" is the
standard deviation over the seeds. The differences to the full model are tested as `favchat compare` does, a person's
answers of all seeds swapped at once. Neither interval nor test knows of seeds that were not run: read them beside the
sd.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch

from favchat.config import AdapterConfig, Config, load
from favchat.data.corpus.parquet_files import read_table
from favchat.evaluation.asking.eval_question import PREDICTION_SCHEMA
from favchat.evaluation.evaluate import PREDICTIONS, evaluate
from favchat.evaluation.reporting.report import METRICS, write_report
from favchat.evaluation.scoring.attributes import labels_by_attribute
from favchat.evaluation.scoring.choices import answers_of
from favchat.evaluation.scoring.metrics import Answers, plain
from favchat.evaluation.scoring.resampling import Estimate, cluster_numbers, estimates, paired
from favchat.io.paths import absolute
from favchat.labels.attributes import attribute
from favchat.model.adapter import FaVChatAdapter, active_parameters
from favchat.model.build import architecture
from favchat.runtime import ray_cluster
from favchat.training.curriculum import TrainResult, train
from jobs.commands.settings import CONFIGS

FULL = "full"
EMOTION = "emotion"
ATTRIBUTES = ("blurry", "nod", "shake_head", "head_wagging")
TASKS = {EMOTION: ("celebv_hq_emotion", "clip"), **{name: ("celebv_hq_attributes", name) for name in ATTRIBUTES}}
"""What is asked -> the evaluation's task and part."""

VARIANTS: dict[str, Callable[[AdapterConfig], dict[str, object]]] = {
    FULL: lambda adapter: {},
    "no_face_encoder": lambda adapter: {"face_grid": 0},
    "no_general_encoder": lambda adapter: {"vision_grid": 0},
    "last_level": lambda adapter: {"face_levels": (adapter.face_levels or [-1])[-1:]},
    # As wide as all the experts together that a token passes through.
    "dense": lambda adapter: {"num_experts": 1, "top_k": 1, "expert_size": adapter.expert_size * adapter.top_k},
    "no_injection": lambda adapter: {"inject_levels": False},
}
"""Name -> the settings of ``model.adapter`` that make it, see docs/model.md."""


@dataclass(frozen=True)
class Asked:
    """What one run answered to one question about many clips."""

    clips: tuple[str, ...]
    people: tuple[str, ...]
    answers: Answers


@dataclass(frozen=True)
class Run:
    """One variant with one seed, trained and evaluated."""

    variant: str
    seed: int
    trained: TrainResult
    report: Path


def variant_of(config: Config, name: str, seed: int, folder: Path) -> Config:
    """The configuration of one run; `folder` gets ``run`` and ``report``."""
    adapter = config.model.adapter
    changed = AdapterConfig.model_validate(adapter.model_dump() | VARIANTS[name](adapter))
    run, evaluation = folder / "run", config.evaluation
    return config.model_copy(
        update={
            "seed": seed,
            "model": config.model.model_copy(update={"adapter": changed}),
            "training": config.training.model_copy(update={"out": str(run)}),
            "evaluation": evaluation.model_copy(
                update={
                    "model": str(run / "model"),
                    "out": str(folder / "report"),
                    "tasks": list(dict.fromkeys(task for task, _ in TASKS.values())),
                    "ways": evaluation.ways or ["likelihood"],
                }
            ),
            # Models with parts left out are none to be found in the registry.
            "tracking": config.tracking.model_copy(update={"registered_model": None}),
        }
    )


def run_variant(config: Config, name: str, seed: int, runs: Path) -> Run:
    """Train and evaluate what is not done yet."""
    folder = runs / name / f"seed-{seed}"
    own = variant_of(config, name, seed, folder)
    trained = train(own)
    scored = own.model_copy(update={"seed": config.seed})  # so that all reports draw the same people
    write_report(evaluate(scored), scored)
    return Run(name, seed, trained, folder / "report")


def planned(seeds: Sequence[int], variants: Sequence[str], main: Sequence[str]) -> list[tuple[int, str]]:
    """Seed and variant of every run; all variants of the first seed come first: a table of them is worth something."""
    return [(seed, name) for seed in seeds for name in variants if seed == seeds[0] or name in main]


def read_asked(report: Path, question: str, way: str) -> Asked | None:
    """The answers of one evaluation to one of ``TASKS``, in the order of the clips; None where nothing was asked."""
    task, part = TASKS[question]
    table = read_table(report / PREDICTIONS, PREDICTION_SCHEMA.names)
    rows = [row for row in table.to_pylist() if (row["task"], row["part"], row["way"]) == (task, part, way)]
    rows.sort(key=lambda row: row["clip_id"])
    if not rows:
        return None
    answers = (
        answers_of(rows, rows[0]["options"]) if question == EMOTION else labels_by_attribute(rows, [])[part].answers
    )
    return Asked(tuple(row["clip_id"] for row in rows), tuple(row["identity"] for row in rows), answers)


def pooled(asked: Sequence[Asked]) -> tuple[Answers, np.ndarray]:
    """The answers of several seeds to the same questions as one set, and whom each is about.

    Every class is as frequent with each seed, so that WAR and UAR of all answers are the means over the seeds.
    """
    if len({(one.clips, one.people) for one in asked}) > 1:
        raise SystemExit("the runs were asked about different clips; choose another --runs")
    answers = [one.answers for one in asked]
    together = Answers(
        np.concatenate([one.truth for one in answers]),
        np.concatenate([one.predicted for one in answers]),
        answers[0].classes,
    )
    return together, cluster_numbers([person for one in asked for person in one.people])


def trained_table(config: Config, runs: Sequence[Run]) -> list[str]:
    """What each variant is and how its training went, means over the seeds."""
    lines = [
        "| variant | `model.adapter` | adapter, million parameters | a token uses | tokens a clip | steps | last loss "
        "| held-out loss | training (s) |",
        "|---" * 9 + "|",
    ]
    for name in dict.fromkeys(run.variant for run in runs):
        some = [run for run in runs if run.variant == name]
        model = variant_of(config, name, 0, Path()).model
        adapter = architecture(model).adapter_config
        with torch.device("meta"):
            everything = sum(parameter.numel() for parameter in FaVChatAdapter(adapter).parameters())
        tokens = model.num_frames * (adapter.vision_grid**2 + adapter.face_grid**2)
        changes = ", ".join(f"{key}: {value}" for key, value in VARIANTS[name](config.model.adapter).items())
        stages = [run.trained.stages for run in some]
        held_out = [stage[-1].metrics.get("val_loss") for stage in stages]
        shown = "" if None in held_out else f"{np.mean([loss for loss in held_out if loss is not None]):.3f}"
        steps = sorted({sum(int(one.metrics["step"]) for one in stage) for stage in stages})
        lines.append(
            f"| {name} | {changes} | {everything / 1e6:.2f} | {active_parameters(adapter) / 1e6:.2f} | {tokens} "
            f"| {', '.join(map(str, steps))} | {np.mean([stage[-1].last_loss for stage in stages]):.3f} | {shown} "
            f"| {np.mean([sum(one.seconds for one in stage) for stage in stages]):.0f} |"
        )
    return lines


def question_table(question: str, runs: Sequence[Run], way: str, resamples: int) -> list[str]:
    """One question: each variant, and its difference to the full model over the seeds that both have."""
    found_by_run = {(run.variant, run.seed): read_asked(run.report, question, way) for run in runs}
    asked = {key: one for key, one in found_by_run.items() if one is not None}
    if not asked:
        return [f"## {question}", "", "Not labelled in this corpus."]
    first = next(iter(asked.values()))
    always = json.loads((runs[0].report / METRICS).read_text(encoding="utf-8"))["tasks"][TASKS[question][0]]["results"]
    metrics = next(one for one in always if (one["part"], one["way"]) == (TASKS[question][1], way))["metrics"]
    lines = [
        f"## {question}",
        "",
        f"{len(first.clips)} clips of {len(set(first.people))} people, answered by {way}.",
        "",
        "| variant | seeds | WAR | sd | UAR | sd | AUC | WAR, less full | p | UAR, less full | p |",
        "|---" * 11 + "|",
        f"| always the most frequent | | {metrics['war']['majority']:.3f} | | {metrics['uar']['majority']:.3f} |"
        + " |" * 6,
    ]
    for name in dict.fromkeys(variant for variant, _ in asked):
        some = {seed: one for (variant, seed), one in asked.items() if variant == name}
        each = [plain(one.answers) for one in some.values()]
        found = estimates(*pooled(list(some.values())), resamples=resamples)
        cells = [name, str(len(some))]
        for metric in ("war", "uar"):
            spread = np.std([one[metric] for one in each], ddof=1) if len(each) > 1 else None
            cells += [shown(found[metric]), "" if spread is None else f"{spread:.3f}"]
        cells.append(f"{np.mean([one['auc'] for one in each]):.3f}" if "auc" in each[0] else "")
        both = [seed for seed in some if (FULL, seed) in asked]
        if name == FULL or not both:
            cells += [""] * 4
        else:
            whole, people = pooled([asked[FULL, seed] for seed in both])
            part, _ = pooled([asked[name, seed] for seed in both])
            tested = paired(whole, part, people, resamples=resamples)
            for metric in ("war", "uar"):
                p = tested[metric].p
                cells += [shown(tested[metric].difference, "+.3f"), "" if p is None else f"{p:.3f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


FEWEST = 8
"""Clear cases of either answer that an attribute needs to be counted in its family's mean."""


def balanced_accuracies(run: Run, way: str) -> tuple[tuple[str, ...], dict[str, tuple[np.ndarray, np.ndarray]]]:
    """What one run answered about every attribute with :data:`FEWEST` clear cases of either answer.

    Returns:
        The people asked about, sorted; and by attribute who each answered clip shows, as an index into them, beside
        which recall it counts for and whether it was right: `(n, 3)` integers.
    """
    table = read_table(run.report / PREDICTIONS, PREDICTION_SCHEMA.names)
    rows = [row for row in table.to_pylist() if (row["task"], row["way"]) == ("celebv_hq_attributes", way)]
    people = sorted({row["identity"] for row in rows})
    number = {person: index for index, person in enumerate(people)}
    found = {}
    for name, labels in labels_by_attribute(rows, []).items():
        truth = labels.answers.truth
        if np.bincount(truth, minlength=2).min() >= FEWEST:
            whom = np.array([number[person] for person in labels.people])
            found[name] = np.stack([whom, truth, labels.answers.predicted == truth], axis=1)
    return tuple(people), found


def family_table(runs: Sequence[Run], way: str, resamples: int, seed: int = 0) -> list[str]:
    """Mean balanced accuracy by family, and each variant's difference to the full model over the seeds of both.

    Intervals are of draws of people, each with all clips, attributes and seeds.
    """
    answered = {(run.variant, run.seed): balanced_accuracies(run, way) for run in runs}
    answered = {key: one for key, one in answered.items() if one[1]}
    lines = ["## Families of attributes", ""]
    if not answered:
        return [*lines, f"No attribute was answered by {way} with {FEWEST} clear cases of either answer."]
    asked = {
        (people, *((name, some[:, :2].tobytes()) for name, some in found.items()))
        for people, found in answered.values()
    }
    if len(asked) > 1:
        raise SystemExit("the runs were asked about different clips; choose another --runs")
    people, first = next(iter(answered.values()))
    families: dict[str, list[str]] = {}
    for name in first:
        families.setdefault(attribute(name).family, []).append(name)
    families["all"] = list(first)
    draws = np.random.default_rng(seed).multinomial(len(people), np.full(len(people), 1 / len(people)), size=resamples)
    weights = np.concatenate([np.ones((1, len(people)), np.int64), draws])  # the first: everybody once
    by_run = {
        key: {name: _balanced(some, weights) for name, some in found.items()} for key, (_, found) in answered.items()
    }
    variants = list(dict.fromkeys(variant for variant, _ in answered))
    lines += [
        f"Mean balanced accuracy of the attributes with {FEWEST} clear cases of either answer, answered by {way}: "
        "means over the seeds, sd over them, and less the full model.",
        "",
        "| family | attributes | "
        + " | ".join(f"{name} | sd" + (" | less full" if name != FULL else "") for name in variants)
        + " |",
    ]
    lines.append("|---" * (lines[-1].count("|") - 1) + "|")
    for family, names in families.items():
        cells = [family, str(len(names))]
        for variant in variants:
            seeds = [number for kind, number in answered if kind == variant]
            each = {number: np.mean([by_run[variant, number][name] for name in names], axis=0) for number in seeds}
            spread = f"{np.std([one[0] for one in each.values()], ddof=1):.3f}" if len(each) > 1 else ""
            cells += [f"{np.mean([one[0] for one in each.values()]):.3f}", spread]
            if variant != FULL:
                both = [number for number in seeds if (FULL, number) in answered]
                whole = {number: np.mean([by_run[FULL, number][name] for name in names], axis=0) for number in both}
                less = np.mean([each[number] - whole[number] for number in both], axis=0) if both else None
                cells.append("" if less is None else f"{less[0]:+.3f} [{_bounds(less[1:])}]")
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _balanced(answers: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean recall of yes and no, `(draws,)`, each person counted `weights` `(draws, people)` times."""
    recalls = []
    for truth in (0, 1):
        whom, right = answers[answers[:, 1] == truth, 0], answers[answers[:, 1] == truth, 2]
        times = weights[:, whom]
        recalls.append((times * right).sum(axis=1) / np.maximum(times.sum(axis=1), 1))
    return np.asarray(np.mean(recalls, axis=0))


def _bounds(values: np.ndarray) -> str:
    low, high = np.quantile(values, [0.025, 0.975])
    return f"{low:+.3f}, {high:+.3f}"


def shown(estimate: Estimate, form: str = ".3f") -> str:
    """A value with its interval."""
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:{form}}"
    return f"{estimate.value:{form}} [{estimate.low:{form}}, {estimate.high:{form}}]"


def main() -> None:
    """Train, evaluate, compare and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("corpus")
    parser.add_argument("config", help="a YAML file, or a preset's name")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--variants", nargs="+", choices=list(VARIANTS), default=list(VARIANTS))
    parser.add_argument("--main", nargs="+", choices=list(VARIANTS), help="variants with all seeds; default: all")
    parser.add_argument("--runs", type=Path, default=Path("outputs/ablations"), help="folder of all runs")
    parser.add_argument("--steps", type=int, help="optimiser steps of every stage")
    parser.add_argument("--set", nargs="+", default=[], metavar="SECTION.KEY=VALUE", help="settings for all runs")
    parser.add_argument("--out", type=Path, help="also write the tables to this file")
    arguments = parser.parse_args()

    preset = CONFIGS / f"{arguments.config}.yaml"
    file = preset if preset.is_file() else Path(arguments.config)
    words = [*arguments.set, f"data.out={absolute(arguments.corpus)}"]
    config = load(file, words)
    if arguments.steps:
        words += [f"training.stages.{number}.steps={arguments.steps}" for number in range(len(config.training.stages))]
        config = load(file, words)
    if config.training.init or any(stage.init for stage in config.training.stages):
        parser.error("training.init and stages' init start from a model whose parts are settled; leave them out")

    ray_cluster.start(config.ray)
    runs = []
    for seed, name in planned(arguments.seeds, arguments.variants, arguments.main or arguments.variants):
        runs.append(run_variant(config, name, seed, arguments.runs.absolute()))
        print(f"{name}, seed {seed}: {runs[-1].trained.summary()}", flush=True)
    runs.sort(key=lambda run: (list(VARIANTS).index(run.variant), run.seed))

    way = (config.evaluation.ways or ["likelihood"])[0]
    lines = [
        "# Parts of the model left out",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, {os.cpu_count()} cores, Python "
        f"{platform.python_version()}, torch {torch.__version__}. `{Path(arguments.config).stem}`, seeds "
        f"{', '.join(map(str, arguments.seeds))}"
        + (f", `{' '.join(arguments.set)}`" if arguments.set else "")
        + f". In brackets 95 % intervals by person, {config.evaluation.resamples:,} draws; sd: over the seeds.",
        "",
        *trained_table(config, runs),
    ]
    for question in TASKS:
        lines += ["", *question_table(question, runs, way, config.evaluation.resamples)]
    lines += ["", *family_table(runs, way, config.evaluation.resamples)]
    print("\n".join(lines))
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
