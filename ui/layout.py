"""Where everything stands on the page."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.data_classes import FileData
from markdown_it import MarkdownIt

from ui.exports import EXPORTS
from ui.player import EMPTY as NO_PLAYER
from ui.profile import ORDERS
from ui.result_card import EMPTY as NO_RESULT
from ui.samples import samples

LONGEST_QUESTION = 2000
"""Letters."""
TICK = 0.7
"""Seconds between two looks for what is new."""
LONGEST_ANSWER = 256
"""Tokens that the slider goes to."""
ACT = """element.addEventListener('click', event => {
  const button = event.target.closest('[data-do]');
  if (button && button.getAttribute('aria-disabled') !== 'true') trigger('click', {...button.dataset});
});"""
"""A click on anything with ``data-do`` comes to Python with all its data."""
WATCH = "window.fcWatch(element, server.server_state);"
EMPTY_CHAT = "### Questions come here\nAdd a clip first."
READY_CHAT = "### Ask about this face\nType below, or take a question from the list."
NOTE = "Not for decisions about people: what a face shows is no proof of what somebody feels or is."


@dataclass(frozen=True)
class Parts:
    """The page's parts that change."""

    browser: gr.BrowserState
    shown: gr.State
    timer: gr.Timer
    drop: gr.File
    camera: gr.Video
    samples: gr.HTML
    table: gr.HTML
    player: gr.HTML
    faces: gr.HTML
    timeline: gr.HTML
    result: gr.HTML
    chat: gr.Chatbot
    chips: gr.HTML
    timing: gr.HTML
    notice: gr.HTML
    question: gr.Textbox
    profile: gr.HTML
    order: gr.Dropdown
    untaught: gr.Checkbox
    kind: gr.Dropdown
    save: gr.Button
    saved: gr.JSON
    link: gr.JSON
    experts: gr.HTML
    facts: gr.HTML
    temperature: gr.Slider
    length: gr.Slider
    engineers: gr.Accordion
    way_a: gr.Dropdown
    way_b: gr.Dropdown
    both_question: gr.Textbox
    both: gr.Button
    compared: gr.HTML


def _html(value: str, **options: Any) -> gr.HTML:
    """HTML whose looks are those of ``page.css`` alone."""
    return gr.HTML(value, apply_default_css=False, **options)


def lay_out(clips: Mapping[str, Path], limits: str, card: str, runs: str | None, server_state: Any) -> Parts:
    """Make the parts, within ``gr.Blocks``.

    Args:
        clips: Sample clips by what they show.
        limits: What may be uploaded, in words.
        card: The model card, Markdown; empty: there is none.
        runs: Address of MLflow's page; None: there is none.
        server_state: Called by the browser each second.
    """
    made: dict[str, Any] = {
        "browser": gr.BrowserState(None, storage_key="favchat", secret="kept by the reader's browser"),  # noqa: S106
        "shown": gr.State({}),
        "timer": gr.Timer(TICK),
    }
    _html(_masthead(bool(card)), js_on_load=WATCH, server_functions=[server_state], elem_id="fc-masthead")
    with gr.Row(elem_id="fc-top"):
        with gr.Column(scale=3, min_width=280, elem_id="fc-add"):
            made["drop"] = gr.File(
                label="Add videos",
                file_count="multiple",
                file_types=["video"],
                height=104,
                elem_id="fc-drop",
            )
            _html(f'<p class="fc-hint">{escape(limits)}</p>')
            with gr.Accordion("Record with the camera", open=False, elem_id="fc-record"):
                made["camera"] = gr.Video(
                    label="Camera",
                    sources=["webcam"],
                    webcam_options=gr.WebcamOptions(mirror=False),
                    include_audio=False,
                    height=240,
                    buttons=[],
                    elem_id="fc-camera",
                )
                # Gradio's own would call the program ffmpeg to take out a sound that was never recorded.
                made["camera"].preprocess = _recording
        with gr.Column(scale=5, min_width=280, elem_id="fc-take"):
            made["samples"] = _html(samples(clips), js_on_load=ACT, elem_id="fc-samples")
    made["table"] = _html("", js_on_load=ACT, elem_id="fc-table")
    with gr.Row(elem_id="fc-main"):
        with gr.Column(scale=7, min_width=300, elem_id="fc-left"):
            made["player"] = _html(NO_PLAYER, elem_id="fc-player")
            made["faces"] = _html("", js_on_load=ACT, elem_id="fc-faces")
            made["timeline"] = _html("", js_on_load=ACT, elem_id="fc-timeline")
            with gr.Column(elem_id="fc-profile"):
                with gr.Row(elem_id="fc-profile-head"):
                    _html('<h2 class="fc-title">The profile</h2>')
                    made["order"] = gr.Dropdown(
                        list(ORDERS), value="Family", label="Sorted by", filterable=False, elem_id="fc-order"
                    )
                    made["untaught"] = gr.Checkbox(False, label="Also what was not taught", elem_id="fc-untaught")
                made["profile"] = _html("", elem_id="fc-profile-table")
                with gr.Row(elem_id="fc-export"):
                    made["kind"] = gr.Dropdown(
                        list(EXPORTS), value=next(iter(EXPORTS)), label="Save as", filterable=False, elem_id="fc-kind"
                    )
                    made["save"] = gr.Button("Save", size="sm", elem_id="fc-save")
                    _html('<button type="button" class="fc-button" data-copy-link>Copy link to this clip</button>')
                    made["saved"] = gr.JSON(visible="hidden")
                    made["link"] = gr.JSON(visible="hidden")
        with gr.Column(scale=5, min_width=300, elem_id="fc-right"):
            made["result"] = _html(NO_RESULT, js_on_load=ACT, elem_id="fc-result")
            with gr.Column(elem_id="fc-talk"):
                made["chat"] = gr.Chatbot(
                    label="Conversation",
                    show_label=False,
                    elem_id="fc-chat",
                    height=None,
                    min_height=170,
                    max_height=420,
                    placeholder=EMPTY_CHAT,
                    # Answers are text: no formatting, and no pictures from addresses that a model made up.
                    render_markdown=False,
                    latex_delimiters=[],
                    buttons=["copy"],
                    editable="user",
                    feedback_options=(),
                    layout="bubble",
                )
                with gr.Column(elem_id="fc-ask"):
                    made["notice"] = _html("", elem_id="fc-notice")
                    made["timing"] = _html("", js_on_load=ACT, elem_id="fc-timing")
                    made["question"] = gr.Textbox(
                        label="Question",
                        show_label=False,
                        container=False,
                        max_length=LONGEST_QUESTION,
                        elem_id="fc-question",
                        **waiting(),
                    )
                made["chips"] = _html("", js_on_load=ACT, elem_id="fc-chips")
    with gr.Accordion("For engineers", open=False, elem_id="fc-engineers") as made["engineers"]:
        made["facts"] = _html("", elem_id="fc-facts")
        with gr.Row():
            made["temperature"] = gr.Slider(0, 1.5, 0, step=0.1, label="Temperature: 0 takes the likeliest token")
            made["length"] = gr.Slider(8, LONGEST_ANSWER, LONGEST_ANSWER, step=8, label="Longest answer in tokens")
        with gr.Column(elem_id="fc-both"):
            _html('<h2 class="fc-title">The same question both ways</h2>')
            with gr.Row():
                made["way_a"] = gr.Dropdown([], label="One way", filterable=False, elem_id="fc-way-a")
                made["way_b"] = gr.Dropdown([], label="The other way", filterable=False, elem_id="fc-way-b")
            with gr.Row():
                made["both_question"] = gr.Textbox("Describe this person.", label="Question for both", scale=4)
                made["both"] = gr.Button("Ask both ways", scale=1, elem_id="fc-ask-both")
            made["compared"] = _html("", elem_id="fc-compared")
        made["experts"] = _html("", elem_id="fc-experts")
        if runs:
            _html(f'<p><a href="{escape(runs)}" target="_blank" rel="noopener">MLflow: runs and registry</a></p>')
    if card:
        _html(_model_card(card), elem_id="fc-card")
    return Parts(**made)


def _recording(payload: FileData | None) -> str | None:
    """The file of a recording."""
    return payload.path if payload else None


def waiting() -> dict[str, Any]:
    """The question's box while there is nothing to ask about."""
    return {"interactive": False, "placeholder": "Choose a clip first", "submit_btn": False, "stop_btn": False}


def ready() -> dict[str, Any]:
    """The question's box."""
    placeholder = "Ask about the face in this clip"
    return {"interactive": True, "placeholder": placeholder, "submit_btn": "Ask", "stop_btn": False}


def busy() -> dict[str, Any]:
    """The question's box while an answer comes."""
    return {"interactive": True, "placeholder": "Answering", "submit_btn": False, "stop_btn": "Stop"}


def alert(title: str, text: str) -> str:
    """An error."""
    return f'<div class="fc-alert" role="alert"><b>{title}.</b> {escape(text)}</div>'


def _model_card(card: str) -> str:
    # Links to files beside the card lead nowhere from here.
    card = re.sub(r"\[([^\]]+)\]\((?!https?:)[^)]*\)", r"\1", card)
    text = MarkdownIt("commonmark", {"html": False}).enable("table").render(card)
    return f"<details><summary>Model card: what it was taught, on whom, and how well</summary>{text}</details>"


def _masthead(card: bool) -> str:
    link = ' <a href="#fc-card">What it was taught</a>.' if card else ""
    return (
        '<header class="fc-masthead"><h1>FaVChat</h1><p>Study the face in a video</p>'
        '<p class="fc-model">model <b class="fc-model-name">…</b> <span class="fc-status" role="status" '
        f'data-state="">Looking for the server …</span></p></header><p class="fc-ethics">{NOTE}{link}</p>'
    )
