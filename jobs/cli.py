"""The command line, front door to every job."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from favchat import __version__
from favchat.errors import UserError
from favchat.runtime.collector import collector_paused
from favchat.runtime.environment import quiet_environment

if TYPE_CHECKING:
    from favchat.config import Config

CONFIGS = Path(__file__).parent / "configs"


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
    "A preset's name (tiny, nano, paper, 2b, 8b) stands for its file.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

ConfigArgument = Annotated[
    str, typer.Argument(metavar="CONFIG", help="A YAML file, or the name of a preset: tiny, nano, paper, 2b, 8b.")
]
Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="[SECTION.KEY=VALUE]...", help="Settings that override the file's.")
]
Address = Annotated[str | None, typer.Option(help="The cluster's jobs API (http://HEAD:8265); by default RAY_ADDRESS.")]
Reconnect = Annotated[
    float, typer.Option(metavar="SECONDS", min=0, help="How long a broken connection is tried again.")
]
StepName = Literal["prepare", "annotate", "train", "evaluate", "register", "deploy"]
PrintConfig = Annotated[bool, typer.Option("--print-config", help="Check the settings, print them all, and stop.")]


@app.command()
def quickstart(
    config: Annotated[str, typer.Argument(metavar="[CONFIG]", help="A YAML file or a preset.")] = "quickstart",
    overrides: Overrides = None,
    print_config: PrintConfig = False,
) -> None:
    """The pipeline on the sample clips that come with the package: prepare to evaluate, then ask."""
    if "=" in config and not Path(config).is_file():
        config, overrides = "quickstart", [config, *(overrides or [])]
    settings = _settings(config, overrides, print_config)
    import jobs.quickstart

    jobs.quickstart.run(settings, say=typer.echo)


@app.command()
def assets() -> None:
    """Fetch and check the weights of the embedded default (nano), once, into FAVCHAT_HOME (~/.cache/favchat)."""
    from favchat.backbones.assets import fetch_all

    for asset in fetch_all():
        typer.echo(f"{asset.name:24} {asset.bytes / 1e6:8.1f} MB  {asset.state:8}  {asset.path}")


@app.command()
def model(config: ConfigArgument, overrides: Overrides = None, print_config: PrintConfig = False) -> None:
    """Show the model's parts, its parameters, the tokens of a clip, and the memory that training takes on 1 to 64 GPUs.

    Nothing is loaded: a preset of any size is described in seconds, without a GPU and without the model hub.
    """
    settings = _settings(config, overrides, print_config)
    import jobs.model

    jobs.model.run(settings, say=typer.echo)


@app.command()
def prepare(config: ConfigArgument, overrides: Overrides = None, print_config: PrintConfig = False) -> None:
    """Turn videos into shards: sampled frames, the main face's track, aligned crops.

    Needs data.source.path and data.out; data.source.kind is folder (default), manifest or the name of a dataset, of
    which celebv_hq also needs data.source.annotations. What cannot be used goes to data.out/rejects with the reason.
    """
    settings = _settings(config, overrides, print_config)
    import jobs.prepare

    typer.echo(jobs.prepare.run(settings).summary())


@app.command()
def inspect(
    shards: Annotated[str, typer.Argument(help="A corpus (data.out) or its folder of shards, at any address.")],
    out: Annotated[str | None, typer.Option(help="Folder for the pages; by default the corpus itself.")] = None,
) -> None:
    """Say what lies in a corpus, and write report.html and a contact sheet of random faces, faces.jpg."""
    from favchat.data.report.html_page import write_report
    from favchat.io.paths import path_of

    report = write_report(path_of(shards), path_of(out) if out else None)
    report.summary.show()
    typer.echo(f"-> {', '.join(map(str, report.files))}")


@app.command()
def annotate(config: ConfigArgument, overrides: Overrides = None, print_config: PrintConfig = False) -> None:
    """Write summaries, questions and answers about the clips in data.out, and report on them (annotations.html).

    annotate.writer is template (default: offline, from the labels alone), everyday (the same in the words people use),
    endpoint, a model behind an OpenAI-compatible server that sees the frames and needs annotate.endpoint.base_url and
    annotate.endpoint.model, or model, what a trained model's scores are sure of.
    Of clips without labels templates can say nothing; that is told, and the status is 0.
    """
    settings = _settings(config, overrides, print_config)
    import jobs.annotate

    annotated = jobs.annotate.run(settings)
    if not annotated.result.nothing_known:
        annotated.report.show()
    typer.echo(annotated.summary())


@app.command()
def train(config: ConfigArgument, overrides: Overrides = None, print_config: PrintConfig = False) -> None:
    """Train the staged curriculum on data.out; training.out/model is the result.

    Started again with the same settings it goes on where it was, in the middle of a stage from its last checkpoint.
    """
    settings = _settings(config, overrides, print_config)
    import jobs.train

    typer.echo(jobs.train.run(settings).summary())


@app.command()
def evaluate(config: ConfigArgument, overrides: Overrides = None, print_config: PrintConfig = False) -> None:
    """Ask a model the benchmarks' questions about the clips in data.out; the report goes to evaluation.out.

    evaluation.model is a checkpoint; without it evaluation.server.base_url and evaluation.server.model name any
    OpenAI-compatible server. evaluation.tasks lists what is asked. Started again it asks only for what is missing.
    """
    settings = _settings(config, overrides, print_config)
    import jobs.evaluate

    evaluated = jobs.evaluate.run(settings)
    from favchat.evaluation.reporting.report import show

    show(evaluated.evaluation)
    typer.echo(evaluated.summary())


@app.command()
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
    settings = _settings(config, overrides, print_config)
    import jobs.pipeline.run
    from jobs.pipeline.register import RequirementError

    try:
        jobs.pipeline.run.run(settings, first=first, last=last, dry_run=dry_run, say=typer.echo)
    except RequirementError as error:
        typer.echo(f"favchat: {error}", err=True)
        raise typer.Exit(1) from error


@app.command()
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


@app.command()
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


@app.command()
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
    settings = _settings(config, overrides, print_config)
    from favchat.runtime.preload import preload_training

    preload_training(settings.ray)
    import tune.sweep

    result = tune.sweep.run(settings)
    result.show()
    typer.echo(result.summary())


@app.command()
def runs(
    uri: Annotated[str | None, typer.Option(help="The store; by default MLFLOW_TRACKING_URI or the local one.")] = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the page on 127.0.0.1.")] = 5000,
) -> None:
    """Show runs, sweeps and registered models on MLflow's page, until Ctrl-C."""
    import jobs.runs
    from favchat.config import TrackingConfig

    jobs.runs.run(TrackingConfig(uri=uri), port=port, say=typer.echo)


@app.command()
def submit(
    command: Annotated[list[str], typer.Argument(metavar="-- COMMAND...", help="The command and its words.")],
    address: Address = None,
    name: Annotated[str | None, typer.Option(help="Begins the job's id.")] = None,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Do not follow the job.")] = False,
    env: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY[=VALUE]", help="A variable of the job; without a value the one here."),
    ] = None,
    forward: Annotated[
        list[str] | None,
        typer.Option(metavar="GROUP", envvar="FAVCHAT_FORWARD", help="Variables of here: mlflow, s3 or hub."),
    ] = None,
    runtime_env: Annotated[Path | None, typer.Option(help="A YAML or JSON file of Ray's runtime environment.")] = None,
    metadata: Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help="Kept with the job.")] = None,
    entrypoint_num_cpus: Annotated[float | None, typer.Option(min=0, help="CPUs of the command itself.")] = None,
    entrypoint_num_gpus: Annotated[float | None, typer.Option(min=0, help="Its GPUs.")] = None,
    entrypoint_memory: Annotated[int | None, typer.Option(min=1, help="Its memory in bytes.")] = None,
    reconnect: Reconnect = 120,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go along, and stop.")] = False,
) -> None:
    """Run a command as a job on a Ray cluster, show its log, and end with its status.

    favchat submit --address http://head:8265 -- favchat train nano data.out=/shared/corpus training.out=/shared/run

    This machine's code and the YAML files that the command names go along; data does not. Ctrl-C leaves the job, a
    second one stops it. The status is the command's own; 75 where the job goes on unwatched.
    """
    import jobs.submit

    options = jobs.submit.Options(
        address=address,
        name=name,
        wait=not no_wait,
        env=env or (),
        forward=forward or (),
        runtime_env=runtime_env and runtime_env.expanduser(),
        metadata=metadata or (),
        num_cpus=entrypoint_num_cpus,
        num_gpus=entrypoint_num_gpus,
        memory=entrypoint_memory,
        patience=reconnect,
        dry_run=dry_run,
    )
    raise typer.Exit(jobs.submit.run(command, options, say=typer.echo))


jobs_app = typer.Typer(help="List a cluster's jobs, or look at one: status, logs, attach, stop.", rich_markup_mode=None)
app.add_typer(jobs_app, name="jobs")
JobArgument = Annotated[str, typer.Argument(metavar="JOB", help="Its id, as favchat submit and favchat jobs show it.")]


@jobs_app.callback(invoke_without_command=True)
def _jobs(context: typer.Context, address: Address = None) -> None:
    if context.invoked_subcommand is None:
        _list(address)
    elif address:
        context.obj = address


@jobs_app.command("list")
def _jobs_list(context: typer.Context, address: Address = None) -> None:
    """List them, the newest first."""
    _list(address or context.obj)


@jobs_app.command("status")
def _jobs_status(context: typer.Context, job: JobArgument, address: Address = None) -> None:
    """Say how a job is."""
    import jobs.jobs_list
    from jobs.jobs_api import connect, details

    typer.echo("\n".join(jobs.jobs_list.told(details(connect(address or context.obj), job))))


@jobs_app.command("logs")
def _jobs_logs(context: typer.Context, job: JobArgument, address: Address = None) -> None:
    """Print a job's log as far as it is; attach follows it."""
    from jobs.jobs_api import connect, details

    client = connect(address or context.obj)
    details(client, job)
    typer.echo(client.get_job_logs(job), nl=False)


@jobs_app.command("attach")
def _jobs_attach(context: typer.Context, job: JobArgument, address: Address = None, reconnect: Reconnect = 120) -> None:
    """Show a job's log from its beginning, follow it, and end with its status, as favchat submit does."""
    from jobs.jobs_api import Follower, connect, details

    address = address or context.obj
    client = connect(address)
    details(client, job)
    raise typer.Exit(Follower(client, job, address, typer.echo, reconnect).run())


@jobs_app.command("stop")
def _jobs_stop(
    context: typer.Context,
    job: JobArgument,
    address: Address = None,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Do not wait for its end.")] = False,
) -> None:
    """Stop a job."""
    import jobs.jobs_list
    from jobs.jobs_api import connect, stop

    found = stop(connect(address or context.obj), job, wait=not no_wait)
    typer.echo("\n".join(jobs.jobs_list.told(found)))


def _list(address: str | None) -> None:
    import jobs.jobs_list
    from jobs.jobs_api import connect

    typer.echo("\n".join(jobs.jobs_list.listed(connect(address).list_jobs())))


@app.command()
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


@app.command()
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
    settings = _settings(config, [*every, *(overrides or [])], print_config)
    from favchat.runtime.preload import preload_model

    preload_model(settings.ray)
    with collector_paused():
        import serve.app

    serve.app.run(settings, say=typer.echo)


@app.command()
def key(
    name: Annotated[str, typer.Argument(help="Whose it is: shown in logs and metrics.")],
    file: Annotated[
        Path | None, typer.Option(help="The file of serve.keys_file; the key's hash is added to it.")
    ] = None,
) -> None:
    """Make a key for the API. It is shown once; the server keeps its hash alone."""
    import jobs.key

    jobs.key.run(name, file=file and file.expanduser(), say=typer.echo)


@app.command()
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
    settings = _settings(config, overrides, print_config)
    import jobs.demo

    clip = clip and clip.expanduser()
    jobs.demo.run(settings, server=server, clip=clip, port=port, browser=browser, say=typer.echo)


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


def _settings(config: str, overrides: list[str] | None, print_config: bool) -> Config:
    # Each command imports what it needs: help, versions and wrong settings are told at once.
    from favchat.config import load

    settings = load(config, overrides, presets=CONFIGS)
    if print_config:
        import yaml

        typer.echo(yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False).rstrip())
        raise typer.Exit
    return settings


if __name__ == "__main__":
    main()
