"""Requests to a running application, and videos to send along."""

import base64

import av
import cv2
import httpx
import numpy as np

from tests.serve.conftest import QUESTION, TOKENS, Server, clip_path, video_file


def data_url(name: str) -> str:
    return "data:video/mp4;base64," + base64.b64encode(clip_path(name).read_bytes()).decode()


def question(*urls: str, text: str = QUESTION) -> list[dict]:
    parts = [{"type": "video_url", "video_url": {"url": url}} for url in urls]
    return [{"role": "user", "content": [*parts, {"type": "text", "text": text}]}]


def ask(server: Server, *urls: str, text: str = QUESTION, **settings):
    return server.client().chat.completions.create(
        model="tiny", messages=question(*urls, text=text), **{"max_tokens": TOKENS, **settings}
    )


def counters(server: Server) -> dict[str, int]:
    return httpx.get(f"{server.root}/healthz", timeout=60).json()["counters"]


def two_faces() -> np.ndarray:
    """A face on the left, and the same one larger on the right, through four seconds."""
    with av.open(str(clip_path("pexels_0"))) as container:
        picture = next(container.decode(video=0)).to_ndarray(format="rgb24")
    scale = 320 / max(picture.shape)
    large = cv2.resize(picture, None, fx=scale, fy=scale)
    small = np.zeros_like(large)
    part = cv2.resize(large, None, fx=0.75, fy=0.75)
    small[: part.shape[0], : part.shape[1]] = part
    both = np.concatenate([small, large], axis=1)
    return np.repeat(both[None, : both.shape[0] // 2 * 2, : both.shape[1] // 2 * 2], 4, axis=0)


def encoded_video(images: np.ndarray) -> str:
    return "data:video/mp4;base64," + base64.b64encode(video_file(images)).decode()
