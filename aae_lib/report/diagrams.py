"""Diagrams of the systems, one style for all: what flows where, and which updates train which network."""

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import PIL.Image
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse, FancyBboxPatch, Polygon

from aae_lib import models
from aae_lib.errors import UnknownNameError
from aae_lib.report.drawing import BLUE, GREEN, RED

if TYPE_CHECKING:
    from IPython.display import Image

INK, FADED = "#222222", "#555555"
COLORS = {"network": BLUE, "adversary": RED, "prior": GREEN, "data": INK, "sum": INK}
UNIT = 0.8  # inches
SIZE, SMALL = 9.5, 8  # of letters, in points
DENSITY = 2  # pixels of the picture for each of the page's


@dataclass(frozen=True)
class Box:
    """What stands at a place ``(x, y)``: "data", a "network", an "adversary", a "prior" or a "sum".

    ``network`` names the attribute of the model, so that the updates that train it can be written below.
    ``narrows`` is the share of a network's height that its right side lacks; if negative, its left side.
    """

    x: float
    y: float
    text: str
    kind: str = "data"
    network: str = ""
    narrows: float = 0.0
    width: float = 1.0

    @property
    def height(self) -> float:
        network = 1.0 if self.narrows else 0.6
        return {"network": network, "adversary": 0.8, "prior": 0.7, "data": 0.5, "sum": 0.4}[self.kind]


@dataclass(frozen=True)
class Arrow:
    """From a box to another.

    ``route``: "across" from side to side, with a corner halfway if their heights differ; "turn" up or down first, then
    to the side; "drop" to the side first, then up or down; "compare" over both, at the height ``lift`` (or below them,
    if negative). Otherwise ``lift`` is how far above its middle the arrow meets the side of the second box.
    """

    start: str
    end: str
    text: str = ""
    route: str = "across"
    lift: float = 0.0
    dashed: bool = False  # two things are compared


@dataclass(frozen=True)
class Diagram:
    """Boxes by name and arrows between them, of a model; ``alt`` says in words what is seen."""

    model: type[models.Model]
    alt: str
    boxes: Mapping[str, Box]
    arrows: tuple[Arrow, ...]
    notes: Mapping[tuple[float, float], str] = field(default_factory=dict)

    def updates_of(self, network: str) -> list[str]:
        """The updates that train this network."""
        return [update for update, moved in self.model.moves.items() if network in moved]


def _encoder(x: float, y: float = 0, text: str = "encoder", narrows: float = 0.35) -> Box:
    return Box(x, y, text, "network", "encoder", narrows, 1.3)


def _decoder(x: float, y: float = 0, text: str = "decoder", narrows: float = -0.35) -> Box:
    return Box(x, y, text, "network", "decoder", narrows, 1.3)


def _discriminator(x: float, y: float, of: str = "", network: str = "discriminator") -> Box:
    return Box(x, y, f"discriminator{of}", "adversary", network, width=1.6)


def _chain(*names: str) -> tuple[Arrow, ...]:
    return tuple(Arrow(*pair) for pair in pairwise(names))


def _reconstruction(height: float = 1.1, text: str = "reconstruction loss") -> Arrow:
    return Arrow("x", "back", text, "compare", height, dashed=True)


def _label_and_style(decoder: float) -> dict[str, Box]:
    """Two discriminators; the decoder stands at this place."""
    return {
        "x": Box(0, 0, IMAGE),
        "encoder": _encoder(1.6),
        "y": Box(3.6, 0.8, "label $y$\n(softmax)", width=0.9),
        "z": Box(3.6, -0.8, "style $z$\n(linear)", width=0.9),
        "decoder": _decoder(decoder),
        "back": Box(decoder + 1.6, 0, BACK),
        "prior of y": Box(1.6, 2.35, "prior of $y$:\none-hot", "prior", width=1.5),
        "judge of y": _discriminator(decoder, 2.15, "\nof labels", "label_discriminator"),
        "verdict of y": Box(decoder + 1.7, 2.15, VERDICT, width=1.1),
        "prior": Box(1.6, -2.35, "prior of $z$:\nGaussian", "prior", width=1.5),
        "discriminator": _discriminator(decoder, -2.15, "\nof styles", "style_discriminator"),
        "verdict": Box(decoder + 1.7, -2.15, VERDICT, width=1.1),
    }


IMAGE, BACK, VERDICT = "image $x$", r"image $\hat{x}$", "real or fake?"
AUTOENCODER = {
    "x": Box(0, 0, IMAGE),
    "encoder": _encoder(1.7),
    "z": Box(3.4, 0, "code $z$"),
    "decoder": _decoder(5.3),
    "back": Box(7.0, 0, BACK),
}
AAE = AUTOENCODER | {
    "prior": Box(1.7, -1.9, "prior $p(z)$", "prior", width=1.3),
    "discriminator": _discriminator(5.3, -1.7),
    "verdict": Box(7.0, -1.7, VERDICT, width=1.1),
}
THROUGH = _chain("x", "encoder", "z", "decoder", "back")
GAME = (
    Arrow("z", "discriminator", "fake", "turn", 0.2),
    Arrow("prior", "discriminator", "real", lift=-0.2),
    Arrow("discriminator", "verdict"),
)
GAMES = (
    *_chain("x", "encoder", "y"),
    Arrow("encoder", "z"),
    Arrow("y", "judge of y", "fake", "turn", -0.2),
    Arrow("prior of y", "judge of y", "real", lift=0.2),
    Arrow("judge of y", "verdict of y"),
    *GAME,
    Arrow("decoder", "back"),
)
BOTH = (Arrow("y", "decoder", lift=0.2), Arrow("z", "decoder", lift=-0.2))
CLUSTERING = (
    "The encoder makes of an image a label y, by a softmax, and a style z. The decoder makes an image of both. One "
    "discriminator tells labels from one-hot samples, a second tells styles from samples of a Gaussian"
)

DIAGRAMS: dict[str, Diagram] = {
    "autoencoder": Diagram(
        models.Autoencoder,
        "An image x goes through the encoder to a code z, and through the decoder to an image again. The "
        "reconstruction loss compares the two images and trains both networks.",
        AUTOENCODER, (*THROUGH, _reconstruction()),
    ),
    "aae": Diagram(
        models.AdversarialAutoencoder,
        "Upper row, an autoencoder: image, encoder, code z, decoder, image. Lower row: a discriminator gets samples of "
        "the prior as real and codes of images as fake, and says which is which. The updates reconstruction and "
        "generator train the encoder.",
        AAE, (*THROUGH, _reconstruction(), *GAME),
    ),
    "label-informed": Diagram(
        models.LabelInformedAutoencoder,
        "The adversarial autoencoder. Its discriminator also gets a one-hot switch: the label, or the entry for no "
        "label. For a labeled image the real sample comes from that label's part of the prior.",
        AAE | {
            "prior": Box(1.7, -1.7, "prior $p(z)$,\nor its part $y$", "prior", width=1.8),
            "switch": Box(1.7, -2.8, "switch: label $y$,\nor none", width=1.4),
        },
        (
            *THROUGH, _reconstruction(),
            Arrow("z", "discriminator", "fake", "turn", 0.25),
            Arrow("prior", "discriminator", "real"),
            Arrow("switch", "prior", route="drop"),
            Arrow("switch", "discriminator", lift=-0.25),
            Arrow("discriminator", "verdict"),
        ),
        {(2.95, -2.68): "one-hot"},
    ),
    "supervised": Diagram(
        models.SupervisedAutoencoder,
        "The encoder makes a style z of an image; the decoder makes an image of the style and of the one-hot label y, "
        "which is given. A discriminator tells styles from samples of a Gaussian.",
        AAE | {
            "y": Box(3.4, 1.1, "label $y$, given\n(one-hot)", width=1.3),
            "z": Box(3.4, 0, "style $z$"),
            "prior": Box(1.7, -1.9, "prior of $z$:\nGaussian", "prior", width=1.5),
        },
        (*THROUGH, _reconstruction(1.85), Arrow("y", "decoder", route="drop"), *GAME),
    ),
    "semi-supervised": Diagram(
        models.SemiSupervisedAutoencoder,
        f"{CLUSTERING}. Of a few images the label is known; by it the update classification trains the encoder.",
        _label_and_style(6.0) | {"known": Box(1.0, 1.0, "known label\n(few images)", width=1.1)},
        (*GAMES, *BOTH, Arrow("known", "y", "classification loss", lift=0.2, dashed=True)),
    ),
    "clustering": Diagram(models.ClusteringAutoencoder, f"{CLUSTERING}.", _label_and_style(6.0), (*GAMES, *BOTH)),
    "dimensionality-reduction": Diagram(
        models.ReducingAutoencoder,
        f"{CLUSTERING.replace('of both', 'of a code, which is the head of the label plus the style')}.",
        _label_and_style(7.2) | {
            "heads": Box(4.8, 0.8, "heads $W$", "network", "heads", width=1.0),
            "sum": Box(5.8, -0.8, "+", "sum", width=0.4),
        },
        (
            *GAMES, Arrow("y", "heads"), Arrow("heads", "sum", route="drop"), Arrow("z", "sum"),
            Arrow("sum", "decoder"),
        ),
        {(6.5, -0.95): "code $yW + z$"},
    ),
    "age": Diagram(
        models.AdversarialGeneratorEncoder,
        "Two rows share an encoder and a decoder, the generator. Upper row, from left to right: image x, encoder, code "
        "e(x), generator, image. The image error compares the two images and trains the encoder. Lower row, from right "
        "to left: a sample z of the prior, generator, image g(z), encoder, code. The code error compares the two codes "
        "and trains the generator. The encoder wants codes of images near the prior and those of generated images far "
        "from it; the generator wants these near. There is no discriminator.",
        {
            "x": Box(0, 0, IMAGE),
            "encoder": _encoder(1.9),
            "code": Box(3.8, 0, "code $e(x)$"),
            "decoder": _decoder(5.7, text="decoder,\nor generator"),
            "back": Box(7.8, 0, "image $g(e(x))$", width=1.4),
            "z": Box(7.8, -2.4, "prior: code $z$", "prior", width=1.6),
            "generator": _decoder(5.7, -2.4, "the same\ndecoder", 0.35),
            "generated": Box(3.8, -2.4, "image $g(z)$", width=1.1),
            "encoder again": _encoder(1.9, -2.4, "the same\nencoder", -0.35),
            "code again": Box(0, -2.4, "code $e(g(z))$", width=1.3),
        },
        (
            *_chain("x", "encoder", "code", "decoder", "back"),
            _reconstruction(1.0, "image error (encoder)"),
            *_chain("z", "generator", "generated", "encoder again", "code again"),
            Arrow("code again", "z", "code error (generator)", "compare", -1.2, dashed=True),
        ),
        {
            (3.8, -0.4): "encoder: near the prior",
            (0.4, -1.65): "encoder: far from the prior\ngenerator: near the prior",
        },
    ),
}  # fmt: skip


def diagram(name: str) -> "Image":
    """The diagram of a system as a picture for a notebook, with an alternative text.

    Args:
        name: one of ``DIAGRAMS``; another raises an UnknownNameError.
    """
    from IPython.display import Image

    figure, content = draw_diagram(name), io.BytesIO()
    figure.savefig(content, format="png", dpi=96 * DENSITY)
    picture = PIL.Image.open(content).convert("RGB").quantize(64)
    content = io.BytesIO()
    picture.save(content, "png", optimize=True)
    return Image(content.getvalue(), format="png", width=picture.width // DENSITY, alt=DIAGRAMS[name].alt)


def draw_diagram(name: str) -> Figure:
    """The diagram of a system as a figure, for other uses than a notebook's. Errors: :func:`diagram`."""
    if name not in DIAGRAMS:
        raise UnknownNameError(f"no diagram has the name {name!r}; there are {', '.join(DIAGRAMS)}")
    shown = DIAGRAMS[name]
    left, right, low, high = _extent(shown)
    figure = Figure(figsize=(UNIT * (right - left), UNIT * (high - low)))
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(left, right), ylim=(low, high))
    axes.axis("off")
    for arrow in shown.arrows:
        _draw_arrow(axes, arrow, shown.boxes[arrow.start], shown.boxes[arrow.end])
    for box in shown.boxes.values():
        _draw_box(axes, box, shown.updates_of(box.network))
    for place, text in shown.notes.items():
        axes.text(*place, text, size=SMALL, color=FADED, ha="center", va="center", style="italic")
    return figure


def _extent(shown: Diagram) -> tuple[float, float, float, float]:
    """Left, right, lowest and highest, in the units of places."""
    boxes = shown.boxes
    low = [box.y - box.height / 2 - (0.45 if box.network else 0) for box in boxes.values()]
    high = [box.y + box.height / 2 for box in boxes.values()]
    over = [boxes[arrow.start].y + arrow.lift for arrow in shown.arrows if arrow.route == "compare"]
    left, right = (side(box.x + sign * box.width / 2 for box in boxes.values()) for side, sign in ((min, -1), (max, 1)))
    return left - 0.1, right + 0.1, min(low + over) - 0.1, max([*high, *(height + 0.25 for height in over)]) + 0.05


def _draw_box(axes: Axes, box: Box, updates: list[str]) -> None:
    color, w, h = COLORS[box.kind], box.width / 2, box.height / 2
    look = {"facecolor": to_rgba(color, 0.09), "edgecolor": color, "linewidth": 1.4}
    if box.kind == "network":
        left, right = h * (1 + min(box.narrows, 0)), h * (1 - max(box.narrows, 0))
        corners = np.array([(-w, -left), (w, -right), (w, right), (-w, left)])
        axes.add_patch(Polygon(corners + (box.x, box.y), joinstyle="round", **look))
    elif box.kind == "adversary":
        axes.add_patch(FancyBboxPatch((box.x - w, box.y - h), 2 * w, 2 * h, "round,pad=0,rounding_size=0.15", **look))
    elif box.kind in ("prior", "sum"):
        axes.add_patch(Ellipse((box.x, box.y), 2 * w, 2 * h, **look))
    axes.text(box.x, box.y, box.text, size=SIZE, color=INK, ha="center", va="center", linespacing=1.1)
    if updates:
        text = "updates: " + ",\n".join(updates)
        axes.text(box.x, box.y - h - 0.06, text, size=SMALL, color=FADED, ha="center", va="top", linespacing=1.1)


def _draw_arrow(axes: Axes, arrow: Arrow, start: Box, end: Box) -> None:
    points = _way(arrow, start, end)
    style = "--" if arrow.dashed else "-"
    axes.plot(*zip(*points, strict=True), color=FADED, linewidth=1.2, linestyle=style, zorder=0.5)
    look = {"arrowstyle": "-|>", "color": FADED, "shrinkA": 0, "shrinkB": 0}
    for tail, tip in [points[-2:], points[1::-1]][: 1 + arrow.dashed]:
        near = np.array(tip) - 0.05 * np.sign(np.subtract(tip, tail))  # the line is drawn already
        axes.annotate("", tip, near, arrowprops=look, zorder=0.6)
    if arrow.text:
        (x, y), (other, _) = points[1:3] if arrow.route == "compare" else points[-2:]
        axes.text((x + other) / 2, y + 0.06, arrow.text, size=SMALL, color=INK, ha="center", va="bottom")


def _way(arrow: Arrow, start: Box, end: Box) -> list[tuple[float, float]]:
    """The corners of an arrow, with its ends."""
    ahead, up = (1 if end.x > start.x else -1), (1 if end.y > start.y else -1)
    out, into, height = start.x + ahead * start.width / 2, end.x - ahead * end.width / 2, end.y + arrow.lift
    if arrow.route == "compare":
        up, over = (1 if arrow.lift > 0 else -1), start.y + arrow.lift
        first, last = ((box.x, box.y + up * box.height / 2) for box in (start, end))
        return [first, (start.x, over), (end.x, over), last]
    if arrow.route == "turn":
        return [(start.x, start.y + up * start.height / 2), (start.x, height), (into, height)]
    if arrow.route == "drop":
        first = [(start.x, start.y + up * start.height / 2)] if start.x == end.x else [(out, start.y), (end.x, start.y)]
        return [*first, (end.x, end.y - up * end.height / 2)]
    if height == start.y:
        return [(out, height), (into, height)]
    middle = (out + into) / 2
    return [(out, start.y), (middle, start.y), (middle, height), (into, height)]
