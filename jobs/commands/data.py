"""Commands about a corpus: prepare, inspect, annotate."""

from __future__ import annotations

from typing import Annotated

import typer

from jobs.commands.settings import ConfigArgument, Overrides, PrintConfig, settings_of


def prepare(config: ConfigArgument, overrides: Overrides = None, print_config: PrintConfig = False) -> None:
    """Turn videos into shards: sampled frames, the main face's track, aligned crops.

    Needs data.source.path and data.out; data.source.kind is folder (default), manifest or the name of a dataset, of
    which celebv_hq also needs data.source.annotations. What cannot be used goes to data.out/rejects with the reason.
    """
    settings = settings_of(config, overrides, print_config)
    import jobs.prepare

    typer.echo(jobs.prepare.run(settings).summary())


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


def annotate(config: ConfigArgument, overrides: Overrides = None, print_config: PrintConfig = False) -> None:
    """Write summaries, questions and answers about the clips in data.out, and report on them (annotations.html).

    annotate.writer is template (default: offline, from the labels alone), everyday (the same in the words people use),
    endpoint, a model behind an OpenAI-compatible server that sees the frames and needs annotate.endpoint.base_url and
    annotate.endpoint.model, or model, what a trained model's scores are sure of.
    Of clips without labels templates can say nothing; that is told, and the status is 0.
    """
    settings = settings_of(config, overrides, print_config)
    import jobs.annotate

    annotated = jobs.annotate.run(settings)
    if not annotated.result.nothing_known:
        annotated.report.show()
    typer.echo(annotated.summary())
