"""The page as headless Chromium lays it out: no horizontal scroll, no request, nothing cut off on paper."""

import base64
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from recaudit.report import parse_result, render_html

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_FLAGS = (
    "--headless",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-default-apps",
    "--disable-extensions",
    "--remote-debugging-pipe",
)
# Chromium takes its orders on descriptor 3 and answers on 4.
_ON_PIPES = """
import fcntl, os, sys
orders, answers = (fcntl.fcntl(int(arg), fcntl.F_DUPFD, 10) for arg in sys.argv[1:3])
os.dup2(orders, 3)
os.dup2(answers, 4)
os.execvp(sys.argv[3], sys.argv[3:])
"""


class Browser:
    """A page of headless Chromium, driven by its DevTools protocol over pipes."""

    def __init__(self, program: str, profile: Path) -> None:
        orders, self._orders = os.pipe()
        self._answers, answers = os.pipe()
        root = ["--no-sandbox"] if os.geteuid() == 0 else []
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-c", _ON_PIPES, str(orders), str(answers)),
                *(program, *_FLAGS, *root, f"--user-data-dir={profile}", "about:blank"),
            ],
            pass_fds=(orders, answers),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(orders)
        os.close(answers)
        self._number = 0
        self._session: str | None = None
        self._buffer = b""
        self.events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call ``method`` and return its answer; events on the way are kept."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._orders, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            piece = os.read(self._answers, 1 << 16)
            assert piece, "Chromium has ended"
            self._buffer += piece
        message, _, self._buffer = self._buffer.partition(b"\0")
        found = json.loads(message)
        if "method" in found:
            self.events.append(found)
        return found

    def open(self, file: Path, width: int, scheme: str = "light") -> None:
        """Open ``file`` in a window ``width`` pixels wide and wait until it has loaded."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.events.clear()
        self.call("Page.navigate", url=file.as_uri())
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self._read()

    def evaluate(self, expression: str) -> Any:
        """Return the value of a JavaScript expression in the page."""
        return self.call("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def close(self) -> None:
        """End Chromium."""
        with suppress(OSError, AssertionError):
            self._session = None
            self.call("Browser.close")
        os.close(self._orders)
        os.close(self._answers)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program = next(filter(None, map(shutil.which, _NAMES)), None)
    if program is None or sys.platform == "win32":
        pytest.skip(f"the page is NOT looked at: none of {', '.join(_NAMES)} is installed")
    browser = Browser(program, tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture(params=["result", "both_result"])
def page(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    file = tmp_path / "report.html"
    file.write_text(render_html(request.getfixturevalue(request.param)), encoding="utf-8")
    return file


_WIDEST = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
# What sticks out of the window and lies in nothing that scrolls or hides it.
_OUTSIDE = """[...document.querySelectorAll('body *')].filter(e => {
  const box = e.getBoundingClientRect();
  return box.width && box.right > innerWidth + 1 && !e.closest('.scroll, thead');
}).map(e => e.outerHTML.slice(0, 80))"""


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_horizontal_scroll(browser: Browser, page: Path, width: int, scheme: str) -> None:
    browser.open(page, width, scheme)
    assert browser.evaluate("innerWidth") == width
    assert browser.evaluate(_WIDEST) <= 0
    assert browser.evaluate(_OUTSIDE) == []


def test_no_horizontal_scroll_with_long_names(
    browser: Browser, values: dict[str, Any], tmp_path: Path
) -> None:
    for figure in values["figures"]:
        figure["attack"] = figure["attack"].replace("PTAQ", "an-attack-with-a-name-" + "x" * 90)
    values["data"]["name"] = "a-file-with-a-name-" + "y" * 120 + ".csv"
    file = tmp_path / "report.html"
    file.write_text(render_html(parse_result(values)), encoding="utf-8")
    browser.open(file, 390)
    assert browser.evaluate(_WIDEST) <= 0


def test_the_page_asks_for_nothing_and_breaks_no_policy(browser: Browser, page: Path) -> None:
    browser.open(page, 1280)
    browser.evaluate("document.body.offsetHeight")
    asked = [
        e["params"]["request"]["url"] for e in browser.events if e["method"] == "Network.requestWillBeSent"
    ]
    assert asked == [page.as_uri()]
    complaints = [e["params"]["entry"]["text"] for e in browser.events if e["method"] == "Log.entryAdded"]
    assert complaints == []


def test_colours_follow_the_scheme(browser: Browser, page: Path) -> None:
    def seen() -> tuple[str, str, str]:
        return tuple(
            browser.evaluate(f"getComputedStyle(document.querySelector('{where}')).{what}")
            for where, what in (("body", "backgroundColor"), ("body", "color"), ("figure svg text", "fill"))
        )

    browser.open(page, 1280, "light")
    light = seen()
    browser.open(page, 1280, "dark")
    dark = seen()
    assert all(a != b for a, b in zip(light, dark, strict=True))


@pytest.mark.parametrize(("width", "shown", "hidden"), [(390, "narrow", "wide"), (1280, "wide", "narrow")])
def test_one_picture_of_each_pair_is_shown(
    browser: Browser, page: Path, width: int, shown: str, hidden: str
) -> None:
    browser.open(page, width)
    assert browser.evaluate(
        f"[...document.querySelectorAll('.{shown} svg')].every(e => e.getBoundingClientRect().width)"
    )
    assert not browser.evaluate(
        f"[...document.querySelectorAll('.{hidden} svg')].some(e => e.getBoundingClientRect().width)"
    )


def test_it_prints(browser: Browser, page: Path) -> None:
    browser.open(page, 1280, "dark")
    printed = base64.b64decode(browser.call("Page.printToPDF", printBackground=True)["data"])
    assert printed.startswith(b"%PDF")
    browser.call("Emulation.setEmulatedMedia", media="print")
    browser.call(
        "Emulation.setDeviceMetricsOverride", width=673, height=900, deviceScaleFactor=1, mobile=False
    )
    assert browser.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    right = (
        "Math.max(...[...document.querySelectorAll('table, svg')].map(e => e.getBoundingClientRect().right))"
    )
    assert browser.evaluate(right) <= 674
