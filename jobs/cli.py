"""The command line, front door to every job."""

from __future__ import annotations

import logging
import os
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from favchat import __version__
from favchat.errors import UserError
from favchat.runtime.environment import quiet_environment
from jobs.commands.cluster import jobs_app, submit
from jobs.commands.data import annotate, inspect, prepare
from jobs.commands.models import assets, compare, evaluate, export, model, runs, train, tune
from jobs.commands.pipelines import pipeline, quickstart
from jobs.commands.serving import ask, demo, key, serve


class FrontDoor(TyperGroup):
    """The commands; a word that begins with ``-`` and is no option, but a file, is that file."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Write such words as ``./-NAME``, up to ``--``, after which none is taken for an option anyway."""
        known = {name for command in (self, *self.commands.values()) for p in command.params for name in p.opts}
        end = args.index("--") if "--" in args else len(args)
        words = [
            f"./{word}" if word.startswith("-") and word not in known and os.path.lexists(word) else word
            for word in args[:end]
        ]
        return super().parse_args(ctx, words + args[end:])


app = typer.Typer(
    name="favchat",
    cls=FrontDoor,
    help="Turn face videos into a corpus, train a facial-video language model on it, and ask it questions.\n\n"
    "Most commands take a YAML file and any number of settings that override it: "
    "favchat train nano data.out=corpus training.out=run. "
    "A preset's name (tiny, nano, small, paper, 2b, 8b) stands for its file.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

COMMANDS = (
    quickstart,
    assets,
    model,
    prepare,
    inspect,
    annotate,
    train,
    evaluate,
    pipeline,
    compare,
    export,
    tune,
    runs,
    submit,
    ask,
    serve,
    key,
    demo,
)
"""In the order of the help."""
for command in COMMANDS:
    app.command()(command)
app.add_typer(jobs_app, name="jobs")


@app.callback(invoke_without_command=True)
def _front_door(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log what the libraries say, too.")] = False,
) -> None:
    if version:
        typer.echo(f"favchat {__version__}")
        raise typer.Exit
    quiet_environment(verbose=verbose)
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING, format="%(levelname)s %(name)s: %(message)s"
    )


def main() -> None:
    """Run the command line; a fault that a user can mend ends with one clear message and status 2."""
    try:
        app()
    except (UserError, OSError) as error:
        typer.echo(f"favchat: {error}", err=True)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
