"""The adversarial game in a plane, played step by step in a notebook, or recorded for a page without a kernel.

    game = GameExplorer()                        # a generator of points against a discriminator
    game = GameExplorer(aae, digits, recipe)     # the codes of an adversarial autoencoder against its prior
    game.play(100)                               # every gesture has its call
"""

import gzip
from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import traitlets
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from aae_lib.data import Images, load_sample
from aae_lib.data.points import CURVES, Strokes, draw_points
from aae_lib.errors import ShapeError
from aae_lib.explore.front import FrontEnd
from aae_lib.explore.still import drawn
from aae_lib.losses import fitted_gaussian_kl, fool_loss
from aae_lib.metrics import sliced_wasserstein
from aae_lib.models import AdversarialAutoencoder, GenerativeAdversarialNetwork, Model
from aae_lib.networks import multilayer_perceptron
from aae_lib.priors import Gaussian, Prior
from aae_lib.report.drawing import class_colors, judgment, plane_grid
from aae_lib.seeding import seeded
from aae_lib.training import SGD, Adam, Cosine, Recipe
from aae_lib.training.loop import step
from aae_lib.training.run import Run

POINTS, ARROWS = 400, 60  # that are seen
JUDGED = 32  # points along a side, at which D is taken
UNIT = 2048  # the integer that means half of the plane's side
REACH = 2.0  # of a drawn prior: the unit square that is drawn in is [-2, 2]^2
WIDTH = 0.1  # standard deviation of a drawn prior across its strokes


class DrawnPrior(Prior):
    """Points around a curve or around strokes drawn by hand, as a prior in the square ``[-2, 2]^2``.

    Args:
        curve: as for :func:`~aae_lib.data.points.draw_points`, in the unit square.
    """

    dimensions = 2

    def __init__(self, curve: str | Strokes) -> None:
        self.points = REACH * (2 * draw_points(curve).images - 1)

    def sample(self, count: int, device: torch.device | str = "cpu") -> Tensor:
        points = self.points[torch.randint(len(self.points), (count,))]
        return (points + WIDTH * torch.randn(count, 2)).to(device)


class Game:
    """A model, its training run, and what of it is seen in a plane: points, or an autoencoder's codes with a prior.

    Attributes:
        rates: the learning rate of each update.
        middle, half: of the square that is seen.
    """

    def __init__(self, model: Model, images: Images, recipe: Recipe) -> None:
        self.model, self.recipe, self._weights = model, recipe, deepcopy(model.state_dict())
        self.of_codes = hasattr(model, "encoder") and hasattr(model, "discriminator")
        self.has_circle = hasattr(model, "encoder") and not self.of_codes  # the encoder is the adversary: its codes say
        self.rates = {name: each.learning_rate for name, each in recipe.optimizers.items()}
        self.reset(images)

    def reset(self, images: Images) -> None:
        """Begin again from the first weights, on these images; a ShapeError if nothing of them lies in a plane."""
        self.model.load_state_dict(self._weights)
        self.images, self.run = images, Run(self.model, images, self.recipe, 0, None, 1, "cpu", False)
        self.losses: dict[str, float] = {}
        with seeded(0):
            crowds = images.images[:POINTS], self.model.prior.sample(POINTS, "cpu")
        self.source, self.real = crowds if self.of_codes else crowds[::-1]
        if self.real.shape[1] != 2:
            raise ShapeError(f"the game is played in a plane, but these points have {self.real.shape[1]} dimensions")
        low, high = self.real.aminmax(dim=0)
        self.middle, self.half = (low + high) / 2, 0.7 * float((high - low).max())

    def step(self, *updates: str) -> None:
        """One step of training; with names of updates only those move their networks."""
        optimizers = {
            name: replace(each, learning_rate=self.rates[name] if not updates or name in updates else 0.0)
            for name, each in self.recipe.optimizers.items()
        }
        self.run.recipe = replace(self.recipe, optimizers=optimizers)
        with self.run.training_mode():
            step(self.run)
        self.losses, self.run.losses = {name: values[-1] for name, values in self.run.losses.items()}, {}

    @torch.no_grad()
    def fakes(self) -> Tensor:
        """The generated points, or the codes of images, ``[400, 2]``."""
        self.model.eval()
        return (self.model.encode if self.of_codes else self.model.decode)(self.source)

    @property
    def distance(self) -> float:
        """The sliced Wasserstein distance of the fakes from the real points."""
        return sliced_wasserstein(self.fakes(), self.real)

    def seen(self, points: Tensor) -> Tensor:
        """Points in units of half of the square's side, from its middle."""
        return (points - self.middle) / self.half

    def look(self) -> tuple[dict[str, Any], list[Tensor]]:
        """What is said of now, and what is seen: fakes, pushes at the first of them, codes of both crowds, and D.

        A push is where the generator's loss falls fastest. D, the probability of *real*, is taken on a square grid,
        whose rows are the second coordinate.
        """
        said = {"step": self.run.step, "losses": self.losses, "distance": self.distance}
        fakes, adversary = self.fakes().requires_grad_(), getattr(self.model, "discriminator", None)
        loss = fool_loss(adversary, fakes) if adversary else fitted_gaussian_kl(self.model.encode(fakes))
        pushes = -len(fakes) / self.half * torch.autograd.grad(loss, fakes)[0]
        judged = judgment(adversary, self.middle + plane_grid(self.half, JUDGED)[1]) if adversary else torch.empty(0)
        with torch.no_grad():
            codes = self.model.encode(torch.cat([self.real, fakes])) if self.has_circle else torch.empty(0)
            return said, [self.seen(fakes), pushes[:ARROWS], codes, judged]

    def describe(self) -> tuple[dict[str, Any], bytes]:
        description = {
            "updates": list(self.model.moves),
            "rates": self.rates,
            "labels": self.images.labels[:POINTS].tolist(),
            "arrows": ARROWS,
            "codes": self.has_circle,
            "of_codes": self.of_codes,
            "view": [*self.middle.tolist(), self.half],
        }
        return description, self.seen(self.real).numpy().tobytes()

    def draw(self, axes: np.ndarray, said: dict[str, Any], seen: list[Tensor]) -> None:
        plane, (fakes, pushes, codes, judged) = axes[0], seen
        if len(judged):
            look = {"extent": (-1, 1, -1, 1), "vmin": 0, "vmax": 1, "alpha": 0.6, "interpolation": "bilinear"}
            plane.imshow(judged, "RdBu", origin="lower", **look)
        shades = ("#696e77", class_colors(self.images.labels[:POINTS])) if self.of_codes else ("#2f6fd6", "#d8701a")
        plane.scatter(*self.seen(self.real).T, s=5, c=shades[0], linewidths=0, alpha=0.3 if self.of_codes else 0.7)
        plane.scatter(*fakes.T, s=5, c=shades[1], linewidths=0, alpha=0.9)
        if not self.of_codes:  # arrows would hide the colors of labels
            plane.quiver(*fakes[:ARROWS].T, *pushes.T, width=0.004, color="#16181d", alpha=0.6)
        plane.set(xlim=(-1, 1), ylim=(-1, 1), aspect="equal", xticks=[], yticks=[])
        plane.set_title(f"step {said['step']}: distance {said['distance']:.2f}", loc="left", size=9)
        for circle in axes[1:]:
            for crowd, radius, shade in zip(codes.chunk(2), (1.0, 0.75), shades, strict=True):
                spread = radius + 0.03 * torch.arange(len(crowd)).sin()[:, None]  # codes beside each other are seen
                circle.scatter(*(spread * crowd).T, s=4, c=shade, linewidths=0, alpha=0.4)
            circle.set(xlim=(-1.2, 1.2), ylim=(-1.2, 1.2), aspect="equal")
            circle.axis("off")


def integers(seen: list[Tensor]) -> np.ndarray:
    """What is seen, one after the other."""
    *places, judged = seen
    numbers = torch.cat([*(UNIT * each.flatten() for each in places), 255 * judged.flatten()])
    return numbers.round().clamp(-32768, 32767).numpy().astype(np.int16)


def record_game(game: Game, steps: int = 400, every: int = 2) -> dict[str, Any]:
    """A game of so many steps from now on, with a frame of every few, for :func:`~aae_lib.explore.page.write_games`."""
    looks = [game.look()]
    for number in range(1, steps + 1):
        game.step()
        if number % every == 0:
            looks.append(game.look())
    description, real = game.describe()
    numbers = np.stack([integers(seen) for _, seen in looks])
    changes = np.diff(numbers, axis=0, prepend=np.zeros_like(numbers[:1]))  # which are small, mostly
    content = gzip.compress(real + changes.tobytes(), 9, mtime=0)
    return {"description": description, "frames": [said for said, _ in looks], "content": content}


def point_game(points: Images, discriminator: float = 8e-3, generator: float = 1e-3) -> Game:
    """An untrained GAN of points, with these learning rates."""
    with seeded(0):
        networks = (multilayer_perceptron(2, outputs, (128, 128), deviation=None) for outputs in (2, 1))
        model = GenerativeAdversarialNetwork(Gaussian(2), *networks)
    rates = {"discriminator": Adam(discriminator, (0.5, 0.9)), "generator": Adam(generator, (0.5, 0.9))}
    return Game(model, points, Recipe(rates, steps=1_000))


def code_game() -> Game:
    """A small untrained adversarial autoencoder and the sample's digits."""
    digits = load_sample().train
    pixels = digits.images.shape[1]
    with seeded(0):
        sizes = ((pixels, 2), (2, pixels), (2, 1))
        model = AdversarialAutoencoder(Gaussian(2), *(multilayer_perceptron(*size, (256, 256)) for size in sizes))
    rates = {"reconstruction": SGD(0.01, 0.9), "discriminator": SGD(0.1, 0.1), "generator": SGD(0.1, 0.1)}
    return Game(model, digits, Recipe(rates, steps=2_000, schedule=Cosine(1_000, 2_000)))


def recorded_games() -> dict[str, dict[str, Any]]:
    """Games that converge, one that collapses, since its generator learns too fast, and one for the codes of digits."""
    games = {curve: record_game(point_game(draw_points(curve))) for curve in CURVES}
    games["collapse"] = record_game(point_game(draw_points("spots"), 1e-3, 2e-2), 300)
    return games | {"codes of digits": record_game(code_game(), 2_000, 10)}


class GameExplorer(FrontEnd):
    """The adversarial game in a plane: real and fake points, D, the generator's gradient, and the losses as they grow.

    Attributes:
        rates: the learning rate of each update; setting one changes the rest of the game.
        steps, resets: how many steps are done since the last reset; how many resets there were.

    Args:
        model: one that has points of two numbers: as its images, or as the codes of an encoder with a discriminator.
            It is trained by the game, and a :class:`DrawnPrior` of it can be drawn anew. Default: a generative
            adversarial network of small perceptrons.
        images: what it is trained on. Default: points around a curve, by its name.
        recipe: as for :func:`~aae_lib.training.loop.train`; its number of steps is no limit here.

    Raises:
        ShapeError: the points do not have two dimensions.
    """

    rates = traitlets.Dict(value_trait=traitlets.Float()).tag(sync=True)
    steps = traitlets.Int(0).tag(sync=True)
    resets = traitlets.Int(0).tag(sync=True)

    def __init__(self, model: Model | None = None, images: Images | str = "ring", recipe: Recipe | None = None) -> None:
        can_be_drawn = isinstance(images, str) or isinstance(model and model.prior, DrawnPrior)
        self._curves = list(CURVES) if can_be_drawn else []  # to choose
        images = draw_points(images) if isinstance(images, str) else images
        self.game = Game(model, images, recipe) if model else point_game(images)
        self._looks = [self.game.look()]
        super().__init__(kind="game", rates=self.game.rates)

    def step(self, *updates: str) -> None:
        """One step, or the named updates alone."""
        self.play(1, *updates)

    def play(self, steps: int, *updates: str) -> None:
        """As many steps."""
        for _ in range(steps):
            self.game.step(*updates)
        self.steps, self._looks = self.game.run.step, [*self._looks[-4:], self.game.look()]

    def reset(self, target: str | Strokes | None = None) -> None:
        """Begin again, with another target: a curve's name, or strokes ``[[(x, y), ...], ...]`` in the unit square."""
        game, view = self.game, (self.game.middle, self.game.half)
        if target is None:
            game.reset(game.images)
        elif game.of_codes:
            game.model.prior = DrawnPrior(target)
            game.reset(game.images)
        else:
            game.reset(draw_points(target))
        if target is not None and not isinstance(target, str):
            game.middle, game.half = view  # strokes are drawn in it, and there may be more
        self.steps, self._looks = 0, [self.game.look()]
        self.resets += 1

    @traitlets.validate("rates")
    def _rates_of_updates(self, proposal: dict[str, Any]) -> dict[str, float]:
        rates, known = proposal["value"], self.game.rates
        if rates.keys() != known.keys() or not all(0 <= rate < np.inf for rate in rates.values()):
            raise traitlets.TraitError(f"expected a rate of at least 0 for each of {', '.join(known)}, found {rates}")
        return rates

    @traitlets.observe("rates")
    def _rates_changed(self, change: dict[str, Any]) -> None:
        self.game.rates = change["new"]

    def answer(self, message: dict[str, Any]) -> tuple[dict[str, Any], list[bytes]]:
        if message["what"] == "reset":
            target = message["target"]
            if self.game.of_codes and isinstance(target, list):  # strokes in the plane of codes
                target = [[[0.5 + at / (2 * REACH) for at in point] for point in stroke] for stroke in target]
            self.reset(target)
        elif message["what"] == "play":
            self.play(message["steps"], *message["updates"])
        (said, seen), (description, real) = self._looks[-1], self.game.describe()
        answer = {"description": description, "said": said, "targets": self._curves, "resets": self.resets}
        return answer, [real, integers(seen).tobytes()]

    def picture(self) -> Image.Image:
        """What is seen now, and was after each of the last four calls of :meth:`play`."""
        rows, columns = 1 + self.game.has_circle, len(self._looks)

        def draw(figure: Figure) -> None:
            for look, axes in zip(self._looks, figure.subplots(rows, columns, squeeze=False).T, strict=True):
                self.game.draw(axes, *look)

        return drawn(2.3 * columns, 2.5 * rows, draw)
