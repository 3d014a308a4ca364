"""The registry of figures: each is drawn from shipped weights and evidence alone, and returns the integers behind it.

    figure, integers = FIGURES["figure-2a"].draw()

The integers are what a picture shows, counted, so that a test can tell whether the picture has changed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from aae_lib.drawing import DIGIT_COLORS, decoded_manifold, draw_codes, draw_images, draw_plane, use_style
from aae_lib.experiments import VAE_CURVE, load_evidence, load_trained
from aae_lib.metrics import covered, null_band, prior_samples
from aae_lib.priors import Gaussian
from aae_lib.results import equal_reconstruction, values_of

BLUE, RED = DIGIT_COLORS[0], DIGIT_COLORS[2]
PLANE_LIMIT = 4.0  # of the planes with a standard Gaussian: 9,997 of 10,000 samples lie inside


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


def _title(axes: Axes, title: str) -> None:
    axes.set_title(title, loc="left")


def _draw_codes_of(axes: Axes, name: str, title: str) -> dict[str, int]:
    evidence = load_evidence(name)
    draw_plane(axes, evidence.codes, evidence.labels, Gaussian(2), PLANE_LIMIT)
    _title(axes, f"{title}\ncoverage {values_of(name, 'prior_coverage')[0]:.3f}, "
           f"reconstruction error {values_of(name, 'reconstruction_error')[0]:.2f}")
    return count_inside(evidence.codes)


def figure_2a() -> tuple[Figure, dict[str, int]]:
    """Codes of the test images under the AAE with a 2-D Gaussian prior, and the prior's 50, 90 and 99 % contours."""
    use_style()
    figure, axes = plt.subplots(figsize=(4.6, 4.8))
    return figure, _draw_codes_of(axes, "aae-gaussian", "Adversarial autoencoder: codes of held-out digits")


def figure_2c() -> tuple[Figure, dict[str, int]]:
    """The same for the variational autoencoder with KL weight 1; codes are samples of q(z|x)."""
    use_style()
    figure, axes = plt.subplots(figsize=(4.6, 4.8))
    return figure, _draw_codes_of(axes, "vae-gaussian", "Variational autoencoder: codes of held-out digits")


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
    """Panels a, c and e side by side."""
    use_style()
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(13, 4.7), layout="constrained")
    integers = {f"AAE: {k}": v for k, v in _draw_codes_of(left, "aae-gaussian", "a  Adversarial autoencoder").items()}
    integers |= {
        f"VAE: {k}": v for k, v in _draw_codes_of(middle, "vae-gaussian", "c  Variational autoencoder").items()
    }
    integers |= _draw_manifold(right)
    right.set_title("e  Decoded from the AAE's latent plane\n", loc="left")
    return figure, integers


def coverage_curve() -> tuple[Figure, dict[str, int]]:
    """Coverage of the prior against reconstruction error: the VAE at five KL weights, the AAE as a point, all seeds."""
    use_style()
    figure, axes = plt.subplots(figsize=(5.6, 4.2))
    low, high = null_band(Gaussian(2))["prior_coverage"]
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
             ylabel="prior coverage (better upwards)")
    axes.legend(loc="lower right")
    ours, theirs = equal_reconstruction()
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
    _title(right, "Decoded: 50 samples with a code near by,\nthen 50 without")
    return figure, {"samples of the fitted Gaussian": len(samples), "percent of them without a code near by": percent}


def fitted_gaussian_samples(codes: Tensor) -> Tensor:
    """As many samples of the Gaussian with the mean and covariance of ``codes [n, d]``, always the same ``[n, d]``."""
    noise = prior_samples(Gaussian(codes.shape[1]), len(codes))
    return codes.mean(0) + noise @ torch.linalg.cholesky(codes.T.cov()).T


FIGURES: dict[str, PaperFigure] = {
    "figure-2": PaperFigure("AAE against VAE with a 2-D Gaussian prior", "AAE Fig. 2a, c, e",
                            "03_aae_versus_vae", figure_2),
    "figure-2a": PaperFigure("AAE codes of held-out digits", "AAE Fig. 2a", "02_adversarial_autoencoder", figure_2a),
    "figure-2c": PaperFigure("VAE codes of held-out digits", "AAE Fig. 2c", "03_aae_versus_vae", figure_2c),
    "figure-2e": PaperFigure("images decoded from the latent plane", "AAE Fig. 2e", "02_adversarial_autoencoder",
                             figure_2e),
    "coverage-curve": PaperFigure("match of the prior against reconstruction", "ours", "03_aae_versus_vae",
                                  coverage_curve),
    "autoencoder-sampling": PaperFigure("why sampling a plain autoencoder fails", "ours", "01_autoencoders",
                                        autoencoder_sampling),
}  # fmt: skip


def find_figure(name: str) -> PaperFigure:
    """The figure of that name.

    Raises:
        KeyError: listing the names that there are.
    """
    if name not in FIGURES:
        raise KeyError(f"there is no figure '{name}'; there are: {', '.join(FIGURES)}")
    return FIGURES[name]
