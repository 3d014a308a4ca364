"""Priors with a place for each label, and three choices of q(z|x)."""

import matplotlib.pyplot as plt
import torch
from torch import Tensor

from aae_lib.experiments import Evidence, load_trained
from aae_lib.priors import ClassConditionalPrior, GaussianMixture
from aae_lib.report.drawing import DIGIT_COLORS, draw_images, percentiles
from aae_lib.report.figures.registry import Drawing, draw_codes_of, figure, set_title

NOTEBOOK = "04_choosing_the_prior"
POSTERIOR_TITLES = {
    "aae-gaussian": "Deterministic",
    "aae-gaussian-posterior": "Gaussian posterior",
    "aae-universal-posterior": "Universal approximator",
}


def count_own(evidence: Evidence, prior: ClassConditionalPrior) -> dict[str, int]:
    """How many images of each digit have their code in the prior's part of that digit."""
    own = prior.nearest_class(evidence.codes.float()) == evidence.labels
    of_digit = evidence.labels[own].bincount(minlength=prior.classes).tolist()
    all_of_digit = evidence.labels.bincount(minlength=prior.classes).tolist()
    return {f"images of a {d} in part {d}, of {all_of_digit[d]:,}": count for d, count in enumerate(of_digit)}


def component_codes(prior: GaussianMixture, component: int, rows: int, columns: int) -> Tensor:
    """Codes ``[rows * columns, 2]`` at equal percentiles of a component: to the right outward, downward across."""
    across, along = torch.cartesian_prod(percentiles(rows), percentiles(columns)).T
    return prior.place(torch.stack([along, across], 1), torch.full((rows * columns,), component))


@figure("figure-4", paper="AAE Fig. 4", notebook=NOTEBOOK)
def figure_4() -> Drawing:
    """Labels in the discriminator: mixture and swiss roll."""
    drawn = plt.figure(figsize=(13.4, 9.4), layout="constrained")
    a, b, c, d = (axes for _, axes in sorted(drawn.subplot_mosaic("ab;cd", width_ratios=(1, 1.5)).items()))
    mixture, roll = load_trained("aae-mixture-labels").model, load_trained("aae-swissroll-labels").model
    integers = {}
    for axes, name, title, model in (
        (a, "aae-mixture-labels", "a  Codes of held-out digits: ten Gaussians", mixture),
        (c, "aae-swissroll-labels", "c  Codes of held-out digits: swiss roll", roll),
    ):
        evidence = draw_codes_of(axes, name, title, "own_class")
        integers |= {f"{title[0]}: {label}": count for label, count in count_own(evidence, model.prior).items()}
    blocks = [mixture.decode(component_codes(mixture.prior, component, 4, 20)) for component in range(3)]
    white = torch.ones_like(blocks[0][:20])  # a row between two components
    draw_images(b, torch.cat([blocks[0], white, blocks[1], white, blocks[2]]), columns=20)
    set_title(b, "b  Decoded from components 0, 1 and 2: along each,\noutward (left to right), and across it "
              "(downward)")
    draw_images(d, roll.decode(roll.prior.walk((torch.arange(200) + 0.5) / 200)), columns=20)
    set_title(d, "d  Decoded along the roll, from its center outward,\nrow by row: each is a tenth of it, one digit")
    return drawn, integers


@figure("posteriors", paper="AAE section 2", notebook=NOTEBOOK)
def posteriors() -> Drawing:
    """Three choices of q(z|x)."""
    drawn, panels = plt.subplots(1, 3, figsize=(13.4, 4.9), layout="constrained")
    integers = {}
    for axes, (name, title) in zip(panels, POSTERIOR_TITLES.items(), strict=True):
        evidence = draw_codes_of(axes, name, title)
        axes.collections[0].set_alpha(0.15)
        for image, repeated in enumerate(evidence.repeated.float()):
            color = DIGIT_COLORS[int(evidence.labels[image])]
            axes.scatter(*repeated.T, s=9, c=color, edgecolors="black", linewidths=0.2, zorder=4)
        spread = evidence.repeated.float().std(1).mean()
        integers[f"{title}: mean deviation of q(z|x) in thousandths"] = round(1000 * float(spread))
    return drawn, integers
