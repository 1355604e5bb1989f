"""A real Chromium, driven through its DevTools protocol over two pipes: no driver, no port."""

from __future__ import annotations

import fcntl
import json
import os
import select
import shutil
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MISSING = "no Chromium is installed: apt-get install chromium (Debian), or brew install chromium"
SECONDS = 180  # until an answer; a machine may be busy with other things
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)


def installed() -> str | None:
    """The path of a Chromium, or None."""
    return next((path for path in map(shutil.which, NAMES) if path), None)


@dataclass
class Page:
    """A loaded page.

    Attributes:
        requests: addresses that it asked for, its own first.
        complaints: what it, or the browser about it, wrote to the console, and its exceptions.
    """

    browser: Browser
    session: str
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def evaluate(self, script: str) -> Any:
        """The value of a JavaScript expression."""
        answer = self.browser.call(
            "Runtime.evaluate", {"expression": script, "returnByValue": True}, self.session
        )
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{script!r} fails in the browser: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def press(self, where: str, key: str) -> None:
        """Focus the first element that a CSS selector names, and press a key, as a person does.

        Args:
            where: the selector.
            key: "Enter", " " or a letter.
        """
        self.evaluate(f"document.querySelector({json.dumps(where)}).focus()")
        text = "\r" if key == "Enter" else key
        codes = {"Enter": ("Enter", 13), " ": ("Space", 32)}
        code, number = codes[key] if key in codes else (f"Key{key.upper()}", ord(key.upper()))
        ask = {"key": key, "code": code, "windowsVirtualKeyCode": number}
        self.browser.call(
            "Input.dispatchKeyEvent", ask | {"type": "keyDown", "text": text}, self.session
        )
        self.browser.call("Input.dispatchKeyEvent", ask | {"type": "keyUp"}, self.session)

    def screenshot(self) -> str:
        """The whole page as a PNG file, in base64."""
        ask = {"format": "png", "captureBeyondViewport": True}
        return str(self.browser.call("Page.captureScreenshot", ask, self.session)["data"])


class Browser:
    """A running browser: messages of the DevTools protocol, each ended by a zero byte.

    Args:
        to_browser, from_browser: file descriptors.
    """

    def __init__(self, to_browser: int, from_browser: int) -> None:
        self._to, self._from = to_browser, from_browser
        self._unread = b""
        self._number = 0
        self.events: list[dict[str, Any]] = []

    def call(
        self, method: str, params: dict[str, Any] | None = None, session: str | None = None
    ) -> dict[str, Any]:
        """A command's result; events on the way are kept in ``events``."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": params or {}}
        if session is not None:
            message["sessionId"] = session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method} fails in the browser: {answer['error']}")
                return dict(answer["result"])
            self.events.append(answer)

    def open(self, path: Path | str, *, width: int, height: int = 900, dark: bool = False) -> Page:
        """Open a file, or an address, in a window of this many pixels, and wait until all of it is
        loaded."""
        target = self.call("Target.createTarget", {"url": "about:blank"})["targetId"]
        ask = {"targetId": target, "flatten": True}
        page = Page(self, self.call("Target.attachToTarget", ask)["sessionId"])
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.call(f"{domain}.enable", session=page.session)
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.call("Emulation.setDeviceMetricsOverride", size, page.session)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", {"features": [scheme]}, page.session)
        self.events.clear()
        url = path if isinstance(path, str) else path.resolve().as_uri()
        self.call("Page.navigate", {"url": url}, page.session)
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self.events.append(self._next())
        page.evaluate("0")  # and what was reported meanwhile
        for event in self.events:
            _note(page, event["method"], event["params"])
        return page

    def _next(self) -> dict[str, Any]:
        until = time.monotonic() + SECONDS
        while b"\0" not in self._unread:
            ready, _, _ = select.select([self._from], [], [], max(0.0, until - time.monotonic()))
            if not ready:
                raise TimeoutError(f"the browser has not answered for {SECONDS} seconds")
            part = os.read(self._from, 1 << 20)
            if not part:
                raise RuntimeError("the browser has ended")
            self._unread += part
        message, self._unread = self._unread.split(b"\0", 1)
        return dict(json.loads(message))


def _note(page: Page, method: str, params: dict[str, Any]) -> None:
    if method == "Network.requestWillBeSent":
        page.requests.append(params["request"]["url"])
    elif method == "Runtime.exceptionThrown":
        page.complaints.append(str(params["exceptionDetails"]))
    elif method == "Runtime.consoleAPICalled":
        page.complaints.append(" ".join(str(one.get("value")) for one in params["args"]))
    elif method == "Log.entryAdded":
        page.complaints.append(params["entry"]["text"])


@contextmanager
def running(path: str, folder: Path, flags: Sequence[str] = ()) -> Iterator[Browser]:
    """Start a browser that keeps its files in a folder and can look up no name, and end it."""
    reads, to_browser = _pipe()
    from_browser, writes = _pipe()
    (folder / "home").mkdir(parents=True)
    environment = os.environ | {"HOME": str(folder / "home"), "XDG_RUNTIME_DIR": str(folder)}
    for name in ("XDG_CONFIG_HOME", "XDG_CACHE_HOME", "http_proxy", "https_proxy", "all_proxy"):
        environment.pop(name, None)
    log = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    command = [path, *_FLAGS, f"--user-data-dir={folder / 'profile'}", *flags]
    command += ["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]
    process = os.posix_spawn(
        path,
        command,
        environment,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 1, str(folder / "log"), log, 0o600),
            (os.POSIX_SPAWN_OPEN, 2, str(folder / "log"), log, 0o600),
            (os.POSIX_SPAWN_DUP2, reads, 3),  # where the browser reads its commands
            (os.POSIX_SPAWN_DUP2, writes, 4),
        ],
        setpgroup=0,
    )
    os.close(reads)
    os.close(writes)
    try:
        yield Browser(to_browser, from_browser)
    finally:
        os.killpg(process, signal.SIGKILL)
        os.waitpid(process, 0)
        os.close(to_browser)
        os.close(from_browser)


def _pipe() -> tuple[int, int]:
    """A pipe whose ends are none of the numbers that the browser's must have."""
    ends = os.pipe()
    high = tuple(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in ends)
    for end in ends:
        os.close(end)
    return high[0], high[1]
