"""The page: a clip and its face track on the left, the conversation about it on the right."""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import gradio as gr
from openai import APIError

from ui.client import ApiClient, Turn
from ui.heat_map import expert_usage
from ui.track import track_strip

STYLE = Path(__file__).parent / "page.css"
QUESTIONS = (
    "Describe this person.",
    "Man or woman?",
    "Is the person smiling?",
    "Is the person wearing glasses?",
    "How old does the person look?",
)
"""Offered before the first question."""
LONGEST_QUESTION = 2000
"""Letters."""
KEPT = 3600
"""Seconds after which an upload that nobody looks at any more is deleted."""

SILENT_VIDEO = """<script>
// Gradio shows an error where the browser does not play a clip; a preview takes the clip's place soon after.
document.addEventListener("error", event => {
  if (event.target instanceof HTMLVideoElement && event.target.closest("#fc-video")) event.stopImmediatePropagation();
}, true);
</script>"""

EMPTY_TRACK, EMPTY_EXPERTS = (
    f'<section class="fc-card fc-empty"><header><h2>{title}</h2></header><p>{text}</p></section>'
    for title, text in (
        ("Face track", "Where the face is in each frame, and how the model sees it."),
        ("Expert usage", "Which experts the tokens of each frame go to."),
    )
)
EMPTY_CHAT = "### Choose a clip to begin\nUpload a video of a face, or take a sample clip."
READY_CHAT = "### Ask about this clip\nIts face is found and followed."
SILENCE = "(The model ended its answer without a word.)"


def build(api: ApiClient, examples: Sequence[Path], first: Path | None = None) -> gr.Blocks:
    """The page as Gradio blocks, to be launched with :func:`launch_options`.

    Args:
        api: The server that analyses and answers.
        examples: Videos to choose from.
        first: A video that is chosen when the page opens.
    """

    def forget(file_id: str | None) -> None:
        # A function of its own: Gradio copies states deeply, and with a bound method the whole client.
        api.forget(file_id)

    with gr.Blocks(title="FaVChat", analytics_enabled=False, fill_width=True, delete_cache=(KEPT, KEPT)) as page:
        upload = gr.State(None, time_to_live=KEPT, delete_callback=forget)
        preview = gr.State(None)  # the name of the file that stands for a clip which browsers do not play
        gr.HTML(_masthead(api.model))
        with gr.Row(elem_id="fc-main"):
            with gr.Column(scale=6, min_width=300, elem_id="fc-left"):
                with gr.Column(elem_id="fc-clip"):
                    video = gr.Video(
                        label="Clip",
                        show_label=False,
                        sources=["upload"],
                        height=216,
                        loop=True,
                        buttons=[],
                        elem_id="fc-video",
                    )
                    gr.Examples(
                        [[str(path)] for path in examples],
                        inputs=[video],
                        label="Sample clips",
                        examples_per_page=len(examples) or 1,
                        api_visibility="private",
                        elem_id="fc-samples",
                    )
                track = gr.HTML(EMPTY_TRACK, elem_id="fc-track")
                experts = gr.HTML(EMPTY_EXPERTS, elem_id="fc-experts")
            with gr.Column(scale=5, min_width=300, elem_id="fc-right"):
                chat = gr.Chatbot(
                    label="Conversation",
                    show_label=False,
                    elem_id="fc-chat",
                    height="100%",
                    placeholder=EMPTY_CHAT,
                    # Answers are text: no formatting, and no pictures from addresses that a model made up.
                    render_markdown=False,
                    latex_delimiters=[],
                    buttons=["copy"],
                    feedback_options=(),
                    layout="bubble",
                )
                notice = gr.HTML("", elem_id="fc-notice")
                question = gr.Textbox(
                    label="Question",
                    show_label=False,
                    container=False,
                    max_length=LONGEST_QUESTION,
                    elem_id="fc-question",
                    **_waiting(),
                )

        def analyse(path: str | None, previous: str | None, shown: str | None) -> Iterator[list[Any]]:
            """Upload a clip and show what the server finds in it."""
            if path is not None and Path(path).name == shown:
                yield [gr.skip()] * 8  # the preview that was put in the clip's place
                return
            api.forget(previous)
            closed = [gr.update(value=[], placeholder=EMPTY_CHAT, examples=[]), gr.update(value="", **_waiting()), ""]
            as_it_is = [gr.skip(), None]
            if path is None:
                yield [*as_it_is, None, EMPTY_TRACK, EMPTY_EXPERTS, *closed]
                return
            file_id = None
            try:
                yield [*as_it_is, None, _progress("Uploading the clip"), "", *closed]
                file_id, playable = api.upload(path)
                progress = [file_id, _progress("Finding the face and reading the clip"), "", *closed]
                if playable:
                    yield [*as_it_is, *progress]
                else:
                    with TemporaryDirectory() as folder:
                        # A name of its own, by which it is known when it comes back as the box's new value.
                        copy = Path(folder) / f"preview-{uuid.uuid4().hex}.mp4"
                        copy.write_bytes(api.preview(file_id))
                        yield [str(copy), copy.name, *progress]
                found = api.video(file_id)
                results = [track_strip(found), expert_usage(found)]
            except APIError as error:
                alert = _alert("This clip cannot be used", api.explain(error))
                yield [gr.skip(), gr.skip(), file_id, alert, "", *closed]
                return
            offers = [{"text": text} for text in QUESTIONS]
            opened = [gr.update(value=[], placeholder=READY_CHAT, examples=offers), gr.update(**_open()), ""]
            yield [gr.skip(), gr.skip(), file_id, *results, *opened]

        async def ask(text: str, turns: list[dict[str, Any]], file_id: str | None) -> AsyncGenerator[list[Any]]:
            """Stream the answer to a question; Gradio closes this generator when the reader stops it."""
            asked = [*plain(turns), {"role": "user", "content": text.strip()}]
            if not text.strip() or file_id is None:
                yield [gr.skip(), gr.skip(), gr.skip()]
                return
            yield [asked, gr.update(value="", **_busy()), ""]
            answer = ""
            try:
                async with aclosing(api.answer(file_id, asked)) as pieces:
                    async for piece in pieces:
                        answer += piece
                        yield [[*asked, {"role": "assistant", "content": answer}], gr.skip(), gr.skip()]
            except APIError as error:
                # The question goes back to where it was typed, so that trying again is one key.
                yield [asked[:-1], gr.update(value=text, **_open()), _alert("No answer", api.explain(error))]
                return
            said = {"role": "assistant", "content": answer or SILENCE}
            yield [[*asked, said], gr.update(**_open()), gr.skip()]

        def ask_offer(offer: gr.SelectData) -> str:
            """Take an offered question as if it were typed."""
            return str(offer.value["text"])

        def stopped(turns: list[dict[str, Any]]) -> list[Any]:
            """Keep what was answered so far; a question without a word of answer goes back to be asked again."""
            said = plain(turns)
            if said and said[-1]["role"] == "user":
                return [said[:-1], gr.update(value=said[-1]["content"], **_open())]
            return [gr.skip(), gr.update(**_open())]

        asks: dict[str, Any] = {
            "fn": ask,
            "inputs": [question, chat, upload],
            "outputs": [chat, question, notice],
            "show_progress": "hidden",
            "api_visibility": "private",
        }
        typed = question.submit(**asks)
        offered = chat.example_select(ask_offer, None, question, show_progress="hidden", api_visibility="private")
        chosen = offered.then(**asks)
        question.stop(
            stopped,
            chat,
            [chat, question],
            cancels=[typed, chosen],
            show_progress="hidden",
            api_visibility="private",
        )
        video.change(
            analyse,
            [video, upload, preview],
            [video, preview, upload, track, experts, chat, question, notice],
            cancels=[typed, chosen],
            show_progress="hidden",
            api_visibility="private",
        )
        if first is not None:
            page.load(lambda: str(first), None, video, show_progress="hidden", api_visibility="private")
    page.queue(default_concurrency_limit=16, max_size=64)
    return page


def launch_options(videos: Sequence[Path], *, max_file_mb: float) -> dict[str, Any]:
    """Arguments of ``gr.Blocks.launch``: looks, limits, and nothing that comes from or goes to another host.

    Args:
        videos: Those given to :func:`build`.
        max_file_mb: Largest upload in megabytes.
    """
    theme = gr.themes.Default(primary_hue="sky", neutral_hue="slate", font=["sans-serif"], font_mono=["monospace"])
    return {
        # Fonts of the reader's system; page.css names them.
        "theme": theme.set(body_text_color_subdued="*neutral_600", body_text_color_subdued_dark="*neutral_400"),
        "css_paths": [STYLE],
        "head": SILENT_VIDEO,
        "max_file_size": round(max_file_mb * 1e6),
        "allowed_paths": [str(path) for path in videos],
        "footer_links": [],
        "share": False,
        "ssr_mode": False,
        "enable_monitoring": False,
        "run_history": False,
        "quiet": True,
    }


def plain(turns: Sequence[dict[str, Any]]) -> list[Turn]:
    """Role and text of a chat's turns, whose contents come back from Gradio in parts."""
    return [{"role": turn["role"], "content": _text(turn["content"])} for turn in turns]


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "".join(part if isinstance(part, str) else str(part.get("text", "")) for part in content)


def _waiting() -> dict[str, Any]:
    return {"interactive": False, "placeholder": "Choose a clip first", "submit_btn": False, "stop_btn": False}


def _open() -> dict[str, Any]:
    return {
        "interactive": True,
        "placeholder": "Ask about the face in this clip",
        "submit_btn": "Ask",
        "stop_btn": False,
    }


def _busy() -> dict[str, Any]:
    return {"interactive": True, "placeholder": "Answering", "submit_btn": False, "stop_btn": "Stop"}


def _masthead(model: str) -> str:
    return (
        '<div class="fc-masthead"><h1>FaVChat</h1><p>Ask about the face in a video</p>'
        f'<p class="fc-model">model <b>{escape(model)}</b></p></div>'
    )


def _progress(text: str) -> str:
    return (
        '<section class="fc-card"><header><h2>Face track</h2></header>'
        f'<div class="fc-progress" role="status"><p>{text} …</p><div class="fc-bar"></div></div></section>'
    )


def _alert(title: str, text: str) -> str:
    return f'<div class="fc-alert" role="alert"><b>{title}.</b> {escape(text)}</div>'
