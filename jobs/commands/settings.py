"""The settings of a command: a file or preset, what overrides it, and the folder of the presets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from favchat.config import Config

CONFIGS = Path(__file__).parent.parent / "configs"

ConfigArgument = Annotated[
    str,
    typer.Argument(metavar="CONFIG", help="A YAML file, or the name of a preset: tiny, nano, small, paper, 2b, 8b."),
]
Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="[SECTION.KEY=VALUE]...", help="Settings that override the file's.")
]
PrintConfig = Annotated[bool, typer.Option("--print-config", help="Check the settings, print them all, and stop.")]


def settings_of(config: str, overrides: list[str] | None, print_config: bool) -> Config:
    """The settings of a command; with `print_config` they are printed, and the command ends.

    Raises:
        ConfigError: They cannot be used.
    """
    # Each command imports what it needs: help, versions and wrong settings are told at once.
    from favchat.config import load

    settings = load(config, overrides, presets=CONFIGS)
    if print_config:
        import yaml

        typer.echo(yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False).rstrip())
        raise typer.Exit
    return settings
