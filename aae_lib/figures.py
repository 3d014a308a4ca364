"""The registry of figures: each is drawn from shipped weights and evidence, and returns the integers behind it.

    figure, integers = FIGURES["figure-2a"].draw()

The integers are what a picture shows, counted, so that a test can tell whether the picture has changed. They come
from weights and evidence alone; three figures show digits beside, those that are at hand.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from aae_lib.comparisons import read_record, recorded_metrics
from aae_lib.data import CLASSES, Images, load_mnist
from aae_lib.drawing import (
    DIGIT_COLORS,
    decoded_clusters,
    decoded_component,
    decoded_manifold,
    decoded_styles,
    decoded_walk,
    draw_codes,
    draw_images,
    draw_map,
    draw_plane,
    on_circle,
    use_style,
)
from aae_lib.experiments import (
    JUDGE,
    UNMOVED,
    VAE_CURVE,
    Evidence,
    build,
    decoded_samples,
    find,
    load_evidence,
    load_trained,
    look_up,
    predict,
    shipped_seeds,
    test_set,
)
from aae_lib.metrics import covered, prior_samples
from aae_lib.networks import IMAGE_SIZE, PIXELS
from aae_lib.priors import ClassConditionalPrior, Gaussian, GaussianMixture, seeded
from aae_lib.results import METRICS, band, equal_reconstruction, summary, values_of
from aae_lib.training import UPDATES_PER_EPOCH

POSTERIOR_TITLES = {
    "aae-gaussian": "Deterministic",
    "aae-gaussian-posterior": "Gaussian posterior",
    "aae-universal-posterior": "Universal approximator",
}
STYLE_SIZES = ("supervised-2d", "supervised-8d", "supervised")
# AAE, appendix A.2.1: test error in percent with 100 labels by epoch, all recalled
PAPER_ERRORS = {1: 16.50, 50: 3.40, 500: 2.21, 1000: 1.98, 5000: 1.83}
BLUE, RED = DIGIT_COLORS[0], DIGIT_COLORS[2]
PLANE_LIMIT = 4.0  # of the planes with a standard Gaussian: 9,999 of 10,000 samples lie inside
PARTS_LIMIT = 3.4  # of those with a mixture or a swiss roll, which reaches out to 3


@dataclass(frozen=True)
class PaperFigure:
    """A figure by name.

    Attributes:
        title: what it shows, in one line.
        paper: the figure of the paper that it reproduces, or "ours".
        notebook: where it is discussed.
        draw: makes the figure and the integers behind it.
    """

    title: str
    paper: str
    notebook: str
    draw: Callable[[], tuple[Figure, dict[str, int]]]


def count_inside(codes: Tensor) -> dict[str, int]:
    """How many codes ``[n, 2]`` lie within 1, 2 and 3 standard deviations of the standard Gaussian.

    Of 10,000 samples of the Gaussian itself, 3,935, 8,647 and 9,889 are expected (1 - exp(-r^2 / 2)).
    """
    radii = codes.float().norm(dim=1)
    return {f"codes within {r} standard deviations": int((radii <= r).sum()) for r in (1, 2, 3)}


def count_parts(codes: Tensor, prior: ClassConditionalPrior) -> dict[str, int]:
    """How many codes ``[n, 2]`` lie in each part of the prior."""
    counts = prior.nearest_class(codes.float()).bincount(minlength=prior.classes)
    return {f"codes in component {part}": count for part, count in enumerate(counts.tolist())}


def count_own(evidence: Evidence, prior: ClassConditionalPrior) -> dict[str, int]:
    """How many images of each digit have their code in the prior's part of that digit."""
    own = prior.nearest_class(evidence.codes.float()) == evidence.labels
    of_digit = evidence.labels[own].bincount(minlength=prior.classes).tolist()
    all_of_digit = evidence.labels.bincount(minlength=prior.classes).tolist()
    return {f"images of a {d} in part {d}, of {all_of_digit[d]:,}": count for d, count in enumerate(of_digit)}


def _title(axes: Axes, title: str) -> None:
    axes.set_title(title, loc="left")


def _draw_codes_of(axes: Axes, name: str, title: str, metric: str = "prior_coverage") -> Evidence:
    """Codes of the test images on the prior's contours, with a metric of seed 0 in the title."""
    evidence, prior = load_evidence(name), build(find(name), 0).prior
    limit = PARTS_LIMIT if isinstance(prior, ClassConditionalPrior) else PLANE_LIMIT
    draw_plane(axes, evidence.codes, evidence.labels, prior, limit)
    _title(axes, f"{title}\n{METRICS[metric]} {values_of(name, metric)[0]:.3f}, "
           f"reconstruction error {values_of(name, 'reconstruction_error')[0]:.2f}")
    return evidence


def figure_2a() -> tuple[Figure, dict[str, int]]:
    """Codes of the test images under the AAE with a 2-D Gaussian prior, and the prior's 50, 90 and 99 % contours."""
    use_style()
    figure, axes = plt.subplots(figsize=(4.6, 4.8))
    evidence = _draw_codes_of(axes, "aae-gaussian", "Adversarial autoencoder: codes of held-out digits")
    return figure, count_inside(evidence.codes)


def figure_2b() -> tuple[Figure, dict[str, int]]:
    """Codes of the test images under the AAE with the mixture of ten Gaussians; no label is used."""
    use_style()
    figure, axes = plt.subplots(figsize=(4.6, 4.8))
    title = "Adversarial autoencoder, mixture of ten Gaussians"
    evidence = _draw_codes_of(axes, "aae-mixture", title, "inside_prior")
    return figure, count_parts(evidence.codes, GaussianMixture())


def figure_2c() -> tuple[Figure, dict[str, int]]:
    """The same for the variational autoencoder with KL weight 1; codes are samples of q(z|x)."""
    use_style()
    figure, axes = plt.subplots(figsize=(4.6, 4.8))
    evidence = _draw_codes_of(axes, "vae-gaussian", "Variational autoencoder: codes of held-out digits")
    return figure, count_inside(evidence.codes)


def figure_2d() -> tuple[Figure, dict[str, int]]:
    """The mixture under the variational autoencoder, whose KL term is estimated at one code per image.

    The weight of that term is 1/4, the largest of the curve with which the codes say anything about the image.
    """
    use_style()
    figure, axes = plt.subplots(figsize=(4.6, 4.8))
    title = "Variational autoencoder (KL weight 1/4), mixture of ten Gaussians"
    evidence = _draw_codes_of(axes, "vae-mixture-0.25", title, "inside_prior")
    return figure, count_parts(evidence.codes, GaussianMixture())


def _draw_manifold(axes: Axes) -> dict[str, int]:
    images = decoded_manifold(load_trained("aae-gaussian").model)
    draw_images(axes, images, columns=20)
    _title(axes, "Images decoded at equal steps of the\nGaussian's percentiles along each dimension")
    ink = (images > 0.5).float().mean()
    return {"decoded images": len(images), "percent of pixels above one half": round(100 * float(ink))}


def figure_2e() -> tuple[Figure, dict[str, int]]:
    """Images decoded on a 20 x 20 grid of the Gaussian's percentiles."""
    use_style()
    figure, axes = plt.subplots(figsize=(4.6, 4.8))
    return figure, _draw_manifold(axes)


def figure_2() -> tuple[Figure, dict[str, int]]:
    """The whole figure: codes under the AAE (a, b) and the VAE (c, d), and images decoded from the plane of a (e)."""
    use_style()
    figure = plt.figure(figsize=(14.6, 8.6), layout="constrained")
    figure.get_layout_engine().set(wspace=0.1)  # titles are wider than their axes
    a, b, c, d, e = (axes for _, axes in sorted(figure.subplot_mosaic("abee;cdee").items()))
    integers: dict[str, int] = {}
    for axes, name, title in (
        (a, "aae-gaussian", "a  AAE, 2-D Gaussian"),
        (c, "vae-gaussian", "c  VAE, 2-D Gaussian"),
    ):
        evidence = _draw_codes_of(axes, name, title)
        integers |= {f"{title[3:]}: {label}": count for label, count in count_inside(evidence.codes).items()}
    for axes, name, title in (
        (b, "aae-mixture", "b  AAE, mixture"),
        (d, "vae-mixture-0.25", "d  VAE (KL weight 1/4), mixture"),
    ):
        evidence = _draw_codes_of(axes, name, title, "inside_prior")
        counts = count_parts(evidence.codes, GaussianMixture()).values()
        integers |= {f"{title[3:]}: codes in the {word} component": count
                     for word, count in (("fullest", max(counts)), ("emptiest", min(counts)))}
    integers |= _draw_manifold(e)
    e.set_title("e  Decoded from the plane of a, at equal steps of the Gaussian's percentiles", loc="left")
    return figure, integers


def figure_4() -> tuple[Figure, dict[str, int]]:
    """Labels in the discriminator: each digit on its component (a, b), or on its tenth of the swiss roll (c, d)."""
    use_style()
    figure = plt.figure(figsize=(13.4, 9.4), layout="constrained")
    a, b, c, d = (axes for _, axes in sorted(figure.subplot_mosaic("ab;cd", width_ratios=(1, 1.5)).items()))
    mixture, roll = load_trained("aae-mixture-labels").model, load_trained("aae-swissroll-labels").model
    integers = {}
    for axes, name, title, model in (
        (a, "aae-mixture-labels", "a  Codes of held-out digits: ten Gaussians", mixture),
        (c, "aae-swissroll-labels", "c  Codes of held-out digits: swiss roll", roll),
    ):
        evidence = _draw_codes_of(axes, name, title, "own_class")
        integers |= {f"{title[0]}: {label}": count for label, count in count_own(evidence, model.prior).items()}
    white = torch.ones(20, PIXELS)  # a row between two components
    blocks = [decoded_component(mixture, component, rows=4, columns=20) for component in range(3)]
    draw_images(b, torch.cat([blocks[0], white, blocks[1], white, blocks[2]]), columns=20)
    _title(b, "b  Decoded from components 0, 1 and 2: along each,\noutward (left to right), and across it (downward)")
    draw_images(d, decoded_walk(roll, 200), columns=20)
    _title(d, "d  Decoded along the roll, from its center outward,\nrow by row: each is a tenth of it, one digit")
    return figure, integers


def posteriors() -> tuple[Figure, dict[str, int]]:
    """Three choices of q(z|x): all codes, and 200 codes of each of ten images, which show how wide q(z|x) is."""
    use_style()
    figure, panels = plt.subplots(1, 3, figsize=(13.4, 4.9), layout="constrained")
    integers = {}
    for axes, (name, title) in zip(panels, POSTERIOR_TITLES.items(), strict=True):
        evidence = _draw_codes_of(axes, name, title)
        axes.collections[0].set_alpha(0.15)
        for image, repeated in enumerate(evidence.repeated.float()):
            color = DIGIT_COLORS[int(evidence.labels[image])]
            axes.scatter(*repeated.T, s=9, c=color, edgecolors="black", linewidths=0.2, zorder=4)
        spread = evidence.repeated.float().std(1).mean()
        integers[f"{title}: mean deviation of q(z|x) in thousandths"] = round(1000 * float(spread))
    return figure, integers


def figure_7() -> tuple[Figure, dict[str, int]]:
    """Style and content: each row is the style of a held-out digit, each column a label; styles of 15 and of 2 numbers.

    Whether an image shows the label that it was asked for is judged by the classifier of semi-100.
    """
    use_style()
    figure, panels = plt.subplots(1, 2, figsize=(10.4, 5.7), layout="constrained")
    integers = {}
    judge = load_trained("semi-100").model
    for axes, name, title in (
        (panels[0], "supervised", "a  15-D styles of ten held-out digits, 0 to 9;\non the diagonal their images again"),
        (panels[1], "supervised-2d", "b  2-D styles of the same digits"),
    ):
        model, evidence = load_trained(name).model, load_evidence(name)
        _, styles = model.prior.split(evidence.codes.float())
        first = torch.stack([(evidence.labels == digit).nonzero()[0, 0] for digit in range(CLASSES)])
        draw_images(axes, decoded_styles(model, styles[first]), columns=CLASSES)
        _title(axes, title)
        asked = torch.arange(CLASSES).repeat(100)
        shown = predict(judge, Images(decoded_styles(model, styles[:100]), asked))
        integers[f"{name}: of 1,000 images of 100 styles show their label"] = int((shown == asked).sum())
    return figure, integers


def style_sizes() -> tuple[Figure, dict[str, int]]:
    """What the length of the style costs and gives: label told from it, and reconstruction; all seeds."""
    use_style()
    figure, (left, right) = plt.subplots(1, 2, figsize=(8.6, 3.6), layout="constrained")
    names = {build(find(name), 0).prior.style.dimensions: name for name in STYLE_SIZES}
    integers = {}
    for axes, metric in ((left, "label_from_style_percent"), (right, "reconstruction_error")):
        means = {size: values_of(name, metric).mean() for size, name in sorted(names.items())}
        axes.plot(means.keys(), means.values(), color=BLUE)
        for size, name in names.items():
            values = values_of(name, metric)
            axes.scatter([size] * len(values), values, s=16, color=BLUE, zorder=3)
        axes.set(xlabel="dimensions of the style", ylabel=METRICS[metric], xticks=sorted(names), ylim=(0, None))
    most_frequent = 100 * float((test_set()["labels"] == 1).double().mean())
    left.axhline(most_frequent, color="#666666", lw=0.8, ls=":")
    left.text(15, most_frequent, 'always saying "1"', ha="right", va="bottom", color="#666666")
    _title(left, "How much of the label leaks into the style")
    _title(right, "What the style is good for")
    for size, name in sorted(names.items()):
        right_ones = (load_evidence(name).from_style == load_evidence(name).labels).sum()
        integers[f"{size}-D style: test digits told from it, of 10,000"] = int(right_ones)
    return figure, integers


def semi_supervised() -> tuple[Figure, dict[str, int]]:
    """Error on the test set along training, every seed, with the paper's points for 100 labels.

    Dotted are the runs on images that stay where they are, as the paper's do; gray lines are two other models on images
    that move.
    """
    use_style()
    figure, axes = plt.subplots(figsize=(9.4, 4.4), layout="constrained")
    integers = {}
    colors = {"semi-100": BLUE, "semi-1000": DIGIT_COLORS[1], "semi-all": RED}
    for (model, color), ending in itertools.product(colors.items(), ("", UNMOVED)):
        name = model + ending
        seeds = shipped_seeds(name)
        for seed in seeds:
            history = load_evidence(name, seed).header["history"]
            epochs = [entry["step"] / UPDATES_PER_EPOCH for entry in history]
            label = f"{find(name).title}, {len(seeds)} seed{'s' * (len(seeds) != 1)}" if seed == seeds[0] else None
            axes.plot(epochs, [entry["error_percent"] for entry in history], color=color, lw=0.9, label=label,
                      ls=":" if ending else "-")
            wrong = load_evidence(name, seed).predictions != load_evidence(name, seed).labels
            integers[f"{name}, seed {seed}: test digits that are wrong, of 10,000"] = int(wrong.sum())
    axes.scatter(PAPER_ERRORS.keys(), PAPER_ERRORS.values(), marker="x", s=30, c="black", zorder=4,
                 label="the paper†, 100 labels")
    for name, style in {"labels-100": "--", "m2-100": "-."}.items():
        error = values_of(name, "test_error_percent").mean()
        axes.axhline(error, color="#777777", lw=0.9, ls=style, label=find(name).title)
    axes.set(xscale="log", yscale="log", xlabel="epoch", ylabel="test error, %", ylim=(0.5, 40))
    axes.set_yticks([0.5, 1, 2, 5, 10, 20, 40], ["0.5", "1", "2", "5", "10", "20", "40"])
    axes.set_xticks([1, 10, 100, 1000], ["1", "10", "100", "1,000"])
    axes.minorticks_off()
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    _title(axes, "Test error along training († recalled, not checked against the paper)")
    return figure, integers


@torch.no_grad()
def figure_9() -> tuple[Figure, dict[str, int]]:
    """Sixteen clusters: in each row the cluster's head, then test images of the cluster, as their codes draw them.

    The rows are in the order of the digits after which the clusters are named.
    """
    use_style()
    figure, axes = plt.subplots(figsize=(7.2, 7.0), layout="constrained")
    model, evidence = load_trained("cluster-16").model, load_evidence("cluster-16")
    columns, clusters, names = 16, evidence.clusters.long(), evidence.names[0].long()
    rows = decoded_clusters(model, evidence.codes.float(), clusters, columns).unflatten(0, (-1, columns))
    order = names.argsort(stable=True)
    draw_images(axes, rows[order].flatten(0, 1), columns)
    axes.axvline(IMAGE_SIZE - 0.5, color=RED, lw=1.5)
    integers = {}
    for row, cluster in enumerate(order.tolist()):
        digit, size = int(names[cluster]), int((clusters == cluster).sum())
        right = int((evidence.labels[clusters == cluster] == digit).sum())
        text = f"{digit}: {right} of {size}" if digit >= 0 else f"no name, {size}"
        axes.text(columns * IMAGE_SIZE + 4, (row + 0.5) * IMAGE_SIZE, text, va="center", size=8)
        integers[f"cluster {cluster}, named {digit}: test images of that digit, of {size:,}"] = right
    _title(axes, "Sixteen clusters without a label: the head of each (z = 0), then test images\nof the cluster, as "
           "their codes draw them; right: how many are the digit it is named after")
    return figure, integers


MAP_PANELS = {
    "reduce-2d-1000": "a  2-D, 1,000 labels",
    "reduce-2d-100": "b  2-D, 100 labels",
    "reduce-2d-unsupervised": "c  2-D, 20 clusters, no labels",
    "reduce-10d-100": "d  10-D, 100 labels, heads laid on a circle",
}


def figure_11() -> tuple[Figure, dict[str, int]]:
    """Four maps of the test images, with their test errors; crosses are the heads of the clusters."""
    use_style()
    figure, panels = plt.subplots(2, 2, figsize=(9.6, 9.8), layout="constrained")
    integers = {}
    for axes, (name, title) in zip(panels.flat, MAP_PANELS.items(), strict=True):
        evidence = load_evidence(name)
        codes, heads = evidence.codes.float(), evidence.heads
        if codes.shape[1] > 2:
            codes, heads = on_circle(codes, heads), on_circle(heads, heads)
        draw_map(axes, codes, evidence.labels, heads)
        paper = find(name).paper["test_error_percent"]
        _title(axes, f"{title}\ntest error {values_of(name, 'test_error_percent')[0]:.2f} %, the paper {paper} %")
        digits = evidence.predictions if len(evidence.predictions) else evidence.digits_of_clusters
        integers[f"{title[3:]}: test digits that are wrong, of 10,000"] = int((digits != evidence.labels).sum())
    figure.supxlabel("† recalled, not checked against the paper", size=8)
    return figure, integers


def maps() -> tuple[Figure, dict[str, int]]:
    """The test images in the plane by PCA, t-SNE and UMAP (recorded) and by the AAE with a hundred labels and none."""
    use_style()
    ours = {name: load_evidence(name).codes for name in ("reduce-2d-unsupervised", "reduce-2d-100")}
    theirs = {name: comparison.codes for name, comparison in read_record().items() if len(comparison.codes)}
    measured = {name: {metric: values_of(name, metric)[0] for metric in ("neighbor_accuracy", "trustworthiness")}
                for name in ours} | recorded_metrics()  # fmt: skip
    columns = len(ours) + len(theirs)
    figure, panels = plt.subplots(1, columns, figsize=(3.3 * columns, 3.9), layout="constrained")
    integers = {}
    for axes, (name, codes) in zip(panels, (theirs | ours).items(), strict=True):
        draw_codes(axes, codes, test_set()["labels"])
        axes.set(xticks=[], yticks=[])
        title = find(name).title if name in ours else f"{name} (recorded)"
        accuracy = measured[name]["neighbor_accuracy"]
        _title(axes, f"{title}\nneighbor accuracy {accuracy:.3f},\n"
               f"trustworthiness {measured[name]['trustworthiness']:.3f}")
        integers[f"{title}: test images whose neighbors are of their digit, of 10,000"] = round(10_000 * accuracy)
    return figure, integers


@torch.no_grad()
def figure_5() -> tuple[Figure, dict[str, int]]:
    """Samples of the AAE with an 8-D Gaussian; the last column is the training image nearest to the one beside it.

    The project carries no images of MNIST: without it at hand, the nearest of the sample digits stand there.
    """
    use_style()
    figure, axes = plt.subplots(figsize=(5.6, 5.6))
    rows, columns = 10, 10
    samples = decoded_samples(load_trained("likelihood").model, rows * columns).unflatten(0, (rows, columns))
    training = load_mnist().train.hold_out()[0].images
    nearest = training[torch.cdist(samples[:, -1], training).argmin(1)]
    draw_images(axes, torch.cat([samples, nearest[:, None]], dim=1).flatten(0, 1), columns + 1)
    axes.axvline(columns * IMAGE_SIZE - 0.5, color=RED, lw=1.5)
    log_likelihoods = load_evidence("likelihood").log_likelihoods
    mean = float(log_likelihoods.double().mean())
    _title(axes, f"Samples of the AAE with an 8-D Gaussian, and right the nearest of\n{len(training):,} training "
           f"images to the tenth; Parzen log-likelihood {mean:.0f} nats")
    return figure, {"samples": rows * columns, "mean log-likelihood of the test images, nats": round(mean),
                    "test images that are likelier than that mean, of 10,000": int((log_likelihoods > mean).sum())}


GENERATOR_PANELS = (
    "age", "age-no-reconstruction", "age-generator-reconstruction", "dcgan", "ali", "vae-conv", "aae-conv"
)  # fmt: skip
RECONSTRUCTING = ("age", "ali", "vae-conv", "aae-conv")


def generators() -> tuple[Figure, dict[str, int]]:
    """Samples of each generator, all by the same convolutional networks, and digits of the test set."""
    use_style()
    figure, panels = plt.subplots(2, 4, figsize=(13.4, 7.4), layout="constrained")
    side, integers = 8, {}
    with torch.no_grad():
        for axes, name in zip(panels.flat, GENERATOR_PANELS, strict=False):
            draw_images(axes, decoded_samples(load_trained(name).model, side * side), side)
            _title(axes, f"{find(name).title}\nFID {summary(values_of(name, 'fid'), 1)}")
            counts = load_evidence(name).sample_digits.long().bincount(minlength=CLASSES)
            integers[f"{name}: samples of the rarest digit, of 10,000"] = int(counts.min())
            integers[f"{name}: hundredths of FID"] = round(100 * float(load_evidence(name).fid))
    real = panels.flat[-1]
    draw_images(real, load_mnist().test.images[: side * side], side)
    _title(real, f"Held-out digits\nFID {summary(values_of(JUDGE, 'fid'), 1)} of training digits")
    return figure, integers


def reconstructions() -> tuple[Figure, dict[str, int]]:
    """The same held-out digits by the models that have an encoder; without MNIST, those of the sample digits."""
    use_style()
    count = 16
    figure, axes = plt.subplots(figsize=(9.6, 3.5), layout="constrained")
    rows, integers = [load_mnist().test.images[:count]], {}
    with torch.no_grad(), seeded(0):
        for name in RECONSTRUCTING:
            model = load_trained(name).model
            rows.append(model.decode(model.encode(rows[0])))
            error = float(load_evidence(name).squared_errors.double().mean())
            integers[f"{name}: hundredths of the reconstruction error"] = round(100 * error)
    draw_images(axes, torch.cat(rows), count)
    for row, label in enumerate(("held-out digits", *(find(name).title for name in RECONSTRUCTING))):
        axes.text(-4, (row + 0.5) * IMAGE_SIZE, label, ha="right", va="center")
    return figure, integers


def fid_curves() -> tuple[Figure, dict[str, int]]:
    """FID along training, every seed."""
    use_style()
    figure, axes = plt.subplots(figsize=(6.4, 4.4))
    integers = {}
    for name, color in zip(GENERATOR_PANELS, DIGIT_COLORS, strict=False):
        for seed in shipped_seeds(name):
            header = load_evidence(name, seed).header
            values = [entry["fid"] for entry in header["history"]]
            epochs = [entry["step"] * find(name).recipe.batch_size / 60_000 for entry in header["history"]]
            axes.plot(epochs, values, color=color, lw=0.9, label=find(name).title if seed == 0 else None)
            rise = round(100 * values[-1] / min(values))
            integers[f"{name}, seed {seed}: FID at the end in percent of its minimum"] = rise
    floor = values_of(JUDGE, "fid").mean()
    axes.axhline(floor, color="#999999", lw=0.8, ls=":")
    axes.text(1, floor, "training digits ", transform=axes.get_yaxis_transform(), ha="right", va="bottom",
              color="#666666", size=8)
    axes.set(yscale="log", xlabel="passes over 60,000 images", ylabel="FID on digit features")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 0.07), ncols=2)
    _title(axes, "Distance between samples and held-out digits along training")
    return figure, integers


def coverage_curve() -> tuple[Figure, dict[str, int]]:
    """Coverage of the prior against reconstruction error: the VAE at five KL weights, the AAE as a point, all seeds."""
    use_style()
    figure, axes = plt.subplots(figsize=(5.6, 4.2))
    low, high = band(Gaussian(2))["prior_coverage"]
    axes.axhspan(low, high, color="#dddddd", lw=0)
    axes.text(0.99, low, "the prior against itself ", transform=axes.get_yaxis_transform(), ha="right", va="top")

    curve = {}
    for name, weight in VAE_CURVE.items():
        errors, coverages = values_of(name, "reconstruction_error"), values_of(name, "prior_coverage")
        axes.scatter(errors, coverages, s=14, c=BLUE, alpha=0.6, linewidths=0)
        axes.annotate(f"{weight:g}", (errors.mean(), coverages.mean()), (6, -10), textcoords="offset points",
                      color=BLUE)
        curve[weight] = (errors.mean(), coverages.mean())
    axes.plot(*zip(*curve.values(), strict=True), color=BLUE, label="VAE, by weight of its KL term")
    axes.scatter(values_of("aae-gaussian", "reconstruction_error"), values_of("aae-gaussian", "prior_coverage"),
                 s=40, c=RED, marker="D", label="AAE")
    axes.axvline(values_of("autoencoder", "reconstruction_error").mean(), color="#999999", lw=0.8, ls=":")
    axes.text(values_of("autoencoder", "reconstruction_error").mean(), axes.get_ylim()[0], " plain autoencoder",
              rotation=90, va="bottom", ha="right", color="#666666", size=8)
    axes.set(xlabel="reconstruction error of test images (better to the left)",
             ylabel="prior coverage (better upward)")
    axes.legend(loc="lower right")
    ours = values_of("aae-gaussian", "prior_coverage").mean()
    theirs = equal_reconstruction("prior_coverage", "aae-gaussian", VAE_CURVE)
    _title(axes, f"At the AAE's reconstruction error: coverage {ours:.3f} (AAE), {theirs:.3f} (VAE)")
    integers = {
        f"VAE, KL weight {Fraction(weight)}: coverage in percent": round(100 * c) for weight, (_, c) in curve.items()
    }
    integers["AAE: coverage in percent"] = round(100 * values_of("aae-gaussian", "prior_coverage").mean())
    return figure, integers


@torch.no_grad()
def autoencoder_sampling() -> tuple[Figure, dict[str, int]]:
    """Why one cannot sample a plain autoencoder: its codes, the Gaussian fitted to them, and its samples decoded."""
    use_style()
    trained, evidence = load_trained("autoencoder"), load_evidence("autoencoder")
    codes = evidence.codes.float()
    samples = fitted_gaussian_samples(codes)
    near = covered(codes, samples)

    figure, (left, right) = plt.subplots(1, 2, figsize=(9.6, 4.7), layout="constrained")
    left.scatter(*samples.T, s=2, c=np.where(near, "#dddddd", "#444444"), linewidths=0)
    draw_codes(left, codes, evidence.labels)
    low, high = codes.quantile(0.005, dim=0), codes.quantile(0.995, dim=0)
    left.set(xlabel="$z_1$", ylabel="$z_2$", xlim=(low[0], high[0]), ylim=(low[1], high[1]))
    percent = round(100 * float((~near).float().mean()))
    _title(left, f"Codes of held-out digits on samples of the Gaussian\nfitted to them; {percent} % of those (black) "
           "have no code near")
    draw_images(right, trained.model.decode(torch.cat([samples[near][:50], samples[~near][:50]])), columns=10)
    _title(right, "Decoded: 50 samples with a code nearby,\nthen 50 without")
    return figure, {"samples of the fitted Gaussian": len(samples), "percent of them without a code nearby": percent}


def fitted_gaussian_samples(codes: Tensor) -> Tensor:
    """As many samples of the Gaussian with the mean and covariance of ``codes [n, d]``, always the same ``[n, d]``."""
    noise = prior_samples(Gaussian(codes.shape[1]), len(codes))
    return codes.mean(0) + noise @ torch.linalg.cholesky(codes.T.cov()).T


FIGURES: dict[str, PaperFigure] = {
    "figure-2": PaperFigure("AAE against VAE: a Gaussian and a mixture of ten", "AAE Fig. 2", "03_aae_versus_vae",
                            figure_2),
    "figure-2a": PaperFigure("AAE codes of held-out digits", "AAE Fig. 2a", "02_adversarial_autoencoder", figure_2a),
    "figure-2b": PaperFigure("AAE codes of held-out digits, mixture", "AAE Fig. 2b", "03_aae_versus_vae", figure_2b),
    "figure-2c": PaperFigure("VAE codes of held-out digits", "AAE Fig. 2c", "03_aae_versus_vae", figure_2c),
    "figure-2d": PaperFigure("VAE codes of held-out digits, mixture", "AAE Fig. 2d", "03_aae_versus_vae", figure_2d),
    "figure-2e": PaperFigure("images decoded from the latent plane", "AAE Fig. 2e", "02_adversarial_autoencoder",
                             figure_2e),
    "figure-4": PaperFigure("labels in the discriminator: mixture and swiss roll", "AAE Fig. 4",
                            "04_choosing_the_prior", figure_4),
    "figure-7": PaperFigure("a style a row, a label a column", "AAE Fig. 7a", "05_style_and_content", figure_7),
    "style-sizes": PaperFigure("label and detail in styles of 2, 8 and 15 dimensions", "ours", "05_style_and_content",
                               style_sizes),
    "semi-supervised": PaperFigure("test error along training with few labels", "AAE Table 2", "06_semi_supervised",
                                   semi_supervised),
    "figure-9": PaperFigure("sixteen clusters, found without labels", "AAE Fig. 9", "07_clustering", figure_9),
    "figure-11": PaperFigure("maps of the digits with 1,000, 100 and no labels", "AAE Fig. 11",
                             "08_dimensionality_reduction", figure_11),
    "maps": PaperFigure("maps by other methods and by the AAE", "ours", "08_dimensionality_reduction", maps),
    "figure-5": PaperFigure("samples and the nearest training images", "AAE Fig. 5a", "09_likelihood", figure_5),
    "generators": PaperFigure("samples of AGE, GAN, ALI, VAE and AAE", "AGE (DCGAN figure)", "11_generators_compared",
                              generators),
    "reconstructions": PaperFigure("the same digits by AGE, ALI, VAE and AAE", "AGE Fig. 3", "11_generators_compared",
                                   reconstructions),
    "fid-curves": PaperFigure("distance to held-out digits along training", "ours", "11_generators_compared",
                              fid_curves),
    "posteriors": PaperFigure("three choices of q(z|x)", "AAE section 2", "04_choosing_the_prior", posteriors),
    "coverage-curve": PaperFigure("match of the prior against reconstruction", "ours", "03_aae_versus_vae",
                                  coverage_curve),
    "autoencoder-sampling": PaperFigure("why sampling a plain autoencoder fails", "ours", "01_autoencoders",
                                        autoencoder_sampling),
}  # fmt: skip


def find_figure(name: str) -> PaperFigure:
    """The figure of that name; raises as :func:`~aae_lib.experiments.look_up`."""
    return look_up(name, FIGURES, "figure")
