"""The explorers in a real JupyterLab in a real browser: do their controls change the picture on the page?

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

from aae_lib.explore import SIDE, STRIP, TILE

REPOSITORY = Path(__file__).resolve().parents[1]
SECONDS = 120  # for everything, on a busy machine

# The cells that the reader runs: a model whose prior has a path to walk along, and one with labels beside its styles.
LATENT = """\
from aae_lib.data import load_sample
from aae_lib.experiments import load_trained
from aae_lib.explore import LatentExplorer

LatentExplorer(load_trained("aae-mixture-labels").model, load_sample().test)
"""
STYLE = """\
import torch

from aae_lib.data import load_sample
from aae_lib.explore import StyleExplorer
from aae_lib.experiments.builders import supervised
from aae_lib.priors import Gaussian
from aae_lib.training import SGD, Recipe, train

digits = load_sample()
torch.manual_seed(0)
model = supervised(digits.shape, digits.classes, Gaussian(3), hidden=(100,))
rates = {"reconstruction": SGD(0.01, 0.9), "discriminator": SGD(0.1, 0.1), "generator": SGD(0.1, 0.1)}
list(train(model, digits.train, Recipe(rates, steps=300), device="cpu"))

StyleExplorer(model, digits.test)
"""

SPHERE = """\
import torch
from torch import nn

from aae_lib.data import load_sample
from aae_lib.explore import LatentExplorer
from aae_lib.models import AdversarialGeneratorEncoder
from aae_lib.networks import OntoSphere, multilayer_perceptron
from aae_lib.priors import UniformSphere

torch.manual_seed(0)
encoder = nn.Sequential(multilayer_perceptron(784, 5, (100,), deviation=0.1), OntoSphere())
decoder = multilayer_perceptron(5, 784, (100,), deviation=0.5)
LatentExplorer(AdversarialGeneratorEncoder(UniformSphere(5), encoder, decoder), load_sample().test)
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
from selenium.webdriver.support.ui import Select, WebDriverWait  # noqa: E402


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
                log = (tmp_path / "lab.log").read_text(encoding="utf-8")
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


class Page:
    """A notebook of one cell in the browser, and what the tests look for in it.

    Args:
        screenshots: the folder to which they are saved.
        deadline: on the monotonic clock, after which nothing is waited for.
    """

    def __init__(self, browser, lab, folder, screenshots, deadline):
        self.browser, self.lab, self.folder = browser, lab, folder
        self.screenshots, self.deadline = screenshots, deadline

    def run(self, cell):
        """Open a notebook with this cell, run it, and wait until the explorer has appeared."""
        source = {"cell_type": "code", "id": "explorer", "metadata": {}, "execution_count": None, "outputs": []}
        kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
        notebook = {
            "cells": [source | {"source": cell}],
            "metadata": {"kernelspec": kernel},
            "nbformat": 4,
            "nbformat_minor": 5,
        }
        (self.folder / "explorer.ipynb").write_text(json.dumps(notebook))
        self.browser.get(f"{self.lab}/lab/tree/explorer.ipynb")
        # Before the kernel is there, JupyterLab would ask which one to run.
        self.wait(lambda: "| Idle" in self.find("body").text, "no kernel")
        for item in ("Run", "Run All Cells"):
            xpath = f"//div[contains(@class, 'MenuBar-itemLabel') or contains(@class, 'Menu-itemLabel')][.='{item}']"
            found = self.wait(lambda path=xpath: self.browser.find_elements(By.XPATH, path), f"no menu entry '{item}'")
            found[0].click()
        self.wait(lambda: self.find(".noUi-handle") and self.decoded(), "the explorer does not appear")
        self.browser.execute_script("document.querySelector('.jp-OutputArea-output').scrollIntoView({block: 'end'})")

    def wait(self, condition, what):
        try:
            seconds = max(1, self.deadline - time.monotonic())
            patience = WebDriverWait(self.browser, seconds, 0.05, [StaleElementReferenceException])
            return patience.until(lambda _: condition(), what)
        except TimeoutException:
            self.shoot("explorer-failure.png")
            raise

    def every(self, selector):
        return self.browser.find_elements(By.CSS_SELECTOR, selector)

    def find(self, selector):
        """The first visible element that the CSS selector names, or None."""
        return next((found for found in self.every(selector) if found.is_displayed()), None)

    def shoot(self, name):
        self.browser.save_screenshot(str(self.screenshots / name))

    def decoded(self):
        return self.find("img[title*='decodes']")

    def texts(self):
        """What the visible sliders and the title of the decoded image say."""
        readouts = [found.text for found in self.every(".widget-readout") if found.is_displayed()]
        return readouts, next(found.text for found in self.every(".widget-label") if "Decoded" in found.text)

    def focus(self, slider):
        """The handle of a slider, counted from 0, which now takes the keys."""
        handle = self.every(".noUi-handle")[slider]
        self.browser.execute_script("arguments[0].focus()", handle)
        return handle

    def press(self, description):
        """Press a button."""
        found = next(found for found in self.browser.find_elements(By.TAG_NAME, "button") if found.text == description)
        ActionChains(self.browser).move_to_element(found).click().perform()


@pytest.fixture
def page(browser, lab, tmp_path, deadline):
    screenshots = Path(os.environ.get("AAE_SCREENSHOTS", tmp_path))
    screenshots.mkdir(parents=True, exist_ok=True)
    return Page(browser, lab, tmp_path, screenshots, deadline)


def test_arrow_keys_and_buttons_change_the_picture(page):
    wait, find, shoot, decoded, texts = page.wait, page.find, page.shoot, page.decoded, page.texts

    def marker():
        """Center of the marker in the plane's pixels, from its upper left corner."""
        plane, ring = find("img[title^='The latent plane']").rect, find("img[title='The chosen code z']").rect
        return ring["x"] - plane["x"] + ring["width"] / 2, ring["y"] - plane["y"] + ring["height"] / 2

    page.run(LATENT)

    # The picture of a code in the middle.
    assert texts() == (["0.00", "0.00", "0.00"], "Decoded from z = (0.00, 0.00)")
    assert marker() == pytest.approx((SIDE / 2, SIDE / 2), abs=0.6)
    before, source = decoded().screenshot_as_png, decoded().get_attribute("src")
    shoot("explorer-1-start.png")

    # Twenty presses on the arrow key move z1 by 20 steps of 0.05.
    handle = page.focus(0)
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
    page.press("Encode a digit")
    original = wait(lambda: find("img[title='The digit that was encoded']"), "the original does not appear")
    time.sleep(1)  # the browser has now reported its rounded sliders, which must not take the original away
    assert original.size == decoded().size == {"width": SIDE, "height": SIDE}
    assert original.location["y"] == decoded().location["y"]
    shoot("explorer-3-digit.png")

    # The play button walks along the circle of the mixture's means, and the stop button goes back to its start.
    source = decoded().get_attribute("src")
    play, stop, _ = page.every(".widget-play button")
    ActionChains(page.browser).move_to_element(play).click().perform()
    wait(lambda: float(texts()[0][2]) >= 0.1, "the play button does not move the slider of the walk")
    assert decoded().get_attribute("src") != source
    stop.click()
    wait(lambda: texts() == (["1.40", "0.00", "0.00"], "Decoded from z = (1.40, 0.00)"), "the walk does not stop")

    # An arrow key on the walk's slider takes a step of it.
    page.focus(2).send_keys(Keys.ARROW_RIGHT * 2)
    title = f"Decoded from z = ({1.4 * math.cos(0.04 * math.pi):.2f}, {1.4 * math.sin(0.04 * math.pi):.2f})"
    wait(lambda: texts()[0][2] == "0.02" and texts()[1] == title, "the walk does not take two steps")
    time.sleep(1)  # z stays on the path, though the sliders of z1 and z2 round it
    assert texts()[1] == title
    shoot("explorer-4-walk.png")


def test_a_style_keeps_while_its_label_changes_and_the_other_way_round(page):
    wait, find, shoot, decoded, texts = page.wait, page.find, page.shoot, page.decoded, page.texts
    page.run(STYLE)
    assert find("[data-mime-type='application/vnd.jupyter.stderr']") is None

    def strip():
        return find("img[title^='The images of all labels']")

    def images():
        """What the reader sees of the decoded image and of the strip of all labels."""
        return decoded().screenshot_as_png, strip().screenshot_as_png

    def act(action, readouts, title):
        """Wait for the new texts and sources, and return the images as they look then."""
        sources = decoded().get_attribute("src"), strip().get_attribute("src")
        action()
        wait(lambda: texts() == (readouts, title), f"{title} does not appear")
        wait(lambda: decoded().get_attribute("src") != sources[0], "the picture does not change")
        wait(lambda: strip().get_attribute("src") != sources[1], "the strip does not change")
        return images()

    def choose(label):
        dropdown = find(".widget-dropdown select")
        return lambda: Select(dropdown).select_by_visible_text(str(label))

    assert texts() == (["0.00", "0.00"], "Decoded: label 0, z = (0.00, 0.00)")
    assert strip().size == {"width": STRIP, "height": TILE}
    looks = [images()]
    shoot("style-1-start.png")

    looks.append(act(choose(7), ["0.00", "0.00"], "Decoded: label 7, z = (0.00, 0.00)"))
    shoot("style-2-label.png")

    def move():
        page.focus(0).send_keys(Keys.ARROW_RIGHT * 20)

    looks.append(act(move, ["1.00", "0.00"], "Decoded: label 7, z = (1.00, 0.00)"))
    shoot("style-3-slider.png")
    for look in zip(*looks, strict=True):
        assert len(set(look)) == 3

    # The original stays beside its handwriting in another label, and goes when the style changes.
    page.press("Encode a digit")
    original = wait(lambda: find("img[title='The digit that was encoded']"), "the original does not appear")
    time.sleep(1)  # the browser has now reported its rounded sliders, which must not take the original away
    readouts, title = texts()
    shoot("style-4-digit.png")
    other = (int(title.split()[2].rstrip(",")) + 1) % 10
    act(choose(other), readouts, f"Decoded: label {other}, {title.split(', ', 1)[1]}")
    assert original.is_displayed() and original.size == decoded().size
    shoot("style-5-other-label.png")
    page.press("Random style")
    wait(lambda: not original.is_displayed(), "the original stays beside another style")
    shoot("style-6-random.png")
    assert texts()[1].startswith(f"Decoded: label {other},")

    # Where the page is narrow, the pictures stand below each other, and the strip shrinks.
    page.browser.set_window_size(800, 1000)
    wait(lambda: strip().size["width"] < STRIP, "the strip does not shrink")
    page.browser.execute_script("arguments[0].scrollIntoView({block: 'end'})", find(".widget-button"))
    shoot("style-7-narrow.png")


def test_a_code_on_the_sphere_moves_and_walks_and_stays_on_it(page):
    wait, find, shoot, decoded, texts = page.wait, page.find, page.shoot, page.decoded, page.texts
    page.run(SPHERE)
    assert find("[data-mime-type='application/vnd.jupyter.stderr']") is None

    def coordinates():
        """What the sliders of z1 to z5 say; there are those of the plane, the walk, and the others."""
        texts = [found.get_attribute("textContent") for found in page.every(".widget-readout")]  # of hidden ones, too
        readouts = [float(text.replace("\N{MINUS SIGN}", "-")) for text in texts]
        return readouts[:2] + readouts[3:]

    def length():
        return math.hypot(*coordinates())

    assert find(".noUi-handle") and coordinates() == [0, 0, 1, 0, 0]
    shoot("sphere-1-start.png")

    # The block of the other directions opens; the arrow keys move z4, along the great circle from z3.
    block = find(".jupyter-widget-Collapse-header")
    assert block.text == "3 more directions"
    assert len([found for found in page.every(".noUi-handle") if found.is_displayed()]) == 3
    block.click()
    wait(lambda: page.every(".noUi-handle")[5].is_displayed(), "the block does not open")
    source = decoded().get_attribute("src")
    page.focus(4).send_keys(Keys.ARROW_RIGHT * 60)
    wait(lambda: coordinates() == [0, 0, 0.8, 0.6, 0], "z4 does not arrive at 0.60")
    assert decoded().get_attribute("src") != source
    page.focus(0).send_keys(Keys.ARROW_LEFT * 28)
    wait(lambda: coordinates()[0] == -0.28, "z1 does not arrive at -0.28")
    time.sleep(1)  # the browser has now reported its rounded sliders
    assert coordinates() == [-0.28, 0, 0.77, 0.58, 0]  # 0.96 times 0.8 and 0.6
    assert texts()[1] == "Decoded from z = (-0.28, 0.00)"
    shoot("sphere-2-others.png")

    # One press sets out for a digit and plays the walk to its end, where the digit stands beside its reconstruction.
    page.press("Encode a digit")
    original = wait(lambda: find("img[title='The digit that was encoded']"), "the original does not appear")
    assert length() == pytest.approx(1, abs=0.02)
    plane = find("img[title^='The latent plane']").get_attribute("src")
    page.press("Walk to a digit")
    wait(lambda: 0.2 < float(page.every(".widget-readout")[2].text) < 1, "the walk does not play")
    assert length() == pytest.approx(1, abs=0.02)
    assert find("img[title^='The latent plane']").get_attribute("src") != plane
    assert not original.is_displayed()
    shoot("sphere-3-walk.png")
    wait(lambda: page.every(".widget-readout")[2].text == "1.00" and original.is_displayed(), "the walk does not end")
    assert length() == pytest.approx(1, abs=0.02)
    shoot("sphere-4-end.png")
