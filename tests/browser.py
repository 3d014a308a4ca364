"""A headless Chromium without a network, for the tests of pages."""

import base64
import shutil
import time
from pathlib import Path

import numpy as np
import pytest

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytest.importorskip("selenium", reason="the browser tests need selenium: pip install selenium")
if not (CHROMIUM and DRIVER):
    pytest.skip("the browser tests need chromium and chromedriver on the PATH", allow_module_level=True)

from selenium import webdriver  # noqa: E402
from selenium.webdriver.common.action_chains import ActionChains  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402, F401

FLAGS = (
    "headless=new", "no-sandbox", "disable-gpu", "no-first-run", "disable-background-networking",
    "disable-component-update", "disable-sync", "disable-dev-shm-usage", "hide-scrollbars",
    "host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)  # fmt: skip


def start(folder: Path) -> webdriver.Chrome:
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"user-data-dir={folder}"):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    driver.set_script_timeout(120)
    return driver


class Page:
    """The explorer's page in the browser, and its gestures. Places in a canvas are shares of its sides."""

    def __init__(self, driver: webdriver.Chrome, path: Path, width: int = 1000, height: int = 1100, dark: bool = False):
        self.driver = driver
        self.look(width, height, dark)
        driver.get_log("browser")  # reading forgets what pages before this one left
        driver.get(path.as_uri())
        self.wait(lambda: self.js("return performance.getEntriesByName('first picture').length"))

    def look(self, width, height=1100, dark=False):
        """Give the page another size and theme."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})

    def js(self, script, *values):
        return self.driver.execute_script(script, *values)

    def floats(self, script, *values):
        """The arrays of one length, Float32Array, that a script returns; faster than as text for each number."""
        found = self.later(f"""
            const arrays = (function () {{ {script} }}).apply(null, arguments);
            const bytes = new Uint8Array(await new Blob(arrays).arrayBuffer()), parts = [];
            for (let at = 0; at < bytes.length; at += 8192) {{
                parts.push(String.fromCharCode(...bytes.subarray(at, at + 8192)));
            }}
            return [btoa(parts.join("")), arrays.length];""", *values)
        return np.frombuffer(base64.b64decode(found[0]), np.float32).reshape(found[1], -1)

    def later(self, script, *values):
        """The result of an asynchronous function's body."""
        body = f"const done = arguments[arguments.length - 1]; (async () => {{ {script} }})()"
        body += ".then(done, (error) => done('failed: ' + error.stack))"
        found = self.driver.execute_async_script(body, *values)
        assert not str(found).startswith("failed: "), found
        return found

    def wait(self, condition, seconds=30):
        end = time.monotonic() + seconds
        while not (found := condition()):
            assert time.monotonic() < end, "it does not happen"
            time.sleep(0.05)
        return found

    def every(self, selector):
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def canvas(self, selector=".aae-plane", number=0):
        return self.every(f"{selector} canvas.aae-canvas")[number]

    def to(self, actions, place, canvas=None):
        canvas = canvas or self.canvas()
        size = canvas.size
        offsets = [round(size[side] * (share - 0.5)) for side, share in zip(("width", "height"), place, strict=True)]
        return actions.move_to_element_with_offset(canvas, *offsets)

    def actions(self, milliseconds=20):
        return ActionChains(self.driver, duration=milliseconds)

    def hover(self, place, **where):
        self.to(self.actions(), place, **where).perform()

    def click(self, place, **where):
        self.to(self.actions(), place, **where).click().perform()

    def keys(self, *keys):
        self.actions().send_keys(*keys).perform()

    def draw(self, strokes):
        """Draw on the pad: events as of a mouse, all at once, since the page would be painted after each real one."""
        self.js("""
            const canvas = arguments[0], {left, top, width} = canvas.getBoundingClientRect();
            const send = (kind, [x, y]) => canvas.dispatchEvent(new PointerEvent(`pointer${kind}`, {
                pointerId: 1, bubbles: true, cancelable: true, clientX: left + x * width, clientY: top + y * width}));
            for (const [first, ...rest] of arguments[1]) {
                send("down", first);
                for (const place of rest) send("move", place);
                send("up", rest.at(-1) ?? first);
            }""", self.canvas(".aae-pad"), strokes)  # fmt: skip
        self.wait(lambda: self.js("return !explorer.view.pad.waiting && explorer.state.isCode"))

    def place_of(self, u, v):
        """Where a point of the plane is seen."""
        return self.js(
            "const {plane} = explorer.panels[0]; return plane.pixelOf(...arguments).map((x) => x / plane.size)", u, v
        )

    def state(self, name):
        return self.js(f"return explorer.state.{name}")

    @property
    def place(self):
        return self.js("return explorer.panels[0].place")

    def shown(self, selector=".aae-out"):
        """What a canvas shows, as one text."""
        return self.js("return arguments[0].toDataURL()", self.canvas(selector))

    def text(self, selector):
        return self.js("return document.querySelector(arguments[0]).textContent", selector)

    def errors(self):
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE"]
