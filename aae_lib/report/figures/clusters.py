"""Clusters without labels, and maps of the digits."""

import matplotlib.pyplot as plt
import torch

from aae_lib.experiments import find, load_trained, test_set
from aae_lib.report.baselines import read_comparisons, recorded_metrics
from aae_lib.report.drawing import RED, draw_codes, draw_images, draw_map, on_circle
from aae_lib.report.figures.registry import Drawing, figure, set_title, shown_evidence, shown_value
from aae_lib.shapes import shape_of

EIGHT = "08_dimensionality_reduction"
MAP_PANELS = {
    "reduce-2d-1000": "a  2-D, 1,000 labels",
    "reduce-2d-100": "b  2-D, 100 labels",
    "reduce-2d-unsupervised": "c  2-D, 20 clusters, no labels",
    "reduce-10d-100-fixed-heads": "d  10-D, 100 labels, heads fixed at 10 I, laid on a circle",
}


@figure("figure-9", paper="AAE Fig. 9", notebook="07_clustering")
def figure_9() -> Drawing:
    """Sixteen clusters, found without labels.

    In each row the cluster's head, then test images of the cluster, as their codes draw them. The rows are in the order
    of the clusters' names.
    """
    drawn, axes = plt.subplots(figsize=(7.2, 7.0), layout="constrained")
    model, evidence = load_trained("cluster-16").model, shown_evidence("cluster-16")
    columns, codes, names = 16, evidence.codes.float(), evidence.names[0].long()
    heads = torch.eye(codes.shape[1])[: len(names)]  # labels with the style 0
    rows, texts, integers = [], [], {}
    for cluster in names.argsort(stable=True).tolist():
        own = evidence.clusters == cluster
        images = model.decode(torch.cat([heads[cluster : cluster + 1], codes[own][: columns - 1]]))
        rows += [images, torch.ones(columns - len(images), images.shape[1])]
        digit, size = int(names[cluster]), int(own.sum())
        right = int((evidence.labels[own] == digit).sum())
        texts.append(f"{digit}: {right} of {size}" if digit >= 0 else f"no name, {size}")
        integers[f"cluster {cluster}, named {digit}: test images of that digit, of {size:,}"] = right
    draw_images(axes, torch.cat(rows), columns)
    _, height, width = shape_of(rows[0].shape[1])
    axes.axvline(width - 0.5, color=RED, lw=1.5)
    for row, text in enumerate(texts):
        axes.text(columns * width + 4, (row + 0.5) * height, text, va="center", size=8)
    set_title(axes, "Sixteen clusters without a label: the head of each (z = 0), then test images\nof the cluster, as "
              "their codes draw them; right: how many are the digit it is named after")
    return drawn, integers


@figure("figure-11", paper="AAE Fig. 11", notebook=EIGHT)
def figure_11() -> Drawing:
    """Maps of the digits with 1,000, 100 and no labels."""
    drawn, panels = plt.subplots(2, 2, figsize=(9.6, 9.8), layout="constrained")
    integers = {}
    for axes, (name, title) in zip(panels.flat, MAP_PANELS.items(), strict=True):
        evidence = shown_evidence(name)
        codes, heads = evidence.codes.float(), evidence.heads
        if codes.shape[1] > 2:
            codes, heads = on_circle(codes, heads), on_circle(heads, heads)
        draw_map(axes, codes, evidence.labels, heads)
        paper = find(name).paper["test_error_percent"]
        error = shown_value(name, "test_error_percent")
        set_title(axes, f"{title}\ntest error {error:.2f} %, the paper {paper} %")
        integers[f"{title[3:]}: test digits that are wrong, of 10,000"] = round(100 * error)
    drawn.supxlabel("† recalled, not checked against the paper", size=8)
    return drawn, integers


@figure("maps", paper="ours", notebook=EIGHT)
def maps() -> Drawing:
    """Maps by other methods and by the AAE."""
    ours = {name: shown_evidence(name).codes for name in ("reduce-2d-unsupervised", "reduce-2d-100")}
    theirs = {name: parts["codes"] for name, parts in read_comparisons().items() if "codes" in parts}
    measured = {name: {metric: shown_value(name, metric) for metric in ("neighbor_accuracy", "trustworthiness")}
                for name in ours} | recorded_metrics()  # fmt: skip
    columns = len(ours) + len(theirs)
    drawn, panels = plt.subplots(1, columns, figsize=(3.3 * columns, 3.9), layout="constrained")
    integers = {}
    for axes, (name, codes) in zip(panels, (theirs | ours).items(), strict=True):
        draw_codes(axes, codes, test_set()["labels"])
        axes.set(xticks=[], yticks=[])
        title = find(name).title if name in ours else f"{name} (recorded)"
        accuracy = measured[name]["neighbor_accuracy"]
        set_title(axes, f"{title}\nneighbor accuracy {accuracy:.3f},\n"
                  f"trustworthiness {measured[name]['trustworthiness']:.3f}")
        integers[f"{title}: test images whose neighbors are of their digit, of 10,000"] = round(10_000 * accuracy)
    return drawn, integers
