"""Images that models generate: samples, reconstructions, and their distance to held-out images."""

import matplotlib.pyplot as plt
import torch

from aae_lib import experiments
from aae_lib.data import load_mnist
from aae_lib.experiments import decoded_samples, find, load_evidence, load_trained, shipped_seeds
from aae_lib.report.drawing import DIGIT_COLORS, RED, draw_images, epochs_of
from aae_lib.report.figures.registry import Drawing, figure, set_title, shipped_weights, shown_evidence
from aae_lib.report.results import summary, values_of
from aae_lib.seeding import seeded
from aae_lib.shapes import shape_of

ELEVEN = "11_generators_compared"
RECONSTRUCTING = ("age", "ali", "vae-conv", "aae-conv")


def shipped_generators() -> list[str]:
    """The generators of the comparison with shipped weights, by name."""
    of_chapter = (each for each in experiments.EXPERIMENTS.values() if each.chapter is experiments.GENERATORS)
    return [each.name for each in of_chapter if each.prior and shipped_weights(each.name).exists()]


@figure("figure-5", paper="AAE Fig. 5a", notebook="09_likelihood")
def figure_5() -> Drawing:
    """Samples and the nearest training images.

    The last column is the training image, or where MNIST is not at hand the sample digit, nearest to the sample beside.
    """
    drawn, axes = plt.subplots(figsize=(5.6, 5.6))
    rows, columns = 10, 10
    samples = decoded_samples(load_trained("likelihood").model, rows * columns).unflatten(0, (rows, columns))
    training = load_mnist().train.hold_out()[0].images
    nearest = training[torch.cdist(samples[:, -1], training).argmin(1)]
    draw_images(axes, torch.cat([samples, nearest[:, None]], dim=1).flatten(0, 1), columns + 1)
    _, _, width = shape_of(training.shape[1])
    axes.axvline(columns * width - 0.5, color=RED, lw=1.5)
    log_likelihoods = shown_evidence("likelihood").log_likelihoods
    mean = float(log_likelihoods.double().mean())
    set_title(axes, f"Samples of the AAE with an 8-D Gaussian, and right the nearest of\n{len(training):,} training "
              f"images to the tenth; Parzen log-likelihood {mean:.0f} nats")
    return drawn, {"samples": rows * columns, "mean log-likelihood of the test images, nats": round(mean),
                   "test images that are likelier than that mean, of 10,000": int((log_likelihoods > mean).sum())}


@figure("generators", paper="AGE (DCGAN figure)", notebook=ELEVEN)
def generators() -> Drawing:
    """Samples of AGE, GAN, ALI, VAE and AAE."""
    names, side = shipped_generators(), 8
    columns = (len(names) + 2) // 2
    drawn, panels = plt.subplots(2, columns, figsize=(3.35 * columns, 7.4), layout="constrained")
    integers = {}
    for axes, name in zip(panels.flat, names, strict=False):
        draw_images(axes, decoded_samples(load_trained(name).model, side * side), side)
        set_title(axes, f"{find(name).title}\nFID {summary(values_of(name, 'fid'), 1)}")
        evidence = shown_evidence(name)
        counts = evidence.sample_digits.long().bincount(minlength=len(evidence.labels.unique()))
        integers[f"{name}: samples of the rarest digit, of 10,000"] = int(counts.min())
        integers[f"{name}: hundredths of FID"] = round(100 * float(evidence.fid))
    for axes in panels.flat[len(names) + 1 :]:
        axes.axis("off")
    real = panels.flat[len(names)]
    draw_images(real, load_mnist().test.images[: side * side], side)
    set_title(real, f"Held-out digits\nFID {summary(values_of('digit-classifier', 'fid'), 1)} of training digits")
    return drawn, integers


@figure("reconstructions", paper="AGE Fig. 3", notebook=ELEVEN)
def reconstructions() -> Drawing:
    """The same digits by AGE, ALI, VAE and AAE."""
    count = 16
    drawn, axes = plt.subplots(figsize=(9.6, 3.5), layout="constrained")
    rows, integers = [load_mnist().test.images[:count]], {}
    with seeded(0):
        for name in RECONSTRUCTING:
            model = load_trained(name).model
            rows.append(model.decode(model.encode(rows[0])))
            error = float(shown_evidence(name).squared_errors.double().mean())
            integers[f"{name}: hundredths of the reconstruction error"] = round(100 * error)
    draw_images(axes, torch.cat(rows), count)
    _, height, _ = shape_of(rows[0].shape[1])
    for row, label in enumerate(("held-out digits", *(find(name).title for name in RECONSTRUCTING))):
        axes.text(-4, (row + 0.5) * height, label, ha="right", va="center")
    return drawn, integers


@figure("fid-curves", paper="ours", notebook=ELEVEN)
def fid_curves() -> Drawing:
    """Distance to held-out digits along training."""
    drawn, axes = plt.subplots(figsize=(6.4, 4.4))
    integers = {}
    for name, color in zip(shipped_generators(), DIGIT_COLORS[1:], strict=False):
        for seed in shipped_seeds(name):
            history = load_evidence(name, seed).header["history"]
            values = [entry["fid"] for entry in history]
            epochs = epochs_of(history, find(name).recipe.batch_size)
            axes.plot(epochs, values, color=color, lw=0.9, label=find(name).title if seed == 0 else None)
            rise = round(100 * values[-1] / min(values))
            integers[f"{name}, seed {seed}: FID at the end in percent of its minimum"] = rise
    floor = values_of("digit-classifier", "fid").mean()
    axes.axhline(floor, color="#999999", lw=0.8, ls=":")
    axes.text(1, floor, "training digits ", transform=axes.get_yaxis_transform(), ha="right", va="bottom",
              color="#666666", size=8)
    axes.set(yscale="log", xlabel="passes over 60,000 images", ylabel="FID on digit features")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 0.07), ncols=2)
    set_title(axes, "Distance between samples and held-out digits along training")
    return drawn, integers
