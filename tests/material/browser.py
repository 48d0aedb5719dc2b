"""A real browser, driven through `--remote-debugging-pipe`: no driver and no package, only Debian's chromium."""

import base64
import contextlib
import itertools
import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SECONDS = 180.0  # a machine may be busy
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run")


class BrowserError(Exception):
    """What the page or the browser says went wrong."""


class Browser:
    """One tab. Use it as a context manager; `problems` has every console error, exception and request so far."""

    def __init__(self, width: int = 1360, height: int = 900, flags: tuple[str, ...] = ()) -> None:
        assert CHROMIUM is not None
        self.problems: list[str] = []
        self._profile = tempfile.TemporaryDirectory(prefix="browser-")
        (ours_in, theirs_out), (theirs_in, ours_out) = os.pipe(), os.pipe()
        self._in, self._out, self._rest = ours_in, ours_out, b""
        self._ids = itertools.count(1)
        size = (f"--window-size={width},{height}", f"--user-data-dir={self._profile.name}")
        self._process = subprocess.Popen(
            [CHROMIUM, "--remote-debugging-pipe", *FLAGS, *size, *flags, "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            close_fds=False,
            start_new_session=True,
            preexec_fn=lambda: _hand_over(theirs_in, theirs_out),
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._session = ""
        target = self._until(lambda: self._page_target())
        self._session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log", "Performance"):
            self.send(f"{domain}.enable")
        self.resize(width, height)

    def __enter__(self) -> "Browser":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        os.close(self._out)
        os.close(self._in)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for _ in range(20):
            try:
                self._profile.cleanup()
                break
            except OSError:  # a process of the browser that is about to end still writes
                time.sleep(0.1)

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        """Call the browser and wait for its answer."""
        number = next(self._ids)
        message = {"id": number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + SECONDS
        while True:
            found = self._next(deadline)
            if found.get("id") == number:
                if "error" in found:
                    raise BrowserError(f"{method}: {found['error']}")
                result: dict[str, Any] = found["result"]
                return result
            self._note(found)

    def open(self, url: str) -> float:
        """Go to a page; returns the seconds until it is drawn, by the browser's own clock."""
        self.send("Page.navigate", url="about:blank")
        self.send("Page.navigate", url=url)
        return self._drawn()

    def reload(self) -> float:
        self.send("Page.reload")
        return self._drawn()

    def _drawn(self) -> float:
        """Once the script has set up all, and two frames later, so that the first drawing is on the screen."""
        self.until("document.readyState === 'complete' && document.querySelector('#table-body tr, #built') !== null")
        self.frame()
        return float(self.run("performance.now()")) / 1000

    def frame(self) -> None:
        """Let two frames pass: what was asked for is then drawn."""
        self.run("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def run(self, script: str) -> Any:
        """The value of an expression of JavaScript, in the scope of the page's scripts."""
        found = self.send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in found:
            raise BrowserError(json.dumps(found["exceptionDetails"])[:2000])
        return found["result"].get("value")

    def until(self, script: str) -> None:
        """Wait until an expression is true, also while the page loads itself anew."""

        def is_true() -> Any:
            try:
                return self.run(script)
            except BrowserError as error:
                if "navigated" in str(error) or "Cannot find" in str(error) or "ReferenceError" in str(error):
                    return False
                raise

        self._until(is_true)

    def move(self, x: float, y: float) -> None:
        self._mouse("mouseMoved", x, y)
        self.frame()

    def click(self, x: float, y: float) -> None:
        self.drag((x, y), (x, y))

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        self._mouse("mouseMoved", *start)
        self._mouse("mousePressed", *start, button="left", clickCount=1, buttons=1)
        if end != start:
            for part in (0.5, 1.0):
                middle = (start[0] + part * (end[0] - start[0]), start[1] + part * (end[1] - start[1]))
                self._mouse("mouseMoved", *middle, button="left", buttons=1)
        self._mouse("mouseReleased", *end, button="left", clickCount=1)
        self.frame()

    def press(self, key: str) -> None:
        codes = {"Enter": 13, "Escape": 27, "ArrowUp": 38, "ArrowDown": 40, "ArrowLeft": 37, "ArrowRight": 39, "Tab": 9}
        for kind in ("rawKeyDown", "keyUp"):
            self.send("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=codes[key])
        self.frame()

    def middle(self, selector: str) -> tuple[float, float]:
        """The middle of an element, scrolled into sight."""
        box = self.run(
            f"(() => {{ const one = document.querySelector({json.dumps(selector)}); "
            "one.scrollIntoView({block: 'center'}); const box = one.getBoundingClientRect(); "
            "return [box.x + box.width / 2, box.y + box.height / 2]; })()"
        )
        return float(box[0]), float(box[1])

    def text(self, selector: str) -> str:
        return str(self.run(f"document.querySelector({json.dumps(selector)}).innerText"))

    def resize(self, width: int, height: int) -> None:
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def prefer(self, scheme: str) -> None:
        """'light' or 'dark', as the system would say."""
        self.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.frame()

    def cpu_seconds_to_open(self, url: str) -> float:
        """Of the page's process, all its threads, until all is drawn."""
        before = self._cpu_seconds()
        self.open(url)
        after = self._cpu_seconds()
        return after - before if after > before else after  # the page may have a process of its own

    def _cpu_seconds(self) -> float:
        metrics = self.send("Performance.getMetrics")["metrics"]
        return next(float(one["value"]) for one in metrics if one["name"] == "ProcessTime")

    def screenshot(self, path: Path, whole: bool = True) -> None:
        """PNG of the whole page, or of what is in sight."""
        found = self.send("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(found["data"]))

    def _mouse(self, kind: str, x: float, y: float, **more: Any) -> None:
        self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def _page_target(self) -> str | None:
        targets = self.send("Target.getTargets")["targetInfos"]
        return next((target["targetId"] for target in targets if target["type"] == "page"), None)

    def _until(self, found: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + SECONDS
        while not (value := found()):
            if time.monotonic() > deadline:
                raise BrowserError(f"waited {SECONDS:.0f} s in vain; {self.problems}")
            time.sleep(0.05)
        return value

    def _note(self, event: dict[str, Any]) -> None:
        method, params = event.get("method"), event.get("params", {})
        if method == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.problems.append(f"exception: {details.get('exception', {}).get('description', details['text'])}")
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
            self.problems.append(f"console: {params['args']}")
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.problems.append(f"log: {params['entry']['text']}")
        elif method == "Network.requestWillBeSent":
            url = params["request"]["url"]
            if not url.startswith(("file:", "data:", "about:", "blob:")):
                self.problems.append(f"request: {url}")

    def _next(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._in], [], [], max(0.0, deadline - time.monotonic()))
            content = os.read(self._in, 1 << 20) if ready else b""
            if not content:
                raise BrowserError("the browser does not answer")
            self._rest += content
        line, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        return message


def _hand_over(commands: int, answers: int) -> None:
    """In the browser's process: it reads commands from 3 and writes answers to 4."""
    os.dup2(commands, 103)
    os.dup2(answers, 104)
    os.dup2(103, 3)
    os.dup2(104, 4)
    os.closerange(5, 256)
