"""How long the page takes to be usable, what it weighs, and pictures of it.

    python benchmarks/page.py [CONFIG] [SECTION.KEY=VALUE]... [--clip VIDEO] [--pictures FOLDER] [--out FILE]

Runs `favchat demo` in a process of its own and opens it in Chromium as soon as it answers, as the command does. Times
count from the command's start: until the page answers, until a clip is read and its scores are shown, until the server
is ready, until both are so and the clip can be asked about. CPU seconds are those of all processes of the command until
then, without the browser's; on a busy machine they say more than the times. With --pictures it leaves
screenshots there, too: desktop.png, tablet.png, phone.png, dark.png. Needs Chromium (apt-get install chromium).
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil
from playwright.sync_api import Page, sync_playwright

from jobs.demo import SAMPLE_CLIPS

CLIP = SAMPLE_CLIPS / "franck_7.mp4"
QUESTION = "Describe this person."
PATIENCE = 300.0
"""Seconds after which a step is given up."""
LOOK = 0.25
"""Seconds between two looks whether something answers: each look at the server costs it some milliseconds."""
MODULES = ("ui.page", "serve.app", "serve.api", "serve.media", "serve.encoder", "serve.engine")
"""What the command's processes import."""
SCREENS: dict[str, dict[str, Any]] = {
    "desktop": {"viewport": {"width": 1440, "height": 1180}},
    "tablet": {"viewport": {"width": 820, "height": 1180}},
    "phone": {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True},
    "dark": {"viewport": {"width": 1280, "height": 1180}, "color_scheme": "dark"},
}
QUIET = ("gpu", "quic", "background-networking", "component-update", "sync")


@dataclass
class Start:
    """How the command came up; seconds since its start.

    Attributes:
        wall: By what had come about.
        cpu: CPU seconds of all its processes by then.
    """

    wall: dict[str, float] = field(default_factory=dict)
    cpu: dict[str, float] = field(default_factory=dict)


@contextmanager
def demo(
    config: str, overrides: list[str], clip: Path
) -> Iterator[tuple[str, Callable[[str], None], Callable[[], None], Start]]:
    """Run the command as long as the context lasts, which begins when the page answers.

    Returns:
        The page's address, what notes that a step is done, what waits for the server, and the notes.
    """
    port, api = _free_port(), _free_port()
    command = [sys.executable, "-m", "jobs.cli", "demo", config, *overrides, f"serve.port={api}"]
    command += ["--clip", str(clip), "--port", str(port), "--no-browser"]
    start, began = Start(), time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    tree = psutil.Process(process.pid)

    def done(step: str) -> None:
        start.wall[step] = time.monotonic() - began
        start.cpu[step] = sum(_seconds(one) for one in [tree, *tree.children(recursive=True)])

    try:
        _until(lambda: _answers(f"http://127.0.0.1:{port}/"), process)
        done("the page answers")

        def wait() -> None:
            _until(lambda: _answers(f"http://127.0.0.1:{api}/readyz"), process)
            done("the server is ready")

        waiting = threading.Thread(target=wait, daemon=True)
        waiting.start()
        yield f"http://127.0.0.1:{port}/", done, waiting.join, start
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def weigh(page: Page, address: str) -> tuple[Counter[str], Counter[str], float]:
    """Load the page for the first time: requests and bytes by kind, as they crossed the network, and seconds."""
    requests: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    kinds: dict[str, str] = {}
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")

    def answered(event: dict[str, Any]) -> None:
        kinds[event["requestId"]] = event["type"]
        if urlsplit(event["response"]["url"]).hostname not in ("127.0.0.1", None):
            sys.exit(f"the page asked another host: {event['response']['url']}")

    def finished(event: dict[str, Any]) -> None:
        kind = kinds.get(event["requestId"], "Other")
        requests[kind] += 1
        sizes[kind] += event["encodedDataLength"]

    session.on("Network.responseReceived", answered)
    session.on("Network.loadingFinished", finished)
    began = time.monotonic()
    page.goto(address)
    page.wait_for_selector(".fc-samples button")
    took = time.monotonic() - began
    page.wait_for_load_state("load")
    # Not those that follow: the page asks for news as long as it is open.
    return requests.copy(), sizes.copy(), took


def picture(page: Page, address: str, file: Path) -> None:
    """A screenshot of a clip that was read and asked about."""
    page.goto(address)
    page.wait_for_selector(".fc-emotion")
    page.wait_for_selector("#fc-question .submit-button")
    page.locator("#fc-question textarea").fill(QUESTION)
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Why?").wait_for()
    page.locator(".fc-axis").focus()
    for _ in range(12):
        page.keyboard.press("ArrowRight")
    page.evaluate("document.activeElement.blur(); window.scrollTo(0, 0)")
    page.mouse.move(0, 0)
    page.wait_for_function("document.querySelector('.fc-picture video').seeking === false")
    page.wait_for_timeout(1000)  # Gradio's transitions
    page.screenshot(path=str(file))
    print(f"{file}: {file.stat().st_size / 1000:.0f} kB")


def imports() -> dict[str, float]:
    """CPU seconds of importing what the command's processes import, each in a process of its own."""
    code = "import sys, time, importlib; importlib.import_module(sys.argv[1]); print(time.process_time())"
    return {
        name: float(
            subprocess.run([sys.executable, "-c", code, name], capture_output=True, text=True, check=True).stdout
        )
        for name in MODULES
    }


def main() -> None:
    """Measure and print, or take pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("config", nargs="?", default="nano")
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--clip", type=Path, default=CLIP)
    parser.add_argument("--pictures", type=Path, help="leave screenshots in this folder")
    parser.add_argument("--out", type=Path, help="also write the table to this file")
    arguments = parser.parse_args()
    chromium = shutil.which("chromium")
    if chromium is None:
        sys.exit("chromium is not installed (apt-get install chromium)")
    flags = ["--no-sandbox", "--no-first-run", *(f"--disable-{name}" for name in QUIET)]
    load = os.getloadavg()[0]
    with (
        demo(arguments.config, arguments.overrides, arguments.clip) as (address, done, server, start),
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=chromium, args=flags)
        page = browser.new_context().new_page()
        page.set_default_timeout(PATIENCE * 1000)
        requests, sizes, shown = weigh(page, address)
        page.wait_for_selector("#fc-question .submit-button")
        done("a clip is read")
        server()
        done("a clip can be asked about")
        page.context.close()
        for name, options in SCREENS.items() if arguments.pictures else ():
            arguments.pictures.mkdir(parents=True, exist_ok=True)
            page = browser.new_context(**options).new_page()
            page.set_default_timeout(PATIENCE * 1000)
            picture(page, address, arguments.pictures / f"{name}.png")
            page.context.close()
        browser.close()
    steps = sorted(start.wall.items(), key=lambda step: step[1])
    lines = [
        "# The page",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, {os.cpu_count()} cores, load of the machine before the "
        f"run {load:.1f}, Python {platform.python_version()}, gradio {version('gradio')}, `{arguments.config}`.",
        "",
        "| since the command's start | s | CPU s |",
        "|---|---|---|",
        *(f"| {step} | {wall:.1f} | {start.cpu[step]:.1f} |" for step, wall in steps),
        "",
        "| imports of | CPU s |",
        "|---|---|",
        *(f"| `{name}` | {seconds:.1f} |" for name, seconds in imports().items()),
        "",
        f"The browser shows the samples {shown:.1f} s after it asked for the page. What the first visit loads, all "
        "of it from the page's own server:",
        "",
        "| | requests | kB |",
        "|---|---|---|",
        *(f"| {kind} | {requests[kind]} | {sizes[kind] / 1000:.0f} |" for kind, _ in sizes.most_common()),
        f"| all | {requests.total()} | {sizes.total() / 1000:.0f} |",
    ]
    print("\n".join(lines))
    if arguments.out:
        arguments.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(address: str) -> bool:
    try:
        return httpx.get(address, timeout=2.0).status_code == 200
    except httpx.HTTPError:
        return False


def _until(condition: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if process.poll() is not None or time.monotonic() > deadline:
            sys.exit("favchat demo did not come up")
        time.sleep(LOOK)


def _seconds(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.Error:
        return 0.0
    return times.user + times.system


if __name__ == "__main__":
    main()
