"""Commands about jobs on a Ray cluster: submit, and jobs with its own commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Address = Annotated[str | None, typer.Option(help="The cluster's jobs API (http://HEAD:8265); by default RAY_ADDRESS.")]
Reconnect = Annotated[
    float, typer.Option(metavar="SECONDS", min=0, help="How long a broken connection is tried again.")
]


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
