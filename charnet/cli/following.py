"""Who else follows a training of `charnet train`: loggers, and a page in the browser."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from charnet.cli import console

if TYPE_CHECKING:
    from charnet.training.background import Background
    from charnet.training.events import Event

OPENING = "charnet opens a page"  # the name of a thread
COMMANDS = {  # that show what was logged; {} stands for the folder of the run
    "tensorboard": "tensorboard --logdir {}/tensorboard",
    "trackio": "trackio show --project charnet",
    "mlflow": "mlflow ui",
}


class Followers:
    """Take the events of a training, each at its own speed.

    Args:
        logs: names of loggers.
        page: whether there is a live page.

    Attributes:
        patience: the seconds that `close` waits at most.
    """

    def __init__(self, logs: Sequence[str], *, page: bool, quiet: bool) -> None:
        self._logs, self._page, self._quiet, self.patience = logs, page, quiet, 10.0
        self._started: list[Background] = []
        if logs:
            from charnet.training import loggers

            self._started += loggers.start(logs)
        if page:
            from charnet.insight.live_page import in_background

            self._started.append(in_background(_open))

    def __call__(self, event: Event) -> None:
        """Passes an event on, and says at the first where the training can be seen. Returns at once."""
        from charnet.training.events import Started

        for each in self._started:
            each(event)
        if isinstance(event, Started) and not self._quiet:
            for name in self._logs:
                if name in COMMANDS:
                    console.note(
                        f"logging to {name}; see it with: {COMMANDS[name].format(shlex.quote(str(event.run)))}"
                    )
            if self._page:
                console.note(f"the live page is {event.run / 'live.html'}")

    def close(self) -> None:
        """Waits a short time for those that are behind, and says what was lost."""
        if self._started:
            from charnet.training.background import close_all

            for line in close_all(self._started, self.patience):
                console.note(line)


@contextlib.contextmanager
def following(logs: Sequence[str], *, page: bool, quiet: bool) -> Iterator[Followers]:
    """Starts what follows a training, and ends it.

    Args:
        logs: names of loggers, as given to `--log`.
        page: whether to write a live page, and to open it.

    Raises:
        ConfigError: there is no such logger, or its package is not installed.
    """
    if logs:
        from charnet.training import loggers

        logs = loggers.checked(logs)
    with _silenced() if set(logs) - {"tensorboard"} else contextlib.nullcontext():
        followers = Followers(logs, page=page, quiet=quiet)
        try:
            yield followers
        finally:
            followers.close()


def _open(page: Path) -> None:
    """Opens a page in the user's browser, if there is one with a window; a text browser would take the terminal."""
    if sys.platform.startswith("linux") and not {"DISPLAY", "WAYLAND_DISPLAY", "BROWSER"} & set(os.environ):
        return

    def show() -> None:
        import webbrowser

        with contextlib.suppress(Exception):  # the path of the page was said
            browser = webbrowser.get()
            if "BROWSER" in os.environ or type(browser) is not webbrowser.GenericBrowser:
                browser.open(page.absolute().as_uri())

    threading.Thread(target=show, name=OPENING, daemon=True).start()  # some browsers return when they are closed


class _OfMainThread:
    """A standard stream to which only the main thread writes: packages of loggers print, and stdout is the product."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        if threading.current_thread() is threading.main_thread():
            self._stream.write(text)
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def _silenced() -> Iterator[None]:
    """Drops what other threads print."""
    with (
        contextlib.redirect_stdout(_OfMainThread(sys.stdout)),
        contextlib.redirect_stderr(_OfMainThread(sys.stderr)),
    ):
        yield
