"""Commands that run the steps from videos to a trained model as one job: quickstart, pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from jobs.commands.settings import ConfigArgument, Overrides, PrintConfig, settings_of

StepName = Literal["prepare", "annotate", "train", "evaluate", "register", "deploy"]


def quickstart(
    config: Annotated[str, typer.Argument(metavar="[CONFIG]", help="A YAML file or a preset.")] = "quickstart",
    overrides: Overrides = None,
    print_config: PrintConfig = False,
) -> None:
    """The pipeline on the sample clips that come with the package: prepare to evaluate, then ask."""
    if "=" in config and not Path(config).is_file():
        config, overrides = "quickstart", [config, *(overrides or [])]
    settings = settings_of(config, overrides, print_config)
    import jobs.quickstart

    jobs.quickstart.run(settings, say=typer.echo)


def pipeline(
    config: ConfigArgument,
    overrides: Overrides = None,
    first: Annotated[
        StepName | None, typer.Option("--from", help="Begin with this step; those before it are left as they are.")
    ] = None,
    last: Annotated[StepName | None, typer.Option("--until", help="End with this step.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done and why, and stop.")] = False,
    print_config: PrintConfig = False,
) -> None:
    """Prepare, annotate, train, evaluate, register and, with pipeline.deploy, serve: as one job.

    Needs pipeline.out and data.source.path. A step whose inputs and settings have not changed is skipped; one that was
    interrupted goes on where it was. pipeline.require names what the evaluation must reach for the model to be
    registered; where it falls short the status is 1.
    """
    settings = settings_of(config, overrides, print_config)
    import jobs.pipeline.run
    from jobs.pipeline.register import RequirementError

    try:
        jobs.pipeline.run.run(settings, first=first, last=last, dry_run=dry_run, say=typer.echo)
    except RequirementError as error:
        typer.echo(f"favchat: {error}", err=True)
        raise typer.Exit(1) from error
