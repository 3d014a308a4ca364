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
from torch import Tensor

from aae_lib.data import Images, check_images, load_sample
from aae_lib.data.points import CURVES, Strokes, draw_points
from aae_lib.errors import SettingError, ShapeError, UnknownNameError
from aae_lib.experiments.builders import adversarial
from aae_lib.explore.front import FrontEnd
from aae_lib.losses import fitted_gaussian_kl, fool_loss
from aae_lib.metrics import sliced_wasserstein
from aae_lib.models import GenerativeAdversarialNetwork, Model
from aae_lib.networks import multilayer_perceptron
from aae_lib.priors import DrawnPrior, Gaussian
from aae_lib.report.drawing import class_colors, judgment, plane_grid
from aae_lib.seeding import seeded
from aae_lib.training import SGD, Adam, Cosine, Recipe
from aae_lib.training.checks import check_count
from aae_lib.training.loop import step
from aae_lib.training.run import Run

POINTS, ARROWS = 400, 60  # that are seen
JUDGED = 32  # points along a side, at which D is taken
UNIT = 2048  # the integer that means half of the plane's side
REAL, FAKE, PRIOR = "#2f6fd6", "#d8701a", "#696e77"


class GameExplorer(FrontEnd):
    """The adversarial game in a plane: real and fake points, D, the generator's gradient, and the losses as they grow.

    Attributes:
        rates: the learning rate of each update; setting one changes the rest of the game. Anything but a number of at
            least 0 for each update raises a SettingError.
        steps, resets: how many steps are done since the last reset; how many resets there were.

    Args:
        model: one that has points of two numbers: as its images, or as the codes of an encoder with a discriminator.
            It is trained by the game, and a :class:`~aae_lib.priors.DrawnPrior` of it can be drawn anew. Default: a
            generative adversarial network of small perceptrons.
        images: what it is trained on. Default: points around a curve, by its name.
        recipe: as for :func:`~aae_lib.training.loop.train`; its number of steps is no limit here.

    Raises:
        ShapeError, TrainingError: the points do not have two dimensions; model, images and recipe do not fit together.
    """

    alt = "The last moments of a game in a plane: real and fake points, the discriminator's map, and the losses."
    kind = traitlets.Unicode("game").tag(sync=True)
    rates = traitlets.Dict().tag(sync=True)
    steps = traitlets.Int(0).tag(sync=True)
    resets = traitlets.Int(0).tag(sync=True)

    def __init__(self, model: Model | None = None, images: Images | str = "ring", recipe: Recipe | None = None) -> None:
        if model is None:
            model, recipe = _network_of_points()
        self.model, self._recipe = model, recipe
        self._begin(draw_points(images) if isinstance(images, str) else images)
        can_be_drawn = isinstance(images, str) or isinstance(model.prior, DrawnPrior)
        self._curves = list(CURVES) if can_be_drawn else []  # to choose
        self._weights = deepcopy(model.state_dict())
        super().__init__(rates={name: each.learning_rate for name, each in recipe.optimizers.items()})

    def _begin(self, images: Images, view: tuple[Tensor, float] | None = None) -> None:
        check_images(images)
        self.run = Run(self.model, images, self._recipe, 0, None, 1, "cpu", False)
        self.images, model = images, self.model
        self.of_codes = hasattr(model, "encoder") and hasattr(model, "discriminator")
        self.has_circle = hasattr(model, "encoder") and not self.of_codes  # the encoder is the adversary: its codes say
        with seeded(0):
            crowds = images.images[:POINTS], model.prior.sample(POINTS, "cpu")
        self._source, self.real = crowds if self.of_codes else crowds[::-1]
        if self.real.shape[1] != 2:
            raise ShapeError(f"the game is played in a plane, but these points have {self.real.shape[1]} dimensions")
        low, high = self.real.aminmax(dim=0)
        self._middle, self._half = view or ((low + high) / 2, 0.7 * float((high - low).max()))
        self._looks = [self._look()]

    def step(self, *updates: str) -> None:
        """One step, or the named updates alone; an UnknownNameError if there is no such update."""
        self.play(1, *updates)

    def play(self, steps: int, *updates: str) -> None:
        """As many steps, at least 1."""
        if unknown := set(updates) - self.rates.keys():
            raise UnknownNameError(f"no update {', '.join(map(repr, unknown))}: choose of {', '.join(self.rates)}")
        optimizers = {
            name: replace(each, learning_rate=self.rates[name] if not updates or name in updates else 0.0)
            for name, each in self._recipe.optimizers.items()
        }
        self.run.recipe = replace(self._recipe, optimizers=optimizers)
        with self.run.training_mode():
            for _ in range(check_count("steps", steps)):
                step(self.run)
        self.steps, self._looks = self.run.step, [*self._looks[-4:], self._look()]

    def reset(self, target: str | Strokes | None = None) -> None:
        """Begin again, with another target: a curve's name, or strokes ``[[(x, y), ...], ...]`` in the unit square."""
        images, view = self.images, (self._middle, self._half)
        if target is not None and self.of_codes:
            self.model.prior = DrawnPrior(target)
        elif target is not None:
            images = draw_points(target)
        self.model.load_state_dict(self._weights)
        drawn = target is not None and not isinstance(target, str)
        self._begin(images, view if drawn else None)  # strokes are drawn in it, and there may be more
        self.steps, self.resets = 0, self.resets + 1

    @torch.no_grad()
    def fakes(self) -> Tensor:
        """The generated points, or the codes of images, ``[400, 2]``."""
        self.model.eval()
        return (self.model.encode if self.of_codes else self.model.decode)(self._source)

    @property
    def distance(self) -> float:
        """The sliced Wasserstein distance of the fakes from the real points."""
        return sliced_wasserstein(self.fakes(), self.real)

    def _look(self) -> tuple[dict[str, Any], list[Tensor]]:
        """What is said of now, and what is seen: fakes, pushes at the first of them, codes of both crowds, and D.

        Places are seen from the middle of the square, in units of half of its side. A push is where the generator's
        loss falls fastest. D, the probability of *real*, is taken on a square grid, whose rows are the second
        coordinate.
        """
        losses, self.run.losses = {name: values[-1] for name, values in self.run.losses.items()}, {}
        fakes, adversary = self.fakes().requires_grad_(), getattr(self.model, "discriminator", None)
        said = {"step": self.run.step, "losses": losses, "distance": self.distance}
        loss = fool_loss(adversary, fakes) if adversary else fitted_gaussian_kl(self.model.encode(fakes))
        pushes = -len(fakes) / self._half * torch.autograd.grad(loss, fakes)[0]
        grid = self._middle + plane_grid(self._half, JUDGED)[1]
        with torch.no_grad():
            codes = self.model.encode(torch.cat([self.real, fakes])) if self.has_circle else torch.empty(0)
            judged = judgment(adversary, grid) if adversary else torch.empty(0)
            return said, [self._seen(fakes), pushes[:ARROWS], codes, judged]

    def _seen(self, points: Tensor) -> Tensor:
        return (points - self._middle) / self._half

    def _describe(self) -> tuple[dict[str, Any], bytes]:
        """What stays the same while the game is played, and the real points, ``[400, 2]`` in float32."""
        description = {
            "updates": list(self.model.moves),
            "rates": self.rates,
            "labels": self.images.labels[:POINTS].tolist(),
            "arrows": ARROWS,
            "codes": self.has_circle,
            "of_codes": self.of_codes,
            "view": [*self._middle.tolist(), self._half],
        }
        return description, self._seen(self.real).numpy().tobytes()

    def record(self, steps: int, every: int) -> tuple[dict[str, Any], bytes]:
        """Play so many steps, with a frame of every few, for :func:`~aae_lib.explore.page.write_games`."""
        looks = [self._looks[-1]]
        for _ in range(steps // every):
            self.play(every)
            looks.append(self._looks[-1])
        description, real = self._describe()
        numbers = np.stack([_integers(seen) for _, seen in looks])
        changes = np.diff(numbers, axis=0, prepend=np.zeros_like(numbers[:1]))  # which are small, mostly
        content = gzip.compress(real + changes.tobytes(), 9, mtime=0)
        return {"description": description, "frames": [said for said, _ in looks]}, content

    @traitlets.validate("rates")
    def _checked(self, proposal: dict[str, Any]) -> dict[str, float]:
        rates, known = proposal["value"], self._recipe.optimizers
        numbers = [rate for rate in rates.values() if isinstance(rate, int | float) and 0 <= rate < np.inf]
        if rates.keys() != known.keys() or len(numbers) < len(rates):
            raise SettingError(f"expected a rate of at least 0 for each of {', '.join(known)}, found {rates}")
        return rates

    def answer(self, message: dict[str, Any]) -> tuple[dict[str, Any], list[bytes]]:
        if message["what"] == "reset":
            self.reset(message["target"])
        elif message["what"] == "play":
            self.play(message["steps"], *message["updates"])
        looks = self._looks[-1:] if message["what"] == "play" else self._looks
        description, real = self._describe()
        said = [words for words, _ in looks]
        answer = {"description": description, "said": said, "targets": self._curves, "resets": self.resets}
        return answer, [real, *(_integers(seen).tobytes() for _, seen in looks)]

    def still(self) -> Figure:
        """What is seen now, and was after each of the last four calls of :meth:`play`."""
        rows, columns = 1 + self.has_circle, len(self._looks)
        figure = Figure(figsize=(2.3 * columns, 2.5 * rows), layout="constrained")
        for look, axes in zip(self._looks, figure.subplots(rows, columns, squeeze=False).T, strict=True):
            self._draw(axes, *look)
        return figure

    def _draw(self, axes: np.ndarray, said: dict[str, Any], seen: list[Tensor]) -> None:
        plane, (fakes, pushes, codes, judged) = axes[0], seen
        if len(judged):
            look = {"extent": (-1, 1, -1, 1), "vmin": 0, "vmax": 1, "alpha": 0.6, "interpolation": "bilinear"}
            plane.imshow(judged, "RdBu", origin="lower", **look)
        shades = (PRIOR, class_colors(self.images.labels[:POINTS])) if self.of_codes else (REAL, FAKE)
        plane.scatter(*self._seen(self.real).T, s=5, c=shades[0], linewidths=0, alpha=0.3 if self.of_codes else 0.7)
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


def recorded_games() -> dict[str, tuple[dict[str, Any], bytes]]:
    """Games that converge, one that collapses, since its generator learns too fast, and one for the codes of digits."""
    games = {curve: GameExplorer(images=curve).record(400, 2) for curve in CURVES}
    collapsing = GameExplorer(images="spots")
    collapsing.rates = {"discriminator": 1e-3, "generator": 2e-2}
    digits = load_sample()
    with seeded(0):
        model = adversarial(digits.shape, digits.classes, Gaussian(2), hidden=(256, 256))
    rates = {"reconstruction": SGD(0.01, 0.9), "discriminator": SGD(0.1, 0.1), "generator": SGD(0.1, 0.1)}
    codes = GameExplorer(model, digits.train, Recipe(rates, steps=2_000, schedule=Cosine(1_000, 2_000)))
    return games | {"collapse": collapsing.record(300, 2), "codes of digits": codes.record(2_000, 10)}


def _network_of_points() -> tuple[Model, Recipe]:
    with seeded(0):
        networks = (multilayer_perceptron(2, outputs, (128, 128), deviation=None) for outputs in (2, 1))
        model = GenerativeAdversarialNetwork(Gaussian(2), *networks)
    optimizers = {"discriminator": Adam(8e-3, (0.5, 0.9)), "generator": Adam(1e-3, (0.5, 0.9))}
    return model, Recipe(optimizers, steps=1_000)


def _integers(seen: list[Tensor]) -> np.ndarray:
    """What is seen, one after the other."""
    *places, judged = seen
    numbers = torch.cat([*(UNIT * each.flatten() for each in places), 255 * judged.flatten()])
    return numbers.round().clamp(-32768, 32767).numpy().astype(np.int16)
