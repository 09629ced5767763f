"""Commands to make, measure and hand on models: assets, model, train, tune, runs, evaluate, compare, export."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from jobs.commands.settings import ConfigArgument, Overrides, PrintConfig, settings_of


def assets(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="Other assets, such as qwen2.5-coder-1.5b-instruct.")
    ] = None,
) -> None:
    """Fetch and check the weights of the embedded default (nano), once, into FAVCHAT_HOME (~/.cache/favchat).

    With names, those assets in place of the default's.
    """
    from favchat.backbones.assets import fetch

    for asset in fetch(names or ()):
        typer.echo(f"{asset.name:28} {asset.bytes / 1e6:8.1f} MB  {asset.state:8}  {asset.path}")


def model(config: ConfigArgument, overrides: Overrides = None, print_config: PrintConfig = False) -> None:
    """Show the model's parts, its parameters, the tokens of a clip, and the memory that training takes on 1 to 64 GPUs.

    Nothing is loaded: a preset of any size is described in seconds, without a GPU and without the model hub.
    """
    settings = settings_of(config, overrides, print_config)
    import jobs.model

    jobs.model.run(settings, say=typer.echo)


def train(config: ConfigArgument, overrides: Overrides = None, print_config: PrintConfig = False) -> None:
    """Train the staged curriculum on data.out; training.out/model is the result.

    Started again with the same settings it goes on where it was, in the middle of a stage from its last checkpoint.
    """
    settings = settings_of(config, overrides, print_config)
    import jobs.train

    typer.echo(jobs.train.run(settings).summary())


def tune(
    config: Annotated[
        str | None, typer.Argument(metavar="CONFIG", help="A YAML file, or the name of a preset.")
    ] = None,
    overrides: Overrides = None,
    report: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Draw the report of the sweep in DIR anew, and stop.")
    ] = None,
    print_config: PrintConfig = False,
) -> None:
    """Train with several combinations of settings and find the best; needs data.out and tune.out.

    tune.space lists the settings and what each may be (tune.num_experts and tune.top_k are short forms), tune.search is
    grid (default), random, optuna or another searcher of Ray Tune. tune.out/best.yaml is a configuration for favchat
    train, tune.out/report.html tells what was found. Started again with the same settings it goes on where it was.
    """
    if report is not None:
        from tune.report import redraw

        typer.echo(f"-> {', '.join(map(str, redraw(report.expanduser())))}")
        return
    if config is None:
        raise typer.BadParameter(
            "write favchat tune CONFIG data.out=CORPUS tune.out=SWEEP, or favchat tune --report DIR"
        )
    settings = settings_of(config, overrides, print_config)
    from favchat.runtime.preload import preload_training

    preload_training(settings.ray)
    import tune.sweep

    result = tune.sweep.run(settings)
    result.show()
    typer.echo(result.summary())


def evaluate(config: ConfigArgument, overrides: Overrides = None, print_config: PrintConfig = False) -> None:
    """Ask a model the benchmarks' questions about the clips in data.out; the report goes to evaluation.out.

    evaluation.model is a checkpoint; without it evaluation.server.base_url and evaluation.server.model name any
    OpenAI-compatible server. evaluation.tasks lists what is asked. Started again it asks only for what is missing.
    """
    settings = settings_of(config, overrides, print_config)
    import jobs.evaluate

    evaluated = jobs.evaluate.run(settings)
    from favchat.evaluation.reporting.report import show

    show(evaluated.evaluation)
    typer.echo(evaluated.summary())


def compare(
    a: Annotated[str, typer.Argument(metavar="RUN_A", help="Folder of an evaluation (evaluation.out).")],
    b: Annotated[str, typer.Argument(metavar="RUN_B", help="Folder of another one.")],
    attribute: Annotated[
        list[str] | None,
        typer.Option(help="One of the 83 attributes, such as nod, compared by itself; may be given several times."),
    ] = None,
    resamples: Annotated[int, typer.Option(min=100, help="Bootstrap samples and permutations.")] = 1000,
    seed: Annotated[int, typer.Option(help="Of their draws.")] = 0,
) -> None:
    """Compare two evaluations on the questions that both answered: differences, intervals, paired tests."""
    import jobs.compare

    jobs.compare.run(a, b, attributes=attribute or (), resamples=resamples, seed=seed)


def export(
    model: Annotated[
        str, typer.Argument(help="A model directory, a hub name, models:/NAME@champion, or a stage's checkpoint.")
    ],
    out: Annotated[str, typer.Argument(help="The new directory.")],
    to: Annotated[
        Literal["model", "hub-folder"], typer.Option(help="hub-folder: what push_to_hub would send.")
    ] = "model",
    merge_lora: Annotated[bool, typer.Option("--merge-lora", help="Add LoRA to the weights it belongs to.")] = False,
    precision: Annotated[
        Literal["fp32", "fp16", "bf16"] | None, typer.Option(help="Of the weights; by default as they are.")
    ] = None,
) -> None:
    """Write a trained model as a directory for others, its LoRA merged, in another precision, or as a hub's folder."""
    import jobs.export

    typer.echo(jobs.export.run(model, out, to=to, merge=merge_lora, precision=precision).summary())


def runs(
    uri: Annotated[str | None, typer.Option(help="The store; by default MLFLOW_TRACKING_URI or the local one.")] = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the page on 127.0.0.1.")] = 5000,
) -> None:
    """Show runs, sweeps and registered models on MLflow's page, until Ctrl-C."""
    import jobs.runs
    from favchat.config import TrackingConfig

    jobs.runs.run(TrackingConfig(uri=uri), port=port, say=typer.echo)
