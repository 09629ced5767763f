"""The browser demo: the page, and the server behind it if there is none yet."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from openai import APIError

import favchat
from favchat.config import Config, ConfigError
from favchat.hub.names import SHIPPED
from favchat.runtime.ports import listen_error
from ui.client import ApiClient
from ui.page import build, launch_options

HOST = "127.0.0.1"
SAMPLE_CLIPS = Path(favchat.__file__).parent / "sample" / "clips"
EXAMPLES = ("pexels_4", "pyfeat_0", "franck_7", "capture_0", "pexels_0", "noface_0")
"""Sample clips that the page offers: laughing, posing, moving, raising the brows, sad, and one that shows no face."""


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
            say(f"the demo is at {address} (Ctrl-C stops)")
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
    if server is None:
        # Imported here: it loads torch, which a page for an existing server does not need.
        import serve.app

        say(f"starting a server for {config.serve.model or SHIPPED} ...")
        with serve.app.serving(config) as own, _page(config, own, clip, port, browser) as address:
            yield address
    else:
        with _page(config, server, clip, port, browser) as address:
            yield address


@contextmanager
def _page(config: Config, server: str, clip: Path | None, port: int, browser: bool) -> Iterator[str]:
    examples = [SAMPLE_CLIPS / f"{name}.mp4" for name in EXAMPLES]
    try:
        page = build(ApiClient(server), examples, clip)
    except (APIError, ValueError) as error:
        raise ConfigError(f"--server {server}: {error} Start one with favchat serve, or leave --server out.") from error
    # A body is the file and a few hundred bytes around it, which the server counts too.
    options = launch_options([*examples, *([clip] if clip else [])], max_file_mb=config.serve.max_body_mb * 0.99)
    _, address, _ = page.launch(
        server_name=HOST, server_port=port, inbrowser=browser, prevent_thread_lock=True, **options
    )
    try:
        yield address
    finally:
        page.close(verbose=False)


def _check_port(port: int) -> None:
    """Fail before a server is started where the page's port is taken."""
    fault = listen_error(HOST, port)
    if fault:
        raise ConfigError(f"--port {port}: cannot listen there ({fault}); choose another")
