"""What programs may ask of the page through ``gradio_client``: one clip, told about and asked."""

from __future__ import annotations

import asyncio
from typing import Any

import gradio as gr
from openai import APIError

from ui.client import ApiClient


def add_endpoint(api: ApiClient) -> None:
    """Add ``/analyse`` to the page, within ``gr.Blocks``.

    Args:
        api: The server.
    """

    async def analyse(video: str, question: str = "") -> dict[str, Any]:
        """Tell about the face in a video: its scores, and the answer to a question where one is asked."""
        file_id = None
        try:
            file_id = (await asyncio.to_thread(api.upload, video)).id
            scores = await asyncio.to_thread(api.scores, file_id)
            turns = [{"role": "user", "content": question}]
            pieces = [piece.text async for piece in api.answer(file_id, turns)] if question.strip() else None
            return {"scores": scores, "answer": "".join(pieces).strip() if pieces is not None else None}
        except APIError as error:
            raise gr.Error(api.explain(error)) from error
        finally:
            await asyncio.to_thread(api.forget, file_id)

    # Parts that nobody sees: Gradio takes an endpoint's arguments and their checks from them.
    video = gr.File(label="Video", visible=False)
    question = gr.Textbox(label="Question", visible=False)
    told = gr.JSON(label="Told", visible=False)
    gr.Button(visible=False).click(
        analyse, [video, question], told, api_name="analyse", api_description=analyse.__doc__, queue=True
    )
