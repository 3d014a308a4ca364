"""The explorer in a real JupyterLab in a real browser: do its controls change the picture on the page?

The pictures of the page are saved to the folder $AAE_SCREENSHOTS, where it is set, or to pytest's temporary folder.
"""

import json
import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from aae_lib.explore import SIDE

REPOSITORY = Path(__file__).resolve().parents[1]
SECONDS = 120  # for everything, on a busy machine

# The cell that the reader runs, with a model whose prior has a path to walk along.
NOTEBOOK = """\
from aae_lib.data import load_sample
from aae_lib.experiments import load_trained
from aae_lib.explore import LatentExplorer

LatentExplorer(load_trained("aae-mixture-labels").model, load_sample().test)
"""

FLAGS = (
    "headless",
    "no-sandbox",
    "disable-gpu",
    "disable-quic",
    "disable-dev-shm-usage",
    "disable-background-networking",
    "disable-component-update",
    "disable-sync",
    "no-first-run",
    "window-size=1440,1000",
    "force-device-scale-factor=2",  # as on screens of high resolution
)
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
SELENIUM = pytest.importorskip("selenium", reason="the browser test needs selenium: pip install selenium")
if not (CHROMIUM and DRIVER):
    pytest.skip("the browser test needs chromium and chromedriver on the PATH", allow_module_level=True)

from selenium import webdriver  # noqa: E402
from selenium.common.exceptions import StaleElementReferenceException, TimeoutException  # noqa: E402
from selenium.webdriver.common.action_chains import ActionChains  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.ui import WebDriverWait  # noqa: E402


@pytest.fixture
def deadline():
    return time.monotonic() + SECONDS


@pytest.fixture
def lab(tmp_path, deadline):
    """The address of a JupyterLab that serves `tmp_path` and has read none of the user's settings."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folders = {f"JUPYTER_{name}_DIR": str(tmp_path / name.lower()) for name in ("CONFIG", "DATA", "RUNTIME")}
    folders["JUPYTERLAB_SETTINGS_DIR"] = str(tmp_path / "settings")
    notifications = tmp_path / "settings" / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
    notifications.parent.mkdir(parents=True)
    notifications.write_text('{"fetchNews": "false", "checkForUpdates": false}')  # it would ask in front of the page
    folders["JUPYTERLAB_WORKSPACES_DIR"] = str(tmp_path / "workspaces")
    paths = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")]))
    options = {
        "ServerApp.ip": "127.0.0.1",
        "ServerApp.port": port,
        "ServerApp.port_retries": 0,
        "ServerApp.token": "",
        "ServerApp.root_dir": tmp_path,
        "ServerApp.allow_root": True,
    }
    with (tmp_path / "lab.log").open("w") as log:
        server = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "jupyterlab",
                "--no-browser",
                *(f"--{key}={value}" for key, value in options.items()),
            ],
            env={**os.environ, **folders, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        address = f"http://127.0.0.1:{port}"
        while True:
            try:
                urllib.request.urlopen(f"{address}/api/status", timeout=2).close()
                break
            except (urllib.error.URLError, OSError):
                log = (tmp_path / "lab.log").read_text()
                assert server.poll() is None and time.monotonic() < deadline, f"JupyterLab did not start:\n{log}"
                time.sleep(0.2)
        yield address
    finally:
        server.send_signal(signal.SIGTERM)  # it ends its kernels, too
        try:
            server.wait(timeout=5)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


@pytest.fixture
def browser(tmp_path):
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in FLAGS:
        options.add_argument(f"--{flag}")
    options.add_argument(f"--user-data-dir={tmp_path / 'chromium'}")
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    try:
        yield driver
    finally:
        driver.quit()


def write_notebook(path):
    cell = {"cell_type": "code", "id": "explorer", "metadata": {}, "execution_count": None, "outputs": []}
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = {
        "cells": [cell | {"source": NOTEBOOK}],
        "metadata": {"kernelspec": kernel},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    path.write_text(json.dumps(notebook))


def test_arrow_keys_and_buttons_change_the_picture(lab, browser, deadline, tmp_path):
    screenshots = Path(os.environ.get("AAE_SCREENSHOTS", tmp_path))
    screenshots.mkdir(parents=True, exist_ok=True)

    def wait(condition, what):
        try:
            seconds = max(1, deadline - time.monotonic())
            patience = WebDriverWait(browser, seconds, 0.05, [StaleElementReferenceException])
            return patience.until(lambda _: condition(), what)
        except TimeoutException:
            shoot("explorer-failure.png")
            raise

    def find(selector):
        """The first visible element that the CSS selector names, or None."""
        return next((found for found in browser.find_elements(By.CSS_SELECTOR, selector) if found.is_displayed()), None)

    def shoot(name):
        browser.save_screenshot(str(screenshots / name))

    def decoded():
        return find("img[title*='decodes']")

    def texts():
        """What the sliders and the title of the decoded image say."""
        readouts = [found.text for found in browser.find_elements(By.CSS_SELECTOR, ".widget-readout")]
        return readouts, next(
            found.text for found in browser.find_elements(By.CSS_SELECTOR, ".widget-label") if "Decoded" in found.text
        )

    def marker():
        """Center of the marker in the plane's pixels, from its upper left corner."""
        plane, ring = find("img[title^='The latent plane']").rect, find("img[title='The chosen code z']").rect
        return ring["x"] - plane["x"] + ring["width"] / 2, ring["y"] - plane["y"] + ring["height"] / 2

    write_notebook(tmp_path / "explorer.ipynb")
    browser.get(f"{lab}/lab/tree/explorer.ipynb")
    wait(lambda: "| Idle" in find("body").text, "no kernel")  # before that, JupyterLab would ask which kernel to run
    for item in ("Run", "Run All Cells"):
        xpath = f"//div[contains(@class, 'MenuBar-itemLabel') or contains(@class, 'Menu-itemLabel')][.='{item}']"
        wait(lambda path=xpath: browser.find_elements(By.XPATH, path), f"no menu entry '{item}'")[0].click()
    wait(lambda: find(".noUi-handle") and decoded(), "the explorer does not appear")

    # The picture of a code in the middle.
    browser.execute_script("document.querySelector('.jp-OutputArea-output').scrollIntoView({block: 'end'})")
    assert texts() == (["0.00", "0.00", "0.00"], "Decoded from z = (0.00, 0.00)")
    assert marker() == pytest.approx((SIDE / 2, SIDE / 2), abs=0.6)
    before, source = decoded().screenshot_as_png, decoded().get_attribute("src")
    shoot("explorer-1-start.png")

    # Twenty presses on the arrow key move z1 by 20 steps of 0.05.
    handle = find(".noUi-handle")
    browser.execute_script("arguments[0].focus()", handle)
    start = time.monotonic()
    handle.send_keys(Keys.ARROW_RIGHT)
    wait(lambda: decoded().get_attribute("src") != source, "the arrow key does not change the picture")
    print(f"\narrow key to new picture in the page: {1000 * (time.monotonic() - start):.0f} ms")
    handle.send_keys(Keys.ARROW_RIGHT * 19)
    wait(lambda: texts() == (["1.00", "0.00", "0.00"], "Decoded from z = (1.00, 0.00)"), "z1 does not arrive at 1.00")
    wait(lambda: decoded().screenshot_as_png != before, "the picture looks the same")
    assert marker()[0] > SIDE / 2 + 10
    shoot("explorer-2-moved.png")

    # A digit from the button stands beside its reconstruction, the same size, to the right of it.
    assert find("img[title='The digit that was encoded']") is None
    encode = next(found for found in browser.find_elements(By.TAG_NAME, "button") if found.text == "Encode a digit")
    ActionChains(browser).move_to_element(encode).click().perform()
    original = wait(lambda: find("img[title='The digit that was encoded']"), "the original does not appear")
    time.sleep(1)  # the browser has now reported its rounded sliders, which must not take the original away
    assert original.size == decoded().size == {"width": SIDE, "height": SIDE}
    assert original.location["y"] == decoded().location["y"]
    shoot("explorer-3-digit.png")

    # The play button walks along the circle of the mixture's means, and the stop button goes back to its start.
    source = decoded().get_attribute("src")
    play, stop, _ = browser.find_elements(By.CSS_SELECTOR, ".widget-play button")
    ActionChains(browser).move_to_element(play).click().perform()
    wait(lambda: float(texts()[0][2]) >= 0.1, "the play button does not move the slider of the walk")
    assert decoded().get_attribute("src") != source
    stop.click()
    wait(lambda: texts() == (["1.40", "0.00", "0.00"], "Decoded from z = (1.40, 0.00)"), "the walk does not stop")

    # An arrow key on the walk's slider takes a step of it.
    handle = browser.find_elements(By.CSS_SELECTOR, ".noUi-handle")[2]
    browser.execute_script("arguments[0].focus()", handle)
    handle.send_keys(Keys.ARROW_RIGHT * 2)
    title = f"Decoded from z = ({1.4 * math.cos(0.04 * math.pi):.2f}, {1.4 * math.sin(0.04 * math.pi):.2f})"
    wait(lambda: texts()[0][2] == "0.02" and texts()[1] == title, "the walk does not take two steps")
    time.sleep(1)  # z stays on the path, though the sliders of z1 and z2 round it
    assert texts()[1] == title
    shoot("explorer-4-walk.png")
