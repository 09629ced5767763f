"""The served model against one-by-one `generate`: tokens a second, and time to the first token.

    python benchmarks/serving.py [CONFIG] [SECTION.KEY=VALUE]... [--out] [--tokens N] [--requests N]

Starts the application on a local Ray and asks it about the sample clips over HTTP, with 1, 4 and 16 requests on their
way at a time. One by one means `model.generate` in this process on the same questions, one after the other, before
the server starts: with the encoders, as it stands in the library, and with the time that the encoders take alone
subtracted. Decoding is in neither. The first question on a video waits for decoding, face tracking and the encoders;
the second waits for none. The questions are ones that the language model answers by itself. "Bare" is what a first
question needs and no more, in this process: decoding, tracking, encoders, one pass of the language model in the
precision that the server takes, with the package's settings for threads; it is measured right before each first
question. Scores and a choice of eight options are asked for by turns with questions, about new videos and known ones,
and compared with a question's whole answer. Without serve.model the preset's untrained model is used: it is as fast as
a trained one. Every answer has the same length, as the end-of-turn token is switched off.
"""

from __future__ import annotations

import argparse
import base64
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

# As in the package's own processes, threads that wait sleep; read when torch is imported.
os.environ["OMP_WAIT_POLICY"] = "PASSIVE"

import torch
from openai import OpenAI

from favchat.config import Config, load
from favchat.hub.load import load as load_model
from favchat.model.answers_by_score import start_of_answer
from favchat.model.build import build
from favchat.runtime.environment import quiet_environment
from jobs.commands.settings import CONFIGS
from jobs.quickstart import SAMPLE
from serve.app import serving
from serve.language_model import prepare_language_model

CLIPS = SAMPLE / "clips"
KNOWN = ("pexels_0", "capture_0", "franck_1", "pyfeat_0")
NEW = ("pexels_1", "capture_1", "franck_2", "pexels_2", "capture_2")
TURNS = (("pexels_3", "pexels_4"), ("franck_3", "franck_4"), ("capture_4", "capture_3"), ("franck_5", "franck_6"))
"""New videos by pairs that are alike: a question about the one, scores of the other."""
OPTIONS = ("neutral", "anger", "contempt", "disgust", "happy", "fear", "sadness", "surprise")
QUESTIONS = (
    "Write a short story about this face.",
    "How does the face change from begin to end?",
    "How does the expression change?",
    "What happens at the beginning and at the end?",
)
"""The language model answers these by itself; what the scores say needs hardly a step of it."""
FROM_SCORES = (
    "Is the person smiling?",
    "What is the person's expression?",
    "Describe the person.",
    "Is there a beard?",
)
CONCURRENCY = (1, 4, 16)
REST_S = 0.5
"""After each measured first token: what is still computed of an answer that is cut off there is not the next one's."""


def one_by_one(config: Config, model: Any, processor: Any, requests: list[tuple[str, str]]) -> tuple[float, float]:
    """Seconds of generation for all requests, and how many of them the encoders took."""
    torch.set_num_threads(config.serve.threads or os.cpu_count() or 1)
    specification = processor.clip_specification
    detector = specification.make_detector()
    clips = {name: specification.read(CLIPS / f"{name}.mp4", detector)[0] for name in KNOWN}
    batches = [processor(text=[processor.prompt(question)], videos=[clips[name]]) for name, question in requests]
    model.generate(**batches[0], do_sample=False, max_new_tokens=2)
    began = time.perf_counter()
    for batch in batches:
        model.generate(**batch, do_sample=False, max_new_tokens=config.serve.max_new_tokens)
    whole = time.perf_counter() - began
    began = time.perf_counter()
    with torch.inference_mode():
        for name, _ in requests:
            model.model.get_video_features(**processor.video_inputs([clips[name]]))
    return whole, time.perf_counter() - began


def message(name: str, question: str) -> list[Any]:
    """A question about a sample clip."""
    data = base64.b64encode((CLIPS / f"{name}.mp4").read_bytes()).decode()
    video = {"type": "video_url", "video_url": {"url": f"data:video/mp4;base64,{data}"}}
    return [{"role": "user", "content": [video, {"type": "text", "text": question}]}]


def throughput(client: OpenAI, config: Config, requests: list[tuple[str, str]], concurrency: int) -> float:
    """Tokens a second, all requests together."""

    def tokens(request: tuple[str, str]) -> int:
        answer = client.chat.completions.create(model=config.serve.name, messages=message(*request), temperature=0)
        return answer.usage.completion_tokens if answer.usage else 0

    began = time.perf_counter()
    with ThreadPoolExecutor(concurrency) as pool:
        total = sum(pool.map(tokens, requests))
    return total / (time.perf_counter() - began)


def from_scores(client: OpenAI, config: Config, count: int) -> str:
    """The line of questions whose answers the scores give, 16 at a time."""
    requests = [(KNOWN[index % 4], FROM_SCORES[index // 4 % 4]) for index in range(count)]
    began = time.perf_counter()
    throughput(client, config, requests, CONCURRENCY[-1])
    speed = count / (time.perf_counter() - began)
    return f"| answers from the scores, {CONCURRENCY[-1]} at a time | {speed:.1f} answers/s | |"


def first_token(client: OpenAI, config: Config, name: str, question: str) -> float:
    """Seconds from sending a question to the first token of its answer."""
    began = time.perf_counter()
    stream = client.chat.completions.create(
        model=config.serve.name, messages=message(name, question), stream=True, max_tokens=8
    )
    try:
        # The first chunk, with the role, is sent before there is a token.
        next(chunk for chunk in stream if chunk.choices[0].delta.content or chunk.choices[0].finish_reason)
        return time.perf_counter() - began
    finally:
        stream.close()
        time.sleep(REST_S)


class Bare:
    """What a first question needs, without a server: reading the video, the encoders, one pass over the prompt."""

    def __init__(self, model: Any, processor: Any) -> None:
        self._model, self._processor = model, processor
        self._detector = processor.clip_specification.make_detector()
        self.seconds(KNOWN[0])  # warms up

    def seconds(self, name: str) -> float:
        """How long it takes for a clip."""
        began = time.perf_counter()
        clip = self._processor.clip_specification.read(CLIPS / f"{name}.mp4", self._detector)[0]
        batch = self._processor(text=[self._processor.prompt(QUESTIONS[0])], videos=[clip])
        self._model.generate(**batch, do_sample=False, max_new_tokens=1)
        return time.perf_counter() - began


def ratio(ones: Sequence[float], others: Sequence[float]) -> float:
    """The median of their ratios, one by one."""
    return statistics.median(one / other for one, other in zip(ones, others, strict=True))


def whole_answer(client: OpenAI, config: Config, name: str, number: int, **more: Any) -> float:
    """Seconds of a question's answer."""
    began = time.perf_counter()
    question = f"{number}. {QUESTIONS[number % 4]}"
    client.chat.completions.create(model=config.serve.name, messages=message(name, question), extra_body=more or None)
    return time.perf_counter() - began


def scores(client: OpenAI, name: str, window: float) -> float:
    """Seconds of the scores of a video that is sent first; a window that nobody asked for is computed anew."""
    data = (CLIPS / f"{name}.mp4").read_bytes()
    began = time.perf_counter()
    file = client.files.create(file=(f"{name}.mp4", data), purpose="vision")
    client.post(f"/videos/{file.id}/attributes", cast_to=object, body={"window_s": window})
    return time.perf_counter() - began


def by_turns(client: OpenAI, config: Config) -> list[str]:
    """The lines on scores and choices against questions, on new and on known videos."""
    rows: dict[str, list[tuple[float, float]]] = {"scores, new video": [], "scores, known video": [], "8 options": []}
    for number, (one, other) in enumerate(TURNS):
        rows["scores, new video"].append((scores(client, other, 2.0), whole_answer(client, config, one, number)))
    for number in range(8):
        name = KNOWN[number % 4]
        question = whole_answer(client, config, name, 100 + number)
        rows["scores, known video"].append((scores(client, name, 2.0 + number / 100), question))
        choice = whole_answer(client, config, name, 200 + number, guided_choice=OPTIONS)
        rows["8 options"].append((choice, question))
    lines = ["", "| by turns | median (ms) | a question's answer (ms) | ratio |", "|---|---|---|---|"]
    for title, pairs in rows.items():
        own, question = (statistics.median(times) for times in zip(*pairs, strict=True))
        share = ratio(*zip(*pairs, strict=True))
        lines.append(f"| {title} | {1e3 * own:,.0f} | {1e3 * question:,.0f} | {share:.2f}x |")
    return lines


def endless(folder: Path, config: Config) -> tuple[Any, Any]:
    """Load `serve.model` or build the preset's model, without an end-of-turn token, and save it to a folder."""
    model, processor = load_model(config.serve.model) if config.serve.model else build(config.model)
    model.generation_config.eos_token_id = len(processor.tokenizer)  # no token has this id
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return model, processor


def check_questions(config: Config) -> None:
    """See that no rule answers what is to measure the language model."""
    scores = dict.fromkeys(config.model.adapter.attributes, 0.6)
    for question in QUESTIONS:
        if start_of_answer(question, scores, scores) is not None:
            raise SystemExit(f"'{question}' is not answered by the language model any more: take another question")


def measure(config: Config, count: int) -> list[str]:
    """The lines of the table."""
    check_questions(config)
    requests = [(KNOWN[index % 4], QUESTIONS[index // 4 % 4]) for index in range(count)]
    lines = ["| | tokens/s | against one by one |", "|---|---|---|"]
    with tempfile.TemporaryDirectory() as folder:
        model, processor = endless(Path(folder), config)
        whole, encoders = one_by_one(config, model, processor, requests)
        total = count * config.serve.max_new_tokens
        alone = total / (whole - encoders)
        lines.append(f"| one by one, with the encoders | {total / whole:.1f} | {total / whole / alone:.2f}x |")
        lines.append(f"| one by one, without | {alone:.1f} | 1x |")
        prepare_language_model(model, config.serve)
        bare = Bare(model, processor)
        settings = config.serve.model_copy(update={"model": folder})
        with serving(config.model_copy(update={"serve": settings})) as base:
            client = OpenAI(base_url=base, api_key="none", timeout=600)
            for name in KNOWN:
                first_token(client, config, name, "Hello?")
            for concurrency in CONCURRENCY:
                speed = throughput(client, config, requests, concurrency)
                lines.append(f"| served, {concurrency} at a time | {speed:.1f} | {speed / alone:.2f}x |")
            lines.append(from_scores(client, config, 4 * count))
            # By turns: a virtual machine is not always as fast.
            alone_first, firsts = zip(
                *((bare.seconds(name), first_token(client, config, name, QUESTIONS[0])) for name in NEW), strict=True
            )
            seconds = [first_token(client, config, name, QUESTIONS[1]) for name in NEW]
            turns = by_turns(client, config)
    lines += [
        "",
        "| time to the first token | median (ms) | slowest (ms) | median of the ratios |",
        "|---|---|---|---|",
        f"| bare, first question on a video | {1e3 * statistics.median(alone_first):,.0f} | "
        f"{1e3 * max(alone_first):,.0f} | |",
        f"| first question on a video | {1e3 * statistics.median(firsts):,.0f} | {1e3 * max(firsts):,.0f} | "
        f"{ratio(firsts, alone_first):.2f}x of bare |",
        f"| second question | {1e3 * statistics.median(seconds):,.0f} | {1e3 * max(seconds):,.0f} | "
        f"{ratio(seconds, firsts):.2f}x of the first |",
    ]
    return [*lines, *turns]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("config", nargs="?", default="nano", help="a preset or a YAML file")
    parser.add_argument("overrides", nargs="*", help="settings that override the file's")
    parser.add_argument("--tokens", type=int, default=48, help="length of an answer")
    parser.add_argument("--requests", type=int, default=16, help="requests of a measurement")
    parser.add_argument("--out", action="store_true", help="also write benchmarks/results/DATE-MACHINE-serving.md")
    arguments = parser.parse_args()
    quiet_environment()
    preset = CONFIGS / f"{arguments.config}.yaml"
    config = load(
        preset if preset.is_file() else arguments.config,
        [f"serve.max_new_tokens={arguments.tokens}", *arguments.overrides],
    )
    cores = os.cpu_count() or 1
    device = torch.cuda.get_device_name() if config.serve.use_gpu else f"{cores}core-cpu"
    load_before = os.getloadavg()[0]
    table = measure(config, arguments.requests)
    lines = [
        f"# Serving `{arguments.config}`",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, {cores} cores, Python {platform.python_version()}, "
        f"torch {version('torch')}, transformers {version('transformers')}, ray {version('ray')}. "
        f"{arguments.requests} requests of {arguments.tokens} tokens over {len(KNOWN)} clips, "
        f"{config.serve.threads or cores} thread(s) a process; load of the machine before the run: {load_before:.1f}.",
        "",
        *table,
    ]
    print("\n".join(lines))
    if arguments.out:
        name = f"{datetime.now(UTC):%Y-%m-%d}-{device.lower().replace(' ', '-')}-serving.md"
        (Path(__file__).parent / "results" / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
