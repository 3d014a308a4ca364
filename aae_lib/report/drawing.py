"""How latent planes and decoded images are drawn, the same in figures, notebooks and the explorer."""

import json
import math
from collections.abc import Iterable, Sequence
from io import BytesIO
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from PIL import Image
from torch import Tensor, nn

from aae_lib.devices import device_of
from aae_lib.metrics import prior_samples
from aae_lib.models import Model
from aae_lib.priors import Prior
from aae_lib.shapes import Shape, mosaic
from aae_lib.training import UPDATES_PER_EPOCH

# Colors of classes on a light and on a dark page: with a contrast of at least 3 on the ground. The first ten differ
# much for all kinds of color vision; each further one is that which differs most from all before it.
PALETTE = json.loads((Path(__file__).parent.parent / "explore/front/palette.json").read_text(encoding="utf-8"))
DIGIT_COLORS = tuple(PALETTE["light"][:10])
BLUE, RED, GREEN = DIGIT_COLORS[1:4]
HIDDEN_COLOR = "#d0d0d0"
MASSES = (0.5, 0.9, 0.99)  # shares of the prior inside its contours

STYLE = {
    "figure.dpi": 110,
    "savefig.dpi": 130,
    "savefig.bbox": "tight",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#999999",
    "xtick.color": "#666666",
    "ytick.color": "#666666",
    "legend.frameon": False,
}


def use_style() -> None:
    """Give figures the look of the project's."""
    plt.rcParams.update(STYLE)


def show(figure: Figure, alt: str) -> None:
    """Display a figure in a notebook with ``alt``, a sentence that says what is seen, for those who cannot see it."""
    from IPython.display import display

    display(figure, metadata={"image/png": {"alt": alt}})
    plt.close(figure)  # or it would be displayed again at the end of the cell


def picture_of(figure: Figure) -> Image.Image:
    """A figure in 256 of its colors, rare ones among them: as PNG a third of the size, and it looks the same."""
    content = BytesIO()
    figure.savefig(content)
    return Image.open(content).convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE, kmeans=1)


def class_colors(labels: Tensor, hidden: str = HIDDEN_COLOR) -> np.ndarray:
    """The colors of labels ``[n]``, of which -1 is hidden. From class 64 on they repeat."""
    labels = np.asarray(labels)
    return np.where(labels < 0, hidden, np.array(PALETTE["light"])[labels % len(PALETTE["light"])])


def plane_grid(limit: float, count: int) -> tuple[Tensor, Tensor]:
    """Places along a side ``[count]`` of the square ``[-limit, limit]^2``, and points on it, ``[count^2, 2]``.

    Of a picture of them rows are the second coordinate.
    """
    side = torch.linspace(-limit, limit, count)
    return side, torch.cartesian_prod(side, side).flip(1)


def prior_contours(prior: Prior | None, limit: float) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """What contours of a 2-D prior are made of: places along a side ``[n]`` of the square ``[-limit, limit]``, the
    log-density ``[n, n]`` on it, and that on the contours that hold 99, 90 and 50 % of the prior, ascending ``[3]``.

    None if the prior has no density, or one without slopes.
    """
    if not hasattr(prior, "log_prob"):
        return None
    levels = np.quantile(prior.log_prob(prior_samples(prior)).numpy(), [1 - mass for mass in reversed(MASSES)])
    if not np.isfinite(levels).all() or (np.diff(levels) <= 1e-6).any():
        return None
    side, grid = plane_grid(limit, 400)  # a coarser one makes ragged petals of the mixture, which are 0.05 wide
    log_density = prior.log_prob(grid).reshape(400, 400).clamp_min(levels[0] - 10)  # contours need finite values
    return side.numpy(), log_density.numpy(), levels


def draw_prior(axes: Axes, prior: Prior, limit: float) -> None:
    """Contours of a 2-D prior on the square ``[-limit, limit]``; samples as gray dots where it has no density."""
    if contours := prior_contours(prior, limit):
        side, log_density, levels = contours
        axes.contour(side, side, log_density, levels, colors="#777777", linewidths=0.7, linestyles="solid")
    else:
        axes.scatter(*prior_samples(prior, 2000).T, s=2, c="#d0d0d0", linewidths=0)


def draw_codes(axes: Axes, codes: Tensor, labels: Tensor, class_names: Sequence[str] = ()) -> None:
    """Scatter 2-D codes ``[n, 2]``, colored by label ``[n]``, with each class's name, by default its number, written
    where its codes are dense. Codes with a hidden label (-1) are light gray.
    """
    size = 2 if len(codes) > 5000 else 5
    codes = codes.detach().float()
    axes.scatter(*codes.T, s=size, c=class_colors(labels), alpha=0.8, linewidths=0, rasterized=True)
    write_classes(axes, codes, labels, class_names)


def write_classes(axes: Axes, codes: Tensor, labels: Tensor, class_names: Sequence[str] = ()) -> None:
    """The name of each class where its codes ``[n, 2]`` are dense."""
    halo, size = [withStroke(linewidth=2.5, foreground="white")], 8 if class_names else 10
    places, widths, gap = codes[:0], torch.empty(0), 0.04 * (codes.max() - codes.min())
    for label in labels[labels >= 0].unique().tolist():
        own, name = codes[labels == label][:2000], class_names[label] if class_names else str(label)
        reach = torch.cdist(own, own).kthvalue(1 + len(own) // 5).values  # of the ball that holds a fifth of them
        apart = own[:, None] - places
        apart[..., 0] /= (widths + len(name)) / 2  # in widths of a digit
        taken = (apart.norm(dim=2) < gap).any(1)
        places = torch.cat([places, own[None, reach.where(~taken, torch.inf).argmin()]])
        widths = torch.cat([widths, torch.tensor([len(name)])])
        axes.text(*places[-1].tolist(), name, size=size, weight="bold", ha="center", va="center", clip_on=True,
                  path_effects=halo)


def draw_plane(
    axes: Axes, codes: Tensor, labels: Tensor, prior: Prior | None, limit: float | None = None,
    class_names: Sequence[str] = (),
) -> None:  # fmt: skip
    """A latent plane: codes ``[n, 2]`` by label ``[n]`` (:func:`draw_codes`) and the prior's contours, in equal scales.

    ``limit`` is half the side of its square; by default all codes are inside.
    """
    if limit is None:
        limit = 1.05 * float(codes.abs().max())
    draw_codes(axes, codes, labels, class_names)
    if prior is not None:
        draw_prior(axes, prior, limit)
    axes.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal", xlabel="$z_1$", ylabel="$z_2$")


def draw_images(axes: Axes, images: Tensor, columns: int, shape: Shape | None = None) -> None:
    """Flat images ``[rows * columns, pixels]`` of any shape as one mosaic, gray or in color."""
    axes.imshow(mosaic(images, columns, shape), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.axis("off")


def percentiles(count: int) -> Tensor:
    """The standard Gaussian's values at ``count`` equal steps of its percentiles, ascending ``[count]``."""
    steps = torch.linspace(0, 1, count + 2, dtype=torch.float64)[1:-1]
    return torch.special.ndtri(steps).float()


@torch.no_grad()
def decoded_styles(model: Model, styles: Tensor) -> Tensor:
    """Images ``[n * classes, pixels]`` of styles ``[n, d]``, each with every label in turn (AAE, Figure 7a).

    The prior of the model is a :class:`~aae_lib.priors.LabelAndStyle`.
    """
    classes = model.prior.classes
    label = model.prior.label.sample_of_class(torch.arange(classes).repeat(len(styles)))
    codes = torch.cat([label, styles.repeat_interleave(classes, dim=0)], dim=1)
    return model.decode(codes.to(device_of(model))).cpu()


def on_circle(codes: Tensor, heads: Tensor) -> Tensor:
    """Codes ``[n, d]`` in the plane, by the affine map that sends the heads evenly around a circle (AAE, Figure 11d).

    Of all such maps it is the one that enlarges codes least. Heads that repel each other balance around their mean and
    nearly span a dimension less than there are heads, which is why the mean is taken off first.

    Args:
        heads: ``[classes, d]``, with d at least ``classes`` - 1, so that such a map exists.

    Returns:
        ``[n, 2]``, in units in which the circle's radius is the mean distance of the heads from their mean.
    """
    angle = 2 * torch.pi * torch.arange(len(heads)) / len(heads)
    mean = heads.mean(0)
    circle = (heads - mean).norm(dim=1).mean() * torch.stack([angle.cos(), angle.sin()], 1)
    return (codes - mean) @ torch.linalg.pinv(heads - mean, rtol=1e-5) @ circle


def draw_map(axes: Axes, codes: Tensor, labels: Tensor, heads: Tensor) -> None:
    """Codes ``[n, 2]`` in the colors of their labels, and the heads of the clusters, ``[clusters, 2]``, as crosses."""
    draw_codes(axes, codes, labels)
    axes.scatter(*heads.T, marker="+", s=170, c="black", linewidths=1, zorder=2.5)  # below the labels, and wider
    lowest, highest = torch.cat([codes.detach().float(), heads]).aminmax(dim=0)
    center, half = (lowest + highest) / 2, 0.52 * (highest - lowest).max()
    limits = torch.stack([center - half, center + half], 1).tolist()  # a square
    axes.set(aspect="equal", xticks=[], yticks=[], xlim=limits[0], ylim=limits[1])


def draw_counts(axes: Axes, table: Tensor) -> None:
    """How many images of each digit lie in each cluster, ``[digits, clusters]``; dark: a large share of the digit.

    The clusters are in the order of the digit that they hold most of, so that pure ones make a staircase.
    """
    order = (table.argmax(0) * (table.max() + 1) - table.max(0).values).argsort(stable=True)
    shares = (table / table.sum(1, keepdim=True))[:, order]
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=0.7, aspect="auto")
    for digit, column in (table[:, order] > 0).nonzero().tolist():
        color = "white" if shares[digit, column] > 0.45 else "black"
        number = int(table[digit, order[column]])
        axes.text(column, digit, number, ha="center", va="center", size=6, color=color)
    axes.set(xlabel="cluster", ylabel="digit", xticks=range(len(order)), yticks=range(len(table)))
    axes.set_xticklabels(order.tolist(), size=7)


def epochs_of(history: Iterable[dict[str, float]], batch_size: int = 100) -> list[float]:
    """For each entry of a run's history the passes over 60,000 images, by its step and the recipe's batch size."""
    return [entry["step"] * batch_size / (100 * UPDATES_PER_EPOCH) for entry in history]


def draw_history(axes: Axes, history: Sequence[dict[str, float]], updates: Iterable[str]) -> None:
    """Loss curves of the named updates against the epoch, from the ``history`` in the header of weights or evidence."""
    for update in updates:
        axes.plot(epochs_of(history), [entry[update] for entry in history], label=update)
    axes.set(xlabel="epoch")
    axes.legend()


@torch.no_grad()
def judgment(discriminator: nn.Module, points: Tensor) -> Tensor:
    """D, the discriminator's probability of *real*, at points on a square grid ``[n^2, d]``: ``[n, n]``."""
    count = math.isqrt(len(points))
    return discriminator(points.to(device_of(discriminator))).float().sigmoid().reshape(count, count).cpu()


def draw_discriminator(axes: Axes, discriminator: nn.Module, limit: float) -> None:
    """D(z), the discriminator's probability of *real*, on ``[-limit, limit]^2``: blue is 1, red 0, white 1/2."""
    probability = judgment(discriminator, plane_grid(limit, 120)[1])
    extent = (-limit, limit, -limit, limit)
    axes.imshow(probability, extent=extent, origin="lower", cmap="RdBu", vmin=0, vmax=1, alpha=0.6, rasterized=True)
    axes.set(xlim=extent[:2], ylim=extent[2:], aspect="equal", xlabel="$z_1$", ylabel="$z_2$")
