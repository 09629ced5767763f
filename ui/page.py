"""The page: a client of the API, in a browser."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import gradio as gr

from ui.analysis import Analyser
from ui.client import ApiClient
from ui.endpoint import add_endpoint
from ui.event_handlers import EventHandlers
from ui.layout import Parts, lay_out
from ui.library import KEPT, Libraries

STYLE = Path(__file__).parent / "page.css"
SCRIPT = Path(__file__).parent / "page.js"


@dataclass(frozen=True)
class Settings:
    """What the page is told.

    Attributes:
        samples: Clips to choose from, by what they show.
        first: A clip that is opened for whoever comes.
        max_file_mb: Largest upload in megabytes.
        max_seconds: Longest clip.
        card: The model card, Markdown; empty: there is none.
        runs: Address of MLflow's page; None: there is none.
    """

    samples: Mapping[str, Path]
    first: Path | None = None
    max_file_mb: float = 64.0
    max_seconds: float = 300.0
    card: str = ""
    runs: str | None = None


@dataclass(frozen=True)
class Page:
    """A page that can be launched.

    Attributes:
        blocks: Its parts.
        options: Arguments of ``blocks.launch``: looks, limits, and nothing that comes from or goes to another host.
        forget: Deletes the readers' uploads from the server; nothing more is read then.
    """

    blocks: gr.Blocks
    options: dict[str, Any]
    forget: Callable[[], None]


@contextmanager
def building(api: ApiClient, settings: Settings) -> Iterator[Page]:
    """The page, which reads clips as long as the context lasts; at its end their uploads are deleted."""
    libraries = Libraries(api.forget)
    with TemporaryDirectory(prefix="favchat-page-") as previews:
        analyser = Analyser(api, libraries, Path(previews))
        handlers = EventHandlers(api, libraries, analyser, settings.samples, settings.first)
        limits = (
            f"Many at once; each at most {settings.max_file_mb:.0f} MB and {settings.max_seconds / 60:.0f} minutes. "
            "They stay on this machine and are deleted an hour after you leave."
        )
        with gr.Blocks(title="FaVChat", analytics_enabled=False, fill_width=True, delete_cache=(KEPT, KEPT)) as page:

            def server_state(_: object = None) -> dict[str, str]:
                return handlers.server_state()  # Gradio marks the function, which it cannot do with a method

            handlers.parts = lay_out(settings.samples, limits, settings.card, settings.runs, server_state)
            wire(page, handlers, handlers.parts)
            add_endpoint(api)
        page.queue(default_concurrency_limit=32, max_size=128)
        try:
            yield Page(page, _launch_options(settings, previews), analyser.end)
        finally:
            analyser.end()


def wire(page: gr.Blocks, handlers: EventHandlers, parts: Parts) -> None:
    """Tie what the reader does to what happens."""
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    session = [parts.shown]
    asked = [parts.chat, parts.question, parts.timing, parts.notice]
    values: list[Any] = [
        parts.table,
        parts.player,
        parts.faces,
        parts.timeline,
        parts.result,
        parts.profile,
        parts.chips,
    ]
    values += [parts.experts, parts.facts, parts.link]
    everything = [*values, *asked, parts.shown, parts.browser]

    page.load(handlers.arrive, parts.browser, everything, **quiet)
    parts.timer.tick(handlers.tick, session, everything, **quiet)
    parts.drop.upload(handlers.add, [parts.drop, *session], [*everything, parts.drop], **quiet)
    parts.camera.change(handlers.record, [parts.camera, *session], [*everything, parts.camera], **quiet)
    for part in (parts.samples, parts.table, parts.faces, parts.result):
        part.click(handlers.act, session, everything, **quiet)
    parts.timing.click(handlers.why, session, everything, **quiet)
    parts.link.change(None, parts.link, None, js="link => window.fcLink(link?.clip)")
    gr.on(
        [parts.order.change, parts.untaught.change],
        handlers.sort,
        [parts.order, parts.untaught],
        parts.profile,
        **quiet,
    )
    made = parts.save.click(handlers.save, parts.kind, parts.saved, **quiet)
    made.then(None, parts.saved, None, js="file => window.fcSave(file)")

    parts.engineers.expand(handlers.ways, None, [parts.way_a, parts.way_b], **quiet)
    both = [parts.both_question, parts.way_a, parts.way_b]
    parts.both.click(handlers.compare, both, parts.compared, show_progress="minimal", api_visibility="private")

    how = [parts.temperature, parts.length]
    answers: list[Any] = [
        parts.question.submit(handlers.typed, [parts.question, *how], asked, **quiet),
        parts.chips.click(handlers.offered, how, asked, **quiet),
        parts.chat.retry(handlers.again, how, asked, **quiet),
        parts.chat.edit(handlers.edited, how, asked, **quiet),
    ]
    for answer in answers:
        answer.then(handlers.remember, None, parts.browser, **quiet)
    parts.chat.clear(handlers.clear, None, asked, **quiet).then(handlers.remember, None, parts.browser, **quiet)
    parts.question.stop(handlers.stop, None, asked, cancels=answers, **quiet)


def _launch_options(settings: Settings, previews: str) -> dict[str, Any]:
    theme = gr.themes.Default(primary_hue="sky", neutral_hue="slate", font=["sans-serif"], font_mono=["monospace"])
    videos = [*settings.samples.values(), *([settings.first] if settings.first else [])]
    return {
        # Fonts of the reader's system; page.css names them.
        "theme": theme.set(
            body_text_color_subdued="*neutral_600",
            body_text_color_subdued_dark="*neutral_300",
            input_placeholder_color="*neutral_500",
            input_placeholder_color_dark="*neutral_400",
        ),
        "css_paths": [STYLE],
        "head": f"<script>{SCRIPT.read_text(encoding='utf-8')}</script>",
        "max_file_size": round(settings.max_file_mb * 1e6),
        "allowed_paths": [previews, *(str(path) for path in videos)],
        "footer_links": [],
        "share": False,
        "ssr_mode": False,
        "enable_monitoring": False,
        "run_history": False,
        "quiet": True,
    }
