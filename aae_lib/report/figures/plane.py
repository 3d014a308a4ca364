"""Planes of codes: the adversarial autoencoder against the variational and the plain one."""

from fractions import Fraction

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from torch import Tensor

from aae_lib.experiments import VAE_CURVE, find, load_trained
from aae_lib.metrics import covered, prior_samples
from aae_lib.priors import ClassConditionalPrior, Gaussian, GaussianMixture
from aae_lib.report.drawing import BLUE, RED, draw_codes, draw_images, percentiles
from aae_lib.report.figures.registry import Drawing, draw_codes_of, figure, set_title, shown_evidence
from aae_lib.report.results import band, equal_reconstruction, values_of

TWO, THREE = "02_adversarial_autoencoder", "03_aae_versus_vae"
SINGLE = (4.6, 4.8)  # inches


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


@figure("figure-2", paper="AAE Fig. 2", notebook=THREE)
def figure_2() -> Drawing:
    """AAE against VAE: a Gaussian and a mixture of ten."""
    drawn = plt.figure(figsize=(14.6, 8.6), layout="constrained")
    drawn.get_layout_engine().set(wspace=0.1)  # titles are wider than their axes
    panels = drawn.subplot_mosaic("abee;cdee")
    integers: dict[str, int] = {}
    for letter, name, title in (
        ("a", "aae-gaussian", "AAE, 2-D Gaussian"),
        ("c", "vae-gaussian", "VAE, 2-D Gaussian"),
        ("b", "aae-mixture", "AAE, mixture"),
        ("d", "vae-mixture-0.25", "VAE (KL weight 1/4), mixture"),
    ):
        counts = _draw_counted(panels[letter], name, f"{letter}  {title}")
        if letter in "bd":
            fullest, emptiest = max(counts.values()), min(counts.values())
            counts = {"codes in the fullest component": fullest, "codes in the emptiest component": emptiest}
        integers |= {f"{title}: {label}": count for label, count in counts.items()}
    title = "e  Decoded from the plane of a, at equal steps of the Gaussian's percentiles"
    return drawn, integers | _draw_manifold(panels["e"], title)


def _draw_counted(axes: Axes, name: str, title: str) -> dict[str, int]:
    """The codes of an experiment; how many lie in each part of the prior."""
    prior = find(name).prior
    if isinstance(prior, GaussianMixture):
        return count_parts(draw_codes_of(axes, name, title, "inside_prior").codes, prior)
    return count_inside(draw_codes_of(axes, name, title).codes)


def _register_plane(letter: str, notebook: str, title: str, name: str, above: str) -> None:
    """Figure 2a, 2b, 2c or 2d."""

    def draw() -> Drawing:
        drawn, axes = plt.subplots(figsize=SINGLE)
        return drawn, _draw_counted(axes, name, above)

    draw.__doc__ = title
    figure(f"figure-2{letter}", paper=f"AAE Fig. 2{letter}", notebook=notebook)(draw)


# Codes of the VAE are samples of q(z|x). With the mixture its KL term is estimated at one code per image; its weight is
# 1/4, the largest of the curve with which the codes say anything about the image.
for letter, notebook, title, name, above in (
    ("a", TWO, "AAE codes of held-out digits", "aae-gaussian", "Adversarial autoencoder: codes of held-out digits"),
    ("b", THREE, "AAE codes of held-out digits, mixture", "aae-mixture",
     "Adversarial autoencoder, mixture of ten Gaussians"),
    ("c", THREE, "VAE codes of held-out digits", "vae-gaussian", "Variational autoencoder: codes of held-out digits"),
    ("d", THREE, "VAE codes of held-out digits, mixture", "vae-mixture-0.25",
     "Variational autoencoder (KL weight 1/4), mixture of ten Gaussians"),
):  # fmt: skip
    _register_plane(letter, notebook, title, name, above)


@figure("figure-2e", paper="AAE Fig. 2e", notebook=TWO)
def figure_2e() -> Drawing:
    """Images decoded from the latent plane."""
    drawn, axes = plt.subplots(figsize=SINGLE)
    title = "Images decoded at equal steps of the\nGaussian's percentiles along each dimension"
    return drawn, _draw_manifold(axes, title)


def manifold(side: int) -> Tensor:
    """Codes ``[side * side, 2]`` at equal steps of the Gaussian's percentiles: z1 grows to the right, z2 upward."""
    values = percentiles(side)
    return torch.cartesian_prod(values.flip(0), values).flip(1)


def _draw_manifold(axes: Axes, title: str) -> dict[str, int]:
    images = load_trained("aae-gaussian").model.decode(manifold(20))
    draw_images(axes, images, columns=20)
    set_title(axes, title)
    ink = (images > 0.5).float().mean()
    return {"decoded images": len(images), "percent of pixels above one half": round(100 * float(ink))}


@figure("coverage-curve", paper="ours", notebook=THREE)
def coverage_curve() -> Drawing:
    """Match of the prior against reconstruction."""
    drawn, axes = plt.subplots(figsize=(5.6, 4.2))
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
    plain = values_of("autoencoder", "reconstruction_error").mean()
    axes.axvline(plain, color="#999999", lw=0.8, ls=":")
    axes.text(plain, axes.get_ylim()[0], " plain autoencoder", rotation=90, va="bottom", ha="right", color="#666666",
              size=8)
    axes.set(xlabel="reconstruction error of test images (better to the left)",
             ylabel="prior coverage (better upward)")
    axes.legend(loc="lower right")
    ours = values_of("aae-gaussian", "prior_coverage").mean()
    theirs = equal_reconstruction("prior_coverage", "aae-gaussian", VAE_CURVE)
    set_title(axes, f"At the AAE's reconstruction error: coverage {ours:.3f} (AAE), {theirs:.3f} (VAE)")
    integers = {
        f"VAE, KL weight {Fraction(weight)}: coverage in percent": round(100 * c) for weight, (_, c) in curve.items()
    }
    return drawn, integers | {"AAE: coverage in percent": round(100 * ours)}


@figure("autoencoder-sampling", paper="ours", notebook="01_autoencoders")
def autoencoder_sampling() -> Drawing:
    """Why sampling a plain autoencoder fails."""
    trained, evidence = load_trained("autoencoder"), shown_evidence("autoencoder")
    codes = evidence.codes.float()
    samples = fitted_gaussian_samples(codes)
    near = covered(codes, samples)

    drawn, (left, right) = plt.subplots(1, 2, figsize=(9.6, 4.7), layout="constrained")
    left.scatter(*samples.T, s=2, c=np.where(near, "#dddddd", "#444444"), linewidths=0)
    draw_codes(left, codes, evidence.labels)
    low, high = codes.quantile(0.005, dim=0), codes.quantile(0.995, dim=0)
    left.set(xlabel="$z_1$", ylabel="$z_2$", xlim=(low[0], high[0]), ylim=(low[1], high[1]))
    percent = round(100 * float((~near).float().mean()))
    set_title(left, f"Codes of held-out digits on samples of the Gaussian\nfitted to them; {percent} % of those "
              "(black) have no code near")
    draw_images(right, trained.model.decode(torch.cat([samples[near][:50], samples[~near][:50]])), columns=10)
    set_title(right, "Decoded: 50 samples with a code nearby,\nthen 50 without")
    return drawn, {"samples of the fitted Gaussian": len(samples), "percent of them without a code nearby": percent}


def fitted_gaussian_samples(codes: Tensor) -> Tensor:
    """As many samples of the Gaussian with the mean and covariance of ``codes [n, d]``, always the same ``[n, d]``."""
    noise = prior_samples(Gaussian(codes.shape[1]), len(codes))
    return codes.mean(0) + noise @ torch.linalg.cholesky(codes.T.cov()).T
