"""Commands to ask a model, here or behind an address: ask, serve, key, demo."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from favchat.runtime.collector import collector_paused
from jobs.commands.settings import ConfigArgument, Overrides, PrintConfig, settings_of


def ask(
    words: Annotated[list[str], typer.Argument(metavar="[MODEL] VIDEO [QUESTION]", help="The question in quotes.")],
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Longest answer, in tokens.")] = 128,
    scores: Annotated[bool, typer.Option("--scores", help="Print each attribute's score, and ask nothing.")] = False,
    window: Annotated[float | None, typer.Option(min=0.25, help="With --scores: seconds of a window.")] = None,
    stride: Annotated[float | None, typer.Option(min=0.25, help="With --scores: seconds between windows.")] = None,
    track: Annotated[int, typer.Option(min=0, help="With --scores: which face, 0 the main one.")] = 0,
    form: Annotated[Literal["text", "json", "csv"], typer.Option("--format", help="With --scores.")] = "text",
) -> None:
    """Ask a trained model a question about the face in a video, or for its scores.

    MODEL is a model directory (training.out/model), a hub name or models:/NAME@champion; without it the one that comes
    with the package answers, asset:favchat-nano. VIDEO is any video file. With --scores there is no question: of each
    attribute that the model was taught it prints a score of 0 to 1, family by family; above 0.5 it would say yes. With
    --window also the emotion over time; as JSON or CSV all that POST /v1/videos/{id}/attributes tells.
    """
    import jobs.ask

    if scores:
        if len(words) not in (1, 2):
            raise typer.BadParameter("write favchat ask [MODEL] VIDEO --scores, without a question")
        *model, video = words
        windows = 0.0 if window is None and form == "text" else window
        report = jobs.ask.scores(model[0] if model else None, video, window_s=windows, stride_s=stride, track=track)
        if form == "text":
            typer.echo("\n".join(jobs.ask.lines(report)))
        else:
            typer.echo(report.model_dump_json(indent=1) if form == "json" else report.to_csv(), nl=False)
        return
    if len(words) not in (2, 3):
        raise typer.BadParameter("write favchat ask [MODEL] VIDEO QUESTION, with the question in quotes")
    *model, video, question = words
    typer.echo(jobs.ask.run(model[0] if model else None, video, [question], max_new_tokens=max_new_tokens)[0])


def serve(
    config: ConfigArgument,
    overrides: Overrides = None,
    reload: Annotated[
        bool, typer.Option("--reload", help="Take a new version of models:/NAME@ALIAS up without a pause.")
    ] = False,
    print_config: PrintConfig = False,
) -> None:
    """Serve a model behind an OpenAI-compatible API, until Ctrl-C: serve.model=MODEL, else the one of the package."""
    every = ["serve.reload_seconds=30"] if reload else []
    settings = settings_of(config, [*every, *(overrides or [])], print_config)
    from favchat.runtime.preload import preload_model

    preload_model(settings.ray)
    with collector_paused():
        import serve.app

    serve.app.run(settings, say=typer.echo)


def key(
    name: Annotated[str, typer.Argument(help="Whose it is: shown in logs and metrics.")],
    file: Annotated[
        Path | None, typer.Option(help="The file of serve.keys_file; the key's hash is added to it.")
    ] = None,
) -> None:
    """Make a key for the API. It is shown once; the server keeps its hash alone."""
    import jobs.key

    jobs.key.run(name, file=file and file.expanduser(), say=typer.echo)


def demo(
    config: Annotated[str, typer.Argument(metavar="[CONFIG]", help="A YAML file or a preset.")] = "nano",
    overrides: Overrides = None,
    server: Annotated[str | None, typer.Option(help="Address of a running server; else one is started.")] = None,
    clip: Annotated[Path | None, typer.Option(help="A video that is chosen when the page opens.")] = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the page.")] = 7860,
    browser: Annotated[bool, typer.Option(help="Whether to open a browser.")] = True,
    print_config: PrintConfig = False,
) -> None:
    """Open a page to choose a clip, see its face track and ask about it.

    Asked is the model serve.model=MODEL, by default the trained one that comes with the package.
    """
    if "=" in config and not Path(config).is_file():
        config, overrides = "nano", [config, *(overrides or [])]
    settings = settings_of(config, overrides, print_config)
    import jobs.demo

    clip = clip and clip.expanduser()
    jobs.demo.run(settings, server=server, clip=clip, port=port, browser=browser, say=typer.echo)
