"""The adversarial game in a plane, played step by step in a notebook, or recorded for a page without a kernel.

    game = GameExplorer()                        # a generator of points against a discriminator
    game = GameExplorer(aae, digits, recipe)     # the codes of an adversarial autoencoder against its prior
    game.play(100)                               # every gesture has its call
"""

import gzip
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib.style
import numpy as np
import torch
import traitlets
from matplotlib.colors import LinearSegmentedColormap
from PIL import Image
from torch import Tensor

from aae_lib.data import Images, load_sample
from aae_lib.errors import ShapeError
from aae_lib.explore.front import COLORS, FrontEnd
from aae_lib.explore.page import write_games
from aae_lib.explore.still import new_figure, rendered
from aae_lib.losses import fitted_gaussian_kl, fool_loss
from aae_lib.metrics import sliced_wasserstein
from aae_lib.models import AdversarialAutoencoder, GenerativeAdversarialNetwork, Model
from aae_lib.networks import multilayer_perceptron
from aae_lib.priors import Gaussian
from aae_lib.report.drawing import STYLE
from aae_lib.seeding import seeded
from aae_lib.training import SGD, Adam, Cosine, Recipe
from aae_lib.training.loop import step
from aae_lib.training.run import Run

POINTS, ARROWS = 400, 60  # that are seen
JUDGED = 32  # points along a side, at which D is taken
UNIT = 2048  # the integer that means half of the plane's side


def _circle(shares: Tensor) -> Tensor:
    angle = 2 * torch.pi * shares
    return torch.stack([angle.cos(), angle.sin()], 1)


TARGETS: dict[str, Callable[[Tensor], Tensor]] = {  # curves in the unit square, as functions of shares from 0 to 1
    "ring": lambda shares: 0.5 + 0.35 * _circle(shares),
    "spots": lambda shares: 0.5 + 0.35 * _circle((8 * shares).floor() / 8),
    "spiral": lambda shares: 0.5 + 0.38 * shares.sqrt()[:, None] * _circle(1.5 * shares.sqrt()),
}


def points_along(curve: Callable[[Tensor], Tensor] | Sequence[Sequence[Sequence[float]]], count: int = 4_000) -> Images:
    """Points around a curve in the unit square, or along strokes, each a list of (x, y), as images of two numbers."""
    with seeded(0):
        shares = torch.rand(count)
        points = (curve if callable(curve) else _drawn(curve))(shares) + 0.015 * torch.randn(count, 2)
    return Images(points.clamp(0, 1), torch.full([count], -1))


def _drawn(strokes: Sequence[Sequence[Sequence[float]]]) -> Callable[[Tensor], Tensor]:
    ends = [pair for stroke in strokes for pair in zip(stroke, [*stroke[1:], stroke[-1]], strict=True)]
    starts, stops = torch.tensor(ends, dtype=torch.float32).unbind(1)
    lengths = (stops - starts).norm(dim=1).clamp_min(1e-3).cumsum(0)

    def curve(shares: Tensor) -> Tensor:
        part = torch.searchsorted(lengths, shares * lengths[-1]).clamp_max(len(lengths) - 1)
        return torch.lerp(starts[part], stops[part], torch.rand(len(part), 1))

    return curve


def point_game(rates: tuple[float, float] = (8e-3, 1e-3)) -> tuple[GenerativeAdversarialNetwork, Recipe]:
    """An untrained GAN of points, and its recipe with the learning rates of discriminator and generator."""
    with seeded(0):
        networks = (multilayer_perceptron(2, outputs, (128, 128), deviation=None) for outputs in (2, 1))
        model = GenerativeAdversarialNetwork(Gaussian(2), *networks)
    optimizers = {name: Adam(rate, (0.5, 0.9)) for name, rate in zip(model.moves, rates, strict=True)}
    return model, Recipe(optimizers, steps=1_000)


def code_game() -> tuple[AdversarialAutoencoder, Images, Recipe]:
    """A small untrained adversarial autoencoder, the sample's digits and a recipe."""
    digits = load_sample().train
    pixels = digits.images.shape[1]
    with seeded(0):
        sizes = ((pixels, 2), (2, pixels), (2, 1))
        model = AdversarialAutoencoder(Gaussian(2), *(multilayer_perceptron(*size, (256, 256)) for size in sizes))
    rates = {"reconstruction": SGD(0.01, 0.9), "discriminator": SGD(0.1, 0.1), "generator": SGD(0.1, 0.1)}
    return model, digits, Recipe(rates, steps=2_000, schedule=Cosine(1_000, 2_000))


def recorded_games() -> dict[str, dict[str, Any]]:
    """Games that converge, one that collapses, since its generator learns too fast, and one for the codes of digits."""
    games = {name: (point_game(), points_along(curve), 400, 2) for name, curve in TARGETS.items()}
    games["collapse"] = point_game((3e-3, 2e-2)), points_along(TARGETS["spots"]), 300, 2
    model, digits, recipe = code_game()
    games["codes of digits"] = (model, recipe), digits, 2_000, 10
    return {
        name: record_game(Game(model, images, recipe), steps, every)
        for name, ((model, recipe), images, steps, every) in games.items()
    }


class Game:
    """A model, its training run, and what of it is seen in a plane: points, or an autoencoder's codes with a prior."""

    def __init__(self, model: Model, images: Images, recipe: Recipe) -> None:
        self.model, self.recipe, self._weights = model, recipe, deepcopy(model.state_dict())
        self.of_codes = hasattr(model, "encoder") and hasattr(model, "discriminator")
        self.has_circle = hasattr(model, "encoder") and not self.of_codes  # the encoder is the adversary: its codes say
        self.reset(images)

    def reset(self, images: Images) -> None:
        self.model.load_state_dict(self._weights)
        self.run = Run(self.model, images, self.recipe, 0, None, 1, "cpu", False)
        self.losses: dict[str, float] = {}
        with seeded(0):
            self.source, self.real = images.images[:POINTS], self.model.prior.sample(POINTS, "cpu")
        self.labels = images.labels[:POINTS].tolist()
        if not self.of_codes:
            self.source, self.real = self.real, self.source
        if self.real.shape[1] != 2:
            raise ShapeError(f"the game is played in a plane, but these points have {self.real.shape[1]} dimensions")
        low, high = self.real.amin(0), self.real.amax(0)
        self.middle, self.half = (low + high) / 2, 0.7 * float((high - low).max())

    def step(self, *updates: str) -> None:
        """One step of training; with names of updates only those move their networks."""
        at_rest = {name: replace(each, learning_rate=0.0) for name, each in self.recipe.optimizers.items()}
        moving = {name: each for name, each in self.recipe.optimizers.items() if not updates or name in updates}
        self.run.recipe = replace(self.recipe, optimizers=at_rest | moving)
        with self.run.training_mode():
            step(self.run)
        self.losses = {name: values[-1] for name, values in self.run.losses.items()}
        self.run.losses = {}

    @torch.no_grad()
    def fakes(self) -> Tensor:
        self.model.eval()
        return (self.model.encode if self.of_codes else self.model.decode)(self.source)

    def push(self, fakes: Tensor) -> Tensor:
        """Where the generator's loss falls fastest, at each fake: the gradient of log D, if there is a D."""
        with torch.enable_grad():
            fakes = fakes.clone().requires_grad_()
            adversary = getattr(self.model, "discriminator", None)
            loss = fool_loss(adversary, fakes) if adversary else fitted_gaussian_kl(self.model.encode(fakes))
            return -len(fakes) * torch.autograd.grad(loss, fakes)[0]

    @torch.no_grad()
    def judgment(self) -> Tensor:
        """D, the probability of *real*, on a grid over the plane; rows are the second coordinate."""
        if not hasattr(self.model, "discriminator"):
            return torch.empty(0, 0)
        side = self.half * torch.linspace(-1, 1, JUDGED)
        square = torch.cartesian_prod(side, side).flip(1) + self.middle
        return self.model.discriminator(square).sigmoid().reshape(JUDGED, JUDGED)

    @property
    def distance(self) -> float:
        return sliced_wasserstein(self.fakes(), self.real)

    def view(self) -> tuple[str, Tensor, Tensor, list[Tensor], Tensor]:
        """A title, the fakes, the generator's pushes at the first of them, the codes of both crowds on a circle, D."""
        fakes, codes = self.fakes(), []
        if self.has_circle:
            with torch.no_grad():
                codes = [self.model.encode(crowd) for crowd in (self.real, fakes)]
        title = f"step {self.run.step}: distance {self.distance:.2f}"
        return title, fakes, self.push(fakes)[:ARROWS], codes, self.judgment()

    def frame(self) -> tuple[dict[str, Any], np.ndarray]:
        """Numbers of now, and the points of :meth:`view` one after the other, in integers."""
        _, fakes, pushes, codes, judged = self.view()
        places = [(fakes - self.middle) / self.half, pushes / self.half, *codes]
        numbers = torch.cat([*(UNIT * each.flatten() for each in places), 255 * judged.flatten()])
        said = {"step": self.run.step, "losses": self.losses, "distance": self.distance}
        return said, numbers.round().clamp(-32768, 32767).numpy().astype(np.int16)

    def describe(self) -> tuple[dict[str, Any], bytes]:
        description = {
            "updates": list(self.model.moves),
            "rates": {name: each.learning_rate for name, each in self.recipe.optimizers.items()},
            "labels": self.labels,
            "arrows": ARROWS,
            "codes": self.has_circle,
            "of_codes": self.of_codes,
            "view": [*self.middle.tolist(), self.half],
        }
        return description, ((self.real - self.middle) / self.half).numpy().tobytes()


def record_game(game: Game, steps: int = 400, every: int = 2) -> dict[str, Any]:
    """A game of so many steps from now on, with a frame of every few, for :func:`~aae_lib.explore.page.write_games`."""
    seen = []
    for number in range(steps + 1):
        if number % every == 0:
            seen.append(game.frame())
        if number < steps:
            game.step()
    description, real = game.describe()
    numbers = np.stack([numbers for _, numbers in seen])
    changes = np.diff(numbers, axis=0, prepend=np.zeros_like(numbers[:1]))  # which are small, mostly
    content = gzip.compress(real + changes.tobytes(), 9, mtime=0)
    return {"description": description, "frames": [said for said, _ in seen], "content": content}


class GameExplorer(FrontEnd):
    """The adversarial game in a plane: real and fake points, D, the generator's gradient, and the losses as they grow.

    Attributes:
        rates: the learning rate of each update; setting one changes the rest of the game.
        steps: how many steps are done.

    Args:
        model: one that has points of two numbers: as its images, or as the codes of an encoder with a discriminator.
            It is trained by the game. Default: a generative adversarial network of small perceptrons.
        images: what it is trained on. Default: points around a curve, whose name is one of TARGETS.
        recipe: as for :func:`~aae_lib.training.loop.train`; its number of steps is no limit here.

    Raises:
        ShapeError: the points do not have two dimensions.
    """

    rates = traitlets.Dict().tag(sync=True)
    steps = traitlets.Int(0).tag(sync=True)

    def __init__(self, model: Model | None = None, images: Images | str = "ring", recipe: Recipe | None = None) -> None:
        if model is None:
            model, recipe = point_game()
        self._free = isinstance(images, str)  # to choose and to draw
        self._images = points_along(TARGETS[images]) if self._free else images
        self.game, self._past = Game(model, self._images, recipe), []
        super().__init__(kind="game", rates=self.game.describe()[0]["rates"])

    def step(self, *updates: str) -> None:
        """One step, or the named updates alone."""
        self.play(1, *updates)

    def play(self, steps: int, *updates: str) -> None:
        """As many steps."""
        self._past.append(self.game.view())
        self._go_on(steps, *updates)

    def _go_on(self, steps: int, *updates: str) -> None:
        for _ in range(steps):
            self.game.step(*updates)
        self.steps = self.game.run.step

    def reset(self, target: str | Sequence[Sequence[Sequence[float]]] | None = None) -> None:
        """Begin again, with another target: one of TARGETS, or strokes ``[[(x, y), ...], ...]`` in the unit square."""
        if target is not None:
            self._images = points_along(TARGETS.get(target, target) if isinstance(target, str) else target)
        self.game.reset(self._images)
        self.steps, self._past = 0, []

    def save(self, path: str | Path, steps: int = 400, every: int = 2) -> Path:
        """Play on, and write that as a page that needs no kernel."""
        return write_games(path, {"game": record_game(self.game, steps, every)})

    @traitlets.observe("rates")
    def _rates_changed(self, change: Mapping[str, Any]) -> None:
        old = self.game.recipe.optimizers
        new = {name: replace(each, learning_rate=float(self.rates[name])) for name, each in old.items()}
        self.game.recipe = replace(self.game.recipe, optimizers=new)

    def answer(self, message: dict[str, Any]) -> tuple[dict[str, Any], list[bytes]]:
        if message["what"] == "reset":
            self.reset(message["target"])
        elif message["what"] == "play":
            self._go_on(message["steps"], *message["updates"])
        said, numbers = self.game.frame()
        description, real = self.game.describe()
        targets = list(TARGETS) if self._free else []
        return {"description": description, "said": said, "targets": targets}, [real, numbers.tobytes()]

    def picture(self) -> Image.Image:
        """What was seen before each call of :meth:`play`, the last four times, and what is seen now."""
        views = [*self._past[-4:], self.game.view()]
        with matplotlib.style.context(["default", STYLE]):
            rows = 2 if self.game.has_circle else 1
            figure = new_figure(2.3 * len(views), 2.5 * rows)
            for view, axes in zip(views, figure.subplots(rows, len(views), squeeze=False).T, strict=True):
                _draw_view(axes, self.game, view)
            return rendered(figure)


def _draw_view(axes: np.ndarray, game: Game, view: tuple[str, Tensor, Tensor, list[Tensor], Tensor]) -> None:
    title, fakes, pushes, codes, judged = view
    plane, palette = axes[0], np.array(COLORS["light"])
    extent = [center + side * game.half for center in game.middle.tolist() for side in (-1, 1)]
    if len(judged):
        colors = LinearSegmentedColormap.from_list("D", ["#ebb78c", "white", "#97b7ea"])
        plane.imshow(judged, colors, origin="lower", extent=extent, vmin=0, vmax=1, interpolation="bilinear")
    shades = ("#696e77", palette[np.array(game.labels) % len(palette)]) if game.of_codes else ("#2f6fd6", "#d8701a")
    for points, shade, alpha in zip((game.real, fakes), shades, (0.3 if game.of_codes else 0.7, 0.9), strict=True):
        plane.scatter(*points.T, s=5, c=shade, linewidths=0, alpha=alpha)
    if not game.of_codes:  # arrows would hide the colors of labels
        plane.quiver(*fakes[:ARROWS].T, *pushes.T, width=0.004, color="#16181d", alpha=0.6)
    plane.set(xlim=extent[:2], ylim=extent[2:], aspect="equal", xticks=[], yticks=[])
    plane.set_title(title, loc="left", size=9)
    for crowd, radius, shade in zip(codes, (1.0, 0.75), shades, strict=False):
        spread = radius + 0.03 * np.sin(np.arange(len(crowd)))[:, None]  # so that codes beside each other are seen
        axes[1].scatter(*(spread * crowd.numpy()).T, s=4, c=shade, linewidths=0, alpha=0.4)
        axes[1].set(xlim=(-1.2, 1.2), ylim=(-1.2, 1.2), aspect="equal")
        axes[1].axis("off")
