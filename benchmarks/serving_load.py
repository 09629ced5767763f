"""The served model under twice the load that it can answer, and while its parts break: what each client sees.

    python benchmarks/serving_load.py overload [CONFIG] [SECTION.KEY=VALUE]... [--minutes 10] [--out]
    python benchmarks/serving_load.py faults [CONFIG] [SECTION.KEY=VALUE]... [--disk FOLDER] [--out]

`overload` measures what the server answers with as many clients as it has places, then sends twice as many requests a
second for some minutes, whether they are answered or not. `faults` kills each of the four deployments while clients
ask, cuts clients off in mid-upload, sends a video that takes longer to decode than is allowed, and fills the disk, for
which FOLDER lies empty on a file system of some 400 MB (mount -t tmpfs -o size=400m none FOLDER).
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import gc
import json
import os
import platform
import socket
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fractions import Fraction
from importlib.metadata import version
from pathlib import Path

import av
import httpx
import numpy as np
import psutil
import serving

from favchat.config import Config, load
from favchat.runtime.environment import quiet_environment
from jobs.commands.settings import CONFIGS
from jobs.quickstart import SAMPLE
from serve.app import serving as started

CLIPS = SAMPLE / "clips"
NAMES = ("pexels_0", "capture_0", "franck_1", "pyfeat_0")
QUESTIONS = ("Is the person smiling?", "Describe the person.", *serving.QUESTIONS[:2])
"""The scores answer the first two, the language model the others, which is what costs."""
PARTS = ("engine", "encoder", "media", "api")
FAULTS = ("none", *PARTS, "upload", "decoder", "disk")
JSON = {"Content-Type": "application/json"}
CALIBRATION_S = 20.0
CLIENTS = 4
"""Of `faults`, half of them with known videos and half with a new one each time."""
WATCH_S = 25.0
"""Seconds for which what follows a fault is watched."""


@dataclass
class Seen:
    """What clients saw.

    Attributes:
        outcomes: How often each; an answer that did not come whole is `lost`.
        seconds: Of each request, by outcome.
        times: When each answer with 200 came; of :func:`watched` also when it began and ended.
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    seconds: dict[str, list[float]] = field(default_factory=dict)
    times: list[float] = field(default_factory=list)

    def note(self, outcome: str, seconds: float) -> None:
        """One request ended."""
        self.outcomes[outcome] += 1
        self.seconds.setdefault(outcome, []).append(seconds)
        if outcome == "200":
            self.times.append(time.monotonic())

    def gap(self) -> float:
        """The longest time without an answer."""
        return max(np.diff(self.times), default=0.0)

    def text(self) -> str:
        """All outcomes in a line."""
        parts = [
            f"{count} x {name} (max {max(self.seconds[name]):.1f} s)" for name, count in sorted(self.outcomes.items())
        ]
        return ", ".join(parts) or "nothing"


def data_of(name: str, *, new: bool = False) -> bytes:
    """A sample clip; a new one has other bytes behind its end."""
    return (CLIPS / f"{name}.mp4").read_bytes() + (os.urandom(16) if new else b"")


def chat(config: Config, data: bytes, question: str, tokens: int) -> bytes:
    """A question about a video, ready to be sent: whoever measures has to be quick."""
    url = "data:video/mp4;base64," + base64.b64encode(data).decode()
    content = [{"type": "video_url", "video_url": {"url": url}}, {"type": "text", "text": question}]
    messages = [{"role": "user", "content": content}]
    return json.dumps({"model": config.serve.name, "messages": messages, "max_tokens": tokens}).encode()


async def ask(client: httpx.AsyncClient, body: bytes, seen: Seen) -> None:
    """Ask once and note how it ends."""
    began = time.monotonic()
    try:
        answer = await client.post("/v1/chat/completions", content=body, headers=JSON)
        outcome = str(answer.status_code)
        if answer.status_code == 200:
            outcome = "200" if answer.json()["choices"][0]["finish_reason"] in ("stop", "length") else "lost"
        elif answer.headers["content-type"].startswith("application/json"):
            outcome += f" {answer.json()['error']['code']}"
        else:
            outcome += f" in plain text: {answer.text[:60]!r}"
    except httpx.HTTPError as error:
        outcome = f"lost ({type(error).__name__})"
    seen.note(outcome, time.monotonic() - began)


async def until(stop: asyncio.Event, act: Callable[[], Awaitable[None]]) -> None:
    """Act again and again."""
    while not stop.is_set():
        await act()


async def probed(client: httpx.AsyncClient, stop: asyncio.Event, path: str, seen: Seen) -> None:
    """Look at a probe ten times a second."""
    while not stop.is_set():
        began = time.monotonic()
        try:
            answer = await client.get(path)
            outcome = str(answer.status_code) if answer.status_code != 503 else f"503 {answer.json().get('status')}"
        except httpx.HTTPError as error:
            outcome = f"lost ({type(error).__name__})"
        except ValueError:
            outcome = "503 in plain text"
        seen.note(outcome, time.monotonic() - began)
        await asyncio.sleep(0.1)


def replicas() -> dict[str, psutil.Process]:
    """The application's processes by what they do; Ray's own processes name them."""
    found = {}
    for process in psutil.process_iter(["cmdline"]):
        title = " ".join(process.info["cmdline"] or [])
        for part in PARTS:
            if f"ServeReplica:favchat:{part}" in title:
                found[part] = process
    return found


def connect(base: str) -> httpx.AsyncClient:
    """A client with any number of connections."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=64)
    return httpx.AsyncClient(base_url=base.removesuffix("/v1"), timeout=300, limits=limits)


async def overload(base: str, config: Config, minutes: float, tokens: int) -> list[str]:
    """Twice the load that the server can answer."""
    bodies = [chat(config, data_of(name), question, tokens) for name in NAMES for question in QUESTIONS]
    count = 0

    def body() -> bytes:
        nonlocal count
        count += 1
        return bodies[count % len(bodies)]

    async with connect(base) as client:
        for one in bodies:
            await ask(client, one, Seen())
        alone, stop = Seen(), asyncio.Event()
        clients = [asyncio.create_task(until(stop, lambda: ask(client, body(), alone))) for _ in range(16)]
        await asyncio.sleep(CALIBRATION_S)
        capacity = alone.outcomes["200"] / CALIBRATION_S
        stop.set()
        await asyncio.gather(*clients)
        seen, live, stop = Seen(), Seen(), asyncio.Event()
        watch = asyncio.create_task(probed(client, stop, "/livez", live))
        memory: dict[str, list[float]] = {part: [] for part in PARTS}
        processes, sent = replicas(), []
        began = time.monotonic()
        while (now := time.monotonic() - began) < 60 * minutes:
            if len(sent) < 2 * capacity * now:
                sent.append(asyncio.create_task(ask(client, body(), seen)))
            for part, values in memory.items():
                if len(values) < now:
                    values.append(processes[part].memory_info().rss / 1e6)
            await asyncio.sleep(0.005)
        await asyncio.gather(*sent)
        stop.set()
        await watch
    refusals = sum((times for name, times in seen.seconds.items() if name.startswith("503")), [])
    other = sum(n for name, n in seen.outcomes.items() if name[0] == "5" and name[:3] != "503")
    lost = sum(n for name, n in seen.outcomes.items() if name.startswith("lost"))
    probes = sum(live.seconds.values(), [])
    lines = [
        f"Capacity: {capacity:.2f} answers of at most {tokens} tokens a second; sent: {len(sent)} requests in "
        f"{minutes:g} minutes, {len(sent) / minutes / 60:.2f} a second.",
        "",
        "| what | measured | goal |",
        "|---|---|---|",
        f"| outcomes | {seen.text()} | |",
        f"| lost | {lost} | 0 |",
        f"| 5xx other than 503 | {other} | 0 |",
        f"| answered, of the capacity | {seen.outcomes['200'] / minutes / 60 / capacity:.2f} | |",
        f"| refusals, p95 | {1e3 * percentile(refusals):,.0f} ms | below 1000 ms |",
        f"| `/livez` | {live.text()}; median {1e3 * percentile(probes, 50):.0f} ms, "
        f"p95 {1e3 * percentile(probes):.0f} ms, "
        f"p99 {1e3 * percentile(probes, 99):.0f} ms, longest {1e3 * max(probes):.0f} ms | below 100 ms |",
    ]
    for part, values in memory.items():
        after = values[60:] or values
        first, middle, last = (np.mean(some[:10]) for some in (after, after[len(after) // 2 :], after[-10:]))
        grown = f"{first:.0f}, {middle:.0f}, {last:.0f} MB ({last / first - 1:+.1%})"
        lines.append(f"| memory of {part} after a minute, half-way, at the end | {grown} | below 2 % more |")
    return lines


def percentile(values: list[float], share: float = 95) -> float:
    """A percentile, 0 of nothing."""
    return float(np.percentile(values, share)) if values else 0.0


async def watched(client: httpx.AsyncClient, config: Config, fault: Callable[[], Awaitable[None]]) -> tuple[Seen, Seen]:
    """What clients and `/readyz` tell for some time after a fault."""
    seen, ready, stop, count = Seen(), Seen(), asyncio.Event(), 0

    async def act() -> None:
        nonlocal count
        count += 1
        data = data_of(NAMES[count % len(NAMES)], new=count % 2 == 0)
        await ask(client, chat(config, data, QUESTIONS[count % len(QUESTIONS)], 32), seen)
        await asyncio.sleep(0.2)

    seen.times.append(time.monotonic())
    tasks = [asyncio.create_task(until(stop, act)) for _ in range(CLIENTS)]
    tasks.append(asyncio.create_task(probed(client, stop, "/readyz", ready)))
    await asyncio.sleep(2)
    await fault()
    await asyncio.sleep(WATCH_S)
    stop.set()
    await asyncio.gather(*tasks)
    seen.times.append(time.monotonic())
    return seen, ready


def killing(part: str) -> Callable[[], Awaitable[None]]:
    """Kill a deployment's process."""

    async def kill() -> None:
        replicas()[part].kill()

    return kill


async def cut_off(base: str, config: Config, store: Path) -> str:
    """Thirty clients that leave in the middle of their uploads."""
    before = len(list((store / "videos").iterdir()))
    lines = ["POST /v1/files HTTP/1.1", "Host: x", "Content-Type: multipart/form-data; boundary=e"]
    head = "\r\n".join([*lines, f"Content-Length: {10**6}", "", ""])
    for _ in range(30):
        with socket.create_connection(("127.0.0.1", config.serve.port)) as connection:
            connection.sendall(head.encode() + b"--e\r\n" + os.urandom(50_000))
    await asyncio.sleep(2)
    left = len(list((store / "videos").iterdir())) - before + len(list((store / "incoming").iterdir()))
    seen = Seen()
    async with connect(base) as client:
        await ask(client, chat(config, data_of(NAMES[0]), QUESTIONS[0], 16), seen)
    return f"they are gone; of their bytes {left} files are left; the next client: {seen.text()}"


def endless_video(seconds: int = 200, side: int = 4096) -> bytes:
    """A small file that takes long to decode: large pictures, and one key frame for all of them."""
    with tempfile.NamedTemporaryFile(suffix=".mp4") as file:
        with av.open(file.name, "w") as output:
            stream = output.add_stream("mpeg4", rate=12, options={"g": "600"})
            stream.width = stream.height = side
            stream.pix_fmt = "yuv420p"
            frame = av.VideoFrame(side, side, "yuv420p")
            for plane in frame.planes:
                plane.update(bytes(plane.buffer_size))
            parts = []
            for number in range(8):
                frame.pts = number
                parts += [bytes(packet) for packet in stream.encode(frame)]
            for number in range(seconds * 12):  # pictures in which nothing changes: the same bytes again and again
                packet = av.Packet(parts[0] if number == 0 else parts[1 + number % (len(parts) - 1)])
                packet.stream, packet.pts, packet.dts = stream, number, number
                packet.time_base, packet.is_keyframe = Fraction(1, 12), number == 0
                output.mux(packet)
        return Path(file.name).read_bytes()


async def faults(base: str, config: Config, wanted: list[str]) -> list[str]:
    """Break one thing after another."""
    lines = ["| fault | what the clients saw | longest time without an answer | `/readyz` |", "|---|---|---|---|"]

    def row(name: str, seen: Seen, ready: Seen | None = None) -> None:
        lines.append(f"| {name} | {seen.text()} | {seen.gap():.1f} s | {ready.text() if ready else ''} |")
        print(lines[-1], flush=True)

    store = Path(config.serve.store or "")
    async with connect(base) as client:
        for name in NAMES:
            await ask(client, chat(config, data_of(name), QUESTIONS[0], 8), Seen())

        async def nothing() -> None:
            pass

        if "none" in wanted:
            row("none", *await watched(client, config, nothing))
        for part in PARTS:
            if part in wanted:
                row(f"{part} killed", *await watched(client, config, killing(part)))
        if "upload" in wanted:
            lines.append(f"| 30 clients cut off in mid-upload | {await cut_off(base, config, store)} | | |")
            print(lines[-1], flush=True)
        slow = Seen()

        async def send_slow() -> None:
            await ask(client, chat(config, endless_video(), QUESTIONS[0], 8), slow)

        if "decoder" in wanted:
            row("a video that takes too long to decode: the others", *await watched(client, config, send_slow))
            row("a video that takes too long to decode: who sent it", slow)
        if "disk" in wanted:
            fill = store / "filling"

            async def fill_disk() -> None:
                with fill.open("wb") as file:
                    try:
                        while True:
                            file.write(bytes(1 << 16))
                            file.flush()
                    except OSError:
                        pass

            row("the disk is full", *await watched(client, config, fill_disk))
            fill.unlink(missing_ok=True)
            row("the disk has room again", *await watched(client, config, nothing))
    return lines


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("what", choices=("overload", "faults"))
    parser.add_argument("config", nargs="?", default="nano", help="a preset or a YAML file")
    parser.add_argument("overrides", nargs="*", help="settings that override the file's")
    parser.add_argument("--minutes", type=float, default=10.0, help="of overload")
    parser.add_argument("--tokens", type=int, default=32, help="longest answer of overload")
    parser.add_argument("--faults", nargs="+", choices=FAULTS, default=FAULTS, help="which; by default all")
    parser.add_argument("--disk", type=Path, help="of faults: an empty folder on a small file system")
    parser.add_argument("--out", action="store_true", help="also write benchmarks/results/DATE-MACHINE-WHAT.md")
    arguments = parser.parse_args()
    quiet_environment()
    preset = CONFIGS / f"{arguments.config}.yaml"
    with tempfile.TemporaryDirectory() as folder:
        store = f"serve.store={arguments.disk or folder}"
        first = ["serve.media_timeout=15", "serve.max_videos=24"] if arguments.what == "faults" else []
        config = load(preset if preset.is_file() else arguments.config, [store, *first, *arguments.overrides])
        load_before = os.getloadavg()[0]
        with started(config) as base:
            # The collector would stop this process for 0.1 s to look at all that it has imported, and that would be
            # measured as the server's time.
            gc.collect()
            gc.freeze()
            run = (
                overload(base, config, arguments.minutes, arguments.tokens)
                if arguments.what == "overload"
                else faults(base, config, [name for name in arguments.faults if name != "disk" or arguments.disk])
            )
            table = asyncio.run(run)
    cores = os.cpu_count() or 1
    title = "under twice its load" if arguments.what == "overload" else "while parts of it break"
    lines = [
        f"# Serving `{arguments.config}` {title}",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, {cores} cores, Python {platform.python_version()}, "
        f"torch {version('torch')}, transformers {version('transformers')}, ray {version('ray')}; "
        f"load of the machine before the run: {load_before:.1f}.",
        "",
        *table,
    ]
    print("\n".join(lines))
    if arguments.out:
        name = f"{datetime.now(UTC):%Y-%m-%d}-{cores}core-cpu-{arguments.what}.md"
        (Path(__file__).parent / "results" / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
