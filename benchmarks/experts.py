"""The study of the expert count in one process: the grid of a configuration's `tune` section, without Ray.

    python benchmarks/experts.py CORPUS SWEEP [--config experts] [--set training.stages.0.epochs=4 ...]

Every combination with every seed is trained and measured as `favchat tune` does it, by the same steps in the same order
on the same cached features, but one after the other in this process: what Ray, DeepSpeed and MLflow take to start for
each trial, more CPU time than the training of so small a stage, is left out. The stage has to keep the encoders frozen.
SWEEP gets `trials.json`, `results.csv` and a folder for each trial with its reports and its evaluation; `favchat tune
--report SWEEP` and `favchat compare` read them. Started again it goes on with the trials that are missing.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from upath import UPath

from favchat.config import Config, load
from favchat.data.corpus.parquet_files import parquet_files, write_whole
from favchat.data.corpus.schema import SHARDS
from favchat.evaluation.evaluate import PREDICTIONS
from favchat.evaluation.named_metric import predicted_in_memory
from favchat.evaluation.scoring.predictions import table_of
from favchat.io.files import write_text_whole
from favchat.io.paths import path_of
from favchat.model.adapter import active_parameters
from favchat.training.batches.stage_source import StageSource
from favchat.training.features.feature_encoder import compute_features
from favchat.training.stage.expert_usage import usage_entropy
from favchat.training.stage.job import REPORTS, StageJob, report_steps
from favchat.training.stage.metrics_recorder import peak_memory
from favchat.training.stage.optimizer import make_optimizer
from favchat.training.stage.precision import prepare_model, stage_precision
from favchat.training.stage.starting_model import set_learning, starting_model
from favchat.training.stage.step import Stepper, TorchEngine
from favchat.training.stage.train_loop import set_prior
from favchat.training.stage.validation import evaluating
from jobs.commands.settings import CONFIGS
from tune.goal import Goal, evaluation_of
from tune.quality import EVALUATION, check_quality
from tune.report import TRIALS, redraw
from tune.results import Kept, Trial, dead_experts, rank, write_table
from tune.space import Point, decode, grid

DONE = "trial.json"


def train_one(config: Config, point: Point, folder: Path, metric: str) -> Trial:
    """Train and measure one combination, unless an earlier call has done so."""
    record = folder / DONE
    if record.is_file():
        content = json.loads(record.read_text())
        return Trial(**{**content, "point": decode(content["point"])})
    own = point.apply(config)
    (stage,) = own.training.stages
    precision = stage_precision(stage, on_gpu=False)
    began = time.perf_counter()
    model, processor = starting_model(own.model, own.seed, None)
    set_learning(model, own.model, stage.trainable, own.seed)
    source = StageSource(own, stage, None)
    shards = [str(file) for file in parquet_files(path_of(own.data.out or "") / SHARDS)]
    source.features = compute_features(own, stage, None, shards)
    place = folder / "stages" / stage.name
    place.mkdir(parents=True, exist_ok=True)
    if stage.task == "attributes":
        set_prior(model, StageJob(own, stage, source.steps, None, source, place, None))
    prepare_model(model, own.training, stage, precision)
    engine = TorchEngine(model, make_optimizer(model, stage), stage, precision=precision)
    stepper, batches = Stepper(engine, stage, source.steps, seed=own.seed), source.read_batches(0, 1, 0)
    seconds: list[float] = []
    reports: list[dict[str, Any]] = []
    choices: torch.Tensor | None = None
    for step in range(1, source.steps + 1):
        at = time.perf_counter()
        result = stepper.step(step, [next(batches)])
        seconds.append(time.perf_counter() - at)
        if result.expert_choices is not None:
            choices = result.expert_choices if choices is None else choices + result.expert_choices
        if step in report_steps(source.steps, own.tune.reports):
            value, _ = measured(own, metric, model, processor, precision, own.tune.rung_clips)
            used = {} if choices is None else {"expert_choices": choices.tolist()}
            reports.append({"step": step, metric: value} | used)
            choices = None
    write_text_whole(place / REPORTS, "".join(f"{json.dumps(line)}\n" for line in reports))
    value, rows = measured(own, metric, model, processor, precision, None)
    write_whole(table_of(rows), UPath(folder / EVALUATION / PREDICTIONS))
    counted = reports[-1].get("expert_choices")
    trial = Trial(
        point,
        active_parameters(model.config.adapter_config),
        "finished",
        source.steps,
        value,
        round(time.perf_counter() - began, 1),
        dead_experts(counted) if counted else None,
        round(usage_entropy(torch.tensor(counted)), 4) if counted else None,
        round(statistics.median(seconds), 3),
        round(peak_memory() / 1e9, 2),
    )
    write_text_whole(record, json.dumps({**asdict(trial), "point": point.encode()}))
    return trial


def measured(
    config: Config, metric: str, model: Any, processor: Any, precision: torch.dtype, clips: int | None
) -> tuple[float, list[dict[str, Any]]]:
    """The metric on some held-out clips, all by default, and the predictions."""
    asked = evaluation_of(config, metric, clips=clips)
    with evaluating(model), torch.autocast("cpu", precision, enabled=precision != torch.float32):
        return predicted_in_memory(asked, metric, model, processor)


def main() -> None:
    """Run what is missing, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("corpus")
    parser.add_argument("sweep", type=Path)
    parser.add_argument("--config", default="experts", help="a YAML file, or a preset's name")
    parser.add_argument("--set", nargs="+", default=[], metavar="SECTION.KEY=VALUE", help="settings of all trials")
    arguments = parser.parse_args()
    config = load(arguments.config, [*arguments.set, f"data.out={arguments.corpus}"], presets=CONFIGS)
    metric, out = config.tune.metric or "", arguments.sweep
    if len(config.training.stages) != 1 or Goal(metric).is_loss or config.tune.search != "grid":
        parser.error("the configuration needs one stage, tune.search=grid and a tune.metric of favchat evaluate")
    check_quality(config, metric)
    torch.set_num_threads(config.training.threads or 1)
    points = [decode(text) for text in grid(config)["point"]["grid_search"]]
    trials = []
    for point in points:
        trials.append(train_one(config, point, out / "trials" / point.name, metric))
        print(f"{point.name}: {metric} {trials[-1].metric:.4f} in {trials[-1].seconds:.0f} s", flush=True)
    trials.sort(key=lambda trial: rank(trial, Goal(metric)))
    Kept(trials, Goal(metric), [stage.name for stage in config.training.stages]).write(out / TRIALS)
    write_table(trials, out / "results.csv")
    print(*redraw(out), sep="\n")


if __name__ == "__main__":
    main()
