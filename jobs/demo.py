"""The browser demo: the page, and the server behind it if there is none yet."""

from __future__ import annotations

import re
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import favchat
from favchat.config import Config, ConfigError
from favchat.hub.names import SHIPPED
from favchat.runtime.collector import collector_paused
from favchat.runtime.ports import listen_error
from favchat.runtime.preload import preload_model

HOST = "127.0.0.1"
SAMPLE_CLIPS = Path(favchat.__file__).parent / "sample" / "clips"
SAMPLES = {
    "laughing": "pexels_4",
    "talking": "franck_6",
    "raising the brows": "capture_0",
    "turning the head": "capture_2",
    "sad": "pexels_0",
    "no face": "noface_0",
}
"""Sample clips that the page offers, by what they show."""


def run(
    config: Config,
    *,
    server: str | None = None,
    clip: Path | None = None,
    port: int = 7860,
    browser: bool = True,
    say: Callable[[str], None] = print,
) -> None:
    """Show the page until Ctrl-C or a signal to end.

    Args:
        config: The whole configuration; ``serve.model`` is served, else the package's own, unless a server is named.
        server: Address of a running server.
        clip: A video that is chosen when the page opens.
        port: Port of the page.
        browser: Whether to open a browser.
        say: Gets one line for each step.

    Raises:
        ConfigError: There is no such model or server, or a port is taken.
    """
    try:
        with showing(config, server=server, clip=clip, port=port, browser=browser, say=say) as address:
            # Only now, since starting Ray installs its own handler, which aborts the process.
            signal.signal(signal.SIGTERM, signal.default_int_handler)
            say(f"ready: {address} (Ctrl-C stops)")
            threading.Event().wait()
    except KeyboardInterrupt:
        say("stopped")


@contextmanager
def showing(
    config: Config, *, server: str | None, clip: Path | None, port: int, browser: bool, say: Callable[[str], None]
) -> Iterator[str]:
    """Show the page as long as the context lasts: its address. The arguments are those of :func:`run`.

    Raises:
        ConfigError: There is no such model or server, or a port is taken.
    """
    _check_port(port)
    if clip is not None and not clip.is_file():
        raise ConfigError(f"--clip {clip}: no such file")
    clip = clip and clip.absolute()
    if server is not None:
        _check_server(server)
        with _page(server, config, clip, port, browser) as (address, _):
            yield address
        return
    preload_model(config.ray)
    # Imported here: a page for an existing server needs no Ray.
    with collector_paused():
        import serve.app

    host = "127.0.0.1" if config.serve.host in ("0.0.0.0", "::") else config.serve.host  # noqa: S104 - compared with
    with ExitStack() as stack, ThreadPoolExecutor(1) as beside:

        def open_page() -> tuple[str, Callable[[], None]]:
            address, forget = stack.enter_context(
                _page(f"http://{host}:{config.serve.port}", config, clip, port, browser)
            )
            say(f"the page is at {address}; starting a server for {config.serve.model or SHIPPED} ...")
            return address, forget

        # Beside the server, of which most is other processes. The page is the first that is there: it says itself that
        # the model starts, and takes clips meanwhile.
        opening = beside.submit(open_page)
        with serve.app.serving(config):
            address, forget = opening.result()
            try:
                yield address
            finally:
                forget()


def _check_server(address: str) -> None:
    """See that a favchat server answers.

    Raises:
        ConfigError: None does.
    """
    from openai import APIError

    from ui.client import ApiClient

    try:
        _ = ApiClient(address).model
    except (APIError, ValueError) as error:
        advice = "Start one with favchat serve, or leave --server out."
        raise ConfigError(f"--server {address}: {error} {advice}") from error


@contextmanager
def _page(
    server: str, config: Config, clip: Path | None, port: int, browser: bool
) -> Iterator[tuple[str, Callable[[], None]]]:
    # Imported here: Gradio takes two seconds, in which the server's processes can start.
    with collector_paused():
        from ui.client import ApiClient
        from ui.page import Settings, building

    settings = Settings(
        samples={words: SAMPLE_CLIPS / f"{name}.mp4" for words, name in SAMPLES.items()},
        first=clip,
        # A body is the file and a few hundred bytes around it, which the server counts too.
        max_file_mb=config.serve.max_body_mb * 0.99,
        max_seconds=config.serve.max_duration,
        card=_card(config.serve.model),
        runs=config.tracking.uri if (config.tracking.uri or "").startswith("http") else None,
    )
    with building(ApiClient(server), settings) as page:
        _, address, _ = page.blocks.launch(
            server_name=HOST, server_port=port, inbrowser=browser, prevent_thread_lock=True, **page.options
        )
        try:
            yield address, page.forget
        finally:
            page.blocks.close(verbose=False)


def _card(model: str | None) -> str:
    """The model card without its front matter, where it lies on this machine."""
    file = Path(model or "") / "README.md"
    if model in (None, SHIPPED):
        file = Path(favchat.__file__).parent / "weights" / "favchat_nano.md"
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    return re.sub(r"\A---\n.*?\n---\n", "", text, flags=re.DOTALL)


def _check_port(port: int) -> None:
    """Fail before a server is started where the page's port is taken."""
    fault = listen_error(HOST, port)
    if fault:
        raise ConfigError(f"--port {port}: cannot listen there ({fault}); choose another")
