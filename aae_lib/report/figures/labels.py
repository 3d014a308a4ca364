"""Labels beside the code: style and content, and classifiers with few labels."""

import itertools

import matplotlib.pyplot as plt
import torch

from aae_lib.data import Images
from aae_lib.experiments import find, load_evidence, load_trained, predict, shipped_seeds, test_set
from aae_lib.paper import PAPER_ERRORS
from aae_lib.report.drawing import BLUE, GREEN, RED, decoded_styles, draw_images, epochs_of
from aae_lib.report.figures.registry import Drawing, figure, set_title, shown_evidence
from aae_lib.report.results import METRICS, values_of

STYLE_SIZES = ("supervised-2d", "supervised-8d", "supervised")


@figure("figure-7", paper="AAE Fig. 7a", notebook="05_style_and_content")
def figure_7() -> Drawing:
    """A style a row, a label a column."""
    drawn, panels = plt.subplots(1, 2, figsize=(10.4, 5.7), layout="constrained")
    integers = {}
    judge = load_trained("semi-100-augmented").model
    for axes, name, title in (
        (panels[0], "supervised", "a  15-D styles of ten held-out digits, 0 to 9;\non the diagonal their images again"),
        (panels[1], "supervised-2d", "b  2-D styles of the same digits"),
    ):
        model, evidence = load_trained(name).model, shown_evidence(name)
        _, styles = model.prior.split(evidence.codes.float())
        classes = model.prior.classes
        first = torch.stack([(evidence.labels == digit).nonzero()[0, 0] for digit in range(classes)])
        draw_images(axes, decoded_styles(model, styles[first]), columns=classes)
        set_title(axes, title)
        asked = torch.arange(classes).repeat(100)
        shown = predict(judge, Images(decoded_styles(model, styles[:100]), asked))
        integers[f"{name}: of 1,000 images of 100 styles show their label"] = int((shown == asked).sum())
    return drawn, integers


@figure("style-sizes", paper="ours", notebook="05_style_and_content")
def style_sizes() -> Drawing:
    """Label and detail in styles of 2, 8 and 15 dimensions."""
    drawn, (left, right) = plt.subplots(1, 2, figsize=(8.6, 3.6), layout="constrained")
    names = {find(name).prior.dimensions: name for name in STYLE_SIZES}
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
    set_title(left, "How much of the label leaks into the style")
    set_title(right, "What the style is good for")
    for size, name in sorted(names.items()):
        evidence = shown_evidence(name)
        right_ones = (evidence.from_style == evidence.labels).sum()
        integers[f"{size}-D style: test digits told from it, of 10,000"] = int(right_ones)
    return drawn, integers


@figure("semi-supervised", paper="AAE Table 2", notebook="06_semi_supervised")
def semi_supervised() -> Drawing:
    """Test error along training with few labels.

    Every seed, and the paper's points for 100 labels. Solid lines: with data augmentation; dotted lines: without, as in
    the paper. Gray lines: two other models with data augmentation.
    """
    drawn, axes = plt.subplots(figsize=(9.4, 4.4), layout="constrained")
    integers = {}
    colors = {"semi-100": BLUE, "semi-1000": GREEN, "semi-all": RED}
    for (model, color), (ending, style) in itertools.product(colors.items(), (("-augmented", "-"), ("", ":"))):
        name = model + ending
        seeds = shipped_seeds(name)
        for seed in seeds:
            evidence = load_evidence(name, seed)
            history = evidence.header["history"]
            label = f"{find(name).title}, {len(seeds)} seed{'s' * (len(seeds) != 1)}" if seed == seeds[0] else None
            epochs = epochs_of(history, find(name).recipe.batch_size)
            errors = [entry["test_error_percent"] for entry in history]
            axes.plot(epochs, errors, color=color, lw=0.9, label=label, ls=style)
            wrong = evidence.predictions != evidence.labels
            integers[f"{name}, seed {seed}: test digits that are wrong, of 10,000"] = int(wrong.sum())
    axes.scatter(PAPER_ERRORS.keys(), PAPER_ERRORS.values(), marker="x", s=30, c="black", zorder=4,
                 label="the paper†, 100 labels")
    for name, style in {"labels-100-augmented": "--", "m2-100-augmented": "-."}.items():
        error = values_of(name, "test_error_percent").mean()
        axes.axhline(error, color="#777777", lw=0.9, ls=style, label=find(name).title)
    axes.set(xscale="log", yscale="log", xlabel="epoch", ylabel="test error, %", ylim=(0.5, 40))
    axes.set_yticks([0.5, 1, 2, 5, 10, 20, 40], ["0.5", "1", "2", "5", "10", "20", "40"])
    axes.set_xticks([1, 10, 100, 1000], ["1", "10", "100", "1,000"])
    axes.minorticks_off()
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    set_title(axes, "Test error along training († recalled, not checked against the paper)")
    return drawn, integers
