"""The explorers in a real JupyterLab in headless Chromium.

Pictures of the page are saved to the folder $AAE_SCREENSHOTS, where it is set.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from browser import ActionChains, By, Keys

REPOSITORY = Path(__file__).resolve().parents[1]
SECONDS = 240  # for everything, on a busy machine
SETUP = """\
import ipywidgets as widgets
import torch
import traitlets
from torch import nn

from aae_lib.data import load_sample
from aae_lib.experiments import load_trained
from aae_lib.explore import GameExplorer, LatentExplorer, ModelsExplorer, TurningMap
from aae_lib.models import AdversarialAutoencoder, Autoencoder
from aae_lib.networks import multilayer_perceptron
from aae_lib.priors import DrawnPrior
from aae_lib.training import Adam, Recipe

digits = load_sample().test
explorer = LatentExplorer(load_trained("aae-gaussian").model, digits)
torch.manual_seed(0)
own = nn.Sequential(nn.Linear(784, 2), nn.GELU()), nn.Sequential(nn.GELU(), nn.Linear(2, 784))  # the kernel decodes
linked = LatentExplorer(Autoencoder(*own), digits)
traitlets.link((explorer, "z"), (linked, "z"))
said = widgets.Label()
def say(_=None):
    pins = sum(pin is not None for pin in explorer.pins)
    drawn, layers = len(explorer.drawing), explorer.layers
    said.value = f"z {explorer.z[0]:.2f} digit {explorer.digit} pins {pins} drawn {drawn} {layers}"

explorer.observe(say)
say()
said
"""
DRAWN = """\
networks = [multilayer_perceptron(*ends, hidden=(32,), deviation=None) for ends in ((784, 2), (2, 784), (2, 1))]
recipe = Recipe(dict.fromkeys(AdversarialAutoencoder.moves, Adam(1e-2)), 100)
aae = AdversarialAutoencoder(DrawnPrior([[(0.1, 0.2), (0.9, 0.2)]]), *networks)
GameExplorer(aae, load_sample().train, recipe)
"""
CELLS = [
    SETUP,
    "explorer",
    "linked",
    "explorer",
    "TurningMap(torch.randn(50, 3), torch.arange(50) % 10, torch.randn(9, 3))",
    'ModelsExplorer({name: load_trained(f"{name}-gaussian").model for name in ("aae", "vae")}, digits)',
    "game = GameExplorer()\ngame",
    "game",
    DRAWN,
]
CANVASES = 9  # two of the models side by side


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """The address and the folder of a JupyterLab that has read none of the user's settings."""
    folder = tmp_path_factory.mktemp("lab")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folders = {f"JUPYTER_{name}_DIR": str(folder / name.lower()) for name in ("CONFIG", "DATA", "RUNTIME")}
    folders |= {f"JUPYTERLAB_{name}_DIR": str(folder / name.lower()) for name in ("SETTINGS", "WORKSPACES")}
    notifications = folder / "settings" / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
    notifications.parent.mkdir(parents=True)
    notifications.write_text('{"fetchNews": "false", "checkForUpdates": false}')  # it would ask in front of the page
    options = {
        "ServerApp.ip": "127.0.0.1", "ServerApp.port": port, "ServerApp.port_retries": 0, "IdentityProvider.token": "",
        "ServerApp.terminals_enabled": False, "LabApp.extension_manager": "readonly",
        "ServerApp.root_dir": folder, "ServerApp.allow_root": True,
    }  # fmt: skip
    command = [
        sys.executable,
        "-m",
        "jupyterlab",
        "--no-browser",
        *(f"--{key}={value}" for key, value in options.items()),
    ]
    paths = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, **folders, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    with (folder / "lab.log").open("w") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        address = f"http://127.0.0.1:{port}"
        wait(lambda: answers(f"{address}/api/status") or server.poll() is not None)
        yield address, folder
    finally:
        server.send_signal(signal.SIGTERM)  # it ends its kernels, too
        try:
            server.wait(timeout=10)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def answers(address):
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # urlopen keeps a proxy that a test has set
    try:
        direct.open(address, timeout=2).close()
    except (urllib.error.URLError, OSError):
        return False
    return True


def wait(condition, seconds=SECONDS):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it does not happen"
        time.sleep(0.2)
    return found


class Notebook:
    """A notebook in the browser."""

    def __init__(self, driver, lab, name="explorer.ipynb"):
        self.driver, (self.address, folder) = driver, lab
        self.path = folder / name

    def write(self, cells):
        blank = {"cell_type": "code", "metadata": {}, "execution_count": None, "outputs": []}
        notebook = {
            "cells": [blank | {"id": f"cell-{number}", "source": source} for number, source in enumerate(cells)],
            "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
            "nbformat": 4,
            "nbformat_minor": 5,
        }
        self.path.write_text(json.dumps(notebook))

    def open(self):
        size = {"width": 1000, "height": 1100, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        self.driver.get(f"{self.address}/lab/tree/{self.path.name}")
        bar = "return document.getElementById('jp-main-statusbar')?.textContent ?? ''"
        wait(lambda: "| Idle" in self.driver.execute_script(bar))

    def menu(self, *items):
        for item in items:
            path = f"//div[contains(@class, 'MenuBar-itemLabel') or contains(@class, 'Menu-itemLabel')][.='{item}']"
            found = wait(lambda path=path: [e for e in self.driver.find_elements(By.XPATH, path) if e.is_displayed()])
            found[0].click()

    def shown(self, explorers):
        """Wait until as many are shown, and have something to say."""
        wait(lambda: len(self.every(".aae-plane canvas.aae-canvas")) == explorers)
        wait(lambda: all(self.texts(".aae-status")))

    def every(self, selector):
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def texts(self, selector):
        """Of all such elements, seen or not."""
        script = "return [...document.querySelectorAll(arguments[0])].map((each) => each.textContent)"
        return self.driver.execute_script(script, selector)

    def said(self):
        return self.every(".widget-label")[0].text

    def statuses(self):
        return [words.replace("\N{MINUS SIGN}", "-") for words in self.texts(".aae-code .aae-status span:first-child")]

    def status(self, number):
        return self.statuses()[number]

    def at(self, number, across, down, selector=".aae-plane"):
        """Actions that begin at a place of a canvas, in shares of its side."""
        canvas = self.every(f"{selector} canvas.aae-canvas")[number]
        self.driver.execute_async_script("""
            arguments[0].scrollIntoView({block: 'center'});
            requestAnimationFrame(() => requestAnimationFrame(() => arguments[1]()));""", canvas)
        side = canvas.size["width"]
        actions = ActionChains(self.driver, duration=20)
        return actions.move_to_element_with_offset(canvas, round(side * (across - 0.5)), round(side * (down - 0.5)))

    def shoot(self, name):
        if folder := os.environ.get("AAE_SCREENSHOTS"):
            Path(folder).mkdir(parents=True, exist_ok=True)
            self.driver.save_screenshot(str(Path(folder) / name))


def test_an_explorer_in_a_notebook(driver, lab):
    notebook = Notebook(driver, lab)
    notebook.write(CELLS)
    notebook.open()
    notebook.menu("Run", "Run All Cells")
    notebook.shown(CANVASES)

    # A click moves the kernel's z, the linked explorer, whose kernel decodes, and the second view of the first.
    notebook.at(0, 0.8, 0.9).click().perform()
    wait(lambda: not notebook.said().startswith("z 0.00") and notebook.status(0) != "z = (0.00, 0.00)")
    wait(lambda: notebook.status(0) == notebook.status(1) == notebook.status(2))
    notebook.shoot("lab-linked.png")

    # Keys reach the explorer, not the notebook: "b" would insert a cell, "dd" delete one.
    cells = len(notebook.every(".jp-Notebook-cell"))
    notebook.at(0, 0.8, 0.9).click().send_keys("abdd" + Keys.ARROW_RIGHT).perform()
    wait(lambda: "digit -1 pins 2" in notebook.said())
    assert len(notebook.every(".jp-Notebook-cell")) == cells
    assert len([tile for tile in notebook.every(".aae-tiles button") if tile.is_displayed()]) >= 9
    notebook.at(0, 0.5, 0.5).send_keys("g").perform()
    wait(lambda: "tiles" in notebook.said())
    notebook.at(0, 0.5, 0.5).send_keys("e").perform()
    wait(lambda: "image" in notebook.every(".aae-x h3")[0].text and "digit -1" not in notebook.said())

    # Hovering previews, in the kernel's explorer too; dragging moves.
    out = notebook.every(".aae-out h3")
    notebook.at(1, 0.3, 0.3).perform()
    wait(lambda: "pointer" in out[1].text)
    notebook.at(0, 0.5, 0.5).click_and_hold().move_by_offset(60, 40).release().perform()
    wait(lambda: notebook.status(0) == notebook.status(1))

    # A drawing reaches the kernel, which has the same code of it.
    pad = notebook.at(0, 0.5, 0.2, ".aae-pad").click_and_hold().move_by_offset(0, 60).move_by_offset(4, 60).release()
    pad.perform()
    wait(lambda: notebook.every(".aae-x h3")[0].text == notebook.every(".aae-x h3")[2].text == "x: your image")
    wait(lambda: "drawn 784" in notebook.said())
    notebook.shoot("lab-drawing.png")

    # The map turns.
    before = driver.execute_script("return arguments[0].toDataURL()", notebook.every(".aae-map canvas")[0])
    notebook.at(0, 0.4, 0.5, ".aae-map").click_and_hold().move_by_offset(50, 20).release().perform()
    wait(
        lambda: before != driver.execute_script("return arguments[0].toDataURL()", notebook.every(".aae-map canvas")[0])
    )
    notebook.shoot("lab-map.png")

    # Two models have one pointer, and the kernel plays a game.
    notebook.at(4, 0.6, 0.6).click().perform()
    wait(lambda: "z = (0.00, 0.00)" not in (notebook.status(3), notebook.status(4)))
    notebook.shoot("lab-models.png")
    steps = lambda: notebook.texts(".aae-game .aae-status")  # noqa: E731
    notebook.at(0, 0.5, 0.5, ".aae-game").click().send_keys("k").perform()
    wait(lambda: steps()[0] not in ("step 0", "step 2") and steps()[1] != "step 0")
    notebook.at(0, 0.5, 0.5, ".aae-game").send_keys("k").perform()
    wait(lambda: steps()[0] == steps()[1])
    notebook.shoot("lab-game.png")
    notebook.at(0, 0.5, 0.5, ".aae-game").send_keys("r").perform()  # the other view begins again, too
    wait(lambda: steps()[:2] == ["step 0", "step 0"])
    notebook.at(0, 0.5, 0.5, ".aae-game").send_keys("nn").perform()  # another target: no step tells of it
    planes = notebook.every(".aae-game .aae-plane canvas")
    picture = "return arguments[0].toDataURL() === arguments[1].toDataURL()"
    wait(lambda: driver.execute_script(picture, *planes[:2]))

    # A prior is drawn with the mouse, with two strokes, of which one slips over the border; then its game is played.
    distance = lambda: notebook.texts(".aae-game .aae-charts output")[-1]  # noqa: E731
    notebook.at(2, 0.5, 0.5, ".aae-game").click().send_keys("d").perform()
    for across, apart in ((0.2, -80), (0.6, 60)):
        before = distance()
        notebook.at(2, across, 0.25, ".aae-game").click_and_hold().move_by_offset(apart, 60).release().perform()
        wait(lambda before=before: distance() != before)
    notebook.at(2, 0.5, 0.5, ".aae-game").send_keys("k").perform()
    wait(lambda: steps()[2] != "step 0")
    notebook.at(2, 0.5, 0.5, ".aae-game").send_keys("k").perform()
    notebook.shoot("lab-drawn-prior.png")

    # What is saved holds pictures and no weights.
    notebook.menu("File", "Save Notebook")
    wait(lambda: "image/png" in notebook.path.read_text())
    saved = json.loads(notebook.path.read_text())
    assert notebook.path.stat().st_size < 1_200_000 and "widgets" not in saved["metadata"]
    outputs = [output["data"] for cell in saved["cells"] for output in cell["outputs"] if "data" in output]
    assert sum("image/png" in data for data in outputs) == 8

    # Opened again, it shows what was chosen; after a restart of the kernel it can be run again.
    chosen = notebook.statuses()[0]
    driver.get("about:blank")
    notebook.open()
    wait(lambda: notebook.statuses()[:1] == [chosen])
    notebook.shoot("lab-opened-again.png")
    notebook.every(".jp-Notebook-cell .jp-InputPrompt")[1].click()
    notebook.menu("Kernel", "Restart Kernel and Run up to Selected Cell…")
    wait(lambda: notebook.every(".jp-Dialog button.jp-mod-accept"))[0].click()
    wait(lambda: notebook.statuses()[:1] == ["z = (0.00, 0.00)"])
    notebook.at(0, 0.7, 0.3).click().perform()
    wait(lambda: notebook.status(0) != "z = (0.00, 0.00)")
    severe = [entry["message"] for entry in driver.get_log("browser") if entry["level"] == "SEVERE"]
    assert not [message for message in severe if "blob:" in message]
