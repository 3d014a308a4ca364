"""In color: samples of the generators of CIFAR-10, and the spatial frequencies that they lack."""

import matplotlib.pyplot as plt
import torch

from aae_lib import experiments
from aae_lib.experiments import CIFAR10_CLASSIFIER, decoded_samples, find, shipped_seeds
from aae_lib.experiments.color import DRAWN
from aae_lib.report.drawing import DIGIT_COLORS, draw_images
from aae_lib.report.figures.registry import Drawing, figure, set_title, shown_evidence
from aae_lib.report.results import summary, values_of

THIRTEEN = "13_age_in_color"
SHAPE = (3, 32, 32)


def generators_in_color() -> list[str]:
    """The generators of CIFAR-10 that ship evidence, by name."""
    of_chapter = (each for each in experiments.EXPERIMENTS.values() if each.chapter is experiments.COLOR)
    return [each.name for each in of_chapter if each.prior is not None and shipped_seeds(each.name)]


@figure("color-samples", paper="AGE (DCGAN figure, Fig. 9)", notebook=THIRTEEN)
def color_samples() -> Drawing:
    """Samples of the generators of CIFAR-10."""
    names = generators_in_color()
    # In training mode, since batch-norm has no other statistics yet.
    untrained = decoded_samples(find("age-cifar10").model(0, SHAPE).train(), DRAWN)
    samples = [untrained, *(shown_evidence(name).samples.float() / 255 for name in names)]
    drawn, axes = plt.subplots(figsize=(9.6, 0.5 * len(samples)), layout="constrained")
    draw_images(axes, torch.cat(samples), DRAWN, SHAPE)
    labels, integers = ["before the first step"], {"generators that are trained": len(names)}
    for name in names:
        fid, classes = values_of(name, "cifar10_fid"), shown_evidence(name).sample_classes
        labels.append(f"{_title(name)}, FID {summary(fid, 2)}")
        integers[f"{name}: samples of the rarest class, of 10,000"] = int(classes.long().bincount(minlength=10).min())
        integers[f"{name}: hundredths of FID"] = round(100 * float(fid[0]))
    for row, label in enumerate(labels):
        axes.text(-8, (row + 0.5) * SHAPE[1], label, ha="right", va="center", size=8)
    return drawn, integers


@figure("color-frequencies", paper="ours", notebook=THIRTEEN)
def color_frequencies() -> Drawing:
    """Power of samples at each spatial frequency."""
    drawn, axes = plt.subplots(figsize=(8.4, 3.6), layout="constrained")
    integers = {}
    for index, name in enumerate([CIFAR10_CLASSIFIER.name, *generators_in_color()]):
        of_samples, of_images = shown_evidence(name).spectra.double()
        share, is_floor = (of_samples / of_images)[1:], index == 0
        axes.plot(range(1, len(share) + 1), share, color="#999999" if is_floor else DIGIT_COLORS[(index - 1) % 10],
                  ls=":" if is_floor else "--" if name.startswith("vae") else "-", lw=1.4,
                  label="training images" if is_floor else _title(name))  # fmt: skip
        what = f"{'training images' if is_floor else name}: power of the finest frequencies, % of test images"
        integers[what] = round(float(values_of(name, "fine_detail_percent")[0]))
    axes.set(yscale="log", xlabel="waves across a picture", ylabel="power of samples / power of test images")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    set_title(axes, "Which spatial frequencies samples lack")
    return drawn, integers


def _title(name: str) -> str:
    return find(name).title.replace(", CIFAR-10", "")
